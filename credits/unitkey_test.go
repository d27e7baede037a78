package credits_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

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

// Every verb, in two units of one account, with the same keys, at once.
func TestKey_TwoUnitsAtOnceWithTheSameKeys(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		units := []*credits.Ledger{
			credits.New(credits.Config{}), credits.New(credits.Config{Unit: "gpu_second"}),
			credits.New(credits.Config{}), credits.New(credits.Config{Unit: "gpu_second", Combine: credits.CombineOff}),
		}
		for _, l := range units[:2] {
			fund(t, l, db, 1000)
		}
		var mu sync.Mutex
		seen := map[string]string{} // of each unit and key, what it did
		say := func(i int, key string, what any, err error) {
			if err != nil && !errors.Is(err, credits.ErrInsufficient) && !errors.Is(err, credits.ErrHoldEnded) {
				t.Errorf("%d, %s: %v", i, key, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			id := fmt.Sprint(i%2, key)
			got := fmt.Sprint(what, errors.Is(err, credits.ErrInsufficient))
			if was, ok := seen[id]; ok && was != got {
				t.Errorf("%s: %s, then %s", id, was, got)
			}
			seen[id] = got
		}
		dbtest.Together(16, func(i int) error {
			l := units[i%4]
			r := rand.New(rand.NewPCG(uint64(i/4), 7))
			for n := range 15 {
				key := fmt.Sprint("k", n)
				switch r.IntN(3) {
				case 0:
					e, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1, Key: "d" + key})
					say(i, "d"+key, e.Number, err)
				case 1:
					h, err := l.Hold(t.Context(), db, credits.Hold{Account: acc, Amount: 2, Key: "h" + key})
					say(i, "h"+key, h.ID, err)
					if err == nil {
						s, err := l.Settle(t.Context(), db, credits.Settle{Account: acc, Hold: h.ID, Amount: 1})
						say(i, "s"+key, s.Entry.Number, err)
					}
				default:
					e, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 100000, Key: "r" + key})
					say(i, "r"+key, e.Number, err)
				}
			}
			return nil
		})
		for _, l := range units[:2] {
			creditstest.RequireSound(t, l, db, "")
		}
	})
}
