// Package cache is a map in memory that many goroutines read and that never holds
// more than it is allowed.
package cache

import (
	"math/rand/v2"
	"sync"
)

// shards is how many parts of a Map lock apart. A power of two.
const shards = 64

// Map keeps values by key. It holds at most a fixed number: a new one that finds its
// part of the map full pushes out another one of that part, by chance. So nobody can
// aim at what is pushed out, and a hit is no write and waits for nobody.
type Map[K comparable, V any] struct {
	hash   func(K) uint64
	gone   func(V)
	shards [shards]shard[K, V]
}

type shard[K comparable, V any] struct {
	table[K, V]
	mu   sync.Mutex // of who changes it
	most int
}

// New is a Map of at most most values, and of one per shard at least. hash spreads the
// keys over the shards by its lower bits. gone, unless it is nil, is told of each value
// that is pushed out, replaced or deleted; it must not call the Map.
func New[K comparable, V any](most int, hash func(K) uint64, gone func(V)) *Map[K, V] {
	m := &Map[K, V]{hash: hash, gone: gone}
	for i := range m.shards {
		m.shards[i].most = max(1, most/shards)
		m.shards[i].clear()
	}
	return m
}

// Get finds the value of k.
func (m *Map[K, V]) Get(k K) (v V, ok bool) {
	if p := m.Find(k); p != nil {
		return *p, true
	}
	return v, false
}

// Find is Get where the value lies, or nil. Others read it too, and it stays as it is
// when another one is put in its place. What is written to it there, with atomics, is not
// for Get, and not for gone.
func (m *Map[K, V]) Find(k K) *V {
	h := m.hash(k)
	if n, _ := m.shards[h%shards].find(h, k); n != nil {
		return &n.value
	}
	return nil
}

// Put keeps v under k.
func (m *Map[K, V]) Put(k K, v V) {
	h := m.hash(k)
	s := &m.shards[h%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &node[K, V]{key: k, hash: h, value: v}
	if old, at := s.find(h, k); old != nil {
		m.tell(old)
		s.slots()[at].Store(n)
		return
	}
	if s.n >= s.most {
		at := s.someone(rand.Uint64)
		m.tell(s.slots()[at].Load())
		s.remove(at)
	}
	s.insert(n)
}

// Delete forgets k.
func (m *Map[K, V]) Delete(k K) {
	h := m.hash(k)
	s := &m.shards[h%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, at := s.find(h, k); old != nil {
		s.remove(at)
		m.tell(old)
	}
}

// Clear forgets everything, and gives the memory back.
func (m *Map[K, V]) Clear() {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		s.each(m.tell)
		s.clear()
		s.mu.Unlock()
	}
}

// Len is how many values there are.
func (m *Map[K, V]) Len() int {
	n := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += s.n
		s.mu.Unlock()
	}
	return n
}

func (m *Map[K, V]) tell(n *node[K, V]) {
	if m.gone != nil {
		m.gone(n.value)
	}
}
