package seals_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/seals"
	"github.com/quitrent/quitrent/internal/sqlite"
)

// Somebody with the owner's rights changes what a deduction was for.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "app.db")) // a host opens its own
	check(err)
	defer func() { _ = db.Close() }()
	check(credits.Migrate(ctx, db))
	ledger, s := credits.New(credits.Config{}), seals.New(seals.Config{})

	_, err = ledger.Grant(ctx, db, credits.Grant{Account: "acc_1", Amount: 100, Key: "invoice:4711"})
	check(err)
	for _, note := range []string{"two images", "one image"} {
		_, err = ledger.Deduct(ctx, db, credits.Deduct{Account: "acc_1", Amount: 5, Note: note})
		check(err)
	}
	head, err := s.Seal(ctx, db, "acc_1")
	check(err)
	fmt.Println(head.Number, "entries are sealed")
	report, err := s.Verify(ctx, db, "acc_1", head)
	check(err)
	fmt.Println("sound:", report.Sound())

	for _, q := range []string{"DROP TRIGGER credits_entries_no_update", "UPDATE credits_entries SET note = 'nine images' WHERE number = 2"} {
		_, err = db.ExecContext(ctx, q)
		check(err)
	}
	findings, err := ledger.Verify(ctx, db, "acc_1")
	check(err)
	fmt.Println("it adds up:", len(findings) == 0)
	report, err = s.Verify(ctx, db, "acc_1", head)
	check(err)
	for _, f := range report.Findings {
		fmt.Println(f)
	}
	// Output:
	// 3 entries are sealed
	// sound: true
	// it adds up: true
	// acc_1: entry 2: an entry is as it was sealed: the entry was changed
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
