package credits

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quitrent/quitrent/internal/dbtest"
)

// Where PostgreSQL has had enough of waiting for a lock, nobody waits as long once more for
// each of those who wait with him.
func TestCombine_ALockTimeoutIsWaitedOutOnceForAll(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA)
	defer lockedElsewhere(t, db, accA)()
	impatient, err := dbtest.Open(dbtest.DSN(db) + "&lock_timeout=5ms")
	if err != nil {
		t.Fatal(err)
	}
	defer dbtest.Close(impatient)
	locks := 0
	hooked := impatient.WithQueryHook(everyHook(func(query string) {
		if strings.Contains(query, "FOR UPDATE") {
			locks++
		}
	}))
	var callers []*caller
	for range 20 {
		m := deduction(l, hooked, accA, 1, "")
		m.at.way = byWaiting
		callers = append(callers, m)
	}
	if d := cmp.Diff(slices.Repeat([]string{"error"}, 20), outcomesOf(l, callers...)); d != "" || locks != 1 {
		t.Errorf("%d times, %s", locks, d)
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
	impatient, err := dbtest.Open(dbtest.DSN(db) + "&lock_timeout=20ms")
	if err != nil {
		t.Fatal(err)
	}
	defer dbtest.Close(impatient)
	got := outcomesOf(l, deduction(l, impatient, accA, 1, "a"), deduction(l, impatient, accB, 15, "b"), deduction(l, impatient, accC, 1, ""), deduction(l, impatient, accB, 1, ""))
	if d := cmp.Diff([]string{"2 leaves 9", "error", "2 leaves 9", "error"}, got); d != "" {
		t.Error(d)
	}
}

// A lock_timeout is waited out once for all who wait, where the account is remembered too:
// what the swift statement has waited for in vain is not waited for once more by locks.
func TestCombine_ALockTimeoutOfWhatIsRememberedIsWaitedOutOnce(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA)
	impatient, err := dbtest.Open(dbtest.DSN(db) + "&lock_timeout=200ms")
	if err != nil {
		t.Fatal(err)
	}
	defer dbtest.Close(impatient)
	locks := 0
	hooked := impatient.WithQueryHook(everyHook(func(query string) {
		if strings.HasPrefix(query, "SELECT") && strings.Contains(query, "FOR UPDATE") {
			locks++
		}
	}))
	if _, err := l.Deduct(t.Context(), hooked, Deduct{Account: accA, Amount: 1}); err != nil {
		t.Fatal(err)
	}
	if _, known := l.shelf.get(shelved{hooked.DB, accA}); !known {
		t.Fatal("nothing is remembered")
	}
	defer lockedElsewhere(t, db, accA)()
	locks = 0
	var callers []*caller
	for range 5 {
		m := deduction(l, hooked, accA, 1, "")
		m.at.way = byWaiting
		callers = append(callers, m)
	}
	if d := cmp.Diff(slices.Repeat([]string{"error"}, 5), outcomesOf(l, callers...)); d != "" || locks != 0 {
		t.Errorf("%d more statements lock; %s", locks, d)
	}
}

// Those who ask again by their keys wait it out once too.
func TestCombine_ALockTimeoutIsWaitedOutOnceByWhoDoesNotKnow(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA)
	defer lockedElsewhere(t, db, accA)()
	impatient, err := dbtest.Open(dbtest.DSN(db) + "&lock_timeout=5ms")
	if err != nil {
		t.Fatal(err)
	}
	defer dbtest.Close(impatient)
	locks := 0
	hooked := impatient.WithQueryHook(everyHook(func(query string) {
		if strings.Contains(query, "FOR UPDATE") {
			locks++
		}
	}))
	var callers []*caller
	for i := range 20 {
		m := deduction(l, hooked, accA, 1, strconv.Itoa(i))
		m.at.way = byWaiting
		callers = append(callers, m)
	}
	l.again(t.Context(), callers, ErrOutcomeUnknown)
	if d := cmp.Diff(slices.Repeat([]string{"error"}, 20), saidTo(callers)); d != "" || locks != 1 {
		t.Errorf("%d times, %s", locks, d)
	}
	for _, m := range callers {
		if !m.unsure {
			t.Error("it is taken for certain")
		}
	}
}
