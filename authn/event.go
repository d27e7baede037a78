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

// KeyLeaked says that the text of an API key was found where others can read it.
type KeyLeaked struct {
	Key KeyID `json:"key"`
	// Revoked: the report has ended the key. Otherwise it had ended already, or is to
	// be ended by its owner.
	Revoked bool `json:"revoked"`
	// Scanner is who found it, Source the kind of place, URL the place, where known.
	Scanner string `json:"scanner"`
	Source  string `json:"source,omitzero"`
	URL     string `json:"url,omitzero"`
}

// EventKind implements tenancy.Fact.
func (KeyLeaked) EventKind() string { return "authn.key_leaked" }
