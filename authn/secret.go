package authn

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Secret is one of those that open a key, as it may be shown at any time.
type Secret struct {
	ID        string    `json:"id"` // "sec_…"
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	// LastUsedAt shows which programs have not been given a new secret yet. It is known
	// to the minute while Run runs.
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

// Secrets lists a key's, newest first, at most 100. A key that is not the account's has
// none.
func (k *Keys) Secrets(ctx context.Context, db bun.IDB, account tenancy.AccountID, key KeyID) ([]Secret, error) {
	out := []Secret{}
	if !key.among(account) {
		return out, nil
	}
	var rows []struct {
		secretRow
		LastUsedAt time.Time `bun:"last_used_at,nullzero"`
	}
	err := db.NewSelect().TableExpr("authn_key_secrets AS s").
		ColumnExpr("s.secret_id, s.created_at, s.expires_at, s.revoked_at, u.last_used_at").
		Join("LEFT JOIN authn_key_uses AS u ON u.account_id = s.account_id AND u.key_id = s.key_id AND u.secret_id = s.secret_id").
		Where("s.account_id = ? AND s.key_id = ?", account, key).
		OrderExpr("s.created_at DESC, s.secret_id DESC").Limit(100).Scan(ctx, &rows)
	for _, r := range rows {
		out = append(out, Secret{
			ID: r.ID, CreatedAt: r.CreatedAt.UTC(), ExpiresAt: utc(r.ExpiresAt), RevokedAt: utc(r.RevokedAt), LastUsedAt: utc(r.LastUsedAt),
		})
	}
	return out, err
}

// RevokeSecret ends one of a key's secrets.
type RevokeSecret struct {
	Account tenancy.AccountID
	Key     KeyID
	Secret  string // Secret.ID
	Actor   tenancy.Actor
	Reason  string
}

// RevokeSecret ends one secret of a key at once; the others go on. One that is revoked
// stays as it is, and nothing is written.
//
// It returns ErrNoKey, also for a secret that the key does not have, ErrKeyOver, and
// tenancy.ErrInvalid when the actor is missing or the reason is no text.
func (k *Keys) RevokeSecret(ctx context.Context, db bun.IDB, r RevokeSecret) error {
	if _, err := tenancy.ParseAccountID(r.Secret); err != nil || !r.Key.among(r.Account) { // of the same letters
		return ErrNoKey
	}
	line := tenancy.Audit{
		Account: r.Account, Actor: r.Actor, Action: "authn.revoke_secret", Target: string(r.Key), Reason: r.Reason,
		Data: []byte(`{"secret":"` + r.Secret + `"}`),
	}
	return k.change(ctx, db, line, func(db bun.IDB, _ keyRow, now time.Time) (tenancy.Fact, error) {
		var secret secretRow
		err := db.NewSelect().Model(&secret).Where("account_id = ? AND key_id = ? AND secret_id = ?", r.Account, r.Key, r.Secret).Scan(ctx)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil, ErrNoKey
		case err != nil || !secret.RevokedAt.IsZero():
			return nil, err
		}
		_, err = db.NewUpdate().Model((*secretRow)(nil)).Set("revoked_at = ?", now).
			Where("account_id = ? AND key_id = ? AND secret_id = ?", r.Account, r.Key, r.Secret).Exec(ctx)
		return SecretRevoked{Key: r.Key, Secret: r.Secret}, err
	})
}
