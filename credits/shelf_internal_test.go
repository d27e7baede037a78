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
	for i, epoch := range []int64{5, 4, 6, 6, 5} {
		s.put(at, standing{epoch: epoch, free: int64(i)})
	}
	if known, ok := s.get(at); !ok || known.epoch != 6 || known.free != 3 {
		t.Errorf("%+v", known)
	}
	s.drop(at)
	if _, ok := s.get(at); ok {
		t.Error("it is remembered still")
	}
}

// An account that somebody else was found to have changed is read under its lock a few
// times, whatever is remembered meanwhile; how many accounts are is bounded too.
func TestShelf_StandsBackForAWhile(t *testing.T) {
	var s shelf
	at, other := shelved{account: accA}, shelved{account: accB}
	s.put(other, standing{})
	for range 2 {
		s.drop(at)
		s.put(at, standing{})
		for i := range standBack + 2 {
			if _, ok := s.get(at); ok != (i >= standBack) {
				t.Errorf("%d: %v", i, ok)
			}
		}
		if _, ok := s.get(other); !ok || len(s.busy) > 0 {
			t.Error(ok, s.busy)
		}
	}
	for i := range mostShelved {
		s.drop(shelved{account: tenancy.AccountID(fmt.Sprint(i))})
	}
	if n := len(s.busy); n != mostShelved {
		t.Errorf("%d stand back", n)
	}
	if s.drop(at); len(s.busy) != 1 || s.busy[at] != standBack {
		t.Errorf("%d stand back", len(s.busy))
	}
}
