package credits_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
)

func TestRace_AHundredDeductionsFromFiftyCreditsTakeExactlyFifty(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		for i := range 5 {
			grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: fmt.Sprint(i)})
		}
		got := 0
		for _, err := range dbtest.Together(100, func(int) error {
			_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1})
			return err
		}) {
			switch {
			case err == nil:
				got++
			case !errors.Is(err, credits.ErrInsufficient):
				t.Error(err)
			}
		}
		if got != 50 {
			t.Errorf("%d deductions from 50 credits", got)
		}
		creditstest.RequireBalance(t, l, db, acc, 0)
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestRace_TwoProcessesTakeExactlyFifty(t *testing.T) {
	t.Parallel()
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 50)
		total := 0
		for _, out := range dbtest.Processes(t, 2, "deduct", dbtest.DSN(db), string(acc), "50") {
			var n int
			if _, err := fmt.Sscan(out, &n); err != nil {
				t.Fatal(err)
			}
			total += n
		}
		if total != 50 {
			t.Errorf("%d deductions from 50 credits", total)
		}
		creditstest.RequireSound(t, l, db, acc)

		// And when there is enough for some only.
		grant(t, l, db, credits.Grant{Account: other, Amount: 31, Key: "fund"})
		dbtest.Processes(t, 2, "deduct", dbtest.DSN(db), string(other), "25")
		creditstest.RequireBalance(t, l, db, other, 0)
	})
}

func TestRace_GrantsDeductionsAndRefundsKeepEveryGrantAboveZero(t *testing.T) {
	t.Parallel()
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		dbtest.Processes(t, 2, "mix", dbtest.DSN(db))
		if n := scan[int](t, db, "SELECT COUNT(*) FROM credits_grants WHERE remaining < 0 OR remaining > amount"); n != 0 {
			t.Errorf("%d grants below zero or above their amount", n)
		}
		if n := scan[int](t, db, "SELECT COUNT(*) FROM credits_entries WHERE spendable < 0 OR balance < 0"); n != 0 {
			t.Errorf("%d entries below zero", n)
		}
		creditstest.RequireSound(t, l, db, "")
	})
}

// mixChild works on two accounts from 8 goroutines.
func mixChild(ctx context.Context, db *bun.DB, _ []string) error {
	l := credits.New(credits.Config{})
	return errors.Join(dbtest.Together(8, func(worker int) error {
		r := rand.New(rand.NewPCG(uint64(worker), rand.Uint64()))
		for range 12 {
			account := acc
			if r.IntN(3) == 0 {
				account = other
			}
			key := fmt.Sprint(r.Uint64())
			var err error
			switch r.IntN(4) {
			case 0:
				_, err = l.Grant(ctx, db, credits.Grant{Account: account, Amount: 1 + r.Int64N(20), Key: key, Priority: r.IntN(3)})
			case 1:
				_, err = l.Refund(ctx, db, credits.Refund{Account: account, Entry: 1 + r.Int64N(60), Amount: r.Int64N(4), Key: key})
			default:
				_, err = l.Deduct(ctx, db, credits.Deduct{Account: account, Amount: 1 + r.Int64N(12), Key: key})
			}
			for _, refusal := range []error{credits.ErrInsufficient, credits.ErrNotRefundable, credits.ErrNoEntry} {
				if errors.Is(err, refusal) {
					err = nil
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	})...)
}

// An account without a row cannot be locked, so what comes to it meanwhile is not
// spent.
func TestRace_TheFirstGrantComesAfterADeductionThatFoundNoAccount(t *testing.T) {
	db := dbtest.Postgres(t, credits.Migrate) // SQLite lets nobody else write meanwhile
	l := credits.New(credits.Config{Combine: credits.CombineOff})
	hooked := db.WithQueryHook(onLock(func() { fund(t, l, db, 10) }))
	_, err := l.Deduct(t.Context(), hooked, credits.Deduct{Account: acc, Amount: 1})
	requireError(t, err, credits.ErrInsufficient)
	deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
	creditstest.RequireSound(t, l, db, acc)
}
