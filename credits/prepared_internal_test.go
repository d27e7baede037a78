package credits

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
)

// failed is called with every statement that fails.
type failed func(query string, err error)

func (failed) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (f failed) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	if e.Err != nil {
		f(e.Query, e.Err)
	}
}

// Where there can be no prepared statements, there is the statement itself.
func TestPrepared_WhereItCannotBeHadTheStatementIsSent(t *testing.T) {
	db, elsewhere := dbtest.Postgres(t, Migrate), dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA)
	var queries []string
	hooked := db.WithQueryHook(everyHook(func(query string) { queries = append(queries, query) })).
		WithQueryHook(failed(func(query string, err error) {
			change := "ALTER TABLE credits_keys RENAME TO gone"
			if strings.HasPrefix(query, "PREPARE") {
				change = "ALTER TABLE gone RENAME TO credits_keys"
			}
			if _, err := db.ExecContext(t.Context(), change); err != nil {
				t.Error(query, err)
			}
		}))
	deduct := func() string {
		queries = nil
		if _, err := l.Deduct(t.Context(), hooked, Deduct{Account: accA, Amount: 1}); err != nil {
			t.Fatal(err)
		}
		return queries[0]
	}
	if q := deduct(); !strings.HasPrefix(q, "EXECUTE") || !slices.ContainsFunc(queries, func(q string) bool { return strings.HasSuffix(q, "FOR UPDATE SKIP LOCKED") }) {
		t.Errorf("%q", queries)
	}
	for range 3 {
		if q := deduct(); !strings.HasPrefix(q, "WITH a (") || len(queries) != 1 {
			t.Errorf("%q", queries)
		}
	}
	l.prepared.unusable(elsewhere.DB) // and a second one
	if l.prepared.usable(db.DB) || l.prepared.usable(elsewhere.DB) {
		t.Error("they are forgotten")
	}
	sound(t, l, db)
}

// What kept PostgreSQL from preparing the statement, and may pass, is no reason never to
// ask for it again.
func TestPrepared_WhatMayPassIsTriedAgain(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA)
	var fails []string
	hooked := db.WithQueryHook(failed(func(query string, _ error) {
		if fails = append(fails, query[:7]); query[:7] != "EXECUTE" {
			return
		}
		tx, err := db.BeginTx(context.Background(), nil)
		if err == nil {
			_, err = tx.ExecContext(t.Context(), "LOCK TABLE credits_keys IN ACCESS EXCLUSIVE MODE")
		}
		if err != nil {
			t.Error(err)
		}
		go func() { // PREPARE is cancelled where it waits
			await(t, "it waits", func() bool {
				n := 0
				err := db.NewRaw(`SELECT COUNT(pg_cancel_backend(pid)) FROM pg_stat_activity
					WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'PREPARE%'`).Scan(context.Background(), &n)
				return err == nil && n > 0
			})
			_ = tx.Rollback()
		}()
	}))
	if _, err := l.Deduct(t.Context(), hooked, Deduct{Account: accA, Amount: 1}); err != nil {
		t.Error(err)
	}
	if d := slices.Compare(fails, []string{"EXECUTE", "PREPARE"}); d != 0 || !l.prepared.usable(db.DB) {
		t.Errorf("%q, usable: %v", fails, l.prepared.usable(db.DB))
	}
}
