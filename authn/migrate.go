package authn

import (
	"context"
	"embed"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/migrate"
	"github.com/quitrent/quitrent/tenancy"
)

// Migrations holds the SQL that Migrate applies after tenancy's, in
// migrations/postgres and migrations/sqlite, for hosts that apply it with a tool
// of their own.
//
//go:embed migrations
var Migrations embed.FS

var migrations = migrate.Set{Package: "authn", Files: Migrations}

// Migrate brings the tables of tenancy and of this package up to date. Any number
// of processes may call it at once; each version applies whole or not at all.
func Migrate(ctx context.Context, db *bun.DB) error {
	if err := tenancy.Migrate(ctx, db); err != nil {
		return err
	}
	return migrations.Up(ctx, db)
}

// Down takes back every version of this package above to, with the data it held;
// 0 takes back all. It leaves tenancy's tables alone.
func Down(ctx context.Context, db *bun.DB, to int) error { return migrations.Down(ctx, db, to) }

// MigrationStatus lists the versions of this package that are applied and those
// that are not.
func MigrationStatus(ctx context.Context, db *bun.DB) (applied, pending []string, err error) {
	return migrations.Status(ctx, db)
}
