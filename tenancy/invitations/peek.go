package invitations

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Preview is what the page shows on which an invitation is accepted.
type Preview struct {
	Account     tenancy.AccountID `json:"account"`
	AccountName string            `json:"account_name"`
	// Email is the address invited. Over HTTP most of it is hidden: a mail may have
	// been passed on.
	Email string `json:"email"`
	// HasUser says that the address is a user's: who reads it signs in, and Accept
	// follows. Otherwise it is for AcceptNew.
	HasUser   bool                 `json:"has_user"`
	Roles     []tenancy.Role       `json:"roles"`
	Objects   []tenancy.ObjectRole `json:"objects"`
	ExpiresAt time.Time            `json:"expires_at"`
}

// Peek shows an open invitation to whoever has its token, and changes nothing. It
// says neither that the inviter still may nor that there is a seat. ErrNoInvitation:
// there is none.
func (n *Invitations) Peek(ctx context.Context, db bun.IDB, token Token) (Preview, error) {
	account, err := owner(ctx, db, token)
	if err != nil {
		return Preview{}, err
	}
	_, i, err := byToken(ctx, db, account, token)
	if err != nil {
		return Preview{}, err
	}
	a, err := n.accounts.Get(ctx, db, account)
	if err == nil && (!i.Open(n.now()) || !exists(a.State)) {
		err = ErrNoInvitation
	}
	if err != nil {
		return Preview{}, err
	}
	user, _, err := n.member(ctx, db, account, i.Email)
	return Preview{
		Account: account, AccountName: a.Name, Email: i.Email, HasUser: user != "", Roles: i.Roles, Objects: i.Objects, ExpiresAt: i.ExpiresAt,
	}, err
}

// exists reports that an account is not closed, whatever else it may do.
func exists(state tenancy.State) bool {
	return !errors.Is(tenancy.Check(state, tenancy.Plan{}, time.Time{}, tenancy.SignIn), tenancy.ErrNoAccount)
}

// owner finds the account of a token. What is no token is not for the database.
func owner(ctx context.Context, db bun.IDB, token Token) (tenancy.AccountID, error) {
	hash, ok := token.hash()
	if !ok {
		return "", ErrNoInvitation
	}
	var row tokenRow
	err := db.NewSelect().Model(&row).Where("token_hash = ?", hash).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrNoInvitation
	}
	return row.Account, err
}

// byToken finds the account's invitation that has this token now.
func byToken(ctx context.Context, db bun.IDB, account tenancy.AccountID, token Token) (row invitationRow, i Invitation, err error) {
	hash, _ := token.hash()
	err = db.NewSelect().Model(&row).
		Where("i.account_id = ? AND i.invitation_id = (SELECT t.invitation_id FROM tenancy_invitation_tokens AS t WHERE t.token_hash = ? AND t.account_id = ?)",
			account, hash, account).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return row, i, ErrNoInvitation
	}
	if err != nil {
		return row, i, err
	}
	i, err = row.invitation()
	return row, i, err
}
