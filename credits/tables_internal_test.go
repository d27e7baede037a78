package credits

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/internal/dbtest"
)

// The models have the keys that the tables have: whoever exports orders by them.
func TestTables_HaveTheKeysOfTheDatabase(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		query := `SELECT a.attname FROM pg_index AS i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, pos)
			JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
			WHERE i.indrelid = to_regclass(?) AND i.indisprimary ORDER BY k.pos`
		if db.Dialect().Name() == dialect.SQLite {
			query = "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk"
		}
		for _, tab := range Tables() {
			model := db.Table(reflect.TypeOf(tab.Model).Elem())
			var want, got []string
			if err := db.NewRaw(query, model.Name).Scan(t.Context(), &want); err != nil {
				t.Fatal(err)
			}
			for _, f := range model.PKs {
				got = append(got, f.Name)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(model.Name, d)
			}
		}
	}, Migrate)
}
