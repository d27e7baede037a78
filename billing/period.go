package billing

import (
	"fmt"
	"time"

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
	local := anchor.In(loc)
	first := time.Date(local.Year(), local.Month()+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
	lastDay := first.AddDate(0, 1, -1).Day()
	hour, minute, second := local.Clock()
	return onClock(time.Date(first.Year(), first.Month(), min(local.Day(), lastDay),
		hour, minute, second, local.Nanosecond(), time.UTC), loc), nil
}

// onClock is when the clocks of loc show what wall shows in UTC. time.Date leaves open
// what it does where they skip that or show it twice; here the offset of the day before
// decides.
func onClock(wall time.Time, loc *time.Location) time.Time {
	shows := func(t time.Time) bool {
		_, offset := t.In(loc).Zone()
		return t.Add(time.Duration(offset) * time.Second).Equal(wall)
	}
	year, month, day := wall.Date()
	hour, minute, second := wall.Clock()
	near := time.Date(year, month, day, hour, minute, second, wall.Nanosecond(), loc)
	_, before := near.Add(-24 * time.Hour).Zone()
	if t := wall.Add(-time.Duration(before) * time.Second); shows(t) || !shows(near) {
		return t
	}
	return near.UTC() // the clocks were changed since the day before, but not now
}
