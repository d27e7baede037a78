package invitations

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/internal/opaque"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Invite asks somebody to become a member of an account.
type Invite struct {
	Account tenancy.AccountID
	// Email is the address the invitation is for: only its user can accept.
	Email string
	// Roles are those of the member to be, on the account, and Objects those on
	// single objects: at least one of either. RoleOwner is not among them.
	Roles   []tenancy.Role
	Objects []tenancy.ObjectRole
	Actor   tenancy.Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// Issued is an invitation and, this once, its token. Formatting, logging and
// encoding/json leave the token out.
type Issued struct {
	Invitation Invitation
	Token      Token
}

// String names the invitation.
func (i Issued) String() string { return "invitation " + string(i.Invitation.ID) }

// Format implements fmt.Formatter: no verb shows the token, nor the address.
func (i Issued) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, i.String()) }

// LogValue implements slog.LogValuer.
func (i Issued) LogValue() slog.Value { return slog.StringValue(i.String()) }

// Invite makes an invitation and writes it to the audit log and the outbox, by its
// id. What it returns is the only copy of the token, for a mail to the address and
// for nobody else: who shows it is taken for the reader of that mailbox. Of two
// invitations at once for one address one is made. Seats are not counted here but
// when it is accepted.
//
// It returns tenancy's ErrInvalid for what is no address, for no roles, for those
// that nobody can be given and when the actor is missing; the refusals of
// tenancy.Check for an account that may not write; ErrForbidden when MayGrant says
// so, which refuses API keys; ErrMemberThere; and ErrInvited and ErrTooMany.
func (n *Invitations) Invite(ctx context.Context, db bun.IDB, v Invite) (Issued, error) {
	row, err := v.row()
	if err != nil {
		return Issued{}, err
	}
	line := tenancy.Audit{Account: v.Account, Actor: v.Actor, Action: "invitations.invite", Reason: v.Reason}
	if err := line.Validate(); err != nil {
		return Issued{}, err
	}
	var out Issued
	err = tx.Join(ctx, db, func(db bun.IDB) (err error) {
		now := n.now()
		if err := n.admits(ctx, db, v.Account, now); err != nil {
			return err
		}
		if err := n.accounts.MayGrant(ctx, db, v.Account, v.Actor, v.Roles, v.Objects...); err != nil {
			return err
		}
		if err := n.vacant(ctx, db, row, now); err != nil {
			return err
		}
		row.ID, row.CreatedAt, row.ExpiresAt = ID(id.New("inv")), now, now.Add(n.cfg.Lifetime)
		if err := insert(ctx, db, row, now); err != nil {
			return err
		}
		if out, err = issue(ctx, db, row); err != nil {
			return err
		}
		line.At, line.Target = now, string(row.ID)
		return tenancy.Note(ctx, db, line, Invited{Invitation: row.ID, ExpiresAt: row.ExpiresAt})
	})
	if err != nil {
		return Issued{}, err
	}
	return out, nil
}

// row checks what can be checked without the database.
func (v Invite) row() (invitationRow, error) {
	email, key, err := tenancy.ParseEmail(v.Email)
	if err != nil {
		return invitationRow{}, err
	}
	if len(v.Roles)+len(v.Objects) == 0 {
		return invitationRow{}, fmt.Errorf("%w: an invitation is to one or more roles", tenancy.ErrInvalid)
	}
	roles, err := json.Marshal(append([]tenancy.Role{}, v.Roles...))
	if err != nil {
		return invitationRow{}, err
	}
	objects, err := json.Marshal(append([]tenancy.ObjectRole{}, v.Objects...))
	return invitationRow{
		Account: v.Account, Email: email, EmailKey: key, Roles: string(roles), Objects: string(objects),
		InviterKind: v.Actor.Kind, InviterID: v.Actor.ID,
	}, err
}

// admits locks the account and refuses where it may take nobody in. Every change of
// an invitation begins with that lock, so that what is read after it holds.
func (n *Invitations) admits(ctx context.Context, db bun.IDB, account tenancy.AccountID, at time.Time) error {
	if _, err := n.accounts.Lock(ctx, db, account); err != nil {
		return err
	}
	return n.mayWrite(ctx, db, account, at)
}

func (n *Invitations) mayWrite(ctx context.Context, db bun.IDB, account tenancy.AccountID, at time.Time) error {
	state, plan, err := n.accounts.Load(ctx, db, account)
	if err != nil {
		return err
	}
	return tenancy.Check(state, plan, at, tenancy.Write)
}

// member finds the user with an address, "" if there is none, and reports whether
// it is a member of the account.
func (n *Invitations) member(ctx context.Context, db bun.IDB, account tenancy.AccountID, email string) (tenancy.UserID, bool, error) {
	user, err := n.accounts.UserByEmail(ctx, db, email)
	if errors.Is(err, tenancy.ErrNoUser) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	_, err = n.accounts.Member(ctx, db, account, user.ID)
	if errors.Is(err, tenancy.ErrNoUser) {
		return user.ID, false, nil
	}
	return user.ID, err == nil, err
}

// vacant refuses an invitation that is superfluous or one too many, itself not
// counted. The account is locked.
func (n *Invitations) vacant(ctx context.Context, db bun.IDB, row invitationRow, now time.Time) error {
	if _, there, err := n.member(ctx, db, row.Account, row.Email); err != nil {
		return err
	} else if there {
		return tenancy.ErrMemberThere
	}
	open, err := db.NewSelect().Model((*invitationRow)(nil)).
		Where("account_id = ? AND invitation_id <> ? AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > ?", row.Account, row.ID, now).Count(ctx)
	if err != nil {
		return err
	}
	if open >= int64(n.cfg.MostOpen) {
		return fmt.Errorf("%w: at most %d", ErrTooMany, n.cfg.MostOpen)
	}
	return nil
}

// insert puts the new invitation into the place of one whose time is over. That an
// address has one open invitation is the unique index's to say.
func insert(ctx context.Context, db bun.IDB, row invitationRow, now time.Time) error {
	_, err := db.NewUpdate().Model((*invitationRow)(nil)).Set("revoked_at = ?", now).
		Where("account_id = ? AND email_key = ? AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at <= ?", row.Account, row.EmailKey, now).
		Exec(ctx)
	if err != nil {
		return err
	}
	res, err := db.NewInsert().Model(&row).
		On("CONFLICT (account_id, email_key) WHERE accepted_at IS NULL AND revoked_at IS NULL DO NOTHING").Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil {
		return err
	} else if n == 0 {
		return ErrInvited
	}
	return nil
}

// issue gives an invitation its token, the only one that works from now on.
func issue(ctx context.Context, db bun.IDB, row invitationRow) (Issued, error) {
	_, err := db.NewDelete().Model((*tokenRow)(nil)).Where("account_id = ? AND invitation_id = ?", row.Account, row.ID).Exec(ctx)
	if err != nil {
		return Issued{}, err
	}
	token := Token(opaque.New())
	hash, _ := token.hash()
	if _, err := db.NewInsert().Model(&tokenRow{Hash: hash, Account: row.Account, Invitation: row.ID}).Exec(ctx); err != nil {
		return Issued{}, err
	}
	i, err := row.invitation()
	return Issued{Invitation: i, Token: token}, err
}
