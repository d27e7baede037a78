package prices_test

import (
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/credits/prices"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

var appendOnly = []string{
	"UPDATE credits_prices SET fixed = 0", "DELETE FROM credits_prices",
	"INSERT INTO credits_prices SELECT * FROM credits_prices WHERE TRUE ON CONFLICT (account_id, operation, version) DO UPDATE SET fixed = 0",
}

func TestAppendOnly_OnSQLiteByTriggers(t *testing.T) {
	w := newWorld(tenancytest.SQLite(t, credits.Migrate))
	w.set(t, prices.Set{Operation: "chat", Price: fixed(5)})
	w.unchanged(t, "what is append-only", func() {
		for _, statement := range append(slices.Clone(appendOnly), "REPLACE INTO credits_prices SELECT * FROM credits_prices") {
			if _, err := w.db.ExecContext(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s: %v", statement, err)
			}
		}
	})
	if _, err := w.db.ExecContext(t.Context(), "SELECT rowid FROM credits_prices"); err == nil {
		t.Error("it has a second key, by which REPLACE would find another row")
	}
}

// privileges are what the package comment names.
const privileges = "SELECT, INSERT ON credits_prices"

func TestAppendOnly_OnPostgresByPrivileges(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil || !strings.Contains(string(doc), "//\tGRANT "+privileges+" TO app;\n") {
		t.Errorf("the package comment does not say it: %v", err)
	}
	owner := dbtest.Postgres(t, credits.Migrate)
	role := id.New("app")
	exec(t, owner, "CREATE ROLE ? LOGIN PASSWORD 'secret'", bun.Safe(role))
	t.Cleanup(func() {
		for _, statement := range []string{"DROP OWNED BY " + role, "DROP ROLE " + role} {
			if _, err := owner.Exec(statement); err != nil {
				t.Error(err)
			}
		}
	})
	for _, p := range []string{privileges, "SELECT, INSERT ON tenancy_audit"} {
		exec(t, owner, "GRANT ? TO ?", bun.Safe(p), bun.Safe(role))
	}
	u, err := url.Parse(dbtest.DSN(owner))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "secret")
	db, err := dbtest.Open(u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()

	w := newWorld(db)
	w.set(t, prices.Set{Operation: "chat", Price: fixed(5)})
	w.set(t, prices.Set{Operation: "chat", Price: fixed(5)})
	w.end(t, prices.End{Operation: "chat", EffectiveAt: t0.AddDate(0, 1, 0)})
	same(t, "costs", "1 for 5", w.costs(t, acc, t0))
	for _, statement := range append(slices.Clone(appendOnly), "TRUNCATE credits_prices", "DROP TABLE credits_prices") {
		if _, err := db.ExecContext(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func TestM15_ThePriceListGoesUpDownAndUpAgainAndTheLedgerStays(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		w := newWorld(db)
		ledger := credits.New(credits.Config{Now: w.clock.Now})
		for round := range 2 {
			if err := credits.Migrate(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			applied, _, err := credits.MigrationStatus(t.Context(), db)
			before := slices.IndexFunc(applied, func(name string) bool { return strings.HasSuffix(name, "_prices") })
			if before < 1 || err != nil {
				t.Fatal(applied, err)
			}
			if v := w.set(t, prices.Set{Operation: "chat", Price: fixed(5)}); v.Number != 1 || v.Unchanged {
				t.Errorf("round %d: %+v", round, v)
			}
			if _, err := ledger.Grant(t.Context(), db, credits.Grant{Account: acc, Amount: 5, Key: "g"}); err != nil {
				t.Fatal(err)
			}
			if err := credits.Down(t.Context(), db, before); err != nil {
				t.Fatal(err)
			}
			if _, err := w.list.Quote(t.Context(), db, prices.Quote{Operation: "chat"}); err == nil {
				t.Error("the table is still there")
			}
			if err := credits.Migrate(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			creditstest.RequireBalance(t, ledger, db, acc, 5)
		}
	})
}

// A later version may add columns while this one still runs.
func TestM15_ThisProgramRunsOnAPriceListWithMoreColumns(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set(t, prices.Set{Operation: "chat", Price: fixed(5)})
		exec(t, w.db, "ALTER TABLE credits_prices ADD COLUMN later BIGINT NOT NULL DEFAULT 7")
		exec(t, w.db, "ALTER TABLE credits_prices ADD COLUMN later_still TEXT")
		w.set(t, prices.Set{Operation: "chat", Price: fixed(6), EffectiveAt: t0.AddDate(0, 1, 0)})
		q := w.quote(t, prices.Quote{Operation: "chat"})
		if e, err := w.list.Explain(t.Context(), w.db, prices.Explain{Basis: q.Basis}); err != nil || !e.Agrees {
			t.Error(e, err)
		}
		if found, err := w.list.Prices(t.Context(), w.db, prices.Prices{}); err != nil || len(found) != 1 {
			t.Error(found, err)
		}
		if found, err := w.list.History(t.Context(), w.db, prices.History{Operation: "chat"}); err != nil || len(found) != 2 {
			t.Error(found, err)
		}
	})
}
