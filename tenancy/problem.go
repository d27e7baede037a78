package tenancy

import (
	"time"

	"github.com/quitrent/quitrent/internal/problem"
)

// Problem is an error as a client may be told of it, for what does not answer over
// HTTP: gRPC, a queue, a socket. Refuse answers the same over HTTP.
type Problem struct {
	// Status is that of HTTP, 4xx or 5xx: 402 where paying fixes it, 429 where waiting
	// does, 503 where nobody can tell. The cause of a 5xx is for the log.
	Status int
	// Code is the stable name: "trial_over".
	Code string
	// Detail says what was wrong and what to do. It holds nothing of ours.
	Detail string
	// RetryAfter is how long to wait before trying again, not rounded; 0: waiting
	// fixes nothing.
	RetryAfter time.Duration
}

// ProblemOf finds what to tell a client of err, which is not nil: a refusal of this
// library has its own status, code and text, anything else is a 503 without its text.
func ProblemOf(err error) Problem {
	status, code, text := problem.Of(err)
	return Problem{Status: status, Code: code, Detail: text, RetryAfter: problem.Wait(err)}
}
