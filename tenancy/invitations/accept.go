package invitations

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Accept takes an invitation.
type Accept struct {
	Token Token
	// User is who is signed in. The address invited must be this user's.
	User tenancy.UserID
}

// Accept makes the user a member with the roles of the invitation and uses it up:
// two at once make one member. The inviter's rights are those of this moment, read
// under the account's lock; in the audit log it is the inviter who added the member
// and the user who accepted.
//
// It returns ErrNoInvitation for every token that does not fit, and to every user
// but the one invited, in the same words; and to the one invited ErrVoid when the
// inviter may not give the roles any more, the refusals of tenancy.Check for an
// account that may not write, and tenancy.ErrLimit when the plan has no seat: after
// these the invitation is still open. Who is a member already gets
// tenancy.ErrMemberThere, keeps the roles there are, and the invitation is used up:
// it does not bring anybody back who is removed later. That is also the answer to
// whoever accepted and asks again, for want of the first one. It is a fact that was
// written: in a transaction of the caller's, commit after it.
func (n *Invitations) Accept(ctx context.Context, db bun.IDB, a Accept) (tenancy.Member, error) {
	account, err := owner(ctx, db, a.Token)
	if err != nil {
		return tenancy.Member{}, err
	}
	var (
		out   tenancy.Member
		there bool
	)
	err = tx.Join(ctx, db, func(db bun.IDB) (err error) {
		out, there, err = n.accept(ctx, db, account, a)
		return err
	})
	if err == nil && there {
		err = tenancy.ErrMemberThere
	}
	if err != nil {
		return tenancy.Member{}, err
	}
	return out, nil
}

func (n *Invitations) accept(ctx context.Context, db bun.IDB, account tenancy.AccountID, a Accept) (_ tenancy.Member, there bool, err error) {
	now := n.now()
	i, err := n.claim(ctx, db, account, a.Token)
	if err != nil {
		return tenancy.Member{}, false, err
	}
	user, there, err := n.member(ctx, db, account, i.Email)
	switch {
	case err != nil:
		return tenancy.Member{}, false, err
	case user == "" || user != a.User:
		return tenancy.Member{}, false, ErrNoInvitation
	case there && i.AcceptedBy == user:
		return tenancy.Member{}, true, nil
	case !i.Open(now):
		return tenancy.Member{}, false, ErrNoInvitation
	}
	if err := n.mayWrite(ctx, db, account, now); err != nil {
		return tenancy.Member{}, false, gone(err)
	}
	if there {
		_, err := n.use(ctx, db, i, user, now)
		return tenancy.Member{}, true, err
	}
	if err := n.stands(ctx, db, i); err != nil {
		return tenancy.Member{}, false, err
	}
	m, _, err := n.join(ctx, db, i, user, now)
	return m, false, err
}

// claim locks the account and reads the invitation that has the token now.
func (n *Invitations) claim(ctx context.Context, db bun.IDB, account tenancy.AccountID, token Token) (Invitation, error) {
	if _, err := n.accounts.Lock(ctx, db, account); err != nil {
		return Invitation{}, gone(err)
	}
	_, i, err := byToken(ctx, db, account, token)
	return i, err
}

// gone says of an account that is not there what is said of an invitation.
func gone(err error) error {
	if errors.Is(err, tenancy.ErrNoAccount) {
		return ErrNoInvitation
	}
	return err
}

// stands refuses an invitation whose inviter could not send it now.
func (n *Invitations) stands(ctx context.Context, db bun.IDB, i Invitation) error {
	err := n.accounts.MayGrant(ctx, db, i.Account, i.Inviter, i.Roles, i.Objects...)
	if errors.Is(err, tenancy.ErrForbidden) || errors.Is(err, tenancy.ErrInvalid) {
		return ErrVoid
	}
	return err
}

// join adds the member and uses the invitation up, in this order: a refusal of the
// first leaves nothing behind in a transaction that goes on.
func (n *Invitations) join(ctx context.Context, db bun.IDB, i Invitation, user tenancy.UserID, now time.Time) (tenancy.Member, tenancy.User, error) {
	m, err := n.accounts.AddMember(ctx, db, tenancy.AddMember{
		Account: i.Account, User: user, Roles: i.Roles, Objects: i.Objects, Actor: i.Inviter, Reason: "accepted " + string(i.ID),
	})
	if err != nil {
		return tenancy.Member{}, tenancy.User{}, err
	}
	u, err := n.use(ctx, db, i, user, now)
	return m, u, err
}

// use closes an open invitation. That it still is open is certain under the lock,
// and asked for all the same. The token went to the user's address, which is
// verified thereby.
func (n *Invitations) use(ctx context.Context, db bun.IDB, i Invitation, user tenancy.UserID, now time.Time) (tenancy.User, error) {
	res, err := db.NewUpdate().Model((*invitationRow)(nil)).Set("accepted_at = ?, accepted_by = ?", now, user).
		Where("account_id = ? AND invitation_id = ? AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > ?", i.Account, i.ID, now).
		Exec(ctx)
	if err != nil {
		return tenancy.User{}, err
	}
	if n, err := res.RowsAffected(); err != nil {
		return tenancy.User{}, err
	} else if n != 1 {
		return tenancy.User{}, fmt.Errorf("invitation %s of account %s was used under the account's lock", i.ID, i.Account)
	}
	actor := tenancy.Actor{Kind: tenancy.ActorUser, ID: string(user)}
	v, err := n.accounts.MarkVerified(ctx, db, tenancy.MarkVerified{User: user, Email: i.Email, Actor: actor, Reason: "accepted " + string(i.ID)})
	if err != nil {
		return tenancy.User{}, err
	}
	return v.User, tenancy.Note(ctx, db, tenancy.Audit{
		Account: i.Account, At: now, Actor: actor, Action: "invitations.accept", Target: string(i.ID),
	}, Accepted{Invitation: i.ID, User: user})
}
