package billing_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// freeAccounts are n on the plan free, in the order of their ids.
func (w *world) freeAccounts(t testing.TB, n int) []tenancy.AccountID {
	t.Helper()
	ids := make([]tenancy.AccountID, n)
	for i := range ids {
		ids[i] = w.freeAccount(t)
	}
	slices.Sort(ids)
	return ids
}

func (w *world) ensure(t testing.TB, plans ...tenancy.Plan) {
	t.Helper()
	if _, err := w.accounts.Ensure(t.Context(), w.db, plans...); err != nil {
		t.Fatal(err)
	}
}

// allotAll fails unless what was asked for was done for n accounts and failed for none.
func (w *world) allotAll(t testing.TB, what billing.AllotAll, n int) billing.Allotted {
	t.Helper()
	did, err := w.billing.AllotAll(t.Context(), w.db, what)
	if err != nil || did.Accounts != n || len(did.Failed) != 0 {
		t.Errorf("%+v did %+v (%v), want %d accounts", what, did, err, n)
	}
	return did
}

// amounts are what each account's allotments that run grant; 0 where there is none.
func (w *world) amounts(t testing.TB, ids ...tenancy.AccountID) []int64 {
	t.Helper()
	out := make([]int64, len(ids))
	for i, id := range ids {
		list, err := w.ledger.Allotments(t.Context(), w.db, id)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			if !a.NextAt.IsZero() {
				out[i] += a.Amount
			}
		}
	}
	return out
}

func TestM1_AllotAllReachesEveryAccountOnThePlanAndNoOther(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		on := w.freeAccounts(t, 3)
		other, suspended, closed, left := w.freeAccount(t), w.freeAccount(t), w.freeAccount(t), w.freeAccount(t)
		w.change(t, tenancy.Change{Account: other, Plan: "enterprise"})
		w.suspend(t, suspended)
		w.change(t, tenancy.Change{Account: closed, Status: tenancy.StatusClosed})
		w.change(t, tenancy.Change{Account: left, Status: tenancy.StatusCancelled})
		paying := w.account(t)
		w.year(t, paying, "growth")
		w.ensure(t, free("free", 150), free("enterprise", 20_000))
		same(t, "before", []int64{100, 100, 100, 10_000, 0, 0, 0}, w.amounts(t, append(on, other, suspended, closed, left)...))

		if did := w.allotAll(t, billing.AllotAll{Plan: "free"}, 6); did.Next != "" {
			t.Errorf("%+v", did)
		}
		same(t, "after", []int64{150, 150, 150, 10_000, 0, 0, 0}, w.amounts(t, append(on, other, suspended, closed, left)...))
		w.clock.Set(day(2026, 3, 1))
		for _, id := range on {
			w.wantGranted(t, "on the plan", id, 100+150)
		}
		w.wantGranted(t, "on another", other, 100+10_000)
		w.wantGranted(t, "suspended", suspended, 100)
		w.wantGranted(t, "closed", closed, 100)
		w.wantGranted(t, "cancelled", left, 100)
		w.wantGranted(t, "paying", paying, 2000+2*2000)
		w.resume(t, suspended)
		w.wantGranted(t, "resumed", suspended, 100+150)

		w.allotAll(t, billing.AllotAll{}, 8)
		same(t, "everybody", []int64{150, 150, 150, 20_000, 150, 0, 0, 2000}, w.amounts(t, append(on, other, suspended, closed, left, paying)...))

		gone := free("free", 150)
		gone.Active = false
		w.ensure(t, gone)
		w.allotAll(t, billing.AllotAll{Plan: "free"}, 6)
		same(t, "a plan that is retired", []int64{0, 0, 0, 20_000}, w.amounts(t, append(on, other)...))
	})
}

// What no hook has seen is put right, whatever status it is in.
func TestM5_AllotAllEndsWhatNobodyEnded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ids := w.freeAccounts(t, 3)
		for i, status := range []tenancy.Status{tenancy.StatusSuspended, tenancy.StatusClosed} {
			if _, err := w.db.NewRaw("UPDATE tenancy_accounts SET status = ? WHERE account_id = ?", status, ids[i]).Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w.allotAll(t, billing.AllotAll{Plan: "free"}, 3)
		same(t, "allotments", []int64{0, 0, 100}, w.amounts(t, ids...))
		w.clock.Set(end1)
		for i, want := range []int64{100, 100, 200} {
			w.wantGranted(t, fmt.Sprint("account ", i), ids[i], want)
		}
	})
}

// Twice, at whatever time, is once; and what is as it should be is not written.
func TestM1_AllotAllTwiceIsOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ids := w.freeAccounts(t, 3)
		w.ensure(t, free("free", 150))
		w.allotAll(t, billing.AllotAll{Plan: "free"}, 3)
		ctx, err := w.accounts.System(t.Context(), w.db, operator, "the free plan has more credits")
		wantErr(t, "system", err, nil)
		unchanged(t, w.db, "again", func() {
			if did, err := w.billing.AllotAll(ctx, w.db, billing.AllotAll{Plan: "free"}); err != nil || did.Accounts != 3 {
				t.Errorf("%+v, %v", did, err)
			}
		})
		for _, at := range []time.Time{end1, end1, end1.Add(time.Hour), end2} {
			w.clock.Set(at)
			w.allotAll(t, billing.AllotAll{Plan: "free"}, 3)
		}
		for _, id := range ids {
			w.wantGranted(t, "granted", id, 100+2*150)
		}
	})
}

func TestM1_AllotAllGoesOnWhereItStopped(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ids := w.freeAccounts(t, 5)
		w.ensure(t, free("free", 150))
		did := w.allotAll(t, billing.AllotAll{Plan: "free", Limit: 2}, 2)
		if did.Next != ids[1] {
			t.Errorf("it goes on behind %s, not %s", did.Next, ids[1])
		}
		same(t, "two", []int64{150, 150, 100, 100, 100}, w.amounts(t, ids...))

		// One that is stopped in an account leaves that as it was.
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		asked := 0
		stopping, err := billing.New(w.accounts, w.ledger, billing.Config{Now: func() time.Time {
			if asked++; asked == 2 {
				stop()
			}
			return w.clock.Now()
		}})
		wantErr(t, "making it", err, nil)
		did, err = stopping.AllotAll(ctx, w.db, billing.AllotAll{Plan: "free", After: did.Next})
		wantErr(t, "stopped", err, context.Canceled)
		same(t, "stopped", billing.Allotted{Accounts: 1, Next: ids[2]}, did)
		same(t, "three", []int64{150, 150, 150, 100, 100}, w.amounts(t, ids...))

		// And one that is stopped before the first begins with it again.
		did, err = w.billing.AllotAll(ctx, w.db, billing.AllotAll{After: did.Next})
		wantErr(t, "at once", err, context.Canceled)
		same(t, "at once", billing.Allotted{Next: ids[2]}, did)

		did = w.allotAll(t, billing.AllotAll{Plan: "free", After: did.Next, Limit: 2}, 2)
		same(t, "all", []int64{150, 150, 150, 150, 150}, w.amounts(t, ids...))
		if did = w.allotAll(t, billing.AllotAll{Plan: "free", After: did.Next, Limit: 2}, 0); did.Next != "" {
			t.Errorf("it goes on behind %s, where nobody is", did.Next)
		}
		w.clock.Set(end1)
		for _, id := range ids {
			w.wantGranted(t, "granted", id, 100+150)
		}
	})
}

func TestM1_AllotAllGoesThroughMoreThanAPage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.freeAccount(t)
		clone(t, w, "tenancy_accounts", id, 104)
		w.allotAll(t, billing.AllotAll{Plan: "free"}, 105)
		w.allotAll(t, billing.AllotAll{Plan: "free", Limit: 105}, 105)
		if did := w.allotAll(t, billing.AllotAll{Plan: "free", Limit: 101}, 101); did.Next == "" {
			t.Error("it goes on nowhere")
		}
		var n int
		err := w.db.NewRaw("SELECT COUNT(*) FROM credits_allotments WHERE amount = 100 AND next_at IS NOT NULL").Scan(t.Context(), &n)
		if err != nil || n != 105 {
			t.Errorf("%d allotments, %v", n, err)
		}
	})
}

func TestM1_AllotAllTellsWhoFailedAndDoesTheRest(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ids := w.freeAccounts(t, 4)
		w.ensure(t, free("free", 150))
		zone := func(zone string) {
			if _, err := w.db.NewRaw("UPDATE tenancy_accounts SET zone = ? WHERE account_id IN (?, ?)", zone, ids[0], ids[2]).Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		zone("Nowhere/Land")
		did, err := w.billing.AllotAll(t.Context(), w.db, billing.AllotAll{Plan: "free"})
		if err != nil || did.Accounts != 2 || did.Next != "" || len(did.Failed) != 2 || did.Failed[ids[0]] == nil || did.Failed[ids[2]] == nil {
			t.Errorf("%+v, %v", did, err)
		}
		same(t, "the others", []int64{100, 150, 100, 150}, w.amounts(t, ids...))
		zone("Europe/Zurich")
		w.allotAll(t, billing.AllotAll{Plan: "free"}, 4)
		w.clock.Set(end1)
		for _, id := range ids {
			w.wantGranted(t, "put right", id, 100+150)
		}
	})
}

func TestM1_AllotAllSaysWhoAsksAndRefusesWhatMakesNoSense(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.freeAccount(t)
		for what, c := range map[string]struct {
			what billing.AllotAll
			want error
		}{
			"no such plan":  {billing.AllotAll{Plan: "fre"}, tenancy.ErrNoPlan},
			"no slug":       {billing.AllotAll{Plan: "\x00"}, tenancy.ErrNoPlan},
			"no account id": {billing.AllotAll{Plan: "free", After: "a b"}, tenancy.ErrInvalid},
		} {
			did, err := w.billing.AllotAll(t.Context(), w.db, c.what)
			wantErr(t, what, err, c.want)
			same(t, what, billing.Allotted{Next: c.what.After}, did)
		}
		for plan, reason := range map[string]string{
			"free": `the credits of the accounts on "free" are to follow the plan`, "": "the credits of every account are to follow its plan",
		} {
			w.clock.Advance(time.Second)
			w.allotAll(t, billing.AllotAll{Plan: plan}, 1)
			line := tenancytest.RequireAudit(t, w.db, "", "tenancy.system")
			if line.Actor != (tenancy.Actor{Kind: tenancy.ActorSystem, ID: "billing"}) || line.Reason != reason {
				t.Errorf("audit %+v", line)
			}
		}
	})
}

// Two processes at once, and accounts that change under them: each month comes once.
func TestM1_AllotAllInTwoProcessesGrantsOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ids := w.freeAccounts(t, 12)
		w.ensure(t, free("free", 150))
		for _, at := range []time.Time{t0.Add(time.Hour), end1, end2} {
			for _, out := range dbtest.Processes(t, 2, "allot all", dbtest.DSN(w.db), at.Format(time.RFC3339Nano), string(ids[0])) {
				if out != "ok" {
					t.Errorf("a process says %q", out)
				}
			}
		}
		w.clock.Set(end2)
		for _, id := range ids {
			w.wantGranted(t, "granted", id, 100+2*150)
			w.spendable(t, id, 100+150) // the seed, and this month
		}
	})
}

// allotAllChild does so from several goroutines while one account goes to and fro.
func allotAllChild(ctx context.Context, db *bun.DB, args []string) error {
	w := build(db, billing.Config{})
	at, err := time.Parse(time.RFC3339Nano, args[0])
	if err != nil {
		return err
	}
	w.clock.Set(at)
	unsteady := tenancy.AccountID(args[1])
	errs := dbtest.Together(6, func(i int) error {
		switch i {
		case 0:
			_, err := w.ledger.Sweep(ctx, db)
			return err
		case 1:
			for range 5 {
				_, err1 := w.accounts.Suspend(ctx, db, tenancy.Suspend{Account: unsteady, Actor: operator})
				_, err2 := w.accounts.Resume(ctx, db, tenancy.Resume{Account: unsteady, Actor: operator})
				if err := errors.Join(err1, err2); err != nil {
					return err
				}
			}
			return nil
		}
		did, err := w.billing.AllotAll(ctx, db, billing.AllotAll{Plan: "free"})
		if err == nil && (did.Accounts != 12 || len(did.Failed) > 0) {
			err = fmt.Errorf("%+v", did)
		}
		return err
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Print("ok")
	return nil
}

// An allotment that a plan gives for the first time is there without a hook, too.
func TestM15_AllotAllTakesUpAccountsFromBeforeTheHook(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.accounts = tenancy.New(tenancy.Config{Now: w.clock.Now, OnRegister: []tenancy.Hook{w.ledger.OnRegister}})
		w = w.with(t, billing.Config{})
		ids := w.freeAccounts(t, 2)
		same(t, "before", []int64{0, 0}, w.amounts(t, ids...))
		w.allotAll(t, billing.AllotAll{}, 2)
		w.clock.Set(end1)
		for _, id := range ids {
			w.wantGranted(t, "granted", id, 200)
			if _, err := w.ledger.Deduct(t.Context(), w.db, credits.Deduct{Account: id, Amount: 100}); err != nil {
				t.Error(err)
			}
		}
	})
}
