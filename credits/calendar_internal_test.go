package credits

import (
	"testing"
	"time"
	_ "time/tzdata" // the tests need zones wherever they run

	"pgregory.net/rapid"
)

func utc(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func zone(t interface{ Fatal(...any) }, name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestCalendar_CountsFromTheAnchor(t *testing.T) {
	for _, c := range []struct {
		zone, anchor string
		every        Every
		begins       []string // of the periods after the one at the anchor
	}{
		{"UTC", "2026-01-31T09:00:00.123456Z", Every{Months: 1}, []string{
			"2026-02-28T09:00:00.123456Z", "2026-03-31T09:00:00.123456Z", "2026-04-30T09:00:00.123456Z", "2026-05-31T09:00:00.123456Z",
		}},
		{"UTC", "2024-01-30T00:00:00Z", Every{Months: 1}, []string{"2024-02-29T00:00:00Z", "2024-03-30T00:00:00Z"}},
		{"UTC", "2024-01-29T00:00:00Z", Every{Months: 1}, []string{"2024-02-29T00:00:00Z", "2024-03-29T00:00:00Z"}},
		{"UTC", "2023-01-29T00:00:00Z", Every{Months: 1}, []string{"2023-02-28T00:00:00Z", "2023-03-29T00:00:00Z"}},
		{"UTC", "2026-08-31T00:00:00Z", Every{Months: 3}, []string{"2026-11-30T00:00:00Z", "2027-02-28T00:00:00Z", "2027-05-31T00:00:00Z"}},
		{"UTC", "2024-02-29T12:00:00Z", Every{Months: 12}, []string{
			"2025-02-28T12:00:00Z", "2026-02-28T12:00:00Z", "2027-02-28T12:00:00Z", "2028-02-29T12:00:00Z",
		}},
		{"UTC", "2096-02-29T12:00:00Z", Every{Months: 24}, []string{"2098-02-28T12:00:00Z", "2100-02-28T12:00:00Z", "2102-02-28T12:00:00Z", "2104-02-29T12:00:00Z"}},
		{"UTC", "2024-02-27T23:30:00Z", Every{Days: 1}, []string{"2024-02-28T23:30:00Z", "2024-02-29T23:30:00Z", "2024-03-01T23:30:00Z"}},
		{"UTC", "2026-12-24T00:00:00Z", Every{Days: 14}, []string{"2027-01-07T00:00:00Z", "2027-01-21T00:00:00Z"}},
		// Ten in the morning there, before and after the clocks are changed.
		{"Europe/Vienna", "2026-02-28T09:00:00Z", Every{Months: 1}, []string{"2026-03-28T09:00:00Z", "2026-04-28T08:00:00Z"}},
		{"Europe/Vienna", "2026-03-28T09:00:00Z", Every{Days: 1}, []string{"2026-03-29T08:00:00Z", "2026-03-30T08:00:00Z"}},
		{"Europe/Vienna", "2026-10-24T08:00:00Z", Every{Days: 7}, []string{"2026-10-31T09:00:00Z", "2026-11-07T09:00:00Z"}},
		// Half past two on 29 March 2026 is skipped in Vienna: an hour later.
		{"Europe/Vienna", "2026-03-28T01:30:00Z", Every{Days: 1}, []string{"2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"}},
		{"Europe/Vienna", "2026-01-29T01:30:00Z", Every{Months: 1}, []string{"2026-02-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-04-29T00:30:00Z"}},
		// Half past two on 25 October 2026 is there twice: the first, but for the anchor.
		{"Europe/Vienna", "2026-10-24T00:30:00Z", Every{Days: 1}, []string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		{"Europe/Vienna", "2026-10-25T01:30:00Z", Every{Days: 1}, []string{"2026-10-26T01:30:00Z"}},
		{"America/New_York", "2026-10-01T05:30:00Z", Every{Months: 1}, []string{"2026-11-01T05:30:00Z", "2026-12-01T06:30:00Z"}},
		// By half an hour.
		{"Australia/Lord_Howe", "2026-10-02T15:45:00Z", Every{Days: 1}, []string{"2026-10-03T15:45:00Z", "2026-10-04T15:15:00Z"}},
		{"Asia/Kathmandu", "2026-01-30T18:15:00Z", Every{Months: 1}, []string{"2026-02-27T18:15:00Z", "2026-03-30T18:15:00Z"}},
		// The day of the account's own calendar, not UTC's.
		{"Pacific/Auckland", "2026-01-30T11:00:00Z", Every{Months: 1}, []string{"2026-02-27T11:00:00Z", "2026-03-30T11:00:00Z", "2026-04-29T12:00:00Z"}},
		// Samoa had no 30 December 2011: that day has no period, and none is empty.
		{"Pacific/Apia", "2011-12-29T20:00:00Z", Every{Days: 1}, []string{"2011-12-30T20:00:00Z", "2011-12-31T20:00:00Z"}},
	} {
		cal := calendar{utc(t, c.anchor), c.every, zone(t, c.zone)}
		if got := cal.begin(0); !got.Equal(cal.anchor) {
			t.Errorf("%s from %s begins %v", c.zone, c.anchor, got)
		}
		n, at := int64(0), cal.anchor
		for _, want := range c.begins {
			if n, at = cal.after(n, at); !at.Equal(utc(t, want)) || at.Location() != time.UTC {
				t.Errorf("%s from %s, period %d begins %v, want %s", c.zone, c.anchor, n, at, want)
			}
		}
	}
}

func drawCalendar(t *rapid.T) calendar {
	every := Every{Months: rapid.SampledFrom([]int{1, 1, 2, 3, 12}).Draw(t, "months")}
	if rapid.Bool().Draw(t, "by days") {
		every = Every{Days: rapid.SampledFrom([]int{1, 2, 7, 10, 31}).Draw(t, "days")}
	}
	anchor := time.UnixMicro(rapid.Int64Range(1_000_000_000_000_000, 3_000_000_000_000_000).Draw(t, "anchor")).UTC()
	if rapid.Bool().Draw(t, "late in the month") {
		anchor = anchor.AddDate(0, 0, 31-anchor.Day())
	}
	name := rapid.SampledFrom([]string{
		"UTC", "Europe/Vienna", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati",
	}).Draw(t, "zone")
	return calendar{anchor, every, zone(t, name)}
}

// Wherever and however long: periods follow each other, none is empty, and each begins
// on the anchor's day, or the last of a month that has none, at the anchor's time of day.
func TestCalendar_NeverDrifts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCalendar(t)
		local := c.anchor.In(c.zone)
		n, at := int64(0), c.anchor
		for range 40 {
			m, next := c.after(n, at)
			if !next.After(at) || m <= n {
				t.Fatalf("period %d begins %v, %d %v", n, at, m, next)
			}
			n, at = m, next
			day := local.Day() + int(n)*c.every.Days
			month := local.Month()
			if c.every.Months > 0 {
				month += time.Month(int(n) * c.every.Months)
				day = min(day, time.Date(local.Year(), month+1, 0, 0, 0, 0, 0, time.UTC).Day())
			}
			wall := time.Date(local.Year(), month, day, local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), time.UTC)
			got := at.In(c.zone)
			if off := time.Date(got.Year(), got.Month(), got.Day(), got.Hour(), got.Minute(), got.Second(), got.Nanosecond(), time.UTC).Sub(wall); off != 0 {
				// Only where the clocks skip that very time of day, and by as much.
				_, before := at.Add(-24 * time.Hour).In(c.zone).Zone()
				_, after := got.Zone()
				if off < 0 || off != time.Duration(after-before)*time.Second {
					t.Fatalf("period %d begins %v, the clock should say %v", n, got, wall)
				}
			}
		}
	})
}

// from finds by arithmetic what one finds who counts from the anchor.
func TestCalendar_FindsThePeriodThatIsNow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCalendar(t)
		near := func(name string) time.Time {
			at := c.begin(rapid.Int64Range(0, 60).Draw(t, name))
			return at.Add(time.Duration(rapid.SampledFrom([]int64{0, 0, -1, 1, -int64(30 * time.Hour), int64(30 * time.Hour)}).Draw(t, name+" by")))
		}
		floor, now := near("floor"), near("now")
		if rapid.Bool().Draw(t, "no floor") {
			floor = time.Time{}
		}
		n, begin := int64(0), c.begin(0)
		for {
			next, end := c.after(n, begin)
			if !begin.Before(floor) && end.After(now) {
				break
			}
			n, begin = next, end
		}
		if m, at := c.from(floor, now); m != n || !at.Equal(begin) {
			t.Fatalf("period %d at %v, want %d at %v", m, at, n, begin)
		}
	})
}

func TestCalendar_Ends(t *testing.T) {
	last := calendar{utc(t, "9990-12-31T23:59:59Z"), Every{Months: 96}, time.UTC}
	if n, at := last.after(0, last.anchor); n != 1 || !at.Equal(utc(t, "9998-12-31T23:59:59Z")) {
		t.Errorf("%d %v", n, at)
	}
	c := calendar{utc(t, "9990-06-01T00:00:00Z"), Every{Months: 120}, time.UTC}
	if n, at := c.after(0, c.anchor); n != 1 || !at.IsZero() {
		t.Errorf("%d %v", n, at)
	}
	if n, at := c.from(utc(t, "9995-01-01T00:00:00Z"), c.anchor); !at.IsZero() {
		t.Errorf("%d %v", n, at)
	}
}
