package tenancytest_test

import (
	"context"
	"testing"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestMain(m *testing.M) { dbtest.Main(m, nil) }

// Industry belongs to nobody.
type Industry struct {
	bun.BaseModel `bun:"table:industries"`

	ID   int64  `bun:"id,pk"`
	Name string `bun:"name"`

	Sites []*Site `bun:"rel:has-many,join:id=industry"`
}

type Site struct {
	bun.BaseModel `bun:"table:sites,alias:s"`
	owned.Row

	ID        string         `bun:"id,pk"`
	Slug      string         `bun:"slug"`
	Status    string         `bun:"status"`
	Industry  int64          `bun:"industry"`
	Meta      map[string]any `bun:"meta"`
	Score     *float64       `bun:"score"`
	Blob      []byte         `bun:"blob"`
	CreatedAt time.Time      `bun:"created_at"`
	DeletedAt time.Time      `bun:"deleted_at,soft_delete,nullzero"`

	Of      *Industry `bun:"rel:belongs-to,join:industry=id"`
	Sectors []*Sector `bun:"rel:has-many,join:id=site_id"` // by id alone, as a careless model does
	Tags    []*Tag    `bun:"m2m:site_tags,join:Site=Tag"`
}

type Sector struct {
	bun.BaseModel `bun:"table:sectors"`
	owned.Row

	ID     string  `bun:"id,pk"`
	SiteID string  `bun:"site_id"`
	Parent *string `bun:"parent"`
	Name   string  `bun:"name"`
	Open   bool    `bun:"open"`

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

// Setting is one row an account.
type Setting struct {
	bun.BaseModel `bun:"table:settings"`
	owned.Row

	Color string `bun:"color"`
}

var sites = []string{
	`CREATE TABLE industries (id BIGINT PRIMARY KEY, name TEXT NOT NULL)`,
	`CREATE TABLE sites (account_id TEXT NOT NULL REFERENCES tenancy_accounts (account_id), id TEXT NOT NULL, slug TEXT NOT NULL,
		status TEXT NOT NULL CHECK (status IN ('draft', 'live')), industry BIGINT NOT NULL REFERENCES industries (id), meta JSON,
		score DOUBLE PRECISION, blob ?0 NOT NULL, created_at TIMESTAMP NOT NULL, deleted_at TIMESTAMP, PRIMARY KEY (account_id, id))`,
	`CREATE UNIQUE INDEX sites_slug ON sites (account_id, slug) WHERE deleted_at IS NULL`,
	`CREATE TABLE sectors (account_id TEXT NOT NULL, id TEXT NOT NULL, site_id TEXT NOT NULL, parent TEXT, name TEXT NOT NULL, open BOOLEAN NOT NULL,
		PRIMARY KEY (account_id, id), UNIQUE (account_id, site_id, name),
		FOREIGN KEY (account_id, site_id) REFERENCES sites (account_id, id),
		FOREIGN KEY (account_id, parent) REFERENCES sectors (account_id, id))`,
	`CREATE TABLE tags (account_id TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (account_id, id))`,
	`CREATE TABLE site_tags (account_id TEXT NOT NULL, site_id TEXT NOT NULL, tag_id TEXT NOT NULL,
		PRIMARY KEY (account_id, site_id, tag_id),
		FOREIGN KEY (account_id, site_id) REFERENCES sites (account_id, id),
		FOREIGN KEY (account_id, tag_id) REFERENCES tags (account_id, id))`,
	`CREATE TABLE settings (account_id TEXT PRIMARY KEY, color TEXT NOT NULL)`,
}

func siteTables() *owned.Tables {
	return owned.New(owned.Config{Tables: []owned.Table{
		{Model: (*Site)(nil)}, {Model: (*Sector)(nil)}, {Model: (*Tag)(nil)}, {Model: (*SiteTag)(nil)}, {Model: (*Setting)(nil)},
	}})
}

func migration(statements ...string) dbtest.Migrate {
	return func(ctx context.Context, db *bun.DB) error {
		db.RegisterModel((*SiteTag)(nil))
		for _, q := range statements {
			if _, err := db.NewRaw(q, blob(db)).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

func blob(db *bun.DB) bun.Safe {
	if db.Dialect().Name() == dialect.PG {
		return "BYTEA"
	}
	return "BLOB"
}

func TestM11_RunPassesWhatIsKeptApart(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		tenancytest.Run(t, db, siteTables(), &Site{Status: "live"}, (*Industry)(nil), (*Sector)(nil))
	}, tenancy.Migrate, migration(sites...))
}
