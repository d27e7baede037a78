package credits_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/credits"
)

// operation is one of the verbs, for a model and a ledger alike.
type operation struct {
	Grant   *credits.Grant
	Deduct  *credits.Deduct
	Refund  *credits.Refund
	Hold    *credits.Hold
	Settle  *credits.Settle
	Release *credits.Release
	Extend  *credits.Extend
	Revoke  *credits.Revoke

	SetAllotment *credits.SetAllotment
	EndAllotment *credits.EndAllotment
}

func (o operation) String() string {
	switch {
	case o.Grant != nil:
		return fmt.Sprintf("grant %+v", *o.Grant)
	case o.Deduct != nil:
		return fmt.Sprintf("deduct %+v", *o.Deduct)
	case o.Refund != nil:
		return fmt.Sprintf("refund %+v", *o.Refund)
	case o.Hold != nil:
		return fmt.Sprintf("hold %+v", *o.Hold)
	case o.Settle != nil:
		return fmt.Sprintf("settle %+v", *o.Settle)
	case o.Release != nil:
		return fmt.Sprintf("release %+v", *o.Release)
	case o.Extend != nil:
		return fmt.Sprintf("extend %+v", *o.Extend)
	case o.Revoke != nil:
		return fmt.Sprintf("revoke %+v", *o.Revoke)
	case o.SetAllotment != nil:
		return fmt.Sprintf("set allotment %+v", *o.SetAllotment)
	case o.EndAllotment != nil:
		return fmt.Sprintf("end allotment %+v", *o.EndAllotment)
	}
	return "nothing"
}

// result is what an operation did: its entry, its hold, its allotment in words, or its
// refusal in words.
type result struct {
	Entry     credits.Entry
	Hold      credits.Held
	Allotment string
	Refusal   string
}

// refusalOf is a refusal by its code and numbers, and any other error as it is.
func refusalOf(err error) string {
	var short *credits.InsufficientError
	if errors.As(err, &short) {
		return fmt.Sprintf("insufficient: %d of %d", short.Have, short.Need)
	}
	for _, sentinel := range []error{
		credits.ErrKeyReused, credits.ErrNoEntry, credits.ErrNotRefundable, credits.ErrNoHold, credits.ErrHoldEnded,
		credits.ErrNothingLeft, credits.ErrNoAllotment, credits.ErrOutcomeUnknown,
	} {
		if errors.Is(err, sentinel) {
			return sentinel.Error()
		}
	}
	if err != nil {
		return "unexpected: " + err.Error()
	}
	return ""
}

// ask does an operation on a ledger.
func (o operation) ask(ctx context.Context, l *credits.Ledger, db bun.IDB) (r result) {
	var err error
	switch {
	case o.Grant != nil:
		r.Entry, err = l.Grant(ctx, db, *o.Grant)
	case o.Deduct != nil:
		r.Entry, err = l.Deduct(ctx, db, *o.Deduct)
	case o.Refund != nil:
		r.Entry, err = l.Refund(ctx, db, *o.Refund)
	case o.Hold != nil:
		r.Hold, err = l.Hold(ctx, db, *o.Hold)
	case o.Settle != nil:
		var s credits.Settled
		s, err = l.Settle(ctx, db, *o.Settle)
		r.Entry, r.Hold = s.Entry, s.Hold
	case o.Release != nil:
		r.Hold, err = l.Release(ctx, db, *o.Release)
	case o.Extend != nil:
		r.Hold, err = l.Extend(ctx, db, *o.Extend)
	case o.Revoke != nil:
		r.Entry, err = l.Revoke(ctx, db, *o.Revoke)
	case o.SetAllotment != nil:
		var a credits.Allotment
		if a, err = l.SetAllotment(ctx, db, *o.SetAllotment); err == nil {
			r.Allotment = inWords(a)
		}
	case o.EndAllotment != nil:
		var a credits.Allotment
		if a, err = l.EndAllotment(ctx, db, *o.EndAllotment); err == nil {
			r.Allotment = inWords(a)
		}
	}
	r.Refusal = refusalOf(err)
	return r
}

// elsewhere is the same operation on the account of a run, whose holds have other ids,
// and whose periods other keys.
func (o operation) elsewhere(r *run) operation {
	account, holds := r.account, r.holds
	switch {
	case o.Grant != nil:
		g := *o.Grant
		g.Account = account
		if strings.HasPrefix(g.Key, "quitrent:") {
			g.Key += ":" + r.unit
		}
		return operation{Grant: &g}
	case o.Deduct != nil:
		d := *o.Deduct
		d.Account = account
		return operation{Deduct: &d}
	case o.Refund != nil:
		r := *o.Refund
		r.Account = account
		return operation{Refund: &r}
	case o.Hold != nil:
		h := *o.Hold
		h.Account = account
		return operation{Hold: &h}
	case o.Settle != nil:
		s := *o.Settle
		s.Account, s.Hold = account, holds[s.Hold]
		return operation{Settle: &s}
	case o.Release != nil:
		r := *o.Release
		r.Account, r.Hold = account, holds[r.Hold]
		return operation{Release: &r}
	case o.Extend != nil:
		e := *o.Extend
		e.Account, e.Hold = account, holds[e.Hold]
		return operation{Extend: &e}
	case o.Revoke != nil:
		r := *o.Revoke
		r.Account = account
		return operation{Revoke: &r}
	case o.SetAllotment != nil:
		s := *o.SetAllotment
		s.Account = account
		return operation{SetAllotment: &s}
	case o.EndAllotment != nil:
		e := *o.EndAllotment
		e.Account = account
		return operation{EndAllotment: &e}
	}
	return o
}

var someCategories = []credits.Category{credits.CategoryAllowance, credits.CategoryPromo, credits.CategoryAdjustment, credits.CategoryPaid}

// drawOperation draws the next one: few keys and small amounts, so that keys are reused,
// grants run out and the clock meets the ends of grants and holds.
func drawOperation(t *rapid.T, m *model) operation {
	fresh := fmt.Sprint("new", len(m.keys))
	key := rapid.OneOf(rapid.SampledFrom([]string{"a", "b", "c", "d"}), rapid.Just(fresh), rapid.Just(fresh))
	purpose := rapid.SampledFrom([]string{"", "", "ideas", "images"})
	lasts := rapid.SampledFrom([]time.Duration{time.Hour, 90 * time.Minute, 5 * time.Hour, 36 * time.Hour, 30 * 24 * time.Hour})
	begins := none // when the next period does of some rule
	if n := len(m.rules); n > 0 {
		begins = rapid.IntRange(0, n-1).Draw(t, "rule")
		if d := m.rules[begins].NextAt.Sub(m.now); d > 0 && d < 30*24*time.Hour {
			lasts = rapid.OneOf(lasts, rapid.Just(d))
		}
	}
	instant := rapid.Custom(func(t *rapid.T) time.Time {
		if begins != none && rapid.IntRange(0, 3).Draw(t, "with a period") == 0 {
			return m.rules[begins].NextAt
		}
		if rapid.Bool().Draw(t, "none") {
			return time.Time{}
		}
		at := m.now.Truncate(time.Hour)
		if rapid.Bool().Draw(t, "far") {
			return at.AddDate(0, 0, rapid.IntRange(-1, 60).Draw(t, "days"))
		}
		return at.Add(time.Duration(rapid.IntRange(-2, 12).Draw(t, "hours")) * time.Hour)
	})
	hold := "hld_none"
	verbs := []string{"grant", "grant", "deduct", "deduct", "deduct", "deduct", "refund", "refund", "hold", "hold", "allot"}
	if m.periodic {
		verbs = append(verbs, "allot", "hold", "hold", "hold")
	}
	little := rapid.OneOf(rapid.Int64Range(1, 5), rapid.Int64Range(1, 5), rapid.Int64Range(1, 30))
	if n := len(m.holds); n > 0 {
		// The newest most often: it is open yet.
		i := rapid.OneOf(rapid.Just(n-1), rapid.IntRange(max(0, n-3), n-1), rapid.IntRange(0, n-1)).Draw(t, "hold")
		hold = m.holds[i].ID
		verbs = append(verbs, "settle", "settle", "settle", "release", "extend")
	} else if rapid.IntRange(0, 9).Draw(t, "no hold") == 0 {
		verbs = append(verbs, "settle", "release", "extend")
	}
	if len(m.entries) > 0 {
		verbs = append(verbs, "revoke")
	}
	switch verb := rapid.SampledFrom(verbs).Draw(t, "verb"); verb {
	case "grant":
		g := credits.Grant{
			Account: m.account, Amount: rapid.Int64Range(1, 30).Draw(t, "amount"), Key: key.Draw(t, "key"),
			Category: rapid.SampledFrom(someCategories).Draw(t, "category"), Priority: rapid.IntRange(-1, 1).Draw(t, "priority"),
			EffectiveAt: instant.Draw(t, "from"), ExpiresAt: instant.Draw(t, "until"),
			Operations: rapid.SampledFrom([][]string{nil, nil, nil, {"ideas"}, {"ideas", "images"}}).Draw(t, "operations"),
		}
		if !g.ExpiresAt.IsZero() && !g.ExpiresAt.After(g.EffectiveAt) {
			g.ExpiresAt = time.Time{}
		}
		if len(m.rules) > 0 && rapid.IntRange(0, 9).Draw(t, "takes a key") == 0 {
			g.Key = rapid.SampledFrom(m.rules).Draw(t, "of").key("allotment")
		}
		return operation{Grant: &g}
	case "deduct":
		return operation{Deduct: &credits.Deduct{
			Account: m.account, Amount: little.Draw(t, "amount"), Operation: purpose.Draw(t, "operation"),
			Key: rapid.OneOf(key, rapid.Just("")).Draw(t, "key"),
		}}
	case "refund":
		entry := rapid.Int64Range(0, int64(len(m.entries)+1))
		if numbers := took(m); len(numbers) > 0 {
			entry = rapid.OneOf(entry, rapid.SampledFrom(numbers), rapid.SampledFrom(numbers))
		}
		return operation{Refund: &credits.Refund{
			Account: m.account, Entry: entry.Draw(t, "entry"), Amount: rapid.Int64Range(0, 12).Draw(t, "amount"), Key: key.Draw(t, "key"),
		}}
	case "hold":
		return operation{Hold: &credits.Hold{
			Account: m.account, Amount: little.Draw(t, "amount"), Operation: purpose.Draw(t, "operation"),
			Key: rapid.OneOf(key, rapid.Just("")).Draw(t, "key"), For: lasts.Draw(t, "for"), Note: "work",
			AtEnd: rapid.SampledFrom([]credits.AtEnd{credits.AtEndRelease, credits.AtEndCharge, credits.AtEndReview}).Draw(t, "end"),
		}}
	case "settle":
		s := credits.Settle{
			Account: m.account, Hold: hold, Amount: rapid.Int64Range(0, 25).Draw(t, "amount"), More: rapid.Bool().Draw(t, "more"),
			Key: key.Draw(t, "key"),
		}
		if s.More {
			s.Amount = max(1, s.Amount/3)
		} else if rapid.Bool().Draw(t, "its own key") {
			s.Key = ""
		}
		return operation{Settle: &s}
	case "revoke":
		entry := rapid.Int64Range(0, int64(len(m.entries)+1))
		if numbers := revocable(m); len(numbers) > 0 {
			entry = rapid.OneOf(entry, rapid.SampledFrom(numbers), rapid.Just(numbers[len(numbers)-1]))
		}
		return operation{Revoke: &credits.Revoke{Account: m.account, Entry: entry.Draw(t, "entry"), Key: key.Draw(t, "key"), Note: "back"}}
	case "allot":
		return drawAllotment(t, m, instant)
	case "release":
		return operation{Release: &credits.Release{Account: m.account, Hold: hold}}
	default:
		return operation{Extend: &credits.Extend{
			Account: m.account, Hold: hold, For: rapid.OneOf(lasts, rapid.Just(time.Duration(0))).Draw(t, "for"),
			AtEnd: rapid.SampledFrom([]credits.AtEnd{"", credits.AtEndRelease, credits.AtEndCharge, credits.AtEndReview}).Draw(t, "end"),
		}}
	}
}

// took are the entries that something can be given back of, or could.
func took(m *model) (numbers []int64) {
	for _, e := range m.entries {
		if len(m.parts[e.Number]) > 0 {
			numbers = append(numbers, e.Number)
		}
	}
	return numbers
}

// revocable are the entries that something can be taken back of, or could.
func revocable(m *model) (numbers []int64) {
	for _, g := range m.grants {
		if g.remaining > 0 {
			numbers = append(numbers, g.number)
		}
	}
	return numbers
}

// drawPause draws how long nothing happens: over a history up to half a year.
func drawPause(t *rapid.T) time.Duration {
	return rapid.OneOf(
		rapid.Map(rapid.IntRange(1, 8), func(n int) time.Duration { return time.Duration(n) * 30 * time.Minute }),
		rapid.Map(rapid.IntRange(1, 8), func(n int) time.Duration { return time.Duration(n) * 30 * time.Minute }),
		rapid.Map(rapid.IntRange(1, 20), func(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }),
	).Draw(t, "pause")
}
