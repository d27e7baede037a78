package credits_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite"

	"github.com/quitrent/quitrent/credits"
)

func ExampleLedger_Statement() {
	pool, err := sql.Open("sqlite", ":memory:?_txlock=immediate&_pragma=foreign_keys(1)")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	pool.SetMaxOpenConns(1) // each would be another memory
	db := bun.NewDB(pool, sqlitedialect.New())
	ctx := context.Background()
	if err := credits.Migrate(ctx, db); err != nil {
		log.Fatal(err)
	}
	today := time.Date(2026, time.February, 27, 12, 0, 0, 0, time.UTC)
	ledger := credits.New(credits.Config{Now: func() time.Time { return today }})

	if _, err := ledger.Grant(ctx, db, credits.Grant{Account: "shop-7", Amount: 100, Key: "invoice:4711"}); err != nil {
		log.Fatal(err)
	}
	for _, image := range []string{"image:1", "image:2", "image:3"} {
		today = today.AddDate(0, 0, 2) // 1, 3 and 5 March
		if _, err := ledger.Deduct(ctx, db, credits.Deduct{Account: "shop-7", Amount: 6, Key: image, Operation: "image"}); err != nil {
			log.Fatal(err)
		}
	}

	march := credits.Statement{
		Account: "shop-7", Totals: true, Limit: 2,
		From: time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC),
		To:   time.Date(2026, time.April, 1, 0, 0, 0, 0, time.UTC),
	}
	for {
		page, err := ledger.Statement(ctx, db, march)
		if err != nil {
			log.Fatal(err)
		}
		if march.Cursor == "" {
			fmt.Println("opening", page.Opening.Balance, "closing", page.Closing.Balance, page.Totals)
		}
		for _, e := range page.Entries {
			fmt.Println(e.Number, e.At.Format(time.DateOnly), e.Kind, e.Amount, e.Balance)
		}
		if page.Next == "" {
			break
		}
		march.Cursor, march.Totals = page.Next, false
	}

	then, err := ledger.BalanceAsOf(ctx, db, credits.AsOf{Account: "shop-7", At: time.Date(2026, time.March, 4, 0, 0, 0, 0, time.UTC)})
	fmt.Println("on 4 March", then.Balance, err)

	// Output:
	// opening 100 closing 82 [{deduct 3 0 18}]
	// 2 2026-03-01 deduct -6 94
	// 3 2026-03-03 deduct -6 88
	// 4 2026-03-05 deduct -6 82
	// on 4 March 88 <nil>
}
