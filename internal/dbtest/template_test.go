package dbtest_test

import (
	"context"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
)

func TestEach_DatabasesOfOneMigrationShareNothing(t *testing.T) {
	for range 2 {
		dbtest.Each(t, func(t *testing.T, db *bun.DB) {
			dbtest.Child(t, "add", dbtest.DSN(db))
			if n := count(t, db); n != 1 {
				t.Errorf("a new database has counted to %d", n)
			}
		}, counter)
	}
}

func TestEach_AClosureIsAppliedToEachDatabase(t *testing.T) {
	for _, want := range []int{1, 2} {
		dbtest.Each(t, func(t *testing.T, db *bun.DB) {
			if n := count(t, db); n != want {
				t.Errorf("it is migrated to %d, want %d", n, want)
			}
		}, counter, func(ctx context.Context, db *bun.DB) error {
			_, err := db.NewRaw("UPDATE counter SET n = ?", want).Exec(ctx)
			return err
		})
	}
}
