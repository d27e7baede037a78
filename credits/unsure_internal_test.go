package credits

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// Two of an account go on together, by waiting for its lock, after a commit of unknown
// outcome: that the next one fails for certain says nothing of the first.
func TestCombine_WhatIsUnknownOfTwoStaysUnknown(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA, accB)
	for _, q := range []string{
		"CREATE SEQUENCE writes",
		`CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('writes') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); ELSE RAISE check_violation; END IF; RETURN NULL; END $$`,
		`CREATE CONSTRAINT TRIGGER die AFTER INSERT ON credits_entries DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()`,
	} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range []tenancy.AccountID{accA, accB} {
		l.shelf.drop(shelved{db.DB, a})
	}
	var between sync.Once
	hooked := db.WithQueryHook(failed(func(string, error) {
		between.Do(func() {
			release := lockedElsewhere(t, db, accA)
			go func() {
				await(t, "it is waited for", func() bool { return l.works(db, accA) })
				release()
			}()
		})
	}))
	got := answersTo(l, deduction(l, hooked, accA, 2, "a"), deduction(l, hooked, accA, 1, "a2"), deduction(l, hooked, accB, 3, "b"))
	if d := cmp.Diff([]string{"unknown", "unknown", "unknown"}, got); d != "" {
		t.Error(d)
	}
}

// Nobody has begun what waits here, but it may have been done before.
func TestCombine_WhoLeavesWithoutKnowingIsToldSo(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA)
	c := &l.combiner
	ctx, cancel := context.WithCancel(t.Context())
	m := deduction(l, db, accA, 1, "k")
	m.ctx, m.unsure = ctx, true
	m.at = lane{db: db.DB, way: byWaiting, account: accA}
	c.places = map[shelved]*place{m.who(): {at: m.at, n: 1}}
	c.start(m.at)
	c.enqueue(m)
	cancel()
	if _, err := c.wait(m); !errors.Is(err, ErrOutcomeUnknown) {
		t.Error(err)
	}
}
