package invitations

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// AcceptNew takes an invitation for somebody who is no user yet. The token came by
// mail, so the address is known to be theirs.
type AcceptNew struct {
	Token Token
	// Name is the new user's: 1 to 200 bytes.
	Name string
	// Then runs in the transaction after the user and the member are written, with
	// the rules of tenancy.Config.OnRegister; authn stores the password through it.
	// It gets the new user, and the account and plan that the user has joined.
	Then tenancy.Hook
}

// Joined is what AcceptNew made, and where.
type Joined struct {
	Account tenancy.Account
	User    tenancy.User
	Member  tenancy.Member
}

// AcceptNew makes a user with the address invited, and does what Accept does, in one
// transaction: all of it or nothing. No account is made, so neither BeforeRegister
// nor OnRegister of tenancy runs: a host may take new users by invitation alone.
//
// It returns tenancy.ErrEmailTaken where the address is a user's, who signs in and
// calls Accept; ErrInvalid for a bad name; otherwise what Accept returns, and the
// errors of Then as they are. In a transaction that the caller began, the error of
// Then means: roll back, whatever error it is.
func (n *Invitations) AcceptNew(ctx context.Context, db bun.IDB, a AcceptNew) (Joined, error) {
	account, err := owner(ctx, db, a.Token)
	if err != nil {
		return Joined{}, err
	}
	var out Joined
	err = tx.Join(ctx, db, func(db bun.IDB) (err error) {
		out, err = n.acceptNew(ctx, db, account, a)
		return err
	})
	if err != nil {
		return Joined{}, err
	}
	return out, nil
}

func (n *Invitations) acceptNew(ctx context.Context, db bun.IDB, account tenancy.AccountID, a AcceptNew) (Joined, error) {
	now := n.now()
	i, err := n.claim(ctx, db, account, a.Token)
	if err != nil {
		return Joined{}, err
	}
	if err := n.mayJoin(ctx, db, i, now); err != nil {
		return Joined{}, err
	}
	var out Joined
	if out.User, err = n.accounts.CreateUser(ctx, db, tenancy.CreateUser{Email: i.Email, Name: a.Name}); err != nil {
		return Joined{}, err
	}
	if out.Member, out.User, err = n.join(ctx, db, i, out.User.ID, now); err != nil {
		return Joined{}, err
	}
	if out.Account, err = n.accounts.Get(ctx, db, account); err != nil || a.Then == nil {
		return out, err
	}
	plan, err := n.accounts.Plan(ctx, db, out.Account.Plan)
	if err != nil {
		return Joined{}, err
	}
	return out, a.Then(ctx, db, tenancy.Registered{Account: out.Account, User: out.User, Plan: plan})
}

// mayJoin is what keeps a new user out of the account. It asks for the seat too: the
// user is written before AddMember does.
func (n *Invitations) mayJoin(ctx context.Context, db bun.IDB, i Invitation, at time.Time) error {
	if !i.Open(at) {
		return ErrNoInvitation
	}
	if err := n.mayWrite(ctx, db, i.Account, at); err != nil {
		return gone(err)
	}
	if err := n.stands(ctx, db, i); err != nil {
		return err
	}
	return n.accounts.Seat(ctx, db, i.Account)
}

// invited asks without the lock what AcceptNew will ask under it, and returns the
// address: whoever would be refused anyway has no password hashed.
func (n *Invitations) invited(ctx context.Context, db bun.IDB, token Token) (email string, err error) {
	account, err := owner(ctx, db, token)
	if err != nil {
		return "", err
	}
	_, i, err := byToken(ctx, db, account, token)
	if err != nil {
		return "", err
	}
	if err := n.mayJoin(ctx, db, i, n.now()); err != nil {
		return "", err
	}
	user, _, err := n.member(ctx, db, account, i.Email)
	if err == nil && user != "" {
		err = tenancy.ErrEmailTaken
	}
	return i.Email, err
}
