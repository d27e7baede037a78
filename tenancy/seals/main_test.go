package seals_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/seals"
)

func TestMain(m *testing.M) {
	dbtest.Main(m, map[string]dbtest.ChildFunc{"seal": sealChild})
}

var (
	t0       = time.Date(2026, 3, 1, 9, 0, 0, 123456000, time.UTC)
	operator = tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}
)

func each(t *testing.T, fn func(t *testing.T, db *bun.DB, s *seals.Seals)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *bun.DB) { fn(t, db, seals.New(seals.Config{})) }, tenancy.Migrate)
}

// record writes n lines, one by one.
func record(t testing.TB, db bun.IDB, account tenancy.AccountID, n int) {
	t.Helper()
	for i := range n {
		err := tenancy.Record(t.Context(), db, tenancy.Audit{
			Account: account, At: t0.Add(time.Duration(i) * time.Microsecond), Actor: operator, Action: "host.note", Target: fmt.Sprint(i), Reason: "ä: 3,",
			Data: []byte(`{ "b":1,  "a":"\u00e4" }`),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func seal(t *testing.T, db bun.IDB, s *seals.Seals, account tenancy.AccountID, number int64) seals.Head {
	t.Helper()
	head, err := s.Seal(t.Context(), db, account)
	if err != nil || head.Number != number || head.Account != account {
		t.Fatalf("sealing %q: head %+v, %v, want number %d", account, head, err, number)
	}
	return head
}

func verify(t *testing.T, db bun.IDB, s *seals.Seals, account tenancy.AccountID, noted ...seals.Head) seals.Report {
	t.Helper()
	r, err := s.Verify(t.Context(), db, account, noted...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantSound(t *testing.T, r seals.Report, sealed, unsealed int64) {
	t.Helper()
	if !r.Sound() || r.Sealed != sealed || r.Unsealed != unsealed || r.Head.Number != sealed {
		t.Errorf("%d sealed, %d not, want %d and %d; head %+v, findings %v", r.Sealed, r.Unsealed, sealed, unsealed, r.Head, r.Findings)
	}
}

// tamper is somebody who owns the database.
func tamper(t *testing.T, db *bun.DB, statements ...string) {
	t.Helper()
	for _, table := range []string{"tenancy_audit", "tenancy_audit_seals"} {
		for _, what := range []string{"update", "delete", "replace"} {
			_, _ = db.ExecContext(t.Context(), "DROP TRIGGER "+table+"_no_"+what) // SQLite's
		}
	}
	for _, q := range statements {
		res, err := db.ExecContext(t.Context(), q)
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		if n, _ := res.RowsAffected(); n == 0 {
			t.Fatalf("%s changed nothing", q)
		}
	}
}

// broken are the findings as "number rule".
func broken(r seals.Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, fmt.Sprintf("%d %s", f.Number, f.Rule))
	}
	return out
}

// sealChild seals while four others of its process do, and records lines meanwhile.
func sealChild(ctx context.Context, db *bun.DB, args []string) error {
	s := seals.New(seals.Config{})
	account := tenancy.AccountID(args[0])
	return errors.Join(dbtest.Together(4, func(worker int) error {
		for range 15 {
			if worker == 0 {
				err := tenancy.Record(ctx, db, tenancy.Audit{Account: account, At: t0, Actor: operator, Action: "host.note", Reason: strings.Repeat("x", 100)})
				if err != nil {
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
