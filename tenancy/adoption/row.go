package adoption

import (
	"time"

	"github.com/quitrent/quitrent/tenancy"
)

// Account is a customer of the old system.
type Account struct {
	// ID is the account's id from now on, mostly the one it has ("17", a UUID). "":
	// one of ours, made from Foreign, the same in every run.
	ID tenancy.AccountID
	// Foreign is the account's id in the old system, by which Members name it: 1 to
	// 200 bytes. Default: ID.
	Foreign string

	Name string
	// Status is the old system's word; Config.Statuses translates it.
	Status string
	// SuspendedFrom is the word for what a suspended account was before, which
	// Resume gives back. "": an operator says it (Accounts.Change) before resuming.
	SuspendedFrom string
	// Plan is the old system's name of the plan; Config.Plans translates it.
	Plan string
	// Owner is the Foreign of a user, or the ID of one that the new system has. "":
	// the one member whose roles include owner.
	Owner string
	// Zone is an IANA time zone. Default: "UTC".
	Zone string

	TrialEndsAt time.Time // zero: Config.TrialsEndAt
	GraceEndsAt time.Time // of past_due; zero: no grace
	PaidUntil   time.Time // of active; zero: without end
	CreatedAt   time.Time // zero: the time of the adoption
}

// User is a person that the old system knows.
type User struct {
	// ID is the user's id from now on. "": one of ours, made from Foreign, the same
	// in every run.
	ID tenancy.UserID
	// Foreign is the user's id in the old system: 1 to 200 bytes. Default: ID.
	Foreign string

	Email string
	// Name is the person's. Default: the e-mail address.
	Name      string
	CreatedAt time.Time // zero: the time of the adoption
	// VerifiedAt is when the old system made sure that the address is the user's.
	// Zero: it did not.
	VerifiedAt time.Time
}

// Member is a user's place in an account. Several rows of one user in one account
// are added up. An account's owner is a member of it without a row too.
type Member struct {
	// Account is the Foreign of an account. "": the old system gives the user roles
	// without an account; here a role is held in an account, so they are left out.
	Account string
	// User is the Foreign of a user, or the ID of one that the new system has.
	User string
	// Roles are the old system's names; Config.Roles translates them.
	Roles     []string
	CreatedAt time.Time // zero: the time of the adoption
}
