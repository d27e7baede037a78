package throttle

import (
	"fmt"
	"net/http"
	"time"

	"github.com/quitrent/quitrent/internal/problem"
)

// ErrLimited says that a limit was reached; waiting fixes it. It comes as a
// *LimitedError, which has the numbers.
var ErrLimited = problem.New(http.StatusTooManyRequests, "rate_limited", "too many requests: wait as long as Retry-After says")

// LimitedError is ErrLimited with the policy that refused and its decision. The
// middlewares give it to Config.OnError, and a host that calls Take itself may
// return one: as a problem it has Retry-After and the member violated-policies.
type LimitedError struct {
	// Policy is "account", "address", "credential" or a name of the host's.
	Policy   string
	Decision Decision

	body []byte // the answer, if it was built before
}

// ProblemBody is the answer as it was built for an earlier refusal, or nil.
func (e *LimitedError) ProblemBody() []byte { return e.body }

// Error reaches the client, and so names the limit and not its key.
func (e *LimitedError) Error() string {
	return fmt.Sprintf("%v (limit %q: %g a second, %d at once)", ErrLimited, e.Policy, float64(e.Decision.Limit.Rate), e.Decision.Limit.Burst)
}

// Unwrap is ErrLimited.
func (e *LimitedError) Unwrap() error { return ErrLimited }

// RetryAfter is how long to wait, at most the 68 years that clients can count.
func (e *LimitedError) RetryAfter() time.Duration {
	return min(e.Decision.RetryAfter, maxSeconds*time.Second)
}

// ProblemMembers names the policies that refused, as the draft of the RateLimit
// fields does.
func (e *LimitedError) ProblemMembers() map[string]any {
	return map[string]any{"violated-policies": []string{e.Policy}}
}
