package credits_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// Nobody sweeps, and each of these is the first to ask after its end.
func TestHeld_BooksFirstWhatIsDue(t *testing.T) {
	for atEnd, want := range map[credits.AtEnd]credits.HoldState{
		credits.AtEndRelease: credits.HoldReleased, credits.AtEndCharge: credits.HoldSettled, credits.AtEndReview: credits.HoldReview,
	} {
		t.Run(string(atEnd), func(t *testing.T) {
			each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
				fund(t, l, db, 10)
				h := hold(t, l, db, credits.Hold{Account: acc, Amount: 4, For: time.Hour, AtEnd: atEnd})
				clock.Advance(2 * time.Hour)
				got, err := l.Held(t.Context(), db, acc, h.ID)
				if err != nil || got.State != want {
					t.Errorf("%+v, %v", got, err)
				}
				creditstest.RequireSound(t, l, db, acc)
			})
		})
	}
}

func TestEntries_OfTheFirstPageBookFirstWhatIsDue(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "g", ExpiresAt: start.Add(time.Hour)})
		clock.Advance(2 * time.Hour)
		page, err := l.Entries(t.Context(), db, credits.Entries{Account: acc, Before: 2})
		if d := cmp.Diff([]int64{1}, numbers(page)); d != "" || err != nil {
			t.Error(d, err)
		}
		if n := rows(t, db)["credits_entries"]; n != 1 {
			t.Errorf("a later page booked: there are %d entries", n)
		}
		w := as(t, l.Handler(db), acc)("GET", "/credits/entries")
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"kind":"expire","amount":-10,"balance":0`) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		page, err = l.Entries(t.Context(), db, credits.Entries{Account: acc})
		if d := cmp.Diff([]int64{2, 1}, numbers(page)); d != "" || err != nil {
			t.Error(d, err)
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

// They read in the host's transaction, and what they book is undone with it.
func TestReads_BookInTheTransactionTheyAreIn(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 10)
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 4, For: time.Hour, AtEnd: credits.AtEndCharge})
		clock.Advance(2 * time.Hour)
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.Held(t.Context(), tx, acc, h.ID)
		if err != nil || got.State != credits.HoldSettled {
			t.Errorf("%+v, %v", got, err)
		}
		page, err := l.Entries(t.Context(), tx, credits.Entries{Account: acc})
		if d := cmp.Diff([]int64{2, 1}, numbers(page)); d != "" || err != nil {
			t.Error(d, err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if n := rows(t, db)["credits_entries"]; n != 1 {
			t.Errorf("%d entries", n)
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

// The key's hold is read while the account's book is open, where what is due is booked
// already and not written yet.
func TestHold_ReplayedWhenSomethingIsDueBooksItOnce(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "g", ExpiresAt: start.Add(time.Hour)})
		what := credits.Hold{Account: acc, Amount: 4, Key: "h"}
		h := hold(t, l, db, what)
		if _, err := l.Release(t.Context(), db, credits.Release{Account: acc, Hold: h.ID}); err != nil {
			t.Fatal(err)
		}
		clock.Advance(2 * time.Hour)
		again := hold(t, l, db, what)
		if again.ID != h.ID || again.State != credits.HoldReleased || !again.Replayed {
			t.Errorf("%+v", again)
		}
		if n := rows(t, db)["credits_entries"]; n != 2 {
			t.Errorf("%d entries", n)
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}
