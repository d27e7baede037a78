package credits

import (
	"testing"
	"time"
)

// The day, week and month of a moment, in places where midnight is missing or comes twice.
func TestBudgetPeriods_AreTheCalendars(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v.UTC()
	}
	for _, c := range []struct {
		period           BudgetPeriod
		zone, at         string
		since, untilTime string
	}{
		{BudgetDay, "UTC", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"},
		{BudgetDay, "UTC", "2026-02-28T23:59:59.999999Z", "2026-02-28T00:00:00Z", "2026-03-01T00:00:00Z"},
		{BudgetDay, "Europe/Vienna", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"}, // 23 hours
		{BudgetDay, "Europe/Vienna", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"}, // 25 hours
		{BudgetDay, "Africa/Cairo", "2024-04-25T12:00:00Z", "2024-04-24T22:00:00Z", "2024-04-25T22:00:00Z"},  // then it is 1:00 on the 26th
		{BudgetDay, "Africa/Cairo", "2024-04-26T12:00:00Z", "2024-04-25T22:00:00Z", "2024-04-26T21:00:00Z"},
		{BudgetDay, "America/Havana", "2024-11-03T04:30:00Z", "2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z"}, // two midnights
		{BudgetDay, "America/Havana", "2024-11-03T05:30:00Z", "2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z"},
		{BudgetDay, "Asia/Amman", "2021-10-28T22:30:00Z", "2021-10-28T21:00:00Z", "2021-10-29T22:00:00Z"},
		{BudgetDay, "America/Sao_Paulo", "2018-02-18T02:30:00Z", "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"}, // 23:30 comes twice
		{BudgetDay, "Pacific/Apia", "2011-12-30T09:00:00Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"},      // there is no 30th
		{BudgetDay, "Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"},
		{BudgetWeek, "UTC", "2026-03-01T09:00:00Z", "2026-02-23T00:00:00Z", "2026-03-02T00:00:00Z"}, // a Sunday
		{BudgetWeek, "UTC", "2026-03-02T00:00:00Z", "2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z"}, // a Monday
		{BudgetWeek, "Asia/Tokyo", "2026-03-01T15:00:00Z", "2026-03-01T15:00:00Z", "2026-03-08T15:00:00Z"},
		{BudgetWeek, "UTC", "2027-01-01T09:00:00Z", "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"},
		{BudgetMonth, "UTC", "2024-02-29T09:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"},
		{BudgetMonth, "UTC", "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{BudgetMonth, "America/New_York", "2026-03-01T04:59:59Z", "2026-02-01T05:00:00Z", "2026-03-01T05:00:00Z"},
		{BudgetMonth, "America/New_York", "2026-03-01T05:00:00Z", "2026-03-01T05:00:00Z", "2026-04-01T04:00:00Z"},
		{BudgetLife, "UTC", "2026-03-01T09:00:00Z", "2026-03-01T09:00:00Z", "0001-01-01T00:00:00Z"},
	} {
		since, until, err := c.period.around(at(c.at), c.zone)
		if err != nil || since != at(c.since) || until != at(c.untilTime) {
			t.Errorf("%s in %s at %s: from %v until %v, %v", c.period, c.zone, c.at, since, until, err)
		}
	}
}

// Periods follow one another without a gap or an overlap, wherever one looks.
func TestBudgetPeriods_FollowOneAnother(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Vienna", "Africa/Cairo", "America/Havana", "America/Sao_Paulo", "Pacific/Apia", "Asia/Beirut", "Australia/Lord_Howe"} {
		for _, p := range []BudgetPeriod{BudgetDay, BudgetWeek, BudgetMonth} {
			at := time.Date(2009, 1, 1, 0, 0, 0, 0, time.UTC)
			for at.Year() < 2027 {
				since, until, err := p.around(at, zone)
				if err != nil || since.After(at) || !until.After(at) {
					t.Fatalf("%s in %s at %v: from %v until %v, %v", p, zone, at, since, until, err)
				}
				for _, other := range []time.Time{since, until.Add(-time.Microsecond)} {
					if s, u, _ := p.around(other, zone); s != since || u != until {
						t.Fatalf("%s in %s at %v: from %v until %v, at %v: from %v until %v", p, zone, at, since, until, other, s, u)
					}
				}
				at = until
			}
		}
	}
}
