package credits

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
)

// impatient is db for who waits 20 ms for a lock. It counts the statements that lock
// accounts to read them.
func impatient(t *testing.T, db *bun.DB) (other *bun.DB, locks *atomic.Int64) {
	t.Helper()
	other, err := dbtest.Open(dbtest.DSN(db) + "&lock_timeout=20ms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dbtest.Close(other) })
	locks = &atomic.Int64{}
	return other.WithQueryHook(everyHook(func(query string) {
		if strings.HasPrefix(query, "SELECT") && strings.Contains(query, "FOR UPDATE") {
			locks.Add(1)
		}
	})), locks
}

// waiting are deductions from accA that wait for its lock, with keys of their own.
func waiting(l *Ledger, db *bun.DB) (callers []*caller) {
	for i := range 5 { // fewer than it has credits
		m := deduction(l, db, accA, 1, strconv.Itoa(i))
		m.at.way = byWaiting
		callers = append(callers, m)
	}
	return callers
}

// inVain are the answers to them.
var inVain = slices.Repeat([]string{"error"}, 5)

// Where PostgreSQL has had enough of waiting for a lock, nobody waits as long once more for
// each of those who wait with him.
func TestCombine_ALockTimeoutIsWaitedOutOnceForAll(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA)
	other, locks := impatient(t, db)
	defer lockedElsewhere(t, db, accA)()
	if d := cmp.Diff(inVain, outcomesOf(l, waiting(l, other)...)); d != "" || locks.Load() != 1 {
		t.Errorf("%d times, %s", locks.Load(), d)
	}
}

// Where the account is remembered too: what the swift statement has waited for in vain is
// not waited for once more by locks.
func TestCombine_ALockTimeoutOfWhatIsRememberedIsWaitedOutOnce(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA)
	other, locks := impatient(t, db)
	if _, err := l.Deduct(t.Context(), other, Deduct{Account: accA, Amount: 1}); err != nil {
		t.Fatal(err)
	}
	if _, known := l.shelf.get(shelved{other.DB, accA}); !known {
		t.Fatal("nothing is remembered")
	}
	defer lockedElsewhere(t, db, accA)()
	locks.Store(0)
	if d := cmp.Diff(inVain, outcomesOf(l, waiting(l, other)...)); d != "" || locks.Load() != 0 {
		t.Errorf("%d more times, %s", locks.Load(), d)
	}
}

// Those who ask again by their keys wait it out once too.
func TestCombine_ALockTimeoutIsWaitedOutOnceByWhoDoesNotKnow(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA)
	other, locks := impatient(t, db)
	defer lockedElsewhere(t, db, accA)()
	callers := waiting(l, other)
	l.again(t.Context(), callers, ErrOutcomeUnknown)
	if d := cmp.Diff(inVain, saidTo(callers)); d != "" || locks.Load() != 1 {
		t.Errorf("%d times, %s", locks.Load(), d)
	}
	for _, m := range callers {
		if !m.unsure {
			t.Error("it is taken for certain")
		}
	}
}

// A row of B's is locked elsewhere – an owner mends it, say – and whoever writes it waits
// until lock_timeout. A, which shares the batch, has nothing to do with it.
func TestCombine_ALockTimeoutOfOneAccountHarmsNobodyElse(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA, accB, accC)
	if _, err := l.Grant(t.Context(), db, Grant{Account: accB, Amount: 10, Key: "more"}); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.NewRaw("SELECT 1 FROM credits_grants WHERE account_id = ? FOR UPDATE", accB).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	other, _ := impatient(t, db)
	got := outcomesOf(l, deduction(l, other, accA, 1, "a"), deduction(l, other, accB, 15, "b"), deduction(l, other, accC, 1, ""), deduction(l, other, accB, 1, ""))
	if d := cmp.Diff([]string{"2 leaves 9", "error", "2 leaves 9", "error"}, got); d != "" {
		t.Error(d)
	}
}
