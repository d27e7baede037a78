package billing

import (
	"errors"
	"testing"
	"time"
	_ "time/tzdata" // the tests need zones wherever they run

	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/tenancy"
)

func TestPeriodEnd(t *testing.T) {
	for _, c := range []struct {
		zone, anchor, interval string
		ends                   []string
	}{
		{"UTC", "2026-01-31T09:00:00.123456Z", "month", []string{
			"2026-02-28T09:00:00.123456Z", "2026-03-31T09:00:00.123456Z", "2026-04-30T09:00:00.123456Z", "2026-05-31T09:00:00.123456Z",
		}},
		{"UTC", "2024-01-30T00:00:00Z", "month", []string{"2024-02-29T00:00:00Z", "2024-03-30T00:00:00Z"}},
		{"UTC", "2023-11-30T23:59:59Z", "month", []string{"2023-12-30T23:59:59Z", "2024-01-30T23:59:59Z", "2024-02-29T23:59:59Z", "2024-03-30T23:59:59Z"}},
		{"UTC", "2024-02-29T12:00:00Z", "year", []string{
			"2025-02-28T12:00:00Z", "2026-02-28T12:00:00Z", "2027-02-28T12:00:00Z", "2028-02-29T12:00:00Z",
		}},
		{"UTC", "2096-02-29T12:00:00Z", "year", []string{"2097-02-28T12:00:00Z", "2098-02-28T12:00:00Z", "2099-02-28T12:00:00Z", "2100-02-28T12:00:00Z"}},
		{"UTC", "2026-12-15T00:00:00Z", "month", []string{"2027-01-15T00:00:00Z"}},
		// Ten in the morning there, before and after the clocks are changed.
		{"Europe/Zurich", "2026-02-28T09:00:00Z", "month", []string{"2026-03-28T09:00:00Z", "2026-04-28T08:00:00Z"}},
		{"America/New_York", "2026-10-15T13:30:00Z", "month", []string{"2026-11-15T14:30:00Z"}},
		// Half past two on 29 March 2026 does not exist in Zurich: an hour later.
		{"Europe/Zurich", "2026-01-29T01:30:00Z", "month", []string{"2026-02-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-04-29T00:30:00Z"}},
		// Half past two on 25 October 2026 is there twice: the first.
		{"Europe/Zurich", "2026-09-25T00:30:00Z", "month", []string{"2026-10-25T00:30:00Z", "2026-11-25T01:30:00Z"}},
		// Half past two on 8 March 2026 does not exist in New York, half past one on
		// 1 November is there twice.
		{"America/New_York", "2026-02-08T07:30:00Z", "month", []string{"2026-03-08T07:30:00Z", "2026-04-08T06:30:00Z"}},
		{"America/New_York", "2026-10-01T05:30:00Z", "month", []string{"2026-11-01T05:30:00Z", "2026-12-01T06:30:00Z"}},
		// Samoa went over the date line: it had no 30 December 2011.
		{"Pacific/Apia", "2011-11-30T20:00:00Z", "month", []string{"2011-12-30T20:00:00Z", "2012-01-29T20:00:00Z"}},
		{"Pacific/Apia", "2011-12-01T09:00:00Z", "month", []string{"2011-12-31T09:00:00Z"}},
		// The day of the account's own calendar, not UTC's.
		{"Pacific/Auckland", "2026-01-30T11:00:00Z", "month", []string{"2026-02-27T11:00:00Z", "2026-03-30T11:00:00Z", "2026-04-29T12:00:00Z"}},
	} {
		anchor := at(t, c.anchor)
		for i, want := range c.ends {
			got, err := periodEnd(anchor, c.interval, i+1, c.zone)
			if err != nil || !got.Equal(at(t, want)) || got.Location() != time.UTC {
				t.Errorf("%s from %s, period %d ends %v (%v), want %s", c.zone, c.anchor, i+1, got, err, want)
			}
		}
	}
}

func at(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestPeriodEnd_RefusesWhatItDoesNotKnow(t *testing.T) {
	for _, interval := range []string{"", "week", "Month"} {
		if _, err := periodEnd(time.Now(), interval, 1, "UTC"); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", interval, err)
		}
	}
	if _, err := periodEnd(time.Now(), tenancy.Monthly, 1, "Mars/Olympus"); err == nil || errors.Is(err, ErrInvalid) {
		t.Errorf("no such zone: %v", err)
	}
}

// Whenever a subscription begins and wherever: every period is longer than none, each
// begins where the one before ends, and the ends never drift: each is on the anchor's
// day, or on the last day of a month that has none, at the anchor's hour.
func TestPeriodEnd_NeverDrifts(t *testing.T) {
	zones := []string{"UTC", "Europe/Zurich", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati"}
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom(zones).Draw(t, "zone")
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		interval := rapid.SampledFrom([]string{tenancy.Monthly, tenancy.Yearly}).Draw(t, "interval")
		anchor := time.UnixMicro(rapid.Int64Range(1_000_000_000_000_000, 4_000_000_000_000_000).Draw(t, "anchor")).UTC()
		if rapid.Bool().Draw(t, "late in the month") {
			anchor = anchor.AddDate(0, 0, 31-anchor.Day())
		}
		local, last := anchor.In(loc), anchor
		for n := 1; n <= 30; n++ {
			end, err := periodEnd(anchor, interval, n, zone)
			if err != nil {
				t.Fatal(err)
			}
			shortest, longest := 27*24*time.Hour, 33*24*time.Hour
			if interval == tenancy.Yearly {
				shortest, longest = 364*24*time.Hour, 368*24*time.Hour
			}
			if d := end.Sub(last); d < shortest || d > longest {
				t.Fatalf("period %d is %v long", n, d)
			}
			last = end
			months := n
			if interval == tenancy.Yearly {
				months = 12 * n
			}
			month := time.Date(local.Year(), local.Month()+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
			day := min(local.Day(), month.AddDate(0, 1, -1).Day())
			wall := time.Date(month.Year(), month.Month(), day, local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), time.UTC)
			got := end.In(loc)
			if off := time.Date(got.Year(), got.Month(), got.Day(), got.Hour(), got.Minute(), got.Second(), got.Nanosecond(), time.UTC).Sub(wall); off != 0 {
				// Only where the clocks skip that very time of day, and by as much.
				_, before := end.Add(-24 * time.Hour).In(loc).Zone()
				_, after := got.Zone()
				if off < 0 || off != time.Duration(after-before)*time.Second {
					t.Fatalf("period %d ends %v, the clock should say %v", n, got, wall)
				}
			}
		}
	})
}
