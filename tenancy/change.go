package tenancy

import (
	"context"
	"encoding/json"
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
	StatusSuspended:      {StatusClosed}, // and back, by Resume
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
	// TrialEndsAt is when StatusTrial ends. Zero: the account keeps the end it has,
	// and one without is refused, since its trial would never end.
	TrialEndsAt time.Time
	// GraceEndsAt is how long StatusPastDue leaves everything open. Zero: no grace.
	GraceEndsAt time.Time
	// PaidUntil is how far StatusActive is paid, with any grace. Zero: it has no end.
	PaidUntil time.Time
	Actor     Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// Change applies c under the account's lock and writes it to the audit log and the
// outbox. A change that changes nothing writes nothing.
//
// A suspended account stays suspended: what a payment, an expiry or its owner's
// cancelling makes of it takes effect when an operator resumes it. Only closing
// ends a suspension otherwise. Where nothing says what the account was before, as
// after an import, it counts as active.
//
// It returns ErrNoAccount, ErrNoPlan (also for a plan that is inactive),
// ErrTransition for a move that CanMove refuses, and ErrInvalid when the actor is
// missing or a trial would have no end.
func (a *Accounts) Change(ctx context.Context, db bun.IDB, c Change) (Account, error) {
	return a.change(ctx, db, "tenancy.change", c, func(row *accountRow) error {
		if c.Plan != "" {
			row.Plan = c.Plan
		}
		switch c.Status {
		case "":
			if !c.TrialEndsAt.IsZero() || !c.GraceEndsAt.IsZero() || !c.PaidUntil.IsZero() {
				return fmt.Errorf("%w: an end goes with the status that it ends", ErrInvalid)
			}
			return nil
		case StatusSuspended:
			return row.suspend()
		default:
			return row.move(c)
		}
	})
}

func (r *accountRow) move(c Change) error {
	at := &r.Status // the status that changes
	if r.Status == StatusSuspended && c.Status != StatusClosed {
		at = &r.SuspendedFrom
	}
	from := *at
	if from == "" && at == &r.SuspendedFrom {
		from = StatusActive
	}
	if from != c.Status && !CanMove(from, c.Status) {
		return fmt.Errorf("%w: from %s to %s", ErrTransition, from, c.Status)
	}
	if at == &r.Status {
		r.SuspendedFrom = ""
	}
	entered := from != c.Status
	*at, r.GraceEndsAt, r.PaidUntil = c.Status, time.Time{}, time.Time{}
	switch c.Status {
	case StatusTrial:
		if !c.TrialEndsAt.IsZero() {
			r.TrialEndsAt = utc(c.TrialEndsAt.Truncate(time.Microsecond))
		}
		if entered && r.TrialEndsAt.IsZero() {
			return fmt.Errorf("%w: a trial needs an end", ErrInvalid)
		}
	case StatusActive:
		r.PaidUntil = utc(c.PaidUntil.Truncate(time.Microsecond))
	case StatusPastDue:
		r.GraceEndsAt = utc(c.GraceEndsAt.Truncate(time.Microsecond))
	}
	return nil
}

// suspend keeps everything that Resume will need, a grace too.
func (r *accountRow) suspend() error {
	if r.Status == StatusSuspended {
		return nil
	}
	if !CanMove(r.Status, StatusSuspended) {
		return fmt.Errorf("%w: from %s to %s", ErrTransition, r.Status, StatusSuspended)
	}
	r.SuspendedFrom, r.Status = r.Status, StatusSuspended
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
	return a.change(ctx, db, "tenancy.suspend", c, (*accountRow).suspend)
}

// Resume ends a suspension.
type Resume struct {
	Account AccountID
	Actor   Actor
	Reason  string
}

// Resume gives a suspended account back the status it had, or the one it would
// have come to meanwhile. An account that is not suspended stays as it is. It
// returns what Change returns, and ErrTransition where nothing says what the account
// was before: Change says it, and Resume works after that.
func (a *Accounts) Resume(ctx context.Context, db bun.IDB, r Resume) (Account, error) {
	c := Change{Account: r.Account, Actor: r.Actor, Reason: r.Reason}
	return a.change(ctx, db, "tenancy.resume", c, func(row *accountRow) error {
		if row.Status == StatusSuspended {
			if row.SuspendedFrom == "" {
				return fmt.Errorf("%w: nothing says what it was before: change it first", ErrTransition)
			}
			row.Status, row.SuspendedFrom = row.SuspendedFrom, ""
		}
		return nil
	})
}

func (a *Accounts) change(ctx context.Context, db bun.IDB, action string, c Change, apply func(*accountRow) error) (Account, error) {
	line := Audit{Account: c.Account, Actor: c.Actor, Action: action, Reason: c.Reason}
	if err := line.Validate(); err != nil {
		return Account{}, err
	}
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
			if plan, err := a.Plan(ctx, db, row.Plan); err != nil {
				return err
			} else if !plan.Active {
				return ErrNoPlan
			}
		}
		row.UpdatedAt = a.now()
		if _, err := db.NewUpdate().Model(&row).WherePK().Exec(ctx); err != nil {
			return err
		}
		out = row.account()
		fact := AccountChanged{From: old.Status, To: row.Status, FromPlan: old.Plan, ToPlan: row.Plan, PaidUntil: row.PaidUntil}
		line.At = row.UpdatedAt
		if line.Data, err = json.Marshal(fact); err != nil {
			return err
		}
		return Note(ctx, db, line, fact)
	})
	if err != nil {
		return Account{}, err
	}
	return out, nil
}
