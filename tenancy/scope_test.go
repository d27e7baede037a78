package tenancy_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

var key = tenancy.Actor{Kind: tenancy.ActorKey, ID: "key_1"}

func TestM2_Enter_PutsTheValidatedAccountIntoTheContext(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		r := tenancytest.Register(t, db, accounts, "ada@example.com")
		ctx, err := accounts.Enter(t.Context(), db, r.Account.ID, key, 0)
		if err != nil {
			t.Fatal(err)
		}
		want := tenancy.Scope{Account: r.Account.ID, State: r.Account.State, Plan: r.Plan, Actor: key, Capability: tenancy.Use}
		if d := cmp.Diff(want, tenancy.From(ctx)); d != "" {
			t.Errorf("scope (-want +got):\n%s", d)
		}

		// What time does to the account needs no job.
		clock.Set(r.Account.TrialEndsAt)
		ctx, err = accounts.Enter(t.Context(), db, r.Account.ID, person, tenancy.Use)
		wantErr(t, "trial over", err, tenancy.ErrTrialOver)
		if ctx != nil {
			t.Error("a refusal returned a context")
		}
		if _, err := accounts.Enter(t.Context(), db, r.Account.ID, person, tenancy.SignIn|tenancy.Pay); err != nil {
			t.Errorf("with the trial over she cannot even pay: %v", err)
		}

		// A change of the plan counts at once, and so does its absence.
		clock.Set(t0)
		if _, err := accounts.Ensure(t.Context(), db, tenancy.Plan{Slug: "free-trial", Name: "Stopped"}); err != nil {
			t.Fatal(err)
		}
		_, err = accounts.Enter(t.Context(), db, r.Account.ID, person, tenancy.Use)
		wantErr(t, "plan stopped", err, tenancy.ErrPlanInactive)
		if _, err := db.NewRaw("DELETE FROM tenancy_plans").Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = accounts.Enter(t.Context(), db, r.Account.ID, person, tenancy.Use)
		wantErr(t, "plan gone", err, tenancy.ErrPlanInactive)
		ctx, err = accounts.Enter(t.Context(), db, r.Account.ID, person, tenancy.Pay)
		if err != nil || tenancy.From(ctx).Plan.Slug != "" {
			t.Errorf("without a plan she cannot even pay: %v", err)
		}
	})
}

func TestM2_Enter_Refusals(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		id := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		for _, c := range []struct {
			what  string
			id    tenancy.AccountID
			actor tenancy.Actor
			need  tenancy.Capability
			want  error
		}{
			{"no account", "acc_none", person, tenancy.Use, tenancy.ErrNoAccount},
			{"no account's id", "", person, tenancy.Use, tenancy.ErrNoAccount},
			{"an id with a NUL", id + "\x00", person, tenancy.Use, tenancy.ErrNoAccount},
			{"an id in no encoding", id + "\xff", person, tenancy.Use, tenancy.ErrNoAccount},
			{"an id with a wildcard", "acc%", person, tenancy.Use, tenancy.ErrNoAccount},
			{"nobody", id, tenancy.Actor{}, tenancy.Use, tenancy.ErrInvalid},
			{"nobody of a kind", id, tenancy.Actor{Kind: tenancy.ActorUser}, tenancy.Use, tenancy.ErrInvalid},
			{"somebody of no kind", id, tenancy.Actor{ID: "usr_1"}, tenancy.Use, tenancy.ErrInvalid},
			{"an unknown capability", id, person, 128, tenancy.ErrForbidden},
			{"a key that signs in", id, key, tenancy.SignIn, tenancy.ErrForbidden},
			{"a key that makes keys", id, key, tenancy.Use | tenancy.MintKeys, tenancy.ErrForbidden},
			{"a key that pays", id, key, tenancy.Pay, tenancy.ErrForbidden},
			{"a key that exports", id, key, tenancy.Read | tenancy.Export, tenancy.ErrForbidden},
			{"a key with an unknown capability", id, key, 128, tenancy.ErrForbidden},
		} {
			ctx, err := accounts.Enter(t.Context(), db, c.id, c.actor, c.need)
			wantErr(t, c.what, err, c.want)
			if ctx != nil {
				t.Errorf("%s has entered", c.what)
			}
		}
		for _, need := range []tenancy.Capability{tenancy.Read, tenancy.Write, tenancy.Spend, tenancy.Use} {
			if _, err := accounts.Enter(t.Context(), db, id, key, need); err != nil {
				t.Errorf("a key for %s: %v", need, err)
			}
		}
	})
}

func TestM2_Enter_ASuspensionCountsFromItsCommitOn(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		id := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		for range 3 {
			if _, err := accounts.Enter(t.Context(), db, id, key, tenancy.Use); err != nil {
				t.Fatal(err)
			}
			if _, err := accounts.Suspend(t.Context(), db, tenancy.Suspend{Account: id, Actor: operator}); err != nil {
				t.Fatal(err)
			}
			_, err := accounts.Enter(t.Context(), db, id, key, tenancy.Use)
			wantErr(t, "suspended", err, tenancy.ErrSuspended)
			if _, err := accounts.Resume(t.Context(), db, tenancy.Resume{Account: id, Actor: operator}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestM2_Enter_WithTheHostsLoader(t *testing.T) {
	down := errors.New("the host's database is down")
	db := dbtest.SQLite(t) // without the tables of this package
	accounts := tenancy.New(tenancy.Config{Loader: func(_ context.Context, got bun.IDB, id tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
		if got != db {
			t.Error("the loader got another database")
		}
		switch id {
		case "1":
			return tenancy.State{Status: tenancy.StatusActive}, tenancy.Plan{Slug: "own", Active: true}, nil
		case "2":
			return tenancy.State{Status: tenancy.StatusSuspended}, tenancy.Plan{Slug: "own", Active: true}, nil
		case "3":
			return tenancy.State{}, tenancy.Plan{}, down
		case "4":
			return tenancy.State{}, tenancy.Plan{}, nil // forgot to say
		}
		return tenancy.State{}, tenancy.Plan{}, tenancy.ErrNoAccount
	}})
	for id, want := range map[tenancy.AccountID]error{"1": nil, "2": tenancy.ErrSuspended, "3": down, "4": tenancy.ErrUnknownStatus, "5": tenancy.ErrNoAccount} {
		ctx, err := accounts.Enter(t.Context(), db, id, person, tenancy.Use)
		wantErr(t, string(id), err, want)
		if (ctx != nil) != (want == nil) {
			t.Errorf("account %s: context %v", id, ctx)
		}
	}
}

func TestFrom_PanicsWhereNothingHasEntered(t *testing.T) {
	if s, ok := tenancy.Lookup(t.Context()); ok || s.Account != "" {
		t.Errorf("found %+v", s)
	}
	defer func() {
		if recover() == nil {
			t.Error("From returned")
		}
	}()
	tenancy.From(t.Context())
}

func TestFrom_HandsOutACopy(t *testing.T) {
	ctx := tenancytest.Context(t, tenancy.Scope{Account: "acc_1"})
	s := tenancy.From(ctx)
	s.Account = "acc_2"
	if got := tenancy.From(ctx).Account; got != "acc_1" {
		t.Errorf("a handler moved its request to %s", got)
	}
}

func TestLoad_AsksTheLoaderForIDsOnly(t *testing.T) {
	asked := 0
	accounts := tenancy.New(tenancy.Config{Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
		asked++
		return tenancy.State{Status: tenancy.StatusSuspended}, tenancy.Plan{Slug: "own"}, nil
	}})
	state, plan, err := accounts.Load(t.Context(), nil, "1")
	if state.Status != tenancy.StatusSuspended || plan.Slug != "own" || err != nil || asked != 1 {
		t.Errorf("%+v, %+v, %v, asked %d times", state, plan, err, asked)
	}
	_, _, err = accounts.Load(t.Context(), nil, "1\x00")
	wantErr(t, "no account's id", err, tenancy.ErrNoAccount)
	if asked != 1 {
		t.Error("the loader was asked for what is no id")
	}
}
