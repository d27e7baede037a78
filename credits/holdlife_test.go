package credits_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// holdChild holds 1 credit of acc 30 times at once and prints how often it could.
func holdChild(ctx context.Context, db *bun.DB, _ []string) error {
	l := credits.New(credits.Config{})
	got := 0
	for _, err := range dbtest.Together(30, func(int) error {
		_, err := l.Hold(ctx, db, credits.Hold{Account: acc, Amount: 1})
		return err
	}) {
		switch {
		case err == nil:
			got++
		case !errors.Is(err, credits.ErrInsufficient):
			return err
		}
	}
	fmt.Print(got)
	return nil
}

func TestHoldRace_TwoProcessesHoldNoMoreThanThereIs(t *testing.T) {
	t.Parallel()
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 40)
		total := 0
		for _, out := range dbtest.Processes(t, 2, "hold", dbtest.DSN(db)) {
			var n int
			if _, err := fmt.Sscan(out, &n); err != nil {
				t.Fatal(err)
			}
			total += n
		}
		if total != 40 {
			t.Errorf("%d of 40 credits are held", total)
		}
		requireBalance(t, l, db, credits.Balance{Booked: 40, Held: 40})
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestHoldRace_OneHoldIsSettledOrReleasedOnce(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		elsewhere := credits.New(credits.Config{Now: func() time.Time { return start }, Combine: credits.CombineOff})
		fund(t, l, db, 100)
		for round := range 4 {
			h := hold(t, l, db, credits.Hold{Account: acc, Amount: 5})
			settled := make([]bool, 16)
			for i, err := range dbtest.Together(len(settled), func(i int) (err error) {
				ledger := []*credits.Ledger{l, elsewhere}[i%2]
				if i%4 == 3 {
					_, err = ledger.Release(t.Context(), db, credits.Release{Account: acc, Hold: h.ID})
					return err
				}
				_, err = ledger.Settle(t.Context(), db, credits.Settle{Account: acc, Hold: h.ID, Amount: 5, Key: fmt.Sprint(round, i)})
				settled[i] = err == nil
				return err
			}) {
				if err != nil && !errors.Is(err, credits.ErrHoldEnded) {
					t.Errorf("%d: %v", i, err)
				}
			}
			n := 0
			for _, s := range settled {
				if s {
					n++
				}
			}
			after, err := l.Held(t.Context(), db, acc, h.ID)
			if n > 1 || err != nil || after.Left != 0 || after.Settled != int64(5*n) {
				t.Errorf("%d settlements: %+v, %v", n, after, err)
			}
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestRelease_TwiceGivesBackOnce(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 10)
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 4})
		for range 3 {
			got, err := l.Release(t.Context(), db, credits.Release{Account: acc, Hold: h.ID})
			if err != nil || got.State != credits.HoldReleased || got.Left != 0 {
				t.Errorf("%+v, %v", got, err)
			}
			requireBalance(t, l, db, credits.Balance{Booked: 10, Spendable: 10})
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

// A hold that was refused, or holds nothing any more, charges nothing.
func TestSettle_OfWhatHoldsNothingIsRefused(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 10)
		_, err := l.Hold(t.Context(), db, credits.Hold{Account: acc, Amount: 11, Key: "h"})
		requireError(t, err, credits.ErrInsufficient)
		_, err = l.Settle(t.Context(), db, credits.Settle{Account: acc, Hold: "h", Amount: 1})
		requireError(t, err, credits.ErrNoHold)
		released := hold(t, l, db, credits.Hold{Account: acc, Amount: 4})
		if _, err := l.Release(t.Context(), db, credits.Release{Account: acc, Hold: released.ID}); err != nil {
			t.Fatal(err)
		}
		settled := hold(t, l, db, credits.Hold{Account: acc, Amount: 4})
		settle(t, l, db, credits.Settle{Account: acc, Hold: settled.ID, Amount: 1})
		ended := hold(t, l, db, credits.Hold{Account: acc, Amount: 4, For: time.Minute})
		others := hold(t, credits.New(credits.Config{Now: clock.Now, Unit: "u"}), fundUnit(t, db, clock), credits.Hold{Account: acc, Amount: 1})
		clock.Advance(time.Minute)
		for i, id := range []string{released.ID, settled.ID, ended.ID} {
			for _, more := range []bool{false, true} {
				_, err := l.Settle(t.Context(), db, credits.Settle{Account: acc, Hold: id, Amount: 1, More: more, Key: fmt.Sprint(i, more)})
				requireError(t, err, credits.ErrHoldEnded)
			}
			_, err := l.Extend(t.Context(), db, credits.Extend{Account: acc, Hold: id, For: time.Hour})
			requireError(t, err, credits.ErrHoldEnded)
		}
		_, err = l.Settle(t.Context(), db, credits.Settle{Account: acc, Hold: others.ID, Amount: 1})
		requireError(t, err, credits.ErrNoHold)
		_, err = l.Settle(t.Context(), db, credits.Settle{Account: other, Hold: settled.ID, Amount: 1})
		requireError(t, err, credits.ErrNoHold)
		requireBalance(t, l, db, credits.Balance{Booked: 9, Spendable: 9})
		creditstest.RequireSound(t, l, db, acc)
	})
}

// fundUnit gives acc some of another unit.
func fundUnit(t *testing.T, db *bun.DB, clock *tenancytest.Clock) *bun.DB {
	t.Helper()
	grant(t, credits.New(credits.Config{Now: clock.Now, Unit: "u"}), db, credits.Grant{Account: acc, Amount: 9, Key: "u"})
	return db
}

func TestSettle_AgainGivesTheFirstOutcomeBack(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 10)
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 4})
		part := settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 1, More: true, Key: "part"})
		rest := settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 2})
		for range 2 {
			for _, c := range []struct {
				what  credits.Settle
				first credits.Settled
			}{
				{credits.Settle{Account: acc, Hold: h.ID, Amount: 1, More: true, Key: "part"}, part},
				{credits.Settle{Account: acc, Hold: h.ID, Amount: 2}, rest},
			} {
				again := settle(t, l, db, c.what)
				if d := cmp.Diff(c.first.Entry, again.Entry, butReplayed); d != "" || !again.Entry.Replayed || !again.Hold.Replayed {
					t.Error(d, again)
				}
				if again.Hold.State != credits.HoldSettled || again.Hold.Settled != 3 { // as it is by now
					t.Errorf("%+v", again.Hold)
				}
			}
		}
		_, err := l.Settle(t.Context(), db, credits.Settle{Account: acc, Hold: h.ID, Amount: 3})
		requireError(t, err, credits.ErrKeyReused)
		requireBalance(t, l, db, credits.Balance{Booked: 7, Spendable: 7})
		creditstest.RequireSound(t, l, db, acc)
	})
}

// A settlement that was refused for want of credits may be asked for again, for less or
// when there are more.
func TestSettle_RefusedLeavesTheHoldToBeSettled(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 10)
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 4})
		dear := credits.Settle{Account: acc, Hold: h.ID, Amount: 12}
		_, err := l.Settle(t.Context(), db, dear)
		requireError(t, err, credits.ErrInsufficient)
		requireBalance(t, l, db, credits.Balance{Booked: 10, Held: 4, Spendable: 6})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 5, Key: "more"})
		if e := settle(t, l, db, dear).Entry; e.Amount != -12 || e.Replayed {
			t.Errorf("%+v", e)
		}
		if n := scan[int](t, db, "SELECT COUNT(*) FROM credits_keys"); n != 0 {
			t.Errorf("%d refusals are remembered", n)
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

// Who asked for work may die before it settles: that it is to be paid for is written down.
func TestHold_IsChargedAtItsEndThoughWhoTookItHasGone(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, gone *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, gone, db, 10)
		h := hold(t, gone, db, credits.Hold{Account: acc, Amount: 4, Operation: "ideas", Note: "draft 7"})
		if _, err := gone.Extend(t.Context(), db, credits.Extend{Account: acc, Hold: h.ID, AtEnd: credits.AtEndCharge}); err != nil {
			t.Fatal(err)
		}
		ended := clock.Now().Add(15 * time.Minute)
		clock.Advance(24 * time.Hour)
		// Whoever comes, and however many: once.
		ledgers := []*credits.Ledger{credits.New(credits.Config{Now: clock.Now}), credits.New(credits.Config{Now: clock.Now, Combine: credits.CombineOff})}
		for _, err := range dbtest.Together(8, func(i int) error {
			_, err := ledgers[i%2].Sweep(t.Context(), db)
			return err
		}) {
			if err != nil {
				t.Error(err)
			}
		}
		e := creditstest.RequireEntry(t, ledgers[0], db, acc, credits.KindSettle, -4)
		if e.Number != 2 || !e.At.Equal(ended) || e.Hold != h.ID || e.Operation != "ideas" || e.Note != "draft 7" {
			t.Errorf("%+v", e)
		}
		requireBalance(t, ledgers[0], db, credits.Balance{Booked: 6, Spendable: 6})
		creditstest.RequireSound(t, ledgers[0], db, acc)
	})
}

// Nobody asks before both have happened. The hold's end finds the ledger as it was then.
func TestHold_ItsEndComesAfterWhatExpiredBefore(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "ends", ExpiresAt: start.Add(time.Hour)})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "stays"})
		hold(t, l, db, credits.Hold{Account: acc, Amount: 4, For: 2 * time.Hour, AtEnd: credits.AtEndCharge})
		clock.Advance(3 * time.Hour)
		requireStory(t, l, db, "grant +10 =10 2026-03-01T09:00", "grant +10 =20 2026-03-01T09:00",
			"expire -6 =10 2026-03-01T10:00", "settle -4 =10 2026-03-01T11:00")
	})
}

func TestExpiry_TakesWhatIsLeftOfItsGrantAndOfNoOther(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "a", Category: credits.CategoryAllowance, ExpiresAt: start.Add(time.Hour)})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "p", Category: credits.CategoryPaid})
		e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 7})
		clock.Advance(time.Hour)
		requireBalance(t, l, db, credits.Balance{Booked: 10, Spendable: 10})
		// What comes back late is as expired, and taken once.
		refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Key: "r"})
		for range 3 {
			if _, err := l.Sweep(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			requireBalance(t, l, db, credits.Balance{Booked: 10, Spendable: 10})
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

// What an account owes comes before what it may spend.
func TestDebt_IsOwedOutOfWhatTakesEffectLater(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, _ *credits.Ledger, clock *tenancytest.Clock) {
		l := credits.New(credits.Config{Now: clock.Now, Overdraft: 5})
		fund(t, l, db, 1)
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 1})
		settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 6})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "later", EffectiveAt: start.Add(time.Hour)})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 7, Key: "some", Operations: []string{"ideas"}})
		requireBalance(t, l, db, credits.Balance{Booked: 12})
		_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 3, Operation: "ideas"})
		requireError(t, err, credits.ErrInsufficient)
		if e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 2, Operation: "ideas"}); e.Spendable != 0 {
			t.Errorf("%+v", e)
		}
		clock.Advance(time.Hour)
		requireBalance(t, l, db, credits.Balance{Booked: 10, Spendable: 5})
		_, err = l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 6})
		requireError(t, err, credits.ErrInsufficient)
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 5})
		creditstest.RequireSound(t, l, db, acc)
	})
}

// A balance costs the same however long the ledger is.
func TestBalance_ReadsNoEntries(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		history(t, l, db, acc)
		n := 0
		hooked := db.WithQueryHook(onQuery(func(query string) {
			if n++; strings.Contains(query, "credits_entries") || strings.Contains(query, "credits_splits") {
				t.Error(query)
			}
		}))
		creditstest.RequireBalance(t, l, hooked, acc, 6)
		if n != 2 {
			t.Errorf("%d statements", n)
		}
	})
}
