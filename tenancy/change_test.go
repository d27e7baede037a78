package tenancy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// The legal moves: from a row's status to those whose letter it has, in the order
// trial, active, past due, pending payment, suspended, cancelled (X), closed (-),
// erased.
var (
	statuses = []tenancy.Status{"trial", "active", "past_due", "pending_payment", "suspended", "cancelled", "closed", "erased"}
	moves    = []string{
		".APYSX-.", // trial
		"..PYSX-.", // active
		".A..SX-.", // past due
		"TA..SX-.", // pending payment
		"......-.", // suspended
		".A.YS.-.", // cancelled
		"........", // closed
		"........", // erased
	}
)

func TestChange_AnEndGoesWithItsStatus(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		id := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		unchanged(t, db, "an end without a status", func() {
			for _, c := range []tenancy.Change{{TrialEndsAt: t0}, {GraceEndsAt: t0}, {PaidUntil: t0}} {
				c.Account, c.Actor = id, operator
				_, err := accounts.Change(t.Context(), db, c)
				wantErr(t, "an end alone", err, tenancy.ErrInvalid)
			}
		})
		if _, err := accounts.Change(t.Context(), db, tenancy.Change{Account: id, Status: tenancy.StatusActive, PaidUntil: t0.AddDate(0, 1, 0), Actor: operator}); err != nil {
			t.Fatal(err)
		}
		if f := tenancytest.RequireEvent[tenancy.AccountChanged](t, db, id); !f.PaidUntil.Equal(t0.AddDate(0, 1, 0)) {
			t.Errorf("%+v", f)
		}
	})
}

func TestCanMove_TheWholeTable(t *testing.T) {
	for i, from := range statuses {
		for j, to := range statuses {
			if got, want := tenancy.CanMove(from, to), moves[i][j] != '.'; got != want {
				t.Errorf("from %s to %s: %t", from, to, got)
			}
		}
		for _, odd := range []tenancy.Status{"", "vip"} {
			if tenancy.CanMove(from, odd) || tenancy.CanMove(odd, from) {
				t.Errorf("%s and %q are connected", from, odd)
			}
		}
	}
}

func TestChange_MakesTheLegalMovesAndNoOthers(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		id := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		for i, from := range statuses {
			if from == tenancy.StatusSuspended {
				continue // has rules of its own
			}
			for j, to := range statuses {
				setStatus(t, db, id, from)
				clock.Advance(time.Second)
				before := rows(t, db)
				got, err := accounts.Change(t.Context(), db, tenancy.Change{Account: id, Status: to, Actor: operator})
				what := string(from) + " to " + string(to)
				wrote := rows(t, db)["tenancy_audit"] - before["tenancy_audit"]
				stored, getErr := accounts.Get(t.Context(), db, id)
				if getErr != nil {
					t.Fatal(getErr)
				}
				switch {
				case from == to:
					if err != nil || wrote != 0 || got.Status != from || stored.UpdatedAt.Equal(clock.Now()) {
						t.Errorf("%s is no change: %+v, %v, %d lines", what, got, err, wrote)
					}
				case moves[i][j] == '.':
					wantErr(t, what, err, tenancy.ErrTransition)
					if wrote != 0 || stored.Status != from || got != (tenancy.Account{}) {
						t.Errorf("%s was refused and made %+v", what, stored)
					}
				default:
					if err != nil || wrote != 1 || stored.Status != to || !stored.UpdatedAt.Equal(clock.Now()) {
						t.Errorf("%s: %+v, %v, %d lines", what, stored, err, wrote)
					}
					if d := cmp.Diff(stored, got); d != "" {
						t.Errorf("%s returns another account than it stored:\n%s", what, d)
					}
				}
			}
		}
	})
}

func TestChange_WritesAuditAndEvent(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		id := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		clock.Advance(time.Hour)
		grace := clock.Now().Add(72*time.Hour + 999*time.Nanosecond).In(time.FixedZone("", 3600))
		got, err := accounts.Change(t.Context(), db, tenancy.Change{
			Account: id, Status: tenancy.StatusPastDue, GraceEndsAt: grace, Plan: "starter", Actor: operator, Reason: `the "bank" said no`,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got.Status != tenancy.StatusPastDue || got.Plan != "starter" || !got.GraceEndsAt.Equal(t0.Add(73*time.Hour)) || got.GraceEndsAt.Location() != time.UTC {
			t.Errorf("changed to %+v", got)
		}
		stored, err := accounts.Get(t.Context(), db, id)
		if d := cmp.Diff(got, stored); d != "" || err != nil {
			t.Errorf("read back (-returned +stored):\n%s%v", d, err)
		}
		fact := tenancy.AccountChanged{From: tenancy.StatusTrial, To: tenancy.StatusPastDue, FromPlan: "free-trial", ToPlan: "starter"}
		if d := cmp.Diff(fact, tenancytest.RequireEvent[tenancy.AccountChanged](t, db, id)); d != "" {
			t.Errorf("event (-want +got):\n%s", d)
		}
		line := tenancytest.RequireAudit(t, db, id, "tenancy.change")
		if line.Actor != operator || line.Reason != `the "bank" said no` || !line.At.Equal(clock.Now()) ||
			string(line.Data) != `{"from":"trial","to":"past_due","from_plan":"free-trial","to_plan":"starter"}` {
			t.Errorf("audit %+v %s", line, line.Data)
		}
		// Leaving past due ends the grace; a change of plan alone does not.
		got, err = accounts.Change(t.Context(), db, tenancy.Change{Account: id, Plan: "free-trial", Actor: operator})
		if err != nil || got.GraceEndsAt.IsZero() || got.Status != tenancy.StatusPastDue {
			t.Errorf("another plan: %+v, %v", got, err)
		}
		got, err = accounts.Change(t.Context(), db, tenancy.Change{Account: id, Status: tenancy.StatusActive, Actor: operator})
		if err != nil || !got.GraceEndsAt.IsZero() {
			t.Errorf("paid: %+v, %v", got, err)
		}
	})
}

func TestChange_Refusals(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		if _, err := accounts.Ensure(t.Context(), db, tenancy.Plan{Slug: "stopped", Name: "Stopped"}); err != nil {
			t.Fatal(err)
		}
		id := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		for _, c := range []struct {
			what   string
			change tenancy.Change
			want   error
		}{
			{"no actor", tenancy.Change{Account: id, Status: tenancy.StatusActive}, tenancy.ErrInvalid},
			{"no actor and no change", tenancy.Change{Account: id}, tenancy.ErrInvalid},
			{"an actor without id", tenancy.Change{Account: id, Status: tenancy.StatusActive, Actor: tenancy.Actor{Kind: tenancy.ActorOperator}}, tenancy.ErrInvalid},
			{"an actor without kind", tenancy.Change{Account: id, Status: tenancy.StatusActive, Actor: tenancy.Actor{ID: "op_1"}}, tenancy.ErrInvalid},
			{"a reason that is a novel", tenancy.Change{Account: id, Status: tenancy.StatusActive, Actor: operator, Reason: strings.Repeat("a", 1001)}, tenancy.ErrInvalid},
			{"a reason with a NUL", tenancy.Change{Account: id, Status: tenancy.StatusActive, Actor: operator, Reason: "a\x00"}, tenancy.ErrInvalid},
			{"unknown status", tenancy.Change{Account: id, Status: "vip", Actor: operator}, tenancy.ErrTransition},
			{"unknown plan", tenancy.Change{Account: id, Status: tenancy.StatusActive, Plan: "gold", Actor: operator}, tenancy.ErrNoPlan},
			{"stopped plan", tenancy.Change{Account: id, Status: tenancy.StatusActive, Plan: "stopped", Actor: operator}, tenancy.ErrNoPlan},
			{"no account", tenancy.Change{Account: "acc_none", Status: tenancy.StatusActive, Actor: operator}, tenancy.ErrNoAccount},
			{"no account's id", tenancy.Change{Account: "a b", Status: tenancy.StatusActive, Actor: operator}, tenancy.ErrNoAccount},
		} {
			unchanged(t, db, c.what, func() {
				_, err := accounts.Change(t.Context(), db, c.change)
				wantErr(t, c.what, err, c.want)
			})
		}
		if a, err := accounts.Get(t.Context(), db, id); err != nil || a.Status != tenancy.StatusTrial || a.Plan != "free-trial" || !a.UpdatedAt.Equal(t0) {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

// A trial that nobody ends is the product for nothing.
func TestChange_ATrialGetsAnEnd(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	accounts, _ := newAccounts(t, db, tenancy.Config{})
	r, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: "ada@example.com", Plan: "starter"}) // pending payment
	if err != nil {
		t.Fatal(err)
	}
	c := tenancy.Change{Account: r.Account.ID, Status: tenancy.StatusTrial, Actor: operator}
	unchanged(t, db, "a trial without end", func() {
		_, err := accounts.Change(t.Context(), db, c)
		wantErr(t, "without end", err, tenancy.ErrInvalid)
	})
	for _, days := range []int{7, 21} { // begun, then prolonged
		c.TrialEndsAt = t0.AddDate(0, 0, days)
		a, err := accounts.Change(t.Context(), db, c)
		if err != nil || a.Status != tenancy.StatusTrial || !a.TrialEndsAt.Equal(c.TrialEndsAt) {
			t.Errorf("%d days: %+v, %v", days, a, err)
		}
	}
	c.TrialEndsAt = time.Time{}
	unchanged(t, db, "a trial that goes on", func() {
		a, err := accounts.Change(t.Context(), db, c)
		if err != nil || !a.TrialEndsAt.Equal(t0.AddDate(0, 0, 21)) {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

func TestSuspend_HoldsUntilAnOperatorResumes(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		id := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		suspend := func() {
			t.Helper()
			a, err := accounts.Suspend(t.Context(), db, tenancy.Suspend{Account: id, Actor: operator, Reason: "abuse"})
			if err != nil || a.Status != tenancy.StatusSuspended {
				t.Errorf("suspended: %+v, %v", a, err)
			}
		}
		change := func(to tenancy.Status, want error) {
			t.Helper()
			a, err := accounts.Change(t.Context(), db, tenancy.Change{Account: id, Status: to, GraceEndsAt: t0.AddDate(0, 1, 0), Actor: tenancy.Actor{Kind: tenancy.ActorSystem, ID: "billing"}})
			wantErr(t, string(to), err, want)
			if err == nil && a.Status != tenancy.StatusSuspended {
				t.Errorf("changing to %s ended the suspension: %+v", to, a)
			}
		}
		resume := func(want tenancy.Status) tenancy.Account {
			t.Helper()
			a, err := accounts.Resume(t.Context(), db, tenancy.Resume{Account: id, Actor: operator, Reason: "sorry"})
			if err != nil || a.Status != want {
				t.Errorf("resumed: %+v, %v; want %s", a, err, want)
			}
			return a
		}

		suspend()
		line := tenancytest.RequireAudit(t, db, id, "tenancy.suspend")
		if line.Actor != operator || line.Reason != "abuse" {
			t.Errorf("audit %+v", line)
		}
		if f := tenancytest.RequireEvent[tenancy.AccountChanged](t, db, id); f.From != tenancy.StatusTrial || f.To != tenancy.StatusSuspended {
			t.Errorf("event %+v", f)
		}
		clock.Advance(time.Hour)
		unchanged(t, db, "suspending twice", suspend)
		if a, err := accounts.Get(t.Context(), db, id); err != nil || !a.UpdatedAt.Equal(t0) {
			t.Errorf("suspending twice touched the account: %+v, %v", a, err)
		}
		_, err := accounts.Enter(t.Context(), db, id, person, tenancy.Use)
		wantErr(t, "entering", err, tenancy.ErrSuspended)

		// It goes back to what it was.
		if a := resume(tenancy.StatusTrial); a.TrialEndsAt.IsZero() {
			t.Error("the trial lost its end")
		}
		if line := tenancytest.RequireAudit(t, db, id, "tenancy.resume"); line.Actor != operator || line.Reason != "sorry" {
			t.Errorf("audit %+v", line)
		}
		unchanged(t, db, "resuming twice", func() { resume(tenancy.StatusTrial) })

		// Suspended, then paid, then resumed.
		suspend()
		change(tenancy.StatusActive, nil)
		unchanged(t, db, "paying twice", func() { change(tenancy.StatusActive, nil) })
		change(tenancy.StatusTrial, tenancy.ErrTransition) // from active, which it will be
		resume(tenancy.StatusActive)

		// A payment that is late meanwhile, with its grace.
		suspend()
		change(tenancy.StatusPastDue, nil)
		if a := resume(tenancy.StatusPastDue); !a.GraceEndsAt.Equal(t0.AddDate(0, 1, 0)) {
			t.Errorf("the grace was lost: %+v", a)
		}
		// A grace that ran before the suspension runs on after it.
		suspend()
		if a := resume(tenancy.StatusPastDue); !a.GraceEndsAt.Equal(t0.AddDate(0, 1, 0)) {
			t.Errorf("the suspension ate the grace: %+v", a)
		}

		// Cancelling and paying anew is no way out.
		suspend()
		change(tenancy.StatusCancelled, nil)
		change(tenancy.StatusActive, nil)
		resume(tenancy.StatusActive)

		// Closing is.
		suspend()
		a, err := accounts.Change(t.Context(), db, tenancy.Change{Account: id, Status: tenancy.StatusClosed, Actor: operator})
		if err != nil || a.Status != tenancy.StatusClosed {
			t.Errorf("closed: %+v, %v", a, err)
		}
		resume(tenancy.StatusClosed)
		_, err = accounts.Suspend(t.Context(), db, tenancy.Suspend{Account: id, Actor: operator})
		wantErr(t, "suspending a closed account", err, tenancy.ErrTransition)
	})
}

// An import may have forgotten it.
func TestResume_OfASuspensionFromNothingWaitsUntilSomebodySays(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		id := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		resume := func(want tenancy.Status, wantError error) {
			t.Helper()
			_, err := accounts.Resume(t.Context(), db, tenancy.Resume{Account: id, Actor: operator})
			wantErr(t, "resumed", err, wantError)
			if a, err := accounts.Get(t.Context(), db, id); err != nil || a.Status != want {
				t.Errorf("it is %q, %v; want %s", a.Status, err, want)
			}
		}
		for _, to := range []tenancy.Status{tenancy.StatusActive, tenancy.StatusCancelled, tenancy.StatusPastDue} {
			setStatus(t, db, id, tenancy.StatusSuspended)
			unchanged(t, db, "a refused resume", func() { resume(tenancy.StatusSuspended, tenancy.ErrTransition) })
			a, err := accounts.Change(t.Context(), db, tenancy.Change{Account: id, Status: to, Actor: operator})
			if err != nil || a.Status != tenancy.StatusSuspended {
				t.Errorf("changed to %s: %+v, %v", to, a, err)
			}
			resume(to, nil)
		}
		// It counts as active, from where no trial begins.
		setStatus(t, db, id, tenancy.StatusSuspended)
		_, err := accounts.Change(t.Context(), db, tenancy.Change{Account: id, Status: tenancy.StatusTrial, Actor: operator})
		wantErr(t, "a trial", err, tenancy.ErrTransition)
		if a, err := accounts.Change(t.Context(), db, tenancy.Change{Account: id, Status: tenancy.StatusClosed, Actor: operator}); err != nil || a.Status != tenancy.StatusClosed {
			t.Errorf("closed: %+v, %v", a, err)
		}

		// Only a suspension has something that it came from.
		setStatus(t, db, id, "")
		_, err = accounts.Change(t.Context(), db, tenancy.Change{Account: id, Status: tenancy.StatusPastDue, Actor: operator})
		wantErr(t, "a status that is none", err, tenancy.ErrTransition)
	})
}

// PostgreSQL keeps microseconds: what is returned is what is read back, and a
// repeat changes nothing.
func TestChange_ItsTimesAreWhatADatabaseKeeps(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		r, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: "ada@example.com", Plan: "starter"})
		if err != nil {
			t.Fatal(err)
		}
		kept := t0.AddDate(0, 0, 30)
		given := kept.Add(999 * time.Nanosecond).In(time.FixedZone("", 3600))
		for _, c := range []tenancy.Change{
			{Status: tenancy.StatusTrial, TrialEndsAt: given},
			{Status: tenancy.StatusActive, PaidUntil: given},
			{Status: tenancy.StatusPastDue, GraceEndsAt: given},
		} {
			c.Account, c.Actor = r.Account.ID, operator
			want := tenancy.State{Status: c.Status, TrialEndsAt: kept} // the trial's end stays
			switch c.Status {
			case tenancy.StatusActive:
				want.PaidUntil = kept
			case tenancy.StatusPastDue:
				want.GraceEndsAt = kept
			}
			got, err := accounts.Change(t.Context(), db, c)
			if d := cmp.Diff(want, got.State); d != "" || err != nil {
				t.Errorf("%s (-want +got):\n%s%v", c.Status, d, err)
			}
			stored, err := accounts.Get(t.Context(), db, c.Account)
			if d := cmp.Diff(got, stored); d != "" || err != nil {
				t.Errorf("%s (-returned +stored):\n%s%v", c.Status, d, err)
			}
			unchanged(t, db, "the same again", func() {
				if _, err := accounts.Change(t.Context(), db, c); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

func TestChange_EachOfManyAtOnceStartsWhereTheLastEnded(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		id := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		errs := dbtest.Together(20, func(i int) (err error) {
			switch i % 4 {
			case 0:
				_, err = accounts.Suspend(t.Context(), db, tenancy.Suspend{Account: id, Actor: operator})
			case 1:
				_, err = accounts.Resume(t.Context(), db, tenancy.Resume{Account: id, Actor: operator})
			default:
				plan := []string{"starter", "free-trial"}[i%2]
				_, err = accounts.Change(t.Context(), db, tenancy.Change{Account: id, Plan: plan, Actor: operator})
			}
			return err
		})
		if n := tally(t, errs, nil); n != 20 {
			t.Errorf("%d of 20 succeeded", n)
		}
		at, plan := tenancy.StatusTrial, "free-trial"
		for _, e := range tenancytest.Events(t, db, id)[1:] {
			f, err := tenancy.Decode[tenancy.AccountChanged](e)
			if err != nil || f.From != at || f.FromPlan != plan {
				t.Errorf("event %s starts from %s on %s, the one before ended at %s on %s (%v)", e.ID, f.From, f.FromPlan, at, plan, err)
			}
			at, plan = f.To, f.ToPlan
		}
		if a, err := accounts.Get(t.Context(), db, id); err != nil || a.Status != at || a.Plan != plan {
			t.Errorf("the account is %s on %s, the last event says %s on %s (%v)", a.Status, a.Plan, at, plan, err)
		}
	})
}

func TestLock_KeepsOthersOutUntilTheTransactionEnds(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com").Account
		_, err := accounts.Lock(t.Context(), db, "acc_none")
		wantErr(t, "no account", err, tenancy.ErrNoAccount)
		_, err = accounts.Lock(t.Context(), db, "a b")
		wantErr(t, "no account's id", err, tenancy.ErrNoAccount)

		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		got, err := accounts.Lock(t.Context(), tx, ada.ID)
		if d := cmp.Diff(ada, got); d != "" || err != nil {
			t.Errorf("locked (-want +got):\n%s%v", d, err)
		}
		if db.Dialect().Name() == dialect.PG { // on SQLite a transaction that may write is alone from its beginning
			_, err := db.ExecContext(t.Context(), "SELECT 1 FROM tenancy_accounts WHERE account_id = ? FOR NO KEY UPDATE NOWAIT", ada.ID)
			var refused interface{ SQLState() string }
			if !errors.As(err, &refused) || refused.SQLState() != "55P03" {
				t.Errorf("another transaction locked the account too: %v", err)
			}
		}
	})
}
