package retention_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
	"github.com/quitrent/quitrent/tenancy/retention"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// The owner of the tables erases and purges, whom FORCE holds too; the serving role
// exports.
func TestM13_UnderRowSecurity(t *testing.T) {
	super := dbtest.Postgres(t)
	server, admin := id.New("app"), id.New("own")
	for _, role := range []string{server, admin} {
		exec(t, super, "CREATE ROLE ? LOGIN PASSWORD 'secret' NOSUPERUSER NOBYPASSRLS", bun.Ident(role))
		t.Cleanup(func() {
			for _, q := range []string{"DROP OWNED BY ?", "DROP ROLE ?"} {
				if _, err := super.NewRaw(q, bun.Ident(role)).Exec(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	exec(t, super, "GRANT ALL ON SCHEMA public TO ?", bun.Ident(admin))
	as := func(role string) *bun.DB {
		u, err := url.Parse(dbtest.DSN(super))
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(role, "secret")
		db, err := dbtest.Open(u.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dbtest.Close(db) })
		return db
	}
	owner, serving := as(admin), as(server)
	if err := migrate(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	exec(t, owner, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ?", bun.Ident(server))
	w := &world{db: owner, clock: tenancytest.NewClock(t0), tables: owned.New(owned.Config{Tables: registered(), RowSecurity: true})}
	w.accounts = tenancy.New(tenancy.Config{Now: w.clock.Now})
	w.keeper = retention.New(w.accounts, w.tables, retention.Config{Lookups: lookups(), Now: w.clock.Now})
	for _, step := range []func() error{
		func() error { return w.tables.Secure(t.Context(), owner) },
		func() error { return w.tables.BindOwner(t.Context(), owner) },
		func() error { return w.tables.Bind(t.Context(), serving) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	ada, _ := w.register(t, "ada@example.com")
	bob, _ := w.register(t, "bob@example.com")
	exec(t, super, `INSERT INTO sites (account_id, id, slug, deleted_at) VALUES (?0, '1', 'a', NULL), (?0, '2', 'b', ?2), (?1, '1', 'a', NULL), (?1, '2', 'b', ?2)`,
		ada, bob, t0.Add(-365*24*time.Hour))

	for _, db := range []*bun.DB{serving, owner} {
		at := *w
		at.db = db
		if files, _ := at.export(t, ada); len(files["sites.jsonl"]) != 2 {
			t.Error(files["sites.jsonl"])
		}
	}
	if _, err := w.keeper.Purge(t.Context(), serving); err == nil {
		t.Error("the serving role purges")
	}
	w.close(t, ada)
	if _, err := w.keeper.Erase(t.Context(), serving, retention.Erase{Account: ada, Actor: operator, Reason: "asked to"}); err == nil {
		t.Error("the serving role erases")
	}
	w.erase(t, ada)
	diff(t, "rows", map[string]int64{"sites": 1}, w.purge(t).Rows)
	if n := number(t, super, "SELECT COUNT(*) FROM sites WHERE account_id = ?", bob); n != 1 {
		t.Errorf("%d sites of another account", n)
	}
	if n := number(t, super, "SELECT COUNT(*) FROM sites"); n != 1 {
		t.Errorf("%d sites", n)
	}
}
