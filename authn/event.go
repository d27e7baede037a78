package authn

import "time"

// KeyIssued says that an API key was made.
type KeyIssued struct {
	Key       KeyID     `json:"key"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// EventKind implements tenancy.Fact.
func (KeyIssued) EventKind() string { return "authn.key_issued" }

// KeyRevoked says that an API key was ended before its time.
type KeyRevoked struct {
	Key KeyID `json:"key"`
}

// EventKind implements tenancy.Fact.
func (KeyRevoked) EventKind() string { return "authn.key_revoked" }
