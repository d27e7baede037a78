package credits

import (
	"fmt"
	"time"

	"github.com/quitrent/quitrent/tenancy"
)

// BudgetPeriod is how often a budget begins anew.
type BudgetPeriod string

// The periods of budgets: those of the calendar in the budget's zone.
const (
	BudgetLife  BudgetPeriod = "life"  // never
	BudgetDay   BudgetPeriod = "day"   // at midnight
	BudgetWeek  BudgetPeriod = "week"  // on Monday (ISO 8601)
	BudgetMonth BudgetPeriod = "month" // on the 1st
)

var budgetPeriods = []BudgetPeriod{BudgetLife, BudgetDay, BudgetWeek, BudgetMonth}

// around is the period that a moment lies in: from since on and before until, which is
// zero where it never ends. A lifetime begins at the moment.
func (p BudgetPeriod) around(at time.Time, zone string) (since, until time.Time, err error) {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return since, until, fmt.Errorf("credits: the time zone %q of a budget: %w", zone, err)
	}
	y, m, d := at.In(loc).Date()
	switch p {
	case BudgetDay:
		return dayBegins(y, m, d, loc), dayBegins(y, m, d+1, loc), nil
	case BudgetWeek:
		d -= (int(at.In(loc).Weekday()) + 6) % 7 // since Monday
		return dayBegins(y, m, d, loc), dayBegins(y, m, d+7, loc), nil
	case BudgetMonth:
		return dayBegins(y, m, 1, loc), dayBegins(y, m+1, 1, loc), nil
	default:
		return at, time.Time{}, nil
	}
}

// dayBegins is the first moment of a day, which is not midnight where the clocks are put
// forward then, and the first of two midnights where they are put back.
func dayBegins(y int, m time.Month, d int, loc *time.Location) time.Time {
	t := time.Date(y, m, d, 0, 0, 0, 0, loc)
	began, next := t.ZoneBounds()
	switch midnight := time.Date(y, m, d, 0, 0, 0, 0, time.UTC); wall(t).Compare(midnight) {
	case -1:
		return next.UTC()
	case 1:
		return began.UTC()
	}
	if !began.IsZero() {
		_, now := t.Zone()
		_, before := began.Add(-1).Zone()
		if first := t.Add(time.Duration(now-before) * time.Second); first.Before(began) {
			return first.UTC()
		}
	}
	return t.UTC()
}

// wall is what clocks show, as if it were UTC.
func wall(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

func checkZone(zone string) (string, error) {
	zone, err := tenancy.ParseZone(zone)
	if err != nil {
		return "", fmt.Errorf("%w: the time zone is not one of IANA's, such as Europe/Vienna", ErrInvalid)
	}
	return zone, nil
}
