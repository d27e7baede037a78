package tenancy

import (
	"context"
	"time"

	"github.com/uptrace/bun"
)

// DefaultRetention is how long a closed account can be restored unless Config says
// otherwise.
const DefaultRetention = 30 * 24 * time.Hour

// Close deletes an account, for a while in a way that can be undone.
type Close struct {
	Account AccountID
	Actor   Actor
	Reason  string
}

// Close closes an account: from the commit on there is no such account for its
// members and its API keys, and Enter returns ErrNoAccount. Nothing is deleted yet:
// until Account.PurgeAt, which is Config.Retention away, Restore takes it back, and
// whoever erases comes after that. Closing twice changes nothing, the time neither.
//
// The owner may close, in any status that is left, and who runs the service. It
// returns ErrForbidden for everybody else, API keys among them, and what Change
// returns.
func (a *Accounts) Close(ctx context.Context, db bun.IDB, c Close) (Account, error) {
	return a.step(ctx, db, c.Account, c)
}

func (c Close) line() Audit {
	return Audit{Account: c.Account, Actor: c.Actor, Action: "tenancy.close", Reason: c.Reason}
}

// Restore takes the closing of an account back.
type Restore struct {
	Account AccountID
	Actor   Actor
	Reason  string
}

// Restore makes a closed account again what it was, with its members, its API keys
// and every end it had: a suspended one comes back suspended, and a trial that is
// over by now is over. Where nothing says what it was, it comes back cancelled. An
// account that is open stays as it is.
//
// It returns ErrTransition from Account.PurgeAt on and for an erased account,
// ErrForbidden for an actor that is neither operator nor system, and what Change
// returns.
func (a *Accounts) Restore(ctx context.Context, db bun.IDB, r Restore) (Account, error) {
	return a.step(ctx, db, r.Account, r)
}

func (r Restore) line() Audit {
	return Audit{Account: r.Account, Actor: r.Actor, Action: "tenancy.restore", Reason: r.Reason}
}

// MarkErased says of a closed account that its personal data is gone.
type MarkErased struct {
	Account AccountID
	Actor   Actor
	Reason  string
}

// MarkErased ends an account for good: nothing leads back from StatusErased. It
// blanks the account's own name and time zone; everything else is deleted by the
// caller, in the transaction in which it calls this first, since the account's lock
// comes first. The row stays, so that the id is never given to another. Marking
// twice changes nothing.
//
// The system may from Account.PurgeAt on, which Closed lists; an operator, who has
// been asked to, also earlier. It returns ErrTransition before that and for an
// account that is not closed, ErrForbidden for other actors, and what Change returns.
func (a *Accounts) MarkErased(ctx context.Context, db bun.IDB, e MarkErased) (Account, error) {
	return a.step(ctx, db, e.Account, e)
}

func (e MarkErased) line() Audit {
	return Audit{Account: e.Account, Actor: e.Actor, Action: "tenancy.erase", Reason: e.Reason}
}

// Closed asks for a page of the closed accounts, in the order of their ids.
type Closed struct {
	// Due leaves those out that can still be restored: what remains is to be erased.
	Due bool
	// Undated leaves only those that have no PurgeAt, since a version closed them that
	// knew no retention: closing them again begins it.
	Undated bool
	// After continues a page: the ID of its last account.
	After AccountID
	// Limit is 1 to 500. Default: 50.
	Limit int
}

// Closed reads a page of the closed accounts. Erased ones are not among them.
// ErrInvalid: After is no account's id.
func (a *Accounts) Closed(ctx context.Context, db bun.IDB, page Closed) ([]Account, error) {
	// The index of the closed is found by a constant only.
	q := db.NewSelect().Where("status = 'closed'")
	if page.Due {
		q = q.Where("purge_at <= ?", a.now())
	}
	if page.Undated {
		q = q.Where("purge_at IS NULL")
	}
	return accountsAfter(ctx, q, page.After, page.Limit)
}
