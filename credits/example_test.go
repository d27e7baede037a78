package credits_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite"

	"github.com/quitrent/quitrent/credits"
)

func ExampleLedger() {
	dir, err := os.MkdirTemp("", "credits")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	pool, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "app.db")+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	db := bun.NewDB(pool, sqlitedialect.New())
	ctx := context.Background()
	if err := credits.Migrate(ctx, db); err != nil {
		log.Fatal(err)
	}
	ledger := credits.New(credits.Config{Pay: "https://example.com/pay"})

	_, err = ledger.Grant(ctx, db, credits.Grant{Account: "shop-7", Amount: 10, Key: "invoice:4711", Category: credits.CategoryPaid})
	if err != nil {
		log.Fatal(err)
	}

	// The same key twice: one deduction.
	draw := credits.Deduct{Account: "shop-7", Amount: 6, Key: "image:1", Operation: "image"}
	for range 2 {
		entry, err := ledger.Deduct(ctx, db, draw)
		fmt.Println(entry.Number, entry.Amount, "left:", entry.Spendable, "replayed:", entry.Replayed, err)
	}

	_, err = ledger.Deduct(ctx, db, credits.Deduct{Account: "shop-7", Amount: 6, Key: "image:2"})
	var short *credits.InsufficientError
	if errors.As(err, &short) {
		fmt.Println("needs", short.Need, "has", short.Have)
	}

	// The drawing failed: its credits go back to the grant they came from.
	if _, err := ledger.Refund(ctx, db, credits.Refund{Account: "shop-7", Entry: 2, Key: "image:1:refund"}); err != nil {
		log.Fatal(err)
	}
	balance, err := ledger.Balance(ctx, db, "shop-7")
	fmt.Printf("%+v %v\n", balance, err)

	// Output:
	// 2 -6 left: 4 replayed: false <nil>
	// 2 -6 left: 4 replayed: true <nil>
	// needs 6 has 4
	// {Booked:10 Held:0 Spendable:10} <nil>
}
