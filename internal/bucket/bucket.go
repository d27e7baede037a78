package bucket

import (
	"time"

	"golang.org/x/time/rate"
)

// bucket is the state of one key. Its shard's lock guards it.
type bucket[K comparable] struct {
	key    K
	at     int // its place in shard.order
	limit  Limit
	tokens *rate.Limiter
	last   time.Time
}

func newBucket[K comparable](key K, limit Limit) *bucket[K] {
	return &bucket[K]{key: key, limit: limit, tokens: rate.NewLimiter(limit.Rate, limit.Burst)}
}

// enter prepares the bucket for a call at now under limit and returns the instant
// that counts. Callers read the clock before they wait for the lock; one that was
// overtaken must not turn the bucket back, or the time between would fill it twice.
func (b *bucket[K]) enter(now time.Time, limit Limit) time.Time {
	if now.Before(b.last) {
		now = b.last
	}
	b.last = now
	if b.limit != limit {
		if b.full(now) {
			// As if it had been dropped: what a key gets must not depend on
			// which buckets were dropped.
			b.tokens = rate.NewLimiter(limit.Rate, limit.Burst)
		} else {
			b.tokens.SetLimitAt(now, limit.Rate)
			b.tokens.SetBurstAt(now, limit.Burst)
		}
		b.limit = limit
	}
	return now
}

func (b *bucket[K]) take(now time.Time, limit Limit, n int) Decision {
	now = b.enter(now, limit)
	allowed := n > 0 && b.tokens.AllowN(now, n)
	return decide(limit, b.tokens.TokensAt(now), n, allowed)
}

// charge takes tokens that have been used already, owing them if it must; below zero
// it puts them back, as far as there is room.
func (b *bucket[K]) charge(now time.Time, limit Limit, n int) {
	b.tokens.ReserveN(b.enter(now, limit), n)
}

// full reports that the bucket says no more than its absence would.
func (b *bucket[K]) full(now time.Time) bool {
	return b.tokens.TokensAt(now) >= float64(b.limit.Burst)
}

// fullAfter is how long the bucket still takes to be full.
func (b *bucket[K]) fullAfter(now time.Time) time.Duration {
	return b.limit.after(float64(b.limit.Burst) - b.tokens.TokensAt(now))
}
