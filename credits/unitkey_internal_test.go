package credits

import (
	"fmt"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
)

// What is known of a key in one unit says nothing of it in the other, whichever way a batch
// goes: by what is remembered, with keys looked up beforehand or not, and by locks.
func TestKey_RefusedInOneUnitAndAnEntryInTheOther(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		l, seconds := New(Config{}), New(Config{Unit: "gpu_second"})
		for _, l := range []*Ledger{l, seconds} {
			for _, a := range []string{string(accA), string(accB)} {
				if _, err := l.Grant(t.Context(), db, Grant{Account: accA, Amount: 100, Key: "fund" + a}); err != nil {
					t.Fatal(err)
				}
			}
		}
		for round := range 3 {
			for i := range 6 {
				key := fmt.Sprint("k", i)
				a, b := l, seconds
				if i%2 == 1 {
					a, b = b, a
				}
				if _, err := a.Deduct(t.Context(), db, Deduct{Account: accA, Amount: 1000, Key: key}); err == nil || refusal(err) != "insufficient" {
					t.Errorf("round %d, %s: %v", round, key, err)
				}
				e, err := b.Deduct(t.Context(), db, Deduct{Account: accA, Amount: 1, Key: key})
				if err != nil || e.Replayed != (round > 0) {
					t.Errorf("round %d, %s: %+v, %v", round, key, e, err)
				}
				if round == 1 { // nothing is looked up beforehand
					l.looking.Store(0)
					seconds.looking.Store(0)
				}
			}
		}
		for _, l := range []*Ledger{l, seconds} {
			if n := spendableOf(t, l, db, accA); n != 197 {
				t.Errorf("%d are left", n)
			}
			sound(t, l, db)
		}
	}, Migrate)
}
