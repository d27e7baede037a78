package dbtest

import (
	"reflect"
	"slices"
	"testing"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
)

// Tables are the names of the tables that begin with prefix, in order.
func Tables(t testing.TB, db *bun.DB, prefix string) (names []string) {
	t.Helper()
	q := "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, length(?0)) = ?0 ORDER BY 1"
	if db.Dialect().Name() == dialect.PG {
		q = `SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND pg_table_is_visible(oid)
			AND substr(relname::text, 1, length(?0)) = ?0 ORDER BY relname COLLATE "C"`
	}
	if err := db.NewRaw(q, prefix).Scan(t.Context(), &names); err != nil { // sqltext: one of the two above
		t.Fatal(err)
	}
	return names
}

// Named are the names of the models' tables and those given, in order.
func Named(db *bun.DB, models []any, more ...string) []string {
	for _, m := range models {
		more = append(more, db.Table(reflect.TypeOf(m).Elem()).Name)
	}
	slices.Sort(more)
	return more
}
