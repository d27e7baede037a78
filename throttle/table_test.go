package throttle

import (
	"fmt"
	"testing"
	"time"
)

func (t *table[K]) len() int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		if len(s.buckets) != len(s.order) {
			panic("a bucket without a place, or a place without one")
		}
		for at, b := range s.order {
			if b.at != at || s.buckets[b.key] != b {
				panic("a bucket in another one's place")
			}
		}
		n += len(s.order)
	}
	return n
}

func TestTable_IsBounded(t *testing.T) {
	for _, most := range []int{1, 2, 7, 63, 64, 127, 128, 1000, 5000} {
		now := newClock().now()
		tab := newTable[int](most)
		for key := range 3 * most {
			if d := tab.take(now, key, Limit{Rate: 1, Burst: 2}, 1); !d.Allowed || d.Remaining != 1 {
				t.Fatalf("at most %d keys: a new one got %+v", most, d)
			}
		}
		if n := tab.len(); n > most || n < most/2 {
			t.Errorf("%d buckets, want at most %d and not much less", n, most)
		}
	}
}

func TestTable_DropsFullBucketsAndNoOthers(t *testing.T) {
	c := newClock()
	tab := newTable[string](1 << 20)
	slow, quick := Limit{Rate: 0.001, Burst: 5}, Limit{Rate: 1000, Burst: 5}
	const slows = 300
	for i := range slows {
		tab.take(c.now(), fmt.Sprint("slow", i), slow, 5)
	}
	for i := range 20_000 {
		c.pass(time.Millisecond)
		tab.take(c.now(), fmt.Sprint("quick", i), quick, 1)
	}
	// A quick bucket is full after a millisecond and then at most one round of the
	// hand away from going.
	if n := tab.len(); n > 2*slows {
		t.Errorf("%d buckets, %d of them in use", n, slows)
	}
	for i := range slows {
		if d := tab.take(c.now(), fmt.Sprint("slow", i), slow, 1); d.Allowed {
			t.Fatalf("bucket %d was dropped while in use", i)
		}
	}
}

func TestTable_WhatGoesWhenAllAreInUseIsWhatIsFullSoonest(t *testing.T) {
	c := newClock()
	tab := newTable[string](look) // so all are looked at
	limit := Limit{Rate: 0.1, Burst: 20}
	tab.take(c.now(), "guesser", limit, 20)
	for i := range 1000 {
		tab.take(c.now(), fmt.Sprint(i), limit, 1)
	}
	if d := tab.take(c.now(), "guesser", limit, 1); d.Allowed {
		t.Error("keys that come once gave the guesser a new bucket")
	}
	if n := tab.len(); n != look {
		t.Errorf("%d buckets", n)
	}
}

func TestTable_ALookMakesNoBucket(t *testing.T) {
	now := newClock().now()
	tab := newTable[string](100)
	for i := range 50 {
		if d := tab.take(now, fmt.Sprint(i), Limit{Rate: 1, Burst: 2}, 0); !d.Allowed || d.Remaining != 2 {
			t.Fatalf("a look at nothing: %+v", d)
		}
		tab.take(now, fmt.Sprint(i), Limit{Rate: 1, Burst: 2}, 3) // can never pass
	}
	if n := tab.len(); n != 0 {
		t.Errorf("%d buckets", n)
	}
}
