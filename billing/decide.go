package billing

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// ConfirmTransfer says that the money has come, whole.
type ConfirmTransfer struct {
	// Reference is the transfer's, as people type it.
	Reference string
	// Actor is who says so, for the audit log. Required.
	Actor tenancy.Actor
	// Reason is the actor's own words, at most 1000 bytes: "statement of 3 May, line 12".
	Reason string
}

// ConfirmTransfer gives the account what it paid for: the subscription starts or
// goes on, the account is active on the plan, and the plan's credits are granted,
// those of a year month by month; all of it in one transaction, and once whatever is
// retried or raced. Confirming again changes nothing and returns the same transfer.
//
// It does not ask who Actor is: whether somebody may confirm is the caller's to
// decide, and a customer may not. Operator asks the host's check.
//
// A suspended account is served again when an operator resumes it. A payment for
// another plan than the one that is running ends that one at once.
//
// It returns ErrReference, ErrNoTransfer, ErrInvalid, ErrDecided when the transfer was
// rejected, ErrPlanGone, and tenancy.ErrTransition for an account that is closed:
// then nothing is written. After credits.ErrOverflow roll back.
func (s *Subscriptions) ConfirmTransfer(ctx context.Context, db bun.IDB, c ConfirmTransfer) (Transfer, error) {
	return s.decide(ctx, db, StatusConfirmed, decision(c), func(db bun.IDB, account tenancy.Account, row *transferRow) (tenancy.Fact, error) {
		if err := s.fulfil(ctx, db, account, row, c.Actor); err != nil {
			return nil, err
		}
		return TransferConfirmed{
			Transfer: row.ID, Reference: row.Reference, Plan: row.Plan,
			PeriodStart: row.PeriodStart, PeriodEnd: row.PeriodEnd, Credits: row.Credits,
		}, nil
	})
}

// RejectTransfer says that the money is not taken, or never came.
type RejectTransfer struct {
	// Reference is the transfer's, as people type it.
	Reference string
	// Actor is who says so, for the audit log. Required.
	Actor tenancy.Actor
	// Reason is the actor's own words, at most 1000 bytes. Required.
	Reason string
}

// RejectTransfer ends a transfer without effect, of a closed account too. Rejecting
// again changes nothing and returns the same transfer. It returns ErrReference,
// ErrNoTransfer, ErrDecided when the transfer was confirmed, and ErrInvalid without a
// reason.
func (s *Subscriptions) RejectTransfer(ctx context.Context, db bun.IDB, r RejectTransfer) (Transfer, error) {
	if strings.TrimSpace(r.Reason) == "" {
		return Transfer{}, fmt.Errorf("%w: a rejection needs a reason", ErrInvalid)
	}
	return s.decide(ctx, db, StatusRejected, decision(r), func(_ bun.IDB, _ tenancy.Account, row *transferRow) (tenancy.Fact, error) {
		return TransferRejected{Transfer: row.ID, Reference: row.Reference}, nil
	})
}

type decision struct {
	Reference string
	Actor     tenancy.Actor
	Reason    string
}

// decide takes a transfer that is open to its end, under the account's lock.
func (s *Subscriptions) decide(ctx context.Context, db bun.IDB, to TransferStatus, d decision,
	apply func(db bun.IDB, account tenancy.Account, row *transferRow) (tenancy.Fact, error),
) (Transfer, error) {
	line := tenancy.Audit{Actor: d.Actor, Action: "billing.confirm_transfer", Reason: d.Reason}
	if to == StatusRejected {
		line.Action = "billing.reject_transfer"
	}
	if err := signed(line); err != nil {
		return Transfer{}, err
	}
	var out Transfer
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		found, err := findTransfer(ctx, db, d.Reference)
		if err != nil {
			return err
		}
		// The lock is a write, so that the answer to a repeat is as durable as the
		// first one. The order of locks is the account's row, then its credits.
		account, err := s.accounts.Lock(ctx, db, found.Account)
		if err != nil {
			return err
		}
		row, err := readTransfer(ctx, db, found.Account, found.ID)
		if err != nil {
			return err
		}
		switch row.Status {
		case to:
			out = row.transfer()
			return nil
		case StatusRequested:
		default:
			return fmt.Errorf("%w: it is %s", ErrDecided, row.Status)
		}
		row.DecidedByKind, row.DecidedByID, row.Reason, row.DecidedAt = d.Actor.Kind, d.Actor.ID, d.Reason, s.now()
		fact, err := apply(db, account, &row)
		if err != nil {
			return err
		}
		row.Status = to
		res, err := db.NewUpdate().Model(&row).WherePK().Where("status = ?", StatusRequested).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n != 1 {
			return fmt.Errorf("billing: transfer %s changed under the account's lock", row.ID)
		}
		if to == StatusConfirmed {
			if err := s.Allot(ctx, db, row.Account); err != nil {
				return err
			}
		}
		out = row.transfer()
		line.Account, line.At, line.Target = row.Account, row.DecidedAt, row.ID
		return tenancy.Note(ctx, db, line, fact)
	})
	if err != nil {
		return Transfer{}, err
	}
	return out, nil
}

// fulfil gives the account the time and the credits that the transfer pays for. What
// can be refused is refused before the first write.
func (s *Subscriptions) fulfil(ctx context.Context, db bun.IDB, account tenancy.Account, t *transferRow, actor tenancy.Actor) error {
	plan, err := s.accounts.Plan(ctx, db, t.Plan)
	if errors.Is(err, tenancy.ErrNoPlan) || err == nil && !plan.Active {
		return ErrPlanGone
	}
	if err != nil {
		return err
	}
	if !payable(account.Status) {
		return fmt.Errorf("%w: it is %s", tenancy.ErrTransition, account.Status)
	}
	sub, err := s.extend(ctx, db, account, payment{
		plan: t.Plan, currency: t.Currency, interval: t.Interval, method: MethodBankTransfer, externalID: t.Reference,
	}, t.DecidedAt)
	if err != nil {
		return err
	}
	t.Subscription, t.PeriodStart, t.PeriodEnd = sub.ID, sub.PeriodStart, sub.PeriodEnd
	if sub.Periods == 1 {
		if err := forgetYears(ctx, db, t.Account); err != nil {
			return err
		}
	}
	now, err := split(t, sub, account.Zone)
	if err != nil {
		return err
	}
	if now > 0 {
		entry, err := s.ledger.Grant(ctx, db, credits.Grant{
			Account: t.Account, Amount: now, Key: "quitrent:transfer:" + t.ID, Category: credits.CategoryPaid,
			Note: fmt.Sprintf("plan %s, paid by transfer %s", t.Plan, grouped(t.Reference)), Actor: actor,
		})
		if err != nil {
			return err
		}
		t.Entry = entry.Number
	}
	old, err := s.Account(ctx, db, t.Account)
	if err != nil {
		return err
	}
	if old.PaymentMethod == "" {
		if err := s.putMethod(ctx, db, t.Account, MethodBankTransfer, t.DecidedAt); err != nil {
			return err
		}
	}
	_, err = s.accounts.Change(ctx, db, tenancy.Change{
		Account: t.Account, Status: tenancy.StatusActive, PaidUntil: sub.PeriodEnd.Add(s.cfg.Grace), Plan: t.Plan,
		Actor: actor, Reason: "paid by transfer " + t.Reference,
	})
	if errors.Is(err, tenancy.ErrNoPlan) || errors.Is(err, tenancy.ErrTransition) {
		// The plan was retired just now. After the writes above this is no refusal
		// that a host may commit.
		return fmt.Errorf("billing: activating account %s: %v", t.Account, err)
	}
	return err
}

// payable reports whether a payment makes an account of this status active: at once,
// or when it is resumed.
func payable(s tenancy.Status) bool {
	return s == tenancy.StatusActive || s == tenancy.StatusSuspended || tenancy.CanMove(s, tenancy.StatusActive)
}
