package retention_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/sqlite"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
	"github.com/quitrent/quitrent/tenancy/retention"
)

// Bill is a model that the law wants kept.
type Bill struct {
	bun.BaseModel `bun:"table:bills"`
	owned.Row

	ID     string `bun:"id,pk"`
	Amount int64  `bun:"amount"`
	Name   string `bun:"name"`
}

// An account leaves with its data, and is forgotten when it can come back no more.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "app.db")) // a host opens its own
	check(err)
	defer func() { _ = db.Close() }()
	check(tenancy.Migrate(ctx, db))
	_, err = db.NewRaw("CREATE TABLE bills (account_id TEXT NOT NULL, id TEXT NOT NULL, amount BIGINT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (account_id, id))").Exec(ctx)
	check(err)

	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	accounts := tenancy.New(tenancy.Config{Now: clock})
	tables := owned.New(owned.Config{Tables: slices.Concat(retention.Tables(), []owned.Table{
		{Model: (*Bill)(nil), Keep: true, Personal: []string{"name"}},
	})})
	check(tables.Bind(ctx, db))
	keeper := retention.New(accounts, tables, retention.Config{Now: clock})
	check(keeper.Complete(ctx, db))

	_, err = accounts.Ensure(ctx, db, tenancy.Plan{Slug: tenancy.DefaultTrialPlan, Name: "Free trial", Active: true, TrialDays: 14})
	check(err)
	ada, err := accounts.Register(ctx, db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
	check(err)
	owner := tenancy.Actor{Kind: tenancy.ActorUser, ID: string(ada.User.ID)}
	inside, err := accounts.Enter(ctx, db, ada.Account.ID, owner, tenancy.Write)
	check(err)
	_, err = tables.For(inside, db).NewInsert().Model(&Bill{ID: "1", Amount: 8900, Name: "Ada Lovelace"}).Exec(inside)
	check(err)

	manifest, err := keeper.Export(ctx, db, io.Discard, retention.Export{Account: ada.Account.ID, Actor: owner, Reason: "moving on"})
	check(err)
	for _, f := range manifest.Files {
		if f.Table == "bills" {
			fmt.Println(f.Name, "has", f.Rows, "row")
		}
	}
	_, err = accounts.Close(ctx, db, tenancy.Close{Account: ada.Account.ID, Actor: owner, Reason: "moved on"})
	check(err)

	now = now.AddDate(0, 0, 30)
	purged, err := keeper.Purge(ctx, db)
	check(err)
	fmt.Println("erased", len(purged.Erased), "account")
	across, err := accounts.System(ctx, db, tenancy.Actor{Kind: tenancy.ActorSystem, ID: "books"}, "the yearly accounts")
	check(err)
	var bill Bill
	check(tables.For(across, db).NewSelect().Model(&bill).Scan(across))
	fmt.Printf("the books say %d, of %q\n", bill.Amount, bill.Name)
	// Output:
	// bills.jsonl has 1 row
	// erased 1 account
	// the books say 8900, of ""
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
