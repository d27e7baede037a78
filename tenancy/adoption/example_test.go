package adoption_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/quitrent/quitrent/internal/sqlite"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/adoption"
)

// A dry run finds an account that nobody owns; with an owner, it is adopted.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "app.db")) // a host opens its own
	check(err)
	defer func() { _ = db.Close() }()
	check(tenancy.Migrate(ctx, db))
	accounts := tenancy.New(tenancy.Config{})
	_, err = accounts.Ensure(ctx, db, tenancy.Plan{Slug: "enterprise", Name: "Enterprise", Active: true})
	check(err)

	a, err := adoption.New(accounts, adoption.Config{
		Statuses: map[string]tenancy.Status{"LIVE": tenancy.StatusActive},
		Plans:    map[string]string{"ENT": "enterprise"},
	})
	check(err)
	what := adoption.Adopt{
		Accounts: []adoption.Account{
			{ID: "17", Name: "Lovelace & Co", Status: "LIVE", Plan: "ENT", Owner: "4"},
			{ID: "18", Name: "Engines", Status: "LIVE", Plan: "ENT"},
		},
		Users:  []adoption.User{{ID: "4", Email: "ada@example.com", Name: "Ada"}},
		DryRun: true,
		Actor:  tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"},
	}
	report, err := a.Adopt(ctx, db, what)
	check(err)
	for _, f := range report.Refused {
		fmt.Println(f)
	}

	what.Accounts[1].Owner, what.DryRun = "4", false
	report, err = a.Adopt(ctx, db, what)
	check(err)
	fmt.Println("adopted:", report.Accounts.New)
	report, err = a.Adopt(ctx, db, what)
	check(err)
	fmt.Println("again:", report.Accounts.New, "new,", report.Accounts.Same, "the same")
	// Output:
	// account "18": owner: the account has no owner: name the user who is to own it, or leave the account out
	// adopted: 2
	// again: 0 new, 2 the same
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
