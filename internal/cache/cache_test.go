package cache_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/internal/cache"
)

// shards is how many parts a Map has: a hash that is one of them puts the key there.
const shards = 64

func mod(by uint64) func(int) uint64 { return func(k int) uint64 { return uint64(k) % by } }

func TestMap_NeverHoldsMoreThanItMay(t *testing.T) {
	for _, c := range []struct {
		what       string
		most, want int
		hash       func(int) uint64
	}{
		{"keys that spread", 640, 640, mod(1 << 32)},
		{"a number that is none of the shards'", 1000, 15 * shards, mod(1 << 32)},
		{"less than one a shard", 3, shards, mod(1 << 32)},
		{"none", 0, shards, mod(1 << 32)},
		{"fewer than none", -1, shards, mod(1 << 32)},
		{"keys that all meet in one shard", 640, 10, mod(1)},
	} {
		m := cache.New[int, int](c.most, c.hash, nil)
		for i := range 10_000 {
			m.Put(i, i)
			if n := m.Len(); n > c.want {
				t.Fatalf("%s: it holds %d of at most %d", c.what, n, c.want)
			}
			if v, ok := m.Get(i); v != i || !ok {
				t.Fatalf("%s: what was put last is not there", c.what)
			}
		}
		if n := m.Len(); n != c.want {
			t.Errorf("%s: %d are left, want %d", c.what, n, c.want)
		}
	}
}

// Nobody can aim at what is pushed out: of many that are pushed out of one shard with
// the same keys, it is not always the same.
func TestMap_WhatIsPushedOutIsAMatterOfChance(t *testing.T) {
	victims := map[int]bool{}
	for range 200 {
		m := cache.New(2*shards, mod(1), func(v int) { victims[v] = true })
		for i := range 3 {
			m.Put(i, i)
		}
	}
	if d := cmp.Diff(map[int]bool{0: true, 1: true}, victims); d != "" {
		t.Errorf("pushed out (-want +got):\n%s", d)
	}
}

// token is a value that knows how often it has gone.
type token struct{ key, gone int }

// A Map does what a Go map does, as long as nothing is pushed out, and says of each
// value once that it is gone, when it is.
func TestMap_IsAMapWhoseValuesGoOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			most   = rapid.IntRange(0, 3*shards).Draw(t, "most")
			spread = rapid.SampledFrom([]uint64{1, 2, shards}).Draw(t, "spread")
			bound  = max(1, most/shards)
			all    []*token
			model  = map[int]*token{}
			left   []*token // in the course of one operation
		)
		m := cache.New(most, mod(spread), func(v *token) {
			v.gone++
			left = append(left, v)
		})
		for range rapid.IntRange(1, 200).Draw(t, "operations") {
			k := rapid.IntRange(0, 300).Draw(t, "key")
			left = nil
			switch op := rapid.SampledFrom([]string{"put", "put", "put", "get", "delete", "clear"}).Draw(t, "op"); {
			case op == "put":
				v := &token{key: k}
				all = append(all, v)
				m.Put(k, v)
				switch old := model[k]; {
				case old != nil: // it is replaced, and nothing else goes
					if len(left) != 1 || left[0] != old {
						t.Fatalf("replacing %d: %v went", k, left)
					}
				case len(left) == 1: // it is pushed out of the same shard, which was full
					if mod(spread)(left[0].key) != mod(spread)(k) {
						t.Fatalf("%d pushed %d out, of another shard", k, left[0].key)
					}
					delete(model, left[0].key)
				case len(left) > 1:
					t.Fatalf("%d pushed %d values out", k, len(left))
				}
				model[k] = v
			case op == "get":
				if v, ok := m.Get(k); v != model[k] || ok != (model[k] != nil) {
					t.Fatalf("%d: %v, %v; want %v", k, v, ok, model[k])
				}
			case op == "delete":
				m.Delete(k)
				delete(model, k)
			case rapid.IntRange(0, 9).Draw(t, "really") == 0:
				m.Clear()
				clear(model)
			}
			perShard := map[uint64]int{}
			for k := range model {
				perShard[mod(spread)(k)]++
			}
			for s, n := range perShard {
				if n > bound {
					t.Fatalf("shard %d holds %d of at most %d", s, n, bound)
				}
			}
			if m.Len() != len(model) {
				t.Fatalf("it holds %d, want %d", m.Len(), len(model))
			}
		}
		for _, v := range all {
			there := model[v.key] == v
			if want := map[bool]int{true: 0, false: 1}[there]; v.gone != want {
				t.Fatalf("a value of %d is there: %v; it went %d times", v.key, there, v.gone)
			}
		}
	})
}

// Many at once: no value goes twice, none is lost without having gone, and at no time
// are there too many.
func TestMap_ManyAtOnceLoseNoValueAndTellOfNoneTwice(t *testing.T) {
	const (
		workers, each = 8, 2000
		most          = 2 * shards
	)
	type counted struct{ gone atomic.Int64 }
	m := cache.New(most, mod(1<<32), func(v *counted) { v.gone.Add(1) })
	all := make([][]*counted, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				k := (i*7 + w*13) % 500
				switch i % 10 {
				case 0:
					m.Delete(k)
				case 1, 2:
					m.Get(k)
				default:
					v := &counted{}
					all[w] = append(all[w], v)
					m.Put(k, v)
				}
				if i%1000 == 999 && w == 0 {
					m.Clear()
				}
				if i%20 == 0 && m.Len() > most {
					t.Errorf("it holds more than %d", most)
				}
			}
		})
	}
	wg.Wait()
	there := map[*counted]bool{}
	for k := range 500 {
		if v, ok := m.Get(k); ok {
			there[v] = true
		}
	}
	if len(there) != m.Len() {
		t.Errorf("%d values are found of %d", len(there), m.Len())
	}
	for _, values := range all {
		for _, v := range values {
			if n := v.gone.Load(); n > 1 || there[v] == (n == 1) {
				t.Fatalf("a value that is there: %v; it went %d times", there[v], n)
			}
		}
	}
}

// Who reads meets no moment at which a value is not there that nobody takes away,
// whatever comes, goes and grows around it.
func TestMap_WhatStaysIsFoundAtEveryMoment(t *testing.T) {
	const stays = 20
	m := cache.New[int, int](100*shards, mod(1), nil) // all in one place
	for k := range stays {
		m.Put(k, k)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for i := range 20_000 {
			m.Put(stays+i%70, i)
			m.Delete(stays + (i*31)%70)
		}
	})
	for range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				if v, ok := m.Get(i % stays); !ok || v != i%stays {
					t.Errorf("%d: %d, %v", i%stays, v, ok)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := m.Len(); n < stays || n > stays+70 {
		t.Errorf("it holds %d", n)
	}
}
