package authn

import (
	"time"

	"github.com/quitrent/quitrent/tenancy"
)

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

// KeyRotated says that an API key has another secret.
type KeyRotated struct {
	Key KeyID `json:"key"`
	// OldUntil is when the secrets it had before end at the latest.
	OldUntil time.Time `json:"old_until"`
	// Maker is on whose rights the key acts now: another user's, if another one rotated it.
	Maker tenancy.UserID `json:"maker"`
}

// EventKind implements tenancy.Fact.
func (KeyRotated) EventKind() string { return "authn.key_rotated" }

// SecretRevoked says that one secret of an API key was ended.
type SecretRevoked struct {
	Key    KeyID  `json:"key"`
	Secret string `json:"secret"`
}

// EventKind implements tenancy.Fact.
func (SecretRevoked) EventKind() string { return "authn.secret_revoked" }

// KeyTakenOver says that an API key acts on another user's rights. "" is the service.
type KeyTakenOver struct {
	Key  KeyID          `json:"key"`
	From tenancy.UserID `json:"from"`
	To   tenancy.UserID `json:"to"`
}

// EventKind implements tenancy.Fact.
func (KeyTakenOver) EventKind() string { return "authn.key_taken_over" }

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
