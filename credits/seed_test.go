package credits_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

type hook = func(ctx context.Context, db bun.IDB, r tenancy.Registered) error

func TestM3_ARegistrationSeedsTheAccountInItsTransaction(t *testing.T) {
	price := func(amount int64) []tenancy.Price {
		return []tenancy.Price{{Currency: "USD", Interval: tenancy.Monthly, Amount: amount}}
	}
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		accounts := tenancy.New(tenancy.Config{Now: clock.Now, OnRegister: []hook{l.OnRegister}})
		plans := []tenancy.Plan{
			{Slug: "trial", Name: "Trial", Active: true, Prices: price(0), MonthlyCredits: 2000, TrialDays: 14},
			{Slug: "free", Name: "Free", Active: true, Prices: price(0), MonthlyCredits: 100},
			{Slug: "paid", Name: "Paid", Active: true, Prices: price(8900), MonthlyCredits: 1000},
			{Slug: "none", Name: "None", Active: true, Prices: price(0)},
		}
		if _, err := accounts.Ensure(t.Context(), db, plans...); err != nil {
			t.Fatal(err)
		}
		for plan, want := range map[string]struct {
			credits  int64
			category string
		}{
			"trial": {2000, "promo"}, "free": {100, "allowance"}, "paid": {0, ""}, "none": {0, ""},
		} {
			r, err := accounts.Register(t.Context(), db, tenancy.Register{Name: plan, Email: plan + "@example.com", Plan: plan})
			if err != nil {
				t.Fatal(err)
			}
			id := r.Account.ID
			creditstest.RequireBalance(t, l, db, id, want.credits)
			creditstest.RequireSound(t, l, db, id)
			if want.credits == 0 {
				if n := scan[int](t, db, "SELECT COUNT(*) FROM credits_entries WHERE account_id = ?", id); n != 0 {
					t.Errorf("%s: %d entries", plan, n)
				}
				continue
			}
			creditstest.RequireEntry(t, l, db, id, credits.KindGrant, want.credits)
			if got := scan[string](t, db, "SELECT category FROM credits_grants WHERE account_id = ?", id); got != want.category {
				t.Errorf("%s: category %s, want %s", plan, got, want.category)
			}
			if got := tenancytest.RequireEvent[credits.Granted](t, db, id); got.Amount != want.credits {
				t.Errorf("%s: event %+v", plan, got)
			}
			if got := tenancytest.RequireAudit(t, db, id, "credits.grant"); got.Actor != (tenancy.Actor{Kind: tenancy.ActorSystem, ID: "credits"}) {
				t.Errorf("%s: audit %+v", plan, got)
			}
		}
	})
}

func TestM3_ARegistrationThatFailsLeavesNeitherAccountNorLedger(t *testing.T) {
	boom := errors.New("boom")
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		l := credits.New(credits.Config{})
		fail := func(context.Context, bun.IDB, tenancy.Registered) error { return boom }
		accounts := tenancy.New(tenancy.Config{OnRegister: []hook{l.OnRegister, fail}})
		if _, err := accounts.Ensure(t.Context(), db, tenancytest.Plans()...); err != nil {
			t.Fatal(err)
		}
		before := rows(t, db)
		_, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
		requireError(t, err, boom)
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Error(d)
		}
		if n := scan[int](t, db, "SELECT COUNT(*) FROM tenancy_accounts"); n != 0 {
			t.Errorf("%d accounts", n)
		}
	}, credits.Migrate)
}

func TestSeed_HappensOnceInAnAccountsLife(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		seed := credits.Seed{Account: acc, Amount: 2000}
		first, err := l.Seed(t.Context(), db, seed)
		if err != nil || first.Replayed {
			t.Fatal(first, err)
		}
		again, err := l.Seed(t.Context(), db, seed)
		if d := cmp.Diff(first, again, cmpopts.IgnoreFields(credits.Entry{}, "Replayed")); d != "" || err != nil || !again.Replayed {
			t.Error(d, again.Replayed, err)
		}
		_, err = l.Seed(t.Context(), db, credits.Seed{Account: acc, Amount: 2001})
		requireError(t, err, credits.ErrKeyReused)
		creditstest.RequireBalance(t, l, db, acc, 2000)
	})
}

func TestM3_ARegistrationSeedsEveryUnitOnce(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		seconds := credits.New(credits.Config{Unit: "gpu_second", Now: clock.Now})
		images := credits.New(credits.Config{Unit: "image", Now: clock.Now})
		again := func(ctx context.Context, db bun.IDB, r tenancy.Registered) error {
			return errors.Join(l.OnRegister(ctx, db, r), seconds.OnRegister(ctx, db, r))
		}
		hooks := []hook{l.OnRegister, seconds.OnRegister, images.OnRegister, again}
		accounts := tenancy.New(tenancy.Config{Now: clock.Now, OnRegister: hooks})
		if _, err := accounts.Ensure(t.Context(), db, tenancytest.Plans()...); err != nil {
			t.Fatal(err)
		}
		r, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		id, want := r.Account.ID, r.Plan.MonthlyCredits
		for _, of := range []*credits.Ledger{l, seconds, images} {
			creditstest.RequireBalance(t, of, db, id, want)
			creditstest.RequireSound(t, of, db, id)
			if e, err := of.Entry(t.Context(), db, id, 1); err != nil || want == 0 || e.Amount != want || e.Key != "quitrent:seed" {
				t.Errorf("seeded by %+v, %v", e, err)
			}
			e, err := of.Seed(t.Context(), db, credits.Seed{Account: id, Amount: want})
			if err != nil || !e.Replayed || e.Number != 1 {
				t.Errorf("seeded again by %+v, %v", e, err)
			}
		}
	})
}
