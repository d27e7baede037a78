package credits_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestKey_IsOneUnitsOwn(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		seconds := credits.New(credits.Config{Unit: "gpu_second", Now: clock.Now})
		for range 2 { // again: each gives its own outcome back
			for n, l := range []*credits.Ledger{l, seconds} {
				_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1, Key: "too early"})
				requireError(t, err, credits.ErrInsufficient)
				grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "g"})
				h := hold(t, l, db, credits.Hold{Account: acc, Amount: 2, Key: "h"})
				settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 1, Key: "s"})
				e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: int64(3 + n), Key: "d"})
				if want := int64(6 - n); e.Number != 3 || e.Balance != want || e.Spendable != want {
					t.Errorf("%+v", e)
				}
			}
		}
		for n, l := range []*credits.Ledger{l, seconds} {
			creditstest.RequireSound(t, l, db, "")
			creditstest.RequireBalance(t, l, db, acc, int64(6-n))
		}
	})
}

// Neither unit waits for what is under way in the other, nor does it fail with it.
func TestKey_UnderWayInOneUnitHoldsUpNoOther(t *testing.T) {
	db := dbtest.Postgres(t, credits.Migrate) // SQLite has one transaction that writes
	l, seconds := credits.New(credits.Config{}), credits.New(credits.Config{Unit: "gpu_second"})
	for _, l := range []*credits.Ledger{l, seconds} {
		fund(t, l, db, 10)
	}
	deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1}) // so that the account is remembered
	back := errors.New("back")
	err := db.RunInTx(t.Context(), nil, func(_ context.Context, tx bun.Tx) error {
		deduct(t, seconds, tx, credits.Deduct{Account: acc, Amount: 4, Key: "k"})
		_, err := seconds.Deduct(t.Context(), tx, credits.Deduct{Account: acc, Amount: 40, Key: "refused"})
		requireError(t, err, credits.ErrInsufficient)
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 2, Key: "k"})
		_, err = l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 40, Key: "refused"})
		requireError(t, err, credits.ErrInsufficient)
		return back
	})
	requireError(t, err, back)
	creditstest.RequireBalance(t, seconds, db, acc, 10)
	creditstest.RequireBalance(t, l, db, acc, 7)
	creditstest.RequireSound(t, l, db, acc)
	creditstest.RequireSound(t, seconds, db, acc)
}

func TestM15_KeysOfTwoUnitsHaveNoWayBackAndLoseNothing(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		seconds := credits.New(credits.Config{Unit: "gpu_second", Now: clock.Now})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "g"})
		grant(t, seconds, db, credits.Grant{Account: acc, Amount: 10, Key: "s"})
		for _, key := range []string{"refused", "held"} {
			_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 40, Key: key})
			requireError(t, err, credits.ErrInsufficient)
		}
		before := rows(t, db)
		if err := credits.Down(t.Context(), db, 8); err != nil {
			t.Fatal(err)
		}
		if err := credits.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Error(d)
		}
		hold(t, seconds, db, credits.Hold{Account: acc, Amount: 1, Key: "held"})
		grant(t, seconds, db, credits.Grant{Account: acc, Amount: 10, Key: "g"})
		before = rows(t, db)
		if err := credits.Down(t.Context(), db, 8); err == nil {
			t.Error("two keys became one")
		}
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Error(d)
		}
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "g"}) // as it was
		creditstest.RequireBalance(t, l, db, acc, 10)
	})
}
