package clocks_test

import (
	"testing"
	"time"
	_ "time/tzdata" // the tests need zones wherever they run

	"github.com/quitrent/quitrent/internal/clocks"
)

func TestAfter(t *testing.T) {
	for _, c := range []struct {
		zone, anchor string
		months, days int
		want         string
	}{
		{"UTC", "2026-01-31T09:00:00.123456Z", 0, 0, "2026-01-31T09:00:00.123456Z"},
		{"UTC", "2026-01-31T09:00:00Z", 1, 0, "2026-02-28T09:00:00Z"},
		{"UTC", "2026-01-31T09:00:00Z", 2, 0, "2026-03-31T09:00:00Z"},
		{"UTC", "2026-01-31T09:00:00Z", 25, 0, "2028-02-29T09:00:00Z"},
		{"UTC", "2026-01-31T09:00:00Z", 1, 1, "2026-03-01T09:00:00Z"},
		{"UTC", "2026-12-31T09:00:00Z", 0, 60, "2027-03-01T09:00:00Z"},
		// Ten in the morning there, before and after the clocks are changed.
		{"Europe/Zurich", "2026-03-28T09:00:00Z", 0, 1, "2026-03-29T08:00:00Z"},
		{"America/New_York", "2026-10-15T13:30:00Z", 1, 0, "2026-11-15T14:30:00Z"},
		// Half past two on 29 March 2026 does not exist in Zurich, on 25 October it is there twice.
		{"Europe/Zurich", "2026-03-28T01:30:00Z", 0, 1, "2026-03-29T01:30:00Z"},
		{"Europe/Zurich", "2026-09-25T00:30:00Z", 1, 0, "2026-10-25T00:30:00Z"},
		// Lord Howe's clocks are changed by half an hour.
		{"Australia/Lord_Howe", "2026-09-03T15:45:00Z", 1, 0, "2026-10-03T15:45:00Z"},
		// Samoa went over the date line: it had no 30 December 2011.
		{"Pacific/Apia", "2011-11-30T20:00:00Z", 1, 0, "2011-12-30T20:00:00Z"},
		{"Pacific/Apia", "2011-12-01T09:00:00Z", 1, 0, "2011-12-31T09:00:00Z"},
	} {
		loc, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		anchor, err := time.Parse(time.RFC3339Nano, c.anchor)
		if err != nil {
			t.Fatal(err)
		}
		if got := clocks.After(anchor, c.months, c.days, loc); got.Format(time.RFC3339Nano) != c.want {
			t.Errorf("%s in %s, %d months and %d days: %s, want %s", c.anchor, c.zone, c.months, c.days, got.Format(time.RFC3339Nano), c.want)
		}
	}
}
