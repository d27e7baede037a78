package authn

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Revoke ends an API key.
type Revoke struct {
	Account tenancy.AccountID
	Key     KeyID
	Actor   tenancy.Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// Revoke ends a key, all of its secrets, from the commit on, as tenancy's
// Config.RevocationBound says of other processes, and writes it to the
// audit log and the outbox. A key that is revoked stays as it is, and nothing is
// written. It works whatever the account's status.
//
// It returns ErrNoKey, also for another account's key, and tenancy.ErrInvalid when
// the actor is missing or the reason is no text.
func (k *Keys) Revoke(ctx context.Context, db bun.IDB, r Revoke) (Key, error) {
	if !r.Key.among(r.Account) {
		return Key{}, ErrNoKey
	}
	line := tenancy.Audit{Account: r.Account, Actor: r.Actor, Action: "authn.revoke_key", Target: string(r.Key), Reason: r.Reason}
	if err := line.Validate(); err != nil {
		return Key{}, err
	}
	var out Key
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		if err := k.lock(ctx, db, r.Account); err != nil {
			return err
		}
		line.At = k.now()
		res, err := db.NewUpdate().Model((*keyRow)(nil)).Set("revoked_at = ?", line.At).
			Where("account_id = ? AND key_id = ? AND revoked_at IS NULL", r.Account, r.Key).Exec(ctx)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if out, err = k.Get(ctx, db, r.Account, r.Key); err != nil || n == 0 {
			return err
		}
		if err := k.accounts.Changed(ctx, db, r.Account.Subject()); err != nil {
			return err
		}
		return tenancy.Note(ctx, db, line, KeyRevoked{Key: r.Key})
	})
	if err != nil {
		return Key{}, err
	}
	return out, nil
}
