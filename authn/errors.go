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

	// 403.
	ErrCrossOrigin = problem.New(http.StatusForbidden, "cross_origin", "a page of another site may not do that: use the service's own pages")
	ErrAddress     = problem.New(http.StatusForbidden, "address_not_allowed", "the key may not be used from this address")
	// ErrOrphaned: the key acts on its maker's rights, and there are none any more.
	ErrOrphaned = problem.New(http.StatusForbidden, "key_orphaned", "whoever the key acts for is not a member of the account any more: take the key over or make another")

	// 404: also for what belongs to another account.
	ErrNoKey = problem.New(http.StatusNotFound, "no_key", "there is no such API key")

	// 409.
	ErrKeyOver     = problem.New(http.StatusConflict, "key_over", "the key is revoked or expired: make another")
	ErrImported    = problem.New(http.StatusConflict, "key_imported", "a key with this hash has been imported already")
	ErrManySecrets = problem.New(http.StatusConflict, "many_secrets", "the key has as many secrets as it can: revoke one")

	// 429: waiting fixes it. It comes with a RetryAfter() time.Duration, which errors.As
	// finds.
	ErrTooManyAttempts = problem.New(http.StatusTooManyRequests, "too_many_attempts", "too many attempts to sign in or up: wait as long as Retry-After says")

	// 422. The detail says what to do.
	ErrWeakPassword = problem.New(http.StatusUnprocessableEntity, "weak_password", "choose another password")
	// ErrWrongPassword is of somebody who is signed in, and stays it.
	ErrWrongPassword = problem.New(http.StatusUnprocessableEntity, "wrong_password", "the current password is wrong: type it again, or reset it by mail")
)
