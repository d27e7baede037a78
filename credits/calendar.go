package credits

import (
	"fmt"
	"time"

	"github.com/quitrent/quitrent/internal/clocks"
)

// Every is how long the periods of an allotment are: so many months, or so many days.
// A week is 7 days, a year 12 months. The zero value is a month.
type Every struct {
	Months int `json:"months,omitzero"` // up to 120
	Days   int `json:"days,omitzero"`   // up to 3,660
}

// The longest periods.
const (
	maxMonths = 120
	maxDays   = 3660
)

func (e Every) validate() error {
	if e.Months < 0 || e.Days < 0 || e.Months > maxMonths || e.Days > maxDays || (e.Months == 0) == (e.Days == 0) {
		return fmt.Errorf("%w: a period is 1 to %d months or 1 to %d days, and not both", ErrInvalid, maxMonths, maxDays)
	}
	return nil
}

// calendar says when periods begin. Each is counted from the anchor and not from the one
// before, so that nothing drifts: from 31 January on by months are 28 February and then
// 31 March. The time of day stays what it is on the clocks of the zone.
type calendar struct {
	anchor time.Time
	every  Every
	zone   *time.Location
}

// lastYear is the last in which a period begins or ends: later ones cannot be written
// down.
const lastYear = 9998

// begin is when the n-th period begins, 0 being the one at the anchor; zero where there
// is none any more. A time that the clocks skip that day is as much later, one that they
// show twice is the first.
func (c calendar) begin(n int64) time.Time {
	if n == 0 {
		return c.anchor.UTC()
	}
	t := clocks.After(c.anchor, int(n)*c.every.Months, int(n)*c.every.Days, c.zone)
	if t.In(c.zone).Year() > lastYear {
		return time.Time{}
	}
	return t
}

// after is the first period after the n-th that begins after at, and when. That is
// another than the next one where a zone left a day out: it has no period of its own.
func (c calendar) after(n int64, at time.Time) (int64, time.Time) {
	for {
		n++
		if begin := c.begin(n); begin.IsZero() || begin.After(at) {
			return n, begin
		}
	}
}

// from is the first period that begins at floor or later and ends after now, and when it
// begins.
func (c calendar) from(floor, now time.Time) (int64, time.Time) {
	n := max(0, c.before(latest(floor, now)))
	for {
		begin := c.begin(n)
		if begin.IsZero() {
			return n, begin
		}
		next, end := c.after(n, begin)
		if !begin.Before(floor) && (end.IsZero() || end.After(now)) {
			return n, begin
		}
		n = next
	}
}

// before is a period not long before the one that t is in: it may be off by a day of the
// calendar that some zone left out, by a month that is begun, and by one for safety.
func (c calendar) before(t time.Time) int64 {
	if c.every.Months > 0 {
		months := 12*(t.Year()-c.anchor.Year()) + int(t.Month()) - int(c.anchor.Month())
		return int64(months/c.every.Months) - 2
	}
	return (t.Unix()-c.anchor.Unix())/(24*60*60)/int64(c.every.Days) - 3
}
