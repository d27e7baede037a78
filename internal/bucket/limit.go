// Package bucket counts by token buckets in memory: as many keys as there is room for,
// and how much each may take.
package bucket

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// Limit is how fast a key may go: Rate tokens a second in the long run, Burst at
// once.
type Limit struct {
	Rate  rate.Limit
	Burst int
}

// Or is the limit itself when it is one and other when not: neither NaN nor Inf may
// set a key free.
func (l Limit) Or(other Limit) Limit {
	if l.Rate > 0 && l.Rate <= math.MaxFloat64 && l.Burst > 0 {
		return l
	}
	return other
}

// in is how many tokens come in that many nanoseconds.
func (l Limit) in(d int64) float64 { return time.Duration(d).Seconds() * float64(l.Rate) }

// there reports that a call may take what would leave rest: also when it would have to
// wait for less than a nanosecond, which is rounding as a rule.
func (l Limit) there(rest float64) bool {
	return rest >= 0 || -rest/float64(l.Rate)*float64(time.Second) < 1
}

// after is how long it takes until there are that many tokens more, rounded up.
func (l Limit) after(tokens float64) time.Duration {
	d := math.Ceil(tokens / float64(l.Rate) * float64(time.Second))
	if d >= math.MaxInt64 {
		return rate.InfDuration
	}
	return max(0, time.Duration(d))
}

// left is the largest n that could be taken when the bucket holds tokens: as there
// says, or it would report 4 left of the 5 that are there but for rounding.
func (l Limit) left(tokens float64) int {
	n := math.Ceil(tokens+float64(l.Rate)/float64(time.Second)) - 1
	if n >= float64(l.Burst) {
		return l.Burst
	}
	return max(0, int(n))
}

// Decision is the answer to one call.
type Decision struct {
	// Allowed reports that the tokens were taken; of a call that takes none, that
	// at least one is there.
	Allowed bool
	// Limit is the limit that was applied.
	Limit Limit
	// Remaining is how many tokens are left: as many may be taken at once.
	Remaining int
	// RetryAfter is how long to wait before the same call can pass: 0 when it did,
	// rate.InfDuration when it never can.
	RetryAfter time.Duration
	// Reset is how long it takes until more than Remaining are left: 0 when the
	// bucket is full.
	Reset time.Duration
}

// decide describes a bucket that holds tokens after it was asked for n.
func decide(limit Limit, tokens float64, n int, allowed bool) Decision {
	d := Decision{Allowed: allowed, Limit: limit, Remaining: limit.left(tokens)}
	if n <= 0 {
		n, d.Allowed = 1, d.Remaining > 0
	}
	if d.Remaining < limit.Burst {
		d.Reset = limit.after(float64(d.Remaining) + 1 - tokens)
	}
	switch {
	case d.Allowed:
	case n > limit.Burst:
		d.RetryAfter = rate.InfDuration
	default:
		d.RetryAfter = limit.after(float64(n) - tokens)
	}
	return d
}
