package billing

import (
	"context"
	"embed"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/migrate"
)

// Migrations holds the SQL that Migrate applies, in migrations/postgres and
// migrations/sqlite, for hosts that apply it with a tool of their own.
//
//go:embed migrations
var Migrations embed.FS

var migrations = migrate.Set{Package: "billing", Files: Migrations}

// Migrate brings this package's tables up to date, and those of credits and tenancy,
// which it writes to. Any number of processes may call it at once; each version
// applies whole or not at all.
func Migrate(ctx context.Context, db *bun.DB) error {
	if err := credits.Migrate(ctx, db); err != nil {
		return err
	}
	return migrations.Up(ctx, db)
}

// Down takes back every version above to, with the data it held; 0 takes back all.
// It leaves the tables of credits and tenancy alone.
func Down(ctx context.Context, db *bun.DB, to int) error { return migrations.Down(ctx, db, to) }

// MigrationStatus lists the versions that are applied and those that are not.
func MigrationStatus(ctx context.Context, db *bun.DB) (applied, pending []string, err error) {
	return migrations.Status(ctx, db)
}
