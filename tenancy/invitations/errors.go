package invitations

import (
	"net/http"

	"github.com/quitrent/quitrent/internal/problem"
)

// The refusals of this package. Over HTTP they answer with the status named, as
// problem details (RFC 9457).
var (
	// 404. ErrNoInvitation says the same of a token that is malformed, unknown,
	// replaced, used, revoked or expired, and of one that was sent to another
	// address than the caller's; and of an invitation of another account.
	ErrNoInvitation = problem.New(http.StatusNotFound, "no_invitation", "there is no such invitation, or it is over: ask for a new one")

	// 409.
	ErrInvited = problem.New(http.StatusConflict, "already_invited", "this address has an open invitation: send that one again, or revoke it first")
	ErrVoid    = problem.New(http.StatusConflict, "invitation_void", "whoever sent this invitation may not give these roles any more: ask for a new one")
	ErrTooMany = problem.New(http.StatusConflict, "too_many_invitations", "the account has too many open invitations: revoke some, or wait until they are answered")
)
