package adoption_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/adoption"
	"github.com/quitrent/quitrent/internal/sqlite"
	"github.com/quitrent/quitrent/tenancy"
)

// A dry run finds that a row is missing; with it, Ada's credits are adopted, and the
// ledger goes on from there.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "app.db")) // a host opens its own
	check(err)
	defer func() { _ = db.Close() }()
	check(credits.Migrate(ctx, db))
	accounts := tenancy.New(tenancy.Config{})
	_, err = accounts.Ensure(ctx, db, tenancy.Plan{Slug: tenancy.DefaultTrialPlan, Name: "Free trial", Active: true, TrialDays: 14})
	check(err)
	ada, err := accounts.Register(ctx, db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
	check(err)

	ledger := credits.New(credits.Config{})
	a := adoption.New(accounts, ledger, adoption.Config{})
	may := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	what := adoption.Adopt{
		Accounts: []adoption.Account{{
			ID: ada.Account.ID, Balance: 1770,
			History: []adoption.Row{
				{At: may, Amount: 2000, Reference: "1", Note: "credits to begin with"},
				{At: may.AddDate(0, 0, 3), Amount: -250, Reference: "2", Operation: "ideas"},
			},
		}},
		DryRun: true,
		Actor:  tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"},
	}
	report, err := a.Adopt(ctx, db, what)
	check(err)
	for _, f := range report.Refused {
		fmt.Println(f.Field+":", f.Text)
	}

	history := &what.Accounts[0].History
	*history = append(*history, adoption.Row{At: may.AddDate(0, 0, 4), Amount: 20, Reference: "3", Kind: credits.KindRefund, RefundOf: "2"})
	what.DryRun = false
	report, err = a.Adopt(ctx, db, what)
	check(err)
	fmt.Println("adopted:", report.Accounts.New, "account,", report.Rows.New, "rows,", report.Credits, "credits")

	then, err := ledger.BalanceAsOf(ctx, db, credits.AsOf{Account: ada.Account.ID, At: may.AddDate(0, 0, 3)})
	check(err)
	fmt.Println("on the 4th of May there were", then.Balance)
	entry, err := ledger.Deduct(ctx, db, credits.Deduct{Account: ada.Account.ID, Amount: 70, Operation: "ideas"})
	check(err)
	fmt.Println("entry", entry.Number, "leaves", entry.Balance)

	report, err = a.Adopt(ctx, db, what)
	check(err)
	fmt.Println("again:", report.Accounts.New, "new,", report.Accounts.Same, "the same")
	// Output:
	// balance: the history comes to 1750 and the balance is 1770: correct the rows, or set Config.Adjust, which enters the difference as an entry of its own
	// adopted: 1 account, 3 rows, 1770 credits
	// on the 4th of May there were 1750
	// entry 4 leaves 1700
	// again: 0 new, 1 the same
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
