package authn

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// SignIn is an attempt of a person to sign in. Formatting, logging and encoding/json
// leave the password out, and the address: it may be the password, in the wrong field.
type SignIn struct {
	Email string `json:"-"`
	// Password is as it was typed.
	Password string `json:"-"`
	// Addr is the network address of the client (Credential.Addr). The zero Addr counts
	// as one address.
	Addr netip.Addr
	// Then, unless it is nil, does what signing in is for, such as starting a session, in
	// a transaction in which the password is still the stored one and stays it: whoever
	// sets another waits, and then ends what Then has begun. It may be run again. An error
	// undoes it and is SignIn's.
	Then func(ctx context.Context, db bun.IDB, user tenancy.User) error `json:"-"`
}

// String names nobody.
func (SignIn) String() string { return "attempt to sign in" }

// Format implements fmt.Formatter: no verb shows the password.
func (s SignIn) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements slog.LogValuer.
func (s SignIn) LogValue() slog.Value { return slog.StringValue(s.String()) }

// SignIn finds the user with this address and password. A hash that is weaker than
// those made now, or another framework's, is replaced by one of this password; whether
// the policy would take it for a new one is not asked. Which accounts the user may
// enter, and for what, is for tenancy.AccountOf and Enter: somebody whose trial is over
// signs in to pay. db must not be a transaction.
//
// A password is right if its hash is the stored one when it is compared, not only when
// it was read: one that was replaced meanwhile does not open any more.
//
// It returns ErrBadCredential, in the same words and after the same work for an
// unknown address, a user without a password and a wrong one; ErrTooManyAttempts before
// any work, whether the address is known or not: see PasswordLimits; and the same when
// too many wait for a hash (PasswordConfig.Waiting).
func (p *Passwords) SignIn(ctx context.Context, db bun.IDB, s SignIn) (tenancy.User, error) {
	if !tx.Owns(db) {
		return tenancy.User{}, errInTransaction
	}
	attempt, err := p.attempts.begin(p.cfg.Now(), s.Email, s.Addr)
	if err != nil {
		return tenancy.User{}, err
	}
	err = ErrBadCredential // of a panic
	defer func() { attempt.end(err) }()
	var user tenancy.User
	user, err = p.signIn(ctx, db, s)
	return user, err
}

func (p *Passwords) signIn(ctx context.Context, db bun.IDB, s SignIn) (tenancy.User, error) {
	user, err := p.accounts.UserByEmail(ctx, db, s.Email)
	if err != nil && !errors.Is(err, tenancy.ErrNoUser) {
		return tenancy.User{}, err
	}
	stored, err := p.stored(ctx, db, user.ID)
	if err != nil {
		return tenancy.User{}, err
	}
	// Hashing takes long, and whoever waits for a turn can make it longer: what is
	// stored afterwards decides. Another sign-in may have replaced the hash by a
	// stronger one of the same password, once.
	for range 2 {
		opens, weak, err := p.opens(ctx, user.ID, stored, s.Password)
		if err != nil {
			return tenancy.User{}, err
		}
		if !opens {
			break
		}
		read := stored
		if stored, err = p.still(ctx, db, user, read, s.Then); err != nil {
			return tenancy.User{}, err
		}
		if stored != read {
			continue
		}
		if weak {
			if err := p.upgrade(ctx, db, user.ID, stored, normal(s.Password)); err != nil {
				slog.WarnContext(ctx, "authn: a weak password hash stays until the next sign-in", "user", user.ID, "err", err)
			}
		}
		return user, nil
	}
	return tenancy.User{}, fmt.Errorf("%w: the e-mail address or the password is wrong", ErrBadCredential)
}

// still is the user's stored hash. Where it is the one that was read, then is done in the
// transaction that asks.
func (p *Passwords) still(ctx context.Context, db bun.IDB, user tenancy.User, read string,
	then func(ctx context.Context, db bun.IDB, user tenancy.User) error,
) (stored string, err error) {
	if then == nil {
		return p.stored(ctx, db, user.ID)
	}
	err = tx.Join(ctx, db, func(db bun.IDB) (err error) {
		if _, err = p.accounts.LockEpoch(ctx, db, user.ID.Subject()); err != nil {
			return err
		}
		if stored, err = p.stored(ctx, db, user.ID); err != nil || stored != read {
			return err
		}
		return then(ctx, db, user)
	})
	return stored, err
}

// opens reports that the stored hash is the password's, and that it is weaker than those
// made now. The work is the same whatever is stored, nothing too.
func (p *Passwords) opens(ctx context.Context, user tenancy.UserID, stored, password string) (opens, weak bool, err error) {
	h, ours := parseHash(stored)
	if !ours { // compute one all the same
		h = passwordHash{cost: p.cost, salt: make([]byte, saltLength), sum: make([]byte, hashLength)}
	}
	f, theirs := foreignHash{}, false
	if stored != "" && !ours {
		if f, err = p.cfg.Foreign.parse(stored); err != nil {
			slog.ErrorContext(ctx, "authn: a stored password hash cannot be verified", "user", user, "err", err)
		}
		theirs = err == nil
	}
	if len(password) > maxPasswordBytes || !utf8.ValidString(password) {
		password, ours, theirs = "", false, false // nobody has such a one
	}
	matches, err := p.matches(ctx, h, normal(password))
	if err != nil {
		return false, false, err
	}
	matchesForeign, err := p.matchesForeign(ctx, f, password)
	if err != nil {
		return false, false, err
	}
	return matches && ours || matchesForeign && theirs, theirs || h.weaker(p.cost), nil
}

// upgrade replaces the hash old, unless somebody has replaced it meanwhile.
func (p *Passwords) upgrade(ctx context.Context, db bun.IDB, user tenancy.UserID, old, password string) error {
	h, err := p.hash(ctx, password)
	if err != nil {
		return err
	}
	_, err = db.NewUpdate().Model((*passwordRow)(nil)).Set("hash = ?, updated_at = ?", h.String(), p.now()).
		Where("user_id = ? AND hash = ?", user, old).Exec(ctx)
	return err
}

// Authenticate implements Authenticator for Basic credentials (RFC 7617, UTF-8):
// the user-id is the e-mail address. A user of several accounts names the one
// wanted. db must not be a transaction.
//
// It returns ErrBadCredential, ErrTooManyAttempts, tenancy.ErrNoAccount for a user who
// belongs to no account or not to the one wanted, and tenancy.ErrWhichAccount for a user
// of several who names none: these only once the password is right.
func (p *Passwords) Authenticate(ctx context.Context, db bun.IDB, c Credential) (Principal, error) {
	actor, err := p.Identify(ctx, db, c)
	if err != nil {
		return Principal{}, err
	}
	account, err := p.accounts.AccountOf(ctx, db, tenancy.UserID(actor.ID), c.Account)
	if err != nil {
		return Principal{}, err
	}
	return Principal{Account: account, Actor: actor}, nil
}

// Person is the check of an endpoint for a person who has entered no account, and may
// have none: tenancy's Accounts.Person, and Public of package invitations. It takes a
// Basic credential and returns ErrNoCredential, ErrBadCredential and ErrTooManyAttempts.
func (p *Passwords) Person(db *bun.DB) tenancy.Authorizer {
	return NewGuard(p.accounts, GuardConfig{TrustedProxies: p.cfg.TrustedProxies}, p).Person(db)
}

// Identify implements Identifier for Basic credentials.
func (p *Passwords) Identify(ctx context.Context, db bun.IDB, c Credential) (tenancy.Actor, error) {
	if c.Scheme != schemeBasic {
		return tenancy.Actor{}, ErrNoCredential
	}
	email, password, ok := userAndPassword(c.Value)
	if !ok {
		return tenancy.Actor{}, ErrBadCredential
	}
	user, err := p.SignIn(ctx, db, SignIn{Email: email, Password: password, Addr: c.Addr})
	if err != nil {
		return tenancy.Actor{}, err
	}
	return tenancy.Actor{Kind: tenancy.ActorUser, ID: string(user.ID)}, nil
}

// userAndPassword reads the value of a Basic credential (RFC 7617, section 2): the
// user-id ends at the first colon, the password may have more.
func userAndPassword(value string) (user, password string, ok bool) {
	text, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(text), ":")
}

// Challenge implements Challenger.
func (p *Passwords) Challenge() string {
	return `Basic realm="` + p.cfg.Realm + `", charset="UTF-8"`
}
