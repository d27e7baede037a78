package authn

import (
	"net/http"

	"github.com/quitrent/quitrent/internal/problem"
)

// The refusals of this package. Over HTTP they answer with the status named, as
// problem details (RFC 9457).
var (
	// 401. ErrNoCredential is also how an Authenticator says that the request
	// carries none of its kind.
	ErrNoCredential = problem.New(http.StatusUnauthorized, "missing_credential", "this needs a credential: send an API key or sign in")
	// ErrBadCredential says the same of what is malformed, unknown and wrong. Only
	// whoever has shown the whole secret is told that it is expired or revoked.
	ErrBadCredential = problem.New(http.StatusUnauthorized, "invalid_credential", "the credential is not valid")

	// 404: also for what belongs to another account.
	ErrNoKey = problem.New(http.StatusNotFound, "no_key", "there is no such API key")

	// 429: waiting fixes it. It comes with a RetryAfter() time.Duration, which errors.As
	// finds.
	ErrTooManyAttempts = problem.New(http.StatusTooManyRequests, "too_many_attempts", "too many attempts to sign in or up: wait as long as Retry-After says")

	// 422. The detail says what to do.
	ErrWeakPassword = problem.New(http.StatusUnprocessableEntity, "weak_password", "choose another password")
)
