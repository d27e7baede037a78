package emails

import (
	"net/http"
	"time"

	"github.com/quitrent/quitrent/internal/problem"
)

// The refusals of this package. Over HTTP they answer with the status named, as
// problem details (RFC 9457).
var (
	// 404. ErrNoToken says the same of a token that is malformed, unknown, replaced,
	// used, expired or for the other purpose, of one for an address that the user has
	// no more, and of another user's.
	ErrNoToken = problem.New(http.StatusNotFound, "no_token", "this link is not valid, or it is over: ask for a new mail")

	// 409.
	ErrVerified = problem.New(http.StatusConflict, "already_verified", "the e-mail address is verified already")

	// 429: waiting fixes it, Retry-After says how long.
	ErrTooMany = problem.New(http.StatusTooManyRequests, "too_many_mails", "this mail was sent often enough: look for it, or ask again later")
)

// tooMany is ErrTooMany with the time to wait.
type tooMany struct {
	error
	after time.Duration
}

func (t tooMany) Unwrap() error { return t.error }

// RetryAfter implements problem.Retryable.
func (t tooMany) RetryAfter() time.Duration { return t.after }
