package tenancytest_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// ownersDB is a database whose tables belong to an owner who is no superuser, as that
// owner.
func ownersDB(t *testing.T, migrations ...dbtest.Migrate) *bun.DB {
	t.Helper()
	super, owner := dbtest.Postgres(t), id.New("own")
	for _, q := range []string{
		"CREATE ROLE " + owner + " LOGIN PASSWORD 'secret' NOSUPERUSER NOBYPASSRLS",
		"GRANT ALL ON SCHEMA public TO " + owner,
	} {
		if _, err := super.DB.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	u, err := url.Parse(dbtest.DSN(super))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(owner, "secret")
	db, err := dbtest.Open(u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		dbtest.Close(db)
		if _, err := super.DB.Exec("DROP OWNED BY " + owner + "; DROP ROLE " + owner); err != nil {
			t.Error(err)
		}
	})
	for _, m := range migrations {
		if err := m(t.Context(), db); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

func TestM11_RunGoesThroughRowSecurity(t *testing.T) {
	db := ownersDB(t, tenancy.Migrate, migration(sites...))
	tables := siteTables(func(cfg *owned.Config) { cfg.RowSecurity = true })
	if err := tables.Secure(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if err := tables.BindOwner(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	tenancytest.Run(t, db, tables, &Site{Status: "live"}, (*Industry)(nil))

	// A policy of the host's that opens a table: the second wall has a hole.
	if _, err := db.DB.ExecContext(t.Context(), "ALTER POLICY quitrent_account ON tags USING (TRUE) WITH CHECK (TRUE)"); err != nil {
		t.Fatal(err)
	}
	said := strings.Join(leaks(t, db, tables, []any{&Site{Status: "live"}},
		"Tag (tags): row-level security: a read past the guard, in a transaction of the host's: 6 rows were counted, of 2",
		"Tag (tags): row-level security: an update past the guard",
		"Tag (tags): row-level security: a delete past the guard",
		"Tag (tags): row-level security: an insert for the other past the guard, in RunInTx: it was not refused by a policy"), "\n")
	if strings.Contains(said, "Site (") {
		t.Errorf("it found holes in another table: %s", said)
	}
}
