package credits_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// What can be spent is what is free in all grants that are in effect and for anything,
// whichever of them comes first; what has expired is not, even if nobody was told that it
// was due.
func TestBalance_SpendableIsWhatIsFreeInEveryGrant(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		later := start.Add(time.Hour)
		for _, g := range []credits.Grant{
			{Amount: 20, Key: "held", Priority: -1},
			{Amount: 10, Key: "partly held", Priority: 1},
			{Amount: 5, Key: "of images", Priority: 2, Operations: []string{"image"}},
			{Amount: 7, Key: "later", Priority: 2, EffectiveAt: later},
			{Amount: 4, Key: "until later", Priority: 3, ExpiresAt: later},
		} {
			g.Account = acc
			grant(t, l, db, g)
		}
		grant(t, l, db, credits.Grant{Account: other, Amount: 1000, Key: "other"})
		hold(t, l, db, credits.Hold{Account: acc, Amount: 22, For: 24 * time.Hour})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 3, Key: "first", Priority: -2})
		balance := func(want credits.Balance) {
			t.Helper()
			got, err := l.Balance(t.Context(), db, acc)
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Error(d, err)
			}
		}
		balance(credits.Balance{Booked: 49, Held: 22, Spendable: 3 + 8 + 4})
		clock.Advance(time.Hour)
		exec(t, db, "UPDATE credits_accounts SET next_at = NULL")
		balance(credits.Balance{Booked: 49, Held: 22, Spendable: 3 + 8 + 7})
	})
}
