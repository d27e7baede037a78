package prices_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/prices"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestMain(m *testing.M) {
	dbtest.Main(m, map[string]dbtest.ChildFunc{"set": setChild})
}

// acc is the account of most tests, other one that must learn nothing of it.
const (
	acc   = tenancy.AccountID("acc_1")
	other = tenancy.AccountID("acc_2")
)

// t0 is when most tests begin. It has microseconds, which both databases keep.
var t0 = time.Date(2026, 3, 1, 9, 0, 0, 123456000, time.UTC)

var operator = tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}

// world is a price list on one database and one clock.
type world struct {
	db    *bun.DB
	clock *tenancytest.Clock
	list  *prices.List
}

func newWorld(db *bun.DB) *world {
	w := &world{db: db, clock: tenancytest.NewClock(t0)}
	w.list = prices.New(prices.Config{Now: w.clock.Now})
	return w
}

// each runs fn on both databases.
func each(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *bun.DB) { fn(t, newWorld(db)) }, credits.Migrate)
}

func fixed(n int64) prices.Price { return prices.Price{Fixed: n} }

func (w *world) set(t testing.TB, s prices.Set) prices.Version {
	t.Helper()
	v, err := w.list.Set(t.Context(), w.db, s)
	if err != nil {
		t.Fatalf("set %+v: %v", s, err)
	}
	return v
}

func (w *world) end(t testing.TB, e prices.End) prices.Version {
	t.Helper()
	v, err := w.list.End(t.Context(), w.db, e)
	if err != nil {
		t.Fatalf("end %+v: %v", e, err)
	}
	return v
}

func (w *world) quote(t testing.TB, q prices.Quote) prices.Quoted {
	t.Helper()
	got, err := w.list.Quote(t.Context(), w.db, q)
	if err != nil {
		t.Fatalf("quote %+v: %v", q, err)
	}
	return got
}

// costs says what "chat" costs an account at an instant: version and amount, or "none".
func (w *world) costs(t testing.TB, account tenancy.AccountID, at time.Time) string {
	t.Helper()
	q, err := w.list.Quote(t.Context(), w.db, prices.Quote{Account: account, Operation: "chat", At: at})
	if errors.Is(err, prices.ErrNoPrice) {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d for %d", q.Version.Number, q.Amount)
}

func same[T any](t testing.TB, what string, want, got T) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || (want == nil) != (err == nil) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func exec(t testing.TB, db bun.IDB, query string, args ...any) {
	t.Helper()
	if _, err := db.NewRaw(query, args...).Exec(t.Context()); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// dump is every row that this package writes or might, as text.
func (w *world) dump(t testing.TB) (out []string) {
	t.Helper()
	for _, table := range []string{"credits_prices", "credits_entries", "tenancy_audit", "tenancy_events"} {
		var rows []map[string]any
		if err := w.db.NewRaw("SELECT * FROM ? ORDER BY 1, 2, 3", bun.Ident(table)).Scan(t.Context(), &rows); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			out = append(out, table+fmt.Sprintf("%s", r))
		}
	}
	return out
}

// unchanged fails when fn writes anything.
func (w *world) unchanged(t testing.TB, what string, fn func()) {
	t.Helper()
	before := w.dump(t)
	fn()
	same(t, what+" wrote something", before, w.dump(t))
}

// setChild sets args[0] prices that no other process sets, one after another, and
// prints their numbers.
func setChild(ctx context.Context, db *bun.DB, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	l := prices.New(prices.Config{})
	for i := range int64(n) {
		v, err := l.Set(ctx, db, prices.Set{Operation: "chat", Price: fixed(int64(os.Getpid())*1000 + i)})
		if err != nil {
			return err
		}
		fmt.Print(v.Number, " ")
	}
	return nil
}
