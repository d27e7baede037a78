package credits_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func numbers(page credits.Page) (n []int64) {
	for _, e := range page.Entries {
		n = append(n, e.Number)
	}
	return n
}

func TestEntries_ArePagesNewestFirstThatNothingMoves(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		grant(t, l, db, credits.Grant{Account: other, Amount: 1, Key: "k"})
		page, err := l.Entries(t.Context(), db, credits.Entries{Account: acc})
		if err != nil || page.Entries == nil || len(page.Entries) != 0 || page.Next != 0 {
			t.Errorf("an empty ledger: %+v, %v", page, err)
		}
		for i := range 7 {
			grant(t, l, db, credits.Grant{Account: acc, Amount: 1, Key: fmt.Sprint(i)})
		}
		what := credits.Entries{Account: acc, Limit: 3}
		for _, want := range []struct {
			numbers []int64
			next    int64
		}{{[]int64{7, 6, 5}, 5}, {[]int64{4, 3, 2}, 2}, {[]int64{1}, 0}} {
			page, err := l.Entries(t.Context(), db, what)
			if d := cmp.Diff(want.numbers, numbers(page)); d != "" || err != nil || page.Next != want.next {
				t.Errorf("before %d: %s next %d, %v", what.Before, d, page.Next, err)
			}
			what.Before = page.Next
			grant(t, l, db, credits.Grant{Account: acc, Amount: 1, Key: fmt.Sprint("meanwhile", what.Before)})
		}
		// The last page is known for the last when it is full, too.
		page, err = l.Entries(t.Context(), db, credits.Entries{Account: acc, Before: 4, Limit: 3})
		if d := cmp.Diff([]int64{3, 2, 1}, numbers(page)); d != "" || err != nil || page.Next != 0 {
			t.Errorf("%s next %d, %v", d, page.Next, err)
		}
	})
}

func TestEntries_LimitsAreClamped(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fill(t, db, 506)
		for limit, want := range map[int]int{-1: 50, 0: 50, 1: 1, 500: 500, 501: 500, 1 << 40: 500} {
			page, err := l.Entries(t.Context(), db, credits.Entries{Account: acc, Limit: limit})
			if len(page.Entries) != want || err != nil || page.Entries[0].Number != 506 {
				t.Errorf("limit %d: %d entries, %v", limit, len(page.Entries), err)
			}
		}
	})
}

func TestEntry_IsReadBackAsItWasReturned(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		clock.Set(start.Add(123456789).In(time.FixedZone("", 3600)))
		for _, e := range []credits.Entry{
			fund(t, l, db, 9),
			deduct(t, l, db, credits.Deduct{Account: acc, Amount: 4, Key: "d", Operation: "o", Note: "n"}),
			refund(t, l, db, credits.Refund{Account: acc, Entry: 2, Key: "r"}),
		} {
			got, err := l.Entry(t.Context(), db, acc, e.Number)
			if d := cmp.Diff(e, got); d != "" || err != nil {
				t.Error(d, err)
			}
			if want := start.Add(123456 * time.Microsecond); e.At != want {
				t.Errorf("at %s, want %s", e.At, want)
			}
		}
		for _, n := range []int64{-1, 0, 4} {
			_, err := l.Entry(t.Context(), db, acc, n)
			requireError(t, err, credits.ErrNoEntry)
		}
		_, err := l.Entry(t.Context(), db, other, 1)
		requireError(t, err, credits.ErrNoEntry)
	})
}

func TestEntry_JSON(t *testing.T) {
	e := credits.Entry{Account: acc, Number: 2, Kind: credits.KindDeduct, Amount: -5, Balance: 7, Spendable: 6, At: start, Replayed: true}
	got, err := json.Marshal(e)
	const want = `{"number":2,"kind":"deduct","amount":-5,"balance":7,"spendable":6,"at":"2026-03-01T09:00:00Z"}`
	if string(got) != want || err != nil {
		t.Errorf("%s, %v", got, err)
	}
}
