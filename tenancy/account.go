package tenancy

import (
	"fmt"
	"time"
)

// AccountID names an account: at most 64 of A-Z a-z 0-9 _ . : -. Ours are prefixed
// and time-ordered ("acc_…"); a host that keeps its own accounts uses its own.
type AccountID string

// ParseAccountID checks s, which may come from outside.
func ParseAccountID(s string) (AccountID, error) {
	if s == "" || len(s) > 64 {
		return "", fmt.Errorf("%w: an account id has 1 to 64 characters", ErrInvalid)
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '.', c == ':', c == '-':
		default:
			return "", fmt.Errorf("%w: an account id is made of A-Z a-z 0-9 _ . : -", ErrInvalid)
		}
	}
	return AccountID(s), nil
}

// known reports whether id can name an account at all. What cannot is no account's
// name: the database is not asked, so that no odd byte is read as another id or ends
// a host's transaction.
func (id AccountID) known() bool {
	_, err := ParseAccountID(string(id))
	return err == nil
}

// UserID names a user ("usr_…").
type UserID string

func (id UserID) known() bool { return AccountID(id).known() }

// Status is where an account stands in its life. The table of Check says what
// each one may do.
type Status string

// The statuses. Any other is refused everything.
const (
	StatusTrial          Status = "trial"           // free until State.TrialEndsAt
	StatusActive         Status = "active"          // in good standing; see State.PaidUntil
	StatusPastDue        Status = "past_due"        // a payment is late; see State.GraceEndsAt
	StatusPendingPayment Status = "pending_payment" // the first payment has not come
	StatusSuspended      Status = "suspended"       // stopped by an operator
	StatusCancelled      Status = "cancelled"       // ended by its owner
	StatusClosed         Status = "closed"          // deleted, restorable for a while
	StatusErased         Status = "erased"          // personal data gone for good
)

// State is what Check needs to know of an account. It holds timestamps and no
// verdicts, so access is right at every instant without a job that keeps it so.
type State struct {
	Status      Status    `json:"status"`
	TrialEndsAt time.Time `json:"trial_ends_at,omitzero"` // of StatusTrial; zero: the trial has no end
	GraceEndsAt time.Time `json:"grace_ends_at,omitzero"` // of StatusPastDue; zero: no grace
	PaidUntil   time.Time `json:"paid_until,omitzero"`    // of StatusActive, with any grace; zero: it has no end
}

// Account is one customer: the unit that is limited, billed and kept apart.
type Account struct {
	ID   AccountID `json:"id"`
	Name string    `json:"name"`
	State
	// SuspendedFrom is what Resume gives a suspended account back.
	SuspendedFrom Status `json:"suspended_from,omitzero"`
	// ClosedFrom is what Restore gives a closed account back.
	ClosedFrom Status    `json:"closed_from,omitzero"`
	ClosedAt   time.Time `json:"closed_at,omitzero"`
	// PurgeAt is when a closed account can be restored no more and is erased. Zero:
	// an older version closed it, and it waits until Close is called again.
	PurgeAt time.Time `json:"purge_at,omitzero"`
	// Plan is the slug of the account's plan.
	Plan string `json:"plan"`
	// Owner is the one user who holds the role owner.
	Owner UserID `json:"owner"`
	// Zone is the account's IANA time zone, in which its billing days are counted.
	Zone      string    `json:"zone"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}
