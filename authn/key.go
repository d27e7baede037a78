package authn

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
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
	// Maker is the user on whose current rights the key acts, as far as its Scopes go:
	// who made it or took it over. "": the service itself.
	Maker tenancy.UserID `json:"maker,omitzero"`
	// Scopes are the permissions that the key may use; AllScopes: all that its maker has.
	Scopes []tenancy.Permission `json:"scopes"`
	// May narrows what the key can enter its account for; 0: to tenancy.Use.
	May tenancy.Capability `json:"may,omitzero"`
	// Addresses are those that it may be used from; none: any.
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	CreatedAt time.Time      `json:"created_at"`
	ExpiresAt time.Time      `json:"expires_at,omitzero"` // zero: the key does not expire
	RevokedAt time.Time      `json:"revoked_at,omitzero"` // zero: the key is not revoked
	LeakedAt  time.Time      `json:"leaked_at,omitzero"`  // zero: nobody reported it
	// LastUsedAt is known to the minute while Run runs; zero: not that anybody knows.
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
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
	Maker         tenancy.UserID    `bun:"maker_id"`
	Scopes        string            `bun:"scopes"`
	May           string            `bun:"may"`
	Addresses     string            `bun:"addresses"`
	CreatedAt     time.Time         `bun:"created_at"`
	ExpiresAt     time.Time         `bun:"expires_at,nullzero"`
	RevokedAt     time.Time         `bun:"revoked_at,nullzero"`
	LeakedAt      time.Time         `bun:"leaked_at,nullzero"`
	LastUsedAt    time.Time         `bun:"last_used_at,scanonly"`
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

func (r keyRow) key() (Key, error) {
	k := Key{
		Account: r.Account, ID: r.ID, Name: r.Name, Env: r.Env, CreatedBy: tenancy.Actor{Kind: r.CreatedByKind, ID: r.CreatedByID},
		Maker: r.Maker, Scopes: []tenancy.Permission{},
		CreatedAt: r.CreatedAt.UTC(), ExpiresAt: utc(r.ExpiresAt), RevokedAt: utc(r.RevokedAt), LeakedAt: utc(r.LeakedAt),
		LastUsedAt: utc(r.LastUsedAt),
	}
	k.May, _ = tenancy.ParseCapability(r.May)
	return k, cmp.Or(unmarshal(r.Scopes, &k.Scopes), unmarshal(r.Addresses, &k.Addresses))
}

// selectKeys reads keys with their last uses into rows.
func selectKeys(db bun.IDB, rows any) *bun.SelectQuery {
	return db.NewSelect().Model(rows).ColumnExpr("?TableColumns").ColumnExpr(`(SELECT MAX(u.last_used_at) FROM authn_key_uses AS u
		WHERE u.account_id = k.account_id AND u.key_id = k.key_id) AS last_used_at`)
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
	err := selectKeys(db, &row).Where("account_id = ? AND key_id = ?", account, id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Key{}, ErrNoKey
	}
	if err != nil {
		return Key{}, err
	}
	return row.key()
}

// List asks for a page of an account's keys, newest first, the expired and the
// revoked among them.
type List struct {
	Account tenancy.AccountID
	// Before continues a page: the ID of its last key.
	Before KeyID
	// Limit is 1 to 500. Default: 50.
	Limit int
	// UnusedSince leaves out what was used since, what is younger, and what opens nothing
	// any more: what is left is there for nobody. Zero: all keys.
	UnusedSince time.Time
}

// List reads a page of an account's keys. A Before that the account does not have
// gives an empty page, and so does what is no account's id. It returns
// tenancy.ErrInvalid for an UnusedSince before the year 1 or after 9999.
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
	q := selectKeys(db, &rows).Where("account_id = ?", page.Account).
		OrderExpr("created_at DESC, key_id DESC").Limit(int64(limit) + 1)
	if !page.UnusedSince.IsZero() {
		since := page.UnusedSince.UTC().Truncate(time.Microsecond)
		if year := since.Year(); year < 1 || year > 9999 { // no time of a database's
			return nil, "", fmt.Errorf("%w: keys were used in the years 1 to 9999", tenancy.ErrInvalid)
		}
		q = q.Where("revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?) AND created_at < ?", k.now(), since).
			Where(`NOT EXISTS (SELECT 1 FROM authn_key_uses AS u
				WHERE u.account_id = k.account_id AND u.key_id = k.key_id AND u.last_used_at >= ?)`, since)
	}
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
		if keys[i], err = r.key(); err != nil {
			return nil, "", err
		}
	}
	return keys, next, nil
}
