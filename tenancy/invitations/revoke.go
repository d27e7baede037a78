package invitations

import (
	"context"
	"errors"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Revoke takes an invitation back.
type Revoke struct {
	Account    tenancy.AccountID
	Invitation ID
	Actor      tenancy.Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// Revoke takes an invitation back, from the commit on, and writes it to the audit
// log and the outbox. One that is revoked stays as it is, and nothing is written. It
// works whatever the account's status.
//
// It returns ErrNoInvitation, for one that was accepted too, tenancy's ErrNoAccount,
// ErrForbidden for an actor who may not give the roles in it, and ErrInvalid when the
// actor is missing. Who manages members may take back what is to a role that nobody
// knows any more.
func (n *Invitations) Revoke(ctx context.Context, db bun.IDB, r Revoke) (Invitation, error) {
	if !possible(r.Account, r.Invitation) {
		return Invitation{}, ErrNoInvitation
	}
	line := tenancy.Audit{Account: r.Account, Actor: r.Actor, Action: "invitations.revoke", Target: string(r.Invitation), Reason: r.Reason}
	if err := line.Validate(); err != nil {
		return Invitation{}, err
	}
	var out Invitation
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		if _, err := n.accounts.Lock(ctx, db, r.Account); err != nil {
			return err
		}
		if err := n.accounts.MayGrant(ctx, db, r.Account, r.Actor, nil); err != nil {
			return err
		}
		row, i, err := find(ctx, db, r.Account, r.Invitation)
		if err != nil {
			return err
		}
		err = n.accounts.MayGrant(ctx, db, r.Account, r.Actor, i.Roles, i.Objects...)
		if err != nil && !errors.Is(err, tenancy.ErrInvalid) {
			return err
		}
		switch {
		case !i.AcceptedAt.IsZero():
			return ErrNoInvitation
		case i.RevokedAt.IsZero():
			line.At = n.now()
			row.RevokedAt, i.RevokedAt = line.At, line.At
			if _, err := db.NewUpdate().Model(&row).Column("revoked_at").WherePK().Exec(ctx); err != nil {
				return err
			}
			if err := tenancy.Note(ctx, db, line, Revoked{Invitation: i.ID}); err != nil {
				return err
			}
		}
		out = i
		return nil
	})
	if err != nil {
		return Invitation{}, err
	}
	return out, nil
}
