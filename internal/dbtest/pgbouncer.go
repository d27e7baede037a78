package dbtest

import (
	"context"
	"net/url"
	"os"
	"sync"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/bouncertest"
)

// PgBouncer is a second pool on a database that Postgres or PostgresSchema made,
// through PgBouncer in transaction mode: its connections, and those of whatever
// opens its DSN, share bouncertest.PoolSize connections to the server, a
// transaction each at a time. Who begins a transaction inside of another may wait
// until the pooler gives it up.
//
// The pooler is the one that QUITRENT_TEST_PGBOUNCER names (host and port), which
// stands in front of the test server, or one of this process. Where there is none
// the test is skipped, and fails where CI is set.
func PgBouncer(t testing.TB, db *bun.DB) *bun.DB {
	t.Helper()
	addr, err := pooler()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("PgBouncer is not tested: %v", err)
		}
		t.Skipf("PgBouncer is not tested: %v; make test installs it, QUITRENT_TEST_PGBOUNCER names one", err)
	}
	u, err := url.Parse(DSN(db))
	if err != nil {
		t.Fatal(err)
	}
	if u.Scheme == "file" {
		t.Fatal("PgBouncer stands in front of PostgreSQL only")
	}
	u.Host = addr
	u.RawQuery = "sslmode=disable" // on loopback; how the pooler reaches the server is its own affair
	return open(t, u.String(), nil)
}

var pooler = sync.OnceValues(func() (string, error) {
	if addr := os.Getenv("QUITRENT_TEST_PGBOUNCER"); addr != "" {
		return addr, nil
	}
	root, err := server()
	if err != nil {
		return "", err
	}
	addr, stop, err := bouncertest.Start(context.Background(), root) // ends with this process
	if err == nil {
		stopPooler = stop
	}
	return addr, err
})
