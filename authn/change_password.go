package authn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// ChangePassword is a person who sets another password, and shows the one that it
// replaces. Formatting, logging and encoding/json leave both out.
type ChangePassword struct {
	User tenancy.UserID
	// Current is the password that the person has, Password the new one, both as they
	// were typed.
	Current  string `json:"-"`
	Password string `json:"-"`
	// Addr is the network address of the client (Credential.Addr). The zero Addr counts
	// as one address.
	Addr netip.Addr
	// Then, unless it is nil, does what a change is for beside the password, such as
	// ending sessions, in its transaction. It may be run again. An error undoes the change
	// and is Change's.
	Then func(ctx context.Context, db bun.IDB, user tenancy.User) error `json:"-"`
}

// String names the user.
func (c ChangePassword) String() string { return "change of the password of " + string(c.User) }

// Format implements fmt.Formatter: no verb shows a password.
func (c ChangePassword) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue implements slog.LogValuer.
func (c ChangePassword) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Change is Set for the person itself, whom the caller knows by a session: it also asks
// for the current password, so that a browser which was left open is not enough, and
// counts as an attempt to sign in with it. The user's tokens end, and so do the links for
// a reset. db must not be a transaction.
//
// It returns tenancy.ErrNoUser; ErrWeakPassword, also where the new one is the current
// one; ErrTooManyAttempts as SignIn does; and ErrWrongPassword, also for a user who has
// no password, and sets the first one by mail.
func (p *Passwords) Change(ctx context.Context, db bun.IDB, c ChangePassword) (tenancy.User, error) {
	if !tx.Owns(db) {
		return tenancy.User{}, errInTransaction
	}
	user, err := p.accounts.User(ctx, db, c.User)
	if err != nil {
		return tenancy.User{}, err
	}
	if err := checkPassword(c.Password, user.Email, user.Name); err != nil {
		return tenancy.User{}, err // and costs no attempt
	}
	attempt, err := p.attempts.begin(p.cfg.Now(), user.Email, c.Addr)
	if err != nil {
		return tenancy.User{}, err
	}
	outcome := ErrBadCredential // of a panic, and of a wrong password
	defer func() { attempt.end(outcome) }()
	err = p.change(ctx, db, user, c)
	switch {
	case errors.Is(err, ErrWrongPassword):
	case errors.Is(err, ErrWeakPassword), errors.Is(err, ErrBadCredential): // the latter is Then's
		outcome = nil // the current one was right
	default:
		outcome = err
	}
	if err != nil {
		return tenancy.User{}, err
	}
	return user, nil
}

func (p *Passwords) change(ctx context.Context, db bun.IDB, user tenancy.User, c ChangePassword) error {
	stored, err := p.stored(ctx, db, user.ID)
	if err != nil {
		return err
	}
	// As in signIn: a sign-in may replace the hash by a stronger one meanwhile, once.
	for range 2 {
		opens, _, err := p.opens(ctx, user.ID, stored, c.Current)
		if err != nil {
			return err
		}
		if !opens {
			break
		}
		if normal(c.Current) == normal(c.Password) {
			return weak("it is the one that you have")
		}
		hash, err := p.newHash(ctx, c.Password, user.Email, user.Name)
		if err != nil {
			return err
		}
		read := stored
		if stored, err = p.exchange(ctx, db, user, read, hash, c); err != nil || stored == read {
			return err
		}
	}
	return ErrWrongPassword
}

// exchange puts hash into the place of the stored one that was read, with what follows
// from it. Where another one is stored by now it returns that, and does nothing.
func (p *Passwords) exchange(ctx context.Context, db bun.IDB, user tenancy.User, read, hash string, c ChangePassword) (stored string, err error) {
	err = tx.Join(ctx, db, func(db bun.IDB) (err error) {
		if _, err = p.accounts.LockEpoch(ctx, db, user.ID.Subject()); err != nil {
			return err
		}
		if stored, err = p.stored(ctx, db, user.ID); err != nil || stored != read {
			return err
		}
		if err = p.accounts.Changed(ctx, db, user.ID.Subject()); err != nil { // its tokens end
			return err
		}
		if err = p.replace(ctx, db, user.ID, hash); err != nil {
			return err
		}
		err = tenancy.Record(ctx, db, tenancy.Audit{
			At: p.now(), Actor: tenancy.Actor{Kind: tenancy.ActorUser, ID: string(user.ID)}, Action: "authn.change_password", Target: string(user.ID),
		})
		if err != nil || c.Then == nil {
			return err
		}
		return c.Then(ctx, db, user)
	})
	return stored, err
}
