// Package sites is a host's own tables beside Quitrent's: sites with sectors, which
// belong to accounts. Its example shows which account a person acts for, a queue
// worker that enters one, and a member whose role is on one site alone.
package sites

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// Site is found by its slug, which is an account's own: another account, or the same
// one after deleting the site, may use it again.
type Site struct {
	bun.BaseModel `bun:"table:sites,alias:s"`
	owned.Row

	ID        string    `bun:"id,pk"`
	Slug      string    `bun:"slug"`
	DeletedAt time.Time `bun:"deleted_at,soft_delete,nullzero"`

	Sectors []*Sector `bun:"rel:has-many,join:account_id=account_id,join:id=site_id"`
}

// Sector belongs to a site and so to the site's account.
type Sector struct {
	bun.BaseModel `bun:"table:sectors,alias:c"`
	owned.Row

	ID     string `bun:"id,pk"`
	SiteID string `bun:"site_id"`
	Name   string `bun:"name"`
}

// Tables are the ones that belong to accounts, parents first.
func Tables() *owned.Tables {
	return owned.New(owned.Config{Tables: []owned.Table{
		{Model: (*Site)(nil)},
		{Model: (*Sector)(nil)},
	}})
}

// Migrate makes the tables: every key and every reference begins with the account.
func Migrate(ctx context.Context, db *bun.DB) error {
	for _, ddl := range []string{
		`CREATE TABLE sites (
			account_id TEXT NOT NULL,
			id         TEXT NOT NULL,
			slug       TEXT NOT NULL,
			deleted_at TIMESTAMP,
			PRIMARY KEY (account_id, id)
		)`,
		`CREATE UNIQUE INDEX sites_slug ON sites (account_id, slug) WHERE deleted_at IS NULL`,
		`CREATE TABLE sectors (
			account_id TEXT NOT NULL,
			id         TEXT NOT NULL,
			site_id    TEXT NOT NULL,
			name       TEXT NOT NULL,
			PRIMARY KEY (account_id, id),
			FOREIGN KEY (account_id, site_id) REFERENCES sites (account_id, id)
		)`,
	} {
		if _, err := db.NewRaw(ddl).Exec(ctx); err != nil { // sqltext: the constants above
			return err
		}
	}
	return nil
}

// Sites is what the host does with its tables.
type Sites struct {
	DB       *bun.DB
	Accounts *tenancy.Accounts
	Tables   *owned.Tables
}

// Create makes a site of the account that ctx has entered, if its plan has room.
func (s Sites) Create(ctx context.Context, slug string) (*Site, error) {
	if err := s.Accounts.Can(ctx, s.DB, tenancy.PermContentWrite); err != nil {
		return nil, err
	}
	site := &Site{ID: rand.Text(), Slug: slug}
	err := s.Tables.For(ctx, s.DB).RunInTx(ctx, func(ctx context.Context, rows *owned.DB) error {
		err := s.Accounts.Admit(ctx, rows.IDB(), tenancy.Admit{
			Account: rows.Account(), Limit: "sites",
			Count: func(ctx context.Context, _ bun.IDB) (int64, error) {
				return rows.NewSelect().Model((*Site)(nil)).Count(ctx)
			},
		})
		if err != nil {
			return err
		}
		_, err = rows.NewInsert().Model(site).Exec(ctx)
		return err
	})
	return site, err
}

// AddSector adds a sector to a site: sectors_per_site counts those of that site.
func (s Sites) AddSector(ctx context.Context, site, name string) error {
	if err := s.Accounts.Can(ctx, s.DB, tenancy.PermContentWrite, tenancy.Object{Kind: "site", ID: site}); err != nil {
		return err
	}
	return s.Tables.For(ctx, s.DB).RunInTx(ctx, func(ctx context.Context, rows *owned.DB) error {
		if there, err := rows.NewSelect().Model((*Site)(nil)).Where("id = ?", site).Exists(ctx); err != nil {
			return err
		} else if !there {
			return owned.ErrForeign // 404
		}
		err := s.Accounts.Admit(ctx, rows.IDB(), tenancy.Admit{
			Account: rows.Account(), Limit: "sectors_per_site",
			Count: func(ctx context.Context, _ bun.IDB) (int64, error) {
				return rows.NewSelect().Model((*Sector)(nil)).Where("site_id = ?", site).Count(ctx)
			},
		})
		if err != nil {
			return err
		}
		_, err = rows.NewInsert().Model(&Sector{ID: rand.Text(), SiteID: site, Name: name}).Exec(ctx)
		return err
	})
}

// List is the sites that whoever has entered may read, with their sectors.
func (s Sites) List(ctx context.Context) ([]Site, error) {
	var list []Site
	err := s.Tables.For(ctx, s.DB).NewSelect().Model(&list).Relation("Sectors").
		Where("?", s.Accounts.Visible(ctx, tenancy.PermContentRead, "site", "s.id")).OrderExpr("s.slug").Scan(ctx)
	return list, err
}
