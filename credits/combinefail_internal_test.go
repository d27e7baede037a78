package credits

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// deduction is a caller of a batch that goes the way by locks, as ask makes it.
func deduction(l *Ledger, db *bun.DB, account tenancy.AccountID, n int64, key string) *caller {
	return &caller{ctx: context.Background(), db: db, at: lane{db: db.DB, way: byLocks}, done: make(chan struct{}), request: l.deduction(Deduct{Account: account, Amount: n, Key: key})}
}

// outcomesOf serves callers as one batch and says what came of each.
func outcomesOf(l *Ledger, callers ...*caller) []string {
	l.serve(callers)
	return saidTo(callers)
}

// answersTo is outcomesOf, and waits for those that go on in a lane of their own.
func answersTo(l *Ledger, callers ...*caller) []string {
	c := &l.combiner
	c.places = map[shelved]*place{}
	for _, m := range callers {
		if c.places[m.who()] == nil {
			c.places[m.who()] = &place{at: m.at}
		}
		c.places[m.who()].n++
	}
	at := callers[0].at
	c.start(at)
	l.serve(callers)
	c.hand(l, callers)
	c.next(l, at)
	for _, m := range callers {
		<-m.done
	}
	return saidTo(callers)
}

func saidTo(callers []*caller) (out []string) {
	for _, m := range callers {
		switch {
		case errors.Is(m.err, ErrOutcomeUnknown):
			out = append(out, "unknown")
		case m.err != nil:
			out = append(out, "error")
		case errors.Is(m.out.refusal, errLocked):
			out = append(out, "locked")
		case m.out.refusal != nil:
			out = append(out, "refused")
		default:
			out = append(out, fmt.Sprint(m.out.entry.Number, " leaves ", m.out.entry.Balance))
		}
	}
	return out
}

// ways are a batch by locks, and one by what is remembered.
func ways(t *testing.T, fn func(t *testing.T, db *bun.DB, l *Ledger, first int64)) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		fn(t, db, funded(t, db, Config{}, accA, accB, accC), 2)
	}, Migrate)
	t.Run("remembered", func(t *testing.T) {
		db := dbtest.Postgres(t, Migrate)
		l := funded(t, db, Config{}, accA, accB, accC)
		for _, a := range []tenancy.AccountID{accA, accB, accC} {
			if _, err := l.Deduct(t.Context(), db, Deduct{Account: a, Amount: 1}); err != nil {
				t.Fatal(err)
			}
			if _, known := l.shelf.get(shelved{db.DB, a}); !known {
				t.Fatal("nothing is remembered")
			}
		}
		fn(t, db, l, 3)
	})
}

func TestCombine_AnAccountThatFailsHarmsNobodyElse(t *testing.T) {
	ways(t, func(t *testing.T, db *bun.DB, l *Ledger, first int64) {
		if _, err := db.ExecContext(t.Context(), "UPDATE credits_accounts SET booked = 0 WHERE account_id = ?", accB); err != nil {
			t.Fatal(err)
		}
		left := 12 - first
		got := outcomesOf(l, deduction(l, db, accA, 1, "a"), deduction(l, db, accB, 1, "b"), deduction(l, db, accC, 99, "c"),
			deduction(l, db, accA, 1, ""), deduction(l, db, accB, 1, ""))
		want := []string{fmt.Sprint(first, " leaves ", left-1), "error", "refused", fmt.Sprint(first+1, " leaves ", left-2), "error"}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if n := spendableOf(t, l, db, accA); n != left-2 {
			t.Errorf("%d are left", n)
		}
	})
}

// The server dies in the middle of the COMMIT in which one of the keys is written.
func TestCombine_ACommitOfUnknownOutcomeIsASuccessToNobody(t *testing.T) {
	for name, remembered := range map[string]bool{"locked": false, "remembered": true} {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Postgres(t, Migrate)
			l := funded(t, db, Config{}, accA, accB, accC)
			number := int64(2)
			if remembered {
				number++
				for _, a := range []tenancy.AccountID{accA, accB, accC} {
					if _, err := l.Deduct(t.Context(), db, Deduct{Account: a, Amount: 1}); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, q := range []string{
				`CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$`,
				`CREATE CONSTRAINT TRIGGER die AFTER INSERT ON credits_entries DEFERRABLE INITIALLY DEFERRED
					FOR EACH ROW WHEN (NEW.key = 'die') EXECUTE FUNCTION die()`,
			} {
				if _, err := db.ExecContext(t.Context(), q); err != nil {
					t.Fatal(err)
				}
			}
			before := spendableOf(t, l, db, accA)
			got := answersTo(l, deduction(l, db, accA, 1, ""), deduction(l, db, accA, 2, "die"), deduction(l, db, accB, 3, "b"),
				deduction(l, db, accC, 4, ""), deduction(l, db, accB, 1, "b2"))
			want := []string{"unknown", "unknown", fmt.Sprint(number, " leaves ", before-3), "unknown", fmt.Sprint(number+1, " leaves ", before-4)}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if _, err := db.ExecContext(t.Context(), "DROP TRIGGER die ON credits_entries"); err != nil {
				t.Fatal(err)
			}
			for i := range 2 { // the key tells, however often
				e, err := l.Deduct(t.Context(), db, Deduct{Account: accA, Amount: 2, Key: "die"})
				if err != nil || e.Number != number || e.Replayed != (i > 0) {
					t.Errorf("%+v, %v", e, err)
				}
			}
			sound(t, l, db)
		})
	}
}

func TestCombine_AnAccountLockedElsewhereHoldsUpNobodyElse(t *testing.T) {
	db := dbtest.Postgres(t, Migrate) // SQLite has one lock for all
	accounts := []tenancy.AccountID{accA, accB, accC, "acc_d", "acc_e", "acc_f", "acc_g", "acc_h"}
	l := funded(t, db, Config{}, accounts...)
	release := lockedElsewhere(t, db, accA)
	stuck := ahead(t.Context(), t, l, db, Deduct{Account: accA, Amount: 1}, 0)
	behind := ahead(t.Context(), t, l, db, Deduct{Account: accA, Amount: 2}, 1)
	for range 2 {
		for _, a := range accounts[1:] {
			if _, err := l.Deduct(t.Context(), db, Deduct{Account: a, Amount: 1}); err != nil {
				t.Error(err)
			}
		}
	}
	if d := cmp.Diff([]string{"locked", "4 leaves 7"}, outcomesOf(l, deduction(l, db, accA, 1, ""), deduction(l, db, accB, 1, ""))); d != "" {
		t.Error(d)
	}
	release()
	for i, r := range []<-chan asked{stuck, behind} {
		if a := <-r; a.err != nil || a.entry.Number != int64(i+2) {
			t.Errorf("%+v", a)
		}
	}
	sound(t, l, db)
}

// Where a batch fails each is asked for alone, and then too nobody waits for a lock that
// is not its account's.
func TestCombine_ABatchThatFailsWaitsForNobodysLock(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA, accB, accC)
	if _, err := db.ExecContext(t.Context(), "UPDATE credits_accounts SET booked = 0 WHERE account_id = ?", accB); err != nil {
		t.Fatal(err)
	}
	release := lockedElsewhere(t, db, accA)
	hooked := db.WithQueryHook(everyHook(func(query string) {
		if strings.Contains(query, "IN ('acc_a')") { // who comes later does not overtake, though it could now
			release()
		}
	}))
	got := outcomesOf(l, deduction(l, hooked, accA, 1, ""), deduction(l, db, accB, 1, ""), deduction(l, db, accC, 1, ""), deduction(l, hooked, accA, 1, ""))
	if d := cmp.Diff([]string{"locked", "error", "2 leaves 9", "locked"}, got); d != "" {
		t.Error(d)
	}
}

// What is unknown stays so until the key has told, whatever is wrong when it is asked.
func TestCombine_OneOfUnknownOutcomeIsAskedForByItsKey(t *testing.T) {
	for name, c := range map[string]struct {
		then string // what becomes of the entry when it is written again
		want []string
	}{
		"and is told":         {"NULL", []string{"2 leaves 8"}},
		"and fails":           {"1 / 0", []string{"unknown"}},
		"and dies once again": {"pg_terminate_backend(pg_backend_pid())", []string{"unknown"}},
	} {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Postgres(t, Migrate)
			l := funded(t, db, Config{}, accA)
			for _, q := range []string{
				"CREATE SEQUENCE writes",
				`CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					IF nextval('writes') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); ELSE PERFORM ` + c.then + `; END IF; RETURN NULL; END $$`,
				`CREATE CONSTRAINT TRIGGER die AFTER INSERT ON credits_entries DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()`,
			} {
				if _, err := db.ExecContext(t.Context(), q); err != nil {
					t.Fatal(err)
				}
			}
			l.shelf.drop(shelved{db.DB, accA}) // by locks
			if d := cmp.Diff(c.want, answersTo(l, deduction(l, db, accA, 2, "k"))); d != "" {
				t.Error(d)
			}
		})
	}
}

// Where a batch fails and each is asked for alone, what is unknown of the batch stays
// unknown and what is certain stays certain, also by way of somebody else's lock; and what
// became of the second attempt counts.
func TestCombine_WhatFailsTwiceIsToldAsItIs(t *testing.T) {
	const die, fail, none = "PERFORM pg_terminate_backend(pg_backend_pid())", "RAISE check_violation", "NULL"
	for name, c := range map[string]struct {
		first, then string // what becomes of the entries
		locked      bool   // by somebody else between
		want        []string
	}{
		"unknown, then an error":                 {die, fail, false, []string{"unknown", "unknown"}},
		"unknown, then locked, then an error":    {die, fail, true, []string{"unknown", "unknown"}},
		"an error, then another":                 {fail, fail, false, []string{"error", "error"}},
		"an error, then locked, then an error":   {fail, fail, true, []string{"error", "error"}},
		"an error, then unknown":                 {fail, die, false, []string{"unknown", "unknown"}},
		"an error, then locked, then unknown":    {fail, die, true, []string{"unknown", "unknown"}},
		"unknown, then locked, then it was told": {die, none, true, []string{"2 leaves 8", "2 leaves 7"}},
	} {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Postgres(t, Migrate)
			l := funded(t, db, Config{}, accA, accB)
			for _, q := range []string{
				"CREATE SEQUENCE writes",
				`CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					IF nextval('writes') = 1 THEN ` + c.first + `; ELSE ` + c.then + `; END IF; RETURN NULL; END $$`,
				`CREATE CONSTRAINT TRIGGER die AFTER INSERT ON credits_entries DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()`,
			} {
				if _, err := db.ExecContext(t.Context(), q); err != nil {
					t.Fatal(err)
				}
			}
			for _, a := range []tenancy.AccountID{accA, accB} {
				l.shelf.drop(shelved{db.DB, a}) // by locks
			}
			var between sync.Once
			hooked := db.WithQueryHook(failed(func(string, error) {
				between.Do(func() {
					if !c.locked {
						return
					}
					release := lockedElsewhere(t, db, accA)
					go func() {
						await(t, "it is waited for", func() bool { return l.works(db, accA) })
						release()
					}()
				})
			}))
			got := answersTo(l, deduction(l, hooked, accA, 2, "a"), deduction(l, hooked, accB, 3, "b"))
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// The swift lane reads no account under its lock: whose account has to be read goes on in
// another one, and holds up nobody.
func TestCombine_TheSwiftLaneLeavesToOthersWhatHasToBeRead(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA, accB)
	l.shelf.drop(shelved{db.DB, accB})
	callers := []*caller{deduction(l, db, accA, 1, ""), deduction(l, db, accB, 1, "")}
	for _, m := range callers {
		m.at.way = bySwift
	}
	if d := cmp.Diff([]string{"2 leaves 9", "refused"}, outcomesOf(l, callers...)); d != "" || !errors.Is(callers[1].out.refusal, errUnread) {
		t.Error(d, callers[1].out.refusal)
	}
}

// Who is alone, and fails for certain, is not asked for again.
func TestCombine_OneThatFailsForCertainIsNotAskedForAgain(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA)
	l.shelf.drop(shelved{db.DB, accA})
	if _, err := db.ExecContext(t.Context(), "UPDATE credits_accounts SET booked = 0"); err != nil {
		t.Fatal(err)
	}
	locks := 0
	hooked := db.WithQueryHook(everyHook(func(query string) {
		if strings.Contains(query, "FOR UPDATE") {
			locks++
		}
	}))
	if d := cmp.Diff([]string{"error"}, outcomesOf(l, deduction(l, hooked, accA, 1, "k"))); d != "" || locks != 1 {
		t.Errorf("%d times, %s", locks, d)
	}
}

// A batch that has failed does not take a connection for each of its accounts.
func TestCombine_ABatchThatFailsAsksForAFewAtOnce(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	var accounts []tenancy.AccountID
	for i := range 60 {
		accounts = append(accounts, tenancy.AccountID(fmt.Sprintf("acc_%d", i)))
	}
	l := funded(t, db, Config{}, accounts...)
	if _, err := db.ExecContext(t.Context(), "UPDATE credits_accounts SET booked = 0 WHERE account_id = ?", accounts[0]); err != nil {
		t.Fatal(err)
	}
	db.SetMaxIdleConns(100) // so that all that were open at once stay open
	var callers []*caller
	want := []string{"error"}
	for i, a := range accounts {
		if callers = append(callers, deduction(l, db, a, 1, "")); i > 0 {
			want = append(want, "2 leaves 9")
		}
	}
	if d := cmp.Diff(want, outcomesOf(l, callers...)); d != "" {
		t.Error(d)
	}
	if n := db.Stats().OpenConnections; n > mostApart+1 {
		t.Errorf("%d connections", n)
	}
}
