// Package creditstest asserts what a test expects of a ledger. It imports nothing
// but the standard library and what the ledger itself needs.
//
//	func TestDraw_ChargesFive(t *testing.T) {
//		db := tenancytest.SQLite(t, credits.Migrate)
//		ledger := credits.New(credits.Config{})
//		_, err := ledger.Seed(t.Context(), db, credits.Seed{Account: "acc_1", Amount: 20})
//		if err != nil {
//			t.Fatal(err)
//		}
//		draw(t.Context(), db, ledger) // what is tested
//		creditstest.RequireEntry(t, ledger, db, "acc_1", credits.KindDeduct, -5)
//		creditstest.RequireBalance(t, ledger, db, "acc_1", 15)
//		creditstest.RequireSound(t, ledger, db, "acc_1")
//	}
package creditstest

import (
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
)

// RequireBalance ends the test unless the account can spend exactly want credits.
func RequireBalance(t testing.TB, ledger *credits.Ledger, db bun.IDB, account tenancy.AccountID, want int64) {
	t.Helper()
	b, err := ledger.Balance(t.Context(), db, account)
	if err != nil {
		t.Fatalf("balance of %s: %v", account, err)
	}
	if b.Spendable != want {
		t.Fatalf("%s can spend %d credits, want %d (%+v)", account, b.Spendable, want, b)
	}
}

// RequireEntry ends the test unless the account's newest entry is of the given kind
// and amount, and returns it.
func RequireEntry(t testing.TB, ledger *credits.Ledger, db bun.IDB, account tenancy.AccountID, kind credits.Kind, amount int64) credits.Entry {
	t.Helper()
	page, err := ledger.Entries(t.Context(), db, credits.Entries{Account: account, Limit: 1})
	if err != nil {
		t.Fatalf("entries of %s: %v", account, err)
	}
	if len(page.Entries) == 0 {
		t.Fatalf("%s has no entries, want a %s of %d", account, kind, amount)
	}
	e := page.Entries[0]
	if e.Kind != kind || e.Amount != amount {
		t.Fatalf("the newest entry of %s is a %s of %d, want a %s of %d", account, e.Kind, e.Amount, kind, amount)
	}
	return e
}

// RequireSound ends the test unless the ledger adds up: the account's, or with ""
// everybody's.
func RequireSound(t testing.TB, ledger *credits.Ledger, db bun.IDB, account tenancy.AccountID) {
	t.Helper()
	found, err := ledger.Verify(t.Context(), db, account)
	if err != nil {
		t.Fatalf("verify %q: %v", account, err)
	}
	for _, f := range found {
		t.Errorf("ledger: %s", f)
	}
	if len(found) > 0 {
		t.FailNow()
	}
}
