package credits_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// What is charged beyond the hold comes out of the same grant in one piece.
func TestSettle_OfMoreThanIsHeldTakesFromEachGrantOnce(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "a", Category: credits.CategoryAllowance})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "p", Category: credits.CategoryPaid})
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 4})
		e := settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 7}).Entry
		if d := cmp.Diff([]split{{1, -7}}, splits(t, db, acc, e.Number)); d != "" {
			t.Error(d)
		}
		h = hold(t, l, db, credits.Hold{Account: acc, Amount: 8})
		e = settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 10}).Entry
		if d := cmp.Diff([]split{{1, -3}, {2, -7}}, splits(t, db, acc, e.Number)); d != "" {
			t.Error(d)
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestSettle_InPartsGoesOnWithTheNextGrantOfItsHold(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		for i, c := range []credits.Category{credits.CategoryAllowance, credits.CategoryPromo, credits.CategoryPaid} {
			grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: string(c), Category: c, ExpiresAt: start.Add(time.Duration(i+1) * time.Minute)})
		}
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 25, For: 2 * time.Hour})
		clock.Advance(time.Hour) // nothing can be spent any more but what is held
		for i, c := range []struct {
			amount int64
			want   []split
		}{{10, []split{{1, -10}}}, {4, []split{{2, -4}}}, {8, []split{{2, -6}, {3, -2}}}, {3, []split{{3, -3}}}} {
			e := settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: c.amount, More: i < 3, Key: fmt.Sprint(i)}).Entry
			if d := cmp.Diff(c.want, splits(t, db, acc, e.Number)); d != "" {
				t.Errorf("settlement %d: %s", i, d)
			}
		}
		requireBalance(t, l, db, credits.Balance{})
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestHold_LastsFromASecondTo30Days(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 10)
		for _, d := range []time.Duration{time.Second, 30 * 24 * time.Hour} {
			h := hold(t, l, db, credits.Hold{Account: acc, Amount: 1, For: d})
			if !h.ExpiresAt.Equal(start.Add(d)) {
				t.Errorf("for %s: until %s", d, h.ExpiresAt)
			}
			if _, err := l.Extend(t.Context(), db, credits.Extend{Account: acc, Hold: h.ID, For: d}); err != nil {
				t.Errorf("for %s more: %v", d, err)
			}
		}
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 1})
		for _, d := range []time.Duration{-time.Second, time.Second - 1, 30*24*time.Hour + 1} {
			_, err := l.Hold(t.Context(), db, credits.Hold{Account: acc, Amount: 1, For: d})
			requireError(t, err, credits.ErrInvalid)
			_, err = l.Extend(t.Context(), db, credits.Extend{Account: acc, Hold: h.ID, For: d})
			requireError(t, err, credits.ErrInvalid)
		}
	})
}

// requireDue ends the test unless the account's row says that something is due next at a
// time, or nothing where that is zero.
func requireDue(t testing.TB, l *credits.Ledger, db *bun.DB, want time.Time) {
	t.Helper()
	if _, err := l.Sweep(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	creditstest.RequireSound(t, l, db, acc)
	next := scan[bun.NullTime](t, db, "SELECT next_at FROM credits_accounts WHERE account_id = ?", acc)
	if !next.Equal(want) {
		t.Fatalf("due at %s, want %s", next.Time, want)
	}
}

// What is not to come costs no look into the tables.
func TestHold_ThatHasEndedIsDueNoMore(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		grant(t, l, db, credits.Grant{Account: other, Amount: 10, Key: "fund"})
		if _, err := l.Hold(t.Context(), db, credits.Hold{Account: other, Amount: 1, For: time.Hour}); err != nil {
			t.Fatal(err)
		}
		fund(t, l, db, 10)
		for _, end := range []credits.AtEnd{credits.AtEndRelease, credits.AtEndReview, credits.AtEndCharge} {
			hold(t, l, db, credits.Hold{Account: acc, Amount: 1, For: time.Minute, AtEnd: end})
			requireDue(t, l, db, clock.Now().Add(time.Minute))
			clock.Advance(time.Minute)
			requireDue(t, l, db, time.Time{})
		}
	})
}

func TestExpiry_OfWhatIsNotLeftIsDueNoMore(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		end := start.Add(2 * time.Minute)
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "held", ExpiresAt: end})
		hold(t, l, db, credits.Hold{Account: acc, Amount: 10, For: time.Minute, AtEnd: credits.AtEndReview})
		requireDue(t, l, db, start.Add(time.Minute))
		clock.Advance(time.Minute)
		requireDue(t, l, db, end) // it may be released before
		clock.Advance(time.Minute)
		requireDue(t, l, db, time.Time{}) // all of it is held

		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "charged", ExpiresAt: end.AddDate(1, 0, 0)})
		hold(t, l, db, credits.Hold{Account: acc, Amount: 10, For: time.Minute, AtEnd: credits.AtEndCharge})
		clock.Advance(time.Minute)
		requireDue(t, l, db, time.Time{})
		requireBalance(t, l, db, credits.Balance{Booked: 10, Held: 10})
	})
}

// Another end without more time is none for a hold whose time is over.
func TestExtend_WithoutMoreTimeLeavesAHoldToWhoDecides(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 10)
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 4, For: time.Minute, AtEnd: credits.AtEndReview})
		clock.Advance(time.Hour)
		got, err := l.Extend(t.Context(), db, credits.Extend{Account: acc, Hold: h.ID, AtEnd: credits.AtEndRelease})
		if err != nil || got.State != credits.HoldReview || got.AtEnd != credits.AtEndRelease || !got.ExpiresAt.Equal(h.ExpiresAt) {
			t.Errorf("%+v, %v", got, err)
		}
		got, err = l.Extend(t.Context(), db, credits.Extend{Account: acc, Hold: h.ID, For: time.Minute})
		if err != nil || got.State != credits.HoldOpen || !got.ExpiresAt.Equal(clock.Now().Add(time.Minute)) {
			t.Errorf("%+v, %v", got, err)
		}
		clock.Advance(time.Minute)
		requireBalance(t, l, db, credits.Balance{Booked: 10, Spendable: 10})
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestHeld_ReadsTheHoldOfTheAccountAndUnitAndNoOther(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 10)
		grant(t, l, db, credits.Grant{Account: other, Amount: 10, Key: "fund"})
		fundUnit(t, db, clock)
		places := []struct {
			l       *credits.Ledger
			account tenancy.AccountID
		}{{l, acc}, {l, other}, {credits.New(credits.Config{Now: clock.Now, Unit: "u"}), acc}}
		for i, mine := range places {
			for n := range int64(2) {
				h := hold(t, mine.l, db, credits.Hold{Account: mine.account, Amount: n + 1})
				h.Spendable = 0 // it is not stored
				for j, p := range places {
					got, err := p.l.Held(t.Context(), db, p.account, h.ID)
					if i == j {
						if d := cmp.Diff(h, got); d != "" || err != nil {
							t.Error(d, err)
						}
						continue
					}
					requireError(t, err, credits.ErrNoHold)
				}
			}
		}
	})
}

func TestHold_OfWhichNothingIsLeftChargesNothingAtItsEnd(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 10)
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 4, For: time.Minute, AtEnd: credits.AtEndCharge})
		settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 4, More: true, Key: "all"})
		clock.Advance(time.Minute)
		requireBalance(t, l, db, credits.Balance{Booked: 6, Spendable: 6})
		if n := rows(t, db)["credits_entries"]; n != 2 {
			t.Errorf("%d entries", n)
		}
		got, err := l.Held(t.Context(), db, acc, h.ID)
		if err != nil || got.State != credits.HoldSettled || got.Settled != 4 {
			t.Errorf("%+v, %v", got, err)
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestExpiry_OfSeveralIsBookedInTheOrderOfTheirEnds(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		for i, hours := range []int{2, 3, 1} {
			grant(t, l, db, credits.Grant{Account: acc, Amount: int64(i + 1), Key: fmt.Sprint(i), ExpiresAt: start.Add(time.Duration(hours) * time.Hour)})
		}
		clock.Advance(24 * time.Hour)
		if d := cmp.Diff([]string{
			"expire -3 =3 2026-03-01T10:00", "expire -1 =2 2026-03-01T11:00", "expire -2 =0 2026-03-01T12:00",
		}, story(t, l, db)[3:]); d != "" {
			t.Error(d)
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}
