package retention_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
	"github.com/quitrent/quitrent/tenancy/retention"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestMain(m *testing.M) { dbtest.Main(m, nil) }

var t0 = time.Date(2026, 3, 1, 9, 0, 0, 123456000, time.UTC)

var (
	operator = tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}
	job      = tenancy.Actor{Kind: tenancy.ActorSystem, ID: "job"}
)

// Site is a host's model with soft delete and a unique name among those that live.
type Site struct {
	bun.BaseModel `bun:"table:sites,alias:s"`
	owned.Row

	ID        string          `bun:"id,pk"`
	Slug      string          `bun:"slug"`
	Size      int64           `bun:"size"`
	Open      bool            `bun:"open"`
	Ratio     float64         `bun:"ratio"`
	Settings  json.RawMessage `bun:"settings,type:json,nullzero"`
	Picture   []byte          `bun:"picture"`
	Token     string          `bun:"token"`
	DeletedAt time.Time       `bun:"deleted_at,soft_delete,nullzero"`
}

// Sector is a child that is deleted by a number of nanoseconds.
type Sector struct {
	bun.BaseModel `bun:"table:sectors,alias:sc"`
	owned.Row

	ID        string `bun:"id,pk"`
	SiteID    string `bun:"site_id"`
	Above     string `bun:"above,nullzero"`
	Name      string `bun:"name"`
	DeletedAt int64  `bun:"deleted_at,soft_delete,nullzero"`
}

// Receipt is kept, and what is personal in it has every type there is.
type Receipt struct {
	bun.BaseModel `bun:"table:receipts,alias:r"`
	owned.Row

	ID      string          `bun:"id,pk"`
	Amount  int64           `bun:"amount"`
	Name    string          `bun:"name"`
	Note    string          `bun:"note,nullzero"`
	Address json.RawMessage `bun:"address,type:json"`
	Scan    []byte          `bun:"scan"`
	Phone   int64           `bun:"phone"`
	Minor   bool            `bun:"minor"`
	BornAt  time.Time       `bun:"born_at"`
}

// Profile belongs to a person.
type Profile struct {
	bun.BaseModel `bun:"table:profiles,alias:p"`

	User string `bun:"person,pk"`
	Bio  string `bun:"bio"`
}

var schema = []string{
	`CREATE TABLE sites (account_id TEXT NOT NULL, id TEXT NOT NULL, slug TEXT NOT NULL, size BIGINT NOT NULL DEFAULT 0,
		open BOOLEAN NOT NULL DEFAULT FALSE, ratio DOUBLE PRECISION NOT NULL DEFAULT 0, settings JSON, picture BYTES,
		token TEXT NOT NULL DEFAULT '', deleted_at TIMESTAMPTZ, PRIMARY KEY (account_id, id))`,
	`CREATE UNIQUE INDEX sites_slug ON sites (account_id, slug) WHERE deleted_at IS NULL`,
	`CREATE TABLE sectors (account_id TEXT NOT NULL, id TEXT NOT NULL, site_id TEXT NOT NULL, above TEXT, name TEXT NOT NULL DEFAULT '',
		deleted_at BIGINT, PRIMARY KEY (account_id, id), FOREIGN KEY (account_id, site_id) REFERENCES sites (account_id, id),
		FOREIGN KEY (account_id, above) REFERENCES sectors (account_id, id))`,
	`CREATE TABLE receipts (account_id TEXT NOT NULL, id TEXT NOT NULL, amount BIGINT NOT NULL, name TEXT NOT NULL, note TEXT, address JSON NOT NULL,
		scan BYTES NOT NULL, phone BIGINT NOT NULL, minor BOOLEAN NOT NULL, born_at TIMESTAMPTZ NOT NULL, PRIMARY KEY (account_id, id))`,
	`CREATE TABLE profiles (person TEXT PRIMARY KEY REFERENCES tenancy_users (user_id), bio TEXT NOT NULL)`,
	`CREATE TABLE industries (id TEXT PRIMARY KEY, name TEXT NOT NULL)`,
}

func migrate(ctx context.Context, db *bun.DB) error {
	if err := errors.Join(billing.Migrate(ctx, db), authn.Migrate(ctx, db)); err != nil {
		return err
	}
	words := strings.NewReplacer("BYTES", "BLOB", "TIMESTAMPTZ", "TIMESTAMP", " JSON", " TEXT")
	if postgres(db) {
		words = strings.NewReplacer("BYTES", "BYTEA")
	}
	for _, q := range schema {
		if _, err := db.NewRaw(words.Replace(q)).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

func postgres(db bun.IDB) bool { return db.Dialect().Name() == dialect.PG }

// registered are the tables of the host and of the whole library.
func registered() []owned.Table {
	return slices.Concat(retention.Tables(), credits.Tables(), authn.Tables(), billing.Tables(), []owned.Table{
		{Model: (*Site)(nil), Secret: []string{"token"}},
		{Model: (*Sector)(nil)},
		{Model: (*Receipt)(nil), Keep: true, Personal: []string{"name", "note", "address", "scan", "phone", "minor", "born_at"}},
		{Model: (*Profile)(nil), User: "person", SelfGuarded: true},
	})
}

func lookups() []owned.Lookup { return slices.Concat(authn.Lookups(), billing.Lookups()) }

// world is a host on one database and one clock.
type world struct {
	db       *bun.DB
	clock    *tenancytest.Clock
	accounts *tenancy.Accounts
	tables   *owned.Tables
	keeper   *retention.Keeper
}

func newWorld(t *testing.T, db *bun.DB) *world {
	t.Helper()
	w := &world{db: db, clock: tenancytest.NewClock(t0), tables: owned.New(owned.Config{Tables: registered()})}
	w.accounts = tenancy.New(tenancy.Config{Now: w.clock.Now})
	w.keeper = retention.New(w.accounts, w.tables, retention.Config{Lookups: lookups(), Now: w.clock.Now})
	if err := w.tables.Bind(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return w
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *bun.DB) { fn(t, newWorld(t, db)) }, migrate)
}

func (w *world) register(t *testing.T, email string) (tenancy.AccountID, tenancy.UserID) {
	t.Helper()
	r := tenancytest.Register(t, w.db, w.accounts, email)
	return r.Account.ID, r.User.ID
}

func (w *world) join(t *testing.T, account tenancy.AccountID, user tenancy.UserID) {
	t.Helper()
	_, err := w.accounts.AddMember(t.Context(), w.db, tenancy.AddMember{Account: account, User: user, Roles: []tenancy.Role{tenancy.RoleViewer}, Actor: operator})
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) close(t *testing.T, account tenancy.AccountID) {
	t.Helper()
	if _, err := w.accounts.Close(t.Context(), w.db, tenancy.Close{Account: account, Actor: operator, Reason: "asked to"}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) erase(t *testing.T, account tenancy.AccountID) retention.Report {
	t.Helper()
	r, err := w.keeper.Erase(t.Context(), w.db, retention.Erase{Account: account, Actor: operator, Reason: "asked to"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// in is the account's own view of the tables.
func (w *world) in(t *testing.T, account tenancy.AccountID) (context.Context, *owned.DB) {
	t.Helper()
	ctx, err := w.accounts.Enter(t.Context(), w.db, account, job, tenancy.Read)
	if err != nil {
		t.Fatal(err)
	}
	return ctx, w.tables.For(ctx, w.db)
}

func (w *world) status(t *testing.T, account tenancy.AccountID) tenancy.Status {
	t.Helper()
	a, err := w.accounts.Get(t.Context(), w.db, account)
	if err != nil {
		t.Fatal(err)
	}
	return a.Status
}

// plainly is the same database without the guard, for what happens behind its back.
func (w *world) plainly(t *testing.T) *bun.DB {
	t.Helper()
	db, err := dbtest.Open(dbtest.DSN(w.db))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dbtest.Close(db) })
	return db
}

func exec(t *testing.T, db bun.IDB, query string, args ...any) {
	t.Helper()
	if _, err := db.NewRaw(query, args...).Exec(t.Context()); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func number(t *testing.T, db bun.IDB, query string, args ...any) (n int64) {
	t.Helper()
	if err := db.NewRaw(query, args...).Scan(t.Context(), &n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// allTables are the names of the database's tables, parents before children.
func allTables(t *testing.T, db bun.IDB) []string {
	t.Helper()
	var names []string
	q := db.NewRaw("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY rowid")
	if postgres(db) {
		q = db.NewRaw("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace ORDER BY oid")
	}
	if err := q.Scan(t.Context(), &names); err != nil {
		t.Fatal(err)
	}
	return names
}

// dump is every row of every table.
func dump(t *testing.T, db bun.IDB) map[string][]map[string]any {
	t.Helper()
	out := map[string][]map[string]any{}
	for _, name := range allTables(t, db) {
		rows := []map[string]any{}
		if err := db.NewRaw("SELECT * FROM ?", bun.Ident(name)).Scan(t.Context(), &rows); err != nil {
			t.Fatal(err)
		}
		out[name] = rows
	}
	return out
}

// text is a dump to search in.
func text(d map[string][]map[string]any) string {
	var b strings.Builder
	for name, rows := range d {
		for _, row := range rows {
			fmt.Fprintf(&b, "%s:", name)
			for column, v := range row {
				if bytes, ok := v.([]byte); ok {
					v = string(bytes)
				}
				fmt.Fprintf(&b, " %s=%v", column, v)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || (want == nil) != (err == nil) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}
