package billing_test

import (
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestM5_TheStatusOfASubscriptionDrivesTheAccounts(t *testing.T) {
	for status, want := range map[billing.SubscriptionStatus]tenancy.Status{
		billing.SubscriptionIncomplete: tenancy.StatusPendingPayment,
		billing.SubscriptionTrialing:   tenancy.StatusTrial,
		billing.SubscriptionActive:     tenancy.StatusActive,
		billing.SubscriptionPastDue:    tenancy.StatusPastDue,
		billing.SubscriptionSuspended:  tenancy.StatusSuspended,
		billing.SubscriptionCancelled:  tenancy.StatusCancelled,
	} {
		if got, ok := status.AccountStatus(); got != want || !ok {
			t.Errorf("%s makes %s, %t", status, got, ok)
		}
	}
	for _, status := range []billing.SubscriptionStatus{"", "paused", "ACTIVE", "active "} {
		if got, ok := status.AccountStatus(); got != "" || ok {
			t.Errorf("%q makes %s, %t", status, got, ok)
		}
	}
}

func TestM5_AnAccountWithoutASubscriptionStaysAsItIs(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		trial, active := w.account(t), w.account(t)
		w.change(t, tenancy.Change{Account: active, Status: tenancy.StatusActive})
		w.clock.Advance(1000 * 24 * time.Hour)
		unchanged(t, w.db, "lapsing", func() { w.lapse(t, 0) })
		w.status(t, trial, tenancy.StatusTrial)
		w.status(t, active, tenancy.StatusActive)
		for _, id := range []tenancy.AccountID{trial, "acc_none", "", "\x00"} {
			w.refused(t, "reading", billing.ErrNoSubscription, func(tx bun.IDB) error {
				_, err := w.billing.Subscription(t.Context(), tx, id)
				return err
			})
		}
		for id, want := range map[tenancy.AccountID]error{
			trial: billing.ErrNoSubscription, "acc_none": tenancy.ErrNoAccount, "": tenancy.ErrNoAccount, "\x00": tenancy.ErrNoAccount,
		} {
			w.refused(t, "cancelling", want, func(tx bun.IDB) error {
				_, err := w.billing.Cancel(t.Context(), tx, billing.Cancel{Account: id, Actor: customer})
				return err
			})
		}
	})
}

func TestM5_CancelNow_EndsTheAccountWithIt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		w.pay(t, id, "starter")
		w.clock.Advance(time.Hour)
		cancel := billing.Cancel{Account: id, Actor: customer, Reason: "too dear"}
		got, err := w.billing.Cancel(t.Context(), w.db, cancel)
		if err != nil || got.Status != billing.SubscriptionCancelled || got.EndedAt != t0.Add(time.Hour) || got.PeriodEnd != end1 {
			t.Fatalf("cancelled %+v, %v", got, err)
		}
		w.status(t, id, tenancy.StatusCancelled)
		_, err = w.billing.Subscription(t.Context(), w.db, id)
		wantErr(t, "the current subscription", err, billing.ErrNoSubscription)
		if a := tenancytest.RequireAudit(t, w.db, id, "billing.cancel"); a.Actor != customer || a.Reason != "too dear" || a.Target != got.ID {
			t.Errorf("audit %+v", a)
		}
		same(t, "event", billing.SubscriptionChanged{Subscription: got.ID, From: billing.SubscriptionActive, To: billing.SubscriptionCancelled},
			tenancytest.RequireEvent[billing.SubscriptionChanged](t, w.db, id))
		w.clock.Advance(time.Hour)
		for _, cancel.AtPeriodEnd = range []bool{false, true} {
			unchanged(t, w.db, "cancelling twice", func() {
				again, err := w.billing.Cancel(t.Context(), w.db, cancel)
				same(t, "cancelled twice", got, again)
				wantErr(t, "cancelling twice", err, nil)
			})
		}
		if tr := w.pay(t, id, "starter"); tr.Subscription == got.ID || tr.PeriodStart != t0.Add(2*time.Hour) {
			t.Errorf("paying after it went on with the old subscription: %+v", tr)
		}
		w.status(t, id, tenancy.StatusActive)
		next, err := w.billing.Cancel(t.Context(), w.db, billing.Cancel{Account: id, Actor: customer})
		if err != nil || next.ID == got.ID {
			t.Errorf("the second subscription: %+v, %v", next, err)
		}
		again, err := w.billing.Cancel(t.Context(), w.db, billing.Cancel{Account: id, Actor: customer})
		same(t, "the second one twice", next, again)
		wantErr(t, "the second one twice", err, nil)
	})
}

func TestM5_CancelAtPeriodEnd_IsOnlyAFlagUntilThen(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		w.pay(t, id, "starter")
		account := w.get(t, id)
		cancel := billing.Cancel{Account: id, AtPeriodEnd: true, Actor: customer}
		got, err := w.billing.Cancel(t.Context(), w.db, cancel)
		if err != nil || got.Status != billing.SubscriptionActive || !got.CancelAtPeriodEnd || !got.EndedAt.IsZero() {
			t.Fatalf("got %+v, %v", got, err)
		}
		same(t, "account", account, w.get(t, id))
		same(t, "event", billing.SubscriptionChanged{
			Subscription: got.ID, From: billing.SubscriptionActive, To: billing.SubscriptionActive, CancelAtPeriodEnd: true,
		}, tenancytest.RequireEvent[billing.SubscriptionChanged](t, w.db, id))
		unchanged(t, w.db, "cancelling twice", func() {
			again, err := w.billing.Cancel(t.Context(), w.db, cancel)
			same(t, "cancelled twice", got, again)
			wantErr(t, "cancelling twice", err, nil)
		})
		w.clock.Set(end1.Add(-time.Microsecond))
		w.lapse(t, 0)
		w.clock.Set(end1)
		w.lapse(t, 1)
		w.status(t, id, tenancy.StatusCancelled)
		ended, err := w.billing.Cancel(t.Context(), w.db, cancel)
		if err != nil || ended.ID != got.ID || ended.Status != billing.SubscriptionCancelled || ended.EndedAt != end1 {
			t.Errorf("asked after its end: %+v, %v", ended, err)
		}
	})
}

func TestM5_CancelAtPeriodEnd_APaymentTakesItBack(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		w.pay(t, id, "starter")
		if _, err := w.billing.Cancel(t.Context(), w.db, billing.Cancel{Account: id, AtPeriodEnd: true, Actor: customer}); err != nil {
			t.Fatal(err)
		}
		w.pay(t, id, "starter")
		if s := w.subscription(t, id); s.CancelAtPeriodEnd || s.PeriodEnd != end2 {
			t.Errorf("subscription %+v", s)
		}
	})
}

// What is paid is over: its end is now, whether LapseDue has been there or not.
func TestM5_CancelAtPeriodEnd_AfterThePeriodIsNow(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w = w.with(t, billing.Config{Grace: 72 * time.Hour})
		for _, lapsed := range []bool{false, true} {
			w.clock.Set(t0)
			id := w.account(t)
			w.pay(t, id, "starter")
			w.clock.Set(end1.Add(time.Hour))
			if lapsed {
				w.lapse(t, 1)
			}
			got, err := w.billing.Cancel(t.Context(), w.db, billing.Cancel{Account: id, AtPeriodEnd: true, Actor: customer})
			if err != nil || got.Status != billing.SubscriptionCancelled || got.EndedAt.IsZero() {
				t.Errorf("lapsed before: %t: got %+v, %v", lapsed, got, err)
			}
			w.status(t, id, tenancy.StatusCancelled)
		}
	})
}

func TestM5_Cancel_ASuspendedAccountStaysSuspended(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		w.pay(t, id, "starter")
		if _, err := w.accounts.Suspend(t.Context(), w.db, tenancy.Suspend{Account: id, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.billing.Cancel(t.Context(), w.db, billing.Cancel{Account: id, Actor: customer}); err != nil {
			t.Fatal(err)
		}
		w.status(t, id, tenancy.StatusSuspended)
		if _, err := w.accounts.Resume(t.Context(), w.db, tenancy.Resume{Account: id, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		w.status(t, id, tenancy.StatusCancelled)
	})
}

// An account that has gone further than its subscription (closed, or cancelled by
// hand) stays there, and its subscription can still be ended.
func TestM5_Cancel_AnAccountThatWentFurtherStaysThere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, status := range []tenancy.Status{tenancy.StatusClosed, tenancy.StatusCancelled} {
			id := w.account(t)
			w.pay(t, id, "starter")
			w.change(t, tenancy.Change{Account: id, Status: status})
			if got, err := w.billing.Cancel(t.Context(), w.db, billing.Cancel{Account: id, Actor: operator}); err != nil || got.Status != billing.SubscriptionCancelled {
				t.Errorf("%s: %+v, %v", status, got, err)
			}
			w.status(t, id, status)
		}
	})
}

func TestM5_Cancel_NeedsAnActorAndAPlainReason(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		w.pay(t, id, "starter")
		for what, c := range map[string]billing.Cancel{
			"nobody": {}, "nobody at period end": {AtPeriodEnd: true}, "a NUL": {Actor: customer, Reason: "\x00"},
			"an endless reason": {Actor: customer, Reason: strings.Repeat("x", 1001)},
		} {
			c.Account = id
			w.refused(t, what, billing.ErrInvalid, func(tx bun.IDB) error {
				_, err := w.billing.Cancel(t.Context(), tx, c)
				return err
			})
		}
	})
}
