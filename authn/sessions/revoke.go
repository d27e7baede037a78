package sessions

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Revoke ends one session of a person.
type Revoke struct {
	User    tenancy.UserID
	Session ID
	Actor   tenancy.Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// Revoke ends a session from the commit on, and writes it to the installation's audit
// log, since a user belongs to no one account. One that is revoked stays as it is, and
// nothing is written.
//
// It returns ErrNoSession, also for a session of somebody else, and tenancy.ErrInvalid
// when the actor is missing or the reason is no text.
func (s *Sessions) Revoke(ctx context.Context, db bun.IDB, r Revoke) (Session, error) {
	if !possible(string(r.User)) || !r.Session.known() {
		return Session{}, ErrNoSession
	}
	var out Session
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		_, err := s.revoke(ctx, db, revocation{user: r.User, only: r.Session, line: tenancy.Audit{
			Actor: r.Actor, Action: "sessions.revoke", Target: string(r.Session), Reason: r.Reason,
		}})
		if err != nil {
			return err
		}
		if out, err = one(ctx, db, "session_id = ?", string(r.Session)); err == nil && out.User != r.User {
			err = ErrNoSession
		}
		return err
	})
	if err != nil {
		return Session{}, err
	}
	return out, nil
}

// RevokeOthers ends all sessions of a person but one.
type RevokeOthers struct {
	User tenancy.UserID
	// Keep is the one that goes on.
	Keep  ID
	Actor tenancy.Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// RevokeOthers is RevokeAll without the one to keep.
func (s *Sessions) RevokeOthers(ctx context.Context, db bun.IDB, r RevokeOthers) (int, error) {
	return s.revoke(ctx, db, revocation{user: r.User, but: r.Keep, line: tenancy.Audit{
		Actor: r.Actor, Action: "sessions.revoke_others", Target: string(r.User), Reason: r.Reason,
	}})
}

// RevokeAll ends all sessions of a person.
type RevokeAll struct {
	User  tenancy.UserID
	Actor tenancy.Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// RevokeAll ends the sessions from the commit on, with one line in the installation's
// audit log, and returns how many of them were open. Where there is none, nothing is
// written.
//
// It returns tenancy.ErrInvalid when the actor is missing or the reason is no text.
func (s *Sessions) RevokeAll(ctx context.Context, db bun.IDB, r RevokeAll) (int, error) {
	return s.revoke(ctx, db, revocation{user: r.User, line: tenancy.Audit{
		Actor: r.Actor, Action: "sessions.revoke_all", Target: string(r.User), Reason: r.Reason,
	}})
}

// AfterReset ends all sessions of a person who has set a new password by mail, in the
// transaction of that: it is for the hooks of package emails.
func (s *Sessions) AfterReset(ctx context.Context, db bun.IDB, user tenancy.UserID) error {
	// Also where there is none: one may be about to begin with the old password.
	if err := s.accounts.Changed(ctx, db, user.Subject()); err != nil {
		return err
	}
	_, err := s.RevokeAll(ctx, db, RevokeAll{User: user, Actor: person(user), Reason: "the password was reset"})
	return err
}

// End ends the session of a token, as signing out does.
type End struct {
	Token Token
}

// End ends a session from the commit on, with its person in the audit log: whoever
// holds the token may. A token that opens nothing is not refused, so that signing out
// twice is no error, and nothing is written.
func (s *Sessions) End(ctx context.Context, db bun.IDB, e End) error {
	hash, ok := e.Token.hash()
	if !ok {
		return nil
	}
	return tx.Join(ctx, db, func(db bun.IDB) error {
		in, err := one(ctx, db, "token_hash = ?", hash)
		if err != nil || in.ID == "" {
			return err
		}
		_, err = s.revoke(ctx, db, revocation{user: in.User, only: in.ID, line: tenancy.Audit{
			Actor: person(in.User), Action: "sessions.end", Target: string(in.ID),
		}})
		return err
	})
}

// revocation is which sessions of a person are to end, and what is written of it.
type revocation struct {
	user      tenancy.UserID
	only, but ID
	line      tenancy.Audit
}

// unrevoked are the sessions of a revocation that are left to revoke. Those that have
// expired are among them: another machine's clock may say otherwise. It takes user,
// only, only and but.
const unrevoked = "user_id = ? AND revoked_at IS NULL AND (? = '' OR session_id = ?) AND session_id <> ?"

// revoke returns how many of the sessions were open. The record of changes is written
// first, which one transaction for a user does after the other: so they lock the
// sessions in no circle.
func (s *Sessions) revoke(ctx context.Context, db bun.IDB, r revocation) (n int, err error) {
	if !possible(string(r.user)) {
		return 0, nil
	}
	if err := r.line.Validate(); err != nil {
		return 0, err
	}
	if !r.but.known() {
		r.but = "" // no session has such a name: none is kept
	}
	err = tx.Join(ctx, db, func(db bun.IDB) error {
		n = 0
		there, err := db.NewSelect().Model((*sessionRow)(nil)).Where(unrevoked, r.user, r.only, r.only, r.but).Exists(ctx)
		if err != nil || !there {
			return err
		}
		if err := s.accounts.Changed(ctx, db, r.user.Subject()); err != nil {
			return err
		}
		now := s.now()
		var rows []sessionRow
		_, err = db.NewUpdate().Model((*sessionRow)(nil)).Set("revoked_at = ?", now).
			Where(unrevoked, r.user, r.only, r.only, r.but).Returning("session_id, seen_at, expires_at").Exec(ctx, &rows)
		if err != nil || len(rows) == 0 {
			return err
		}
		ids := make([]ID, len(rows))
		for i, row := range rows {
			if ids[i] = row.ID; s.open(row.session(), now) {
				n++
			}
		}
		line := r.line
		line.At = now
		if r.only == "" {
			slices.Sort(ids)
			if line.Data, err = json.Marshal(struct {
				Sessions []ID `json:"sessions"`
			}{ids}); err != nil {
				return err
			}
		}
		return tenancy.Record(ctx, db, line)
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}
