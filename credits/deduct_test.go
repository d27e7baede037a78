package credits_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestDeduct_TakesExactlyWhatIsSpendableAndNotOneMore(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 10)
		_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 11})
		var short *credits.InsufficientError
		requireError(t, err, credits.ErrInsufficient)
		if requireAs(t, err, &short); short.Need != 11 || short.Have != 10 {
			t.Errorf("%+v", short)
		}
		got := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 10, Key: "k", Operation: "ideas", Note: "ten of them"})
		want := credits.Entry{
			Account: acc, Number: 2, Kind: credits.KindDeduct, Amount: -10, Balance: 0, Spendable: 0,
			Key: "k", Operation: "ideas", Note: "ten of them", At: start,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		_, err = l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1})
		requireError(t, err, credits.ErrInsufficient)
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestDeduct_TakesInBurnOrderAndWritesDownFromWhich(t *testing.T) {
	in := func(days int) time.Time { return start.AddDate(0, 0, days) }
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		// In the order in which they are spent; granted the other way round.
		grants := []credits.Grant{
			{Key: "priority", Priority: -5, Category: credits.CategoryPaid},
			{Key: "sooner", ExpiresAt: in(10), Category: credits.CategoryPaid},
			{Key: "later", ExpiresAt: in(20), Category: credits.CategoryAllowance},
			{Key: "allowance", Category: credits.CategoryAllowance},
			{Key: "promo", Category: credits.CategoryPromo},
			{Key: "adjustment"},
			{Key: "paid early", Category: credits.CategoryPaid, EffectiveAt: in(-2)},
			{Key: "paid", Category: credits.CategoryPaid, EffectiveAt: in(-1)},
			{Key: "low", Priority: 5, ExpiresAt: in(1), Category: credits.CategoryAllowance},
		}
		n := int64(len(grants))
		for i := n - 1; i >= 0; i-- {
			g := grants[i]
			g.Account, g.Amount = acc, 10
			grant(t, l, db, g)
		}
		number := func(place int64) int64 { return n - place } // the entry of grants[place]
		var want []split
		for i := range n {
			want = append(want, split{number(i), -7}, split{number(i), -3})
		}
		var got []split
		for range n {
			e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 7})
			got = append(got, splits(t, db, acc, e.Number)...)
			e = deduct(t, l, db, credits.Deduct{Account: acc, Amount: 3})
			got = append(got, splits(t, db, acc, e.Number)...)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestDeduct_OfManyGrantsSplitsInOneEntry(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		for _, key := range []string{"a", "b", "c"} {
			grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: key})
		}
		e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 25})
		if d := cmp.Diff([]split{{1, -10}, {2, -10}, {3, -5}}, splits(t, db, acc, e.Number)); d != "" {
			t.Error(d)
		}
	})
}

func TestDeduct_SpendsAGrantFromItsFirstMicrosecondToBeforeItsLast(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		from, until := start.Add(time.Hour), start.Add(time.Hour+time.Second/2)
		e := grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "k", EffectiveAt: from, ExpiresAt: until})
		if e.Balance != 10 || e.Spendable != 0 {
			t.Errorf("granted for later: %+v", e)
		}
		for _, c := range []struct {
			at   time.Time
			want int64
		}{
			{from.Add(-time.Microsecond), 0},
			{from, 10},
			{from.Add(time.Nanosecond), 9}, // times are whole microseconds
			{until.Add(-time.Microsecond), 8},
			{until.Add(-time.Nanosecond), 7}, // still the last one
			{until, 0},
		} {
			clock.Set(c.at)
			b, err := l.Balance(t.Context(), db, acc)
			if err != nil || b.Spendable != c.want {
				t.Errorf("at %s: %+v, %v; want %d", c.at, b, err, c.want)
			}
			_, err = l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1})
			if c.want == 0 {
				requireError(t, err, credits.ErrInsufficient)
			} else if err != nil {
				t.Errorf("at %s: %v", c.at, err)
			}
		}
		if b, err := l.Balance(t.Context(), db, acc); err != nil || b != (credits.Balance{}) {
			t.Errorf("expired: %+v, %v", b, err)
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

// The account's row may be waited for, and a grant expire meanwhile.
func TestDeduct_ReadsTheClockUnderTheLock(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, _ *credits.Ledger, clock *tenancytest.Clock) {
		l := credits.New(credits.Config{Now: clock.Now, Combine: credits.CombineOff}) // the other way waits for no lock
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "k", ExpiresAt: start.Add(time.Minute)})
		db = db.WithQueryHook(onLock(func() { clock.Set(start.Add(time.Minute)) }))
		_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1})
		requireError(t, err, credits.ErrInsufficient)
	})
}

func TestKeys_OfEveryPrintableSortAreKeptApart(t *testing.T) {
	keys := []string{
		"k", "K", "k ", " k", "?", "??", "?0", "$1", "'", `"`, `\`, `\'`, "--", "/*", "%", "_", "{}", "ключ", "é", "e\u0301",
		strings.Repeat("k", 200), "\U0001f511",
	}
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 1000)
		for _, key := range keys {
			if e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1, Key: key, Operation: key, Note: key}); e.Replayed {
				t.Errorf("%q was taken for another key", key)
			}
		}
		for i, key := range keys {
			e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1, Key: key, Operation: key})
			if !e.Replayed || e.Key != key || e.Note != key || e.Number != int64(i+2) {
				t.Errorf("%q: %+v", key, e)
			}
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestDeduct_LeavesOtherAccountsAlone(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 5)
		grant(t, l, db, credits.Grant{Account: other, Amount: 7, Key: "fund"})
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 5})
		creditstest.RequireBalance(t, l, db, acc, 0)
		creditstest.RequireBalance(t, l, db, other, 7)
		if b, err := l.Balance(t.Context(), db, "acc_3"); err != nil || b != (credits.Balance{}) {
			t.Errorf("an account that never had credits: %+v, %v", b, err)
		}
	})
}

func TestGrant_WritesTheAuditLogAndTheOutbox(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		ada := tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ada"}
		until := start.AddDate(0, 1, 0)
		e := grant(t, l, db, credits.Grant{
			Account: acc, Amount: 5, Key: "k", Category: credits.CategoryPaid, ExpiresAt: until, Note: "a \"gift\"", Actor: ada,
		})
		want := credits.Granted{Number: 1, Amount: 5, Category: credits.CategoryPaid, ExpiresAt: until}
		if d := cmp.Diff(want, tenancytest.RequireEvent[credits.Granted](t, db, acc)); d != "" {
			t.Error(d)
		}
		line := tenancytest.RequireAudit(t, db, acc, "credits.grant")
		id := scan[string](t, db, "SELECT grant_id FROM credits_grants")
		if line.Actor != ada || line.Reason != e.Note || line.Target != id || !line.At.Equal(start) {
			t.Errorf("%+v", line)
		}
		if string(line.Data) != `{"number":1,"amount":5,"category":"paid"}` {
			t.Errorf("%s", line.Data)
		}
		e = deduct(t, l, db, credits.Deduct{Account: acc, Amount: 2})
		refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Key: "r"})
		if d := cmp.Diff(credits.Refunded{Number: 3, RefundOf: 2, Amount: 2}, tenancytest.RequireEvent[credits.Refunded](t, db, acc)); d != "" {
			t.Error(d)
		}
	})
}

func TestSQLite_WithOneConnectionDoesNotDeadlock(t *testing.T) {
	db := dbtest.SQLiteOneConn(t, credits.Migrate)
	l := credits.New(credits.Config{})
	fund(t, l, db, 20)
	for _, err := range dbtest.Together(20, func(int) error {
		e, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1})
		if err == nil {
			_, err = l.Balance(t.Context(), db, acc)
		}
		if err == nil && e.Number%2 == 0 {
			_, err = l.Refund(t.Context(), db, credits.Refund{Account: acc, Entry: e.Number, Key: fmt.Sprint(e.Number)})
		}
		return err
	}) {
		if err != nil {
			t.Error(err)
		}
	}
	creditstest.RequireSound(t, l, db, "")
}

// Neither a balance nor a deduction adds up what was spent before: they never read an
// entry but by its key, however many there are.
func TestBalance_IsNotAddedUpFromTheEntries(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 1000)
		asked := func() (queries []string) {
			hooked := db.WithQueryHook(onQuery(func(query string) { queries = append(queries, query) }))
			creditstest.RequireBalance(t, l, hooked, acc, creditsOf(t, l, db))
			deduct(t, l, hooked, credits.Deduct{Account: acc, Amount: 1})
			joined(t, hooked, func(tx bun.Tx) { deduct(t, l, tx, credits.Deduct{Account: acc, Amount: 1}) })
			return queries
		}
		_ = asked() // a statement is prepared
		few := asked()
		for range 300 {
			deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
		}
		many := asked()
		if len(few) != len(many) {
			t.Errorf("%d statements after many deductions, %d after few", len(many), len(few))
		}
		for _, q := range many {
			if strings.Contains(q, "credits_splits") || strings.Contains(q, "FROM credits_entries") || strings.Contains(q, "JOIN credits_entries") {
				t.Errorf("it reads what was spent before: %s", q)
			}
		}
	})
}

func creditsOf(t *testing.T, l *credits.Ledger, db bun.IDB) int64 {
	t.Helper()
	b, err := l.Balance(t.Context(), db, acc)
	if err != nil {
		t.Fatal(err)
	}
	return b.Spendable
}
