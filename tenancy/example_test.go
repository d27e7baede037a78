package tenancy_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/quitrent/quitrent/internal/sqlite"
	"github.com/quitrent/quitrent/tenancy"
)

// An account signs up, a job works for it, and the trial ends.
func Example() {
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
	_, err = accounts.Ensure(ctx, db, tenancy.Plan{
		Slug: tenancy.DefaultTrialPlan, Name: "Free trial", Active: true, MonthlyCredits: 2000, TrialDays: 14,
	})
	check(err)

	ada, err := accounts.Register(ctx, db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
	check(err)
	fmt.Println(ada.Account.Name, "is on", ada.Account.Status, "until", ada.Account.TrialEndsAt.Format(time.DateOnly))

	job := tenancy.Actor{Kind: tenancy.ActorSystem, ID: "mailer"}
	inside, err := accounts.Enter(ctx, db, ada.Account.ID, job, tenancy.Write)
	check(err)
	fmt.Println("the mailer works for an account on", tenancy.From(inside).Plan.Name)

	now = now.AddDate(0, 0, 14)
	_, err = accounts.Enter(ctx, db, ada.Account.ID, job, tenancy.Write)
	fmt.Println(err)
	// Output:
	// Ada is on trial until 2026-03-15
	// the mailer works for an account on Free trial
	// the trial is over: choose a plan and pay to go on
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
