package credits_test

import (
	"testing"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"pgregory.net/rapid"
)

// shares are how many of a hundred checks of a property are made on each database.
type shares struct{ sqlite, postgres int }

// check is rapid.Check with a share of its checks. Under the race detector SQLite, which
// is Go then too, takes about eight times as long for a step as a server does: what is no
// matter of the database is found on the server, and SQLite needs enough to meet each
// kind of step.
func check(t *testing.T, db *bun.DB, of shares, property func(t *rapid.T)) {
	t.Helper()
	share := of.postgres
	if db.Dialect().Name() == dialect.SQLite {
		share = of.sqlite
	}
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		if n++; n*share/100 == (n-1)*share/100 {
			return
		}
		failed := true
		defer func() {
			if failed { // from here on rapid looks for a shorter one that fails
				share = 100
			}
		}()
		property(rt)
		failed = false
	})
}
