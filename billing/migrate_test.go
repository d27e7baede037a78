package billing_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// everywhere runs fn on SQLite, on Postgres, and in a schema of its own there.
func everywhere(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	each(t, fn)
	t.Run("postgres schema", func(t *testing.T) {
		fn(t, newWorld(t, dbtest.PostgresSchema(t, "rent", billing.Migrate), billing.Config{}))
	})
}

// columns are the columns of the package's tables, sorted.
func columns(t *testing.T, db *bun.DB) (names []string) {
	t.Helper()
	for _, table := range []string{"billing_accounts", "billing_subscriptions", "billing_transfers", "billing_references"} {
		rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table+" WHERE 1 = 0")
		if err != nil {
			continue
		}
		cols, err := rows.Columns()
		if err != nil || rows.Close() != nil || rows.Err() != nil {
			t.Fatal(err, rows.Err())
		}
		for _, c := range cols {
			names = append(names, table+"."+c)
		}
	}
	slices.Sort(names)
	return names
}

// lived is a world in which every table has rows.
func lived(t *testing.T, w *world) tenancy.AccountID {
	t.Helper()
	id := w.account(t)
	w.pay(t, id, "starter")
	w.request(t, id, "growth")
	if _, err := w.billing.RejectTransfer(t.Context(), w.db, rejection(w.request(t, w.account(t), "growth").Reference)); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestM4_PaymentMethodsHaveAMigrationOfTheirOwnAndAWayBack(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		id := lived(t, w)
		all := columns(t, w.db)
		if err := billing.Down(t.Context(), w.db, 2); err != nil { // what came after them
			t.Fatal(err)
		}
		two := columns(t, w.db)
		added := []string{"billing_accounts.payment_method", "billing_subscriptions.external_payment_id", "billing_subscriptions.payment_method"}
		rest := slices.DeleteFunc(slices.Clone(two), func(c string) bool { return slices.Contains(added, c) })
		if len(rest) != len(two)-3 {
			t.Fatalf("columns %q", two)
		}
		transfers := content(t, w.db, "billing_transfers", "billing_references", "tenancy_accounts", "credits_entries")
		sub := w.subscription(t, id)

		if err := billing.Down(t.Context(), w.db, 1); err != nil {
			t.Fatal(err)
		}
		same(t, "columns after the way back", rest, columns(t, w.db))
		same(t, "the rest", transfers, content(t, w.db, "billing_transfers", "billing_references", "tenancy_accounts", "credits_entries"))
		status(t, w.db, 1)
		if n := len(content(t, w.db, "billing_subscriptions")["billing_subscriptions"]); n != 1 {
			t.Errorf("%d subscriptions are left", n)
		}

		if err := billing.Migrate(t.Context(), w.db); err != nil {
			t.Fatal(err)
		}
		same(t, "columns", all, columns(t, w.db))
		status(t, w.db, 4)
		sub.Method, sub.ExternalPaymentID = "", "" // what the way back dropped
		same(t, "subscription", sub, w.subscription(t, id))
		if tr := w.pay(t, id, "starter"); tr.PeriodStart != end1 || tr.Subscription != sub.ID {
			t.Errorf("paying after it: %+v", tr)
		}
		if s := w.subscription(t, id); s.Method != billing.MethodBankTransfer {
			t.Errorf("subscription %+v", s)
		}
	})
}

func status(t *testing.T, db *bun.DB, applied int) {
	t.Helper()
	done, pending, err := billing.MigrationStatus(t.Context(), db)
	all := []string{"0001_billing", "0002_payment_methods", "0003_references_by_account", "0004_months"}
	if !slices.Equal(done, all[:applied]) || !slices.Equal(pending, all[applied:]) || err != nil {
		t.Errorf("applied %q, pending %q, %v", done, pending, err)
	}
}

func TestM15_MigrationsGoUpDownAndUpWithRows(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		lived(t, w)
		all := columns(t, w.db)
		others := []string{"tenancy_accounts", "tenancy_events", "tenancy_audit", "credits_accounts", "credits_entries"}
		before := content(t, w.db, others...)
		if err := billing.Down(t.Context(), w.db, 0); err != nil {
			t.Fatal(err)
		}
		if left := columns(t, w.db); left != nil {
			t.Errorf("left %q", left)
		}
		status(t, w.db, 0)
		same(t, "what others keep", before, content(t, w.db, others...))
		for range 2 { // twice is once
			if err := billing.Migrate(t.Context(), w.db); err != nil {
				t.Fatal(err)
			}
		}
		same(t, "columns", all, columns(t, w.db))
		status(t, w.db, 4)
		w.spendable(t, w.pay(t, w.account(t), "starter").Account, 3000)
	})
}

// The binary that is running meets the schema of the next release.
func TestM15_ColumnsOfALaterReleaseDoNotDisturb(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		id := lived(t, w)
		for _, table := range []string{"billing_accounts", "billing_subscriptions", "billing_transfers", "billing_references"} {
			for _, add := range []string{"later_text TEXT NOT NULL DEFAULT 'x'", "later_number BIGINT"} {
				if _, err := w.db.ExecContext(t.Context(), fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s", table, add)); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.pay(t, id, "starter")
		w.clock.Set(end2.Add(time.Hour))
		w.lapse(t, 1)
		if _, err := w.billing.Transfers(t.Context(), w.db, billing.Transfers{Everybody: true}); err != nil {
			t.Error(err)
		}
		if _, err := w.billing.Account(t.Context(), w.db, id); err != nil {
			t.Error(err)
		}
		if _, err := w.billing.Cancel(t.Context(), w.db, billing.Cancel{Account: id, Actor: operator}); err != nil {
			t.Error(err)
		}
	})
}
