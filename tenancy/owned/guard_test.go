package owned

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/schema"

	"github.com/quitrent/quitrent/tenancy"
)

type site struct {
	bun.BaseModel `bun:"table:sites,alias:s"`
	Row
	ID string `bun:"id,pk"`
}

func testBinding(d schema.Dialect) *binding {
	b := &binding{postgres: d.Name() == pgdialect.New().Name(), guarded: map[string]*table{}}
	t := &table{name: "sites", schema: d.Tables().Get(reflect.TypeFor[site]())}
	t.scopeGoesOn = `"sites" WHERE "account_id" = `
	b.tables, b.guarded["sites"] = []*table{t}, t
	return b
}

var dialects = map[string]schema.Dialect{"postgres": pgdialect.New(), "sqlite": sqlitedialect.New()}

// mine is how account 17 reads its sites.
const mine = `(SELECT * FROM "sites" WHERE "account_id" = '17')`

func TestGuard_StopsWhatNamesAnOwnedTable(t *testing.T) {
	both := []string{
		`SELECT * FROM sites`,
		`select id from SITES where account_id = '17'`,
		`SELECT * FROM "sites" AS s`,
		`SELECT * FROM public.sites`,
		`SELECT * FROM "public"."sites"`,
		`SELECT * FROM x AS public, public.sites`,
		`SELECT * FROM/**/sites`,
		"SELECT * FROM -- the lot\n sites",
		`SELECT * FROM x, sites`,
		`SELECT * FROM (sites)`,
		`SELECT * FROM x JOIN sites ON TRUE`,
		`SELECT * FROM x LEFT JOIN (y JOIN sites ON TRUE) ON TRUE`,
		`SELECT * FROM x JOIN y ON x.id = y.id, sites`,
		`SELECT * FROM x JOIN y ON (x.id, 1) = (y.id, 1), sites AS s`,
		`SELECT * FROM x JOIN y ON CASE WHEN TRUE THEN 1 END = 1, sites`,
		`SELECT * FROM x JOIN y ON x.order = y.order, sites`,
		`SELECT * FROM x AS begin, sites`,
		`SELECT 1.FROM sites`,
		`SELECT * FROM x WHERE id IN (SELECT id FROM sites)`,
		`SELECT (SELECT COUNT(*) FROM sites)`,
		`SELECT 1 UNION SELECT id FROM sites`,
		`SELECT * FROM ` + mine + ` AS s JOIN sites ON TRUE`,
		`SELECT * FROM ` + mine + ` AS s, sites`,
		`SELECT * FROM (SELECT * FROM "sites" WHERE "account_id" = '18') AS s`,
		`SELECT * FROM (SELECT * FROM "sites" WHERE "account_id" = '17' OR 1 = 1) AS s`,
		`SELECT * FROM (SELECT * FROM "sites" WHERE "account_id" = ?quitrent_account_id) AS s`,
		`SELECT * FROM (SELECT * FROM "sites" WHERE "account_id" = "account_id") AS s`,
		`WITH x AS (SELECT * FROM sites) SELECT * FROM x`,
		`INSERT INTO x SELECT * FROM sites`,
		`INSERT INTO sites (id) VALUES (1)`,
		`UPDATE sites SET id = 1`,
		`UPDATE x SET id = 1 FROM sites`,
		`DELETE FROM sites`,
		`DELETE FROM x USING sites`,
		`SELECT 1; DELETE FROM sites`,
		`DROP TABLE sites`,
		`TRUNCATE sites`,
		`ALTER TABLE sites ADD COLUMN x TEXT`,
		`CREATE INDEX x ON sites (id)`,
		`CREATE VIEW v AS SELECT * FROM sites`,
		`EXPLAIN SELECT * FROM sites`,
		`EXPLAIN ANALYZE DELETE FROM sites`,
		`MERGE INTO sites USING x ON TRUE WHEN MATCHED THEN DELETE`,
		`REPLACE INTO sites VALUES (1)`,
		`SELECT '''' FROM sites --'`,
		`SELECT 'it''s' AS "a""b" FROM sites`,
	}
	only := map[string][]string{
		"postgres": {
			`TABLE sites`, `SELECT * FROM ONLY sites`, `SELECT * FROM x WHERE id IN (TABLE sites)`,
			`COPY sites TO STDOUT`, `LOCK TABLE sites`, `SELECT * FROM U&"s\0069tes"`,
			`SELECT E'\'' FROM sites --'`, `SELECT $$'$$ FROM sites --'`, `SELECT $a$ $$ ' $a$ FROM sites`,
			`DO $$ BEGIN DELETE FROM sites; END $$`, `SELECT /* /* */ ' */ 1 FROM sites --'`, `SELECT '\' FROM sites --'`,
			"SELECT 1 -- \rFROM sites", "SELECT E'a'\n'\\' ' FROM sites --'",
		},
		"sqlite": {
			`SELECT * FROM 'sites'`, `SELECT * FROM [sites]`, "SELECT * FROM `sites`", `SELECT * FROM main.sites`,
			`SELECT '\' FROM sites`, `SELECT /* /* */ 1 FROM sites`, `INSERT OR REPLACE INTO sites VALUES (1)`,
			`UPDATE OR IGNORE sites SET id = 1`,
		},
	}
	for name, d := range dialects {
		for _, sql := range append(both, only[name]...) {
			c := check{b: testBinding(d), account: "17"}
			if err := c.run(sql); !errors.Is(err, ErrUnscoped) {
				t.Errorf("%s: let through: %s", name, sql)
			}
		}
	}
}

func TestGuard_LetsEverythingElseThrough(t *testing.T) {
	both := []string{
		`SELECT * FROM ` + mine + ` AS "s" WHERE ("s"."id" = 'sites')`,
		`SELECT * FROM ` + mine + ` AS "sites" WHERE "sites"."id" = 1`,
		`SELECT * FROM (SELECT * FROM ` + mine + ` AS s) AS x JOIN ` + mine + ` AS y ON TRUE`,
		`SELECT sites FROM plans WHERE sites > 1 ORDER BY sites`,
		`SELECT p.sites, (sites + 1) FROM plans AS p GROUP BY p.sites`,
		`INSERT INTO "plans" ("id", "sites") VALUES (1, 'sites')`,
		`UPDATE plans SET sites = 2 WHERE sites = 1`,
		`INSERT INTO plans (id, sites) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET sites = EXCLUDED.sites RETURNING sites`,
		`INSERT INTO plans (id) SELECT 1 FROM x JOIN y ON TRUE ON CONFLICT (id, sites) DO UPDATE SET id = 1, sites = 2`,
		`SELECT * FROM x JOIN y ON x.id = y.id AND (x.a, sites) = (1, 2) AND coalesce(x.b, sites) = 1`,
		`SELECT x.sites FROM public.plans AS x JOIN plans AS y ON x.sites = y.sites WHERE x.sites > 1 ORDER BY x.id, x.sites`,
		`SELECT 'FROM sites'`,
		`SELECT 1 -- FROM sites`,
		`SELECT 1 /* FROM sites */`,
		`SELECT * FROM websites`,
		`SELECT * FROM x WHERE note = 'it''s FROM sites'`,
		`BEGIN`, `COMMIT`, `ROLLBACK`, `SAVEPOINT x`, `RELEASE SAVEPOINT x`, `ROLLBACK TO SAVEPOINT x`,
		`SELECT set_config('x', 'sites', true)`,
	}
	for name, d := range dialects {
		for _, sql := range both {
			c := check{b: testBinding(d), account: "17"}
			if err := c.run(sql); err != nil {
				t.Errorf("%s: %s: %v", name, sql, err)
			}
		}
	}
}

func TestGuard_LetsAQueryOfItsOwnWriteOnce(t *testing.T) {
	for name, d := range dialects {
		b := testBinding(d)
		for sql, ok := range map[string]bool{
			`INSERT INTO "sites" ("account_id", "id") VALUES ('17', 1)`:                   true,
			`UPDATE "sites" AS "s" SET "id" = 1 WHERE "s"."account_id" = '17'`:            true,
			`WITH "_data" AS (VALUES (1)) UPDATE "sites" AS "s" SET "id" = 1 FROM _data`:  true,
			`DELETE FROM "sites" AS "s" WHERE id IN (SELECT id FROM ` + mine + ` AS "x")`: true,
			`DELETE FROM "sites" AS "s" WHERE id IN (SELECT id FROM sites)`:               false,
			`UPDATE "sites" AS "s" SET "id" = 1 FROM sites`:                               false,
			`INSERT INTO "sites" ("id") SELECT id FROM sites`:                             false,
			`INSERT INTO "sites" ("id") VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2`: true,
			`SELECT * FROM sites`:                                      false,
			`INSERT INTO x (id) SELECT id FROM sites`:                  false,
			`INSERT INTO "sites" ("id") VALUES (1); DELETE FROM sites`: false,
			`UPDATE "sites" AS "s" SET "id" = 1 WHERE id IN (SELECT id FROM (SELECT * FROM "sites" WHERE "account_id" = '18') AS x)`: false,
		} {
			c := check{b: b, account: "17", target: b.tables[0]}
			if err := c.run(sql); (err == nil) != ok {
				t.Errorf("%s: %s: %v", name, sql, err)
			}
		}
	}
}

// A value of a customer's neither hides a table from the guard nor looks like one.
func FuzzGuard_ValuesAreNoSQL(f *testing.F) {
	for _, s := range []string{"", "'", "\\", "'; DROP TABLE sites --", "/*", "*/", "$$", "FROM sites", `"`, "\x00", "é", "E'", `\'`, mine} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) {
			return // refused by bun
		}
		for name, d := range dialects {
			gen, b := schema.NewQueryGen(d), testBinding(d)
			for _, v := range []any{s, []byte(s), &s} {
				c := check{b: b, account: "17"}
				sql := gen.FormatQuery("SELECT ?0 FROM x WHERE y = ?0 AND z IN (?0, ?0)", v)
				if err := c.run(sql); err != nil {
					t.Errorf("%s: %s: %v", name, sql, err)
				}
				sql = gen.FormatQuery("SELECT ?0 FROM x JOIN sites ON y = ?0", v)
				if err := c.run(sql); !errors.Is(err, ErrUnscoped) {
					t.Errorf("%s: let through: %s", name, sql)
				}
			}
			c := check{b: b, account: tenancy.AccountID("17")}
			_ = c.run(s) // never panics
		}
	})
}

// deadlines is a driver that looks at a context's deadline and at nothing else.
type deadlines struct{ ran *int }

func (d deadlines) Connect(context.Context) (driver.Conn, error) { return d, nil }
func (d deadlines) Driver() driver.Driver                        { return nil }
func (d deadlines) Prepare(string) (driver.Stmt, error)          { return nil, errors.ErrUnsupported }
func (d deadlines) Close() error                                 { return nil }
func (d deadlines) Begin() (driver.Tx, error)                    { return nil, errors.ErrUnsupported }
func (d deadlines) ExecContext(ctx context.Context, _ string, _ []driver.NamedValue) (driver.Result, error) {
	if at, ok := ctx.Deadline(); ok && at.Before(time.Now()) {
		return nil, os.ErrDeadlineExceeded
	}
	*d.ran++
	return driver.ResultNoRows, nil
}

func TestGuard_StopsADriverThatLooksAtTheDeadlineAlone(t *testing.T) {
	for name, d := range dialects {
		ran := 0
		db := bun.NewDB(sql.OpenDB(deadlines{&ran}), d)
		db.AddQueryHook(guard{testBinding(d)}) //nolint:staticcheck // as Bind does
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ExecContext(t.Context(), "DELETE FROM sites"); err == nil || ran != 0 {
			t.Errorf("%s: it ran %d times: %v", name, ran, err)
		}
		if _, err := conn.ExecContext(t.Context(), "DELETE FROM x"); err != nil || ran != 1 {
			t.Errorf("%s: it ran %d times: %v", name, ran, err)
		}
		_ = db.Close()
	}
}
