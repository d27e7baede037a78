package credits

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/internal/dbtest"
)

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

// The models have the keys that the tables have: whoever exports orders by them.
func TestTables_HaveTheKeysOfTheDatabase(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		query := `SELECT a.attname FROM pg_index AS i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, pos)
			JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
			WHERE i.indrelid = to_regclass(?) AND i.indisprimary ORDER BY k.pos`
		if db.Dialect().Name() == dialect.SQLite {
			query = "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk"
		}
		for _, tab := range Tables() {
			model := db.Table(reflect.TypeOf(tab.Model).Elem())
			var want, got []string
			if err := db.NewRaw(query, model.Name).Scan(t.Context(), &want); err != nil {
				t.Fatal(err)
			}
			for _, f := range model.PKs {
				got = append(got, f.Name)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(model.Name, d)
			}
		}
	}, Migrate)
}

// What is known of a key in one unit says nothing of it in the other, whichever way a batch
// goes: by what is remembered, with keys looked up beforehand or not, and by locks.
func TestKey_RefusedInOneUnitAndAnEntryInTheOther(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		l, seconds := New(Config{}), New(Config{Unit: "gpu_second"})
		for _, l := range []*Ledger{l, seconds} {
			for _, a := range []string{string(accA), string(accB)} {
				if _, err := l.Grant(t.Context(), db, Grant{Account: accA, Amount: 100, Key: "fund" + a}); err != nil {
					t.Fatal(err)
				}
			}
		}
		for round := range 3 {
			for i := range 6 {
				key := fmt.Sprint("k", i)
				a, b := l, seconds
				if i%2 == 1 {
					a, b = b, a
				}
				if _, err := a.Deduct(t.Context(), db, Deduct{Account: accA, Amount: 1000, Key: key}); err == nil || refusal(err) != "insufficient" {
					t.Errorf("round %d, %s: %v", round, key, err)
				}
				e, err := b.Deduct(t.Context(), db, Deduct{Account: accA, Amount: 1, Key: key})
				if err != nil || e.Replayed != (round > 0) {
					t.Errorf("round %d, %s: %+v, %v", round, key, e, err)
				}
				if round == 1 { // nothing is looked up beforehand
					l.looking.Store(0)
					seconds.looking.Store(0)
				}
			}
		}
		for _, l := range []*Ledger{l, seconds} {
			if n := spendableOf(t, l, db, accA); n != 197 {
				t.Errorf("%d are left", n)
			}
			sound(t, l, db)
		}
	}, Migrate)
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
	began := time.Now()
	if d := cmp.Diff(slices.Repeat([]string{"error"}, 5), outcomesOf(l, callers...)); d != "" || locks != 0 {
		t.Errorf("%d more statements lock, in %v; %s", locks, time.Since(began), d)
	}
}
