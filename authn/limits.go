package authn

import (
	"math"
	"time"

	"golang.org/x/time/rate"

	"github.com/quitrent/quitrent/internal/bucket"
)

// Attempts is how often something may be tried: Burst times at once, and once more
// whenever Every has passed, up to Burst again. Where one of them is not positive, the
// default counts for both.
type Attempts struct {
	Burst int
	Every time.Duration
}

func (a Attempts) or(burst int, every time.Duration) bucket.Limit {
	if a.Burst <= 0 || a.Every <= 0 {
		a = Attempts{burst, every}
	}
	return bucket.Limit{Rate: rate.Every(a.Every), Burst: a.Burst}
}

// PasswordLimits bounds how often passwords are tried, before any of them is hashed. A
// network address is an IPv4 address or the /64 of an IPv6 address; all that is unknown
// counts as one. The zero value works.
type PasswordLimits struct {
	// Pair bounds the wrong passwords for one e-mail address from one network address.
	// Default: 10 at once, one a minute.
	Pair Attempts
	// Email bounds the wrong passwords for one e-mail address from all network
	// addresses together, but for those from which that person has signed in. Let it be
	// faster than Pair, or one address could use up everybody's. Default: 100 at once,
	// 100 an hour.
	Email Attempts
	// Addr bounds the wrong passwords from one network address for all e-mail addresses
	// together. Default: 300 at once, one every 5 seconds.
	Addr Attempts
	// Site bounds the wrong passwords from the /48 of an IPv6 address, which may be all
	// one subscriber's, for all e-mail addresses together. Default: 1,500 at once, one a
	// second.
	Site Attempts
	// Right bounds the right passwords of one person, from wherever: each is some 50 ms
	// of a CPU. Default: 60 at once, 2 a second.
	Right Attempts
	// RightAddr bounds the right passwords from one network address, of all persons
	// together: whoever signs up often is right about all of them. Let it be enough for
	// an office. Default: 600 at once, 5 a second.
	RightAddr Attempts
	// SignUp bounds the sign-ups from one network address. Default: 100 at once, one
	// every 10 seconds.
	SignUp Attempts
}

// tooMany is ErrTooManyAttempts and how long to wait. It does not say which limit it was,
// since that of a person's own addresses would tell of the person.
type tooMany struct{ after time.Duration }

func (tooMany) Error() string { return ErrTooManyAttempts.Error() }
func (tooMany) Unwrap() error { return ErrTooManyAttempts }
func (t tooMany) RetryAfter() time.Duration {
	return min(t.after, math.MaxInt32*time.Second) // what clients can count (RFC 9111, section 1.2.2)
}

// queueFull is how long whoever finds no room to wait for a hash is told to wait.
const queueFull = time.Second
