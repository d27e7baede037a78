package credits

import (
	"fmt"
	"testing"

	"github.com/quitrent/quitrent/tenancy"
)

// What a Ledger remembers is bounded, and no older standing takes the place of a newer.
func TestShelf_IsBoundedAndNeverGoesBack(t *testing.T) {
	var s shelf
	for i := range mostShelved + 50 {
		s.put(shelved{account: tenancy.AccountID(fmt.Sprint(i))}, standing{})
	}
	if n := len(s.books); n != mostShelved {
		t.Errorf("%d accounts are remembered", n)
	}
	at := shelved{account: "acc"}
	for _, epoch := range []int64{5, 4, 6, 5} {
		s.put(at, standing{epoch: epoch})
	}
	if known, ok := s.get(at); !ok || known.epoch != 6 {
		t.Errorf("%+v", known)
	}
	s.drop(at)
	if _, ok := s.get(at); ok {
		t.Error("it is remembered still")
	}
}
