package authn

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// KeyID names a key: 12 of 0-9 A-Z a-z. It is no secret.
type KeyID string

// Key is an API key as it may be shown at any time: without its secret.
type Key struct {
	Account tenancy.AccountID `json:"account"`
	ID      KeyID             `json:"id"`
	Name    string            `json:"name"`
	// Env is the environment the key was made for: "live".
	Env       string        `json:"env"`
	CreatedBy tenancy.Actor `json:"created_by"`
	CreatedAt time.Time     `json:"created_at"`
	ExpiresAt time.Time     `json:"expires_at,omitzero"` // zero: the key does not expire
	RevokedAt time.Time     `json:"revoked_at,omitzero"` // zero: the key is not revoked
}

// Issued is a new key and, this once, the text its holder authenticates with.
// Formatting, logging and encoding/json leave the text out.
type Issued struct {
	Key    Key
	Secret string `json:"-"`
}

// String names the key.
func (i Issued) String() string { return "API key " + string(i.Key.ID) }

// Format implements fmt.Formatter: no verb shows the secret.
func (i Issued) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, i.String()) }

// LogValue implements slog.LogValuer.
func (i Issued) LogValue() slog.Value { return slog.StringValue(i.String()) }

type keyIDRow struct {
	bun.BaseModel `bun:"table:authn_key_ids,alias:ki"`

	ID      KeyID             `bun:"key_id,pk"`
	Account tenancy.AccountID `bun:"account_id"`
}

type keyRow struct {
	bun.BaseModel `bun:"table:authn_keys,alias:k"`

	Account       tenancy.AccountID `bun:"account_id,pk"`
	ID            KeyID             `bun:"key_id,pk"`
	Name          string            `bun:"name"`
	Env           string            `bun:"env"`
	CreatedByKind tenancy.ActorKind `bun:"created_by_kind"`
	CreatedByID   string            `bun:"created_by_id"`
	CreatedAt     time.Time         `bun:"created_at"`
	ExpiresAt     time.Time         `bun:"expires_at,nullzero"`
	RevokedAt     time.Time         `bun:"revoked_at,nullzero"`
}

type secretRow struct {
	bun.BaseModel `bun:"table:authn_key_secrets,alias:s"`

	Account   tenancy.AccountID `bun:"account_id,pk"`
	Key       KeyID             `bun:"key_id,pk"`
	ID        string            `bun:"secret_id,pk"`
	Pepper    string            `bun:"pepper_id"`
	Hash      string            `bun:"hash"`
	CreatedAt time.Time         `bun:"created_at"`
	ExpiresAt time.Time         `bun:"expires_at,nullzero"`
	RevokedAt time.Time         `bun:"revoked_at,nullzero"`
}

func (r keyRow) key() Key {
	return Key{
		Account: r.Account, ID: r.ID, Name: r.Name, Env: r.Env, CreatedBy: tenancy.Actor{Kind: r.CreatedByKind, ID: r.CreatedByID},
		CreatedAt: r.CreatedAt.UTC(), ExpiresAt: utc(r.ExpiresAt), RevokedAt: utc(r.RevokedAt),
	}
}

// utc keeps the zero time zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

// among reports that both ids may name something: an odd byte in either would end
// a host's transaction on PostgreSQL.
func (id KeyID) among(account tenancy.AccountID) bool {
	_, err := tenancy.ParseAccountID(string(account))
	return err == nil && id.possible()
}

// Get reads one of the account's keys. ErrNoKey: it has none of that id.
func (k *Keys) Get(ctx context.Context, db bun.IDB, account tenancy.AccountID, id KeyID) (Key, error) {
	if !id.among(account) {
		return Key{}, ErrNoKey
	}
	var row keyRow
	err := db.NewSelect().Model(&row).Where("account_id = ? AND key_id = ?", account, id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Key{}, ErrNoKey
	}
	return row.key(), err
}

// List asks for a page of an account's keys, newest first, the expired and the
// revoked among them.
type List struct {
	Account tenancy.AccountID
	// Before continues a page: the ID of its last key.
	Before KeyID
	// Limit is 1 to 500. Default: 50.
	Limit int
}

// List reads a page of an account's keys. A Before that the account does not have
// gives an empty page, and so does what is no account's id.
func (k *Keys) List(ctx context.Context, db bun.IDB, page List) ([]Key, error) {
	keys, _, err := k.list(ctx, db, page)
	return keys, err
}

// list is List, and the Before of the following page, "" if this is the last.
func (k *Keys) list(ctx context.Context, db bun.IDB, page List) (keys []Key, next KeyID, err error) {
	limit := 50
	if page.Limit > 0 {
		limit = min(page.Limit, 500)
	}
	if _, err := tenancy.ParseAccountID(string(page.Account)); err != nil || page.Before != "" && !page.Before.possible() {
		return []Key{}, "", nil // no name of anything: not for the database
	}
	var rows []keyRow
	q := db.NewSelect().Model(&rows).Where("account_id = ?", page.Account).
		OrderExpr("created_at DESC, key_id DESC").Limit(int64(limit) + 1)
	if page.Before != "" {
		q = q.Where(`(created_at, key_id) < (SELECT b.created_at, b.key_id FROM authn_keys AS b
			WHERE b.account_id = ? AND b.key_id = ?)`, page.Account, page.Before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, "", err
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = rows[limit-1].ID
	}
	keys = make([]Key, len(rows))
	for i, r := range rows {
		keys[i] = r.key()
	}
	return keys, next, nil
}
