package tenancytest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Plans are two plans to test with: "free-trial", which sign-up assigns (free, 14
// days, 2,000 credits, 5 requests a second, 20 at once), and "starter" ($89 a
// month, 1,000 credits, 2 users).
func Plans() []tenancy.Plan {
	return []tenancy.Plan{
		{
			Slug: tenancy.DefaultTrialPlan, Name: "Free trial", Active: true,
			Prices:         []tenancy.Price{{Currency: "USD", Interval: tenancy.Monthly, Amount: 0}},
			MonthlyCredits: 2000, TrialDays: 14, Rate: 5, Burst: 20,
		},
		{
			Slug: "starter", Name: "Starter", Active: true,
			Prices:         []tenancy.Price{{Currency: "USD", Interval: tenancy.Monthly, Amount: 8900}},
			MonthlyCredits: 1000, Rate: 10, Burst: 50, Limits: map[string]int64{tenancy.LimitUsers: 2},
		},
	}
}

// Register signs an account up under an e-mail address, which is its name too.
// Those of Plans that the database lacks are created first.
func Register(t testing.TB, db bun.IDB, accounts *tenancy.Accounts, email string) tenancy.Registered {
	t.Helper()
	for _, p := range Plans() {
		_, err := accounts.Plan(t.Context(), db, p.Slug)
		if errors.Is(err, tenancy.ErrNoPlan) {
			_, err = accounts.Ensure(t.Context(), db, p)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := accounts.Register(t.Context(), db, tenancy.Register{Name: email, Email: email})
	if err != nil {
		t.Fatalf("registering %s: %v", email, err)
	}
	return r
}

// Context is the test's context after it has entered an account as s says, by way
// of Accounts.Enter: the test fails where Enter refuses. Zero fields mean the
// account "acc_test", active, on the starter plan of Plans, entered by a user for
// tenancy.Use.
//
// No trial or grace in s is over here, whatever the date. What time does to an
// account is tested with a Clock, a database and Accounts.Enter itself.
func Context(t testing.TB, s tenancy.Scope) context.Context {
	t.Helper()
	if s.Account == "" {
		s.Account = "acc_test"
	}
	if s.State.Status == "" {
		s.State.Status = tenancy.StatusActive
	}
	if s.Plan.Slug == "" {
		s.Plan = Plans()[1]
	}
	if s.Actor == (tenancy.Actor{}) {
		s.Actor = tenancy.Actor{Kind: tenancy.ActorUser, ID: "usr_test"}
	}
	accounts := tenancy.New(tenancy.Config{
		Now: func() time.Time { return time.Time{} },
		Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
			return s.State, s.Plan, nil
		},
	})
	ctx, err := accounts.Enter(t.Context(), nil, s.Account, s.Actor, s.Capability)
	if err != nil {
		t.Fatalf("entering %s: %v", s.Account, err)
	}
	return ctx
}
