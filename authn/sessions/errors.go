package sessions

import (
	"fmt"
	"net/http"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/problem"
)

// The refusals of this package. Over HTTP they answer with the status named, as
// problem details (RFC 9457).
var (
	// ErrCrossOrigin (403) refuses what a page of another origin made a browser send.
	ErrCrossOrigin = authn.ErrCrossOrigin

	// 404: also for a session of somebody else.
	ErrNoSession = problem.New(http.StatusNotFound, "no_session", "there is no such session")
)

// errOver says the same of a token that is malformed, unknown or replaced, and of a
// session that is expired or revoked: whoever finds an old token learns nothing of it.
var errOver = fmt.Errorf("%w: the session is over: sign in", authn.ErrBadCredential)
