package invitations

import (
	"time"

	"github.com/quitrent/quitrent/tenancy"
)

// Invited says that somebody was invited. Like every fact here it holds ids: the
// address is in the invitation alone.
type Invited struct {
	Invitation ID        `json:"invitation"`
	ExpiresAt  time.Time `json:"expires_at"`
}

// EventKind implements tenancy.Fact.
func (Invited) EventKind() string { return "invitations.invited" }

// Resent says that an invitation has a new token and a new end.
type Resent struct {
	Invitation ID        `json:"invitation"`
	ExpiresAt  time.Time `json:"expires_at"`
}

// EventKind implements tenancy.Fact.
func (Resent) EventKind() string { return "invitations.resent" }

// Accepted says that an invitation was used, by whom. That this made a member is a
// fact of its own, tenancy.MemberAdded, before this one.
type Accepted struct {
	Invitation ID             `json:"invitation"`
	User       tenancy.UserID `json:"user"`
}

// EventKind implements tenancy.Fact.
func (Accepted) EventKind() string { return "invitations.accepted" }

// Revoked says that an invitation was taken back.
type Revoked struct {
	Invitation ID `json:"invitation"`
}

// EventKind implements tenancy.Fact.
func (Revoked) EventKind() string { return "invitations.revoked" }
