package authn

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Verify is Enter for keys alone: it checks a key and enters its account for
// everything in need (0 means tenancy.Use).
//
// It returns ErrBadCredential, the refusals of tenancy.Check, and
// tenancy.ErrForbidden when need is more than a key can have. What cannot be a key
// of this brand and environment is refused without the database; any other costs
// one statement for the key and one for the account. Nothing is cached: a
// revocation and a suspension count from their commit on.
func (k *Keys) Verify(ctx context.Context, db bun.IDB, presented string, need tenancy.Capability) (context.Context, error) {
	who, err := k.identify(ctx, db, presented)
	if err != nil {
		return nil, err
	}
	return k.accounts.Enter(ctx, db, who.Account, who.Actor, need)
}

// Authenticate implements Authenticator for bearer tokens. One that does not begin
// like a key of this brand and environment is none of its kind.
func (k *Keys) Authenticate(ctx context.Context, db bun.IDB, c Credential) (Principal, error) {
	if c.Scheme != schemeBearer || !strings.HasPrefix(c.Value, k.form.prefix) {
		return Principal{}, ErrNoCredential
	}
	return k.identify(ctx, db, c.Value)
}

// Challenge implements Challenger.
func (k *Keys) Challenge() string { return "Bearer" }

// presented is one secret of the key that was named, with what ends either.
type presented struct {
	Account         tenancy.AccountID `bun:"account_id"`
	KeyExpiresAt    time.Time         `bun:"key_expires_at,nullzero"`
	KeyRevokedAt    time.Time         `bun:"key_revoked_at,nullzero"`
	Pepper          string            `bun:"pepper_id"`
	Hash            string            `bun:"hash"`
	SecretExpiresAt time.Time         `bun:"secret_expires_at,nullzero"`
	SecretRevokedAt time.Time         `bun:"secret_revoked_at,nullzero"`
}

// identify finds whose key this is, if it is one.
func (k *Keys) identify(ctx context.Context, db bun.IDB, key string) (Principal, error) {
	id, text, ok := k.form.parse(key)
	if !ok {
		return Principal{}, ErrBadCredential
	}
	var secrets []presented
	err := db.NewRaw(`SELECT k.account_id, k.expires_at AS key_expires_at, k.revoked_at AS key_revoked_at,
		s.pepper_id, s.hash, s.expires_at AS secret_expires_at, s.revoked_at AS secret_revoked_at
		FROM authn_key_ids AS i
		JOIN authn_keys AS k ON k.account_id = i.account_id AND k.key_id = i.key_id
		JOIN authn_key_secrets AS s ON s.account_id = k.account_id AND s.key_id = k.key_id
		WHERE i.key_id = ?`, id).Scan(ctx, &secrets)
	if err != nil {
		return Principal{}, err
	}
	if len(secrets) == 0 {
		k.ring.verify("", text, "") // an id that does not exist takes as long as one that does
		return Principal{}, ErrBadCredential
	}
	found := -1
	for i, s := range secrets {
		if k.ring.verify(s.Pepper, text, s.Hash) {
			found = i
		}
	}
	if found < 0 {
		return Principal{}, ErrBadCredential
	}
	now, s := k.now(), secrets[found]
	switch {
	case !s.KeyRevokedAt.IsZero() || !s.SecretRevokedAt.IsZero():
		return Principal{}, fmt.Errorf("%w: the key is revoked", ErrBadCredential)
	case over(s.KeyExpiresAt, now) || over(s.SecretExpiresAt, now):
		return Principal{}, fmt.Errorf("%w: the key is expired", ErrBadCredential)
	}
	return Principal{Account: s.Account, Actor: tenancy.Actor{Kind: tenancy.ActorKey, ID: string(id)}}, nil
}

// over reports that end, if there is one, has come.
func over(end, now time.Time) bool { return !end.IsZero() && !now.Before(end) }
