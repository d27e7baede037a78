package authn

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/changes"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// What whoever has shown the whole secret is told.
var (
	errRevoked = fmt.Errorf("%w: the key is revoked", ErrBadCredential)
	errExpired = fmt.Errorf("%w: the key is expired", ErrBadCredential)
)

// Verify checks a key without a Guard and enters its account for everything in need (0
// means tenancy.Use). A key that is bound to addresses opens nothing here.
//
// It returns ErrBadCredential, ErrAddress, ErrOrphaned, the refusals of tenancy.Check,
// and tenancy.ErrForbidden when need is more than the key may. What cannot be a key of
// this brand and its environments is refused without the database; any other costs one
// statement, and none while it is remembered.
func (k *Keys) Verify(ctx context.Context, db bun.IDB, presented string, need tenancy.Capability) (context.Context, error) {
	now := changes.Now()
	who, err := k.identify(ctx, db, k.form.env(presented), &arrived{Credential: Credential{Value: presented}}, now)
	if err != nil {
		return nil, err
	}
	return k.accounts.EnterSeen(ctx, db, who, need, now)
}

// Authenticate implements Authenticator for bearer tokens. One that does not begin
// like a key of this brand and one of its environments is none of its kind.
func (k *Keys) Authenticate(ctx context.Context, db bun.IDB, c Credential) (Principal, error) {
	who, err := k.authenticateSeen(ctx, db, &arrived{Credential: c}, changes.Now())
	if err != nil {
		return Principal{}, err
	}
	return *who, nil
}

// authenticateSeen is Authenticate for a Guard, which has read the clock. Nobody changes
// what it returns.
func (k *Keys) authenticateSeen(ctx context.Context, db bun.IDB, s *arrived, now changes.Instant) (*Principal, error) {
	if s.Scheme != schemeBearer {
		return nil, ErrNoCredential
	}
	env := k.form.env(s.Value)
	if env < 0 {
		return nil, ErrNoCredential
	}
	return k.identify(ctx, db, env, s, now)
}

// Challenge implements Challenger.
func (k *Keys) Challenge() string { return "Bearer" }

// identify finds whose key this is, if it is one, of the environment that it names.
func (k *Keys) identify(ctx context.Context, db bun.IDB, env int, s *arrived, now changes.Instant) (*Principal, error) {
	key := s.Value
	if env < 0 || len(key) > maxKeyLength {
		return nil, ErrBadCredential
	}
	d := digestOf(env, key[len(k.form.prefixes[env]):])
	o, remembered := k.memory.opened.Get(db, now, d)
	if !remembered {
		if k.memory.refused(db, now, d) {
			return nil, ErrBadCredential
		}
		id, text, ok := k.form.parse(key)
		if !ok {
			return nil, ErrBadCredential
		}
		var err error
		if o, err = k.find(ctx, db, now, d, id, text); err != nil {
			return nil, err
		}
	}
	return k.use(ctx, db, o, now, s)
}

// use is what o opens now, and notes the use down.
func (k *Keys) use(ctx context.Context, db bun.IDB, o *opened, now changes.Instant, s *arrived) (*Principal, error) {
	at := now.Time
	if !k.real {
		at = k.clock()
	}
	who, err := o.at(at, s)
	if err == nil && !o.stands.Load() {
		err = k.standing(ctx, db, o)
	}
	if err != nil {
		return nil, err
	}
	k.uses.note(o, at)
	return who, nil
}

// presentedRow is one secret of the key that was named, with what ends either and what
// the key may, beside its account.
type presentedRow struct {
	tenancy.Found

	Account         tenancy.AccountID `bun:"account_id"`
	Env             string            `bun:"env"`
	Maker           tenancy.UserID    `bun:"maker_id"`
	Scopes          string            `bun:"scopes"`
	May             string            `bun:"may"`
	Addresses       string            `bun:"addresses"`
	KeyExpiresAt    time.Time         `bun:"key_expires_at,nullzero"`
	KeyRevokedAt    time.Time         `bun:"key_revoked_at,nullzero"`
	Secret          string            `bun:"secret_id"`
	Pepper          string            `bun:"pepper_id"`
	Hash            string            `bun:"hash"`
	SecretCreatedAt time.Time         `bun:"secret_created_at"`
	SecretExpiresAt time.Time         `bun:"secret_expires_at,nullzero"`
	SecretRevokedAt time.Time         `bun:"secret_revoked_at,nullzero"`
}

// presentedColumns are those of a presentedRow, of the key k and its secret s.
const presentedColumns = `k.account_id, k.env, k.maker_id, k.scopes, k.may, k.addresses, k.expires_at AS key_expires_at, k.revoked_at AS key_revoked_at,
	s.secret_id, s.pepper_id, s.hash, s.created_at AS secret_created_at, s.expires_at AS secret_expires_at, s.revoked_at AS secret_revoked_at`

// maxPresented bounds the secrets that one key is compared with: those that live are
// fewer, and come first.
const maxPresented = 16

// find asks the database what a key opens, once for the key and its account, and
// remembers the answer.
func (k *Keys) find(ctx context.Context, db bun.IDB, now changes.Instant, d digest, id KeyID, text string) (*opened, error) {
	ticket := k.memory.feed.Begin()
	var rows []presentedRow
	q := db.NewSelect().TableExpr("authn_key_ids AS i").
		ColumnExpr(presentedColumns).
		Join("JOIN authn_keys AS k ON k.account_id = i.account_id AND k.key_id = i.key_id").
		Join("JOIN authn_key_secrets AS s ON s.account_id = k.account_id AND s.key_id = k.key_id").
		Where("i.key_id = ?", id).
		OrderExpr("CASE WHEN s.revoked_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > ?) THEN 0 ELSE 1 END, s.created_at DESC", k.now()).
		Limit(maxPresented)
	if err := k.accounts.Beside(q, "k.account_id", "k.maker_id").Scan(ctx, &rows); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		k.ring.verify("", text, "") // an id that does not exist takes as long as one that does
	}
	found := -1
	for i, r := range rows {
		if k.ring.verify(r.Pepper, text, r.Hash) {
			found = i
		}
	}
	if found < 0 {
		k.memory.refuse(db, now, d)
		return nil, ErrBadCredential
	}
	row := rows[found]
	o, err := k.open(row, id, func(who Principal) (Principal, tenancy.Plan, error) {
		return k.accounts.Know(ticket, now.Time, db, who, row.Found)
	})
	if err != nil {
		return nil, err
	}
	if row.Pepper != k.ring.current && o.refusal == nil && tx.Owns(db) {
		k.repepper(ctx, db, o.key, row.Hash, text)
	}
	if !errors.Is(o.refusal, ErrOrphaned) { // the maker may come back, which is announced to nobody: it would end the account's tokens
		k.memory.opened.Keep(ticket, db, d, func([]*changes.Life) *opened { return o }, o.who.Subjects()...)
	}
	return o, nil
}

// open reads what the row of a secret gives its holder.
func (k *Keys) open(r presentedRow, id KeyID, know func(Principal) (Principal, tenancy.Plan, error)) (*opened, error) {
	o := &opened{
		who:  Principal{Account: r.Account, Actor: tenancy.Actor{Kind: tenancy.ActorKey, ID: string(id)}, Env: r.Env},
		key:  useOf{account: r.Account, key: id, secret: r.Secret},
		ends: earlier(utc(r.KeyExpiresAt), utc(r.SecretExpiresAt)),
	}
	delegation := tenancy.Delegation{User: r.Maker}
	if err := cmp.Or(unmarshal(r.Scopes, &delegation.Scopes), unmarshal(r.Addresses, &o.addresses)); err != nil {
		return nil, fmt.Errorf("key %s: %w", id, err)
	}
	o.who.Delegation = &delegation
	if r.May != "" {
		var ok bool
		if o.who.May, ok = tenancy.ParseCapability(r.May); !ok {
			return nil, fmt.Errorf("key %s: a capability %q is not known", id, r.May)
		}
	}
	switch {
	case !r.KeyRevokedAt.IsZero() || !r.SecretRevokedAt.IsZero():
		o.refusal = errRevoked
	case r.Maker != "" && !k.accounts.IsMember(r.Found):
		o.refusal = ErrOrphaned
	}
	var (
		plan tenancy.Plan
		err  error
	)
	if o.who, plan, err = know(o.who); err != nil {
		return nil, err
	}
	if days, limited := plan.Limit(LimitKeyDays); limited {
		o.ends = earlier(o.ends, endOf(r.SecretCreatedAt, days))
	}
	if !o.ends.IsZero() || len(o.addresses) > 0 {
		o.who.Bounds = &tenancy.Bounds{ExpiresAt: o.ends, Addresses: o.addresses}
	}
	return o, nil
}

// unmarshal reads a list that most keys leave empty.
func unmarshal(text string, list any) error {
	if text == "[]" {
		return nil
	}
	return json.Unmarshal([]byte(text), list)
}

// earlier is the first of two ends, of which the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// repepper hashes a secret with the current pepper: only its holder can have that done.
// Should it fail, the next use does it.
func (k *Keys) repepper(ctx context.Context, db bun.IDB, of useOf, old, text string) {
	pepper, hash := k.ring.sum(text)
	_, err := db.NewUpdate().Model((*secretRow)(nil)).Set("pepper_id = ?, hash = ?", pepper, hash).
		Where("account_id = ? AND key_id = ? AND secret_id = ? AND hash = ?", of.account, of.key, of.secret, old).Exec(ctx)
	if err != nil {
		slog.WarnContext(ctx, "authn: a key's secret stays under its old pepper until its next use", "key", of.key, "err", err)
	}
}
