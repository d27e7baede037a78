package billing_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// free is a plan that costs nothing.
func free(slug string, monthly int64) tenancy.Plan {
	return tenancy.Plan{
		Slug: slug, Name: slug, Active: true, MonthlyCredits: monthly,
		Prices: []tenancy.Price{{Currency: "USD", Interval: tenancy.Monthly, Amount: 0}},
	}
}

// freeAccount signs one up for the plan free, with 100 credits a month.
func (w *world) freeAccount(t testing.TB) tenancy.AccountID {
	t.Helper()
	if _, err := w.accounts.Ensure(t.Context(), w.db, free("free", 100), free("enterprise", 10_000)); err != nil {
		t.Fatal(err)
	}
	r, err := w.accounts.Register(t.Context(), w.db, tenancy.Register{
		Name: "Ada", Email: fmt.Sprintf("free%d@example.com", nextEmail()), Zone: "Europe/Zurich", Plan: "free",
	})
	if err != nil {
		t.Fatal(err)
	}
	return r.Account.ID
}

// year asks for a year of a plan and confirms the transfer.
func (w *world) year(t testing.TB, account tenancy.AccountID, plan string) billing.Transfer {
	t.Helper()
	return w.confirm(t, w.requestYear(t, account, plan).Reference)
}

func (w *world) requestYear(t testing.TB, account tenancy.AccountID, plan string) billing.Transfer {
	t.Helper()
	tr, err := w.billing.RequestTransfer(t.Context(), w.db, billing.RequestTransfer{
		Account: account, Plan: plan, Interval: tenancy.Yearly, Actor: customer,
	})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// came is when an account's ledger grew by a grant, oldest first, and by how much.
func (w *world) came(t testing.TB, account tenancy.AccountID) (grants []string) {
	t.Helper()
	if _, err := w.ledger.Balance(t.Context(), w.db, account); err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		At     time.Time
		Amount int64
	}
	err := w.db.NewRaw("SELECT at, amount FROM credits_entries WHERE account_id = ? AND kind = 'grant' ORDER BY number", account).Scan(t.Context(), &rows)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		grants = append(grants, fmt.Sprintf("%s +%d", r.At.UTC().Format("2006-01-02 15"), r.Amount))
	}
	return grants
}

// granted is the sum of all that an account was ever granted.
func (w *world) granted(t testing.TB, account tenancy.AccountID) (sum int64) {
	t.Helper()
	if _, err := w.ledger.Balance(t.Context(), w.db, account); err != nil {
		t.Fatal(err)
	}
	err := w.db.NewRaw("SELECT SUM(amount) FROM credits_entries WHERE account_id = ? AND kind = 'grant'", account).Scan(t.Context(), &sum)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func (w *world) wantGranted(t testing.TB, what string, account tenancy.AccountID, want int64) {
	t.Helper()
	if got := w.granted(t, account); got != want {
		t.Errorf("%s: it was granted %d credits in all, want %d: %v", what, got, want, w.came(t, account))
	}
}

func (w *world) suspend(t testing.TB, account tenancy.AccountID) {
	t.Helper()
	if _, err := w.accounts.Suspend(t.Context(), w.db, tenancy.Suspend{Account: account, Actor: operator}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) resume(t testing.TB, account tenancy.AccountID) {
	t.Helper()
	if _, err := w.accounts.Resume(t.Context(), w.db, tenancy.Resume{Account: account, Actor: operator}); err != nil {
		t.Fatal(err)
	}
}

func day(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 12, 0, 0, 0, time.UTC)
}

// The first month is the seed; the others come without a payment and without a job, on
// the day of the registration.
func TestM1_AFreePlanRenewsEveryMonth(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.freeAccount(t)
		if _, err := w.ledger.Deduct(t.Context(), w.db, credits.Deduct{Account: id, Amount: 90}); err != nil {
			t.Fatal(err)
		}
		w.clock.Set(end1.Add(-time.Microsecond))
		w.spendable(t, id, 10)
		w.clock.Set(end1)
		w.spendable(t, id, 110)
		w.clock.Set(day(2026, 7, 1))
		w.spendable(t, id, 110) // what was left of a month expired with it
		same(t, "grants", []string{
			"2026-01-31 09 +100", "2026-02-28 09 +100", "2026-03-31 08 +100", "2026-04-30 08 +100", "2026-05-31 08 +100", "2026-06-30 08 +100",
		}, w.came(t, id))
		w.clock.Set(day(2031, 1, 1))
		w.wantGranted(t, "after five years", id, 60*100)
		if n, err := w.ledger.Sweep(t.Context(), w.db); n != 0 || err != nil {
			t.Errorf("swept %d, %v", n, err)
		}
		w.spendable(t, id, 110)
	})
}

func TestM3_TheFirstMonthIsTheSeedAndNotGrantedTwice(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.freeAccount(t)
		w.wantGranted(t, "registered", id, 100)
		w.clock.Advance(24 * time.Hour)
		w.suspend(t, id)
		w.resume(t, id)
		for range 2 {
			wantErr(t, "allotting", w.billing.Allot(t.Context(), w.db, id), nil)
		}
		w.wantGranted(t, "suspended and resumed", id, 100)
		trial := w.account(t)
		w.clock.Set(day(2026, 12, 1))
		w.wantGranted(t, "a trial", trial, 2000)
	})
}

// A month that begins while an account may not spend is not granted. Who comes back is
// granted the month that is then, and none that was missed.
func TestM5_AnAccountThatIsStoppedIsGrantedNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		status := func(s tenancy.Status) func(tenancy.AccountID) {
			return func(id tenancy.AccountID) { w.change(t, tenancy.Change{Account: id, Status: s}) }
		}
		active := status(tenancy.StatusActive)
		for what, c := range map[string]struct{ stop, back func(tenancy.AccountID) }{
			"suspended": {func(id tenancy.AccountID) { w.suspend(t, id) }, func(id tenancy.AccountID) { w.resume(t, id) }},
			"past due":  {status(tenancy.StatusPastDue), active},
			"cancelled": {status(tenancy.StatusCancelled), active},
			"pending":   {status(tenancy.StatusPendingPayment), active},
			"closed": {status(tenancy.StatusClosed), func(id tenancy.AccountID) {
				if _, err := w.accounts.Restore(t.Context(), w.db, tenancy.Restore{Account: id, Actor: operator}); err != nil {
					t.Fatal(err)
				}
			}},
		} {
			w.clock.Set(t0)
			renewing, paying := w.freeAccount(t), w.account(t)
			w.year(t, paying, "growth")
			w.clock.Set(day(2026, 4, 29)) // what had begun is granted although nobody asked
			for _, id := range []tenancy.AccountID{renewing, paying} {
				c.stop(id)
			}
			w.wantGranted(t, what, renewing, 300)
			w.wantGranted(t, what+", a year", paying, 2000+3*2000)
			away := 27 * 24 * time.Hour
			if what != "closed" { // which is for good after 30 days
				away = 98 * 24 * time.Hour
			}
			w.clock.Advance(away) // over 30 April, or till 5 August
			w.wantGranted(t, what+" for long", renewing, 300)
			w.wantGranted(t, what+" for long, a year", paying, 2000+3*2000)
			for _, id := range []tenancy.AccountID{renewing, paying} {
				c.back(id)
			}
			w.wantGranted(t, what+" and back", renewing, 400)
			w.wantGranted(t, what+" and back, a year", paying, 2000+4*2000)
			for range 3 {
				for _, id := range []tenancy.AccountID{renewing, paying} {
					w.suspend(t, id)
					w.resume(t, id)
				}
			}
			w.wantGranted(t, what+" to and fro", renewing, 400)
			w.wantGranted(t, what+" to and fro, a year", paying, 2000+4*2000)
			w.clock.Set(day(2026, 9, 30).Add(-24 * time.Hour))
			for _, id := range []tenancy.AccountID{renewing, paying} {
				w.spendable(t, id, w.balance(t, id))
			}
		}
	})
}

func (w *world) balance(t testing.TB, account tenancy.AccountID) int64 {
	t.Helper()
	b, err := w.ledger.Balance(t.Context(), w.db, account)
	if err != nil {
		t.Fatal(err)
	}
	return b.Spendable
}

// Ends that come by the clock need no job either.
func TestM5_NothingIsGrantedBeyondWhatIsPaid(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w = w.with(t, billing.Config{Grace: grace})
		id := w.account(t)
		tr := w.year(t, id, "growth")
		w.clock.Set(tr.PeriodEnd.Add(time.Hour)) // within the grace
		w.wantGranted(t, "in grace", id, 2000+24_000)
		w.lapse(t, 1)
		w.clock.Set(day(2030, 1, 1))
		w.wantGranted(t, "long after", id, 2000+24_000)

		w.clock.Set(t0)
		until := w.freeAccount(t)
		w.change(t, tenancy.Change{Account: until, Status: tenancy.StatusActive, PaidUntil: day(2026, 5, 1)})
		w.clock.Set(day(2030, 1, 1))
		w.wantGranted(t, "an end by hand", until, 400)
		w.change(t, tenancy.Change{Account: until, Status: tenancy.StatusActive, PaidUntil: t0.AddDate(-1, 0, 0)})
		w.wantGranted(t, "an end long ago", until, 400)
	})
}

func TestM5_ACancelledYearEndsAtOnceOrWithItsPeriod(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for atEnd, want := range map[bool]int64{true: 2000 + 24_000, false: 2000 + 3*2000} {
			w.clock.Set(t0)
			id := w.account(t)
			w.year(t, id, "growth")
			w.clock.Set(day(2026, 4, 1))
			if _, err := w.billing.Cancel(t.Context(), w.db, billing.Cancel{Account: id, AtPeriodEnd: atEnd, Actor: customer}); err != nil {
				t.Fatal(err)
			}
			w.clock.Set(day(2028, 1, 1))
			w.wantGranted(t, fmt.Sprint("at period end: ", atEnd), id, want)
		}
	})
}

// Without the hook, and so in a process that forgot it, the verbs of this package still
// say what comes.
func TestM5_ACancelledYearEndsWithoutTheHookToo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var err error
		w.accounts = tenancy.New(tenancy.Config{Now: w.clock.Now, OnRegister: []tenancy.Hook{w.ledger.OnRegister}})
		w.billing, err = billing.New(w.accounts, w.ledger, billing.Config{Now: w.clock.Now, Bank: bank})
		wantErr(t, "making it", err, nil)
		id := w.account(t)
		w.year(t, id, "growth")
		w.clock.Set(day(2026, 4, 1))
		_, err = w.billing.Cancel(t.Context(), w.db, billing.Cancel{Account: id, Actor: customer})
		wantErr(t, "cancelling", err, nil)
		w.clock.Set(day(2028, 1, 1))
		w.wantGranted(t, "a year", id, 2000+3*2000)
	})
}

// A year's first month comes with the confirmation, the others as they begin, and all
// stay until they are spent.
func TestM8_Confirm_AYearComesMonthByMonth(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		tr := w.year(t, id, "growth")
		if tr.Credits != 24_000 || tr.Monthly != 2000 || tr.Entry != 2 {
			t.Errorf("transfer %+v", tr)
		}
		if n := w.grants(t, tr); n != 1 {
			t.Errorf("granted %d times", n)
		}
		unchanged(t, w.db, "confirming again", func() { same(t, "again", tr, w.confirm(t, tr.Reference)) })
		w.spendable(t, id, 4000)
		w.clock.Set(end1)
		w.spendable(t, id, 6000)
		w.clock.Set(end2)
		unchanged(t, w.db, "confirming late", func() { same(t, "again", tr, w.confirm(t, tr.Reference)) })
		w.clock.Set(day(2026, 5, 1))
		same(t, "grants", []string{
			"2026-01-31 09 +2000", "2026-01-31 09 +2000", "2026-02-28 09 +2000", "2026-03-31 09 +2000", "2026-04-30 09 +2000",
		}, w.came(t, id))
		w.clock.Set(day(2030, 1, 1))
		w.spendable(t, id, 26_000)
	})
}

// However a day of the calendar or the clocks fall, a year is twelve months, and what is
// paid again is twelve more, early, in grace or so late that months of it are over.
func TestM8_Confirm_AYearIsTwelveMonths(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w = w.with(t, billing.Config{Grace: 100 * 24 * time.Hour})
		leap := time.Date(2028, 2, 29, 9, 0, 0, 0, time.UTC)
		night := time.Date(2026, 3, 29, 0, 59, 59, 999999000, time.UTC) // a moment before summer comes to Zurich
		for i, c := range []struct {
			zone  string
			start time.Time
			again time.Duration // after the first year's end
		}{
			{"", t0, -300 * 24 * time.Hour},
			{"", t0, 0},
			{"Europe/Zurich", leap, -time.Microsecond},
			{"Pacific/Auckland", leap, 70 * 24 * time.Hour},
			{"Europe/Zurich", night, -40 * 24 * time.Hour},
			{"Europe/Zurich", night.AddDate(0, 7, -4), 99 * 24 * time.Hour},
		} {
			w.clock.Set(c.start)
			id := w.accountIn(t, c.zone)
			first := w.year(t, id, "growth")
			w.clock.Set(first.PeriodEnd.Add(c.again))
			if c.again >= 0 {
				w.wantGranted(t, fmt.Sprint("case ", i, " after a year"), id, 2000+24_000)
			}
			second := w.year(t, id, "growth")
			if second.PeriodStart != first.PeriodEnd || (second.Entry == 0) != (c.again < 0) {
				t.Errorf("case %d: %+v", i, second)
			}
			w.suspend(t, id) // which changes nothing
			w.resume(t, id)
			w.clock.Set(second.PeriodEnd.Add(-time.Microsecond))
			w.wantGranted(t, fmt.Sprint("case ", i, " before the end of two"), id, 2000+48_000)
			w.clock.Set(second.PeriodEnd.AddDate(3, 0, 0))
			w.wantGranted(t, fmt.Sprint("case ", i, " long after"), id, 2000+48_000)
		}
	})
}

// What was offered is granted, year by year, whatever the plan has come to meanwhile.
func TestM8_Confirm_EachYearGrantsWhatItWasSoldWith(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		first := w.year(t, id, "growth")
		more := growth
		more.MonthlyCredits = 3000
		if _, err := w.accounts.Ensure(t.Context(), w.db, more); err != nil {
			t.Fatal(err)
		}
		w.year(t, id, "growth")
		wantErr(t, "allotting", w.billing.Allot(t.Context(), w.db, id), nil)
		w.clock.Set(first.PeriodEnd.Add(-time.Microsecond))
		w.wantGranted(t, "the first year", id, 2000+24_000)
		w.clock.Set(first.PeriodEnd.AddDate(2, 0, 0))
		w.wantGranted(t, "the second year", id, 2000+24_000+36_000)
	})
}

// M8: going to and fro between plans gives nobody more than what was paid for, and what
// a plan is left with is not granted any more.
func TestM8_PlansToAndFroFarmNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		want := int64(2000)
		for range 4 { // at one instant, and again a day later
			if tr := w.year(t, id, "growth"); tr.Entry != 0 { // otherwise in advance, and all of it goes
				want += 2000
			}
			w.pay(t, id, "starter")
			w.year(t, id, "growth")
			want += 1000 + 2000
			w.wantGranted(t, "to and fro", id, want)
			w.clock.Advance(24 * time.Hour)
		}
		w.year(t, id, "growth") // in advance, and it stays
		w.clock.Advance(5 * 365 * 24 * time.Hour)
		w.wantGranted(t, "years on", id, want+11*2000+24_000)
	})
}

func TestM5_FreePlansToAndFroFarmNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.freeAccount(t)
		to := func(plan string) { w.change(t, tenancy.Change{Account: id, Plan: plan}) }
		w.clock.Set(day(2026, 3, 1))
		for range 5 {
			to("enterprise")
			to("starter") // which is paid for, or grants nothing
			to("free")
			w.clock.Advance(24 * time.Hour)
		}
		w.wantGranted(t, "to and fro", id, 200)
		to("enterprise")
		w.wantGranted(t, "another plan", id, 200)
		w.clock.Set(end2)
		w.wantGranted(t, "from its next month on", id, 200+10_000)
		to("starter")
		w.clock.Set(day(2026, 12, 1))
		w.wantGranted(t, "a plan that costs something", id, 200+10_000)
		w.pay(t, id, "starter")
		w.wantGranted(t, "and is paid", id, 200+10_000+1000)
	})
}

// Plans change without their accounts: Allot brings an account up to date.
func TestM1_AllotTakesUpWhatAPlanHasComeTo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.freeAccount(t)
		set := func(p tenancy.Plan) {
			if _, err := w.accounts.Ensure(t.Context(), w.db, p); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				wantErr(t, "allotting", w.billing.Allot(t.Context(), w.db, id), nil)
			}
		}
		unchanged(t, w.db, "nothing to do", func() { wantErr(t, "allotting", w.billing.Allot(t.Context(), w.db, id), nil) })
		w.clock.Set(end1)
		set(free("free", 500))
		w.wantGranted(t, "this month", id, 200)
		w.clock.Set(end2)
		w.wantGranted(t, "the next", id, 700)
		gone := free("free", 500)
		gone.Active = false
		set(gone)
		w.clock.Set(day(2027, 1, 1))
		w.wantGranted(t, "a plan that is retired", id, 700)
		set(free("free", 0))
		set(free("free", 5))
		w.wantGranted(t, "a plan that is back", id, 705)
		wantErr(t, "nobody", w.billing.Allot(t.Context(), w.db, "acc_nobody"), tenancy.ErrNoAccount)

		// One that no hook has seen, as from before there was one.
		if _, err := w.db.Exec("DELETE FROM credits_allotments"); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "allotting", w.billing.Allot(t.Context(), w.db, id), nil)
		w.clock.Set(day(2027, 2, 1))
		w.wantGranted(t, "one that no hook has seen", id, 710)
	})
}

// A year that an older version confirmed was granted whole.
func TestM15_AYearOfAnOlderVersionIsNotGrantedAgain(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		w.year(t, id, "growth")
		if _, err := w.db.Exec("UPDATE billing_transfers SET monthly = 0"); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "allotting", w.billing.Allot(t.Context(), w.db, id), nil)
		w.clock.Set(day(2027, 1, 1))
		w.wantGranted(t, "an older year", id, 4000)
	})
}

func TestM8_Confirm_AYearOfASuspendedAccountWaitsForItsOperator(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		w.suspend(t, id)
		w.year(t, id, "growth")
		w.clock.Set(day(2026, 4, 1))
		w.wantGranted(t, "suspended", id, 4000)
		w.resume(t, id)
		w.wantGranted(t, "resumed", id, 6000)
	})
}

// An allotment of the host's own stays as it is, whatever becomes of the account.
func TestM5_TheHostsAllotmentsAreLeftAlone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.freeAccount(t)
		own, err := w.ledger.SetAllotment(t.Context(), w.db, credits.SetAllotment{Account: id, Name: "planet", Amount: 7})
		wantErr(t, "setting", err, nil)
		w.suspend(t, id)
		w.resume(t, id)
		w.change(t, tenancy.Change{Account: id, Plan: "starter"})
		list, err := w.ledger.Allotments(t.Context(), w.db, id)
		wantErr(t, "listing", err, nil)
		for _, a := range list {
			if a.Name == own.Name {
				same(t, "the host's", own, a)
				return
			}
		}
		t.Errorf("allotments %+v", list)
	})
}

// The allotment stops and goes on with the host's transaction, or not at all.
func TestM5_AllotmentsFollowInAHostsTransaction(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.freeAccount(t)
		w.clock.Set(end1.Add(-time.Hour))
		unchanged(t, w.db, "a transaction that is rolled back", func() {
			tx, err := w.db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.accounts.Suspend(t.Context(), tx, tenancy.Suspend{Account: id, Actor: operator})
			wantErr(t, "suspending", err, nil)
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
		})
		w.clock.Set(end1)
		w.wantGranted(t, "not suspended", id, 200)
		err := w.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			_, err := w.accounts.Suspend(ctx, tx, tenancy.Suspend{Account: id, Actor: operator})
			return err
		})
		wantErr(t, "suspending", err, nil)
		if e := tenancytest.RequireEvent[credits.AllotmentEnded](t, w.db, id); e.Name != "plan" {
			t.Errorf("event %+v", e)
		}
		w.clock.Set(end2)
		w.wantGranted(t, "suspended", id, 200)
	})
}

// Two processes confirm, sweep and allot at once, then and half a year later.
func TestM8_Confirm_TwoProcessesConfirmAndSweepAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		tr := w.requestYear(t, id, "growth")
		for i, at := range []time.Time{t0, day(2026, 7, 1)} {
			for _, out := range dbtest.Processes(t, 2, "confirm and sweep", dbtest.DSN(w.db), tr.Reference, at.Format(time.RFC3339Nano)) {
				if out != "ok" {
					t.Errorf("a process says %q", out)
				}
			}
			w.clock.Set(at)
			if n := w.grants(t, tr); n != 1 {
				t.Errorf("the transfer granted %d times", n)
			}
			w.spendable(t, id, []int64{4000, 14_000}[i])
			w.wantGranted(t, at.String(), id, []int64{4000, 14_000}[i])
		}
		w.clock.Set(day(2028, 1, 1))
		w.wantGranted(t, "in all", id, 26_000)
	})
}

// confirmAndSweepChild does at one time all that may grant something.
func confirmAndSweepChild(ctx context.Context, db *bun.DB, args []string) error {
	w := build(db, billing.Config{})
	at, err := time.Parse(time.RFC3339Nano, args[1])
	if err != nil {
		return err
	}
	w.clock.Set(at)
	errs := dbtest.Together(12, func(i int) error {
		switch i % 3 {
		case 0:
			_, err := w.ledger.Sweep(ctx, db)
			return err
		case 1:
			tr, err := w.billing.Transfer(ctx, db, args[0])
			if err != nil {
				return err
			}
			return w.billing.Allot(ctx, db, tr.Account)
		}
		_, err := w.billing.ConfirmTransfer(ctx, db, confirmation(args[0]))
		return err
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Print("ok")
	return nil
}
