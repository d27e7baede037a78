package credits_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// unguard takes away what keeps a ledger from damage: the triggers of SQLite, the
// constraints of PostgreSQL.
func unguard(t *testing.T, db *bun.DB) {
	t.Helper()
	if db.Dialect().Name() == dialect.SQLite {
		db.SetMaxOpenConns(1)
		exec(t, db, "PRAGMA foreign_keys = OFF")
		exec(t, db, "PRAGMA ignore_check_constraints = ON")
		for _, trigger := range []string{"entries_no_update", "entries_no_delete", "splits_no_update", "splits_no_delete"} {
			exec(t, db, "DROP TRIGGER credits_"+trigger)
		}
		return
	}
	var drops []string
	err := db.NewRaw(`SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
		FROM pg_constraint WHERE conrelid::regclass::text LIKE 'credits%' AND contype IN ('c', 'f')`).Scan(t.Context(), &drops)
	if err != nil || len(drops) < 5 {
		t.Fatal(drops, err)
	}
	for _, drop := range drops {
		exec(t, db, drop)
	}
}

// history gives acc entries of every kind: 1 and 2 grants of 10, 3 a deduction of
// 15, 4 a refund of 2 (to the second grant), 5 a deduction of 1.
func history(t *testing.T, l *credits.Ledger, db bun.IDB, account tenancy.AccountID) {
	t.Helper()
	grant(t, l, db, credits.Grant{Account: account, Amount: 10, Key: "g1"})
	grant(t, l, db, credits.Grant{Account: account, Amount: 10, Key: "g2"})
	deduct(t, l, db, credits.Deduct{Account: account, Amount: 15, Key: "d"})
	refund(t, l, db, credits.Refund{Account: account, Entry: 3, Amount: 2, Key: "r"})
	deduct(t, l, db, credits.Deduct{Account: account, Amount: 1})
	if _, err := l.Deduct(t.Context(), db, credits.Deduct{Account: account, Amount: 99, Key: "refused"}); err == nil {
		t.Fatal("99 credits out of nowhere")
	}
}

func TestVerify_FindsEachKindOfDamage(t *testing.T) {
	const (
		g1 = "(SELECT grant_id FROM credits_grants WHERE account_id = 'acc_1' AND number = 1)"
		g2 = "(SELECT grant_id FROM credits_grants WHERE account_id = 'acc_1' AND number = 2)"
	)
	// As the program before version 2 kept the key of an entry.
	const older = `INSERT INTO credits_keys (account_id, key, hash, unit, outcome, number, created_at)
		SELECT account_id, key, hash, unit, 'entry', number, at FROM credits_entries WHERE account_id = 'acc_1' AND key = 'd'`
	cases := map[string]struct {
		damage []string
		want   []string // all rules that are broken, with their detail
	}{
		"an entry's amount": {
			[]string{"UPDATE credits_entries SET amount = -14 WHERE account_id = 'acc_1' AND number = 3"},
			[]string{
				"an entry is the sum of its splits: entry 3 is -14, its splits -15",
				"balance = sum of entries: the balance is 6, the sum 7",
				"each balance is the one before plus the amount: entry 3 says 5, the sum is 6",
				"each balance is the one before plus the amount: entry 4 says 7, the sum is 8",
				"each balance is the one before plus the amount: entry 5 says 6, the sum is 7",
			},
		},
		"an entry's balance": {
			[]string{"UPDATE credits_entries SET balance = 6 WHERE account_id = 'acc_1' AND number = 3"},
			[]string{"each balance is the one before plus the amount: entry 3 says 6, the sum is 5"},
		},
		"a gap": {
			[]string{"UPDATE credits_entries SET number = 6 WHERE account_id = 'acc_1' AND number = 5"},
			[]string{"entries are numbered without gaps: entry 6 where 5 belongs", "the account counts its entries: it says 5, the last entry is 6"},
		},
		"an entry that is gone": {
			[]string{"DELETE FROM credits_entries WHERE account_id = 'acc_1' AND number = 5"},
			[]string{
				"balance = sum of entries: the balance is 6, the sum 7", "the account counts its entries: it says 5, the last entry is 4",
				"what remains in a grant is the sum of its splits: G2 has 6, its splits 7",
			},
		},
		"a split": {
			[]string{"UPDATE credits_splits SET amount = -6 WHERE account_id = 'acc_1' AND number = 3 AND grant_id = " + g2},
			[]string{
				"an entry is the sum of its splits: entry 3 is -15, its splits -16",
				"what remains in a grant is the sum of its splits: G2 has 6, its splits 5",
			},
		},
		"a split of another grant": {
			[]string{"UPDATE credits_entries SET grant_id = " + g1 + " WHERE account_id = 'acc_1' AND number = 5"},
			[]string{
				"what remains in a grant is the sum of its splits: G1 has 0, its splits -1",
				"what remains in a grant is the sum of its splits: G2 has 6, its splits 7",
			},
		},
		"what remains": {
			[]string{"UPDATE credits_grants SET remaining = 7 WHERE account_id = 'acc_1' AND number = 2"},
			[]string{
				"balance = what remains in grants - debt: the balance is 6, grants hold 7, the debt is 0",
				"what remains in a grant is the sum of its splits: G2 has 7, its splits 6",
			},
		},
		"less than nothing and more than all": {
			[]string{"UPDATE credits_grants SET remaining = CASE number WHEN 1 THEN -5 ELSE 11 END WHERE account_id = 'acc_1'"},
			[]string{
				"what remains in a grant is between nothing and its amount: G1 has -5 of 10",
				"what remains in a grant is between nothing and its amount: G2 has 11 of 10",
				"what remains in a grant is the sum of its splits: G1 has -5, its splits 0",
				"what remains in a grant is the sum of its splits: G2 has 11, its splits 6",
			},
		},
		"a grant's amount": {
			[]string{"UPDATE credits_grants SET amount = 1000 WHERE account_id = 'acc_1' AND number = 2"},
			[]string{"a grant is what its entry put in: G2 is 1000, its entry put in 10"},
		},
		"the balance": {
			[]string{"UPDATE credits_accounts SET booked = 7 WHERE account_id = 'acc_1'"},
			[]string{
				"balance = sum of entries: the balance is 7, the sum 6",
				"balance = what remains in grants - debt: the balance is 7, grants hold 6, the debt is 0",
			},
		},
		"the debt": {
			[]string{"UPDATE credits_accounts SET debt = 1 WHERE account_id = 'acc_1'"},
			[]string{"balance = what remains in grants - debt: the balance is 6, grants hold 6, the debt is 1", "debt = splits without a grant: the debt is 1, the splits are 0"},
		},
		"the number": {
			[]string{"UPDATE credits_accounts SET number = 4 WHERE account_id = 'acc_1'"},
			[]string{"the account counts its entries: it says 4, the last entry is 5"},
		},
		"an account that is gone": {
			[]string{"DELETE FROM credits_accounts WHERE account_id = 'acc_1'"},
			[]string{
				"balance = sum of entries: the balance is 0, the sum 6",
				"balance = what remains in grants - debt: the balance is 0, grants hold 6, the debt is 0",
				"the account counts its entries: it says 0, the last entry is 5",
			},
		},
		"too much refunded": {
			[]string{
				"UPDATE credits_splits SET amount = 6 WHERE account_id = 'acc_1' AND number = 4",
				"UPDATE credits_entries SET amount = 6, balance = 11 WHERE account_id = 'acc_1' AND number = 4",
				"UPDATE credits_entries SET balance = 10 WHERE account_id = 'acc_1' AND number = 5",
				"UPDATE credits_grants SET remaining = 10 WHERE account_id = 'acc_1' AND number = 2",
				"UPDATE credits_accounts SET booked = 10 WHERE account_id = 'acc_1'",
			},
			[]string{"refunds do not exceed their deduction: entry 3 took 5 from G2, 6 came back"},
		},
		"a refund of a grant": {
			[]string{"UPDATE credits_entries SET refund_of = 2 WHERE account_id = 'acc_1' AND number = 4"},
			[]string{"refunds do not exceed their deduction: entry 2 took -10 from G2, 2 came back"},
		},
		"a refund to another grant": {
			[]string{
				"UPDATE credits_entries SET grant_id = " + g1 + " WHERE account_id = 'acc_1' AND number = 4",
				"UPDATE credits_splits SET amount = -1 WHERE account_id = 'acc_1' AND number = 3 AND grant_id = " + g1,
				"UPDATE credits_splits SET amount = -14 WHERE account_id = 'acc_1' AND number = 3 AND grant_id = " + g2,
				"UPDATE credits_grants SET remaining = CASE number WHEN 1 THEN 11 ELSE -5 END WHERE account_id = 'acc_1'",
			},
			[]string{
				"refunds do not exceed their deduction: entry 3 took 1 from G1, 2 came back",
				"what remains in a grant is between nothing and its amount: G1 has 11 of 10",
				"what remains in a grant is between nothing and its amount: G2 has -5 of 10",
			},
		},
		"a key that lost its entry": {
			[]string{older, "UPDATE credits_entries SET hash = '' WHERE account_id = 'acc_1' AND key = 'd'", "UPDATE credits_keys SET number = 77 WHERE account_id = 'acc_1' AND key = 'd'"},
			[]string{`every entry's key is remembered: entry 3`, `every key's entry exists: key "d"`},
		},
		"an entry that lost its key": {
			[]string{older, "UPDATE credits_entries SET hash = '' WHERE account_id = 'acc_1' AND key = 'd'", "DELETE FROM credits_keys WHERE account_id = 'acc_1' AND key = 'd'"},
			[]string{"every entry's key is remembered: entry 3"},
		},
	}
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		history(t, l, db, acc)
		history(t, l, db, other)
		creditstest.RequireSound(t, l, db, "")
		ids := strings.NewReplacer(
			scan[string](t, db, "SELECT "+g1), "G1", scan[string](t, db, "SELECT "+g2), "G2",
		)
		unguard(t, db)
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				tx, err := db.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = tx.Rollback() }()
				for _, damage := range c.damage {
					exec(t, tx, damage)
				}
				for _, account := range []tenancy.AccountID{acc, ""} {
					found, err := l.Verify(t.Context(), tx, account)
					if err != nil {
						t.Fatal(err)
					}
					got := map[string]bool{}
					for _, f := range found {
						got[ids.Replace(f.String())] = true
					}
					want := map[string]bool{}
					for _, w := range c.want {
						want["acc_1: "+w] = true
					}
					if d := cmp.Diff(want, got); d != "" || len(found) != len(want) {
						t.Errorf("account %q: %s", account, d)
					}
				}
				if found, err := l.Verify(t.Context(), tx, other); err != nil || len(found) > 0 {
					t.Errorf("the other account: %v, %v", found, err)
				}
			})
		}
		creditstest.RequireSound(t, l, db, "")
	})
}

func TestVerify_WalksEveryAccount(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		joined(t, db, func(tx bun.Tx) {
			for i := range 501 { // a page and one
				grant(t, l, tx, credits.Grant{Account: tenancy.AccountID(fmt.Sprintf("acc_%03d", i)), Amount: 1, Key: "k"})
			}
		})
		exec(t, db, "UPDATE credits_accounts SET number = 2 WHERE account_id IN ('acc_000', 'acc_499', 'acc_500')")
		var found []credits.Finding
		joined(t, db, func(tx bun.Tx) {
			var err error
			if found, err = l.Verify(t.Context(), tx, ""); err != nil {
				t.Fatal(err)
			}
		})
		var got []tenancy.AccountID
		for _, f := range found {
			got = append(got, f.Account)
		}
		if d := cmp.Diff([]tenancy.AccountID{"acc_000", "acc_499", "acc_500"}, got); d != "" {
			t.Error(d)
		}
		found, err := l.Verify(t.Context(), db, "acc_unknown")
		if err != nil || len(found) > 0 {
			t.Errorf("an account without credits: %v, %v", found, err)
		}
	})
}

func TestVerify_ReadsLongLedgersInPages(t *testing.T) {
	db := dbtest.SQLite(t, credits.Migrate)
	l := credits.New(credits.Config{})
	joined(t, db, func(tx bun.Tx) {
		for i := range 1002 {
			grant(t, l, tx, credits.Grant{Account: acc, Amount: 1, Key: fmt.Sprint(i)})
			deduct(t, l, tx, credits.Deduct{Account: acc, Amount: 1})
		}
	})
	creditstest.RequireSound(t, l, db, acc)
	exec(t, db, "UPDATE credits_grants SET remaining = 1 WHERE number = 2003")
	found, err := l.Verify(t.Context(), db, acc)
	if err != nil || len(found) != 2 {
		t.Errorf("%v, %v", found, err)
	}
}
