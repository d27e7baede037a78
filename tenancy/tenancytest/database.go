package tenancytest

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/sqlite"
)

// SQLite is a new database file to which the migrations have been applied, in
// order. It goes with the test.
func SQLite(t testing.TB, migrations ...func(context.Context, *bun.DB) error) *bun.DB {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for _, migrate := range migrations {
		if err := migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
	}
	return db
}
