package billing_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

const grace = 72 * time.Hour

func (w *world) enter(t *testing.T, id tenancy.AccountID) error {
	t.Helper()
	_, err := w.accounts.Enter(t.Context(), w.db, id, tenancy.Actor{Kind: tenancy.ActorKey, ID: "key_1"}, tenancy.Use)
	return err
}

func TestM5_Lapse_LeavesTheAccountOpenForItsGrace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w = w.with(t, billing.Config{Grace: grace})
		id := w.account(t)
		tr := w.pay(t, id, "starter")
		w.clock.Set(end1.Add(-time.Microsecond))
		unchanged(t, w.db, "lapsing before the end", func() { w.lapse(t, 0) })
		w.clock.Set(end1)
		w.lapse(t, 1)
		if s := w.subscription(t, id); s.Status != billing.SubscriptionPastDue || !s.EndedAt.IsZero() {
			t.Errorf("subscription %+v", s)
		}
		account := w.get(t, id)
		if account.Status != tenancy.StatusPastDue || account.GraceEndsAt != end1.Add(grace) || account.Plan != "starter" {
			t.Errorf("account %+v", account)
		}
		wantErr(t, "at once", w.enter(t, id), nil)
		w.clock.Set(end1.Add(grace - time.Microsecond))
		wantErr(t, "within the grace", w.enter(t, id), nil)
		w.clock.Set(end1.Add(grace))
		wantErr(t, "after it", w.enter(t, id), tenancy.ErrPastDue)

		same(t, "event", billing.SubscriptionChanged{Subscription: tr.Subscription, From: billing.SubscriptionActive, To: billing.SubscriptionPastDue},
			tenancytest.RequireEvent[billing.SubscriptionChanged](t, w.db, id))
		if a := tenancytest.RequireAudit(t, w.db, id, "billing.lapse"); a.Kind != tenancy.ActorSystem || a.Target != tr.Subscription || !a.At.Equal(end1) {
			t.Errorf("audit %+v", a)
		}
	})
}

func TestM5_Lapse_WithoutGraceClosesAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		w.pay(t, id, "starter")
		w.clock.Set(end1)
		w.lapse(t, 1)
		wantErr(t, "at the end", w.enter(t, id), tenancy.ErrPastDue)
	})
}

func TestM5_Lapse_AccessEndsByTheClockAndWaitsForNoJob(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w = w.with(t, billing.Config{Grace: grace})
		id := w.account(t)
		w.pay(t, id, "starter")
		w.clock.Set(end1.Add(grace - time.Microsecond))
		wantErr(t, "within the grace", w.enter(t, id), nil)
		w.clock.Set(end1.Add(grace))
		wantErr(t, "after it", w.enter(t, id), tenancy.ErrPastDue)
		w.pay(t, id, "starter")
		wantErr(t, "paid again", w.enter(t, id), nil)
	})
}

func TestM5_Cancel_AtPeriodEndLeavesNoGraceAndWaitsForNoJob(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w = w.with(t, billing.Config{Grace: grace})
		id := w.account(t)
		w.pay(t, id, "starter")
		_, err := w.billing.Cancel(t.Context(), w.db, billing.Cancel{Account: id, AtPeriodEnd: true, Actor: tenancy.Actor{Kind: tenancy.ActorUser, ID: "usr_1"}})
		wantErr(t, "cancelling", err, nil)
		w.clock.Set(end1.Add(-time.Microsecond))
		wantErr(t, "before the end", w.enter(t, id), nil)
		w.clock.Set(end1)
		wantErr(t, "at the end", w.enter(t, id), tenancy.ErrPastDue)
		w.lapse(t, 1)
		wantErr(t, "after the job", w.enter(t, id), tenancy.ErrCancelled)
	})
}

// An end that was asked for has no grace, and it makes no difference whether the job
// has been there: who comes back after it pays from then on.
func TestM5_Cancel_PayingAfterTheEndStartsAnew(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w = w.with(t, billing.Config{Grace: grace})
		actor := tenancy.Actor{Kind: tenancy.ActorUser, ID: "usr_1"}
		for _, job := range []bool{true, false} {
			w.clock.Set(t0)
			id := w.account(t)
			first := w.pay(t, id, "starter")
			_, err := w.billing.Cancel(t.Context(), w.db, billing.Cancel{Account: id, AtPeriodEnd: true, Actor: actor})
			wantErr(t, "cancelling", err, nil)
			back := first.PeriodEnd.Add(24 * time.Hour)
			w.clock.Set(back)
			if job {
				w.lapse(t, 1)
			}
			if again := w.pay(t, id, "starter"); again.PeriodStart != back {
				t.Errorf("job %t: the period starts at %v, want %v", job, again.PeriodStart, back)
			}
			w.clock.Set(back.AddDate(0, 0, 1))
			wantErr(t, "paid again", w.enter(t, id), nil)
		}
	})
}

// Cancelling at the end of the period moves an end and brings nobody back.
func TestM5_Cancel_AtPeriodEndRevivesNobody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		actor := tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op"}
		for _, status := range []tenancy.Status{tenancy.StatusCancelled, tenancy.StatusPendingPayment} {
			id := w.account(t)
			w.pay(t, id, "starter")
			w.change(t, tenancy.Change{Account: id, Status: status, Actor: actor})
			_, err := w.accounts.Suspend(t.Context(), w.db, tenancy.Suspend{Account: id, Actor: actor})
			wantErr(t, "suspending", err, nil)
			_, err = w.billing.Cancel(t.Context(), w.db, billing.Cancel{Account: id, AtPeriodEnd: true, Actor: actor})
			wantErr(t, "cancelling", err, nil)
			_, err = w.accounts.Resume(t.Context(), w.db, tenancy.Resume{Account: id, Actor: actor})
			wantErr(t, "resuming", err, nil)
			w.status(t, id, status)
		}
	})
}

func TestM5_Cancel_APaymentTakesItBackAndSaysSo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		first := w.pay(t, id, "starter")
		_, err := w.billing.Cancel(t.Context(), w.db, billing.Cancel{Account: id, AtPeriodEnd: true, Actor: customer})
		wantErr(t, "cancelling", err, nil)
		w.pay(t, id, "starter")
		if w.subscription(t, id).CancelAtPeriodEnd {
			t.Error("it still ends with its period")
		}
		same(t, "event", billing.SubscriptionChanged{Subscription: first.Subscription, From: billing.SubscriptionActive, To: billing.SubscriptionActive},
			tenancytest.RequireEvent[billing.SubscriptionChanged](t, w.db, id))
	})
}

func TestM5_Cancel_AtPeriodEndWhileSuspended(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w = w.with(t, billing.Config{Grace: grace})
		id := w.account(t)
		w.pay(t, id, "starter")
		actor := tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op"}
		_, err := w.accounts.Suspend(t.Context(), w.db, tenancy.Suspend{Account: id, Actor: actor})
		wantErr(t, "suspending", err, nil)
		_, err = w.billing.Cancel(t.Context(), w.db, billing.Cancel{Account: id, AtPeriodEnd: true, Actor: actor})
		wantErr(t, "cancelling", err, nil)
		w.status(t, id, tenancy.StatusSuspended)
		_, err = w.accounts.Resume(t.Context(), w.db, tenancy.Resume{Account: id, Actor: actor})
		wantErr(t, "resuming", err, nil)
		w.clock.Set(end1.Add(-time.Microsecond))
		wantErr(t, "before the end", w.enter(t, id), nil)
		w.clock.Set(end1)
		wantErr(t, "at the end", w.enter(t, id), tenancy.ErrPastDue)
	})
}

// What an account is allowed depends on the clock and not on when, how often or
// where LapseDue ran.
func TestM5_Lapse_LateTwiceOrAtOnceIsTheSame(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w = w.with(t, billing.Config{Grace: grace})
		var ids []tenancy.AccountID
		for range 5 {
			ids = append(ids, w.account(t))
			w.pay(t, ids[len(ids)-1], "starter")
		}
		w.clock.Set(end1.Add(grace).Add(time.Hour)) // very late
		counts := make([]int, 8)
		for _, err := range dbtest.Together(len(counts), func(i int) (err error) {
			counts[i], err = w.billing.LapseDue(t.Context(), w.db)
			return err
		}) {
			wantErr(t, "lapsing", err, nil)
		}
		sum := 0
		for _, n := range counts {
			sum += n
		}
		if sum != len(ids) {
			t.Errorf("%d lapsed, %v", sum, counts)
		}
		for _, id := range ids {
			if a := w.get(t, id); a.Status != tenancy.StatusPastDue || a.GraceEndsAt != end1.Add(grace) {
				t.Errorf("account %+v", a)
			}
			wantErr(t, "late", w.enter(t, id), tenancy.ErrPastDue)
		}
		unchanged(t, w.db, "lapsing again", func() { w.lapse(t, 0) })
	})
}

func TestM5_Lapse_FindsMoreThanAPage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		w.pay(t, id, "starter")
		for _, table := range []string{"tenancy_accounts", "billing_subscriptions"} {
			clone(t, w, table, id, 130)
		}
		w.clock.Set(end1)
		w.lapse(t, 131)
		w.lapse(t, 0)
	})
}

// clone copies the account's row of a table n times under other accounts' names.
func clone(t *testing.T, w *world, table string, id tenancy.AccountID, n int) {
	t.Helper()
	var rows []map[string]any
	if err := w.db.NewRaw("SELECT * FROM "+table+" WHERE account_id = ?", id).Scan(t.Context(), &rows); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		row := rows[0]
		row["account_id"] = string(id) + strings.Repeat("z", i/20+1) + string(rune('a'+i%20))
		if _, err := w.db.NewInsert().Model(&row).TableExpr(table).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestM5_Lapse_OneBrokenAccountHoldsUpNobody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var ids []tenancy.AccountID
		for range 3 {
			ids = append(ids, w.account(t))
			w.pay(t, ids[len(ids)-1], "starter")
		}
		if _, err := w.db.NewRaw("UPDATE billing_subscriptions SET account_id = 'acc_0' WHERE account_id = ?", ids[0]).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.clock.Set(end1)
		n, err := w.billing.LapseDue(t.Context(), w.db)
		if n != 2 || err == nil || !strings.Contains(err.Error(), "acc_0") {
			t.Errorf("lapsed %d, %v", n, err)
		}
		w.status(t, ids[1], tenancy.StatusPastDue)
		w.status(t, ids[2], tenancy.StatusPastDue)
	})
}

// An account that went further than its subscription stays where it is, and its
// subscription lapses all the same: it is no error that comes back every minute.
func TestM5_Lapse_AnAccountThatWentFurtherStaysThere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, status := range []tenancy.Status{tenancy.StatusClosed, tenancy.StatusCancelled, tenancy.StatusPendingPayment} {
			w.clock.Set(t0)
			id := w.account(t)
			w.pay(t, id, "starter")
			w.change(t, tenancy.Change{Account: id, Status: status})
			w.clock.Set(end1)
			w.lapse(t, 1)
			w.status(t, id, status)
			if s := w.subscription(t, id); s.Status != billing.SubscriptionPastDue {
				t.Errorf("subscription %+v", s)
			}
		}
	})
}

// That an operator moved the account to another plan, or that the plan is retired,
// keeps no account open.
func TestM5_Lapse_WhateverPlanTheAccountIsOn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		w.pay(t, id, "starter")
		w.change(t, tenancy.Change{Account: id, Plan: "growth"})
		retired := tenancytest.Plans()[1]
		retired.Active = false
		if _, err := w.accounts.Ensure(t.Context(), w.db, retired); err != nil {
			t.Fatal(err)
		}
		w.clock.Set(end1)
		w.lapse(t, 1)
		if a := w.get(t, id); a.Status != tenancy.StatusPastDue || a.Plan != "growth" {
			t.Errorf("account %s on %s", a.Status, a.Plan)
		}
	})
}

func TestM5_Lapse_ASuspendedAccountComesBackPastDue(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w = w.with(t, billing.Config{Grace: grace})
		id := w.account(t)
		w.pay(t, id, "starter")
		if _, err := w.accounts.Suspend(t.Context(), w.db, tenancy.Suspend{Account: id, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		w.clock.Set(end1)
		w.lapse(t, 1)
		w.status(t, id, tenancy.StatusSuspended)
		if _, err := w.accounts.Resume(t.Context(), w.db, tenancy.Resume{Account: id, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		if a := w.get(t, id); a.Status != tenancy.StatusPastDue || a.GraceEndsAt != end1.Add(grace) {
			t.Errorf("account %+v", a)
		}
	})
}

func TestM5_APaymentInGraceGoesOnFromThePeriodsEnd(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w = w.with(t, billing.Config{Grace: grace})
		for what, tc := range map[string]struct {
			at       time.Time
			from, to time.Time
		}{
			"in grace":     {end1.Add(grace - time.Microsecond), end1, end2},
			"after it":     {end1.Add(grace), end1.Add(grace), time.Date(2026, 4, 3, 9, 0, 0, 123456000, time.UTC)},
			"not long ago": {end1, end1, end2},
		} {
			w.clock.Set(t0)
			id := w.account(t)
			first := w.pay(t, id, "starter")
			w.clock.Set(tc.at)
			w.lapse(t, 1)
			tr := w.pay(t, id, "starter")
			if tr.PeriodStart != tc.from || tr.PeriodEnd != tc.to || tr.Subscription != first.Subscription {
				t.Errorf("%s: bought %v to %v", what, tr.PeriodStart, tr.PeriodEnd)
			}
			if a := w.get(t, id); a.Status != tenancy.StatusActive || !a.GraceEndsAt.IsZero() {
				t.Errorf("%s: account %+v", what, a)
			}
			same(t, what, billing.SubscriptionChanged{Subscription: tr.Subscription, From: billing.SubscriptionPastDue, To: billing.SubscriptionActive},
				tenancytest.RequireEvent[billing.SubscriptionChanged](t, w.db, id))
			w.lapse(t, 0)
		}
	})
}

// Confirm and lapse at the very end of a period: the account that paid is served.
func TestM5_LapseAgainstConfirm_ThePaymentWins(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w = w.with(t, billing.Config{Grace: grace})
		for range 15 {
			w.clock.Set(t0)
			id := w.account(t)
			w.pay(t, id, "starter")
			tr := w.request(t, id, "starter")
			w.clock.Set(end1)
			for _, err := range dbtest.Together(2, func(i int) (err error) {
				if i == 0 {
					_, err = w.billing.LapseDue(t.Context(), w.db)
				} else {
					_, err = w.billing.ConfirmTransfer(t.Context(), w.db, confirmation(tr.Reference))
				}
				return err
			}) {
				wantErr(t, "at the end", err, nil)
			}
			w.status(t, id, tenancy.StatusActive)
			if s := w.subscription(t, id); s.Status != billing.SubscriptionActive || s.PeriodEnd != end2 {
				t.Errorf("subscription %+v", s)
			}
		}
	})
}

func TestM5_Run_LapsesAndEndsWithItsContext(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		w.pay(t, id, "starter")
		w.clock.Set(end1)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.billing.Run(ctx, w.db) }()
		for w.get(t, id).Status != tenancy.StatusPastDue { // the test's deadline bounds this
		}
		cancel()
		if d := cmp.Diff(nil, <-ended); d != "" {
			t.Error(d)
		}
	})
}
