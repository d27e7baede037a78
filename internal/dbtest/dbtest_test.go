package dbtest_test

import (
	"testing"

	"github.com/quitrent/quitrent/internal/dbtest"
)

func TestPostgresSchema_TakesAnyName(t *testing.T) {
	for _, name := range []string{"tenants", "Tenants", `a, "b"`} {
		db := dbtest.PostgresSchema(t, name, counter)
		var schema string
		if err := db.NewRaw("SELECT schemaname FROM pg_tables WHERE tablename = 'counter'").Scan(t.Context(), &schema); err != nil || schema != name {
			t.Errorf("%q: a table is made in %q, %v", name, schema, err)
		}
	}
}
