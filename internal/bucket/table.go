package bucket

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	maxShards = 64
	// perShard is how many buckets a shard is worth having for.
	perShard = 64
	// look is how many buckets are looked at when a new one comes. Above 1 it
	// outruns the growth, and the more it is, the fuller the one that has to go.
	look = 8
)

// Table is the buckets of one kind of key, in shards that lock apart. It serves any
// number of goroutines.
type Table[K comparable] struct {
	seed   maphash.Seed
	shards []shard[K] // a power of two, so that a mask finds the shard
}

type shard[K comparable] struct {
	mu      sync.Mutex
	most    int
	base    time.Time // from which instants are counted
	buckets index[K]
	order   []*bucket[K] // the same buckets, for the hand to go round
	hand    int
	open    map[K]int // admitted and not settled
}

// New is a table of at most maxKeys buckets.
func New[K comparable](maxKeys int) *Table[K] {
	n := 1
	for n < maxShards && maxKeys/(2*n) >= perShard {
		n *= 2
	}
	t := &Table[K]{seed: maphash.MakeSeed(), shards: make([]shard[K], n)}
	for i := range t.shards {
		t.shards[i].most = maxKeys / n
		t.shards[i].open = map[K]int{}
	}
	return t
}

// Clock is a clock for buckets, to which only the time that passes counts: it has the
// monotonic reading of time.Now, for half the work.
func Clock() func() time.Time {
	begin := time.Now()
	return func() time.Time { return begin.Add(time.Since(begin)) }
}

// far is how far instants are from their base at most, 146 years: what lies between two
// of them is a number too.
const far = 1<<62 - 1

// instant is now for a bucket.
func (s *shard[K]) instant(now time.Time) int64 {
	if len(s.order) == 0 {
		s.base = now
	}
	return int64(min(max(now.Sub(s.base), -far), far))
}

func (t *Table[K]) shard(key K) (s *shard[K], hash uint64) {
	hash = maphash.Comparable(t.seed, key)
	return &t.shards[hash&uint64(len(t.shards)-1)], hash
}

// Take takes n tokens from the key's bucket, all or none; with n <= 0 it only looks.
func (t *Table[K]) Take(now time.Time, key K, limit Limit, n int) Decision {
	s, hash := t.shard(key)
	s.mu.Lock()
	d := s.take(s.instant(now), key, hash, limit, n)
	s.mu.Unlock()
	return d
}

func (s *shard[K]) take(at int64, key K, hash uint64, limit Limit, n int) Decision {
	b := s.buckets.find(hash, key)
	if b == nil {
		if n <= 0 || n > limit.Burst { // nothing will be taken from it
			return decide(limit, float64(limit.Burst), n, false)
		}
		b = s.add(at, key, hash, limit)
	}
	return b.take(at, limit, n)
}

// Charge takes one token from the key's bucket for what has happened already, owing
// it if need be.
func (t *Table[K]) Charge(now time.Time, key K, limit Limit) {
	s, hash := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.charge(s.instant(now), key, hash, limit)
}

func (s *shard[K]) charge(now int64, key K, hash uint64, limit Limit) {
	b := s.buckets.find(hash, key)
	if b == nil {
		b = s.add(now, key, hash, limit)
	}
	b.charge(now, limit, 1)
}

// GiveBack returns a token that was taken.
func (t *Table[K]) GiveBack(now time.Time, key K, limit Limit) {
	s, hash := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.instant(now)
	if b := s.buckets.find(hash, key); b != nil { // otherwise it was full again and is gone
		b.charge(at, limit, -1)
	}
}

// mostOpen is how many bursts of one key may be admitted before the first is settled.
const mostOpen = 5

// Admit lets one more of the key's begin, of which Settle will tell whether it costs
// a token. It takes none and makes no bucket.
func (t *Table[K]) Admit(now time.Time, key K, limit Limit) Decision {
	s, hash := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.instant(now)
	left := float64(limit.Burst)
	if b := s.buckets.find(hash, key); b != nil {
		_, left = b.enter(at, limit)
	}
	if s.open[key]/mostOpen >= limit.Burst {
		left = min(left, 0) // all of it is spoken for
	}
	d := decide(limit, left, 0, false)
	if d.Allowed {
		s.open[key]++
	}
	return d
}

// Settle ends what Admit began; it costs a token, owed if need be, if it failed.
func (t *Table[K]) Settle(now time.Time, key K, limit Limit, failed bool) {
	s, hash := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.instant(now)
	if s.open[key]--; s.open[key] <= 0 {
		delete(s.open, key)
	}
	if failed {
		s.charge(at, key, hash, limit)
	}
}

func (s *shard[K]) add(now int64, key K, hash uint64, limit Limit) *bucket[K] {
	s.sweep(now)
	b := newBucket(key, hash, now, limit)
	b.order = len(s.order)
	s.order = append(s.order, b)
	s.buckets.add(b)
	return b
}

// sweep makes room for one bucket. It drops the full ones among the next few, and
// if that is not enough, the one of them that would be full soonest.
func (s *shard[K]) sweep(now int64) {
	var next *bucket[K]
	var after int64
	for range min(look, len(s.order)) {
		s.hand %= len(s.order)
		b := s.order[s.hand]
		if b.full(now) {
			s.drop(b) // and another one takes its place under the hand
			continue
		}
		if d := b.fullAfter(now); next == nil || d < after {
			next, after = b, d
		}
		s.hand++
	}
	if len(s.order) >= s.most && next != nil {
		s.drop(next)
	}
}

func (s *shard[K]) drop(b *bucket[K]) {
	last := len(s.order) - 1
	s.order[b.order] = s.order[last]
	s.order[b.order].order = b.order
	s.order[last] = nil
	s.order = s.order[:last]
	s.buckets.remove(b)
}
