package id

import (
	"encoding/binary"
	"strings"
	"sync"
	"testing"
	"time"
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

// at is an identifier of a given time part.
func at(prefix string, time uint64) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], time)
	return prefix + "_" + encoding.EncodeToString(b[:])
}

func TestAfter_IsLaterThanOneFromAClockThatIsAhead(t *testing.T) {
	ahead := at("x", uint64(time.Now().Add(time.Hour).UnixMilli())<<16|7)
	prev := New("x")
	if prev >= ahead {
		t.Fatalf("%s is not ahead of %s", ahead, prev)
	}
	for _, last := range []string{ahead, ahead, "", "x_odd", prev} {
		next := After("x", last)
		if next <= last && last != "x_odd" || len(next) != len("x_")+26 {
			t.Fatalf("%s after %s", next, last)
		}
	}
	if next := New("x"); next <= prev || next >= ahead {
		t.Fatalf("New made %s after %s: it follows the clock that is wrong, or none", next, prev)
	}
}

func TestAfter_FollowsNothingThatIsNoIdentifier(t *testing.T) {
	good := at("evt", 41)
	if got := later("evt", good); got != 42 {
		t.Fatalf("later than %s: %d", good, got)
	}
	if got := later("evt", at("evt", endOfTime-1)); got != endOfTime {
		t.Errorf("at the end of time: %d", got)
	}
	for _, last := range []string{
		"", "evt", "evt_", "_", good[1:], good[:len(good)-1], good + "0", good + "\n", good[:9] + "\n" + good[9:], "evt_\n" + good[5:],
		at("aud", 41), strings.ToUpper(good), "evt_" + strings.Repeat("u", 26), "evt_" + strings.Repeat("\x00", 26), "evt_\xff",
		"evt_" + strings.Repeat("z", 26), at("evt", endOfTime), at("evt", 1<<64-1),
	} {
		if got := later("evt", last); got != 0 && last != good+"\n" && last != good[:9]+"\n"+good[9:] {
			t.Errorf("later than %q: %d", last, got)
		}
	}
}

func TestDerived_IsTheSameForTheSameTextOnly(t *testing.T) {
	a := Derived("acc", "17")
	if a != Derived("acc", "17") || len(a) != len(New("acc")) {
		t.Errorf("%s, then %s", a, Derived("acc", "17"))
	}
	for _, b := range []string{Derived("acc", "18"), Derived("acc", ""), "acc" + strings.TrimPrefix(Derived("usr", "17"), "usr")} {
		if a == b {
			t.Errorf("%s twice", a)
		}
	}
}
