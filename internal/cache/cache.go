// Package cache is a map in memory that many goroutines read and that never holds
// more than it is allowed.
package cache

import "sync"

// shards is how many parts of a Map lock apart. A power of two.
const shards = 64

// Map keeps values by key. It holds at most a fixed number: a new one that finds its
// part of the map full pushes out another one of that part, by chance. So nobody can
// aim at what is pushed out, and a hit is no write.
type Map[K comparable, V any] struct {
	hash   func(K) uint64
	gone   func(V)
	shards [shards]shard[K, V]
}

type shard[K comparable, V any] struct {
	mu     sync.RWMutex
	most   int
	values map[K]V
}

// New is a Map of at most most values, and of one per shard at least. hash spreads the
// keys over the shards by its lower bits. gone, unless it is nil, is told of each value
// that is pushed out, replaced or deleted; it must not call the Map.
func New[K comparable, V any](most int, hash func(K) uint64, gone func(V)) *Map[K, V] {
	m := &Map[K, V]{hash: hash, gone: gone}
	for i := range m.shards {
		m.shards[i].most = max(1, most/shards)
		m.shards[i].values = map[K]V{}
	}
	return m
}

func (m *Map[K, V]) shard(k K) *shard[K, V] { return &m.shards[m.hash(k)%shards] }

// Get finds the value of k.
func (m *Map[K, V]) Get(k K) (V, bool) {
	s := m.shard(k)
	s.mu.RLock()
	v, ok := s.values[k]
	s.mu.RUnlock()
	return v, ok
}

// Put keeps v under k.
func (m *Map[K, V]) Put(k K, v V) {
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.values[k]; ok {
		m.tell(old)
	} else if len(s.values) >= s.most {
		for victim, old := range s.values { // in no order: that is the chance
			delete(s.values, victim)
			m.tell(old)
			break
		}
	}
	s.values[k] = v
}

// Delete forgets k.
func (m *Map[K, V]) Delete(k K) {
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.values[k]; ok {
		delete(s.values, k)
		m.tell(old)
	}
}

// Clear forgets everything, and gives the memory back.
func (m *Map[K, V]) Clear() {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		for _, old := range s.values {
			m.tell(old)
		}
		s.values = map[K]V{}
		s.mu.Unlock()
	}
}

// Len is how many values there are.
func (m *Map[K, V]) Len() int {
	n := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.RLock()
		n += len(s.values)
		s.mu.RUnlock()
	}
	return n
}

func (m *Map[K, V]) tell(v V) {
	if m.gone != nil {
		m.gone(v)
	}
}
