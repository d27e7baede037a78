package tenancytest_test

import (
	"fmt"
	"time"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// A trial ends while the test runs, in no time.
func ExampleClock() {
	clock := tenancytest.NewClock(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC))
	plan := tenancytest.Plans()[0]
	trial := tenancy.State{Status: tenancy.StatusTrial, TrialEndsAt: clock.Now().AddDate(0, 0, plan.TrialDays)}

	fmt.Println(tenancy.Check(trial, plan, clock.Now(), tenancy.Use))
	clock.Advance(14 * 24 * time.Hour)
	fmt.Println(tenancy.Check(trial, plan, clock.Now(), tenancy.Use))
	// Output:
	// <nil>
	// the trial is over: choose a plan and pay to go on
}
