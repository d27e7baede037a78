package billing_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// The end of the first and the second month that begin at t0, on 31 January.
var (
	end1 = time.Date(2026, 2, 28, 9, 0, 0, 123456000, time.UTC)
	end2 = time.Date(2026, 3, 31, 9, 0, 0, 123456000, time.UTC)
)

func TestM8_Confirm_GivesTimeAndCreditsOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		requested := w.request(t, id, "starter")
		w.clock.Advance(time.Hour)
		start := t0.Add(time.Hour)
		got := w.confirm(t, requested.Reference)

		want := requested
		want.Status, want.DecidedBy, want.DecidedAt, want.Reason = billing.StatusConfirmed, operator, start, "statement 7, line 12"
		want.PeriodStart, want.PeriodEnd, want.Subscription, want.Entry = start, end1.Add(time.Hour), got.Subscription, 2
		same(t, "transfer", want, got)

		same(t, "subscription", billing.Subscription{
			Account: id, ID: got.Subscription, Status: billing.SubscriptionActive, Plan: "starter", Currency: "USD", Interval: "month",
			PeriodStart: start, PeriodEnd: want.PeriodEnd, Method: billing.MethodBankTransfer, ExternalPaymentID: got.Reference, CreatedAt: start,
		}, w.subscription(t, id))
		account := w.get(t, id)
		if account.Status != tenancy.StatusActive || account.Plan != "starter" {
			t.Errorf("account %+v", account)
		}
		method, err := w.billing.Account(t.Context(), w.db, id)
		same(t, "payment method", billing.Account{ID: id, PaymentMethod: billing.MethodBankTransfer, CreatedAt: start, UpdatedAt: start}, method)
		wantErr(t, "payment method", err, nil)

		w.spendable(t, id, 3000)
		entry := creditstest.RequireEntry(t, w.ledger, w.db, id, credits.KindGrant, 1000)
		if entry.Number != got.Entry || !strings.Contains(entry.Note, "starter") {
			t.Errorf("entry %+v", entry)
		}

		line := tenancytest.RequireAudit(t, w.db, id, "billing.confirm_transfer")
		if line.Actor != operator || line.Reason != "statement 7, line 12" || line.Target != got.ID || !line.At.Equal(start) {
			t.Errorf("audit %+v", line)
		}
		if a := tenancytest.RequireAudit(t, w.db, id, "credits.grant"); a.Actor != operator {
			t.Errorf("the grant's audit names %+v", a.Actor)
		}
		if a := tenancytest.RequireAudit(t, w.db, id, "tenancy.change"); a.Actor != operator {
			t.Errorf("the account's audit names %+v", a.Actor)
		}
		same(t, "event", billing.TransferConfirmed{
			Transfer: got.ID, Reference: got.Reference, Plan: "starter", PeriodStart: start, PeriodEnd: want.PeriodEnd, Credits: 1000,
		}, tenancytest.RequireEvent[billing.TransferConfirmed](t, w.db, id))
		same(t, "subscription's event", billing.SubscriptionChanged{Subscription: got.Subscription, To: billing.SubscriptionActive},
			tenancytest.RequireEvent[billing.SubscriptionChanged](t, w.db, id))
		kinds := w.kinds(t, id)
		slices.Sort(kinds)
		same(t, "all events", []string{
			"billing.subscription_changed", "billing.transfer_confirmed", "billing.transfer_requested",
			"credits.granted", "credits.granted", "tenancy.account_changed", "tenancy.account_registered",
		}, kinds)

		w.clock.Advance(24 * time.Hour)
		unchanged(t, w.db, "confirming again", func() {
			again, err := w.billing.ConfirmTransfer(t.Context(), w.db, billing.ConfirmTransfer{
				Reference: strings.ToLower(got.Reference), Actor: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_2"}, Reason: "twice",
			})
			same(t, "confirmed again", got, again)
			wantErr(t, "confirming again", err, nil)
		})
		read, err := w.billing.Transfer(t.Context(), w.db, got.Reference)
		same(t, "read back", got, read)
		wantErr(t, "reading", err, nil)
	})
}

// M8: whatever an account has come to, paying ends as the table of tenancy.Check
// would have it.
func TestM8_Confirm_InEveryStatusOfTheAccount(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		set := func(s tenancy.Status) func(tenancy.AccountID) {
			return func(id tenancy.AccountID) { w.change(t, tenancy.Change{Account: id, Status: s}) }
		}
		for what, arrive := range map[string]func(tenancy.AccountID){
			"on trial": func(tenancy.AccountID) {}, "active": set(tenancy.StatusActive), "past due": set(tenancy.StatusPastDue),
			"payment pending": set(tenancy.StatusPendingPayment), "cancelled": set(tenancy.StatusCancelled),
		} {
			id := w.account(t)
			arrive(id)
			w.pay(t, id, "starter")
			if a := w.get(t, id); a.Status != tenancy.StatusActive || a.Plan != "starter" {
				t.Errorf("%s: after paying the account is %s on %s", what, a.Status, a.Plan)
			}
			w.spendable(t, id, 3000)
		}
	})
}

func TestM8_Confirm_ATrialThatIsOverAsksAndPays(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		w.clock.Advance(20 * 24 * time.Hour)
		use := func() error {
			_, err := w.accounts.Enter(t.Context(), w.db, id, tenancy.Actor{Kind: tenancy.ActorKey, ID: "key_1"}, tenancy.Use)
			return err
		}
		wantErr(t, "before paying", use(), tenancy.ErrTrialOver)
		if _, err := w.accounts.Enter(t.Context(), w.db, id, customer, tenancy.Pay); err != nil {
			t.Fatal(err)
		}
		tr := w.request(t, id, "starter")
		wantErr(t, "asking alone", use(), tenancy.ErrTrialOver)
		w.confirm(t, tr.Reference)
		wantErr(t, "after paying", use(), nil)
	})
}

func TestM8_Confirm_ASuspendedAccountWaitsForItsOperator(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		if _, err := w.accounts.Suspend(t.Context(), w.db, tenancy.Suspend{Account: id, Actor: operator, Reason: "abuse"}); err != nil {
			t.Fatal(err)
		}
		tr := w.pay(t, id, "starter")
		w.status(t, id, tenancy.StatusSuspended)
		w.spendable(t, id, 3000)
		if tr.PeriodEnd != end1 || w.subscription(t, id).Status != billing.SubscriptionActive {
			t.Errorf("transfer %+v", tr)
		}
		if _, err := w.accounts.Resume(t.Context(), w.db, tenancy.Resume{Account: id, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		if a := w.get(t, id); a.Status != tenancy.StatusActive || a.Plan != "starter" {
			t.Errorf("resumed as %s on %s", a.Status, a.Plan)
		}
	})
}

func TestM8_Confirm_AClosedAccountIsRefusedWholeAndCanBeRejected(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, status := range []tenancy.Status{tenancy.StatusClosed, tenancy.StatusErased, "odd"} {
			id := w.account(t)
			ref := w.request(t, id, "starter").Reference
			if _, err := w.db.NewRaw("UPDATE tenancy_accounts SET status = ? WHERE account_id = ?", status, id).Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.refused(t, string(status), tenancy.ErrTransition, func(tx bun.IDB) error {
				_, err := w.billing.ConfirmTransfer(t.Context(), tx, confirmation(ref))
				return err
			})
			if tr, err := w.billing.RejectTransfer(t.Context(), w.db, rejection(ref)); err != nil || tr.Status != billing.StatusRejected {
				t.Errorf("%s: rejecting: %+v, %v", status, tr, err)
			}
		}
	})
}

func TestM8_Confirm_WhatWasOfferedIsWhatIsSold(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		tr := w.request(t, id, "growth")
		changed := growth
		changed.MonthlyCredits, changed.Prices = 90_000, []tenancy.Price{{Currency: "USD", Interval: tenancy.Monthly, Amount: 999_900}}
		changed.Active = false
		if _, err := w.accounts.Ensure(t.Context(), w.db, changed); err != nil {
			t.Fatal(err)
		}
		w.refused(t, "a plan that is gone", billing.ErrPlanGone, func(tx bun.IDB) error {
			_, err := w.billing.ConfirmTransfer(t.Context(), tx, confirmation(tr.Reference))
			return err
		})
		changed.Active = true
		if _, err := w.accounts.Ensure(t.Context(), w.db, changed); err != nil {
			t.Fatal(err)
		}
		got := w.confirm(t, tr.Reference)
		if got.Amount != 13900 || got.Credits != 2000 {
			t.Errorf("sold %d for %d", got.Credits, got.Amount)
		}
		w.spendable(t, id, 4000)
		deleted := w.request(t, id, "growth")
		if _, err := w.db.NewRaw("DELETE FROM tenancy_plans WHERE slug = 'growth'").Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.refused(t, "a plan that was deleted", billing.ErrPlanGone, func(tx bun.IDB) error {
			_, err := w.billing.ConfirmTransfer(t.Context(), tx, confirmation(deleted.Reference))
			return err
		})
	})
}

func TestM8_Confirm_AnExtensionKeepsTheAnchor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		first := w.pay(t, id, "starter")
		w.clock.Set(end1.Add(-time.Hour))
		second := w.pay(t, id, "starter")
		third := w.pay(t, id, "starter")
		for i, c := range []struct {
			tr       billing.Transfer
			from, to time.Time
		}{{first, t0, end1}, {second, end1, end2}, {third, end2, time.Date(2026, 4, 30, 9, 0, 0, 123456000, time.UTC)}} {
			if c.tr.PeriodStart != c.from || c.tr.PeriodEnd != c.to || c.tr.Subscription != first.Subscription {
				t.Errorf("payment %d bought %v to %v of %s", i+1, c.tr.PeriodStart, c.tr.PeriodEnd, c.tr.Subscription)
			}
		}
		if s := w.subscription(t, id); s.PeriodStart != third.PeriodStart || s.PeriodEnd != third.PeriodEnd {
			t.Errorf("subscription %+v", s)
		}
		w.spendable(t, id, 2000+3*1000)
	})
}

func TestM8_Confirm_CountsInTheAccountsZone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		zurich := w.accountIn(t, "Europe/Zurich")
		w.clock.Set(time.Date(2026, 3, 15, 9, 0, 0, 0, time.UTC)) // 10 o'clock there, and summer comes
		if tr := w.pay(t, zurich, "starter"); tr.PeriodEnd != time.Date(2026, 4, 15, 8, 0, 0, 0, time.UTC) {
			t.Errorf("ends %v", tr.PeriodEnd)
		}
		auckland := w.accountIn(t, "Pacific/Auckland")
		w.clock.Set(time.Date(2026, 6, 29, 13, 0, 0, 0, time.UTC)) // the 30th there
		if tr := w.pay(t, auckland, "starter"); tr.PeriodEnd != time.Date(2026, 7, 29, 13, 0, 0, 0, time.UTC) {
			t.Errorf("ends %v", tr.PeriodEnd)
		}
	})
}

func TestM8_Confirm_AfterALapseTheAnchorIsNew(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		first := w.pay(t, id, "starter")
		w.clock.Set(end1) // the very instant
		again := w.pay(t, id, "starter")
		if again.PeriodStart != end1 || again.PeriodEnd != time.Date(2026, 3, 28, 9, 0, 0, 123456000, time.UTC) || again.Subscription != first.Subscription {
			t.Errorf("bought %v to %v", again.PeriodStart, again.PeriodEnd)
		}
	})
}

func TestM8_Confirm_AnotherPlanOrIntervalStartsNow(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		w.pay(t, id, "starter")
		w.clock.Advance(time.Hour)
		tr := w.pay(t, id, "growth")
		if tr.PeriodStart != t0.Add(time.Hour) || tr.PeriodEnd != end1.Add(time.Hour) {
			t.Errorf("another plan: %v to %v", tr.PeriodStart, tr.PeriodEnd)
		}
		if s := w.subscription(t, id); s.Plan != "growth" || w.get(t, id).Plan != "growth" {
			t.Errorf("subscription %+v", s)
		}
		w.clock.Advance(time.Hour)
		year, err := w.billing.RequestTransfer(t.Context(), w.db, billing.RequestTransfer{Account: id, Plan: "growth", Interval: tenancy.Yearly, Actor: customer})
		wantErr(t, "asking", err, nil)
		if tr := w.confirm(t, year.Reference); tr.PeriodStart != t0.Add(2*time.Hour) || tr.PeriodEnd != time.Date(2027, 1, 31, 11, 0, 0, 123456000, time.UTC) {
			t.Errorf("another interval: %v to %v", tr.PeriodStart, tr.PeriodEnd)
		}
		w.spendable(t, id, 2000+1000+2000+2000) // of the year the first month
	})
}

// M8: going to and fro between plans, asking again and again and having things
// rejected gives nobody more credits than what the confirmed transfers name.
func TestM8_CreditsComeFromConfirmedTransfersAlone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		want := int64(2000)
		for i := range 8 {
			plan := []string{"starter", "growth"}[i%2]
			ref := w.request(t, id, plan).Reference
			if i%3 == 0 {
				if _, err := w.billing.RejectTransfer(t.Context(), w.db, rejection(ref)); err != nil {
					t.Fatal(err)
				}
				_, err := w.billing.ConfirmTransfer(t.Context(), w.db, confirmation(ref))
				wantErr(t, "confirming", err, billing.ErrDecided)
				continue
			}
			want += w.confirm(t, ref).Credits
			w.confirm(t, ref)
		}
		w.spendable(t, id, want)
	})
}

func TestM8_Confirm_APlanWithoutCreditsGrantsNone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plan := growth
		plan.Slug, plan.MonthlyCredits = "bare", 0
		if _, err := w.accounts.Ensure(t.Context(), w.db, plan); err != nil {
			t.Fatal(err)
		}
		id := w.account(t)
		if tr := w.pay(t, id, "bare"); tr.Entry != 0 || tr.PeriodEnd != end1 {
			t.Errorf("transfer %+v", tr)
		}
		w.spendable(t, id, 2000)
	})
}

func TestM8_Confirm_CreditsBeyondInt64AreRefusedWhole(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plan := growth
		plan.Slug, plan.MonthlyCredits = "endless", math.MaxInt64-100
		if _, err := w.accounts.Ensure(t.Context(), w.db, plan); err != nil {
			t.Fatal(err)
		}
		ref := w.request(t, w.account(t), "endless").Reference
		unchanged(t, w.db, "an overflow", func() {
			_, err := w.billing.ConfirmTransfer(t.Context(), w.db, confirmation(ref))
			wantErr(t, "an overflow", err, credits.ErrOverflow)
		})
	})
}
