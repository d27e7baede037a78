package credits_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestVerifyAll_GoesOnWhereItStopped(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		for _, account := range []tenancy.AccountID{"a", "b", "c", "d", "e"} {
			grant(t, l, db, credits.Grant{Account: account, Amount: 1, Key: "k"})
		}
		exec(t, db, "UPDATE credits_accounts SET number = 2 WHERE account_id IN ('b', 'e')")
		exec(t, db, "DELETE FROM credits_accounts WHERE account_id = 'c'") // its grant is there
		var pages []string
		what := credits.VerifyAll{Limit: 2}
		for {
			v, err := l.VerifyAll(t.Context(), db, what)
			if err != nil {
				t.Fatal(err)
			}
			page := fmt.Sprint(v.Accounts, " to ", v.Next, ":")
			for _, f := range v.Findings {
				if f.Rule == "the account counts its entries" {
					page += " " + string(f.Account)
				}
			}
			pages = append(pages, page)
			if what.After = v.Next; what.After == "" {
				break
			}
		}
		if d := cmp.Diff([]string{"2 to b: b", "2 to d: c", "1 to : e"}, pages); d != "" {
			t.Error(d)
		}
		v, err := l.VerifyAll(t.Context(), db, credits.VerifyAll{})
		if err != nil || v.Accounts != 5 || v.Next != "" {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

// What was found until an error is kept, and so is where to go on.
func TestVerifyAll_ReturnsWhatItFoundBeforeAnError(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		for _, account := range []tenancy.AccountID{"a", "b", "c"} {
			grant(t, l, db, credits.Grant{Account: account, Amount: 1, Key: "k"})
		}
		exec(t, db, "UPDATE credits_accounts SET number = 2 WHERE account_id IN ('a', 'c')")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		v, err := l.VerifyAll(ctx, db.WithQueryHook(onQuery(func(q string) {
			if strings.Contains(q, "UPDATE") && strings.Contains(q, "'b'") {
				cancel()
			}
		})), credits.VerifyAll{})
		if !errors.Is(err, context.Canceled) || v.Accounts != 1 || v.Next != "a" || len(v.Findings) != 1 {
			t.Errorf("%+v, %v", v, err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		found, err := l.Verify(ctx, db.WithQueryHook(onQuery(func(q string) {
			if strings.Contains(q, "UPDATE") && strings.Contains(q, "'b'") {
				cancel()
			}
		})), "")
		if !errors.Is(err, context.Canceled) || len(found) != 1 {
			t.Errorf("%+v, %v", found, err)
		}
		v, err = l.VerifyAll(t.Context(), db, credits.VerifyAll{After: v.Next})
		if err != nil || v.Accounts != 2 || len(v.Findings) != 1 || v.Findings[0].Account != "c" {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

// Accounts are those of the unit, also where there is nothing but the row, or nothing but
// a grant.
func TestVerifyAll_IsOfItsUnit(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		gpu := credits.New(credits.Config{Now: clock.Now, Unit: "gpu_second"})
		unguard(t, db)
		for account, l := range map[tenancy.AccountID]*credits.Ledger{"granted": l, "orphan": l, "gpu_granted": gpu, "gpu_orphan": gpu} {
			grant(t, l, db, credits.Grant{Account: account, Amount: 1, Key: "k"})
		}
		exec(t, db, "DELETE FROM credits_accounts WHERE account_id LIKE '%orphan'")
		for account, l := range map[tenancy.AccountID]*credits.Ledger{"row": l, "gpu_row": gpu} {
			_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: account, Amount: 1, Key: "refused"})
			requireError(t, err, credits.ErrInsufficient)
		}
		for _, l := range []*credits.Ledger{l, gpu} {
			v, err := l.VerifyAll(t.Context(), db, credits.VerifyAll{})
			if err != nil || v.Accounts != 3 || v.Next != "" {
				t.Errorf("%+v, %v", v, err)
			}
			for _, f := range v.Findings {
				if !strings.HasSuffix(string(f.Account), "orphan") {
					t.Error(f)
				}
			}
		}
	})
}

// onRows is called with every statement, and the number of rows that it changed.
type onRows func(query string, n int64)

func (onRows) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (f onRows) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	if e.Result != nil {
		n, _ := e.Result.RowsAffected()
		f(e.Query, n)
	}
}

// The lock is the account's, and keeps nobody else waiting.
func TestVerify_LocksOneRow(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		for _, unit := range []string{"credit", "gpu_second", "token"} {
			for _, account := range []tenancy.AccountID{acc, other, "acc_3"} {
				grant(t, credits.New(credits.Config{Unit: unit}), db, credits.Grant{Account: account, Amount: 1, Key: "fund " + unit})
			}
		}
		var locked []int64
		found, err := l.Verify(t.Context(), db.WithQueryHook(onRows(func(query string, n int64) {
			if strings.HasPrefix(query, "UPDATE credits_accounts") {
				locked = append(locked, n)
			}
		})), acc)
		if d := cmp.Diff([]int64{1}, locked); d != "" || err != nil || len(found) > 0 {
			t.Error(found, err, d)
		}
	})
}

// The entries are read before the account is locked, in pages; under the lock only what
// came since.
func TestVerify_HoldsTheLockForWhatIsNewOnly(t *testing.T) {
	db := dbtest.SQLite(t, credits.Migrate)
	l := credits.New(credits.Config{})
	fund(t, l, db, 5000)
	exec(t, db, "UPDATE credits_grants SET remaining = 2500")
	exec(t, db, "UPDATE credits_accounts SET number = 2501, booked = 2500, head_free = 2500")
	repeat(t, db, 2500, "credits_entries", map[string]string{
		"kind": "'deduct'", "number": "1 + i", "amount": "-1", "balance": "5000 - i", "spendable": "5000 - i", "key": "''",
	})
	var pages, locked []string
	lock := false
	hook := onQuery(func(q string) {
		switch {
		case strings.Contains(q, "UPDATE credits_accounts"):
			lock = true
		case strings.Contains(q, "balance, spendable, at"):
			if pages = append(pages, q); lock {
				locked = append(locked, q)
			}
			if len(pages) == 1 && !lock { // an entry comes meanwhile
				deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
			}
		}
	})
	found, err := l.Verify(t.Context(), db.WithQueryHook(hook), acc)
	if err != nil || len(found) > 0 {
		t.Fatal(found, err)
	}
	if len(pages) != 6 || len(locked) != 2 || !strings.Contains(locked[0], "number > 2501 ") || !strings.Contains(locked[1], "number > 2502 ") {
		t.Errorf("%d pages, under the lock %q", len(pages), locked)
	}
}

func TestVerify_BoundsWhatItFinds(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		joined(t, db, func(tx bun.Tx) {
			fund(t, l, tx, 500)
			for range 129 {
				deduct(t, l, tx, credits.Deduct{Account: acc, Amount: 1})
			}
		})
		unguard(t, db)
		exec(t, db, "UPDATE credits_entries SET balance = balance + 1")
		exec(t, db, "UPDATE credits_accounts SET number = 7")
		found, err := l.Verify(t.Context(), db, acc)
		if err != nil || len(found) != 102 {
			t.Fatalf("%d findings, %v", len(found), err)
		}
		want := []string{"acc_1: the account counts its entries: it says 7, the last entry is 130", "acc_1: each balance is the one before plus the amount: and 30 more"}
		if d := cmp.Diff(want, []string{found[100].String(), found[101].String()}); d != "" {
			t.Error(d)
		}
	})
}

// A proposal is an entry, or the word that none helps. What the proposals say mends a
// ledger, and what they say it does not stays.
func TestPropose_MendsByEntriesOnly(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		history(t, l, db, acc)
		g2 := scan[string](t, db, "SELECT grant_id FROM credits_grants WHERE number = 2")
		exec(t, db, "UPDATE credits_accounts SET booked = booked + 3, head_free = head_free + 3")
		found, err := l.Verify(t.Context(), db, acc)
		if err != nil {
			t.Fatal(err)
		}
		before := rows(t, db)
		const epoch = "add one to the epoch of the account's row, by which processes remember it"
		var got []string
		for _, p := range credits.Propose(found) {
			got = append(got, fmt.Sprint(p.Amount, " ", p.Text))
		}
		want := []string{
			"3 Grant " + g2 + " has 3 credits more than its splits. No entry mends that, since each moves both alike: have the owner of the database " +
				"set remaining to their sum (where it is the account's head, head_free of the account's row to that less what is held), and " + epoch + ". If the account is to keep what it was shown, grant an adjustment of 3 credits afterwards.",
			"3 The account's row has 3 credits more than its entries. No entry mends that, since each moves both alike: have the owner of the database " +
				"set booked to their sum, and " + epoch + ". If the account is to keep what it was shown, grant an adjustment of 3 credits afterwards.",
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Errorf("a proposal wrote: %s", d)
		}
		exec(t, db, "UPDATE credits_accounts SET booked = booked - 3, head_free = head_free - 3, epoch = epoch + 1")
		grant(t, l, db, credits.Grant{Account: acc, Amount: 3, Key: "mend"})
		creditstest.RequireSound(t, l, db, acc)
		creditstest.RequireBalance(t, l, db, acc, 9)
	})
}

func TestPropose_SaysWhereNoEntryHelps(t *testing.T) {
	for rule, c := range map[string]struct {
		finding credits.Finding
		amount  int64
		text    string
	}{
		"less": {credits.Finding{Rule: "balance = sum of entries", Off: -2}, -2,
			"The account's row has 2 credits less than its entries. No entry mends that, since each moves both alike: have the owner of the database set booked to their sum, " +
				"and add one to the epoch of the account's row, by which processes remember it. If the account is to keep what it was shown, deduct 2 credits afterwards."},
		"refunds": {credits.Finding{Rule: "refunds do not exceed their deduction", Number: 3, Grant: "g", Off: 1}, -1,
			"Entry 3 was given back for more than it took, and the finding stays, as entries do. To take back what was too much, deduct 1 credit."},
		"an entry": {credits.Finding{Rule: "an entry is the sum of its splits", Number: 3}, 0,
			"No entry mends entry 3, which was changed, removed or put there by somebody else than this library. Compare it with the seals, if there are any, and with a backup."},
		"due": {credits.Finding{Rule: "what ends by itself is due by then"}, 0,
			"No entry is needed. Have the owner of the database set next_at of the account's row to that moment or any before it, and add one to the epoch of the account's row, " +
				"by which processes remember it: the next request, or a sweep, books what is due."},
		"else": {credits.Finding{Rule: "held = what is left of holds"}, 0,
			"No entry mends this. The entries decide: have the owner of the database correct the row that differs from them, or restore it from a backup, " +
				"and add one to the epoch of the account's row, by which processes remember it."},
	} {
		got := credits.Propose([]credits.Finding{c.finding})
		want := []credits.Proposal{{Finding: c.finding, Amount: c.amount, Text: c.text}}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", rule, d)
		}
	}
}

// Whoever puts a row of an id that is none into the table does not end the walk there.
func TestVerifyAll_GoesOnAfterAnIdThatIsNone(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		for _, account := range []tenancy.AccountID{"a", "b"} {
			grant(t, l, db, credits.Grant{Account: account, Amount: 1, Key: "k"})
		}
		exec(t, db, "UPDATE credits_accounts SET account_id = 'a ü' WHERE account_id = 'a'")
		seen := 0
		for what := (credits.VerifyAll{Limit: 1}); ; {
			v, err := l.VerifyAll(t.Context(), db, what)
			if err != nil {
				t.Fatal(err)
			}
			seen += v.Accounts
			if what.After = v.Next; what.After == "" {
				break
			}
		}
		if seen != 3 { // the third is known by its grant
			t.Errorf("%d accounts", seen)
		}
	})
}
