package adoption_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/adoption"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	people "github.com/quitrent/quitrent/tenancy/adoption"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestMain(m *testing.M) { dbtest.Main(m, map[string]dbtest.ChildFunc{"adopt": adoptChild}) }

var (
	t0       = time.Date(2026, 11, 2, 9, 0, 0, 123456000, time.UTC)
	operator = tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}
)

// house is the new system with the accounts of design §7, without any credits.
type house struct {
	db       *bun.DB
	clock    *tenancytest.Clock
	accounts *tenancy.Accounts
	ledger   *credits.Ledger
}

func (h *house) adoption(cfg adoption.Config) *adoption.Adoption {
	cfg.Now = h.clock.Now
	return adoption.New(h.accounts, h.ledger, cfg)
}

func each(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *bun.DB) { fn(t, newHouse(t, db)) }, credits.Migrate)
}

func newHouse(t *testing.T, db *bun.DB) *house {
	t.Helper()
	h := &house{db: db, clock: tenancytest.NewClock(t0)}
	h.accounts = tenancy.New(tenancy.Config{Now: h.clock.Now})
	h.ledger = credits.New(credits.Config{Now: h.clock.Now})
	if _, err := h.accounts.Ensure(t.Context(), db, tenancytest.Plans()...); err != nil {
		t.Fatal(err)
	}
	a, err := people.New(h.accounts, people.Config{Now: h.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	what := people.Adopt{Actor: operator}
	for i := range 8 {
		n, status := fmt.Sprint(i+1), "trial"
		if i < 3 {
			status = "active"
		}
		what.Accounts = append(what.Accounts, people.Account{ID: tenancy.AccountID(n), Name: "Account " + n, Status: status, Plan: tenancy.DefaultTrialPlan, Owner: n})
		what.Users = append(what.Users, people.User{ID: tenancy.UserID(n), Email: "user" + n + "@example.com", Name: "User " + n})
	}
	if _, err := a.Adopt(t.Context(), db, what); err != nil {
		t.Fatal(err)
	}
	return h
}

// running is the old system of design §7: 8 accounts, 0 to 8,000 credits, 280 rows. Some
// accounts had credits before the first row, rows say what was left after them or do not,
// and some of what was taken was given back.
func running() adoption.Adopt {
	what := adoption.Adopt{Actor: operator, Reason: "the move"}
	row := 0
	for i, balance := range []int64{8000, 5130, 1999, 2000, 740, 12, 1, 0} {
		acc := adoption.Account{ID: tenancy.AccountID(fmt.Sprint(i + 1)), Balance: balance}
		at := time.Date(2026, 6, 1, 8, i, 0, 0, time.UTC)
		n := []int{90, 70, 50, 40, 20, 9, 1, 0}[i]
		has := balance // backwards, so that all ends at the balance
		history := make([]adoption.Row, n)
		for j := n - 1; j >= 0; j-- {
			r := adoption.Row{At: at.Add(time.Duration(j) * 7 * time.Hour), Amount: -int64(1 + j%5), Operation: "ideas"}
			switch {
			case j%20 == 0:
				r.Amount, r.Operation, r.Note = min(1000, has), "", "monthly credits"
			case j%20 == 10:
				r.Amount, r.Kind, r.Note = int64(1+(j-1)%5), credits.KindRefund, "it failed"
			}
			if i < 4 {
				left := has
				r.Balance = &left
			}
			has -= r.Amount
			history[j] = r
		}
		for j := range history {
			row++
			history[j].Reference = fmt.Sprint("row-", row)
			if history[j].Kind == credits.KindRefund {
				history[j].RefundOf = history[j-1].Reference
			}
		}
		if i >= 4 && has > 0 { // its ledger does not say, so it begins with what there was
			history[0].Amount += has
		}
		acc.History = history
		what.Accounts = append(what.Accounts, acc)
	}
	what.Accounts[0].Lots = []credits.Lot{
		{Amount: 3000, Category: credits.CategoryAllowance, ExpiresAt: t0.AddDate(0, 1, 0), Source: "enterprise"},
		{Amount: 5000, Category: credits.CategoryPaid, Source: "invoice 17"},
	}
	return what
}

var tables = []string{
	"credits_accounts", "credits_grants", "credits_entries", "credits_splits", "credits_keys", "tenancy_events", "tenancy_audit",
}

// wantRows fails unless fn adds exactly these rows; of nil, none.
func (h *house) wantRows(t *testing.T, what string, added map[string]int, fn func()) {
	t.Helper()
	count := func() map[string]int {
		counts := map[string]int{}
		for _, table := range tables {
			var n int
			if err := h.db.NewRaw("SELECT COUNT(*) FROM ?", bun.Ident(table)).Scan(t.Context(), &n); err != nil {
				t.Fatal(err)
			}
			counts[table] = n
		}
		return counts
	}
	want := count()
	for table, n := range added {
		want[table] += n
	}
	fn()
	if d := cmp.Diff(want, count()); d != "" {
		t.Errorf("%s: rows (-want +got):\n%s", what, d)
	}
}

func (h *house) adopt(t *testing.T, a *adoption.Adoption, what adoption.Adopt) adoption.Report {
	t.Helper()
	report, err := a.Adopt(t.Context(), h.db, what)
	if err != nil {
		t.Fatalf("%v: %v", err, report.Refused)
	}
	return report
}

// sound fails unless all ledgers add up.
func (h *house) sound(t *testing.T) {
	t.Helper()
	found, err := h.ledger.Verify(t.Context(), h.db, "")
	if err != nil || len(found) > 0 {
		t.Errorf("the ledgers do not add up: %v, %v", found, err)
	}
}

func (h *house) balance(t *testing.T, account tenancy.AccountID) credits.Balance {
	t.Helper()
	b, err := h.ledger.Balance(t.Context(), h.db, account)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// adoptChild adopts the running system and prints the report.
func adoptChild(ctx context.Context, db *bun.DB, _ []string) error {
	now := func() time.Time { return t0 }
	a := adoption.New(tenancy.New(tenancy.Config{Now: now}), credits.New(credits.Config{Now: now}), adoption.Config{Now: now})
	report, err := a.Adopt(ctx, db, running())
	if err != nil {
		return err
	}
	out, err := json.Marshal(report)
	fmt.Print(string(out))
	return err
}
