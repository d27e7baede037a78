// Package dbtest gives a test a fresh, migrated database of each kind: a SQLite
// file, and a PostgreSQL database on the server that QUITRENT_TEST_POSTGRES names
// or on a throw-away cluster of the installed binaries.
package dbtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/internal/pgtest"
	"github.com/quitrent/quitrent/internal/sqlite"
)

// Migrate is what every package exports under that name.
type Migrate = func(context.Context, *bun.DB) error

// Each runs fn as the subtests "sqlite" and "postgres", each on an empty
// database to which the migrations have been applied. Without a PostgreSQL server
// the second is skipped, and fails where CI is set.
func Each(t *testing.T, fn func(t *testing.T, db *bun.DB), migrations ...Migrate) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, SQLite(t, migrations...)) })
	t.Run("postgres", func(t *testing.T) { fn(t, Postgres(t, migrations...)) })
}

// SQLite is a new database file.
func SQLite(t testing.TB, migrations ...Migrate) *bun.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	if name, ok := list(migrations); ok {
		if err := os.WriteFile(path, file(t, name, migrations), 0o600); err != nil {
			t.Fatal(err)
		}
		migrations = nil
	}
	return open(t, "file:"+path, migrations)
}

// SQLiteOneConn is a new database file behind a pool of one connection: whatever
// asks the pool for a second one while it holds the first waits for ever.
func SQLiteOneConn(t testing.TB, migrations ...Migrate) *bun.DB {
	t.Helper()
	db := SQLite(t)
	db.SetMaxOpenConns(1)
	migrate(t, db, migrations)
	return db
}

// Postgres is a new database on the test server.
func Postgres(t testing.TB, migrations ...Migrate) *bun.DB {
	t.Helper()
	root, from := mustServer(t), ""
	if name, ok := list(migrations); ok && cleans {
		from, migrations = template(t, root, name, migrations), nil
	}
	_, dsn := create(t, root, from)
	return open(t, dsn, migrations)
}

// PostgresSchema is a new database in which search_path puts the given schema
// first and leaves public out.
func PostgresSchema(t testing.TB, schema string, migrations ...Migrate) *bun.DB {
	t.Helper()
	name, dsn := create(t, mustServer(t), "")
	schema = pgx.Identifier{schema}.Sanitize()
	// Not in the URL: a pooler refuses what it does not know of.
	err := execute(dsn, "CREATE SCHEMA "+schema, "ALTER DATABASE "+name+" SET search_path = "+schema)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, dsn, migrations)
}

func open(t testing.TB, dsn string, migrations []Migrate) *bun.DB {
	t.Helper()
	db, err := Open(dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Close(db) })
	dsns.Store(db.DB, dsn)
	migrate(t, db, migrations)
	return db
}

func migrate(t testing.TB, db *bun.DB, migrations []Migrate) {
	t.Helper()
	for _, m := range migrations {
		if err := m(t.Context(), db); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	dsns  sync.Map // *sql.DB → DSN
	pools sync.Map // *sql.DB → *pgxpool.Pool, which closing the former leaves open
)

// Close closes what Open opened.
func Close(db *bun.DB) {
	_ = db.Close()
	if p, ok := pools.LoadAndDelete(db.DB); ok {
		p.(*pgxpool.Pool).Close()
	}
}

// DSN is what Open, in another process too, needs to reach the same database.
func DSN(db *bun.DB) string {
	dsn, _ := dsns.Load(db.DB)
	return dsn.(string)
}

// Open is a pool on a database of this package, set up as the README tells hosts
// to set theirs up.
func Open(dsn string) (*bun.DB, error) {
	if path, ok := strings.CutPrefix(dsn, "file:"); ok {
		return sqlite.Open(path)
	}
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = 16
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDBFromPool(pool)
	db.SetMaxIdleConns(0)
	pools.Store(db, pool)
	return bun.NewDB(db, pgdialect.New()), nil
}

// server is the URL of the test server's superuser, found once per test binary.
var server = sync.OnceValues(func() (string, error) {
	if u := os.Getenv("QUITRENT_TEST_POSTGRES"); u != "" {
		return u, nil
	}
	u, stop, err := pgtest.Start(context.Background()) // ends with this process
	if err == nil {
		stopServer = stop
	}
	return u, err
})

// stopServer and stopPooler end what server and pooler started and remove its
// folder. A package without Main leaves the folder to the next start.
var stopServer, stopPooler = func() {}, func() {}

// mustServer is the URL of the test server.
func mustServer(t testing.TB) string {
	t.Helper()
	root, err := server()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("PostgreSQL is not tested: %v", err)
		}
		t.Skipf("PostgreSQL is not tested: %v; make test installs it, QUITRENT_TEST_POSTGRES names a server", err)
	}
	return root
}

// create makes a database of its own for t, a copy of the template if there is one, and
// returns its name and its URL.
func create(t testing.TB, root, template string) (name, dsn string) {
	t.Helper()
	name = id.New("t")
	dsn, err := createDatabase(root, name, template)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { drop(root, name) })
	return name, dsn
}

func createDatabase(root, name, template string) (dsn string, err error) {
	q := "CREATE DATABASE " + name
	if template != "" {
		q += " TEMPLATE " + template
	}
	if err := execute(root, q); err != nil {
		return "", err
	}
	u, err := url.Parse(root)
	if err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}

// execute runs queries on a connection of their own.
func execute(dsn string, queries ...string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, q := range queries {
		if _, err := conn.Exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// drop ends a database, unless the server went first.
func drop(root, name string) {
	_ = execute(root, fmt.Sprintf("DROP DATABASE IF EXISTS %s WITH (FORCE)", name))
}
