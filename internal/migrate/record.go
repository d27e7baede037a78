package migrate

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
)

// recorded reports whether both tables of record are there.
func recorded(ctx context.Context, db *bun.DB) (bool, error) {
	query := `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'
		AND name IN ('quitrent_migrations', 'quitrent_migration_locks')`
	if db.Dialect().Name() == dialect.PG { // in the first schema, where tables are made, and not in a later one
		query = `SELECT COUNT(*) FROM pg_tables WHERE schemaname = current_schema()
			AND tablename IN ('quitrent_migrations', 'quitrent_migration_locks')`
	}
	var n int
	err := db.QueryRowContext(ctx, query).Scan(&n) // sqltext: one of two constants
	return n == 2, err
}

// record makes the two tables of this package, unless they are there: a role that
// may not make tables can still ask whether all is up to date. Postgres lets two
// sessions that create the same table at once collide in its catalogue, IF NOT
// EXISTS or not; the loser looks again.
func record(ctx context.Context, db *bun.DB) error {
	if there, err := recorded(ctx, db); there || err != nil {
		return err
	}
	timestamp := "TIMESTAMP"
	if db.Dialect().Name() == dialect.PG {
		timestamp = "TIMESTAMPTZ"
	}
	tables := []string{
		`CREATE TABLE IF NOT EXISTS quitrent_migrations (package TEXT NOT NULL, version BIGINT NOT NULL, name TEXT NOT NULL, applied_at ` + timestamp + ` NOT NULL, PRIMARY KEY (package, version))`,
		`CREATE TABLE IF NOT EXISTS quitrent_migration_locks (package TEXT PRIMARY KEY, taken BIGINT NOT NULL)`,
	}
	var err error
	for try := range 10 {
		if try > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(rand.N(50 * time.Millisecond)):
			}
		}
		err = nil
		for _, t := range tables {
			if _, e := db.ExecContext(ctx, t); e != nil { // sqltext: one of the two above
				err = errors.Join(err, e)
			}
		}
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}
