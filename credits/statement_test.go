package credits_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// statement reads a page.
func statement(t testing.TB, l *credits.Ledger, db bun.IDB, what credits.Statement) credits.StatementPage {
	t.Helper()
	page, err := l.Statement(t.Context(), db, what)
	if err != nil {
		t.Fatalf("%+v: %v", what, err)
	}
	return page
}

// fill gives acc n entries of 1 credit by SQL, an hour apart: entry i is written i
// hours after start.
func fill(t testing.TB, db *bun.DB, n int) {
	t.Helper()
	at := "strftime('%Y-%m-%d %H:%M:%S', '2026-03-01 09:00:00', '+' || i || ' hours') || '+00:00'"
	if db.Dialect().Name() == dialect.PG {
		at = "TIMESTAMPTZ '2026-03-01 09:00:00Z' + i * INTERVAL '1 hour'"
	}
	exec(t, db, `WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < ?)
		INSERT INTO credits_entries (account_id, unit, number, kind, amount, balance, spendable, key, operation, note, actor_kind, actor_id, at)
		SELECT 'acc_1', 'credit', i, 'grant', 1, i, i, '', '', '', '', '', `+at+` FROM s`, n)
}

func TestBalanceAsOf_CountsWhatWasWrittenByThen(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 10)
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
		clock.Advance(time.Microsecond)
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 4})
		clock.Advance(time.Hour)
		refund(t, l, db, credits.Refund{Account: acc, Entry: 3, Amount: 2, Key: "r"})
		for _, c := range []struct {
			account tenancy.AccountID
			at      time.Time
			want    credits.Booked
		}{
			{acc, start.Add(-1), credits.Booked{}},
			{acc, start, credits.Booked{Number: 2, Balance: 9}},
			{acc, start.Add(999), credits.Booked{Number: 2, Balance: 9}},
			{acc, start.Add(time.Microsecond), credits.Booked{Number: 3, Balance: 5}},
			{acc, start.Add(time.Hour), credits.Booked{Number: 3, Balance: 5}},
			{acc, clock.Now().In(time.FixedZone("", -7200)), credits.Booked{Number: 4, Balance: 7}},
			{acc, time.Date(9999, 12, 31, 23, 59, 59, 1e9-1, time.UTC), credits.Booked{Number: 4, Balance: 7}},
			{acc, time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), credits.Booked{}},
			{other, clock.Now(), credits.Booked{}},
		} {
			got, err := l.BalanceAsOf(t.Context(), db, credits.AsOf{Account: c.account, At: c.at})
			if got != c.want || err != nil {
				t.Errorf("%s at %s: %+v, want %+v, %v", c.account, c.at, got, c.want, err)
			}
		}
		for _, what := range []credits.AsOf{
			{Account: acc}, {At: start}, {Account: "no id", At: start}, {Account: acc, At: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
			{Account: acc, At: time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC)},
		} {
			_, err := l.BalanceAsOf(t.Context(), db, what)
			requireError(t, err, credits.ErrInvalid)
		}
	})
}

func TestStatement_HasBalancesAtBothEndsAndTotalsByKind(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 10)
		clock.Advance(24 * time.Hour)
		from := clock.Now()
		second := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 4, Operation: "o", Note: "n", Key: "k"})
		third := refund(t, l, db, credits.Refund{Account: acc, Entry: 2, Amount: 1, Key: "r"})
		fourth := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 2})
		clock.Advance(24 * time.Hour)
		to := clock.Now()
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})

		want := credits.StatementPage{
			Opening: credits.Booked{Number: 1, Balance: 10}, Closing: credits.Booked{Number: 4, Balance: 5},
			Totals: []credits.Total{
				{Kind: credits.KindDeduct, Entries: 2, Out: 6}, {Kind: credits.KindRefund, Entries: 1, In: 1},
			},
			Entries: []credits.Entry{second, third, fourth},
		}
		what := credits.Statement{Account: acc, From: from, To: to, Totals: true}
		if d := cmp.Diff(want, statement(t, l, db, what)); d != "" {
			t.Error(d)
		}
		// Kinds to come, and one that goes both ways.
		for i, amount := range []int64{7, -3} {
			exec(t, db, `INSERT INTO credits_entries (account_id, unit, number, kind, amount, balance, spendable, key, operation, note, actor_kind, actor_id, at)
				VALUES (?, 'credit', ?, 'adjust', ?, 0, 0, '', '', '', '', '', ?)`, acc, 6+i, amount, to)
		}
		page := statement(t, l, db, credits.Statement{Account: acc, From: to, Totals: true})
		if d := cmp.Diff([]credits.Total{{Kind: "adjust", Entries: 2, In: 7, Out: 3}, {Kind: credits.KindDeduct, Entries: 1, Out: 1}}, page.Totals); d != "" {
			t.Error(d)
		}
		// Totals are for who asks.
		what.Totals = false
		if page := statement(t, l, db, what); page.Totals != nil {
			t.Error(page.Totals)
		}
		// A period without entries has its balances all the same.
		page = statement(t, l, db, credits.Statement{Account: acc, From: from.Add(time.Hour), To: from.Add(time.Hour), Totals: true})
		want = credits.StatementPage{Opening: want.Closing, Closing: want.Closing, Totals: []credits.Total{}, Entries: []credits.Entry{}}
		if d := cmp.Diff(want, page); d != "" {
			t.Error(d)
		}
		// And an account without any.
		if d := cmp.Diff(credits.StatementPage{Entries: []credits.Entry{}}, statement(t, l, db, credits.Statement{Account: other})); d != "" {
			t.Error(d)
		}
	})
}

func TestStatement_PagesAreOfOneMoment(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		for i := range 7 {
			grant(t, l, db, credits.Grant{Account: acc, Amount: 1, Key: fmt.Sprint(i)})
		}
		// A period that is not over.
		what := credits.Statement{Account: acc, From: start, To: start.Add(time.Hour), Limit: 3, Totals: true}
		for _, want := range [][]int64{{1, 2, 3}, {4, 5, 6}, {7}} {
			page := statement(t, l, db, what)
			if d := cmp.Diff(want, numbers(credits.Page{Entries: page.Entries})); d != "" {
				t.Error(d)
			}
			if page.Closing != (credits.Booked{Number: 7, Balance: 7}) || page.Totals[0].In != 7 {
				t.Errorf("closing %+v, totals %+v", page.Closing, page.Totals)
			}
			what.Cursor = page.Next
			clock.Advance(time.Microsecond)
			grant(t, l, db, credits.Grant{Account: acc, Amount: 1, Key: "meanwhile" + page.Next})
		}
		if what.Cursor != "" {
			t.Errorf("after the last page comes %s", what.Cursor)
		}
		// The last page is known for the last when it is full, too.
		if page := statement(t, l, db, credits.Statement{Account: acc, Limit: 10}); len(page.Entries) != 10 || page.Next != "" {
			t.Errorf("%d entries, next %q", len(page.Entries), page.Next)
		}
	})
}

func TestStatement_RefusesWhatIsNone(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		for i := range 4 {
			grant(t, l, db, credits.Grant{Account: acc, Amount: 1, Key: fmt.Sprint(i)})
			grant(t, l, db, credits.Grant{Account: other, Amount: 1, Key: fmt.Sprint(i)})
		}
		next := statement(t, l, db, credits.Statement{Account: acc, Limit: 2}).Next
		forged := func(text string) credits.Statement {
			return credits.Statement{Account: acc, Cursor: base64.RawURLEncoding.EncodeToString([]byte(text))}
		}
		if page := statement(t, l, db, forged(`{"account":"acc_1","unit":"credit","opening":0,"closing":4,"after":2}`)); len(page.Entries) != 2 {
			t.Fatal("the form of a cursor has changed: so must this test", page)
		}
		joined(t, db, func(tx bun.Tx) { // which stays usable
			for name, what := range map[string]credits.Statement{
				"no account":              {},
				"no account id":           {Account: "no id"},
				"an end before its begin": {Account: acc, From: start, To: start.Add(-1)},
				"a year too late":         {Account: acc, To: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
				"a year too early":        {Account: acc, From: time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), To: start},
				"another account":         {Account: other, Cursor: next},
				"another begin":           {Account: acc, Cursor: next, From: start},
				"another end":             {Account: acc, Cursor: next, To: start.Add(time.Hour)},
				"no base64":               {Account: acc, Cursor: "*"},
				"no JSON":                 forged("x"),
				"a number below zero":     forged(`{"account":"acc_1","unit":"credit","opening":-1,"closing":4,"after":2}`),
				"after before opening":    forged(`{"account":"acc_1","unit":"credit","opening":2,"closing":4,"after":1}`),
				"after past closing":      forged(`{"account":"acc_1","unit":"credit","opening":0,"closing":2,"after":3}`),
				"an entry to come":        forged(`{"account":"acc_1","unit":"credit","opening":0,"closing":5,"after":2}`),
				"an opening to come":      forged(`{"account":"acc_1","unit":"credit","opening":9,"closing":9,"after":9}`),
				"too large a number":      forged(`{"account":"acc_1","unit":"credit","opening":0,"closing":9223372036854775808,"after":0}`),
			} {
				page, err := l.Statement(t.Context(), tx, what)
				if !isInvalid(err) || page.Entries != nil {
					t.Errorf("%s: %+v, %v", name, page, err)
				}
			}
			statement(t, l, tx, credits.Statement{Account: acc, Cursor: next})
		})
	})
}

// What came in over the years may be more than can be counted, though no balance was.
func TestStatement_TotalsAreExactToTheLastAndRefusedPastIt(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		grant(t, l, db, credits.Grant{Account: acc, Amount: math.MaxInt64 - 5, Key: "1"})
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: math.MaxInt64 - 5})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 5, Key: "2"})
		clock.Advance(time.Hour)
		grant(t, l, db, credits.Grant{Account: acc, Amount: 1, Key: "3"})
		joined(t, db, func(tx bun.Tx) {
			_, err := l.Statement(t.Context(), tx, credits.Statement{Account: acc, Totals: true})
			requireError(t, err, credits.ErrOverflow)
			page := statement(t, l, tx, credits.Statement{Account: acc, To: clock.Now(), Totals: true})
			want := []credits.Total{
				{Kind: credits.KindDeduct, Entries: 1, Out: math.MaxInt64 - 5}, {Kind: credits.KindGrant, Entries: 2, In: math.MaxInt64},
			}
			if d := cmp.Diff(want, page.Totals); d != "" {
				t.Error(d)
			}
		})
	})
}

func TestStatement_LimitsAreClamped(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fill(t, db, 501)
		for limit, want := range map[int]int{-1: 50, 0: 50, 1: 1, 500: 500, 501: 500, 1 << 40: 500} {
			if page := statement(t, l, db, credits.Statement{Account: acc, Limit: limit}); len(page.Entries) != want || page.Next == "" {
				t.Errorf("limit %d: %d entries, next %q", limit, len(page.Entries), page.Next)
			}
		}
	})
}

// A ledger from which something is missing makes no statement that looks whole.
func TestStatement_FailsWhereEntriesAreMissing(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		history(t, l, db, acc)
		unguard(t, db)
		exec(t, db, "DELETE FROM credits_entries WHERE number = 3")
		page, err := l.Statement(t.Context(), db, credits.Statement{Account: acc})
		if err == nil || isInvalid(err) || page.Entries != nil || !strings.Contains(err.Error(), "Verify") {
			t.Errorf("%+v, %v", page, err)
		}
		var b strings.Builder
		if err := l.WriteCSV(t.Context(), db, &b, credits.Statement{Account: acc}); err == nil || b.Len() > 0 {
			t.Errorf("%v after %q", err, b.String())
		}
	})
}

// asked keeps the statements of a ledger.
type asked struct{ queries []string }

func (a *asked) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	a.queries = append(a.queries, e.Query)
	return ctx
}

func (a *asked) AfterQuery(context.Context, *bun.QueryEvent) {}

// plan is how the database runs a query, and on PostgreSQL over how many rows. Of its
// literals it keeps the account.
func plan(t testing.TB, db *bun.DB, query string) string {
	t.Helper()
	explain := "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) "
	if db.Dialect().Name() == dialect.SQLite {
		explain = "EXPLAIN QUERY PLAN "
	}
	rows, err := db.DB.QueryContext(t.Context(), explain+query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprint(*values[len(values)-1].(*any)))
	}
	if err := rows.Err(); err != nil || len(lines) == 0 {
		t.Fatal(lines, err)
	}
	return regexp.MustCompile(`(number >|number <=) [0-9]+`).ReplaceAllString(strings.Join(lines, "\n"), "$1 N")
}

// Page 10,000 is read as the first one is: as many statements, the lines by the same
// plan, which goes by the primary key and takes no more rows than it shows.
func TestStatement_Page10000CostsWhatPage1Does(t *testing.T) {
	t.Parallel()
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		const last, before10000 = 20_100, 2 * 9_999
		fill(t, db, last)
		sqlite := db.Dialect().Name() == dialect.SQLite
		if !sqlite {
			exec(t, db, "ANALYZE credits_entries")
		}
		what := credits.Statement{Account: acc, From: start, To: start.Add(last * time.Hour)}
		for at := 0; at < before10000; at += what.Limit {
			what.Limit = min(500, before10000-at)
			what.Cursor = statement(t, l, db, what).Next
		}
		var plans [2][]string
		for i, c := range []string{"", what.Cursor} {
			what.Cursor, what.Limit = c, 2
			hook := &asked{}
			page := statement(t, l, db.WithQueryHook(hook), what)
			if want := int64(1 + before10000*i); len(page.Entries) != 2 || page.Entries[0].Number != want {
				t.Fatalf("%d entries from %d", len(page.Entries), page.Entries[0].Number)
			}
			for _, q := range hook.queries {
				if strings.Contains(q, "next_at") {
					continue // whether something is due, which only the first page asks
				}
				plans[i] = append(plans[i], plan(t, db, q))
			}
		}
		if len(plans[0]) != 2 || len(plans[1]) != 2 {
			t.Fatalf("%d statements for the first page, %d for the other", len(plans[0]), len(plans[1]))
		}
		if d := cmp.Diff(plans[0][1], plans[1][1]); d != "" {
			t.Error(d)
		}
		key := "Index Scan using credits_entries_pkey"
		if sqlite {
			key = "USING PRIMARY KEY (account_id=? AND unit=? AND number"
		} else if lines := plans[1][1]; !strings.Contains(lines, "actual rows=2") || strings.Contains(lines, "Removed") {
			t.Error("more is read than shown:\n" + lines)
		}
		for _, p := range append(plans[0], plans[1]...) {
			for _, other := range []string{"Seq Scan", "Bitmap", "Sort", "Join", "SCAN e", "SCAN credits", "B-TREE", "AUTOMATIC"} {
				if !strings.Contains(p, key) || strings.Contains(p, other) {
					t.Errorf("%s:\n%s", other, p)
				}
			}
		}
	})
}
