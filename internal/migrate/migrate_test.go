package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/migrate"
)

func TestMain(m *testing.M) {
	dbtest.Main(m, map[string]dbtest.ChildFunc{
		"up":   func(ctx context.Context, db *bun.DB, _ []string) error { return books().Up(ctx, db) },
		"hang": func(ctx context.Context, db *bun.DB, _ []string) error { return hanging().Up(ctx, db) },
	})
}

// set is a package's migrations, the same on both databases: pairs of a way there
// and a way back.
func set(name string, steps ...[2]string) migrate.Set {
	files := fstest.MapFS{}
	for i, s := range steps {
		for _, kind := range []string{"sqlite", "postgres"} {
			base := fmt.Sprintf("migrations/%s/%04d_step", kind, i+1)
			files[base+".up.sql"] = &fstest.MapFile{Data: []byte(s[0])}
			files[base+".down.sql"] = &fstest.MapFile{Data: []byte(s[1])}
		}
	}
	return migrate.Set{Package: name, Files: files}
}

var (
	library = [2]string{
		"CREATE TABLE book (id BIGINT PRIMARY KEY, title TEXT NOT NULL);\n\n-- two statements\nINSERT INTO book VALUES (1, 'a; b?');\n",
		"DROP TABLE book;\n",
	}
	authors = [2]string{
		"ALTER TABLE book ADD COLUMN author TEXT;\n\nUPDATE book SET author = 'x';\n",
		"ALTER TABLE book DROP COLUMN author;\n",
	}
	shelves = [2]string{
		"CREATE TABLE shelf (id BIGINT PRIMARY KEY);\n\nINSERT INTO shelf VALUES (1);\n",
		"DROP TABLE shelf;\n",
	}
)

func books() migrate.Set { return set("books", library, authors, shelves) }

// status is what is applied, an arrow and what is pending.
func status(t *testing.T, s migrate.Set, db *bun.DB) string {
	t.Helper()
	done, pending, err := s.Status(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(done, " ") + " -> " + strings.Join(pending, " ")
}

// rows counts a table, or is -1 where it has no such table or column.
func rows(t *testing.T, db *bun.DB, column, table string) (n int) {
	t.Helper()
	if err := db.NewRaw("SELECT COUNT(?.?) FROM ?", bun.Ident(table), bun.Ident(column), bun.Ident(table)).Scan(t.Context(), &n); err != nil {
		return -1
	}
	return n
}

func TestSet_UpStatusDownAndUpAgain(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		ctx := t.Context()
		expect := func(want string, book, author, shelf int) {
			t.Helper()
			got := []any{status(t, books(), db), rows(t, db, "id", "book"), rows(t, db, "author", "book"), rows(t, db, "id", "shelf")}
			if d := cmp.Diff([]any{want, book, author, shelf}, got); d != "" {
				t.Errorf("want -, got +\n%s", d)
			}
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		const s1, s2, s3 = "0001_step", "0002_step", "0003_step"
		expect(" -> "+s1+" "+s2+" "+s3, -1, -1, -1)
		must(set("books", library).Up(ctx, db))
		expect(s1+" -> "+s2+" "+s3, 1, -1, -1)
		must(books().Up(ctx, db))
		expect(s1+" "+s2+" "+s3+" -> ", 1, 1, 1)
		must(books().Up(ctx, db)) // nothing is left to do
		expect(s1+" "+s2+" "+s3+" -> ", 1, 1, 1)
		must(books().Down(ctx, db, 1))
		expect(s1+" -> "+s2+" "+s3, 1, -1, -1)
		must(books().Up(ctx, db))
		expect(s1+" "+s2+" "+s3+" -> ", 1, 1, 1)
		must(books().Down(ctx, db, 0))
		must(books().Down(ctx, db, 0))
		expect(" -> "+s1+" "+s2+" "+s3, -1, -1, -1)
		must(books().Up(ctx, db))
		expect(s1+" "+s2+" "+s3+" -> ", 1, 1, 1)
	})
}

func TestSet_PackagesAreRecordedApart(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		other := set("other", shelves)
		if err := other.Up(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if got := status(t, set("books", library), db); got != " -> 0001_step" {
			t.Errorf("status of books: %s", got)
		}
		if err := set("books", library).Up(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if err := set("books", library).Down(t.Context(), db, 0); err != nil {
			t.Fatal(err)
		}
		if got := status(t, other, db); got != "0001_step -> " {
			t.Errorf("status of the other: %s", got)
		}
	})
}

// The one row that the migration wrote holds what divides statements elsewhere,
// and a placeholder.
func TestSet_UpRunsTheTextAsItIs(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		var title string
		if err := db.NewRaw("SELECT title FROM book").Scan(t.Context(), &title); err != nil || title != "a; b?" {
			t.Errorf("title %q, %v", title, err)
		}
	}, set("books", library).Up)
}

func TestSet_TenProcessesAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		dbtest.Processes(t, 10, "up", dbtest.DSN(db))
		once(t, db)
	})
}

func TestSet_TenPoolsAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		var wg sync.WaitGroup
		for range 10 {
			own, err := dbtest.Open(dbtest.DSN(db))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { dbtest.Close(own) })
			wg.Go(func() {
				if err := books().Up(t.Context(), own); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		once(t, db)
	})
}

// once checks that books are applied, and each version once.
func once(t *testing.T, db *bun.DB) {
	t.Helper()
	got := []any{status(t, books(), db), rows(t, db, "id", "book"), rows(t, db, "id", "shelf"), rows(t, db, "version", "quitrent_migrations")}
	if d := cmp.Diff([]any{"0001_step 0002_step 0003_step -> ", 1, 1, 3}, got); d != "" {
		t.Errorf("want -, got +\n%s", d)
	}
}

func TestSet_AFailedMigrationLeavesNothingAndAppliesOnceMended(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		ctx := t.Context()
		broken := shelves
		broken[0] = "CREATE TABLE shelf (id BIGINT PRIMARY KEY);\n\nINSERT INTO shelf VALUES ('first', 'second');\n"
		for range 2 { // asking again changes nothing
			err := set("books", library, broken, authors).Up(ctx, db)
			if err == nil || !strings.Contains(err.Error(), "0002_step up") || !strings.Contains(err.Error(), "INSERT INTO shelf") {
				t.Fatalf("the broken migration: %v", err)
			}
			if n := rows(t, db, "id", "shelf"); n != -1 {
				t.Errorf("its first statement stayed: %d", n)
			}
			if got := status(t, set("books", library, broken, authors), db); got != "0001_step -> 0002_step 0003_step" {
				t.Errorf("status %s", got)
			}
		}
		mended := set("books", library, shelves, authors)
		if err := mended.Up(ctx, db); err != nil {
			t.Fatal(err)
		}
		if got := status(t, mended, db); got != "0001_step 0002_step 0003_step -> " {
			t.Errorf("status %s", got)
		}
	})
}

func TestSet_AFailedWayBackLeavesTheVersionApplied(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		oneway := shelves
		oneway[1] = "DROP TABLE shelf;\n\nDROP TABLE nowhere;\n"
		s := set("books", library, oneway)
		if err := s.Up(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if err := s.Down(t.Context(), db, 0); err == nil || !strings.Contains(err.Error(), "0002_step down") {
			t.Errorf("the broken way back: %v", err)
		}
		if got, n := status(t, s, db), rows(t, db, "id", "shelf"); got != "0001_step 0002_step -> " || n != 1 {
			t.Errorf("status %s, shelf %d", got, n)
		}
	})
}

// hanging waits in its second statement for a lock that the test holds.
func hanging() migrate.Set {
	return set("hanging", [2]string{"CREATE TABLE shelf (id BIGINT PRIMARY KEY);\n\nSELECT pg_advisory_xact_lock(7);\n", "DROP TABLE shelf;\n"})
}

func TestSet_AProcessKilledWhileItMigratesLocksNobodyOut(t *testing.T) {
	db := dbtest.Postgres(t)
	ctx := t.Context()
	lock, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.NewRaw("SELECT pg_advisory_xact_lock(7)").Exec(ctx); err != nil {
		t.Fatal(err)
	}
	p := dbtest.Spawn(t, "hang", dbtest.DSN(db))
	p.Go()
	for waiting, tries := 0, 0; waiting == 0; tries++ {
		err := db.NewRaw("SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())").Scan(ctx, &waiting)
		if err != nil || tries == 50_000 {
			t.Fatal("the child does not get there: ", err)
		}
	}
	p.Kill()
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := hanging().Up(ctx, db); err != nil {
		t.Fatal(err)
	}
	if got := status(t, hanging(), db); got != "0001_step -> " {
		t.Errorf("status %s", got)
	}
}

func TestSet_ASchemaOtherThanPublic(t *testing.T) {
	db := dbtest.PostgresSchema(t, "tenants", books().Up)
	var schemas []string
	err := db.NewRaw("SELECT DISTINCT table_schema FROM information_schema.tables WHERE table_name IN ('book', 'shelf', 'quitrent_migrations', 'quitrent_migration_locks')").Scan(t.Context(), &schemas)
	if d := cmp.Diff([]string{"tenants"}, schemas); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	once(t, db)
	if err := books().Down(t.Context(), db, 0); err != nil {
		t.Error(err)
	}
}

// Down by a program that knows fewer versions would leave the newer ones recorded
// without their tables.
func TestSet_DownByAnOlderProgramIsRefusedAndTakesNothingBack(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		older := set("books", library, authors)
		for to := range 3 {
			if err := older.Down(t.Context(), db, to); !errors.Is(err, migrate.ErrNewer) {
				t.Errorf("to %d: %v", to, err)
			}
		}
		once(t, db)
		if got := status(t, books(), db); got != "0001_step 0002_step 0003_step -> " {
			t.Error(got)
		}
		if err := older.Up(t.Context(), db); err != nil {
			t.Errorf("the older program does not start: %v", err)
		}
	}, books().Up)
}

// The tables of another schema further down the search path are another program's.
func TestSet_TheFirstSchemaOfThePathCounts(t *testing.T) {
	db := dbtest.Postgres(t, books().Up)
	if _, err := db.Exec("CREATE SCHEMA tenants"); err != nil {
		t.Fatal(err)
	}
	inside, err := dbtest.Open(dbtest.DSN(db) + "&search_path=tenants,public")
	if err != nil {
		t.Fatal(err)
	}
	defer dbtest.Close(inside)
	if got := status(t, books(), inside); got != " -> 0001_step 0002_step 0003_step" {
		t.Error(got)
	}
	if err := books().Up(t.Context(), inside); err != nil {
		t.Error(err)
	}
	var n int
	if err := db.NewRaw("SELECT COUNT(*) FROM tenants.book").Scan(t.Context(), &n); err != nil || n != 1 {
		t.Error(n, err)
	}
}

func TestSet_StatusWritesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		if got := status(t, books(), db); got != " -> 0001_step 0002_step 0003_step" {
			t.Error(got)
		}
		if n := rows(t, db, "package", "quitrent_migrations"); n != -1 {
			t.Error("it has made its table")
		}
	})
}

func TestSet_RefusesASetThatIsNotWhole(t *testing.T) {
	gap := books()
	delete(gap.Files.(fstest.MapFS), "migrations/sqlite/0002_step.up.sql")
	delete(gap.Files.(fstest.MapFS), "migrations/postgres/0002_step.up.sql")
	oneway := books()
	delete(oneway.Files.(fstest.MapFS), "migrations/sqlite/0003_step.down.sql")
	delete(oneway.Files.(fstest.MapFS), "migrations/postgres/0003_step.down.sql")
	for name, s := range map[string]migrate.Set{
		"a gap":         gap,
		"no way back":   oneway,
		"nothing there": {Package: "books", Files: fstest.MapFS{}},
		"no number":     {Package: "books", Files: fstest.MapFS{"migrations/sqlite/first.up.sql": {}, "migrations/postgres/first.up.sql": {}}},
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, db *bun.DB) {
				if err := s.Up(t.Context(), db); err == nil || !strings.HasPrefix(err.Error(), "books: ") {
					t.Errorf("Up: %v", err)
				}
				if err := s.Down(t.Context(), db, 0); err == nil {
					t.Error("Down took it")
				}
				if _, _, err := s.Status(t.Context(), db); err == nil {
					t.Error("Status took it")
				}
				if n := rows(t, db, "id", "book"); n != -1 {
					t.Error("something was applied")
				}
			})
		})
	}
}
