package tenancy

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
)

// moves are the legal changes of status. Everything else is refused.
var moves = map[Status][]Status{
	StatusTrial:          {StatusActive, StatusPastDue, StatusPendingPayment, StatusSuspended, StatusCancelled, StatusClosed},
	StatusActive:         {StatusPastDue, StatusPendingPayment, StatusSuspended, StatusCancelled, StatusClosed},
	StatusPastDue:        {StatusActive, StatusSuspended, StatusCancelled, StatusClosed},
	StatusPendingPayment: {StatusTrial, StatusActive, StatusSuspended, StatusCancelled, StatusClosed},
	StatusSuspended:      {StatusCancelled, StatusClosed}, // and back, by Resume
	StatusCancelled:      {StatusActive, StatusPendingPayment, StatusSuspended, StatusClosed},
	StatusClosed:         {StatusErased},
}

// CanMove reports whether an account may go from one status to another. Resume,
// which ends a suspension, is not a move of its own.
func CanMove(from, to Status) bool { return slices.Contains(moves[from], to) }

// Change moves an account to another status, to another plan, or both.
type Change struct {
	Account AccountID
	// Status is where to; "" keeps it.
	Status Status
	// Plan is the slug of the plan to go to; "" keeps it.
	Plan string
	// GraceEndsAt is how long StatusPastDue leaves everything open.
	GraceEndsAt time.Time
	Actor       Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// Change applies c under the account's lock and writes it to the audit log and the
// outbox. A change that changes nothing writes nothing.
//
// A suspended account stays suspended: what a payment or an expiry makes of it
// takes effect when an operator resumes it. Only cancelling and closing end a
// suspension otherwise.
//
// It returns ErrNoAccount, ErrNoPlan, ErrTransition for a move that CanMove
// refuses, and ErrInvalid when the actor is missing.
func (a *Accounts) Change(ctx context.Context, db bun.IDB, c Change) (Account, error) {
	return a.change(ctx, db, "tenancy.change", c, func(row *accountRow) error {
		if c.Plan != "" {
			row.Plan = c.Plan
		}
		return row.move(c.Status, c.GraceEndsAt)
	})
}

func (r *accountRow) move(to Status, graceEndsAt time.Time) error {
	if to == "" {
		return nil
	}
	at := &r.Status // the status that changes
	if r.Status == StatusSuspended && to != StatusCancelled && to != StatusClosed {
		if to == StatusSuspended {
			return nil
		}
		at = &r.SuspendedFrom
	}
	if *at != to && !CanMove(*at, to) {
		return fmt.Errorf("%w: from %s to %s", ErrTransition, *at, to)
	}
	switch {
	case to == StatusSuspended:
		r.SuspendedFrom = r.Status
	case at == &r.Status:
		r.SuspendedFrom = ""
	}
	*at = to
	r.GraceEndsAt = time.Time{}
	if to == StatusPastDue {
		r.GraceEndsAt = utc(graceEndsAt.Truncate(time.Microsecond))
	}
	return nil
}

// Suspend stops an account.
type Suspend struct {
	Account AccountID
	Actor   Actor
	Reason  string
}

// Suspend stops an account: from the commit on its API keys and its members are
// refused all but signing in, paying and exporting. Suspending twice changes
// nothing. It returns what Change returns.
func (a *Accounts) Suspend(ctx context.Context, db bun.IDB, s Suspend) (Account, error) {
	c := Change{Account: s.Account, Actor: s.Actor, Reason: s.Reason}
	return a.change(ctx, db, "tenancy.suspend", c, func(row *accountRow) error {
		return row.move(StatusSuspended, time.Time{})
	})
}

// Resume ends a suspension.
type Resume struct {
	Account AccountID
	Actor   Actor
	Reason  string
}

// Resume gives a suspended account back the status it had, or the one it would
// have come to meanwhile. An account that is not suspended stays as it is. It
// returns what Change returns.
func (a *Accounts) Resume(ctx context.Context, db bun.IDB, r Resume) (Account, error) {
	c := Change{Account: r.Account, Actor: r.Actor, Reason: r.Reason}
	return a.change(ctx, db, "tenancy.resume", c, func(row *accountRow) error {
		if row.Status == StatusSuspended {
			row.Status, row.SuspendedFrom = row.SuspendedFrom, ""
		}
		return nil
	})
}

func (a *Accounts) change(ctx context.Context, db bun.IDB, action string, c Change, apply func(*accountRow) error) (Account, error) {
	var out Account
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		old, err := lockAccount(ctx, db, c.Account)
		if err != nil {
			return err
		}
		row := old
		if err := apply(&row); err != nil {
			return err
		}
		if row == old {
			out = old.account()
			return nil
		}
		if row.Plan != old.Plan {
			if _, err := a.Plan(ctx, db, row.Plan); err != nil {
				return err
			}
		}
		row.UpdatedAt = a.now()
		if _, err := db.NewUpdate().Model(&row).WherePK().Exec(ctx); err != nil {
			return err
		}
		out = row.account()
		return note(ctx, db, Audit{
			Account: c.Account, At: row.UpdatedAt, Actor: c.Actor, Action: action, Reason: c.Reason,
			Data: fmt.Appendf(nil, `{"from":%q,"to":%q,"plan":%q}`, old.Status, row.Status, row.Plan),
		}, AccountChanged{From: old.Status, To: row.Status, FromPlan: old.Plan, ToPlan: row.Plan})
	})
	if err != nil {
		return Account{}, err
	}
	return out, nil
}
