package billing

import (
	"fmt"
	"time"

	"github.com/quitrent/quitrent/tenancy"
)

// periodEnd is the end of the n-th period (1, 2, 3) that is counted from anchor, in
// the account's time zone. Every end is counted from the anchor, so that a
// subscription of 31 January ends on 28 February, 31 March and 30 April and never
// drifts; the hour stays what it is on the account's own clock.
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
	local := anchor.In(loc)
	first := time.Date(local.Year(), local.Month()+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
	lastDay := first.AddDate(0, 1, -1).Day()
	hour, minute, second := local.Clock()
	return time.Date(first.Year(), first.Month(), min(local.Day(), lastDay),
		hour, minute, second, local.Nanosecond(), loc).UTC(), nil
}
