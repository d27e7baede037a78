package credits_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// model is one account's ledger as the package comment describes it, kept in
// memory, one operation after another.
type model struct {
	account tenancy.AccountID
	now     time.Time
	grants  []*modelGrant
	entries []credits.Entry
	parts   map[int64][]part // what a deduction took, in order
	keys    map[string]modelOutcome
}

type modelGrant struct {
	credits.Grant
	number, remaining int64
}

// part is what a deduction took from a grant and has not given back.
type part struct {
	from   *modelGrant
	amount int64
}

type modelOutcome struct {
	content any
	entry   credits.Entry
	err     error
}

func (m *model) balance() credits.Balance {
	var b credits.Balance
	for _, g := range m.grants {
		b.Booked += g.remaining
	}
	for _, g := range m.live() {
		b.Spendable += g.remaining
	}
	return b
}

// lapse enters what was left in grants when they expired, as of then.
func (m *model) lapse() {
	now := m.now
	defer func() { m.now = now }()
	for {
		var next *modelGrant
		for _, g := range m.grants {
			if g.remaining > 0 && !g.ExpiresAt.IsZero() && !g.ExpiresAt.After(now) &&
				(next == nil || cmp.Or(g.ExpiresAt.Compare(next.ExpiresAt), burnsBefore(g, next)) < 0) {
				next = g
			}
		}
		if next == nil {
			return
		}
		m.now = next.ExpiresAt
		if n := len(m.entries); n > 0 && m.entries[n-1].At.After(m.now) {
			m.now = m.entries[n-1].At
		}
		n := next.remaining
		next.remaining = 0
		m.append(credits.Entry{Kind: credits.KindExpire, Amount: -n})
	}
}

func burnsBefore(a, b *modelGrant) int {
	category := map[credits.Category]int{
		credits.CategoryAllowance: 1, credits.CategoryPromo: 2, credits.CategoryAdjustment: 3, credits.CategoryPaid: 4,
	}
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), a.end().Compare(b.end()),
		cmp.Compare(category[a.Category], category[b.Category]),
		a.EffectiveAt.Compare(b.EffectiveAt), cmp.Compare(a.number, b.number)) // ids ascend in time
}

func (g *modelGrant) end() time.Time {
	if g.ExpiresAt.IsZero() {
		return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return g.ExpiresAt
}

func (m *model) live() []*modelGrant {
	var out []*modelGrant
	for _, g := range m.grants {
		if !g.EffectiveAt.After(m.now) && g.end().After(m.now) && g.remaining > 0 {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, burnsBefore)
	return out
}

// once runs do unless the key has been used, and remembers what it did. A shortage
// is remembered by its numbers.
func (m *model) once(key string, content any, do func() (credits.Entry, error)) (credits.Entry, error) {
	if done, ok := m.keys[key]; ok && key != "" {
		if done.content != content {
			return credits.Entry{}, credits.ErrKeyReused
		}
		if done.err == nil {
			done.entry.Replayed = true
		}
		return done.entry, done.err
	}
	e, err := do()
	if key != "" {
		m.keys[key] = modelOutcome{content, e, err}
	}
	return e, err
}

func (m *model) append(e credits.Entry) credits.Entry {
	b := m.balance()
	e.Account, e.Number, e.Balance, e.Spendable, e.At = m.account, int64(len(m.entries)+1), b.Booked, b.Spendable, m.now
	m.entries = append(m.entries, e)
	return e
}

func (m *model) grant(g credits.Grant) (credits.Entry, error) {
	return m.once(g.Key, fmt.Sprint(g), func() (credits.Entry, error) {
		key := g.Key
		if g.EffectiveAt.IsZero() {
			g.EffectiveAt = m.now
		}
		m.grants = append(m.grants, &modelGrant{Grant: g, number: int64(len(m.entries) + 1), remaining: g.Amount})
		return m.append(credits.Entry{
			Kind: credits.KindGrant, Amount: g.Amount, Key: key, Actor: tenancy.Actor{Kind: tenancy.ActorSystem, ID: "credits"},
		}), nil
	})
}

func (m *model) deduct(d credits.Deduct) (credits.Entry, error) {
	return m.once(d.Key, d, func() (credits.Entry, error) {
		if have := m.balance().Spendable; d.Amount > have {
			return credits.Entry{}, &credits.InsufficientError{Need: d.Amount, Have: have}
		}
		left := d.Amount
		var parts []part
		for _, g := range m.live() {
			if n := min(left, g.remaining); n > 0 {
				g.remaining -= n
				left -= n
				parts = append(parts, part{g, n})
			}
		}
		e := m.append(credits.Entry{Kind: credits.KindDeduct, Amount: -d.Amount, Key: d.Key, Operation: d.Operation})
		m.parts[e.Number] = parts
		return e, nil
	})
}

func (m *model) refund(r credits.Refund) (credits.Entry, error) {
	return m.once(r.Key, r, func() (credits.Entry, error) {
		if r.Entry < 1 || r.Entry > int64(len(m.entries)) {
			return credits.Entry{}, credits.ErrNoEntry
		}
		parts := m.parts[r.Entry]
		var owed int64
		for _, p := range parts {
			owed += p.amount
		}
		n := cmp.Or(r.Amount, owed)
		if n > owed || n == 0 {
			return credits.Entry{}, credits.ErrNotRefundable
		}
		left := n
		for i := len(parts) - 1; i >= 0; i-- {
			back := min(left, parts[i].amount)
			parts[i].amount -= back
			parts[i].from.remaining += back
			left -= back
		}
		return m.append(credits.Entry{
			Kind: credits.KindRefund, Amount: n, RefundOf: r.Entry, Key: r.Key, Operation: m.entries[r.Entry-1].Operation,
		}), nil
	})
}

// step is one operation, on the model and on the ledger.
type step struct {
	name string
	run  func(m *model, l *credits.Ledger, db bun.IDB) (want, got credits.Entry, wantErr, gotErr error)
}

// drawStep draws the next operation: few keys and small amounts, so that keys are
// reused, grants run out and the clock meets their ends.
func drawStep(t *rapid.T, m *model, clock *tenancytest.Clock) step {
	ctx := context.Background()
	key := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h"})
	fresh := fmt.Sprint("new", len(m.keys))
	instant := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "none") {
			return time.Time{}
		}
		return start.Add(time.Duration(rapid.IntRange(-2, 12).Draw(t, "hours")) * time.Hour)
	})
	switch rapid.SampledFrom([]string{"grant", "grant", "deduct", "deduct", "deduct", "refund", "refund", "clock"}).Draw(t, "verb") {
	case "grant":
		g := credits.Grant{
			Account: m.account, Amount: rapid.Int64Range(1, 20).Draw(t, "amount"),
			Key:         rapid.OneOf(key, rapid.Just(fresh), rapid.Just(fresh)).Draw(t, "key"),
			Category:    rapid.SampledFrom([]credits.Category{credits.CategoryAllowance, credits.CategoryPromo, credits.CategoryAdjustment, credits.CategoryPaid}).Draw(t, "category"),
			Priority:    rapid.IntRange(-1, 1).Draw(t, "priority"),
			EffectiveAt: instant.Draw(t, "from"), ExpiresAt: instant.Draw(t, "until"),
		}
		if !g.ExpiresAt.IsZero() && !g.ExpiresAt.After(g.EffectiveAt) {
			g.ExpiresAt = time.Time{}
		}
		return step{fmt.Sprintf("grant %+v", g), func(m *model, l *credits.Ledger, db bun.IDB) (want, got credits.Entry, wantErr, gotErr error) {
			want, wantErr = m.grant(g)
			got, gotErr = l.Grant(ctx, db, g)
			return
		}}
	case "deduct":
		d := credits.Deduct{
			Account: m.account, Amount: rapid.Int64Range(1, 30).Draw(t, "amount"), Operation: "op",
			Key: rapid.OneOf(key, rapid.Just(""), rapid.Just(fresh)).Draw(t, "key"),
		}
		return step{fmt.Sprintf("deduct %+v", d), func(m *model, l *credits.Ledger, db bun.IDB) (want, got credits.Entry, wantErr, gotErr error) {
			want, wantErr = m.deduct(d)
			got, gotErr = l.Deduct(ctx, db, d)
			return
		}}
	case "refund":
		r := credits.Refund{
			Account: m.account, Entry: rapid.Int64Range(0, int64(len(m.entries)+1)).Draw(t, "entry"),
			Amount: rapid.Int64Range(0, 12).Draw(t, "amount"),
			Key:    rapid.OneOf(key, rapid.Just(fresh), rapid.Just(fresh)).Draw(t, "key"),
		}
		return step{fmt.Sprintf("refund %+v", r), func(m *model, l *credits.Ledger, db bun.IDB) (want, got credits.Entry, wantErr, gotErr error) {
			want, wantErr = m.refund(r)
			got, gotErr = l.Refund(ctx, db, r)
			return
		}}
	default:
		by := time.Duration(rapid.IntRange(1, 8).Draw(t, "half hours")) * 30 * time.Minute
		return step{fmt.Sprint("clock ", by), func(m *model, _ *credits.Ledger, _ bun.IDB) (want, got credits.Entry, wantErr, gotErr error) {
			clock.Advance(by)
			m.now = clock.Now()
			return
		}}
	}
}

// TestModel_AgreesWithTheLedgerAfterEveryStep runs random histories, each on an
// account of its own, on the ledger and on the model.
func TestModel_AgreesWithTheLedgerAfterEveryStep(t *testing.T) {
	longest := map[string]int{"sqlite": 40, "postgres": 12}
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		steps := longest[t.Name()[len("TestModel_AgreesWithTheLedgerAfterEveryStep/"):]]
		accounts := 0
		rapid.Check(t, func(t *rapid.T) {
			accounts++
			clock := tenancytest.NewClock(start)
			l := credits.New(credits.Config{Now: clock.Now})
			m := &model{
				account: tenancy.AccountID(fmt.Sprint("acc_", accounts)), now: start,
				parts: map[int64][]part{}, keys: map[string]modelOutcome{},
			}
			for range rapid.IntRange(1, steps).Draw(t, "steps") {
				s := drawStep(t, m, clock)
				m.lapse()
				want, got, wantErr, gotErr := s.run(m, l, db)
				m.lapse()
				if d := gocmp.Diff(want, got); d != "" {
					t.Fatalf("%s: %s", s.name, d)
				}
				if !sameRefusal(wantErr, gotErr) {
					t.Fatalf("%s: error %v, want %v", s.name, gotErr, wantErr)
				}
				agree(t, m, l, db)
			}
			if found, err := l.Verify(context.Background(), db, m.account); err != nil || len(found) > 0 {
				t.Fatalf("verify: %v, %v", found, err)
			}
		})
	}, credits.Migrate)
}

func sameRefusal(want, got error) bool {
	var a, b *credits.InsufficientError
	if errors.As(want, &a) && errors.As(got, &b) {
		return *a == *b
	}
	return errors.Is(got, want)
}

func agree(t *rapid.T, m *model, l *credits.Ledger, db bun.IDB) {
	ctx := context.Background()
	b, err := l.Balance(ctx, db, m.account)
	if d := gocmp.Diff(m.balance(), b); d != "" || err != nil {
		t.Fatalf("balance: %s %v", d, err)
	}
	want := slices.Clone(m.entries)
	slices.Reverse(want)
	page, err := l.Entries(ctx, db, credits.Entries{Account: m.account, Limit: 500})
	if d := gocmp.Diff(want, append([]credits.Entry(nil), page.Entries...)); d != "" || err != nil {
		t.Fatalf("entries: %s %v", d, err)
	}
}
