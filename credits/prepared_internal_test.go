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
