package tenancy_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

const (
	day       = 24 * time.Hour
	retention = 30 * day
)

// lived is one thing that happens to an account in a random life.
type lived struct {
	Verb string
	To   tenancy.Status // of a change
	Plan string         // of a change
	End  time.Duration  // of a change, from then on; 0: none
	Who  tenancy.Actor
	Wait time.Duration // before it
}

// owner stands for the account's own, whose id the tests do not know before.
var owner = tenancy.Actor{Kind: tenancy.ActorUser, ID: "the owner"}

var system = tenancy.Actor{Kind: tenancy.ActorSystem, ID: "job"}

// lives draws what happens, in order. Thirty days come together out of tens, so that
// every end is met exactly too.
var lives = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) lived {
	l := lived{
		Verb: rapid.SampledFrom([]string{"change", "change", "change", "suspend", "resume", "close", "restore", "erase"}).Draw(t, "verb"),
		Who:  rapid.SampledFrom([]tenancy.Actor{operator, operator, system, owner, person, key}).Draw(t, "who"),
		Wait: rapid.SampledFrom([]time.Duration{0, 0, 0, time.Microsecond, day, 10 * day, 30 * day}).Draw(t, "wait"),
	}
	if l.Verb == "change" {
		l.To = rapid.SampledFrom(append([]tenancy.Status{"", "vip"}, statuses...)).Draw(t, "to")
		l.Plan = rapid.SampledFrom([]string{"", "", "starter", "free-trial"}).Draw(t, "plan")
		if l.To != "" {
			l.End = rapid.SampledFrom([]time.Duration{0, day, 10 * day, 30 * day}).Draw(t, "end")
		}
	}
	return l
}), 15, 60)

// step is l as the library takes it.
func (l lived) step(account tenancy.Account, now time.Time, reason string) tenancy.Step {
	who, end := l.Who, time.Time{}
	if who == owner {
		who.ID = string(account.Owner)
	}
	if l.End > 0 {
		end = now.Add(l.End)
	}
	switch l.Verb {
	case "change":
		c := tenancy.Change{Account: account.ID, Status: l.To, Plan: l.Plan, Actor: who, Reason: reason}
		switch l.To {
		case tenancy.StatusTrial:
			c.TrialEndsAt = end
		case tenancy.StatusActive:
			c.PaidUntil = end
		case tenancy.StatusPastDue:
			c.GraceEndsAt = end
		}
		return c
	case "suspend":
		return tenancy.Suspend{Account: account.ID, Actor: who, Reason: reason}
	case "resume":
		return tenancy.Resume{Account: account.ID, Actor: who, Reason: reason}
	case "close":
		return tenancy.Close{Account: account.ID, Actor: who, Reason: reason}
	case "restore":
		return tenancy.Restore{Account: account.ID, Actor: who, Reason: reason}
	default:
		return tenancy.MarkErased{Account: account.ID, Actor: who, Reason: reason}
	}
}

// model is an account as a plain person would tell it: what it is by itself, and
// what lies over that. The library keeps one status and what it came from instead.
type model struct {
	base                       tenancy.Status
	suspended, closed, erased  bool
	plan                       string
	trialEnd, graceEnd, paidTo time.Time
	purge                      time.Time
}

// do makes of m what the manual says, or returns why it is refused.
func (m *model) do(l lived, now time.Time) error {
	desk := l.Who.Kind == tenancy.ActorOperator || l.Who.Kind == tenancy.ActorSystem
	verb := l.Verb
	if verb == "change" {
		if l.Plan != "" && l.Plan != m.plan && m.erased {
			return tenancy.ErrTransition
		}
		switch l.To {
		case "suspended":
			verb = "suspend"
		case "closed":
			if !m.closed || m.erased {
				verb = "close"
			} else {
				verb = "nothing"
			}
		case "erased":
			if !m.erased {
				return tenancy.ErrTransition
			}
		}
	}
	switch verb {
	case "change":
		if l.To != "" && l.To != "erased" {
			if err := m.become(l, now); err != nil {
				return err
			}
		}
	case "suspend":
		if m.closed || m.erased {
			return tenancy.ErrTransition
		}
		m.suspended = true
	case "resume":
		if !m.closed && !m.erased {
			m.suspended = false
		}
	case "close":
		switch {
		case !desk && l.Who != owner:
			return tenancy.ErrForbidden
		case m.erased:
			return tenancy.ErrTransition
		case !m.closed:
			m.closed, m.purge = true, now.Add(retention)
		}
	case "restore":
		switch {
		case !desk:
			return tenancy.ErrForbidden
		case m.erased, m.closed && !now.Before(m.purge):
			return tenancy.ErrTransition
		case m.closed:
			m.closed, m.purge = false, time.Time{}
		}
	case "erase":
		switch {
		case !desk:
			return tenancy.ErrForbidden
		case m.erased:
		case !m.closed, l.Who == system && now.Before(m.purge):
			return tenancy.ErrTransition
		default:
			m.erased = true
		}
	}
	if l.Plan != "" {
		m.plan = l.Plan
	}
	return nil
}

func (m *model) become(l lived, now time.Time) error {
	if m.closed || m.erased {
		return tenancy.ErrTransition
	}
	legal := l.To == m.base
	for i, from := range statuses {
		for j, to := range statuses {
			legal = legal || from == m.base && to == l.To && moves[i][j] != '.'
		}
	}
	if !legal {
		return tenancy.ErrTransition
	}
	var end time.Time
	if l.End > 0 {
		end = now.Add(l.End)
	}
	if l.To == "trial" && m.base != "trial" && end.IsZero() && m.trialEnd.IsZero() {
		return tenancy.ErrInvalid
	}
	m.base, m.graceEnd, m.paidTo = l.To, time.Time{}, time.Time{}
	switch l.To {
	case "trial":
		if !end.IsZero() {
			m.trialEnd = end
		}
	case "active":
		m.paidTo = end
	case "past_due":
		m.graceEnd = end
	}
	return nil
}

func (m *model) status() tenancy.Status {
	switch {
	case m.erased:
		return "erased"
	case m.closed:
		return "closed"
	case m.suspended:
		return "suspended"
	}
	return m.base
}

// may is the table of what an account may do, once more: its letters as in the test
// of Check, and the refusal of the rest.
func (m *model) may(at time.Time) (letters string, otherwise error) {
	ended := func(end time.Time) bool { return !end.IsZero() && !at.Before(end) }
	switch s := m.status(); {
	case s == "closed", s == "erased":
		return nothing, tenancy.ErrNoAccount
	case s == "suspended":
		return toLeave, tenancy.ErrSuspended
	case s == "cancelled":
		return toLeave, tenancy.ErrCancelled
	case s == "pending_payment":
		return toPay, tenancy.ErrPaymentPending
	case s == "trial" && ended(m.trialEnd):
		return toPay, tenancy.ErrTrialOver
	case s == "active" && ended(m.paidTo), s == "past_due" && (m.graceEnd.IsZero() || ended(m.graceEnd)):
		return toPay, tenancy.ErrPastDue
	case s == "trial", s == "active", s == "past_due":
		return everything, nil
	default:
		return nothing, tenancy.ErrUnknownStatus
	}
}

// access compares what check answers at an instant, for each capability, with the
// table.
func (m *model) access(at time.Time, check func(c tenancy.Capability) error) error {
	letters, otherwise := m.may(at)
	for i, letter := range letters {
		var want error
		if letter == '-' {
			want = otherwise
		}
		c := tenancy.Capability(1 << i)
		if got := check(c); !errors.Is(got, want) || (got == nil) != (want == nil) {
			return fmt.Errorf("%s at %s: %v, want %v", c, at, got, want)
		}
	}
	return nil
}

// afterlife remembers that an account was closed, and when it could last be restored.
// It knows nothing else of the model.
type afterlife struct {
	dead, erased bool
	until        time.Time
}

// check fails where one that is dead may spend, and where an erased one is another
// thing. after is what l made at now.
func (a *afterlife) check(l lived, before, after tenancy.Account, now time.Time, spends bool) error {
	switch {
	case a.erased && after.Status != tenancy.StatusErased:
		return fmt.Errorf("%s made an erased account %s", l.Verb, after.Status)
	case after.Status == tenancy.StatusErased:
		a.dead, a.erased = true, true
	case after.Status == tenancy.StatusClosed && !a.dead:
		a.dead, a.until = true, now.Add(retention)
	case l.Verb == "restore" && before.Status == tenancy.StatusClosed && now.Before(a.until):
		a.dead = false
	}
	if a.dead && spends {
		return fmt.Errorf("after %s a closed account spends", l.Verb)
	}
	from, to := before.Status, after.Status
	legal := from == to || tenancy.CanMove(from, to) || from == "suspended" && l.Verb == "resume" ||
		from == "closed" && (l.Verb == "restore" && to != "erased" || l.Verb == "erase" && to == "erased")
	if !legal {
		return fmt.Errorf("%s took it from %s to %s", l.Verb, from, to)
	}
	return nil
}

// compare says where an account is not what the model says.
func (m *model) compare(acc tenancy.Account) string {
	type told struct {
		Status                      tenancy.Status
		Plan                        string
		Trial, Grace, Paid, PurgeAt time.Time
	}
	return cmp.Diff(
		told{m.status(), m.plan, m.trialEnd, m.graceEnd, m.paidTo, m.purge},
		told{acc.Status, acc.Plan, acc.TrialEndsAt, acc.GraceEndsAt, acc.PaidUntil, acc.PurgeAt},
	)
}

func TestM13_Life_IsTheModelsAtEveryInstant(t *testing.T) {
	plan := tenancy.Plan{Slug: "starter", Active: true}
	start := rapid.SampledFrom([]tenancy.Status{"trial", "active", "past_due", "pending_payment", "cancelled"})
	seen := map[tenancy.Status]int{}
	for range 20 {
		rapid.Check(t, func(t *rapid.T) {
			now, base := t0, start.Draw(t, "start")
			acc := tenancy.Account{ID: "acc_1", Name: "Ada", Owner: "usr_ada", Zone: "Europe/Vienna", Plan: "starter", State: tenancy.State{Status: base}}
			m, after := &model{base: base, plan: "starter"}, &afterlife{}
			for _, l := range lives.Draw(t, "life") {
				now = now.Add(l.Wait)
				check := func(c tenancy.Capability) error { return tenancy.Check(acc.State, plan, now, c) }
				if err := m.access(now, check); err != nil { // before, when only time has passed
					t.Fatal(err)
				}
				before := *m
				want := m.do(l, now)
				got, err := tenancy.Next(acc, l.step(acc, now, "why"), now, retention)
				if !errors.Is(err, want) || (err == nil) != (want == nil) {
					t.Fatalf("%+v of %+v: %v, want %v", l, acc, err, want)
				}
				if err != nil {
					if got != (tenancy.Account{}) || *m != before {
						t.Fatalf("%+v is refused and makes %+v", l, got)
					}
					continue
				}
				old := acc
				acc = got
				seen[acc.Status]++
				if (*m == before) != (acc == old) {
					t.Fatalf("%+v of %+v makes %+v", l, old, acc)
				}
				if d := m.compare(acc); d != "" {
					t.Fatalf("%+v (-want +got):\n%s", l, d)
				}
				if err := errors.Join(after.check(l, old, acc, now, check(tenancy.Spend) == nil), m.access(now, check)); err != nil {
					t.Fatal(err)
				}
				gone := acc.Status == tenancy.StatusErased
				if acc.Owner != old.Owner || acc.ID != old.ID || (acc.Name == "") != gone || (acc.Zone == "UTC") != gone {
					t.Fatalf("%+v of %+v makes %+v", l, old, acc)
				}
			}
		})
	}
	for _, s := range statuses {
		if seen[s] < 100 {
			t.Errorf("only %d of the steps led to %s", seen[s], s)
		}
	}
}

// The same on the databases, with the verbs, the way in and the audit log.
func TestM13_Life_IsTheModelsOnTheDatabases(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{Retention: retention})
		for seed := range 6 {
			acc := tenancytest.Register(t, db, accounts, fmt.Sprintf("user%d@example.com", seed)).Account
			m, after := &model{base: "trial", plan: "free-trial", trialEnd: acc.TrialEndsAt}, &afterlife{}
			enter := func(c tenancy.Capability) error {
				_, err := accounts.Enter(t.Context(), db, acc.ID, person, c)
				return err
			}
			lines := len(audits(t, db, acc.ID))
			for i, l := range lives.Example(seed) {
				clock.Advance(l.Wait)
				now, why := clock.Now(), fmt.Sprintf("%s %d", acc.ID, i)
				before := *m
				want := m.do(l, now)
				step := l.step(acc, now, why)
				got, err := take(t, db, accounts, step)
				wantErr(t, fmt.Sprintf("%+v of %+v", l, acc), err, want)
				stored, err := accounts.Get(t.Context(), db, acc.ID)
				if err != nil {
					t.Fatal(err)
				}
				if want == nil && got != stored || want != nil && got != (tenancy.Account{}) {
					t.Errorf("%+v returns %+v and stores %+v", l, got, stored)
				}
				if d := m.compare(stored); d != "" {
					t.Errorf("%+v of %+v (-want +got):\n%s", l, acc, d)
				}
				if err := errors.Join(after.check(l, acc, stored, now, enter(tenancy.Spend) == nil), m.access(now, enter)); err != nil {
					t.Error(err)
				}
				wrote := audits(t, db, acc.ID)
				wrote, lines = wrote[:len(wrote)-lines], len(wrote)
				changed := *m != before
				if changed != (len(wrote) == 1) || len(wrote) > 1 || changed != stored.UpdatedAt.Equal(now) && l.Wait > 0 {
					t.Errorf("%+v of %+v wrote %d lines", l, acc, len(wrote))
				}
				if len(wrote) == 1 && (wrote[0].Reason != why || wrote[0].Kind != l.Who.Kind || l.Who != owner && wrote[0].Actor != l.Who || !wrote[0].At.Equal(now)) {
					t.Errorf("%+v wrote %+v", l, wrote[0])
				}
				acc = stored
				if t.Failed() {
					return
				}
			}
		}
	})
}

// take calls the verb that a step belongs to.
func take(t *testing.T, db bun.IDB, accounts *tenancy.Accounts, step tenancy.Step) (tenancy.Account, error) {
	t.Helper()
	switch s := step.(type) {
	case tenancy.Change:
		return accounts.Change(t.Context(), db, s)
	case tenancy.Suspend:
		return accounts.Suspend(t.Context(), db, s)
	case tenancy.Resume:
		return accounts.Resume(t.Context(), db, s)
	case tenancy.Close:
		return accounts.Close(t.Context(), db, s)
	case tenancy.Restore:
		return accounts.Restore(t.Context(), db, s)
	case tenancy.MarkErased:
		return accounts.MarkErased(t.Context(), db, s)
	}
	t.Fatalf("%T", step)
	return tenancy.Account{}, nil
}
