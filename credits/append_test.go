package credits_test

import (
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/tenancy"
)

// appendOnly are the statements that no serving process may run.
var appendOnly = []string{
	"UPDATE credits_entries SET amount = amount + 1", "DELETE FROM credits_entries",
	"UPDATE credits_splits SET amount = amount + 1", "DELETE FROM credits_splits",
}

func TestAppendOnly_OnSQLiteByTriggers(t *testing.T) {
	db := dbtest.SQLite(t, credits.Migrate)
	l := credits.New(credits.Config{})
	history(t, l, db, acc)
	for _, statement := range append(appendOnly,
		"REPLACE INTO credits_entries SELECT * FROM credits_entries", "REPLACE INTO credits_splits SELECT * FROM credits_splits",
	) {
		if _, err := db.ExecContext(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	for _, table := range []string{"credits_entries", "credits_splits"} { // by which REPLACE would find another row
		if _, err := db.ExecContext(t.Context(), "SELECT rowid FROM "+table); err == nil {
			t.Errorf("%s has a second key", table)
		}
	}
	creditstest.RequireSound(t, l, db, acc)
}

// privileges are what the role of a serving process needs for this package, and
// all it needs: entries, splits and the audit log can only grow, and nothing of
// the ledger can be deleted.
var privileges = []string{
	"SELECT, INSERT ON credits_entries, credits_splits, credits_keys, tenancy_events, tenancy_deliveries, tenancy_audit",
	"SELECT, INSERT, UPDATE ON credits_accounts, credits_grants, credits_holds, credits_allotments",
	"SELECT, INSERT, UPDATE, DELETE ON credits_budgets, credits_thresholds",
}

func TestPrivileges_AreThoseOfThePackageComment(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range privileges {
		if line := "//\tGRANT " + p + " TO app;\n"; !strings.Contains(string(doc), line) {
			t.Errorf("the package comment does not say: %s", line)
		}
	}
}

func TestAppendOnly_OnPostgresByPrivileges(t *testing.T) {
	owner := dbtest.Postgres(t, credits.Migrate)
	role := id.New("app")
	exec(t, owner, "CREATE ROLE "+role+" LOGIN PASSWORD 'secret'")
	t.Cleanup(func() {
		for _, statement := range []string{"DROP OWNED BY " + role, "DROP ROLE " + role} {
			if _, err := owner.Exec(statement); err != nil {
				t.Error(err)
			}
		}
	})
	for _, p := range privileges {
		exec(t, owner, "GRANT "+p+" TO "+role)
	}
	u, err := url.Parse(dbtest.DSN(owner))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "secret")
	app, err := dbtest.Open(u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = app.Close() }()

	l := credits.New(credits.Config{})
	history(t, l, app, acc)
	history(t, l, app, other)
	for range 2 {
		deduct(t, l, app, credits.Deduct{Account: acc, Amount: 1, Key: "again"})
	}
	creditstest.RequireBalance(t, l, app, acc, 5)
	creditstest.RequireEntry(t, l, app, acc, credits.KindDeduct, -1)
	creditstest.RequireSound(t, l, app, "")

	for _, statement := range append(appendOnly,
		"UPDATE tenancy_audit SET reason = ''", "DELETE FROM tenancy_audit", "DELETE FROM credits_keys", "DELETE FROM credits_grants",
		"DELETE FROM credits_accounts", "TRUNCATE credits_splits", "DROP TABLE credits_splits", "ALTER TABLE credits_entries DISABLE TRIGGER ALL",
	) {
		if _, err := app.ExecContext(t.Context(), statement); err == nil || sqlState(err) != "42501" {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

// What the role above may do is the least: without any one of the privileges
// something of a ledger's does not work.
func TestPrivileges_AreAllNeeded(t *testing.T) {
	db := dbtest.Postgres(t, credits.Migrate)
	role := id.New("app")
	exec(t, db, "CREATE ROLE "+role)
	l := credits.New(credits.Config{})
	t.Cleanup(func() {
		for _, statement := range []string{"DROP OWNED BY " + role, "DROP ROLE " + role} {
			if _, err := db.Exec(statement); err != nil {
				t.Error(err)
			}
		}
	})
	n := 0
	cycle := func() (failed error) {
		n++
		account := tenancy.AccountID(id.New("acc"))
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		exec(t, tx, "SET LOCAL ROLE "+role)
		do := func(err error) {
			if failed == nil {
				failed = err
			}
		}
		_, err = l.Grant(t.Context(), tx, credits.Grant{Account: account, Amount: 9, Key: "g"})
		do(err)
		_, err = l.Grant(t.Context(), tx, credits.Grant{Account: account, Amount: 1, Key: "g2"})
		do(err)
		for range 2 {
			_, err = l.SetBudget(t.Context(), tx, credits.SetBudget{Account: account, Subject: keyA, Limit: 10})
			do(err)
			_, err = l.SetThreshold(t.Context(), tx, credits.SetThreshold{Account: account, Low: 7})
			do(err)
		}
		for range 2 {
			_, err = l.Deduct(t.Context(), tx, credits.Deduct{Account: account, Amount: 10, Key: "d", Actor: keyA})
			do(err)
		}
		if _, err = l.Deduct(t.Context(), tx, credits.Deduct{Account: account, Amount: 10, Key: "short"}); !errors.Is(err, credits.ErrInsufficient) {
			do(err)
		}
		_, err = l.Refund(t.Context(), tx, credits.Refund{Account: account, Entry: 3, Key: "r"})
		do(err)
		held, err := l.Hold(t.Context(), tx, credits.Hold{Account: account, Amount: 4})
		do(err)
		_, err = l.Release(t.Context(), tx, credits.Release{Account: account, Hold: held.ID})
		do(err)
		for _, n := range []int64{1, 2} {
			_, err = l.SetAllotment(t.Context(), tx, credits.SetAllotment{Account: account, Name: "plan", Amount: n})
			do(err)
		}
		_, err = l.Balance(t.Context(), tx, account)
		do(err)
		_, err = l.Entries(t.Context(), tx, credits.Entries{Account: account})
		do(err)
		_, err = l.Verify(t.Context(), tx, account)
		do(err)
		do(l.RemoveBudget(t.Context(), tx, credits.RemoveBudget{Account: account, Subject: keyA}))
		do(l.RemoveThreshold(t.Context(), tx, credits.RemoveThreshold{Account: account}))
		return failed
	}
	// Reading what is to be delivered and the audit log is for those who deliver and
	// inspect.
	spare := map[string]bool{"SELECT ON tenancy_deliveries": true, "SELECT ON tenancy_audit": true}
	for _, p := range privileges {
		exec(t, db, "GRANT "+p+" TO "+role)
	}
	if err := cycle(); err != nil {
		t.Fatal(err)
	}
	for _, p := range privileges {
		verbs, on, _ := strings.Cut(p, " ON ")
		for verb := range strings.SplitSeq(verbs, ", ") {
			for table := range strings.SplitSeq(on, ", ") {
				one := verb + " ON " + table
				exec(t, db, "REVOKE "+one+" FROM "+role)
				if err := cycle(); (sqlState(err) == "42501") == spare[one] {
					t.Errorf("without %s: %v", one, err)
				}
				exec(t, db, "GRANT "+one+" TO "+role)
			}
		}
	}
}

func sqlState(err error) string {
	if s, ok := err.(interface{ SQLState() string }); ok {
		return s.SQLState()
	}
	return ""
}

func TestDatabase_ItselfRefusesAGrantBelowZeroOrAboveItsAmount(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		history(t, l, db, acc)
		for _, statement := range []string{
			"UPDATE credits_grants SET remaining = -1 WHERE number = 1", "UPDATE credits_grants SET remaining = 11 WHERE number = 1",
			"UPDATE credits_grants SET amount = 0, remaining = 0 WHERE number = 1", "UPDATE credits_accounts SET booked = -1",
			"UPDATE credits_accounts SET held = -1", "UPDATE credits_grants SET held = -1", "UPDATE credits_grants SET held = remaining + 1", "UPDATE credits_accounts SET debt = -1",
		} {
			if _, err := db.ExecContext(t.Context(), statement); err == nil {
				t.Errorf("%s: no error", statement)
			}
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

// Where the rows of a damaged ledger contradict each other, nothing more is
// written to it, even if the database would take it.
func TestDamage_IsNotBuiltUpon(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		history(t, l, db, acc)
		unguard(t, db)
		exec(t, db, "UPDATE credits_grants SET remaining = 4 WHERE number = 1") // of 10, and 10 were taken
		before := rows(t, db)
		for _, r := range []credits.Refund{
			{Account: acc, Entry: 3, Key: "all of it"}, {Account: acc, Entry: 3, Amount: 10, Key: "seven of the first"},
		} {
			e, err := l.Refund(t.Context(), db, r)
			if err == nil || e != (credits.Entry{}) || !strings.Contains(err.Error(), "Verify") {
				t.Errorf("%s: %+v, %v", r.Key, e, err)
			}
		}
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Error(d)
		}
		if n := scan[int](t, db, "SELECT remaining FROM credits_grants WHERE number = 1"); n != 4 {
			t.Errorf("%d remain", n)
		}
	})
}
