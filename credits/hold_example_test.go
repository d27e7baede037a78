package credits_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite"

	"github.com/quitrent/quitrent/credits"
)

// shopWith100 is a database for an example, in which the account shop-7 has 100 credits.
func shopWith100(ctx context.Context, ledger *credits.Ledger) *bun.DB {
	pool, err := sql.Open("sqlite", ":memory:?_txlock=immediate&_pragma=foreign_keys(1)")
	if err != nil {
		log.Fatal(err)
	}
	pool.SetMaxOpenConns(1) // each would be another memory
	db := bun.NewDB(pool, sqlitedialect.New())
	if err := credits.Migrate(ctx, db); err != nil {
		log.Fatal(err)
	}
	if _, err := ledger.Grant(ctx, db, credits.Grant{Account: "shop-7", Amount: 100, Key: "invoice:4711"}); err != nil {
		log.Fatal(err)
	}
	return db
}

// A film may cost up to fifty credits. What it costs is known when it is done.
func ExampleLedger_Hold() {
	ctx := context.Background()
	ledger := credits.New(credits.Config{})
	db := shopWith100(ctx, ledger)
	defer func() { _ = db.Close() }()

	held, err := ledger.Hold(ctx, db, credits.Hold{Account: "shop-7", Amount: 50, Key: "film:1", Operation: "render"})
	if err != nil {
		log.Fatal(err)
	}
	balance, err := ledger.Balance(ctx, db, "shop-7")
	fmt.Printf("%+v %v\n", balance, err)

	done, err := ledger.Settle(ctx, db, credits.Settle{Account: "shop-7", Hold: held.ID, Amount: 37})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(done.Hold.State, done.Entry.Amount, "left:", done.Entry.Balance)
	balance, err = ledger.Balance(ctx, db, "shop-7")
	fmt.Printf("%+v %v\n", balance, err)

	// Output:
	// {Booked:100 Held:50 Spendable:50} <nil>
	// settled -37 left: 63
	// {Booked:63 Held:0 Spendable:63} <nil>
}

// Four images were paid for at once. The third fails, and then all of them.
func ExampleLedger_Refund() {
	ctx := context.Background()
	ledger := credits.New(credits.Config{})
	db := shopWith100(ctx, ledger)
	defer func() { _ = db.Close() }()

	paid, err := ledger.Deduct(ctx, db, credits.Deduct{Account: "shop-7", Amount: 20, Key: "images:1", Operation: "image"})
	if err != nil {
		log.Fatal(err)
	}
	back := credits.Refund{Account: "shop-7", Entry: paid.Number, Amount: 5, Key: "images:1:failed:3"}
	for range 2 { // the same key twice: one refund
		entry, err := ledger.Refund(ctx, db, back)
		fmt.Println(entry.Amount, "left:", entry.Balance, "replayed:", entry.Replayed, err)
	}
	rest, err := ledger.Refund(ctx, db, credits.Refund{Account: "shop-7", Entry: paid.Number, Key: "images:1:failed"})
	fmt.Println(rest.Amount, "left:", rest.Balance, err)
	_, err = ledger.Refund(ctx, db, credits.Refund{Account: "shop-7", Entry: paid.Number, Key: "images:1:again"})
	fmt.Println(err)

	// Output:
	// 5 left: 85 replayed: false <nil>
	// 5 left: 85 replayed: true <nil>
	// 15 left: 100 <nil>
	// a refund gives back at most what the entry took and was not given back yet
}
