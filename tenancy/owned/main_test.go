package owned_test

import (
	"context"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

func TestMain(m *testing.M) { dbtest.Main(m, nil) }

// Industry belongs to nobody.
type Industry struct {
	bun.BaseModel `bun:"table:industries,alias:i"`

	ID    int64  `bun:"id,pk"`
	Name  string `bun:"name"`
	Sites int64  `bun:"sites"` // named like an owned table
}

type Site struct {
	bun.BaseModel `bun:"table:sites,alias:s"`
	owned.Row

	ID        string    `bun:"id,pk"`
	Slug      string    `bun:"slug"`
	Industry  int64     `bun:"industry"`
	DeletedAt time.Time `bun:"deleted_at,soft_delete,nullzero"`

	Of      *Industry `bun:"rel:belongs-to,join:industry=id"`
	Sectors []*Sector `bun:"rel:has-many,join:account_id=account_id,join:id=site_id"`
	Tags    []*Tag    `bun:"m2m:site_tags,join:Site=Tag"`
}

// Sector refers to its site by id alone, as a careless model does: the database
// and the scope have to hold.
type Sector struct {
	bun.BaseModel `bun:"table:sectors"`
	owned.Row

	ID     string `bun:"id,pk"`
	SiteID string `bun:"site_id"`
	Name   string `bun:"name"`

	Site *Site `bun:"rel:belongs-to,join:site_id=id"`
}

type Tag struct {
	bun.BaseModel `bun:"table:tags"`
	owned.Row

	ID string `bun:"id,pk"`
}

type SiteTag struct {
	bun.BaseModel `bun:"table:site_tags"`
	owned.Row

	SiteID string `bun:"site_id,pk"`
	TagID  string `bun:"tag_id,pk"`

	Site *Site `bun:"rel:belongs-to,join:account_id=account_id,join:site_id=id"`
	Tag  *Tag  `bun:"rel:belongs-to,join:account_id=account_id,join:tag_id=id"`
}

// Order names its account by number, in a column of another name.
type Order struct {
	bun.BaseModel `bun:"table:orders"`

	Org   int64 `bun:"org_id,pk"`
	ID    int64 `bun:"id,pk"`
	Total int64 `bun:"total"`
}

var schema = []string{
	`CREATE TABLE industries (id BIGINT PRIMARY KEY, name TEXT NOT NULL, sites BIGINT NOT NULL)`,
	`CREATE TABLE sites (account_id TEXT NOT NULL, id TEXT NOT NULL, slug TEXT NOT NULL, industry BIGINT NOT NULL,
		deleted_at TIMESTAMP, PRIMARY KEY (account_id, id))`,
	`CREATE UNIQUE INDEX sites_slug ON sites (account_id, slug) WHERE deleted_at IS NULL`,
	`CREATE TABLE sectors (account_id TEXT NOT NULL, id TEXT NOT NULL, site_id TEXT NOT NULL, name TEXT NOT NULL,
		PRIMARY KEY (account_id, id), FOREIGN KEY (account_id, site_id) REFERENCES sites (account_id, id))`,
	`CREATE TABLE tags (account_id TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (account_id, id))`,
	`CREATE TABLE site_tags (account_id TEXT NOT NULL, site_id TEXT NOT NULL, tag_id TEXT NOT NULL,
		PRIMARY KEY (account_id, site_id, tag_id),
		FOREIGN KEY (account_id, site_id) REFERENCES sites (account_id, id),
		FOREIGN KEY (account_id, tag_id) REFERENCES tags (account_id, id))`,
	`CREATE TABLE orders (org_id BIGINT NOT NULL, id BIGINT NOT NULL, total BIGINT NOT NULL, PRIMARY KEY (org_id, id))`,
}

func migrate(ctx context.Context, db *bun.DB) error {
	for _, q := range schema {
		if _, err := db.NewRaw(q).Exec(ctx); err != nil {
			return err
		}
	}
	return tenancy.Migrate(ctx, db)
}

func config() owned.Config {
	return owned.Config{Tables: []owned.Table{
		{Model: (*Site)(nil)},
		{Model: (*Sector)(nil)},
		{Model: (*Tag)(nil)},
		{Model: (*SiteTag)(nil)},
		{Model: (*Order)(nil), Account: "org_id"},
	}}
}

func newTables() *owned.Tables { return owned.New(config()) }

// newAccounts knows two, "17" and "18".
func newAccounts() *tenancy.Accounts {
	return tenancy.New(tenancy.Config{Loader: func(_ context.Context, _ bun.IDB, id tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
		if id != "17" && id != "18" {
			return tenancy.State{}, tenancy.Plan{}, tenancy.ErrNoAccount
		}
		return tenancy.State{Status: tenancy.StatusActive}, tenancy.Plan{Slug: "p", Active: true}, nil
	}})
}

// each runs fn on both databases with two accounts, "17" and "18", that have two
// sites each with a sector, a tag on the first, and an order.
func each(t *testing.T, fn func(t *testing.T, w world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		w := world{tables: newTables(), accounts: newAccounts(), db: db}
		if err := w.tables.Bind(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		w.fill(t)
		fn(t, w)
	}, migrate)
}

type world struct {
	tables   *owned.Tables
	accounts *tenancy.Accounts
	db       *bun.DB
}

// fill makes everything as it was at the beginning.
func (w world) fill(t *testing.T) {
	t.Helper()
	ctx := w.across(t)
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := w.db.NewRaw(query, args...).Exec(ctx); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	for _, table := range []string{"site_tags", "tags", "sectors", "sites", "orders", "industries"} {
		exec("DELETE FROM ?", bun.Ident(table))
	}
	for _, account := range []string{"17", "18"} {
		exec(`INSERT INTO sites (account_id, id, slug, industry) VALUES (?0, ?1, 'a', 1), (?0, ?2, 'b', 1)`, account, account+"-1", account+"-2")
		exec(`INSERT INTO sectors (account_id, id, site_id, name) VALUES (?0, ?1, ?1, 'x'), (?0, ?2, ?2, 'y')`, account, account+"-1", account+"-2")
		exec(`INSERT INTO tags (account_id, id) VALUES (?0, ?1)`, account, account+"-1")
		exec(`INSERT INTO site_tags (account_id, site_id, tag_id) VALUES (?0, ?1, ?1)`, account, account+"-1")
		exec(`INSERT INTO orders (org_id, id, total) VALUES (?0, 1, ?0)`, account)
	}
	exec(`INSERT INTO industries (id, name, sites) VALUES (1, 'bread', 0)`)
}

var someone = tenancy.Actor{Kind: tenancy.ActorSystem, ID: "test"}

func (w world) in(t *testing.T, account tenancy.AccountID) context.Context {
	t.Helper()
	ctx, err := w.accounts.Enter(t.Context(), w.db, account, someone, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

func (w world) across(t *testing.T) context.Context {
	t.Helper()
	ctx, err := w.accounts.System(t.Context(), w.db, someone, "a test looks at everything")
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}
