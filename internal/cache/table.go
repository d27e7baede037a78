package cache

import (
	"math/bits"
	"sync/atomic"
)

// table is a hash table with open addressing whose readers need no lock: a node never
// changes and never moves, what is removed leaves a mark in its slot, and a table that
// has too many of these is made anew. One at a time changes it.
type table[K comparable, V any] struct {
	now  atomic.Pointer[slots[K, V]]
	n    int // nodes
	used int // slots that are not empty
	mark *node[K, V]
}

type slots[K comparable, V any] []atomic.Pointer[node[K, V]]

type node[K comparable, V any] struct {
	key     K
	value   V
	hash    uint64
	removed bool // it is the mark
}

// fewest is how many slots there are at least. A power of two, as any number of them.
const fewest = 8

func (t *table[K, V]) slots() slots[K, V] { return *t.now.Load() }

func (t *table[K, V]) clear() { t.make(fewest) }

func (t *table[K, V]) make(size int) {
	s := make(slots[K, V], size)
	t.now.Store(&s)
	t.n, t.used = 0, 0
}

// first is where to look for a hash first. The lower bits are those of the shard.
func (s slots[K, V]) first(hash uint64) int {
	return int(hash * 0x9e3779b97f4a7c15 >> (64 - bits.TrailingZeros(uint(len(s)))))
}

// find looks k up: its node and where it is, or nil.
func (t *table[K, V]) find(hash uint64, k K) (n *node[K, V], at int) {
	s := t.slots()
	for at := s.first(hash); ; at++ {
		at &= len(s) - 1
		switch n := s[at].Load(); {
		case n == nil:
			return nil, 0
		case n.key == k && !n.removed:
			return n, at
		}
	}
}

// insert adds a node whose key is not there.
func (t *table[K, V]) insert(n *node[K, V]) {
	if 4*(t.used+1) > 3*len(t.slots()) {
		t.grow()
	}
	s := t.slots()
	at := s.first(n.hash)
	for s[at].Load() != nil {
		at = (at + 1) & (len(s) - 1)
	}
	s[at].Store(n)
	t.n++
	t.used++
}

// grow makes the table anew, without marks, with room for a third of new nodes at
// least. Who reads the old one meanwhile finds what was there.
func (t *table[K, V]) grow() {
	size := fewest
	for size < 2*(t.n+1) {
		size *= 2
	}
	fresh := table[K, V]{}
	fresh.make(size)
	t.each(fresh.insert)
	t.now.Store(fresh.now.Load())
	t.used = t.n
}

func (t *table[K, V]) remove(at int) {
	if t.mark == nil {
		t.mark = &node[K, V]{removed: true}
	}
	t.slots()[at].Store(t.mark)
	t.n--
}

// someone is where a node is, each as likely as any other. There is one.
func (t *table[K, V]) someone(random func() uint64) int {
	s := t.slots()
	for {
		at := int(random() & uint64(len(s)-1))
		if n := s[at].Load(); n != nil && !n.removed {
			return at
		}
	}
}

func (t *table[K, V]) each(fn func(*node[K, V])) {
	for i := range t.slots() {
		if n := t.slots()[i].Load(); n != nil && !n.removed {
			fn(n)
		}
	}
}
