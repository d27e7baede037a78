package sessions

import (
	"context"
	"encoding/json"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Rotate gives a session another token. It is for every moment at which the session
// becomes worth more: its person has changed the password, or shown it again.
type Rotate struct {
	Token Token
	// Reason is the person's own words, for the audit log.
	Reason string
}

// Rotate replaces the token of a session, which stays the same one and ends when it
// would have: from the commit on the old token opens nothing. Two at once with one
// token: one gets the new one.
//
// It returns authn.ErrBadCredential for a token that opens nothing, and
// tenancy.ErrInvalid when the reason is no text.
func (s *Sessions) Rotate(ctx context.Context, db bun.IDB, r Rotate) (Issued, error) {
	line := tenancy.Audit{Action: "sessions.rotate", Reason: r.Reason}
	return s.replace(ctx, db, r.Token, line, func(bun.IDB, *Session) error { return nil })
}

// SwitchAccount has a session act for another account of its person.
type SwitchAccount struct {
	Token Token
	// Account is the new one. "": the only one that the user belongs to.
	Account tenancy.AccountID
}

// SwitchAccount changes the account, and the token as Rotate does. What the account
// may do now is not asked: the next request is.
//
// It returns authn.ErrBadCredential for a token that opens nothing,
// tenancy.ErrNoAccount for an account that the user does not belong to, and
// tenancy.ErrWhichAccount when "" leaves a choice.
func (s *Sessions) SwitchAccount(ctx context.Context, db bun.IDB, sw SwitchAccount) (Issued, error) {
	line := tenancy.Audit{Action: "sessions.switch_account"}
	return s.replace(ctx, db, sw.Token, line, func(db bun.IDB, in *Session) (err error) {
		in.Account, err = s.accounts.AccountOf(ctx, db, in.User, sw.Account)
		return err
	})
}

// replace gives the session of old a new token, and the account that choose gives it.
func (s *Sessions) replace(ctx context.Context, db bun.IDB, old Token, line tenancy.Audit, choose func(db bun.IDB, in *Session) error) (Issued, error) {
	hash, ok := old.hash()
	if !ok {
		return Issued{}, errOver
	}
	var out Issued
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		in, err := one(ctx, db, "token_hash = ?", hash)
		if err != nil {
			return err
		}
		now := s.now()
		if !s.open(in, now) {
			return errOver
		}
		line := line
		line.Actor, line.Target, line.At = person(in.User), string(in.ID), now
		if err := line.Validate(); err != nil {
			return err
		}
		if err := choose(db, &in); err != nil {
			return err
		}
		if line.Data, err = json.Marshal(struct {
			Account tenancy.AccountID `json:"account,omitzero"`
		}{in.Account}); err != nil {
			return err
		}
		if err := s.accounts.Changed(ctx, db, in.User.Subject()); err != nil { // and so one at a time
			return err
		}
		token, newHash := newToken()
		row := sessionRow{Hash: newHash, Account: in.Account, SeenAt: now}
		res, err := db.NewUpdate().Model(&row).Column("token_hash", "account_id", "seen_at").
			Where("session_id = ? AND token_hash = ? AND revoked_at IS NULL", in.ID, hash).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return errOver // somebody was faster: the token is old, or the session revoked
		}
		in.SeenAt = now
		out = Issued{Session: in, Token: token}
		return tenancy.Record(ctx, db, line)
	})
	if err != nil {
		return Issued{}, err
	}
	return out, nil
}
