package credits_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
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
	t.Parallel()
	const (
		g1 = "(SELECT grant_id FROM credits_grants WHERE account_id = 'acc_1' AND number = 1)"
		g2 = "(SELECT grant_id FROM credits_grants WHERE account_id = 'acc_1' AND number = 2)"
	)
	// As the program before version 2 kept the key of an entry.
	const older = `INSERT INTO credits_keys (account_id, key, hash, unit, outcome, number, created_at)
		SELECT account_id, key, hash, unit, 'entry', number, at FROM credits_entries WHERE account_id = 'acc_1' AND key = 'd'`
	cases := map[string]damaged{
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
		"an entry before the first": {
			[]string{"UPDATE credits_entries SET number = 0, grant_id = 'grt_x' WHERE account_id = 'acc_2' AND number = 5", "UPDATE credits_entries SET account_id = 'acc_1' WHERE number = 0",
				"UPDATE credits_accounts SET number = 4, booked = 7, head_free = head_free + 1 WHERE account_id = 'acc_2'"},
			[]string{
				"entries are numbered without gaps: entry 0 where 1 belongs", "balance = sum of entries: the balance is 6, the sum 5",
				"each balance is the one before plus the amount: entry 0 says 6, the sum is -1", "each balance is the one before plus the amount: entry 1 says 10, the sum is 9",
				"each balance is the one before plus the amount: entry 2 says 20, the sum is 19", "each balance is the one before plus the amount: entry 3 says 5, the sum is 4",
				"each balance is the one before plus the amount: entry 4 says 7, the sum is 6", "each balance is the one before plus the amount: entry 5 says 6, the sum is 5",
				"every split's grant exists: 1 splits name none that does",
			},
		},
		"a time": {
			[]string{"UPDATE credits_entries SET at = '2026-03-01 08:59:59.5+00:00' WHERE account_id = 'acc_1' AND number = 3"},
			[]string{"an entry is not older than the one before: entry 3 is of 2026-03-01T08:59:59.5Z, the one before of 2026-03-01T09:00:00Z"},
		},
		"the last time": {
			[]string{"UPDATE credits_accounts SET entered_at = '2026-03-01 09:00:01+00:00' WHERE account_id = 'acc_1'"},
			[]string{"the account knows when its last entry was made: it says 2026-03-01T09:00:01Z, the last entry is of 2026-03-01T09:00:00Z"},
		},
		"less than nothing to spend": {
			[]string{"UPDATE credits_entries SET spendable = -1 WHERE account_id = 'acc_1' AND number = 3"},
			[]string{"what can be spent is between nothing and the balance: entry 3 says -1 of 5"},
		},
		"more to spend than there is": {
			[]string{"UPDATE credits_entries SET spendable = 6 WHERE account_id = 'acc_1' AND number = 3"},
			[]string{"what can be spent is between nothing and the balance: entry 3 says 6 of 5"},
		},
		"splits without an entry": {
			[]string{"UPDATE credits_splits SET number = 6 WHERE account_id = 'acc_1' AND position = 1", "UPDATE credits_splits SET number = 0 WHERE account_id = 'acc_1' AND position = 2"},
			[]string{"every split's entry exists: entry 0", "every split's entry exists: entry 6", "an entry is the sum of its splits: entry 3 is -15, its splits 0",
				"refunds do not exceed their deduction: entry 3 took 0 from G2, 2 came back"},
		},
		"an entry that has splits, gone": {
			[]string{"DELETE FROM credits_entries WHERE account_id = 'acc_1' AND number = 3"},
			[]string{"every split's entry exists: entry 3", "entries are numbered without gaps: entry 4 where 3 belongs", "balance = sum of entries: the balance is 6, the sum 21",
				"each balance is the one before plus the amount: entry 4 says 7, the sum is 22", "each balance is the one before plus the amount: entry 5 says 6, the sum is 21"},
		},
		"a split of no grant": {
			[]string{"UPDATE credits_splits SET grant_id = 'grt_x' WHERE account_id = 'acc_1' AND position = 2"},
			[]string{"every split's grant exists: 1 splits name none that does", "what remains in a grant is the sum of its splits: G2 has 6, its splits 11",
				"refunds do not exceed their deduction: entry 3 took 0 from G2, 2 came back"},
		},
		"a key that is kept twice": {
			[]string{"INSERT INTO credits_keys (account_id, key, hash, unit, outcome, created_at) VALUES ('acc_1', 'd', '', 'credit', 'insufficient', '2026-03-01 09:00:00+00:00')"},
			[]string{`a key is kept once: key "d"`},
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
			[]string{"UPDATE credits_accounts SET head_free = 7 WHERE account_id = 'acc_1'"},
			[]string{
				"balance = what remains in grants - debt: the balance is 6, grants hold 7, the debt is 0",
				"what remains in a grant is the sum of its splits: G2 has 7, its splits 6",
			},
		},
		"less than nothing and more than all": {
			[]string{
				"UPDATE credits_grants SET remaining = CASE number WHEN 1 THEN -5 ELSE 11 END WHERE account_id = 'acc_1'",
				"UPDATE credits_accounts SET head_free = 11 WHERE account_id = 'acc_1'",
			},
			[]string{
				"what remains in a grant is between nothing and its amount: G1 has -5 of 10",
				"what remains in a grant is between nothing and its amount: G2 has 11 of 10",
				"what remains in a grant is the sum of its splits: G1 has -5, its splits 0",
				"what remains in a grant is the sum of its splits: G2 has 11, its splits 6",
			},
		},
		"more in the head than its own row knows of": {
			[]string{"UPDATE credits_grants SET remaining = 5 WHERE account_id = 'acc_1' AND number = 2"},
			[]string{"the account's head is a grant with as much or more in its own row: G2 has 6, of 5 that its own row knows of"},
		},
		"a head that is not there": {
			[]string{"UPDATE credits_accounts SET head = 'grt_gone' WHERE account_id = 'acc_1'"},
			[]string{
				"the account's head is a grant with as much or more in its own row: grant grt_gone is not there",
				"balance = what remains in grants - debt: the balance is 6, grants hold 10, the debt is 0",
				"what remains in a grant is the sum of its splits: G2 has 10, its splits 6",
			},
		},
		"a grant's entry": {
			[]string{"UPDATE credits_grants SET number = 5 WHERE account_id = 'acc_1' AND number = 2"},
			[]string{"a grant is what its entry put in: G2 is 10, its entry put in -1"},
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
				"balance = what remains in grants - debt: the balance is 0, grants hold 10, the debt is 0",
				"the account counts its entries: it says 0, the last entry is 5",
				"what remains in a grant is the sum of its splits: G2 has 10, its splits 6",
			},
		},
		"too much refunded": {
			[]string{
				"UPDATE credits_splits SET amount = 6 WHERE account_id = 'acc_1' AND number = 4",
				"UPDATE credits_entries SET amount = 6, balance = 11 WHERE account_id = 'acc_1' AND number = 4",
				"UPDATE credits_entries SET balance = 10 WHERE account_id = 'acc_1' AND number = 5",
				"UPDATE credits_accounts SET booked = 10, head_free = 10 WHERE account_id = 'acc_1'",
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
				"UPDATE credits_accounts SET head_free = -5 WHERE account_id = 'acc_1'",
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
		damage(t, db, l, ids, cases)
	})
}

// damaged is what is done to a ledger, and all rules that are broken then, with their
// detail.
type damaged struct {
	damage []string
	want   []string
}

// damage does it to acc, one after another, and undoes it.
func damage(t *testing.T, db *bun.DB, l *credits.Ledger, ids *strings.Replacer, cases map[string]damaged) {
	t.Helper()
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
}

func TestVerify_FindsWhatIsHeldOrDueWrong(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		for _, account := range []tenancy.AccountID{acc, other} {
			grant(t, l, db, credits.Grant{Account: account, Amount: 5, Key: "g1", ExpiresAt: start.Add(24 * time.Hour)})
			grant(t, l, db, credits.Grant{Account: account, Amount: 10, Key: "g2", EffectiveAt: start.Add(2 * time.Hour)})
			if _, err := l.SetThreshold(t.Context(), db, credits.SetThreshold{Account: account, Low: 1}); err != nil {
				t.Fatal(err)
			}
			h := hold(t, l, db, credits.Hold{Account: account, Amount: 4, Key: "h", For: time.Hour})
			settle(t, l, db, credits.Settle{Account: account, Hold: h.ID, Amount: 1, More: true, Key: "s"})
		}
		creditstest.RequireSound(t, l, db, "")
		ids := strings.NewReplacer(
			scan[string](t, db, "SELECT grant_id FROM credits_grants WHERE account_id = 'acc_1' AND number = 1"), "G1",
			scan[string](t, db, "SELECT grant_id FROM credits_grants WHERE account_id = 'acc_1' AND number = 2"), "G2",
			scan[string](t, db, "SELECT hold_id FROM credits_holds WHERE account_id = 'acc_1'"), "H",
		)
		unguard(t, db)
		const ofAcc = " WHERE account_id = 'acc_1'"
		damage(t, db, l, ids, map[string]damaged{
			"nothing is due": {
				[]string{"UPDATE credits_accounts SET next_at = NULL" + ofAcc},
				[]string{
					"what ends by itself is due by then: a hold ends at 2026-03-01T10:00:00Z, and nothing is due",
					"what ends by itself is due by then: grant G1 ends at 2026-03-02T09:00:00Z, and nothing is due",
					"what ends by itself is due by then: grant G2 takes effect at 2026-03-01T11:00:00Z, and nothing is due",
				},
			},
			"the end of the hold is not due": {
				[]string{"UPDATE credits_accounts SET next_at = '2026-03-01 10:00:00.000001+00:00'" + ofAcc},
				[]string{"what ends by itself is due by then: a hold ends at 2026-03-01T10:00:00Z, and nothing is due before 2026-03-01T10:00:00.000001Z"},
			},
			"due too early is no harm": {[]string{"UPDATE credits_accounts SET next_at = '2026-03-01 09:00:00+00:00'" + ofAcc}, nil},
			"a grant that ends earlier": {
				[]string{"UPDATE credits_grants SET expires_at = '2026-03-01 08:00:00+00:00'" + ofAcc + " AND number = 1"},
				[]string{"what ends by itself is due by then: grant G1 ends at 2026-03-01T08:00:00Z, and nothing is due before 2026-03-01T10:00:00Z"},
			},
			"a hold that waits for somebody is not due": {[]string{"UPDATE credits_holds SET state = 'review'" + ofAcc, "UPDATE credits_accounts SET next_at = '2026-03-01 11:00:00+00:00'" + ofAcc}, nil},
			"held of another grant": {
				[]string{"UPDATE credits_grants SET held = CASE number WHEN 1 THEN 0 ELSE 3 END" + ofAcc, "UPDATE credits_accounts SET head_free = head_free + 3" + ofAcc},
				[]string{"what is held of a grant is what holds hold: G1 has 0 held, holds hold 3 of it", "what is held of a grant is what holds hold: G2 has 3 held, holds hold 0 of it"},
			},
			"more held than is there": {
				[]string{"UPDATE credits_grants SET remaining = 2" + ofAcc + " AND number = 1", "UPDATE credits_accounts SET head_free = -1" + ofAcc},
				[]string{
					"what is held of a grant remains in it: G1 has 2, of which 3 are held", "what remains in a grant is the sum of its splits: G1 has 2, its splits 4",
					"balance = what remains in grants - debt: the balance is 14, grants hold 12, the debt is 0",
				},
			},
			"less held than nothing": {
				[]string{"UPDATE credits_grants SET held = -1" + ofAcc + " AND number = 2"},
				[]string{
					"what is held of a grant remains in it: G2 has 10, of which -1 are held", "what is held of a grant is what holds hold: G2 has -1 held, holds hold 0 of it",
					"held = what is held of grants: the account holds 3, its grants 2",
				},
			},
			"the parts of a hold": {
				[]string{"UPDATE credits_holds SET parts = REPLACE(parts, ' 4', ' 5')" + ofAcc},
				[]string{"a hold is the sum of its parts: H is 4, its parts 5", "what is held of a grant is what holds hold: G1 has 3 held, holds hold 4 of it"},
			},
			"parts that are none": {
				[]string{"UPDATE credits_holds SET parts = 'x'" + ofAcc},
				[]string{"a hold is the sum of its parts: H is 4, its parts 0", "what is held of a grant is what holds hold: G1 has 3 held, holds hold 0 of it"},
			},
			"what a hold charged": {
				[]string{"UPDATE credits_holds SET settled = 2" + ofAcc}, []string{"a hold counts what was charged: H says 2, its settlements 1"},
			},
			"a hold that is gone": {
				[]string{"DELETE FROM credits_holds" + ofAcc},
				[]string{
					"every settlement's hold exists: hold H", `every key's hold exists: key "h"`, "held = what is left of holds: the account holds 3, its holds 0",
					"what is held of a grant is what holds hold: G1 has 3 held, holds hold 0 of it",
				},
			},
			"what the account holds": {
				[]string{"UPDATE credits_accounts SET held = 2" + ofAcc},
				[]string{"held = what is left of holds: the account holds 2, its holds 3", "held = what is held of grants: the account holds 2, its grants 3"},
			},
		})
		clock.Advance(2 * time.Hour) // the hold has ended, and nobody has booked it
		creditstest.RequireSound(t, l, db, "")
		damage(t, db, l, ids, map[string]damaged{"what has ended is not due": {
			[]string{"UPDATE credits_accounts SET next_at = '2026-03-01 12:00:00+00:00'" + ofAcc},
			[]string{"what ends by itself is due by then: a hold ends at 2026-03-01T10:00:00Z, and nothing is due before 2026-03-01T12:00:00Z"},
		}})
	})
}

// What is due first is what counts, and an empty grant is not.
func TestVerify_LooksForTheFirstThatIsDue(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 10)
		if _, err := l.SetThreshold(t.Context(), db, credits.SetThreshold{Account: acc, Low: 1}); err != nil {
			t.Fatal(err)
		}
		later := grant(t, l, db, credits.Grant{Account: acc, Amount: 5, Key: "later", EffectiveAt: start.Add(3 * time.Hour)})
		exec(t, db, "UPDATE credits_accounts SET next_at = NULL")
		found, err := l.Verify(t.Context(), db, acc)
		if err != nil || len(found) != 1 {
			t.Error(found, err)
		}
		if _, err := l.Revoke(t.Context(), db, credits.Revoke{Account: acc, Entry: later.Number, Key: "v"}); err != nil {
			t.Fatal(err)
		}
		exec(t, db, "UPDATE credits_accounts SET next_at = NULL")
		creditstest.RequireSound(t, l, db, acc)
		for _, d := range []time.Duration{2 * time.Hour, time.Hour, 4 * time.Hour} {
			hold(t, l, db, credits.Hold{Account: acc, Amount: 1, For: d})
		}
		creditstest.RequireSound(t, l, db, acc)
		exec(t, db, "UPDATE credits_accounts SET next_at = ?", start.Add(time.Hour+time.Microsecond))
		found, err = l.Verify(t.Context(), db, acc)
		if err != nil || len(found) != 1 || !strings.Contains(found[0].Detail, "a hold ends at 2026-03-01T10:00:00Z") {
			t.Error(found, err)
		}
	})
}

// One process takes a grant for expired that another may still put credits back into.
func TestVerify_ClocksThatDifferLeaveNothingThatIsNeverDue(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, late *credits.Ledger, _ *tenancytest.Clock) {
		grant(t, late, db, credits.Grant{Account: acc, Amount: 5, Key: "g", ExpiresAt: start.Add(time.Hour)})
		h := hold(t, late, db, credits.Hold{Account: acc, Amount: 5, For: 3 * time.Hour})
		early := credits.New(credits.Config{Now: func() time.Time { return start.Add(2 * time.Hour) }})
		if _, err := early.Sweep(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if _, err := late.Release(t.Context(), db, credits.Release{Account: acc, Hold: h.ID}); err != nil {
			t.Fatal(err)
		}
		creditstest.RequireSound(t, late, db, acc)
		creditstest.RequireBalance(t, early, db, acc, 0)
		creditstest.RequireEntry(t, early, db, acc, credits.KindExpire, -5)
		creditstest.RequireSound(t, early, db, acc)
	})
}

func TestVerify_WalksEveryAccount(t *testing.T) {
	t.Parallel()
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		grant(t, l, db, credits.Grant{Account: "acc_000", Amount: 1, Key: "k"})
		for _, table := range []string{"credits_accounts", "credits_grants", "credits_entries"} { // a page and one
			repeat(t, db, 500, table, map[string]string{"account_id": "'acc_' || substr(CAST(1000 + i AS TEXT), 2)"})
		}
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
	l := credits.New(credits.Config{Now: func() time.Time { return start }})
	fund(t, l, db, 1)
	e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
	refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Key: "r"})
	deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
	// And so on, each time with a grant of its own.
	repeat(t, db, 1001, "credits_grants", map[string]string{"grant_id": "grant_id || i", "number": "number + 4 * i"})
	repeat(t, db, 1001, "credits_entries", map[string]string{
		"grant_id": "grant_id || i", "number": "number + 4 * i", "refund_of": "refund_of + 4 * i",
		"key": "CASE key WHEN '' THEN '' ELSE key || i END",
	})
	exec(t, db, "UPDATE credits_accounts SET number = 4008")
	creditstest.RequireSound(t, l, db, acc)
	exec(t, db, "UPDATE credits_grants SET remaining = 1 WHERE number = 4001")
	found, err := l.Verify(t.Context(), db, acc)
	if err != nil || len(found) != 2 {
		t.Errorf("%v, %v", found, err)
	}
	unguard(t, db)
	exec(t, db, "UPDATE credits_entries SET amount = 2 WHERE number IN (3999, 4003, 4007)") // refunds, the last three
	if found, err = l.Verify(t.Context(), db, acc); err != nil {
		t.Fatal(err)
	}
	var over []int64
	for _, f := range found {
		if f.Rule == "refunds do not exceed their deduction" {
			over = append(over, f.Number)
		}
	}
	if d := cmp.Diff([]int64{3998, 4002, 4006}, over); d != "" {
		t.Error(d)
	}
}
