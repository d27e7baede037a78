package throttle

import (
	"time"

	"golang.org/x/time/rate"

	"github.com/quitrent/quitrent/internal/bucket"
)

// Limit is how fast a key may go: Rate tokens a second in the long run, Burst at
// once.
type Limit struct {
	Rate  rate.Limit
	Burst int
}

// or is the limit itself when it is one and other when not: a plan comes from the
// host's database, and neither NaN nor Inf may set an account free.
func (l Limit) or(other Limit) Limit { return Limit(bucket.Limit(l).Or(bucket.Limit(other))) }

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

// decision gives what a bucket decided the name it has outside.
func decision(d bucket.Decision) Decision {
	return Decision{Allowed: d.Allowed, Limit: Limit(d.Limit), Remaining: d.Remaining, RetryAfter: d.RetryAfter, Reset: d.Reset}
}
