package tenancy

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
)

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
// after an import, it counts as active. To StatusClosed it does what Close does, but
// nothing to an account that is closed, and what is closed no Change opens.
//
// It returns ErrNoAccount, ErrNoPlan (also for a plan that is inactive),
// ErrTransition for a move that CanMove refuses, ErrForbidden for one who may not
// close, and ErrInvalid when the actor is missing or a trial would have no end. After
// the error of a hook of Config.OnChange, whatever error it is, roll back.
func (a *Accounts) Change(ctx context.Context, db bun.IDB, c Change) (Account, error) {
	return a.step(ctx, db, c.Account, c)
}

func (c Change) line() Audit {
	return Audit{Account: c.Account, Actor: c.Actor, Action: "tenancy.change", Reason: c.Reason}
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
	return a.step(ctx, db, s.Account, s)
}

func (s Suspend) line() Audit {
	return Audit{Account: s.Account, Actor: s.Actor, Action: "tenancy.suspend", Reason: s.Reason}
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
	return a.step(ctx, db, r.Account, r)
}

func (r Resume) line() Audit {
	return Audit{Account: r.Account, Actor: r.Actor, Action: "tenancy.resume", Reason: r.Reason}
}

// Changed is what became of an account, for Config.OnChange.
type Changed struct {
	// From is the account as it was; the zero Account where it was just registered.
	From Account
	To   Account
	// Plan is the one of To; zero where there is none of that slug any more.
	Plan Plan
}

// changed runs the hooks of Config.OnChange.
func (a *Accounts) changed(ctx context.Context, db bun.IDB, from, to Account) error {
	if len(a.cfg.OnChange) == 0 {
		return nil
	}
	plan, err := a.Plan(ctx, db, to.Plan)
	if err != nil && !errors.Is(err, ErrNoPlan) {
		return err
	}
	for _, hook := range a.cfg.OnChange {
		if err := hook(ctx, db, Changed{From: from, To: to, Plan: plan}); err != nil {
			return err
		}
	}
	return nil
}

// step takes an account one step on, under its lock.
func (a *Accounts) step(ctx context.Context, db bun.IDB, id AccountID, s step) (Account, error) {
	line := s.line()
	if err := line.Validate(); err != nil {
		return Account{}, err
	}
	var out Account
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		row, err := lockAccount(ctx, db, id)
		if err != nil {
			return err
		}
		old, now := row.account(), a.now()
		if out, err = next(old, s, now, a.cfg.Retention); err != nil || out == old {
			return err
		}
		if out.Plan != old.Plan {
			if plan, err := a.Plan(ctx, db, out.Plan); err != nil {
				return err
			} else if !plan.Active {
				return ErrNoPlan
			}
		}
		out.UpdatedAt = now
		row = newAccountRow(out)
		if _, err := db.NewUpdate().Model(&row).WherePK().Exec(ctx); err != nil {
			return err
		}
		if err := a.Changed(ctx, db, id.Subject()); err != nil {
			return err
		}
		fact := AccountChanged{
			From: old.Status, To: out.Status, FromPlan: old.Plan, ToPlan: out.Plan, PaidUntil: out.PaidUntil, PurgeAt: out.PurgeAt,
		}
		line.At = now
		if line.Data, err = json.Marshal(fact); err != nil {
			return err
		}
		if err := Note(ctx, db, line, fact); err != nil {
			return err
		}
		return a.changed(ctx, db, old, out)
	})
	if err != nil {
		return Account{}, err
	}
	return out, nil
}
