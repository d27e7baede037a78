// Package clocks counts months and days on the clocks of a time zone.
package clocks

import "time"

// After is so many months and then days after anchor, in UTC: when the clocks of loc show
// the same time of day. Where a month has no such day it is the month's last. A time that
// the clocks skip that day is as much later, one that they show twice is the first.
//
// Counted from one anchor, and not from one to the next, nothing drifts: by months from 31
// January on are 28 February and then 31 March.
func After(anchor time.Time, months, days int, loc *time.Location) time.Time {
	local := anchor.In(loc)
	first := time.Date(local.Year(), local.Month()+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
	day := min(local.Day(), first.AddDate(0, 1, -1).Day()) + days
	hour, minute, second := local.Clock()
	return onClock(time.Date(first.Year(), first.Month(), day, hour, minute, second, local.Nanosecond(), time.UTC), loc)
}

// onClock is when the clocks of loc show what wall shows in UTC. Where they skip that or
// show it twice the offset of the day before decides, which time.Date leaves open.
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
