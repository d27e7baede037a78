package credits_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// drawHistory writes a random history of two accounts in turn and returns the entries
// of each. Many are written at the same moment, or a microsecond apart.
func drawHistory(t *rapid.T, l *credits.Ledger, db *bun.DB, clock *tenancytest.Clock, accounts [2]tenancy.AccountID) (written [2][]credits.Entry) {
	// In one transaction, for the sake of speed.
	err := db.RunInTx(context.Background(), nil, func(ctx context.Context, tx bun.Tx) error {
		var left [2]int64
		for i := range rapid.IntRange(0, 12).Draw(t, "entries") {
			clock.Advance(rapid.SampledFrom([]time.Duration{0, 0, time.Microsecond, time.Second, time.Hour}).Draw(t, "pause"))
			a := rapid.IntRange(0, 1).Draw(t, "account")
			var (
				e   credits.Entry
				err error
			)
			n := rapid.Int64Range(1, 20).Draw(t, "amount")
			if n > left[a] {
				e, err = l.Grant(ctx, tx, credits.Grant{Account: accounts[a], Amount: n, Key: fmt.Sprint(i)})
			} else {
				e, err = l.Deduct(ctx, tx, credits.Deduct{Account: accounts[a], Amount: n, Note: fmt.Sprint("n", i)})
			}
			if err != nil {
				return err
			}
			left[a] += e.Amount
			written[a] = append(written[a], e)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return written
}

// drawMoment draws one at, just before or just after something, or of no importance.
func drawMoment(t *rapid.T, entries []credits.Entry) time.Time {
	at := start
	if len(entries) > 0 {
		at = rapid.SampledFrom(entries).Draw(t, "near").At
	}
	return at.Add(rapid.SampledFrom([]time.Duration{
		0, 0, 1, -1, time.Microsecond, -time.Microsecond, time.Minute, -time.Minute, 1000 * time.Hour, -1000 * time.Hour,
	}).Draw(t, "by"))
}

func sum(entries []credits.Entry) (n int64) {
	for _, e := range entries {
		n += e.Amount
	}
	return n
}

// readAll reads a statement to its end, in pages of random size.
func readAll(t *rapid.T, l *credits.Ledger, db bun.IDB, what credits.Statement) (first credits.StatementPage, entries []credits.Entry) {
	for what.Cursor, first.Next = "", "begin"; what.Cursor != "" || first.Next == "begin"; {
		what.Limit = rapid.IntRange(1, 5).Draw(t, "limit")
		page, err := l.Statement(context.Background(), db, what)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Entries) > what.Limit || len(page.Entries) < what.Limit && page.Next != "" {
			t.Fatalf("%d entries on a page of %d, and then %q", len(page.Entries), what.Limit, page.Next)
		}
		if first.Next == "begin" {
			first = page
		} else if page.Opening != first.Opening || page.Closing != first.Closing || !slices.Equal(page.Totals, first.Totals) {
			t.Fatalf("a later page says %+v, the first %+v", page, first)
		}
		what.Cursor = page.Next
		entries = append(entries, page.Entries...)
	}
	return first, entries
}

// A statement is what a replay of the entries says, its balances tie, and those of any
// partition of a period are together the whole one's.
func TestStatement_AgreesWithAReplayForAnyPartition(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		ctx, checks := context.Background(), 0
		check(t, db, shares{sqlite: 30, postgres: 100}, func(t *rapid.T) {
			checks++
			accounts := [2]tenancy.AccountID{tenancy.AccountID(fmt.Sprint("a_", checks)), tenancy.AccountID(fmt.Sprint("b_", checks))}
			clock := tenancytest.NewClock(start)
			l := credits.New(credits.Config{Now: clock.Now})
			written := drawHistory(t, l, db, clock, accounts)

			for i, account := range accounts {
				all := written[i]
				at := drawMoment(t, all)
				got, err := l.BalanceAsOf(ctx, db, credits.AsOf{Account: account, At: at})
				by := slices.DeleteFunc(slices.Clone(all), func(e credits.Entry) bool { return e.At.After(at) })
				if want := (credits.Booked{Number: int64(len(by)), Balance: sum(by)}); got != want || err != nil {
					t.Fatalf("as of %s: %+v, want %+v, %v", at, got, want, err)
				}

				ends := []time.Time{{}, {}} // the zero time is no bound
				for range rapid.IntRange(0, 3).Draw(t, "cuts") {
					ends = append(ends, drawMoment(t, all))
				}
				slices.SortFunc(ends, time.Time.Compare)
				ends = append(ends[1:], time.Time{})
				var joined []credits.Entry
				for i := range len(ends) - 1 {
					from, to := ends[i], ends[i+1]
					page, entries := readAll(t, l, db, credits.Statement{Account: account, From: from, To: to, Totals: true})
					want := slices.DeleteFunc(slices.Clone(all), func(e credits.Entry) bool {
						return e.At.Before(from) || !to.IsZero() && !e.At.Before(to)
					})
					if d := gocmp.Diff(want, entries, gocmp.Comparer(func(a, b credits.Entry) bool { return a == b })); d != "" && len(want)+len(entries) > 0 {
						t.Fatalf("from %s to %s: %s", from, to, d)
					}
					if page.Opening.Balance+sum(entries) != page.Closing.Balance || page.Opening.Number+int64(len(entries)) != page.Closing.Number {
						t.Fatalf("from %s to %s: opening %+v and %v are not closing %+v", from, to, page.Opening, entries, page.Closing)
					}
					if n := len(joined); page.Opening != (credits.Booked{Number: int64(n), Balance: sum(joined)}) {
						t.Fatalf("from %s to %s: opening %+v after %v", from, to, page.Opening, joined)
					}
					var net, lines int64
					for _, total := range page.Totals {
						net += total.In - total.Out
						lines += total.Entries
						if total.In < 0 || total.Out < 0 {
							t.Fatalf("a total %+v", total)
						}
					}
					if net != sum(entries) || lines != int64(len(entries)) {
						t.Fatalf("from %s to %s: totals %+v of %v", from, to, page.Totals, entries)
					}
					joined = append(joined, entries...)
				}
				if !slices.Equal(joined, all) {
					t.Fatalf("cut at %v: %v, want %v", ends, joined, all)
				}
			}
		})
	}, credits.Migrate)
}
