package credits_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
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

// spending is a model of what budgets and thresholds say of an account: it keeps all that
// was ever spent and adds it up anew for every question.
type spending struct {
	now     time.Time
	granted int64
	spent   []*spent // the account's entries, one after another, its grants too
	holds   []*heldBy
	budgets map[tenancy.Actor]*modelBudget
	levels  map[string]*modelLevel
	facts   []string
}

type spent struct {
	by     []tenancy.Actor
	at     time.Time
	amount int64 // less what was given back
}

type heldBy struct {
	id     string
	by     []tenancy.Actor
	left   int64
	ends   time.Time
	charge bool
	open   bool
}

type modelBudget struct {
	limit  int64
	period credits.BudgetPeriod
	after  int // entries do not count
	set    time.Time
}

type modelLevel struct {
	low, reset int64
	reached    bool
}

func (m *spending) spendable() int64 {
	n := m.granted
	for _, s := range m.spent {
		n -= s.amount
	}
	for _, h := range m.holds {
		n -= h.left
	}
	return n
}

// budget is as of now, days and weeks being counted from a Monday: the 1st of January of the
// year 1.
func (m *spending) budget(who tenancy.Actor) credits.Budget {
	b := m.budgets[who]
	out := credits.Budget{Subject: who, Limit: b.limit, Period: b.period, Zone: "UTC", Since: b.set}
	switch b.period {
	case credits.BudgetDay:
		out.Since = m.now.Truncate(24 * time.Hour)
		out.Until = out.Since.Add(24 * time.Hour)
	case credits.BudgetWeek:
		out.Since = m.now.Truncate(7 * 24 * time.Hour)
		out.Until = out.Since.Add(7 * 24 * time.Hour)
	case credits.BudgetMonth:
		out.Since = m.now.Truncate(24*time.Hour).AddDate(0, 0, 1-m.now.Day())
		out.Until = out.Since.AddDate(0, 1, 0)
	}
	for i, s := range m.spent {
		if i >= b.after && !s.at.Before(out.Since) && slices.Contains(s.by, who) {
			out.Used += s.amount
		}
	}
	for _, h := range m.holds {
		if slices.Contains(h.by, who) {
			out.Held += h.left
		}
	}
	return out
}

func (m *spending) listed() []credits.Budget {
	out := []credits.Budget{}
	for who := range m.budgets {
		out = append(out, m.budget(who))
	}
	slices.SortFunc(out, func(a, b credits.Budget) int {
		return cmp.Or(cmp.Compare(a.Subject.Kind, b.Subject.Kind), cmp.Compare(a.Subject.ID, b.Subject.ID))
	})
	return out
}

// allowed is the refusal of so much, if there is one.
func (m *spending) allowed(by []tenancy.Actor, n int64) error {
	var over *credits.BudgetError
	for _, who := range by {
		if m.budgets[who] == nil {
			continue
		}
		b := m.budget(who)
		if b.Used+b.Held+n <= b.Limit {
			continue
		}
		e := &credits.BudgetError{Subject: who, Limit: b.Limit, Used: b.Used + b.Held, Need: n, Until: b.Until}
		if over == nil || !over.Until.IsZero() && (e.Until.IsZero() || e.Until.After(over.Until)) {
			over = e
		}
	}
	if over != nil {
		return over
	}
	if have := m.spendable(); n > have {
		return &credits.InsufficientError{Need: n, Have: have}
	}
	return nil
}

// watch publishes what has been crossed.
func (m *spending) watch() {
	n := m.spendable()
	names := []string{}
	for name := range m.levels {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(m.levels[b].low, m.levels[a].low), cmp.Compare(a, b)) })
	for _, name := range names {
		l := m.levels[name]
		switch {
		case !l.reached && n <= l.low:
			l.reached = true
			m.facts = append(m.facts, fmt.Sprintf("-%s: %d %s", name, n, m.now.Sub(start)))
		case l.reached && n >= l.reset:
			l.reached = false
			m.facts = append(m.facts, fmt.Sprintf("%s: %d %s", name, n, m.now.Sub(start)))
		}
	}
}

// pass ends the holds whose time is over by then, those of one moment together.
func (m *spending) pass(to time.Time) {
	for {
		var at time.Time
		for _, h := range m.holds {
			if h.open && !h.ends.After(to) && (at.IsZero() || h.ends.Before(at)) {
				at = h.ends
			}
		}
		if at.IsZero() {
			break
		}
		m.now = at
		for _, h := range slices.SortedFunc(slices.Values(m.holds), func(a, b *heldBy) int { return cmp.Compare(a.id, b.id) }) {
			if h.open && h.ends.Equal(at) {
				if h.charge && h.left > 0 {
					m.spent = append(m.spent, &spent{h.by, at, h.left})
				}
				h.open, h.left = false, 0
			}
		}
		m.watch()
	}
	m.now = to
}

func (m *spending) settle(h *heldBy, n int64, more bool) error {
	if !h.open {
		return credits.ErrHoldEnded
	}
	if have := h.left + m.spendable(); n > have {
		return &credits.InsufficientError{Need: n, Have: have}
	}
	h.left -= min(n, h.left)
	if n > 0 {
		m.spent = append(m.spent, &spent{h.by, m.now, n})
	}
	if !more {
		h.open, h.left = false, 0
	}
	return nil
}

// TestModel_BudgetsAndThresholdsAgreeWithWhatWasSpent runs random histories of spending, each
// on an account of its own. Whether somebody looks in between, which books what is due,
// makes no difference.
func TestModel_BudgetsAndThresholdsAgreeWithWhatWasSpent(t *testing.T) {
	t.Parallel()
	const steps = 40
	actors := []tenancy.Actor{keyA, keyB, ada}
	by := [][]tenancy.Actor{{keyA}, {keyB}, {ada}, {keyA, ada}, {keyA, ada}, {keyB, ada}, {}}
	periods := []credits.BudgetPeriod{credits.BudgetLife, credits.BudgetDay, credits.BudgetWeek, credits.BudgetMonth}
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		ctx := t.Context()
		accounts := 0
		check(t, db, shares{sqlite: 20, postgres: 80}, func(rt *rapid.T) {
			accounts++
			account := tenancy.AccountID(fmt.Sprint("acc_", accounts))
			clock := tenancytest.NewClock(start)
			l := credits.New(credits.Config{Now: clock.Now})
			m := &spending{now: start, budgets: map[tenancy.Actor]*modelBudget{}, levels: map[string]*modelLevel{}}
			who := func() (who []tenancy.Actor, actor, behalf tenancy.Actor) {
				who = rapid.SampledFrom(by).Draw(rt, "who")
				switch len(who) {
				case 2:
					behalf = who[1]
					fallthrough
				case 1:
					actor = who[0]
				}
				return who, actor, behalf
			}
			run := func(verb string) (want, got error) {
				switch verb {
				case "grant":
					n := rapid.Int64Range(1, 60).Draw(rt, "amount")
					_, got = l.Grant(ctx, db, credits.Grant{Account: account, Amount: n, Key: fmt.Sprint("g", len(m.spent))})
					m.granted += n
					m.spent = append(m.spent, &spent{})
				case "deduct":
					n := rapid.Int64Range(1, 15).Draw(rt, "amount")
					who, actor, behalf := who()
					if want = m.allowed(who, n); want == nil {
						m.spent = append(m.spent, &spent{who, m.now, n})
					}
					_, got = l.Deduct(ctx, db, credits.Deduct{Account: account, Amount: n, Actor: actor, OnBehalf: behalf})
				case "hold":
					h := credits.Hold{
						Account: account, Amount: rapid.Int64Range(1, 15).Draw(rt, "amount"),
						For:   time.Duration(rapid.IntRange(1, 30).Draw(rt, "hours")) * time.Hour,
						AtEnd: rapid.SampledFrom([]credits.AtEnd{credits.AtEndRelease, credits.AtEndCharge}).Draw(rt, "end"),
					}
					var who2 []tenancy.Actor
					who2, h.Actor, h.OnBehalf = who()
					want = m.allowed(who2, h.Amount)
					var held credits.Held
					held, got = l.Hold(ctx, db, h)
					if want == nil {
						m.holds = append(m.holds, &heldBy{held.ID, who2, h.Amount, m.now.Add(h.For), h.AtEnd == credits.AtEndCharge, true})
					}
				case "settle", "release":
					if len(m.holds) == 0 {
						return nil, nil
					}
					h := rapid.SampledFrom(m.holds).Draw(rt, "hold")
					if verb == "release" {
						if !h.open {
							return nil, nil
						}
						h.open, h.left = false, 0
						_, got = l.Release(ctx, db, credits.Release{Account: account, Hold: h.id})
						return nil, got
					}
					s := credits.Settle{Account: account, Hold: h.id, Key: fmt.Sprint("s", settlements.Add(1))}
					s.More = rapid.Bool().Draw(rt, "more")
					s.Amount = rapid.Int64Range(1, 25).Draw(rt, "amount")
					want = m.settle(h, s.Amount, s.More)
					_, got = l.Settle(ctx, db, s)
				case "refund":
					// Nobody knows the number of an entry that nobody has booked yet.
					if _, got = l.Balance(ctx, db, account); got != nil {
						return nil, got
					}
					var taken []int
					for i, s := range m.spent {
						if s.amount > 0 {
							taken = append(taken, i)
						}
					}
					if len(taken) == 0 {
						return nil, nil
					}
					i := rapid.SampledFrom(taken).Draw(rt, "entry")
					n := rapid.Int64Range(1, m.spent[i].amount).Draw(rt, "amount")
					m.spent[i].amount -= n
					m.spent = append(m.spent, &spent{})
					_, got = l.Refund(ctx, db, credits.Refund{Account: account, Entry: int64(i + 1), Amount: n, Key: fmt.Sprint("r", len(m.spent))})
				case "budget":
					s := credits.SetBudget{
						Account: account, Subject: rapid.SampledFrom(actors).Draw(rt, "subject"),
						Limit: rapid.Int64Range(0, 60).Draw(rt, "limit"), Period: rapid.SampledFrom(periods).Draw(rt, "period"),
					}
					b := m.budgets[s.Subject]
					if b == nil || b.period != s.Period {
						b = &modelBudget{period: s.Period, after: len(m.spent), set: m.now}
						m.budgets[s.Subject] = b
					}
					b.limit = s.Limit
					_, got = l.SetBudget(ctx, db, s)
				case "no budget":
					r := credits.RemoveBudget{Account: account, Subject: rapid.SampledFrom(actors).Draw(rt, "subject")}
					if m.budgets[r.Subject] == nil {
						want = credits.ErrNoBudget
					}
					delete(m.budgets, r.Subject)
					got = l.RemoveBudget(ctx, db, r)
				case "level":
					s := credits.SetThreshold{Account: account, Name: rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "name"), Low: rapid.Int64Range(0, 40).Draw(rt, "low")}
					s.Reset = s.Low + rapid.Int64Range(1, 20).Draw(rt, "reset")
					if m.levels[s.Name] == nil {
						m.levels[s.Name] = &modelLevel{}
					}
					m.levels[s.Name].low, m.levels[s.Name].reset = s.Low, s.Reset
					_, got = l.SetThreshold(ctx, db, s)
				case "clock":
					clock.Advance(time.Duration(rapid.IntRange(1, 40).Draw(rt, "hours")) * time.Hour)
				}
				return want, got
			}
			for _, verb := range []string{"grant", "level", "budget", "budget"} {
				if want, got := run(verb); !sameError(want, got) {
					rt.Fatalf("%s: error %v, want %v", verb, got, want)
				}
				m.watch()
			}
			for range rapid.IntRange(1, steps).Draw(rt, "steps") {
				verb := rapid.SampledFrom([]string{
					"grant", "deduct", "deduct", "deduct", "hold", "hold", "settle", "settle", "release", "refund", "refund",
					"budget", "no budget", "level", "clock", "clock",
				}).Draw(rt, "verb")
				want, got := run(verb)
				if !sameError(want, got) {
					rt.Fatalf("%s: error %v, want %v", verb, got, want)
				}
				m.watch()
				m.pass(clock.Now())
				if rapid.Bool().Draw(rt, "look") {
					agreeOnSpending(t, rt, m, l, db, account)
				}
			}
			agreeOnSpending(t, rt, m, l, db, account)
		})
	}, credits.Migrate)
}

func sameError(want, got error) bool {
	var a, b *credits.BudgetError
	if errors.As(want, &a) && errors.As(got, &b) {
		return *a == *b
	}
	return sameRefusal(want, got)
}

func agreeOnSpending(outer testing.TB, t *rapid.T, m *spending, l *credits.Ledger, db bun.IDB, account tenancy.AccountID) {
	ctx := context.Background()
	budgets, err := l.Budgets(ctx, db, account)
	if d := gocmp.Diff(m.listed(), budgets); d != "" || err != nil {
		t.Fatalf("budgets: %s %v", d, err)
	}
	if b, err := l.Balance(ctx, db, account); err != nil || b.Spendable != m.spendable() {
		t.Fatalf("%+v can be spent, want %d: %v", b, m.spendable(), err)
	}
	if d := gocmp.Diff(m.facts, heard(outer, db, account)); d != "" {
		t.Fatalf("facts: %s", d)
	}
	if found, err := l.Verify(ctx, db, account); err != nil || len(found) > 0 {
		t.Fatalf("verify: %v, %v", found, err)
	}
}

// settlements counts them, so that each has a key of its own.
var settlements atomic.Int64
