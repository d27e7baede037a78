package bucket

// bucket is the state of one key. Its shard's lock guards it.
//
// It holds what x/time/rate would hold, in numbers of its own: so one computation
// gives the decision and everything that is said of it.
type bucket[K comparable] struct {
	key    K
	hash   uint64
	order  int // its place in shard.order
	limit  Limit
	tokens float64 // at an instant; below zero they are owed
	at     int64   // that instant
}

func newBucket[K comparable](key K, hash uint64, now int64, limit Limit) *bucket[K] {
	return &bucket[K]{key: key, hash: hash, limit: limit, tokens: float64(limit.Burst), at: now}
}

// enter prepares the bucket for a call at now under limit, and returns the instant that
// counts and what the bucket holds then. Callers read the clock before they wait for the
// lock; one that was overtaken must not turn the bucket back, or the time between would
// fill it twice.
func (b *bucket[K]) enter(now int64, limit Limit) (int64, float64) {
	now = max(now, b.at)
	tokens := b.holds(now)
	if b.limit != limit {
		if tokens >= float64(b.limit.Burst) {
			// As if it had been dropped: what a key gets must not depend on
			// which buckets were dropped.
			tokens = float64(limit.Burst)
		}
		b.limit, b.tokens, b.at = limit, tokens, now
		tokens = b.holds(now)
	}
	return now, tokens
}

// holds is how many tokens there are at now, which is not before b.at.
func (b *bucket[K]) holds(now int64) float64 {
	return min(b.tokens+b.limit.in(now-b.at), float64(b.limit.Burst))
}

func (b *bucket[K]) take(now int64, limit Limit, n int) Decision {
	now, tokens := b.enter(now, limit)
	allowed := 0 < n && n <= limit.Burst && limit.there(tokens-float64(n))
	if allowed {
		tokens -= float64(n)
		b.tokens, b.at = tokens, now
	}
	return decide(limit, tokens, n, allowed)
}

// charge takes tokens that have been used already, owing them if it must; below zero
// it puts them back, as far as there is room.
func (b *bucket[K]) charge(now int64, limit Limit, n int) {
	now, tokens := b.enter(now, limit)
	b.tokens, b.at = tokens-float64(n), now
}

// full reports that the bucket says no more than its absence would.
func (b *bucket[K]) full(now int64) bool {
	return b.holds(max(now, b.at)) >= float64(b.limit.Burst)
}

// fullAfter is how long the bucket still takes to be full.
func (b *bucket[K]) fullAfter(now int64) int64 {
	return int64(b.limit.after(float64(b.limit.Burst) - b.holds(max(now, b.at))))
}
