package credits_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// eventful gives an account n times of everything that Verify looks at, in a ledger that
// allows debts: grants of several, a refund, a settlement into debt, a repayment, holds,
// keys of all sorts, an allotment.
func eventful(t *testing.T, l *credits.Ledger, db *bun.DB, account tenancy.AccountID, unit string, n int64) {
	t.Helper()
	key := func(what string, i int64) string { return fmt.Sprint(unit, " ", what, " ", i) }
	for i := range n {
		grant(t, l, db, credits.Grant{Account: account, Amount: 30 + n, Key: key("g", i)})
		grant(t, l, db, credits.Grant{Account: account, Amount: 20 + n, Key: key("h", i), ExpiresAt: start.Add(time.Duration(100+n) * time.Hour)})
		d := deduct(t, l, db, credits.Deduct{Account: account, Amount: 22 + n, Key: key("d", i)})
		refund(t, l, db, credits.Refund{Account: account, Entry: d.Number, Amount: 3 + i, Key: key("r", i)})
		h := hold(t, l, db, credits.Hold{Account: account, Amount: 2, Key: key("hold", i)})
		settle(t, l, db, credits.Settle{Account: account, Hold: h.ID, Amount: 10 + n, Key: key("s", i)})
		deduct(t, l, db, credits.Deduct{Account: account, Amount: 1})
		if _, err := l.Deduct(t.Context(), db, credits.Deduct{Account: account, Amount: 9999, Key: key("refused", i)}); err == nil {
			t.Fatal("9999 out of nowhere")
		}
	}
	hold(t, l, db, credits.Hold{Account: account, Amount: n, Key: key("open", 0), For: time.Duration(n) * time.Hour})
	h := hold(t, l, db, credits.Hold{Account: account, Amount: 1})
	settle(t, l, db, credits.Settle{Account: account, Hold: h.ID, Amount: 100 * n, Key: key("debt", 0)})
	grant(t, l, db, credits.Grant{Account: account, Amount: 50 * n, Key: key("repaid", 0)})
	_, err := l.SetAllotment(t.Context(), db, credits.SetAllotment{Account: account, Name: "plan", Amount: n, Every: credits.Every{Days: int(n)}, Anchor: start.Add(time.Duration(n) * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever there is of another account, or of the same one in another unit, sound or not,
// a ledger's verification is about its own.
func TestVerify_ReadsNothingOfAnotherAccountOrUnit(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *bun.DB, _ *credits.Ledger, clock *tenancytest.Clock) {
		ledgers := map[string]*credits.Ledger{}
		for n, unit := range []string{"credit", "gpu_second", "token"} {
			l := credits.New(credits.Config{Now: clock.Now, Unit: unit, Overdraft: 1000})
			for i, account := range []tenancy.AccountID{acc, other, "acc_3"} {
				eventful(t, l, db, account, unit, int64(1+n+3*i))
			}
			ledgers[unit] = l
		}
		for unit, l := range ledgers {
			for _, account := range []tenancy.AccountID{acc, other, "acc_3"} {
				found, err := l.Verify(t.Context(), db, account)
				if err != nil || len(found) > 0 {
					t.Errorf("%s of %s: %v, %v", unit, account, found, err)
				}
			}
		}
		// An account that has nothing finds nothing of the others either.
		if found, err := ledgers["credit"].Verify(t.Context(), db, "acc_4"); err != nil || len(found) > 0 {
			t.Error(found, err)
		}
	})
}

// What is walked before the lock is what the account has in its own unit, whatever there
// is of others: an entry that comes meanwhile may be of a grant that was not there yet.
func TestVerify_WalksAheadAsFarAsItsOwnLedgerGoes(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		history(t, l, db, acc)
		for i := range 7 {
			grant(t, credits.New(credits.Config{Unit: "gpu_second"}), db, credits.Grant{Account: acc, Amount: 1, Key: fmt.Sprint("gpu", i)})
		}
		for i := range 9 {
			grant(t, l, db, credits.Grant{Account: other, Amount: 1, Key: fmt.Sprint(i)})
		}
		var pages []string
		found, err := l.Verify(t.Context(), db.WithQueryHook(onQuery(func(q string) {
			if strings.Contains(q, "balance, spendable, at") {
				pages = append(pages, q)
			}
		})), acc)
		if err != nil || len(found) > 0 || !strings.Contains(pages[0], "number <= 5 ") {
			t.Error(found, err, pages[0])
		}
	})
}

// What an entry took from a grant is counted there only if that is the ledger's own.
func TestVerify_KnowsNoGrantOfAnotherAccountOrUnit(t *testing.T) {
	for name, of := range map[string]string{
		"another account": "account_id = 'acc_2'", "another unit": "unit = 'gpu_second'",
	} {
		t.Run(name, func(t *testing.T) {
			bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
				history(t, l, db, acc)
				history(t, l, db, other)
				grant(t, credits.New(credits.Config{Unit: "gpu_second"}), db, credits.Grant{Account: acc, Amount: 1, Key: "gpu"})
				unguard(t, db)
				exec(t, db, "UPDATE credits_entries SET grant_id = (SELECT MIN(grant_id) FROM credits_grants WHERE "+of+") WHERE account_id = 'acc_1' AND unit = 'credit' AND number = 5")
				found, err := l.Verify(t.Context(), db, acc)
				if err != nil || !slices.ContainsFunc(found, func(f credits.Finding) bool { return f.Rule == "every split's grant exists" }) {
					t.Error(found, err)
				}
			})
		})
	}
}

// A debt is of no grant that would tell whose it is: a refund of it is compared with what
// its own entry left as a debt.
func TestVerify_ComparesARefundWithItsOwnDebt(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, _ *credits.Ledger) {
		indebted := func(unit string, account tenancy.AccountID, debt int64) *credits.Ledger {
			l := credits.New(credits.Config{Unit: unit, Overdraft: 1000})
			grant(t, l, db, credits.Grant{Account: account, Amount: 10, Key: unit})
			h := hold(t, l, db, credits.Hold{Account: account, Amount: 5})
			e := settle(t, l, db, credits.Settle{Account: account, Hold: h.ID, Amount: 10 + debt, Key: unit + " s"})
			refund(t, l, db, credits.Refund{Account: account, Entry: e.Entry.Number, Amount: 2, Key: unit + " r"})
			return l
		}
		l := indebted("credit", acc, 2)
		indebted("credit", other, 10)
		indebted("gpu_second", acc, 20)
		unguard(t, db)
		exec(t, db, "UPDATE credits_splits SET amount = 3 WHERE account_id = 'acc_1' AND unit = 'credit' AND number = 3")
		found, err := l.Verify(t.Context(), db, acc)
		if err != nil || !slices.ContainsFunc(found, func(f credits.Finding) bool { return strings.HasSuffix(f.Detail, "entry 2 took 2 from , 3 came back") }) {
			t.Error(found, err)
		}
	})
}

// What a refund puts into a grant that it makes counts for the grant in whose place that is,
// and nothing else does: neither another part of it, nor what is given back to that grant
// later, nor anything of another account.
func TestVerify_CountsForAnOriginWhatWentIntoItsPlace(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, _ *credits.Ledger, clock *tenancytest.Clock) {
		l := credits.New(credits.Config{Now: clock.Now, RefundGrace: time.Hour})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 4, Key: "g1", ExpiresAt: start.Add(time.Hour)})
		g2 := grant(t, l, db, credits.Grant{Account: acc, Amount: 20, Key: "g2", Priority: 1000})
		both := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 7})
		clock.Advance(2 * time.Hour)
		plain := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 5})
		refund(t, l, db, credits.Refund{Account: acc, Entry: both.Number, Key: "r1"})
		back := refund(t, l, db, credits.Refund{Account: acc, Entry: plain.Number, Amount: 2, Key: "r2"})
		again := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 3})
		refund(t, l, db, credits.Refund{Account: acc, Entry: again.Number, Key: "r3"})
		if d := cmp.Diff([]split{{5, -3}}, splits(t, db, acc, again.Number)); d != "" {
			t.Error("not from what came back: ", d)
		}
		grant(t, l, db, credits.Grant{Account: other, Amount: 1, Key: "other"})
		exec(t, db, `INSERT INTO credits_grants (account_id, unit, grant_id, category, priority, amount, remaining, operations, origin, effective_at, number, created_at)
			SELECT 'acc_2', unit, grant_id, category, priority, amount, remaining, operations, 'elsewhere', effective_at, ?, created_at
			FROM credits_grants WHERE account_id = 'acc_1' AND number = ?`, back.Number, g2.Number)
		creditstest.RequireSound(t, l, db, acc)
	})
}

// An allotment comes when the account's row says that one may, and that anything is due.
func TestVerify_FindsAnAllotmentThatNobodyLooksFor(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		gpu := credits.New(credits.Config{Now: clock.Now, Unit: "gpu_second"})
		at, later := start.Add(time.Hour), start.Add(2*time.Hour)
		plan := credits.SetAllotment{Account: acc, Name: "plan", Amount: 5, Every: credits.Every{Days: 1}, Anchor: at}
		for _, l := range []*credits.Ledger{l, gpu} {
			for _, account := range []tenancy.AccountID{acc, other} {
				p := plan
				p.Account = account
				allot(t, l, db, p)
			}
		}
		late := func(l *credits.Ledger, account tenancy.AccountID) (n int) {
			found, err := l.Verify(t.Context(), db, account)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				if f.Rule == "the account knows when its next allotment is due" {
					n++
				}
			}
			return n
		}
		for name, c := range map[string]struct {
			renews, due any
			want        int
		}{
			"as it is":          {at, at, 0},
			"sooner":            {start, start, 0},
			"none is to come":   {nil, at, 1},
			"it comes later":    {later, at, 1},
			"nothing is due":    {at, nil, 1},
			"until later":       {at, later, 1},
			"nothing of either": {nil, nil, 1},
		} {
			exec(t, db, "UPDATE credits_accounts SET renews_at = ?, next_at = ? WHERE account_id = ? AND unit = 'credit'", c.renews, c.due, acc)
			if n := late(l, acc); n != c.want {
				t.Errorf("%s: %d found", name, n)
			}
			if n := late(l, other) + late(gpu, acc); n != 0 {
				t.Errorf("%s: %d found of others", name, n)
			}
		}
		exec(t, db, "UPDATE credits_accounts SET renews_at = ?, next_at = ? WHERE account_id = ? AND unit = 'credit'", at, at, acc)
		endAllotment(t, l, db, "plan")
		if n := late(l, acc); n != 0 {
			t.Errorf("%d found of one that has ended", n)
		}
	})
}
