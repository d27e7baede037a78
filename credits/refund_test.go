package credits_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// spread funds acc by three grants of 10 and takes 25: 10, 10 and 5.
func spread(t *testing.T, l *credits.Ledger, db bun.IDB) credits.Entry {
	t.Helper()
	for _, c := range []credits.Category{credits.CategoryAllowance, credits.CategoryPromo, credits.CategoryPaid} {
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: string(c), Category: c})
	}
	return deduct(t, l, db, credits.Deduct{Account: acc, Amount: 25, Operation: "ideas"})
}

// What was due by itself is in the ledger before a verb reads it.
func TestRefund_FindsTheEntriesThatWereDue(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		grant(t, l, db, credits.Grant{Account: acc, Amount: 5, Key: "g", ExpiresAt: start.Add(time.Hour)})
		clock.Advance(time.Hour)
		_, err := l.Refund(t.Context(), db, credits.Refund{Account: acc, Entry: 2, Key: "r"}) // the end of the grant
		requireError(t, err, credits.ErrNotRefundable)
	})
}

func TestRefund_GoesBackToItsOriginsInReverse(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		e := spread(t, l, db)
		got := refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Amount: 8, Key: "r1", Note: "sorry"})
		want := credits.Entry{
			Account: acc, Number: 5, Kind: credits.KindRefund, Amount: 8, Balance: 13, Spendable: 13, RefundOf: 4,
			Key: "r1", Operation: "ideas", Note: "sorry", At: start,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]split{{3, 5}, {2, 3}}, splits(t, db, acc, 5)); d != "" {
			t.Error(d)
		}
		refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Amount: 8, Key: "r2"})
		if d := cmp.Diff([]split{{2, 7}, {1, 1}}, splits(t, db, acc, 6)); d != "" {
			t.Error(d)
		}
		if _, err := l.Refund(t.Context(), db, credits.Refund{Account: acc, Entry: e.Number, Amount: 10, Key: "r3"}); !errors.Is(err, credits.ErrNotRefundable) {
			t.Errorf("more than is left: %v", err)
		}
		if got := refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Key: "r4"}); got.Amount != 9 || got.Spendable != 30 {
			t.Errorf("the rest: %+v", got)
		}
		for _, n := range []int64{0, 1} {
			_, err := l.Refund(t.Context(), db, credits.Refund{Account: acc, Entry: e.Number, Amount: n, Key: fmt.Sprint("r5", n)})
			requireError(t, err, credits.ErrNotRefundable)
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

// Refunding and spending again must not turn an allowance into paid credit.
func TestRefund_LaundersNothing(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		end := start.Add(time.Hour)
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "a", Category: credits.CategoryAllowance, ExpiresAt: end})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "p", Category: credits.CategoryPaid})
		for i := range 5 {
			e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 15})
			refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Amount: 3, Key: fmt.Sprint("part", i)})
			refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Key: fmt.Sprint("rest", i)})
		}
		creditstest.RequireBalance(t, l, db, acc, 20)
		e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 15})
		clock.Set(end)
		creditstest.RequireBalance(t, l, db, acc, 5)
		got := refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Key: "late"})
		if got.Amount != 15 || got.Balance != 20 || got.Spendable != 10 {
			t.Errorf("%+v", got)
		}
		creditstest.RequireBalance(t, l, db, acc, 10)
		_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 11})
		requireError(t, err, credits.ErrInsufficient)
		creditstest.RequireSound(t, l, db, acc)
	})
}

// What goes back to a grant that has expired can be spent for a while, where the policy
// says so; the grant itself gets nothing back.
func TestRefund_ToAnExpiredGrantCanBeSpentDuringTheGrace(t *testing.T) {
	for grace, spendable := range map[time.Duration]int64{0: 0, time.Hour: 6} {
		t.Run(grace.String(), func(t *testing.T) {
			each(t, func(t *testing.T, db *bun.DB, _ *credits.Ledger, clock *tenancytest.Clock) {
				l := credits.New(credits.Config{Now: clock.Now, RefundGrace: grace})
				end := start.Add(time.Minute)
				grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "g", ExpiresAt: end})
				e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 10})
				clock.Set(end.Add(-time.Microsecond))
				refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Amount: 4, Key: "in time"})
				if n := rows(t, db)["credits_grants"]; n != 1 {
					t.Errorf("%d grants where none had expired", n)
				}
				clock.Set(end)
				refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Key: "late"})
				if n, want := rows(t, db)["credits_grants"], 1+int(min(1, spendable)); n != want {
					t.Errorf("%d grants, want %d", n, want)
				}
				requireBalance(t, l, db, credits.Balance{Booked: spendable, Spendable: spendable})
				clock.Set(end.Add(grace).Add(-time.Microsecond))
				requireBalance(t, l, db, credits.Balance{Booked: spendable, Spendable: spendable})
				clock.Set(end.Add(grace))
				requireBalance(t, l, db, credits.Balance{})
				_, err := l.Refund(t.Context(), db, credits.Refund{Account: acc, Entry: e.Number, Key: "again"})
				requireError(t, err, credits.ErrNotRefundable)
				creditstest.RequireSound(t, l, db, acc)
			})
		})
	}
}

func TestRefund_OfWhatTookNothingIsRefused(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		e := spread(t, l, db)
		back := refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Key: "r"})
		grant(t, l, db, credits.Grant{Account: other, Amount: 10, Key: "k"})
		before := scan[int64](t, db, "SELECT COUNT(*) FROM credits_entries")
		for i, c := range []struct {
			r    credits.Refund
			want error
		}{
			{credits.Refund{Account: acc, Entry: 1}, credits.ErrNotRefundable},
			{credits.Refund{Account: acc, Entry: back.Number}, credits.ErrNotRefundable},
			{credits.Refund{Account: acc, Entry: 99}, credits.ErrNoEntry},
			{credits.Refund{Account: acc, Entry: 0}, credits.ErrNoEntry},
			{credits.Refund{Account: acc, Entry: -4}, credits.ErrNoEntry},
			{credits.Refund{Account: other, Entry: e.Number}, credits.ErrNoEntry},
			{credits.Refund{Account: other, Entry: 1}, credits.ErrNotRefundable},
			{credits.Refund{Account: "acc_3", Entry: e.Number}, credits.ErrNoEntry},
		} {
			c.r.Key = fmt.Sprint("k", i)
			if _, err := l.Refund(t.Context(), db, c.r); !errors.Is(err, c.want) {
				t.Errorf("%+v: %v", c.r, err)
			}
		}
		if n := scan[int64](t, db, "SELECT COUNT(*) FROM credits_entries"); n != before {
			t.Errorf("%d entries were written", n-before)
		}
		creditstest.RequireSound(t, l, db, "")
	})
}

func TestRefund_InPartsAtOnceNeverExceedsTheDeduction(t *testing.T) {
	t.Parallel()
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		e := spread(t, l, db)
		dsn := dbtest.DSN(db)
		got := int64(0)
		for _, out := range dbtest.Processes(t, 2, "refund", dsn, string(acc), fmt.Sprint(e.Number)) {
			var n int64
			if _, err := fmt.Sscan(out, &n); err != nil {
				t.Fatal(err)
			}
			got += n
		}
		if got != 25 {
			t.Errorf("%d of 25 came back", got)
		}
		creditstest.RequireBalance(t, l, db, acc, 30)
		creditstest.RequireSound(t, l, db, acc)
	})
}

// refundChild asks 10 times at once for 2 credits of an entry back, and then once
// for the rest, and prints what it got.
func refundChild(ctx context.Context, db *bun.DB, args []string) error {
	var account string
	var number, got int64
	if _, err := fmt.Sscan(args[0]+" "+args[1], &account, &number); err != nil {
		return err
	}
	l := credits.New(credits.Config{})
	amounts := make([]int64, 11)
	for i, err := range dbtest.Together(len(amounts), func(i int) error {
		n := int64(2)
		if i == len(amounts)-1 {
			n = 0
		}
		e, err := l.Refund(ctx, db, credits.Refund{Account: acc, Entry: number, Amount: n, Key: fmt.Sprint(rand.Uint64(), i)})
		amounts[i] = e.Amount
		return err
	}) {
		if err != nil && !errors.Is(err, credits.ErrNotRefundable) {
			return err
		}
		got += amounts[i]
	}
	fmt.Print(got)
	return nil
}
