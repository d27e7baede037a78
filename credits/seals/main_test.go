package seals_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/seals"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

func TestMain(m *testing.M) {
	dbtest.Main(m, map[string]dbtest.ChildFunc{"seal": sealChild, "halves": halvesChild})
}

const (
	acc   = tenancy.AccountID("acc_1")
	other = tenancy.AccountID("acc_2")
)

var t0 = time.Date(2026, 3, 1, 9, 0, 0, 123456000, time.UTC)

var ledger = credits.New(credits.Config{Now: func() time.Time { return t0 }})

func each(t *testing.T, fn func(t *testing.T, db *bun.DB, s *seals.Seals)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *bun.DB) { fn(t, db, seals.New(seals.Config{})) }, credits.Migrate)
}

// history gives an account seven entries: 1 and 2 grants of 10, 3 a deduction of 15 from
// both, 4 a refund, 5 to 7 deductions of 1.
func history(t testing.TB, db bun.IDB, account tenancy.AccountID) {
	t.Helper()
	must := func(_ credits.Entry, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	must(ledger.Grant(ctx, db, credits.Grant{Account: account, Amount: 10, Key: "g1", Note: "ä: 3,"}))
	must(ledger.Grant(ctx, db, credits.Grant{Account: account, Amount: 10, Key: "g2"}))
	must(ledger.Deduct(ctx, db, credits.Deduct{Account: account, Amount: 15, Key: "d", Operation: "draw", Basis: `{"n":15}`}))
	must(ledger.Refund(ctx, db, credits.Refund{Account: account, Entry: 3, Amount: 2, Key: "r"}))
	spend(t, db, account, 3)
}

// spend makes n entries.
func spend(t testing.TB, db bun.IDB, account tenancy.AccountID, n int) {
	t.Helper()
	for range n {
		if _, err := ledger.Deduct(t.Context(), db, credits.Deduct{Account: account, Amount: 1, Note: "one"}); err != nil {
			t.Fatal(err)
		}
	}
}

func fund(t testing.TB, db bun.IDB, account tenancy.AccountID, amount int64) {
	t.Helper()
	if _, err := ledger.Grant(t.Context(), db, credits.Grant{Account: account, Amount: amount, Key: "fund"}); err != nil {
		t.Fatal(err)
	}
}

func seal(t testing.TB, db bun.IDB, s *seals.Seals, account tenancy.AccountID, number int64) seals.Head {
	t.Helper()
	head, err := s.Seal(t.Context(), db, account)
	if err != nil || head.Number != number || head.Account != account || head.Unit != "credit" {
		t.Fatalf("sealing %q: head %+v, %v, want number %d", account, head, err, number)
	}
	return head
}

func verify(t testing.TB, db bun.IDB, s *seals.Seals, account tenancy.AccountID, noted ...seals.Head) seals.Report {
	t.Helper()
	r, err := s.Verify(t.Context(), db, account, noted...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantSound(t testing.TB, r seals.Report, sealed, unsealed int64) {
	t.Helper()
	if !r.Sound() || r.Sealed != sealed || r.Unsealed != unsealed || r.Head.Number != sealed {
		t.Errorf("%d sealed, %d not, want %d and %d; head %+v, findings %v", r.Sealed, r.Unsealed, sealed, unsealed, r.Head, r.Findings)
	}
}

// unguard makes of the test somebody who owns the database.
func unguard(t testing.TB, db *bun.DB) {
	t.Helper()
	if db.Dialect().Name() == dialect.SQLite {
		for _, table := range []string{"credits_entries", "credits_splits", "credits_seals"} {
			for _, what := range []string{"update", "delete", "replace"} {
				exec(t, db, "DROP TRIGGER "+table+"_no_"+what)
			}
		}
	}
}

func exec(t testing.TB, db bun.IDB, statements ...string) {
	t.Helper()
	for _, q := range statements {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// tamper is exec that changes something.
func tamper(t testing.TB, db bun.IDB, statements ...string) {
	t.Helper()
	for _, q := range statements {
		res, err := db.ExecContext(t.Context(), q)
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			t.Fatalf("%s changed %d rows, %v", q, n, err)
		}
	}
}

// broken are the findings as "number rule: detail".
func broken(r seals.Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, fmt.Sprintf("%d %s: %s", f.Number, f.Rule, f.Detail))
	}
	return out
}

// sealChild seals while four others of its process do, and spends meanwhile.
func sealChild(ctx context.Context, db *bun.DB, args []string) error {
	s := seals.New(seals.Config{})
	account := tenancy.AccountID(args[0])
	return errors.Join(dbtest.Together(4, func(worker int) error {
		for range 15 {
			if worker == 0 {
				if _, err := ledger.Deduct(ctx, db, credits.Deduct{Account: account, Amount: 1}); err != nil {
					return err
				}
			}
			if _, err := s.Seal(ctx, db, account); err != nil {
				return err
			}
		}
		return nil
	})...)
}

// halvesChild seals, and stops within the transaction of its second page.
func halvesChild(ctx context.Context, db *bun.DB, args []string) error {
	_, err := seals.New(seals.Config{}).Seal(ctx, db.WithQueryHook(&stopAt{insert: 3}), tenancy.AccountID(args[0]))
	return err
}

// stopAt says so at an insert of seals, of which a page has two, and stays there.
type stopAt struct{ insert int }

func (*stopAt) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (s *stopAt) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	if !strings.HasPrefix(e.Query, `INSERT INTO "credits_seals"`) {
		return
	}
	if s.insert--; s.insert == 0 {
		fmt.Println("in the middle")
		select {}
	}
}
