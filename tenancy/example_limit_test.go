package tenancy_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/sqlite"
	"github.com/quitrent/quitrent/tenancy"
)

// A host keeps its sites within what the plan allows, and gives one customer more.
func ExampleAccounts_Admit() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "app.db")) // a host opens its own
	check(err)
	defer func() { _ = db.Close() }()
	check(tenancy.Migrate(ctx, db))
	_, err = db.ExecContext(ctx, "CREATE TABLE sites (account_id TEXT NOT NULL, slug TEXT NOT NULL, PRIMARY KEY (account_id, slug))")
	check(err)

	accounts := tenancy.New(tenancy.Config{})
	_, err = accounts.Ensure(ctx, db, tenancy.Plan{
		Slug: tenancy.DefaultTrialPlan, Name: "Free trial", Active: true, TrialDays: 14, Limits: map[string]int64{"sites": 1},
	})
	check(err)
	ada, err := accounts.Register(ctx, db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
	check(err)

	create := func(slug string) {
		err := db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			err := accounts.Admit(ctx, tx, tenancy.Admit{
				Account: ada.Account.ID, Limit: "sites",
				Count: func(ctx context.Context, db bun.IDB) (int64, error) {
					return db.NewSelect().Table("sites").Where("account_id = ?", ada.Account.ID).Count(ctx)
				},
			})
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, "INSERT INTO sites (account_id, slug) VALUES (?, ?)", ada.Account.ID, slug)
			return err
		})
		fmt.Println(slug, err)
	}
	create("blog")
	create("shop")
	_, err = accounts.Override(ctx, db, tenancy.Override{
		Account: ada.Account.ID, Limits: map[string]int64{"sites": 2}, Flags: map[string]bool{"white_label": true},
		Actor: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}, Reason: "agreed on the phone",
	})
	check(err)
	create("shop")
	// Output:
	// blog <nil>
	// shop the plan allows no more of these: choose a larger plan: 1 sites
	// shop <nil>
}

// An account is closed, comes back, is closed again and stays so.
func ExampleAccounts_Close() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "app.db")) // a host opens its own
	check(err)
	defer func() { _ = db.Close() }()
	check(tenancy.Migrate(ctx, db))

	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	accounts := tenancy.New(tenancy.Config{Now: func() time.Time { return now }})
	_, err = accounts.Ensure(ctx, db, tenancy.Plan{Slug: tenancy.DefaultTrialPlan, Name: "Free trial", Active: true, TrialDays: 14})
	check(err)
	ada, err := accounts.Register(ctx, db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
	check(err)

	owner := tenancy.Actor{Kind: tenancy.ActorUser, ID: string(ada.User.ID)}
	desk := tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}
	closed, err := accounts.Close(ctx, db, tenancy.Close{Account: ada.Account.ID, Actor: owner, Reason: "too dear"})
	check(err)
	fmt.Println(closed.Status, "until", closed.PurgeAt.Format(time.DateOnly))
	_, err = accounts.Enter(ctx, db, closed.ID, owner, tenancy.SignIn)
	fmt.Println(err)

	open, err := accounts.Restore(ctx, db, tenancy.Restore{Account: closed.ID, Actor: desk, Reason: "they called"})
	check(err)
	fmt.Println(open.Status)

	_, err = accounts.Close(ctx, db, tenancy.Close{Account: closed.ID, Actor: owner})
	check(err)
	now = now.AddDate(0, 0, 30)
	_, err = accounts.Restore(ctx, db, tenancy.Restore{Account: closed.ID, Actor: desk})
	fmt.Println(err)
	due, err := accounts.Closed(ctx, db, tenancy.Closed{Due: true})
	fmt.Println(len(due), "to erase", err)
	// Output:
	// closed until 2026-03-31
	// there is no such account
	// trial
	// the account cannot go from its status to that one: the time in which it could be restored is over
	// 1 to erase <nil>
}
