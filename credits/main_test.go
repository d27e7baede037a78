package credits_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestMain(m *testing.M) {
	dbtest.Main(m, map[string]dbtest.ChildFunc{
		"deduct": deductChild, "mix": mixChild, "refund": refundChild, "budget": budgetChild, "renew": renewChild,
		"crash": crashChild, "linear": linearChild, "hold": holdChild, "storm": stormChild,
	})
}

// acc is the account of most tests, other the one that must not be touched.
const (
	acc   = tenancy.AccountID("acc_1")
	other = tenancy.AccountID("acc_2")
)

var start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// each runs fn on both databases with a ledger on a clock of its own.
func each(t *testing.T, fn func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		clock := tenancytest.NewClock(start)
		fn(t, db, credits.New(credits.Config{Now: clock.Now}), clock)
	}, credits.Migrate)
}

// bare is each for tests without a clock of their own.
func bare(t *testing.T, fn func(t *testing.T, db *bun.DB, l *credits.Ledger)) {
	t.Helper()
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, _ *tenancytest.Clock) { fn(t, db, l) })
}

func grant(t testing.TB, l *credits.Ledger, db bun.IDB, g credits.Grant) credits.Entry {
	t.Helper()
	e, err := l.Grant(t.Context(), db, g)
	if err != nil {
		t.Fatalf("grant %+v: %v", g, err)
	}
	return e
}

// fund gives acc so many credits.
func fund(t testing.TB, l *credits.Ledger, db bun.IDB, amount int64) credits.Entry {
	t.Helper()
	return grant(t, l, db, credits.Grant{Account: acc, Amount: amount, Key: "fund"})
}

func deduct(t testing.TB, l *credits.Ledger, db bun.IDB, d credits.Deduct) credits.Entry {
	t.Helper()
	e, err := l.Deduct(t.Context(), db, d)
	if err != nil {
		t.Fatalf("deduct %+v: %v", d, err)
	}
	return e
}

func refund(t testing.TB, l *credits.Ledger, db bun.IDB, r credits.Refund) credits.Entry {
	t.Helper()
	e, err := l.Refund(t.Context(), db, r)
	if err != nil {
		t.Fatalf("refund %+v: %v", r, err)
	}
	return e
}

func requireError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

var tables = []string{
	"credits_accounts", "credits_grants", "credits_entries", "credits_splits", "credits_keys", "credits_holds", "credits_prices",
	"credits_budgets", "credits_thresholds", "credits_allotments", "credits_seals",
	"tenancy_events", "tenancy_deliveries", "tenancy_audit",
}

// rows counts the rows of every table that a ledger writes to.
func rows(t testing.TB, db bun.IDB) map[string]int {
	t.Helper()
	n := map[string]int{}
	for _, table := range tables {
		n[table] = scan[int](t, db, "SELECT COUNT(*) FROM "+table)
	}
	return n
}

// scan reads one value.
func scan[T any](t testing.TB, db bun.IDB, query string, args ...any) (v T) {
	t.Helper()
	if err := db.NewRaw(query, args...).Scan(t.Context(), &v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func exec(t testing.TB, db bun.IDB, query string, args ...any) {
	t.Helper()
	if _, err := db.NewRaw(query, args...).Exec(t.Context()); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// repeat copies the row or rows of a table n times, by one statement. Of the copy i, from 1
// on, some columns are what an expression says.
func repeat(t testing.TB, db *bun.DB, n int, table string, changed map[string]string) {
	t.Helper()
	rows, err := db.DB.QueryContext(t.Context(), "SELECT * FROM "+table+" LIMIT 0")
	if err != nil {
		t.Fatal(err)
	}
	columns, err := rows.Columns()
	if err = errors.Join(err, rows.Close()); err != nil {
		t.Fatal(err)
	}
	columns = slices.DeleteFunc(columns, func(c string) bool { return c == "filled" }) // which is computed
	values := slices.Clone(columns)
	for i, c := range columns {
		values[i] = cmp.Or(changed[c], c)
	}
	exec(t, db, "WITH RECURSIVE copies (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM copies WHERE i < ?) INSERT INTO "+table+
		" ("+strings.Join(columns, ", ")+") SELECT "+strings.Join(values, ", ")+" FROM "+table+", copies", n)
}

// split is what an entry took from the grant that another entry made.
type split struct {
	Grant  int64 // the number of the grant's entry
	Amount int64
}

func splits(t testing.TB, db bun.IDB, account tenancy.AccountID, number int64) (out []split) {
	t.Helper()
	err := db.NewRaw(`SELECT g.number AS "grant", s.amount FROM (
			SELECT account_id, unit, number, position, grant_id, amount FROM credits_splits
			UNION ALL SELECT account_id, unit, number, 1, grant_id, amount FROM credits_entries WHERE grant_id <> '') AS s
		JOIN credits_grants AS g ON g.account_id = s.account_id AND g.grant_id = s.grant_id
		WHERE s.account_id = ? AND s.number = ? ORDER BY s.position`, account, number).Scan(t.Context(), &out)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// deductChild takes 1 credit from args[0], args[1] times at once, and prints how
// often it got one.
func deductChild(ctx context.Context, db *bun.DB, args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	l := credits.New(credits.Config{})
	got := 0
	for _, err := range dbtest.Together(n, func(int) error {
		_, err := l.Deduct(ctx, db, credits.Deduct{Account: tenancy.AccountID(args[0]), Amount: 1})
		return err
	}) {
		switch {
		case err == nil:
			got++
		case !errors.Is(err, credits.ErrInsufficient):
			return err
		}
	}
	fmt.Print(got)
	return nil
}

// budgetChild takes 1 credit for keyA, 50 times at once, and prints how often it might.
func budgetChild(ctx context.Context, db *bun.DB, _ []string) error {
	l := credits.New(credits.Config{Now: func() time.Time { return start }})
	got := 0
	for _, err := range dbtest.Together(50, func(int) error {
		_, err := l.Deduct(ctx, db, credits.Deduct{Account: acc, Amount: 1, Actor: keyA, OnBehalf: ada})
		return err
	}) {
		switch {
		case err == nil:
			got++
		case !errors.Is(err, credits.ErrBudget):
			return err
		}
	}
	fmt.Print(got)
	return nil
}

// onQuery is called with every statement.
type onQuery func(query string)

func (onQuery) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (f onQuery) AfterQuery(_ context.Context, e *bun.QueryEvent) { f(e.Query) }

func isInvalid(err error) bool { return errors.Is(err, credits.ErrInvalid) }

func requireAs[E error](t testing.TB, err error, target *E) {
	t.Helper()
	if !errors.As(err, target) {
		t.Fatalf("error %v is no %T", err, *target)
	}
}

// joined runs fn in a transaction of the host, which commits.
func joined(t testing.TB, db *bun.DB, fn func(tx bun.Tx)) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	fn(tx)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// onLock is called when a ledger has just locked an account's row.
type onLock func()

func (onLock) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (f onLock) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	if strings.Contains(e.Query, "FOR UPDATE") || strings.Contains(e.Query, "RETURNING account_id") {
		f()
	}
}

func isReused(err error) bool { return errors.Is(err, credits.ErrKeyReused) }
