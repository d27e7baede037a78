package billing

import (
	"fmt"
	"time"

	"github.com/quitrent/quitrent/internal/clocks"
	"github.com/quitrent/quitrent/tenancy"
)

// periodEnd is the end of the n-th period (1, 2, 3) that is counted from anchor, in
// the account's time zone. Every end is counted from the anchor, so that a
// subscription of 31 January ends on 28 February, 31 March and 30 April and never
// drifts; the hour stays what it is on the account's own clock. An hour that the clocks
// skip that day is an hour later, one that they show twice is the first.
func periodEnd(anchor time.Time, interval string, n int, zone string) (time.Time, error) {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("billing: %w: import time/tzdata where the system has no zones", err)
	}
	months := n
	switch interval {
	case tenancy.Monthly:
	case tenancy.Yearly:
		months = 12 * n
	default:
		return time.Time{}, fmt.Errorf("%w: the interval %q is neither month nor year", ErrInvalid, interval)
	}
	return clocks.After(anchor, months, 0, loc), nil
}
