package id

import (
	"sync"
	"testing"
)

func TestNew_AscendsAndNeverRepeats(t *testing.T) {
	prev := New("x")
	for range 10_000 {
		next := New("x")
		if next <= prev {
			t.Fatalf("%s after %s", next, prev)
		}
		prev = next
	}
	if len(prev) != len("x_")+26 {
		t.Fatalf("length of %q", prev)
	}
}

func TestNew_Concurrent(t *testing.T) {
	var (
		mu   sync.Mutex
		seen = map[string]bool{}
		wg   sync.WaitGroup
	)
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				s := New("k")
				mu.Lock()
				if seen[s] {
					t.Errorf("%s twice", s)
				}
				seen[s] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}
