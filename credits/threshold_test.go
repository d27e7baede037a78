package credits_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func setThreshold(t testing.TB, l *credits.Ledger, db bun.IDB, s credits.SetThreshold) credits.Threshold {
	t.Helper()
	s.Account = acc
	th, err := l.SetThreshold(t.Context(), db, s)
	if err != nil {
		t.Fatalf("set %+v: %v", s, err)
	}
	return th
}

// heard are the crossings of thresholds that an account's outbox holds, as "name: spendable"
// with a minus before that when it was a fall, and when they were, as time since start.
func heard(t testing.TB, db bun.IDB, account tenancy.AccountID) (out []string) {
	t.Helper()
	for _, e := range tenancytest.Events(t, db, account) {
		say := func(name string, n int64) {
			out = append(out, fmt.Sprintf("%s: %d %s", name, n, e.At.Sub(start)))
		}
		if low, err := tenancy.Decode[credits.Low](e); err == nil && e.Kind == low.EventKind() {
			say("-"+low.Threshold, low.Spendable)
		}
		if up, err := tenancy.Decode[credits.Recovered](e); err == nil && e.Kind == up.EventKind() {
			say(up.Threshold, up.Spendable)
		}
	}
	return out
}

func requireHeard(t testing.TB, db bun.IDB, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, heard(t, db, acc)); d != "" {
		t.Fatal(d)
	}
}

func TestThreshold_IsHeardOfOnceUntilItIsReset(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 100)
		setThreshold(t, l, db, credits.SetThreshold{Low: 20, Reset: 50})
		spend := func(n int64) { deduct(t, l, db, credits.Deduct{Account: acc, Amount: n}) }
		spend(79) // 21
		requireHeard(t, db)
		spend(1) // 20
		requireHeard(t, db, "-low: 20 0s")
		spend(5) // 15
		grant(t, l, db, credits.Grant{Account: acc, Amount: 34, Key: "49"})
		spend(40) // 9
		requireHeard(t, db, "-low: 20 0s")
		grant(t, l, db, credits.Grant{Account: acc, Amount: 41, Key: "50"})
		requireHeard(t, db, "-low: 20 0s", "low: 50 0s")
		spend(50) // 0
		requireHeard(t, db, "-low: 20 0s", "low: 50 0s", "-low: 0 0s")
		fact := tenancytest.RequireEvent[credits.Low](t, db, acc)
		if d := cmp.Diff(credits.Low{Threshold: "low", Low: 20, Spendable: 0}, fact); d != "" {
			t.Error(d)
		}
		up := tenancytest.RequireEvent[credits.Recovered](t, db, acc)
		if d := cmp.Diff(credits.Recovered{Threshold: "low", Reset: 50, Spendable: 50}, up); d != "" {
			t.Error(d)
		}
		list, err := l.Thresholds(t.Context(), db, acc)
		if d := cmp.Diff([]credits.Threshold{{Name: "low", Low: 20, Reset: 50, ReachedAt: start}}, list); d != "" || err != nil {
			t.Error(d, err)
		}
	})
}

func TestThreshold_OfAnAccountThatIsLowIsHeardOfAtOnce(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		for range 2 { // setting it again says nothing more
			th := setThreshold(t, l, db, credits.SetThreshold{Name: "empty"})
			if d := cmp.Diff(credits.Threshold{Name: "empty", Reset: 1, ReachedAt: start}, th); d != "" {
				t.Error(d)
			}
		}
		requireHeard(t, db, "-empty: 0 0s")
		fund(t, l, db, 10)
		requireHeard(t, db, "-empty: 0 0s", "empty: 10 0s")
		setThreshold(t, l, db, credits.SetThreshold{Name: "empty", Low: 10})
		requireHeard(t, db, "-empty: 0 0s", "empty: 10 0s", "-empty: 10 0s")
		setThreshold(t, l, db, credits.SetThreshold{Name: "empty", Low: 9})
		requireHeard(t, db, "-empty: 0 0s", "empty: 10 0s", "-empty: 10 0s", "empty: 10 0s")
	})
}

func TestThreshold_SeveralAreHeardOfFromTheHighestDown(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 100)
		setThreshold(t, l, db, credits.SetThreshold{Name: "a", Low: 10})
		setThreshold(t, l, db, credits.SetThreshold{Name: "c", Low: 50})
		setThreshold(t, l, db, credits.SetThreshold{Name: "b", Low: 50})
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 95})
		requireHeard(t, db, "-b: 5 0s", "-c: 5 0s", "-a: 5 0s")
		if err := l.RemoveThreshold(t.Context(), db, credits.RemoveThreshold{Account: acc, Name: "b"}); err != nil {
			t.Fatal(err)
		}
		for _, account := range []tenancy.AccountID{acc, other} {
			requireError(t, l.RemoveThreshold(t.Context(), db, credits.RemoveThreshold{Account: account, Name: "b"}), credits.ErrNoThreshold)
		}
		grant(t, l, db, credits.Grant{Account: acc, Amount: 20, Key: "up"})
		requireHeard(t, db, "-b: 5 0s", "-c: 5 0s", "-a: 5 0s", "a: 25 0s")
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestThreshold_HoldsCountAndSettlementsByWhereTheyEnd(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 100)
		setThreshold(t, l, db, credits.SetThreshold{Low: 40})
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 70})
		requireHeard(t, db, "-low: 30 0s")
		clock.Advance(time.Minute)
		settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 50}) // 50 left, and in between 30
		requireHeard(t, db, "-low: 30 0s", "low: 50 1m0s")
		h = hold(t, l, db, credits.Hold{Account: acc, Amount: 20})
		requireHeard(t, db, "-low: 30 0s", "low: 50 1m0s", "-low: 30 1m0s")
		if _, err := l.Release(t.Context(), db, credits.Release{Account: acc, Hold: h.ID}); err != nil {
			t.Fatal(err)
		}
		h = hold(t, l, db, credits.Hold{Account: acc, Amount: 10, For: time.Minute}) // and nobody ends it
		clock.Advance(time.Hour)
		e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 10})
		refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Key: "r"})
		requireHeard(t, db, "-low: 30 0s", "low: 50 1m0s", "-low: 30 1m0s", "low: 50 1m0s", "-low: 40 1m0s", "low: 50 2m0s",
			"-low: 40 1h1m0s", "low: 50 1h1m0s")
		creditstest.RequireSound(t, l, db, acc)
	})
}

// What happens by itself is heard of with its own moment, whether a sweep came by at each or
// one request at the end.
func TestThreshold_WhatHappensByItselfIsHeardOfAsOfThen(t *testing.T) {
	want := []string{"-low: 0 0s", "low: 60 1h0m0s", "-low: 20 2h0m0s", "low: 50 3h0m0s", "-low: 0 5h0m0s"}
	for name, sweeps := range map[string][]time.Duration{
		"at the end": {6 * time.Hour}, "each hour": {1, 2, 3, 4, 5, 6}, "in between": {90 * time.Minute, 150 * time.Minute, 6 * time.Hour},
		"seldom": {2*time.Hour + 1, 6 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
				g := func(key string, n int64, from, until time.Duration) {
					grant(t, l, db, credits.Grant{Account: acc, Amount: n, Key: key, EffectiveAt: start.Add(from), ExpiresAt: start.Add(until)})
				}
				g("a", 40, time.Hour, 2*time.Hour)
				setThreshold(t, l, db, credits.SetThreshold{Low: 30, Reset: 50})
				g("b", 20, time.Hour, 4*time.Hour)
				g("c", 30, 3*time.Hour, 5*time.Hour)
				g("d", 20, 4*time.Hour, 5*time.Hour) // takes the place of b at the instant
				for _, at := range sweeps {
					if at < time.Minute {
						at *= time.Hour
					}
					clock.Set(start.Add(at))
					if _, err := l.Sweep(t.Context(), db); err != nil {
						t.Fatal(err)
					}
				}
				requireHeard(t, db, want...)
				creditstest.RequireBalance(t, l, db, acc, 0)
				creditstest.RequireSound(t, l, db, acc)
			})
		})
	}
}

// What happens by itself at the moment of a request has happened before it.
func TestThreshold_WhatHappensByItselfComesBeforeTheRequest(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		setThreshold(t, l, db, credits.SetThreshold{Low: 5})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "g", EffectiveAt: start.Add(time.Hour)})
		clock.Advance(time.Hour)
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 8})
		requireHeard(t, db, "-low: 0 0s", "low: 10 1h0m0s", "-low: 2 1h0m0s")
	})
}

// Requests that share a commit are heard of one by one.
func TestThreshold_ManyAtOnceCrossItOnce(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 100)
		setThreshold(t, l, db, credits.SetThreshold{Low: 50})
		grant(t, l, db, credits.Grant{Account: other, Amount: 100, Key: "fund"})
		if _, err := l.SetThreshold(t.Context(), db, credits.SetThreshold{Account: other, Low: 60}); err != nil {
			t.Fatal(err)
		}
		for _, err := range dbtest.Together(160, func(i int) error {
			_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: []tenancy.AccountID{acc, other}[i%2], Amount: 1})
			return err
		}) {
			if err != nil {
				t.Error(err)
			}
		}
		requireHeard(t, db, "-low: 50 0s")
		if d := cmp.Diff([]string{"-low: 60 0s"}, heard(t, db, other)); d != "" {
			t.Error(d)
		}
	})
}

// A program that knows of no thresholds may have left an account low: the next request
// hears of it, but for the threshold that it removes.
func TestThreshold_RemovedIsHeardOfNoMore(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		setThreshold(t, l, db, credits.SetThreshold{Name: "a", Low: 5})
		setThreshold(t, l, db, credits.SetThreshold{Name: "b", Low: 5})
		requireHeard(t, db, "-a: 0 0s", "-b: 0 0s")
		exec(t, db, "UPDATE credits_thresholds SET reached_at = NULL")
		if err := l.RemoveThreshold(t.Context(), db, credits.RemoveThreshold{Account: acc, Name: "a"}); err != nil {
			t.Fatal(err)
		}
		requireHeard(t, db, "-a: 0 0s", "-b: 0 0s", "-b: 0 0s")
		list, err := l.Thresholds(t.Context(), db, acc)
		if d := cmp.Diff([]credits.Threshold{{Name: "b", Low: 5, Reset: 6, ReachedAt: start}}, list); d != "" || err != nil {
			t.Error(d, err)
		}
	})
}

func TestThreshold_OfOneAccountAndUnitIsNoOthers(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		seconds := credits.New(credits.Config{Unit: "gpu_second", Now: func() time.Time { return start }})
		places := []struct {
			l       *credits.Ledger
			account tenancy.AccountID
			low     int64
		}{{l, acc, 1}, {l, other, 2}, {seconds, acc, 3}}
		for _, p := range places {
			if _, err := p.l.SetThreshold(t.Context(), db, credits.SetThreshold{Account: p.account, Low: p.low}); err != nil {
				t.Fatal(err)
			}
		}
		for i, p := range places {
			list, err := p.l.Thresholds(t.Context(), db, p.account)
			if err != nil || len(list) != 1 || list[0].Low != p.low {
				t.Errorf("%d: %+v, %v", i, list, err)
			}
			if err := p.l.RemoveThreshold(t.Context(), db, credits.RemoveThreshold{Account: p.account}); err != nil {
				t.Fatal(err)
			}
			if n := rows(t, db)["credits_thresholds"]; n != len(places)-1-i {
				t.Errorf("%d: %d thresholds are left", i, n)
			}
		}
	})
}

// That a grant takes effect is due only where somebody is to hear of it.
func TestThreshold_MakesDueWhatTakesEffect(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, _ *tenancytest.Clock) {
		later := start.Add(time.Hour)
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "g", EffectiveAt: later})
		requireDue(t, l, db, time.Time{})
		setThreshold(t, l, db, credits.SetThreshold{Low: 5})
		requireDue(t, l, db, later)
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "sooner", EffectiveAt: later.Add(-time.Minute)})
		requireDue(t, l, db, later.Add(-time.Minute))
	})
}

func TestThreshold_IsPartOfTheHostsTransaction(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 100)
		setThreshold(t, l, db, credits.SetThreshold{Low: 50})
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		deduct(t, l, tx, credits.Deduct{Account: acc, Amount: 60})
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		requireHeard(t, db)
		joined(t, db, func(tx bun.Tx) { deduct(t, l, tx, credits.Deduct{Account: acc, Amount: 70}) })
		requireHeard(t, db, "-low: 30 0s")
	})
}

func TestThreshold_InvalidOnesAreRefusedBeforeAnythingIsWritten(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		before := rows(t, db)
		for name, s := range map[string]credits.SetThreshold{
			"below zero":     {Account: acc, Low: -1},
			"reset at low":   {Account: acc, Low: 5, Reset: 5},
			"reset below":    {Account: acc, Low: 5, Reset: 4},
			"no room":        {Account: acc, Low: math.MaxInt64},
			"a long name":    {Account: acc, Name: strings.Repeat("x", 101)},
			"no name at all": {Account: acc, Name: "a\x00"},
			"no account":     {Account: "a b"},
			"half an actor":  {Account: acc, Actor: tenancy.Actor{ID: "op_1"}},
		} {
			if _, err := l.SetThreshold(t.Context(), db, s); !isInvalid(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, r := range []credits.RemoveThreshold{{Account: "a b"}, {Account: acc, Actor: tenancy.Actor{ID: "op_1"}}} {
			if err := l.RemoveThreshold(t.Context(), db, r); !isInvalid(err) {
				t.Errorf("%+v: %v", r, err)
			}
		}
		if _, err := l.Thresholds(t.Context(), db, "a b"); !isInvalid(err) {
			t.Error(err)
		}
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Error(d)
		}
		for i := range 20 {
			setThreshold(t, l, db, credits.SetThreshold{Name: fmt.Sprint(i), Low: int64(i)})
		}
		_, err := l.SetThreshold(t.Context(), db, credits.SetThreshold{Account: acc, Name: "one more"})
		if !errors.Is(err, credits.ErrInvalid) {
			t.Error(err)
		}
		setThreshold(t, l, db, credits.SetThreshold{Name: "7", Low: 70})
		list, err := l.Thresholds(t.Context(), db, acc)
		if err != nil || len(list) != 20 || list[0].Name != "7" || !slices.IsSortedFunc(list, func(a, b credits.Threshold) int { return int(b.Low - a.Low) }) {
			t.Errorf("%+v %v", list, err)
		}
	})
}

func TestThreshold_SaysInTheAuditLogWhoSetIt(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		who := tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}
		setThreshold(t, l, db, credits.SetThreshold{Low: 5, Reset: 9, Actor: who})
		if err := l.RemoveThreshold(t.Context(), db, credits.RemoveThreshold{Account: acc, Actor: who}); err != nil {
			t.Fatal(err)
		}
		for action, data := range map[string]string{"credits.set_threshold": `{"low":5,"reset":9}`, "credits.remove_threshold": `{}`} {
			line := tenancytest.RequireAudit(t, db, acc, action)
			if line.Actor != who || line.Target != "low" || string(line.Data) != data || !line.At.Equal(start) {
				t.Errorf("%s: %+v, %s", action, line, line.Data)
			}
		}
		setThreshold(t, l, db, credits.SetThreshold{Name: "b"})
		before := rows(t, db)
		setThreshold(t, l, db, credits.SetThreshold{Name: "b", Actor: who})
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Errorf("set again as it is: %s", d)
		}
		lines, err := tenancy.New(tenancy.Config{}).Audits(t.Context(), db, tenancy.AuditLog{Account: acc})
		if err != nil || len(lines) != 3 || lines[0].Actor != (tenancy.Actor{Kind: tenancy.ActorSystem, ID: "credits"}) {
			t.Errorf("%+v, %v", lines, err)
		}
	})
}
