package credits_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
)

// A key may spend ten credits a day, whatever the account has.
func ExampleLedger_SetBudget() {
	ctx := context.Background()
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	ledger := credits.New(credits.Config{Now: func() time.Time { return now }})
	db := shopWith100(ctx, ledger)
	defer func() { _ = db.Close() }()

	key := tenancy.Actor{Kind: tenancy.ActorKey, ID: "key_1"}
	_, err := ledger.SetBudget(ctx, db, credits.SetBudget{
		Account: "shop-7", Subject: key, Limit: 10, Period: credits.BudgetDay,
	})
	if err != nil {
		log.Fatal(err)
	}
	entry, err := ledger.Deduct(ctx, db, credits.Deduct{Account: "shop-7", Amount: 8, Key: "image:1", Actor: key})
	fmt.Println(entry.Amount, "left:", entry.Balance, err)

	_, err = ledger.Deduct(ctx, db, credits.Deduct{Account: "shop-7", Amount: 8, Key: "image:2", Actor: key})
	var over *credits.BudgetError
	if errors.As(err, &over) {
		fmt.Println("needs", over.Need, "has used", over.Used, "of", over.Limit, "until", over.Until.Format(time.DateTime))
	}

	// Output:
	// -8 left: 92 <nil>
	// needs 8 has used 8 of 10 until 2026-03-02 00:00:00
}

// An event says once that the account is low, and goes out with the outbox.
func ExampleLedger_SetThreshold() {
	ctx := context.Background()
	ledger := credits.New(credits.Config{})
	db := shopWith100(ctx, ledger)
	defer func() { _ = db.Close() }()
	accounts := tenancy.New(tenancy.Config{Deliver: func(_ context.Context, e tenancy.Event) error {
		if low, err := tenancy.Decode[credits.Low](e); err == nil {
			fmt.Printf("%s: %d left, low is %d\n", e.Account, low.Spendable, low.Low)
		}
		return nil
	}})

	if _, err := ledger.SetThreshold(ctx, db, credits.SetThreshold{Account: "shop-7", Low: 20, Reset: 50}); err != nil {
		log.Fatal(err)
	}
	for range 4 { // 70, 40, 10, and the last is refused
		_, err := ledger.Deduct(ctx, db, credits.Deduct{Account: "shop-7", Amount: 30})
		if err != nil {
			fmt.Println(err)
		}
	}
	if _, err := accounts.DeliverDue(ctx, db); err != nil { // as accounts.Run does by itself
		log.Fatal(err)
	}

	// Output:
	// not enough credits: buy more to go on: this takes 30 and 10 are left
	// shop-7: 10 left, low is 20
}

// Somebody has written to the account's row by hand.
func ExamplePropose() {
	ctx := context.Background()
	ledger := credits.New(credits.Config{})
	db := shopWith100(ctx, ledger)
	defer func() { _ = db.Close() }()

	found, err := ledger.Verify(ctx, db, "shop-7")
	fmt.Println(len(found), "findings", err)
	if _, err := db.Exec("UPDATE credits_accounts SET booked = booked + 5 WHERE account_id = 'shop-7'"); err != nil {
		log.Fatal(err)
	}
	found, err = ledger.Verify(ctx, db, "shop-7")
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range credits.Propose(found) {
		fmt.Println(p.Finding)
		if p.Amount != 0 {
			fmt.Println("if the account is to keep what it was shown, grant it", p.Amount)
		}
	}

	// Output:
	// 0 findings <nil>
	// shop-7: balance = sum of entries: the balance is 105, the sum 100
	// if the account is to keep what it was shown, grant it 5
	// shop-7: balance = what remains in grants - debt: the balance is 105, grants hold 100, the debt is 0
}
