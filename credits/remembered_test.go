package credits_test

import (
	"context"
	"errors"
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

// remembering is a ledger that remembers acc with 19 credits of 20.
func remembering(t *testing.T, db *bun.DB, clock *tenancytest.Clock) *credits.Ledger {
	t.Helper()
	l := credits.New(credits.Config{Now: clock.Now, Overdraft: 5})
	fund(t, l, db, 20)
	deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
	return l
}

// The tests below would prove nothing if what is remembered were not used. It is one
// statement, prepared or not.
func TestSwift_DeductsFromARememberedAccountInOneStatement(t *testing.T) {
	db := dbtest.Postgres(t, credits.Migrate)
	l := remembering(t, db, tenancytest.NewClock(start))
	var queries []string
	hooked := db.WithQueryHook(onQuery(func(query string) { queries = append(queries, query) }))
	for range 3 {
		deduct(t, l, hooked, credits.Deduct{Account: acc, Amount: 2, Key: "k" + strings.Repeat("+", len(queries))})
	}
	for _, q := range queries {
		if len(queries) != 3 || !strings.HasPrefix(q, "WITH a (") && !strings.HasPrefix(q, "EXECUTE quitrent_deduct") {
			t.Errorf("%q", queries)
		}
	}
	creditstest.RequireBalance(t, l, db, acc, 13)
	creditstest.RequireSound(t, l, db, acc)
}

// Whatever happens to an account elsewhere, what this ledger remembers of it decides
// nothing.
func TestSwift_WhatIsRememberedOfAnAccountThatHasChangedDecidesNothing(t *testing.T) {
	ctx := context.Background()
	type deduction struct {
		what  credits.Deduct
		want  result // of the entry Number, Balance, Spendable and Replayed
		check func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock)
	}
	entry := func(number, balance, spendable int64) result {
		return result{Entry: credits.Entry{Number: number, Balance: balance, Spendable: spendable}}
	}
	five := credits.Deduct{Account: acc, Amount: 5}
	for name, c := range map[string]struct {
		change func(t *testing.T, db *bun.DB, l, elsewhere *credits.Ledger, clock *tenancytest.Clock)
		deduction
	}{
		"nothing": {func(*testing.T, *bun.DB, *credits.Ledger, *credits.Ledger, *tenancytest.Clock) {}, deduction{what: five, want: entry(3, 14, 14)}},
		"a deduction": {func(t *testing.T, db *bun.DB, _, elsewhere *credits.Ledger, _ *tenancytest.Clock) {
			deduct(t, elsewhere, db, credits.Deduct{Account: acc, Amount: 15})
		}, deduction{what: five, want: short(5, 4)}},
		"a deduction in a host's transaction": {func(t *testing.T, db *bun.DB, l, _ *credits.Ledger, _ *tenancytest.Clock) {
			joined(t, db, func(tx bun.Tx) { deduct(t, l, tx, credits.Deduct{Account: acc, Amount: 15}) })
		}, deduction{what: five, want: short(5, 4)}},
		"a deduction that the host rolled back": {func(t *testing.T, db *bun.DB, l, _ *credits.Ledger, _ *tenancytest.Clock) {
			undo := errors.New("undo")
			requireError(t, db.RunInTx(ctx, nil, func(_ context.Context, tx bun.Tx) error {
				deduct(t, l, tx, credits.Deduct{Account: acc, Amount: 15})
				return undo
			}), undo)
		}, deduction{what: five, want: entry(3, 14, 14)}},
		"a hold": {func(t *testing.T, db *bun.DB, _, elsewhere *credits.Ledger, _ *tenancytest.Clock) {
			hold(t, elsewhere, db, credits.Hold{Account: acc, Amount: 12})
		}, deduction{what: five, want: entry(3, 14, 2)}},
		"a hold of nearly all": {func(t *testing.T, db *bun.DB, _, elsewhere *credits.Ledger, _ *tenancytest.Clock) {
			hold(t, elsewhere, db, credits.Hold{Account: acc, Amount: 15})
		}, deduction{what: five, want: short(5, 4)}},
		"a hold that was released": {func(t *testing.T, db *bun.DB, l, elsewhere *credits.Ledger, _ *tenancytest.Clock) {
			h := hold(t, l, db, credits.Hold{Account: acc, Amount: 15})
			if _, err := elsewhere.Release(ctx, db, credits.Release{Account: acc, Hold: h.ID}); err != nil {
				t.Fatal(err)
			}
		}, deduction{what: five, want: entry(3, 14, 14)}},
		"a hold that ends by itself": {func(t *testing.T, db *bun.DB, _, elsewhere *credits.Ledger, _ *tenancytest.Clock) {
			hold(t, elsewhere, db, credits.Hold{Account: acc, Amount: 4, For: time.Minute, AtEnd: credits.AtEndCharge})
		}, deduction{five, entry(3, 14, 10), func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
			clock.Advance(time.Minute)
			creditstest.RequireBalance(t, l, db, acc, 10)
			creditstest.RequireEntry(t, l, db, acc, credits.KindSettle, -4)
		}}},
		"a settlement into debt": {func(t *testing.T, db *bun.DB, _, elsewhere *credits.Ledger, _ *tenancytest.Clock) {
			h := hold(t, elsewhere, db, credits.Hold{Account: acc, Amount: 1})
			settle(t, elsewhere, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 22})
		}, deduction{what: five, want: short(5, 0)}},
		"a grant that is spent first": {func(t *testing.T, db *bun.DB, l, _ *credits.Ledger, _ *tenancytest.Clock) {
			grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "first", Priority: -1})
		}, deduction{five, entry(4, 24, 24), func(t *testing.T, db *bun.DB, _ *credits.Ledger, _ *tenancytest.Clock) {
			if d := cmp.Diff([]split{{3, -5}}, splits(t, db, acc, 4)); d != "" {
				t.Error(d)
			}
		}}},
		"a grant that expires": {func(t *testing.T, db *bun.DB, _, elsewhere *credits.Ledger, clock *tenancytest.Clock) {
			grant(t, elsewhere, db, credits.Grant{Account: acc, Amount: 10, Key: "short", ExpiresAt: clock.Now().Add(time.Minute)})
			clock.Advance(time.Minute)
		}, deduction{what: five, want: entry(5, 14, 14)}},
		"a refund": {func(t *testing.T, db *bun.DB, l, _ *credits.Ledger, _ *tenancytest.Clock) {
			refund(t, l, db, credits.Refund{Account: acc, Entry: 2, Key: "r"})
		}, deduction{what: five, want: entry(4, 15, 15)}},
		"a key that was used": {func(t *testing.T, db *bun.DB, _, elsewhere *credits.Ledger, _ *tenancytest.Clock) {
			deduct(t, elsewhere, db, credits.Deduct{Account: acc, Amount: 5, Key: "k"})
		}, deduction{what: credits.Deduct{Account: acc, Amount: 5, Key: "k"}, want: result{Entry: credits.Entry{Number: 3, Balance: 14, Spendable: 14, Replayed: true}}}},
		"a key that was used for another thing": {func(t *testing.T, db *bun.DB, _, elsewhere *credits.Ledger, _ *tenancytest.Clock) {
			deduct(t, elsewhere, db, credits.Deduct{Account: acc, Amount: 4, Key: "k"})
		}, deduction{what: credits.Deduct{Account: acc, Amount: 5, Key: "k"}, want: refusedBy(credits.ErrKeyReused)}},
		"a key that was refused": {func(t *testing.T, db *bun.DB, l, elsewhere *credits.Ledger, _ *tenancytest.Clock) {
			_, err := elsewhere.Deduct(ctx, db, credits.Deduct{Account: acc, Amount: 25, Key: "k"})
			requireError(t, err, credits.ErrInsufficient)
			grant(t, elsewhere, db, credits.Grant{Account: acc, Amount: 30, Key: "more"})
			deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1}) // so that the account is known
			deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
		}, deduction{what: credits.Deduct{Account: acc, Amount: 25, Key: "k"}, want: short(25, 19)}},
		"a key of a hold": {func(t *testing.T, db *bun.DB, l, elsewhere *credits.Ledger, _ *tenancytest.Clock) {
			hold(t, elsewhere, db, credits.Hold{Account: acc, Amount: 5, Key: "k"})
			deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
		}, deduction{what: credits.Deduct{Account: acc, Amount: 5, Key: "k"}, want: refusedBy(credits.ErrKeyReused)}},
		"a key of another unit": {func(t *testing.T, db *bun.DB, _, _ *credits.Ledger, clock *tenancytest.Clock) {
			other := credits.New(credits.Config{Now: clock.Now, Unit: "gpu_second"})
			_, err := other.Deduct(ctx, db, credits.Deduct{Account: acc, Amount: 5, Key: "k"})
			requireError(t, err, credits.ErrInsufficient)
		}, deduction{what: credits.Deduct{Account: acc, Amount: 5, Key: "k"}, want: entry(3, 14, 14)}},
		"a budget": {func(t *testing.T, db *bun.DB, _, elsewhere *credits.Ledger, _ *tenancytest.Clock) {
			if _, err := elsewhere.SetBudget(ctx, db, credits.SetBudget{Account: acc, Subject: keyA, Limit: 3}); err != nil {
				t.Fatal(err)
			}
		}, deduction{what: credits.Deduct{Account: acc, Amount: 5, Actor: keyA}, want: result{Refusal: "budget"}}},
		"a threshold": {func(t *testing.T, db *bun.DB, _, elsewhere *credits.Ledger, _ *tenancytest.Clock) {
			if _, err := elsewhere.SetThreshold(ctx, db, credits.SetThreshold{Account: acc, Low: 15}); err != nil {
				t.Fatal(err)
			}
		}, deduction{five, entry(3, 14, 14), func(t *testing.T, db *bun.DB, _ *credits.Ledger, _ *tenancytest.Clock) {
			tenancytest.RequireEvent[credits.Low](t, db, acc)
		}}},
		// The account is another one by now, as many changes old as the one that is remembered.
		"a migration down and up again": {func(t *testing.T, db *bun.DB, _, elsewhere *credits.Ledger, _ *tenancytest.Clock) {
			if err := credits.Down(ctx, db, 0); err != nil {
				t.Fatal(err)
			}
			if err := credits.Migrate(ctx, db); err != nil {
				t.Fatal(err)
			}
			fund(t, elsewhere, db, 60)
			deduct(t, elsewhere, db, credits.Deduct{Account: acc, Amount: 1})
		}, deduction{what: five, want: entry(3, 54, 54)}},
	} {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Postgres(t, credits.Migrate)
			clock := tenancytest.NewClock(start)
			l := remembering(t, db, clock)
			c.change(t, db, l, credits.New(credits.Config{Now: clock.Now, Overdraft: 5}), clock)
			e, err := l.Deduct(ctx, db, c.what)
			got := result{Entry: credits.Entry{Number: e.Number, Balance: e.Balance, Spendable: e.Spendable, Replayed: e.Replayed}, Refusal: refusalOf(err)}
			if errors.Is(err, credits.ErrBudget) {
				got.Refusal = "budget"
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			if c.check != nil {
				c.check(t, db, l, clock)
			}
			creditstest.RequireSound(t, l, db, tenancy.AccountID(acc))
		})
	}
}

// A key that was used is looked for when a statement has failed of one, and found however
// often it is asked for.
func TestSwift_KeysAreReplayedAgainAndAgain(t *testing.T) {
	db := dbtest.Postgres(t, credits.Migrate)
	l := remembering(t, db, tenancytest.NewClock(start))
	first := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 2, Key: "k"})
	for i := range 70 { // more than it is looked for after the last was found
		if i%3 == 0 {
			e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 2, Key: "k"})
			if d := cmp.Diff(first, e, butReplayed); d != "" || !e.Replayed {
				t.Fatal(d, e.Replayed)
			}
			if _, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 3, Key: "k"}); !isReused(err) {
				t.Fatal(err)
			}
		}
	}
	if n := replays(t, db); n != 24 {
		t.Errorf("%d replays written", n)
	}
	creditstest.RequireBalance(t, l, db, acc, 17)
	creditstest.RequireSound(t, l, db, acc)
}
