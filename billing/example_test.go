package billing_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/sqlite"
	"github.com/quitrent/quitrent/tenancy"
)

// A customer on trial asks for a plan by bank transfer; when the money has come, the
// operator confirms it, twice by mistake.
func Example() {
	ctx := context.Background()
	db, closeDB := exampleDB(ctx)
	defer closeDB()

	now := func() time.Time { return time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC) }
	accounts := tenancy.New(tenancy.Config{Now: now})
	ledger := credits.New(credits.Config{Now: now})
	subscriptions, err := billing.New(accounts, ledger, billing.Config{
		Now: now, Bank: billing.Bank{Holder: "Example Ltd", IBAN: "GB33 BUKB 2020 1555 5555 55"},
	})
	if err != nil {
		log.Fatal(err)
	}
	account := exampleAccount(ctx, db, accounts)

	transfer, err := subscriptions.RequestTransfer(ctx, db, billing.RequestTransfer{
		Account: account.ID, Plan: "starter", Actor: tenancy.Actor{Kind: tenancy.ActorUser, ID: string(account.Owner)},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(transfer.Status, billing.FormatAmount(transfer.Amount, transfer.Currency), "with a reference of", len(transfer.Reference), "characters")

	for range 2 {
		transfer, err = subscriptions.ConfirmTransfer(ctx, db, billing.ConfirmTransfer{
			Reference: transfer.Reference, Actor: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "grace"}, Reason: "statement 7, line 12",
		})
		if err != nil {
			log.Fatal(err)
		}
		balance, err := ledger.Balance(ctx, db, account.ID)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(transfer.Status, "until", transfer.PeriodEnd.Format(time.DateOnly), "with", balance.Spendable, "credits")
	}
	account, err = accounts.Get(ctx, db, account.ID)
	fmt.Println(account.Status, account.Plan, err)
	// Output:
	// requested 89.00 USD with a reference of 16 characters
	// confirmed until 2026-02-28 with 1000 credits
	// confirmed until 2026-02-28 with 1000 credits
	// active starter <nil>
}

// The host's own rows and a confirmation commit together, or not at all. A refusal
// leaves the transaction usable.
func ExampleSubscriptions_ConfirmTransfer() {
	ctx := context.Background()
	db, closeDB := exampleDB(ctx)
	defer closeDB()
	subscriptions, err := billing.New(tenancy.New(tenancy.Config{}), credits.New(credits.Config{}), billing.Config{})
	if err != nil {
		log.Fatal(err)
	}

	err = db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := subscriptions.ConfirmTransfer(ctx, tx, billing.ConfirmTransfer{
			Reference: "RF18 5390 0754 7034", Actor: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "grace"},
		})
		if errors.Is(err, billing.ErrNoTransfer) {
			fmt.Println("nobody waits for this payment") // and the host may write that down in tx
			return nil
		}
		return err
	})
	fmt.Println(err)
	// Output:
	// nobody waits for this payment
	// <nil>
}

func ExampleParseReference() {
	fmt.Println(billing.ParseReference("rf18 5390 0754 7034"))
	fmt.Println(billing.ParseReference("rf18 5390 0754 7043"))
	// Output:
	// RF18539007547034 <nil>
	//  this is not a payment reference: check for a typing error
}

func ExampleFormatAmount() {
	fmt.Println(billing.FormatAmount(8900, "USD"))
	fmt.Println(billing.FormatAmount(8900, "JPY"))
	fmt.Println(billing.FormatAmount(8900, "KWD"))
	// Output:
	// 89.00 USD
	// 8900 JPY
	// 8.900 KWD
}

// exampleDB is a new SQLite file with the tables.
func exampleDB(ctx context.Context) (_ *bun.DB, closeDB func()) {
	dir, err := os.MkdirTemp("", "billing")
	if err != nil {
		log.Fatal(err)
	}
	db, err := sqlite.Open(filepath.Join(dir, "example.db"))
	if err == nil {
		err = billing.Migrate(ctx, db)
	}
	if err != nil {
		log.Fatal(err)
	}
	return db, func() { _ = errors.Join(db.Close(), os.RemoveAll(dir)) }
}

func exampleAccount(ctx context.Context, db *bun.DB, accounts *tenancy.Accounts) tenancy.Account {
	_, err := accounts.Ensure(ctx, db,
		tenancy.Plan{Slug: tenancy.DefaultTrialPlan, Name: "Free trial", Active: true, TrialDays: 14},
		tenancy.Plan{
			Slug: "starter", Name: "Starter", Active: true, MonthlyCredits: 1000,
			Prices: []tenancy.Price{{Currency: "USD", Interval: tenancy.Monthly, Amount: 8900}},
		})
	if err != nil {
		log.Fatal(err)
	}
	r, err := accounts.Register(ctx, db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
	if err != nil {
		log.Fatal(err)
	}
	return r.Account
}

// A plan that costs nothing grants each month's credits, until the account is suspended.
func ExampleAllotments() {
	ctx := context.Background()
	db, closeDB := exampleDB(ctx)
	defer closeDB()

	at := time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC)
	now := func() time.Time { return at }
	ledger := credits.New(credits.Config{Now: now})
	accounts := tenancy.New(tenancy.Config{
		Now:        now,
		OnRegister: []tenancy.Hook{ledger.OnRegister},
		OnChange:   []tenancy.ChangeHook{billing.Allotments(ledger)},
	})
	_, err := accounts.Ensure(ctx, db, tenancy.Plan{
		Slug: "free", Name: "Free", Active: true, MonthlyCredits: 100,
		Prices: []tenancy.Price{{Currency: "USD", Interval: tenancy.Monthly}},
	})
	if err != nil {
		log.Fatal(err)
	}
	r, err := accounts.Register(ctx, db, tenancy.Register{Name: "Ada", Email: "ada@example.com", Plan: "free"})
	if err != nil {
		log.Fatal(err)
	}
	show := func() {
		balance, err := ledger.Balance(ctx, db, r.Account.ID)
		fmt.Println(at.Format(time.DateOnly), balance.Spendable, err)
	}
	show()
	at = time.Date(2026, 2, 28, 9, 0, 0, 0, time.UTC) // the seed, and this month's
	show()
	_, err = accounts.Suspend(ctx, db, tenancy.Suspend{Account: r.Account.ID, Actor: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "grace"}})
	if err != nil {
		log.Fatal(err)
	}
	at = time.Date(2026, 7, 1, 9, 0, 0, 0, time.UTC) // the seed alone: a month's credits expire with it
	show()
	// Output:
	// 2026-01-31 100 <nil>
	// 2026-02-28 200 <nil>
	// 2026-07-01 100 <nil>
}

// An operator changes what a plan grants, and every account that is on it follows. The
// loop takes some at a time: a job would keep Next and go on from it another day.
func ExampleSubscriptions_AllotAll() {
	ctx := context.Background()
	db, closeDB := exampleDB(ctx)
	defer closeDB()

	ledger := credits.New(credits.Config{})
	accounts := tenancy.New(tenancy.Config{
		OnRegister: []tenancy.Hook{ledger.OnRegister},
		OnChange:   []tenancy.ChangeHook{billing.Allotments(ledger)},
	})
	subscriptions, err := billing.New(accounts, ledger, billing.Config{})
	if err != nil {
		log.Fatal(err)
	}
	grants := func(monthly int64) {
		_, err := accounts.Ensure(ctx, db, tenancy.Plan{
			Slug: "free", Name: "Free", Active: true, MonthlyCredits: monthly,
			Prices: []tenancy.Price{{Currency: "USD", Interval: tenancy.Monthly}},
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	grants(1000)
	var people []tenancy.AccountID
	for _, name := range []string{"ada", "bob", "eve"} {
		r, err := accounts.Register(ctx, db, tenancy.Register{Name: name, Email: name + "@example.com", Plan: "free"})
		if err != nil {
			log.Fatal(err)
		}
		people = append(people, r.Account.ID)
	}

	grants(1500)
	for next := (billing.AllotAll{Plan: "free", Limit: 2}); ; {
		did, err := subscriptions.AllotAll(ctx, db, next)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(did.Accounts, "accounts,", len(did.Failed), "failed")
		if next.After = did.Next; next.After == "" {
			break
		}
	}
	for _, account := range people {
		allotments, err := ledger.Allotments(ctx, db, account)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(allotments[0].Amount, "a month")
	}
	// Output:
	// 2 accounts, 0 failed
	// 1 accounts, 0 failed
	// 1500 a month
	// 1500 a month
	// 1500 a month
}
