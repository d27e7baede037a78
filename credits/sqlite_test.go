package credits_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
)

// On SQLite a transaction that reads before it writes fails at once, whatever the busy
// timeout, if somebody else has written in between. A host may have opened its database so
// that transactions begin without a lock: ours begin with a write.
func TestSQLite_ATransactionThatBeginsWithoutALockWaitsForItsTurn(t *testing.T) {
	file := strings.TrimPrefix(dbtest.DSN(dbtest.SQLite(t, credits.Migrate)), "file:")
	var pools []*bun.DB
	var ledgers []*credits.Ledger
	for range 2 { // which know nothing of each other, as two processes
		db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(30000)&_pragma=journal_mode(WAL)")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		pools = append(pools, bun.NewDB(db, sqlitedialect.New()))
		ledgers = append(ledgers, credits.New(credits.Config{Combine: credits.CombineOff}))
	}
	fund(t, ledgers[0], pools[0], 200)
	for _, err := range dbtest.Together(8, func(worker int) error {
		db, l := pools[worker%2], ledgers[worker%2]
		for i := range 10 {
			e, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 2, Key: fmt.Sprint("d", worker, i)})
			if err != nil {
				return err
			}
			if _, err := l.Refund(t.Context(), db, credits.Refund{Account: acc, Entry: e.Number, Amount: 1, Key: fmt.Sprint("r", worker, i)}); err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Error(err)
		}
	}
	creditstest.RequireBalance(t, ledgers[0], pools[0], acc, 120)
	creditstest.RequireSound(t, ledgers[0], pools[0], acc)
}
