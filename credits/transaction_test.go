package credits_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestHostsRollback_LeavesNothing(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 10)
		before, balance := rows(t, db), scan[int64](t, db, "SELECT booked FROM credits_accounts")
		boom := errors.New("boom")
		err := db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			e := deduct(t, l, tx, credits.Deduct{Account: acc, Amount: 3, Key: "d"})
			refund(t, l, tx, credits.Refund{Account: acc, Entry: e.Number, Amount: 1, Key: "r"})
			grant(t, l, tx, credits.Grant{Account: other, Amount: 5, Key: "g"})
			return boom
		})
		requireError(t, err, boom)
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Error(d)
		}
		if got := scan[int64](t, db, "SELECT booked FROM credits_accounts"); got != balance {
			t.Errorf("booked %d, was %d", got, balance)
		}
		creditstest.RequireBalance(t, l, db, acc, 10)
		if e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 3, Key: "d"}); e.Replayed || e.Number != 2 {
			t.Errorf("the key of a rolled back deduction was remembered: %+v", e)
		}
	})
}

// cancelAt ends a context just before the n-th statement.
type cancelAt struct {
	n      int
	cancel context.CancelFunc
}

func (c *cancelAt) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context {
	if c.n--; c.n == 0 {
		c.cancel()
	}
	return ctx
}

func (*cancelAt) AfterQuery(context.Context, *bun.QueryEvent) {}

// A context that ends before COMMIT undoes everything, one that ends during it
// nothing.
func TestCancelledContext_LeavesNothingHalfDone(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 1000)
		hook := &cancelAt{}
		hooked := db.WithQueryHook(hook)
		undone, booked := 0, int64(1000)
		for n := 1; ; n++ {
			ctx, cancel := context.WithCancel(t.Context())
			before := rows(t, db)
			hook.n, hook.cancel = n, cancel
			_, err := l.Grant(ctx, hooked, credits.Grant{Account: acc, Amount: 1, Key: fmt.Sprint(n)})
			fired := hook.n <= 0
			cancel()
			if err != nil {
				undone++
				if d := cmp.Diff(before, rows(t, db)); d != "" {
					t.Errorf("cancelled before statement %d: %v, and yet %s", n, err, d)
				}
			} else {
				booked++
			}
			creditstest.RequireBalance(t, l, db, acc, booked)
			creditstest.RequireSound(t, l, db, acc)
			if !fired {
				break // there was no such statement
			}
		}
		if undone < 5 {
			t.Errorf("only %d statements were cancelled", undone)
		}
	})
}

// first notes the first statement.
type first string

func (*first) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (f *first) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	if *f == "" && e.Query != "BEGIN" {
		*f = first(e.Query)
	}
}

// Every transaction takes the lock that others wait for first: the account's row.
func TestLocks_AreTakenInOneOrder(t *testing.T) {
	locks := map[dialect.Name]*regexp.Regexp{
		dialect.SQLite: regexp.MustCompile(`^UPDATE credits_accounts SET number = number `),
		dialect.PG:     regexp.MustCompile(`^SELECT .* FROM credits_accounts .* FOR UPDATE( SKIP LOCKED)?$`),
	}
	each(t, func(t *testing.T, db *bun.DB, _ *credits.Ledger, clock *tenancytest.Clock) {
		// What goes by what is remembered waits for no lock.
		l := credits.New(credits.Config{Now: clock.Now, Combine: credits.CombineOff})
		lock := locks[db.Dialect().Name()]
		var got first
		db = db.WithQueryHook(&got)
		held := credits.Held{}
		for _, v := range []struct {
			name string
			verb func()
		}{
			{"grant", func() { fund(t, l, db, 20) }},
			{"replay", func() { fund(t, l, db, 20) }},
			{"deduct", func() { deduct(t, l, db, credits.Deduct{Account: acc, Amount: 10}) }},
			{"refund", func() { refund(t, l, db, credits.Refund{Account: acc, Entry: 2, Amount: 1, Key: "r"}) }},
			{"hold", func() { held = hold(t, l, db, credits.Hold{Account: acc, Amount: 2}) }},
			{"settle", func() { settle(t, l, db, credits.Settle{Account: acc, Hold: held.ID, Amount: 1, More: true, Key: "s"}) }},
			{"extend", func() { _, _ = l.Extend(t.Context(), db, credits.Extend{Account: acc, Hold: held.ID, For: time.Hour}) }},
			{"set an allotment", func() { allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 1}) }},
			{"end an allotment", func() { endAllotment(t, l, db, "plan") }},
			{"release", func() { _, _ = l.Release(t.Context(), db, credits.Release{Account: acc, Hold: held.ID}) }},
		} {
			got = ""
			v.verb()
			if !lock.MatchString(string(got)) {
				t.Errorf("%s begins with %s", v.name, got)
			}
		}
	})
}
