package credits_test

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

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

// A plan of 1,000 credits a month, of which up to 500 roll over.
func ExampleLedger_SetAllotment() {
	pool, err := sql.Open("sqlite", "file::memory:?_txlock=immediate")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	pool.SetMaxOpenConns(1)
	db := bun.NewDB(pool, sqlitedialect.New())
	ctx := context.Background()
	if err := credits.Migrate(ctx, db); err != nil {
		log.Fatal(err)
	}
	now := time.Date(2026, time.January, 31, 9, 0, 0, 0, time.UTC)
	ledger := credits.New(credits.Config{Now: func() time.Time { return now }})

	plan, err := ledger.SetAllotment(ctx, db, credits.SetAllotment{
		Account: "shop-7", Name: "plan", Amount: 1000, Rollover: credits.Rollover{Cap: 500},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("next:", plan.NextAt.Format(time.DateOnly))

	// Nobody asks for a month: what is due is granted as of when it was.
	now = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	balance, err := ledger.Balance(ctx, db, "shop-7")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("spendable:", balance.Spendable)
	page, err := ledger.Entries(ctx, db, credits.Entries{Account: "shop-7"})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range page.Entries {
		fmt.Println(e.At.Format(time.DateOnly), e.Amount, cmp.Or(e.Note, string(e.Kind)))
	}

	// Output:
	// next: 2026-02-28
	// spendable: 1500
	// 2026-02-28 1000 allotment: plan
	// 2026-02-28 500 rollover: plan
	// 2026-02-28 -1000 expire
	// 2026-01-31 1000 allotment: plan
}
