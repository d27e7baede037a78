package tenancy

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
)

// MarkVerified says that a user reads the mail of an address.
type MarkVerified struct {
	User UserID
	// Email is the address that was shown to be the user's. It must be the one the
	// user has now.
	Email string
	Actor Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// Verified is a user whose address is known to be theirs.
type Verified struct {
	User User
	// First says that it was not known before.
	First bool
}

// MarkVerified sets User.VerifiedAt and writes to the installation's audit log, since
// a user belongs to no one account. Whoever calls it has seen the proof: a token that
// went to that address and nowhere else, the word of another system. An address that
// is verified stays as it is, and nothing is written. In a transaction that also
// locks accounts it comes after them.
//
// It returns ErrNoUser, also when the user has another address by now, and ErrInvalid
// when the actor is missing or the reason is no text.
func (a *Accounts) MarkVerified(ctx context.Context, db bun.IDB, v MarkVerified) (Verified, error) {
	_, key, err := ParseEmail(v.Email)
	if err != nil || !v.User.known() {
		return Verified{}, ErrNoUser
	}
	line := Audit{Actor: v.Actor, Action: "tenancy.verify_email", Target: string(v.User), Reason: v.Reason}
	if err := line.Validate(); err != nil {
		return Verified{}, err
	}
	var out Verified
	err = tx.Join(ctx, db, func(db bun.IDB) error {
		out = Verified{}
		line.At = a.now()
		res, err := db.NewUpdate().Model((*userRow)(nil)).Set("email_verified_at = ?, updated_at = ?", line.At, line.At).
			Where("user_id = ? AND email_key = ? AND email_verified_at IS NULL", v.User, key).Exec(ctx)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		out.First = n == 1
		out.User, err = a.UserByEmail(ctx, db, key)
		switch {
		case err != nil:
			return err
		case out.User.ID != v.User:
			return ErrNoUser
		case !out.First:
			return nil
		}
		return Record(ctx, db, line)
	})
	if err != nil {
		return Verified{}, err
	}
	return out, nil
}

// RequireVerified returns ErrUnverified for a user whose address nobody has shown to
// be theirs, and ErrNoUser. Nothing in this library asks it by itself: a host does,
// before what must not be done in the name of a stranger's address.
func (a *Accounts) RequireVerified(ctx context.Context, db bun.IDB, user UserID) error {
	u, err := a.User(ctx, db, user)
	if err == nil && u.VerifiedAt.IsZero() {
		err = ErrUnverified
	}
	return err
}
