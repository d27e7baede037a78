package credits_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func hold(t testing.TB, l *credits.Ledger, db bun.IDB, h credits.Hold) credits.Held {
	t.Helper()
	held, err := l.Hold(t.Context(), db, h)
	if err != nil {
		t.Fatalf("hold %+v: %v", h, err)
	}
	return held
}

func settle(t testing.TB, l *credits.Ledger, db bun.IDB, s credits.Settle) credits.Settled {
	t.Helper()
	out, err := l.Settle(t.Context(), db, s)
	if err != nil {
		t.Fatalf("settle %+v: %v", s, err)
	}
	return out
}

func requireBalance(t testing.TB, l *credits.Ledger, db bun.IDB, want credits.Balance) {
	t.Helper()
	got, err := l.Balance(t.Context(), db, acc)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Fatal(d, err)
	}
}

func TestHold_SetsAsideWhatNothingElseCanSpend(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 10)
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 4, Key: "h"})
		requireBalance(t, l, db, credits.Balance{Booked: 10, Held: 4, Spendable: 6})
		_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 7})
		requireError(t, err, credits.ErrInsufficient)
		if e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 6}); e.Spendable != 0 || e.Balance != 4 {
			t.Errorf("%+v", e)
		}
		again := hold(t, l, db, credits.Hold{Account: acc, Amount: 4, Key: "h"})
		if !again.Replayed || again.ID != h.ID {
			t.Errorf("%+v", again)
		}
		done := settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 3})
		if e := done.Entry; e.Kind != credits.KindSettle || e.Amount != -3 || e.Balance != 1 || e.Spendable != 0 || e.Hold != h.ID {
			t.Errorf("%+v", e)
		}
		if done.Hold.State != credits.HoldSettled || done.Hold.Settled != 3 || done.Hold.Left != 0 || done.Hold.Spendable != 1 {
			t.Errorf("%+v", done.Hold)
		}
		requireBalance(t, l, db, credits.Balance{Booked: 1, Spendable: 1})
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestHold_OutlivesTheGrantsItIsMadeOf(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "g", ExpiresAt: start.Add(time.Minute)})
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 8})
		clock.Advance(2 * time.Minute)
		requireBalance(t, l, db, credits.Balance{Booked: 8, Held: 8})
		settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 5})
		requireBalance(t, l, db, credits.Balance{}) // the rest is as expired as its grant
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestHold_EndsByItselfAtTheInstant(t *testing.T) {
	for _, c := range []struct {
		end  credits.AtEnd
		want credits.Balance
	}{
		{credits.AtEndRelease, credits.Balance{Booked: 10, Spendable: 10}},
		{credits.AtEndCharge, credits.Balance{Booked: 6, Spendable: 6}},
		{credits.AtEndReview, credits.Balance{Booked: 10, Held: 4, Spendable: 6}},
	} {
		t.Run(string(c.end), func(t *testing.T) {
			each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
				fund(t, l, db, 10)
				hold(t, l, db, credits.Hold{Account: acc, Amount: 4, AtEnd: c.end, For: time.Minute})
				clock.Advance(time.Minute - time.Microsecond)
				requireBalance(t, l, db, credits.Balance{Booked: 10, Held: 4, Spendable: 6})
				clock.Advance(time.Microsecond)
				requireBalance(t, l, db, c.want)
				creditstest.RequireSound(t, l, db, acc)
			})
		})
	}
}

func TestSettle_ChargesMoreThanIsHeldUpToTheOverdraft(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, _ *credits.Ledger, clock *tenancytest.Clock) {
		l := credits.New(credits.Config{Now: clock.Now, Overdraft: 5})
		fund(t, l, db, 10)
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 4})
		_, err := l.Settle(t.Context(), db, credits.Settle{Account: acc, Hold: h.ID, Amount: 16, Key: "too much"})
		requireError(t, err, credits.ErrInsufficient)
		e := settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 15}).Entry
		requireBalance(t, l, db, credits.Balance{Booked: -5})
		creditstest.RequireSound(t, l, db, acc)
		// The next grant repays the debt first, and a refund gives back what it repaid.
		grant(t, l, db, credits.Grant{Account: acc, Amount: 7, Key: "more"})
		requireBalance(t, l, db, credits.Balance{Booked: 2, Spendable: 2})
		refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Key: "back"})
		requireBalance(t, l, db, credits.Balance{Booked: 17, Spendable: 17})
		_, err = l.Refund(t.Context(), db, credits.Refund{Account: acc, Entry: e.Number, Key: "once more"})
		requireError(t, err, credits.ErrNotRefundable)
		creditstest.RequireSound(t, l, db, acc)
	})
}
