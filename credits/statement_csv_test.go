package credits_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// writeCSV writes a statement.
func writeCSV(t testing.TB, l *credits.Ledger, db bun.IDB, what credits.Statement) string {
	t.Helper()
	var b strings.Builder
	if err := l.WriteCSV(t.Context(), db, &b, what); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func lines(s ...string) string { return strings.Join(s, "\r\n") + "\r\n" }

const csvHead = "number,at,kind,amount,balance,spendable,refund_of,operation,note,key,actor_kind,actor_id,basis,hold,on_behalf_kind,on_behalf_id,unit"

func TestWriteCSV_IsAFileForASpreadsheet(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		clock.Set(start.Add(1500 * time.Microsecond))
		grant(t, l, db, credits.Grant{
			Account: acc, Amount: 10, Key: "g", Note: `say "hello", Müller`, Actor: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_secret"},
		})
		grant(t, l, db, credits.Grant{Account: other, Amount: 77, Key: "g"})
		clock.Advance(time.Hour)
		deduct(t, l, db, credits.Deduct{
			Account: acc, Amount: 4, Key: "-k", Operation: "@op", Note: "=1+1;=2", Actor: tenancy.Actor{Kind: tenancy.ActorKey, ID: "+id"},
			OnBehalf: tenancy.Actor{Kind: tenancy.ActorUser, ID: "=ada"}, Basis: `{"n":4}`,
		})
		refund(t, l, db, credits.Refund{Account: acc, Entry: 2, Amount: 1, Key: "r"})
		clock.Advance(time.Hour)
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})

		from, to := clock.Now().Add(-time.Hour), clock.Now()
		first := `1,2026-03-01T09:00:00.001500Z,grant,10,10,10,,,"say ""hello"", Müller",g,operator,,,,,,credit`
		second := "2,2026-03-01T10:00:00.001500Z,deduct,-4,6,6,,'@op,'=1+1;'=2,'-k,key,'+id,\"{\"\"n\"\":4}\",,user,'=ada,credit"
		third := "3,2026-03-01T10:00:00.001500Z,refund,1,7,7,2,'@op,,r,,,,,,,credit"
		fourth := "4,2026-03-01T11:00:00.001500Z,deduct,-1,6,6,,,,,,,,,,,credit"
		for _, c := range []struct {
			what credits.Statement
			want string
		}{
			{credits.Statement{Account: acc}, lines(csvHead, ",,opening,,0,,,,,,,,,,,,credit", first, second, third, fourth, ",,closing,,6,,,,,,,,,,,,credit")},
			{
				credits.Statement{Account: acc, From: from.In(time.FixedZone("", 3600)), To: to},
				lines(csvHead, ",2026-03-01T10:00:00.001500Z,opening,,10,,,,,,,,,,,,credit", second, third, ",2026-03-01T11:00:00.001500Z,closing,,7,,,,,,,,,,,,credit"),
			},
			{
				credits.Statement{Account: acc, From: to.Add(1)},
				lines(csvHead, ",2026-03-01T11:00:00.001500Z,opening,,6,,,,,,,,,,,,credit", ",,closing,,6,,,,,,,,,,,,credit"),
			},
			{credits.Statement{Account: "acc_3"}, lines(csvHead, ",,opening,,0,,,,,,,,,,,,credit", ",,closing,,0,,,,,,,,,,,,credit")},
		} {
			if d := cmp.Diff(c.want, writeCSV(t, l, db, c.what)); d != "" {
				t.Errorf("%+v: %s", c.what, d)
			}
		}
		for _, what := range []credits.Statement{
			{}, {Account: acc, From: to, To: from}, {Account: acc, Limit: 1}, {Account: acc, Totals: true},
			{Account: acc, Cursor: statement(t, l, db, credits.Statement{Account: acc, Limit: 1}).Next},
		} {
			var b strings.Builder
			if err := l.WriteCSV(t.Context(), db, &b, what); !isInvalid(err) || b.Len() > 0 {
				t.Errorf("%+v: %v after %q", what, err, b.String())
			}
		}
	})
}

// stopping is a context that ends with the nth statement of a ledger.
type stopping struct {
	asked
	after int
	stop  func()
}

func (s *stopping) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if len(s.queries) == s.after {
		s.stop()
	}
	return s.asked.BeforeQuery(ctx, e)
}

// It takes as many entries at a time however many there are, and a connection for no
// longer than it reads them: the pool has one, and the reader of the file takes it.
func TestWriteCSV_HoldsNeitherTheLedgerNorAConnection(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		l := credits.New(credits.Config{})
		fill(t, db, 1250)
		db.SetMaxOpenConns(1)
		hook := &asked{}
		var file bytes.Buffer
		if err := l.WriteCSV(t.Context(), db.WithQueryHook(hook), writer(func(b []byte) (int, error) {
			if n := scan[int](t, db, "SELECT COUNT(*) FROM credits_entries"); n != 1250 {
				t.Error(n)
			}
			return file.Write(b)
		}), credits.Statement{Account: acc, From: start, To: start.Add(1250 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		if len(hook.queries) != 5 {
			t.Errorf("%d statements", len(hook.queries))
		}
		records, err := csv.NewReader(&file).ReadAll()
		if err != nil || len(records) != 1249+3 {
			t.Fatal(len(records), err)
		}
		for i, r := range records[2 : len(records)-1] {
			if r[0] != strconv.Itoa(i+1) {
				t.Fatalf("line %d is %v", i, r)
			}
		}
		if last := records[len(records)-1]; last[2] != "closing" || last[4] != "1249" {
			t.Error(last)
		}
	}, credits.Migrate)
}

type writer func(b []byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

func TestWriteCSV_EndsWithTheFirstErrorAndWithoutItsLastLine(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fill(t, db, 1250)
		full, writes := errors.New("full"), 0
		hook := &asked{}
		err := l.WriteCSV(t.Context(), db.WithQueryHook(hook), writer(func([]byte) (int, error) { writes++; return 0, full }), credits.Statement{Account: acc})
		if !errors.Is(err, full) || writes != 1 || len(hook.queries) != 3 {
			t.Errorf("%v after %d writes and %d statements", err, writes, len(hook.queries))
		}

		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var file bytes.Buffer
		err = l.WriteCSV(ctx, db.WithQueryHook(&stopping{after: 3, stop: cancel}), &file, credits.Statement{Account: acc})
		if !errors.Is(err, context.Canceled) || strings.Count(file.String(), "\r\n") != 502 || strings.Contains(file.String(), "closing") {
			t.Errorf("%v after %d lines", err, strings.Count(file.String(), "\r\n"))
		}
	})
}
