package bucket

import (
	"fmt"
	"testing"
	"time"
)

var t0 = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func (t *Table[K]) len() int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		if s.buckets.n != len(s.order) {
			panic("a bucket without a place, or a place without one")
		}
		for place, b := range s.order {
			if b.order != place || s.buckets.find(b.hash, b.key) != b {
				panic("a bucket in another one's place")
			}
		}
		n += len(s.order)
	}
	return n
}

func TestTable_IsBounded(t *testing.T) {
	for _, most := range []int{1, 2, 7, 63, 64, 127, 128, 1000, 5000} {
		now := t0
		tab := New[int](most)
		for key := range 3 * most {
			if d := tab.Take(now, key, Limit{Rate: 1, Burst: 2}, 1); !d.Allowed || d.Remaining != 1 {
				t.Fatalf("at most %d keys: a new one got %+v", most, d)
			}
		}
		if n := tab.len(); n > most || n < most/2 {
			t.Errorf("%d buckets, want at most %d and not much less", n, most)
		}
	}
}

func TestTable_DropsFullBucketsAndNoOthers(t *testing.T) {
	now := t0
	tab := New[string](1 << 20)
	slow, quick := Limit{Rate: 0.001, Burst: 5}, Limit{Rate: 1000, Burst: 5}
	const slows = 300
	for i := range slows {
		tab.Take(now, fmt.Sprint("slow", i), slow, 5)
	}
	for i := range 20_000 {
		now = now.Add(time.Millisecond)
		tab.Take(now, fmt.Sprint("quick", i), quick, 1)
	}
	// A quick bucket is full after a millisecond and then at most one round of the
	// hand away from going.
	if n := tab.len(); n > 2*slows {
		t.Errorf("%d buckets, %d of them in use", n, slows)
	}
	for i := range slows {
		if d := tab.Take(now, fmt.Sprint("slow", i), slow, 1); d.Allowed {
			t.Fatalf("bucket %d was dropped while in use", i)
		}
	}
}

func TestTable_WhatGoesWhenAllAreInUseIsWhatIsFullSoonest(t *testing.T) {
	now := t0
	tab := New[string](look) // so all are looked at
	limit := Limit{Rate: 0.1, Burst: 20}
	tab.Take(now, "guesser", limit, 20)
	for i := range 1000 {
		tab.Take(now, fmt.Sprint(i), limit, 1)
	}
	if d := tab.Take(now, "guesser", limit, 1); d.Allowed {
		t.Error("keys that come once gave the guesser a new bucket")
	}
	if n := tab.len(); n != look {
		t.Errorf("%d buckets", n)
	}
}

func TestTable_ALookMakesNoBucket(t *testing.T) {
	now := t0
	tab := New[string](100)
	for i := range 50 {
		if d := tab.Take(now, fmt.Sprint(i), Limit{Rate: 1, Burst: 2}, 0); !d.Allowed || d.Remaining != 2 {
			t.Fatalf("a look at nothing: %+v", d)
		}
		tab.Take(now, fmt.Sprint(i), Limit{Rate: 1, Burst: 2}, 3) // can never pass
	}
	if n := tab.len(); n != 0 {
		t.Errorf("%d buckets", n)
	}
}

// A caller that read the clock before another and got the lock after it must not
// have the time between counted twice.
func TestTake_ALateCallerFillsNothingTwice(t *testing.T) {
	now := t0
	tab := New[string](8)
	limit := Limit{Rate: 1, Burst: 10}
	early := now
	late := early.Add(5 * time.Second)
	tab.Take(early, "k", limit, 10)
	for range 10 {
		tab.Take(late, "k", limit, 1)
		tab.Take(early, "k", limit, 1)
	}
	if d := tab.Take(late, "k", limit, 0); d.Remaining != 0 {
		t.Errorf("%d left", d.Remaining)
	}
	if d := tab.Take(late.Add(time.Second), "k", limit, 0); d.Remaining != 1 {
		t.Errorf("%d left a second later", d.Remaining)
	}
}

func TestAdmit_WhatFailsIsOwedInFullAndTheRestCostsNothing(t *testing.T) {
	tab := New[string](8)
	limit := Limit{Rate: 1, Burst: 2}
	admitted := 0
	for range 20 {
		if tab.Admit(t0, "k", limit).Allowed {
			admitted++
		}
	}
	if admitted != mostOpen*limit.Burst || tab.len() != 0 {
		t.Errorf("%d admitted at once, %d buckets", admitted, tab.len())
	}
	for range admitted - 3 {
		tab.Settle(t0, "k", limit, false)
	}
	if d := tab.Take(t0, "k", limit, 0); d.Remaining != 2 {
		t.Errorf("what did not fail left %d", d.Remaining)
	}
	for range 3 {
		tab.Settle(t0, "k", limit, true)
	}
	if d := tab.Admit(t0, "k", limit); d.Allowed || d.RetryAfter != 2*time.Second {
		t.Errorf("three failures of two: %+v", d)
	}
	if s, _ := tab.shard("k"); len(s.open) != 0 {
		t.Errorf("%d keys have something open", len(s.open))
	}
}
