package dbtest_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/id"
)

// client is a connection to the pooler with a transaction open, and so with a
// connection of the server's to itself.
type client struct {
	tx      bun.Tx
	server  int    // the process of the server's connection
	setting string // what the client finds set there, which it has not set itself
}

func enter(t *testing.T, db *bun.DB) (c client) {
	t.Helper()
	var err error
	if c.tx, err = db.BeginTx(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.tx.Rollback() })
	const q = "SELECT pg_backend_pid(), COALESCE(current_setting('quitrent.account', true), '')"
	if err := c.tx.QueryRowContext(t.Context(), q).Scan(&c.server, &c.setting); err != nil {
		t.Fatal(err)
	}
	return c
}

// A client's session goes on to whoever gets the server's connection next. That is
// how this test knows that clients share them, and why nothing of ours may depend
// on a session.
func TestPgBouncer_ASessionsSettingReachesAnotherClientATransactionsDoesNot(t *testing.T) {
	for _, tc := range []struct{ name, set, reaches string }{
		{"session", "SET quitrent.account = 'a'", "a"},
		{"transaction", "SELECT set_config('quitrent.account', 'a', true)", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			direct := dbtest.Postgres(t)
			first, other := dbtest.PgBouncer(t, direct), dbtest.PgBouncer(t, direct)
			setter := enter(t, first)
			if _, err := setter.tx.ExecContext(t.Context(), tc.set); err != nil {
				t.Fatal(err)
			}
			if err := setter.tx.Commit(); err != nil {
				t.Fatal(err)
			}
			// Two at once have all of the server's connections between them.
			b, c := enter(t, other), enter(t, other)
			found := map[int]string{b.server: b.setting, c.server: c.setting}
			if got, ok := found[setter.server]; !ok || len(found) != 2 || got != tc.reaches {
				t.Errorf("the other clients found %v, connection %d with %q is wanted", found, setter.server, tc.reaches)
			}
		})
	}
}

func TestPgBouncer_AQueryOfManyClientsIsPreparedOnNone(t *testing.T) {
	db := dbtest.PgBouncer(t, dbtest.Postgres(t, counter))
	for i, err := range dbtest.Together(20, func(int) error {
		for range 20 {
			var n int
			if err := db.DB.QueryRowContext(t.Context(), "SELECT n FROM counter WHERE n = $1", 0).Scan(&n); err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Errorf("client %d: %v", i, err)
		}
	}
}

func TestPgBouncer_OpensTheSameDatabaseAsAnyRoleFromAnyProcess(t *testing.T) {
	direct := dbtest.PostgresSchema(t, "Tenants", counter)
	through := dbtest.PgBouncer(t, direct)
	dbtest.Child(t, "add", dbtest.DSN(through))
	if n := count(t, direct); n != 1 {
		t.Errorf("a child counted to %d", n)
	}

	role := id.New("app")
	for _, q := range []string{"CREATE ROLE ? LOGIN", `GRANT USAGE ON SCHEMA "Tenants" TO ?`, "GRANT SELECT ON counter TO ?"} {
		if _, err := direct.NewRaw(q, bun.Ident(role)).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		_, err := direct.NewRaw("DROP OWNED BY ?; DROP ROLE ?", bun.Ident(role), bun.Ident(role)).Exec(context.Background())
		if err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(dbtest.DSN(through))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(role)
	db, err := dbtest.Open(u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dbtest.Close(db) })
	var (
		is   string
		read int
	)
	if err := db.NewRaw("SELECT current_user, n FROM counter").Scan(t.Context(), &is, &read); err != nil || is != role || read != 1 {
		t.Errorf("%s reads %d, %v", is, read, err)
	}
}
