package authn

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// PrepareSet applies the policy to a new password of a user's and hashes it. What it
// returns stores the hash, in a transaction that may be run again; that ends the
// links for a reset that are still open. Who may do so, and the audit log, are the
// caller's: Set is the whole of it for everybody but package emails.
//
// It returns ErrWeakPassword.
func (p *Passwords) PrepareSet(ctx context.Context, user tenancy.User, password string) (store func(ctx context.Context, db bun.IDB) error, err error) {
	hash, err := p.newHash(ctx, password, user.Email, user.Name)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, db bun.IDB) error { return p.replace(ctx, db, user.ID, hash) }, nil
}

// replace stores another hash. A link to set the password, which somebody may have
// asked for because it was known to others, is worth nothing any more.
func (p *Passwords) replace(ctx context.Context, db bun.IDB, user tenancy.UserID, hash string) error {
	_, err := db.NewRaw("UPDATE authn_email_tokens SET token_hash = NULL WHERE user_id = ? AND kind = 'password_reset'", user).Exec(ctx)
	if err != nil {
		return err
	}
	return p.store(ctx, db, user, hash)
}
