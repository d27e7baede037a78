package opaque

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func TestTurns_OneAtATimeForEachToken(t *testing.T) {
	var turns Turns
	other, err := turns.Take(t.Context(), "another")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var inside, came atomic.Int64
	for range 50 {
		all.Go(func() {
			done, err := turns.Take(t.Context(), "one")
			if err != nil {
				t.Error(err)
				return
			}
			defer done()
			if n := inside.Add(1); n != 1 {
				t.Errorf("%d at once", n)
			}
			came.Add(1)
			inside.Add(-1)
		})
	}
	all.Wait()
	if came.Load() != 50 || len(turns.queue) != 1 {
		t.Errorf("%d came, %d tokens are remembered", came.Load(), len(turns.queue))
	}
	other()
	if len(turns.queue) != 0 {
		t.Errorf("%d tokens are remembered", len(turns.queue))
	}
}

func TestTurns_WhoDoesNotWaitLeavesNothingBehind(t *testing.T) {
	var turns Turns
	done, err := turns.Take(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := turns.Take(gone, "one"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	done()
	if len(turns.queue) != 0 {
		t.Errorf("%d tokens are remembered", len(turns.queue))
	}
}
