package invitations

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Resend asks the same person again.
type Resend struct {
	Account    tenancy.AccountID
	Invitation ID
	Actor      tenancy.Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// Resend gives an invitation a new token and a full time from now, also when its
// time was over; from the commit on no earlier token of it works. The actor becomes
// the inviter, whose rights count when it is accepted.
//
// It returns ErrNoInvitation for one that was accepted or revoked too, ErrTooMany
// for one to be opened again, and otherwise what Invite returns.
func (n *Invitations) Resend(ctx context.Context, db bun.IDB, r Resend) (Issued, error) {
	line := tenancy.Audit{Account: r.Account, Actor: r.Actor, Action: "invitations.resend", Target: string(r.Invitation), Reason: r.Reason}
	if !possible(r.Account, r.Invitation) {
		return Issued{}, ErrNoInvitation
	}
	if err := line.Validate(); err != nil {
		return Issued{}, err
	}
	var out Issued
	err := tx.Join(ctx, db, func(db bun.IDB) (err error) {
		now := n.now()
		if err := n.admits(ctx, db, r.Account, now); err != nil {
			return err
		}
		row, old, err := n.pending(ctx, db, r.Account, r.Invitation, r.Actor)
		if err != nil {
			return err
		}
		if err := n.accounts.MayGrant(ctx, db, r.Account, r.Actor, old.Roles, old.Objects...); err != nil {
			return err
		}
		if err := n.vacant(ctx, db, row, now); err != nil {
			return err
		}
		row.ExpiresAt, row.InviterKind, row.InviterID = now.Add(n.cfg.Lifetime), r.Actor.Kind, r.Actor.ID
		if _, err := db.NewUpdate().Model(&row).Column("expires_at", "inviter_kind", "inviter_id").WherePK().Exec(ctx); err != nil {
			return err
		}
		if out, err = issue(ctx, db, row); err != nil {
			return err
		}
		line.At = now
		return tenancy.Note(ctx, db, line, Resent{Invitation: row.ID, ExpiresAt: row.ExpiresAt})
	})
	if err != nil {
		return Issued{}, err
	}
	return out, nil
}

// pending finds an invitation that was neither accepted nor revoked, for one who may
// manage members. The account is locked.
func (n *Invitations) pending(ctx context.Context, db bun.IDB, account tenancy.AccountID, id ID, actor tenancy.Actor) (invitationRow, Invitation, error) {
	if err := n.accounts.MayGrant(ctx, db, account, actor, nil); err != nil {
		return invitationRow{}, Invitation{}, err
	}
	row, i, err := find(ctx, db, account, id)
	if err == nil && !(i.AcceptedAt.IsZero() && i.RevokedAt.IsZero()) {
		err = ErrNoInvitation
	}
	return row, i, err
}
