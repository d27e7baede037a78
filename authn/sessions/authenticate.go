package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Scheme is that of a session's credential: authn.Credential{Scheme: Scheme, Value:
// string(token)}. A session sent as a bearer is none, and a key in the cookie is none.
const Scheme = "session"

// Authenticate implements authn.Authenticator. The account is the one that c names,
// else the session's, else the only one that the user belongs to; the user must belong
// to it now. The session, its account and the membership cost one statement, another
// account than the session's one more. Once a minute there is one that notes the use:
// it is left out where db is a transaction, which would keep the session to itself.
//
// It returns authn.ErrBadCredential, in the same words for a token that is malformed,
// unknown or replaced and a session that is expired or revoked; tenancy.ErrNoAccount
// for a user who does not belong to the account, or to any; and tenancy.ErrWhichAccount
// for a user of several where neither c nor the session names one.
func (s *Sessions) Authenticate(ctx context.Context, db bun.IDB, c authn.Credential) (authn.Principal, error) {
	in, err := s.identify(ctx, db, c)
	if err != nil {
		return authn.Principal{}, err
	}
	wanted := cmp.Or(c.Account, in.Account)
	if wanted != "" && wanted == in.who.Account {
		return in.who, nil
	}
	account, err := s.accounts.AccountOf(ctx, db, in.User, wanted)
	if err != nil {
		return authn.Principal{}, err
	}
	return authn.Principal{Account: account, Actor: person(in.User), Bounds: &tenancy.Bounds{ExpiresAt: in.ExpiresAt}}, nil
}

// identify finds what c opens, if it is a session that is open.
func (s *Sessions) identify(ctx context.Context, db bun.IDB, c authn.Credential) (found, error) {
	if c.Scheme != Scheme {
		return found{}, authn.ErrNoCredential
	}
	hash, ok := Token(c.Value).hash()
	if !ok {
		return found{}, errOver
	}
	now := s.now()
	o, err := s.look(ctx, db, hash, now)
	if err != nil {
		return found{}, err
	}
	in := o.found
	if in.Session = o.session(); !s.open(in.Session, now) {
		return found{}, errOver
	}
	if now.Sub(in.SeenAt) >= s.noted() && tx.Owns(db) {
		if err := s.see(ctx, db, in.ID, now); err != nil { // the session is good all the same
			slog.WarnContext(ctx, "sessions: the use of a session is not noted", "session", in.ID, "err", err)
		} else {
			in.SeenAt = now
			o.seen.Store(&now)
		}
	}
	return in, nil
}

// noted is how often the use of a session is written: once a minute, and oftener only
// where a session is idle sooner.
func (s *Sessions) noted() time.Duration { return min(time.Minute, s.cfg.Idle/10) }

// see notes that a session was used at an instant. Of several requests at once, and
// of several machines, one writes.
func (s *Sessions) see(ctx context.Context, db bun.IDB, id ID, now time.Time) error {
	_, err := db.NewUpdate().Model((*sessionRow)(nil)).Set("seen_at = ?", now).
		Where("session_id = ? AND seen_at <= ? AND revoked_at IS NULL", id, now.Add(-s.noted())).Exec(ctx)
	return err
}

// Challenge implements authn.Challenger. No browser asks for anything because of it.
func (s *Sessions) Challenge() string { return "Session" }

// Middleware is that of an authn.Guard for sessions alone.
func (s *Sessions) Middleware(db *bun.DB, need tenancy.Capability) func(http.Handler) http.Handler {
	return s.guard.Middleware(db, need)
}

// Person is the check of an endpoint for a person who has entered no account, and may
// have none: tenancy's Accounts.Person, and Public of package invitations. It takes a
// session and returns authn.ErrNoCredential, authn.ErrBadCredential and
// ErrCrossOrigin.
func (s *Sessions) Person(db *bun.DB) tenancy.Authorizer {
	return s.guard.Person(db)
}

// Identify implements authn.Identifier.
func (s *Sessions) Identify(ctx context.Context, db bun.IDB, c authn.Credential) (tenancy.Actor, error) {
	in, err := s.identify(ctx, db, c)
	if err != nil {
		return tenancy.Actor{}, err
	}
	return person(in.User), nil
}

// present is the open session that a request comes with, and its token.
func (s *Sessions) present(r *http.Request, db *bun.DB) (Session, Token, error) {
	c, err := s.guard.FromRequest(r)
	if err != nil {
		return Session{}, "", err
	}
	in, err := s.identify(r.Context(), db, c)
	if errors.Is(err, authn.ErrNoCredential) {
		err = fmt.Errorf("%w: this takes a session: sign in", authn.ErrBadCredential)
	}
	if err != nil {
		return Session{}, "", err
	}
	return in.Session, Token(c.Value), nil
}
