package credits_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the tests need zones wherever they run

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func allot(t testing.TB, l *credits.Ledger, db bun.IDB, s credits.SetAllotment) credits.Allotment {
	t.Helper()
	a, err := l.SetAllotment(t.Context(), db, s)
	if err != nil {
		t.Fatalf("set %+v: %v", s, err)
	}
	return a
}

func endAllotment(t testing.TB, l *credits.Ledger, db bun.IDB, name string) credits.Allotment {
	t.Helper()
	a, err := l.EndAllotment(t.Context(), db, credits.EndAllotment{Account: acc, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// story is an account's ledger, oldest first: kind, amount, spendable after it, day.
func story(t testing.TB, l *credits.Ledger, db bun.IDB) []string {
	t.Helper()
	if _, err := l.Balance(t.Context(), db, acc); err != nil { // books what is due
		t.Fatal(err)
	}
	var out []string
	for n := int64(1); ; n++ {
		e, err := l.Entry(t.Context(), db, acc, n)
		if err != nil {
			requireError(t, err, credits.ErrNoEntry)
			return out
		}
		out = append(out, fmt.Sprintf("%s %+d =%d %s", e.Kind, e.Amount, e.Spendable, e.At.Format("2006-01-02T15:04")))
	}
}

func requireStory(t testing.TB, l *credits.Ledger, db bun.IDB, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, story(t, l, db)); d != "" {
		t.Error(d)
	}
	creditstest.RequireSound(t, l, db, acc)
}

func at(month time.Month, day int) time.Time {
	return time.Date(2026, month, day, 9, 0, 0, 0, time.UTC)
}

func TestAllotment_IsGrantedAtOnceAndThenPeriodByPeriod(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		admin := tenancy.Actor{Kind: tenancy.ActorUser, ID: "usr_1"}
		got := allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 100, Actor: admin, Operations: []string{}})
		want := credits.Allotment{
			Account: acc, Name: "plan", Amount: 100, Every: credits.Every{Months: 1}, Anchor: start, Zone: "UTC",
			Category: credits.CategoryAllowance, NextAt: at(4, 1), EndsAt: at(4, 1), CreatedAt: start,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		listed, err := l.Allotments(t.Context(), db, acc)
		if d := cmp.Diff([]credits.Allotment{want}, listed); d != "" || err != nil {
			t.Error(d, err)
		}
		e := creditstest.RequireEntry(t, l, db, acc, credits.KindGrant, 100)
		wantEntry := credits.Entry{
			Account: acc, Number: 1, Kind: credits.KindGrant, Amount: 100, Balance: 100, Spendable: 100, At: start,
			Key: "quitrent:allotment:plan:2026-03-01T09:00:00Z", Note: "allotment: plan", Actor: tenancy.Actor{Kind: tenancy.ActorSystem, ID: "credits"},
		}
		if d := cmp.Diff(wantEntry, e); d != "" {
			t.Error(d)
		}
		if got := tenancytest.RequireAudit(t, db, acc, "credits.set_allotment"); got.Actor != admin || got.Target != "plan" || !strings.Contains(string(got.Data), `"amount":100`) {
			t.Errorf("%+v", got)
		}
		if got := tenancytest.RequireEvent[credits.AllotmentSet](t, db, acc); got.Name != "plan" || !got.NextAt.Equal(at(4, 1)) {
			t.Errorf("%+v", got)
		}
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 30})

		clock.Set(at(4, 1).Add(-time.Microsecond))
		requireBalance(t, l, db, credits.Balance{Booked: 70, Spendable: 70})
		clock.Set(at(4, 1))
		requireBalance(t, l, db, credits.Balance{Booked: 100, Spendable: 100})
		audit := tenancytest.RequireAudit(t, db, acc, "credits.grant")
		if !audit.At.Equal(at(4, 1)) || audit.Actor.ID != "credits" || audit.Reason != "allotment: plan" {
			t.Errorf("%+v", audit)
		}
		events := tenancytest.Events(t, db, acc)
		last := events[len(events)-1]
		granted, err := tenancy.Decode[credits.Granted](last)
		wantEvent := credits.Granted{Number: 4, Amount: 100, Category: credits.CategoryAllowance, ExpiresAt: at(5, 1)}
		if d := cmp.Diff(wantEvent, granted); d != "" || err != nil || !last.At.Equal(at(4, 1)) {
			t.Error(d, err, last.At)
		}
		requireStory(t, l, db, "grant +100 =100 2026-03-01T09:00", "deduct -30 =70 2026-03-01T09:00",
			"expire -70 =0 2026-04-01T09:00", "grant +100 =100 2026-04-01T09:00")
	})
}

func TestAllotment_MissedForYearsIsGrantedPeriodByPeriod(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 100, Zone: "Europe/Vienna", Anchor: time.Date(2026, 3, 31, 10, 0, 0, 0, time.UTC)})
		if got := story(t, l, db); got != nil {
			t.Error("before the anchor:", got)
		}
		clock.Set(time.Date(2029, 3, 31, 10, 0, 0, 0, time.UTC))
		got := story(t, l, db)
		if len(got) != 36+37 {
			t.Errorf("%d entries", len(got))
		}
		want := []string{
			"grant +100 =100 2026-03-31T10:00",
			"expire -100 =0 2026-04-30T10:00", "grant +100 =100 2026-04-30T10:00",
			"expire -100 =0 2026-05-31T10:00", "grant +100 =100 2026-05-31T10:00",
		}
		if d := cmp.Diff(want, got[:5]); d != "" {
			t.Error(d)
		}
		// In winter the clocks there show the same an hour later.
		if d := cmp.Diff([]string{"expire -100 =0 2028-02-29T11:00", "grant +100 =100 2028-02-29T11:00"}, got[45:47]); d != "" {
			t.Error(d)
		}
		requireBalance(t, l, db, credits.Balance{Booked: 100, Spendable: 100})
		creditstest.RequireSound(t, l, db, acc)
		if n := len(tenancytest.Events(t, db, acc)); n != 37+1 {
			t.Errorf("%d events", n)
		}
	})
}

func TestAllotment_RollsOver(t *testing.T) {
	t.Parallel()
	month := func(m time.Month) string { return fmt.Sprintf("2026-%02d-01T09:00", m) }
	for name, c := range map[string]struct {
		rollover credits.Rollover
		spend    []int64 // in each month
		want     []string
	}{
		"nothing": {credits.Rollover{}, []int64{40}, []string{
			"expire -60 =0 " + month(4), "grant +100 =100 " + month(4),
		}},
		"up to a cap": {credits.Rollover{Cap: 50}, []int64{40}, []string{
			"expire -60 =0 " + month(4), "grant +50 =50 " + month(4), "grant +100 =150 " + month(4),
		}},
		"less than the cap": {credits.Rollover{Cap: 50}, []int64{90}, []string{
			"expire -10 =0 " + month(4), "grant +10 =10 " + month(4), "grant +100 =110 " + month(4),
		}},
		// What was rolled over is spent first and counts for the cap again.
		"a cap twice": {credits.Rollover{Cap: 150}, []int64{40, 10}, []string{
			"expire -60 =0 " + month(4), "grant +60 =60 " + month(4), "grant +100 =160 " + month(4),
			"deduct -10 =150 " + month(4),
			"expire -50 =0 " + month(5), "expire -100 =0 " + month(5), "grant +150 =150 " + month(5), "grant +100 =250 " + month(5),
		}},
		"a share, rounded down": {credits.Rollover{Percent: 33}, []int64{1}, []string{
			"expire -99 =0 " + month(4), "grant +32 =32 " + month(4), "grant +100 =132 " + month(4),
		}},
		"a share of less than a credit": {credits.Rollover{Percent: 50}, []int64{99}, []string{
			"expire -1 =0 " + month(4), "grant +100 =100 " + month(4),
		}},
		"all of it": {credits.Rollover{Percent: 100}, []int64{1}, []string{
			"expire -99 =0 " + month(4), "grant +99 =99 " + month(4), "grant +100 =199 " + month(4),
		}},
		"a share, of the allotment only": {credits.Rollover{Percent: 50}, []int64{40, 0}, []string{
			"expire -60 =0 " + month(4), "grant +30 =30 " + month(4), "grant +100 =130 " + month(4),
			"expire -30 =0 " + month(5), "expire -100 =0 " + month(5), "grant +50 =50 " + month(5), "grant +100 =150 " + month(5),
		}},
		"for another period": {credits.Rollover{Periods: 1}, []int64{40, 10}, []string{
			"grant +100 =160 " + month(4), "deduct -10 =150 " + month(4),
			"expire -50 =100 " + month(5), "grant +100 =200 " + month(5),
		}},
		"nothing is left": {credits.Rollover{Cap: 50}, []int64{100}, []string{"grant +100 =100 " + month(4)}},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
				allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 100, Rollover: c.rollover, Priority: 3})
				m := time.Month(3)
				for _, n := range c.spend {
					clock.Set(at(m, 1))
					if n > 0 {
						deduct(t, l, db, credits.Deduct{Account: acc, Amount: n})
					}
					m++
				}
				clock.Set(at(m, 1))
				if d := cmp.Diff(c.want, story(t, l, db)[2:]); d != "" {
					t.Error(d)
				}
				creditstest.RequireSound(t, l, db, acc)
			})
		})
	}
}

func TestAllotment_RollsNothingOverThatIsHeld(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 100, Every: credits.Every{Days: 1}, Rollover: credits.Rollover{Cap: 500}})
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 30, For: 36 * time.Hour})
		hold(t, l, db, credits.Hold{Account: acc, Amount: 5, For: 24 * time.Hour}) // ends with the period
		clock.Advance(25 * time.Hour)
		if _, err := l.Release(t.Context(), db, credits.Release{Account: acc, Hold: h.ID}); err != nil {
			t.Fatal(err)
		}
		requireStory(t, l, db, "grant +100 =100 2026-03-01T09:00",
			"expire -65 =0 2026-03-02T09:00", "grant +65 =65 2026-03-02T09:00", "grant +100 =165 2026-03-02T09:00",
			"expire -5 =165 2026-03-02T09:00", "expire -30 =165 2026-03-02T09:00")
	})
}

func TestAllotment_ChangesFromItsNextPeriodOn(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		plan := credits.SetAllotment{Account: acc, Name: "plan", Amount: 100, Rollover: credits.Rollover{Cap: 10}}
		allot(t, l, db, plan)
		before := rows(t, db)
		if again := allot(t, l, db, plan); !again.NextAt.Equal(at(4, 1)) {
			t.Errorf("%+v", again)
		}
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Errorf("set as it is: %s", d)
		}
		clock.Set(at(3, 10))
		changed := allot(t, l, db, credits.SetAllotment{
			Account: acc, Name: "plan", Amount: 300, Category: credits.CategoryPromo, Rollover: credits.Rollover{Percent: 50},
		})
		if !changed.Anchor.Equal(start) || !changed.NextAt.Equal(at(4, 1)) {
			t.Errorf("%+v", changed)
		}
		clock.Set(at(4, 2))
		requireStory(t, l, db, "grant +100 =100 2026-03-01T09:00",
			"expire -100 =0 2026-04-01T09:00", "grant +50 =50 2026-04-01T09:00", "grant +300 =350 2026-04-01T09:00")
		if got := scan[string](t, db, "SELECT category FROM credits_grants WHERE number = 4"); got != "promo" {
			t.Error(got)
		}
	})
}

// However an allotment is changed, no two of its periods overlap: plans that go to and
// fro make nobody rich.
func TestAllotment_OtherPeriodsBeginWhenTheRunningOneHasEnded(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		month := credits.SetAllotment{Account: acc, Name: "plan", Amount: 100}
		week := credits.SetAllotment{Account: acc, Name: "plan", Amount: 25, Every: credits.Every{Days: 7}}
		allot(t, l, db, month)
		clock.Set(at(3, 3))
		for range 3 {
			for _, s := range []credits.SetAllotment{week, month, week} {
				if got := allot(t, l, db, s); !got.Anchor.Equal(at(4, 1)) || !got.NextAt.Equal(at(4, 1)) {
					t.Errorf("%+v", got)
				}
			}
			endAllotment(t, l, db, "plan")
			allot(t, l, db, week)
		}
		clock.Set(at(4, 8))
		requireStory(t, l, db, "grant +100 =100 2026-03-01T09:00",
			"expire -100 =0 2026-04-01T09:00", "grant +25 =25 2026-04-01T09:00",
			"expire -25 =0 2026-04-08T09:00", "grant +25 =25 2026-04-08T09:00")

		// Another anchor leaves out the days between.
		month.Anchor = at(3, 20)
		if got := allot(t, l, db, month); !got.NextAt.Equal(at(4, 20)) {
			t.Errorf("%+v", got)
		}
		clock.Set(at(4, 16))
		requireBalance(t, l, db, credits.Balance{})
		// And another zone, which says nothing of the anchor, none.
		month.Anchor, month.Zone = time.Time{}, "Europe/Vienna"
		if got := allot(t, l, db, month); !got.Anchor.Equal(at(4, 16)) || !got.EndsAt.Equal(at(5, 16)) {
			t.Errorf("%+v", got)
		}
	})
}

// Whatever of the calendar changes, its periods are counted anew, and only then.
func TestAllotment_WithAnotherAnchorLengthOrZoneHasOtherPeriods(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, _ *tenancytest.Clock) {
		for name, c := range map[string]struct {
			was, is credits.Every
			anchor  time.Time
			zone    string
			next    time.Time
		}{
			"nothing":        {credits.Every{Months: 1}, credits.Every{Months: 1}, start, "UTC", at(4, 1)},
			"another anchor": {credits.Every{Months: 1}, credits.Every{Months: 1}, at(3, 15), "UTC", at(4, 15)},
			"other months":   {credits.Every{Months: 1}, credits.Every{Months: 2}, start, "UTC", at(5, 1)},
			"other days":     {credits.Every{Days: 7}, credits.Every{Days: 10}, start, "UTC", at(3, 11)},
			"days":           {credits.Every{Months: 1}, credits.Every{Days: 7}, start, "UTC", at(4, 5)},
			// There the clocks are put forward in March, so that April begins too early.
			"another zone": {credits.Every{Months: 1}, credits.Every{Months: 1}, start, "Europe/Vienna", at(5, 1).Add(-time.Hour)},
		} {
			allot(t, l, db, credits.SetAllotment{Account: acc, Name: name, Amount: 1, Every: c.was})
			got := allot(t, l, db, credits.SetAllotment{Account: acc, Name: name, Amount: 1, Every: c.is, Anchor: c.anchor, Zone: c.zone})
			if !got.NextAt.Equal(c.next) {
				t.Errorf("%s: next at %s, want %s", name, got.NextAt, c.next)
			}
		}
	})
}

func TestAllotment_TheFirstOfSeveralIsDueNext(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		due := func(want time.Time) {
			t.Helper()
			next := scan[bun.NullTime](t, db, "SELECT renews_at FROM credits_accounts WHERE account_id = ?", acc)
			if !next.Equal(want) {
				t.Errorf("due at %s, want %s", next.Time, want)
			}
		}
		for _, s := range []credits.SetAllotment{
			{Name: "a", Amount: 2, Every: credits.Every{Days: 14}},
			{Name: "b", Amount: 1, Every: credits.Every{Days: 7}},
			{Name: "c", Amount: 4},
			{Name: "d", Amount: 8},
		} {
			s.Account = acc
			allot(t, l, db, s)
		}
		due(at(3, 8))
		clock.Set(at(3, 8))
		requireBalance(t, l, db, credits.Balance{Booked: 15, Spendable: 15})
		due(at(3, 15))
		endAllotment(t, l, db, "b")
		due(at(3, 15))
		endAllotment(t, l, db, "d") // whose period runs on
		due(at(3, 15))
		clock.Set(at(3, 16))
		requireBalance(t, l, db, credits.Balance{Booked: 14, Spendable: 14})
		due(at(3, 29))
		endAllotment(t, l, db, "a")
		due(at(4, 1))
		clock.Set(at(4, 2))
		requireBalance(t, l, db, credits.Balance{Booked: 4, Spendable: 4})
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestAllotment_DatesAreOfTheYears1900To9998(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		first := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
		end := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		last := end.Add(-time.Microsecond)
		allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 1, Anchor: first, From: first, Until: last})
		allot(t, l, db, credits.SetAllotment{Account: acc, Name: "late", Amount: 1, Anchor: last, From: last})
		for _, at := range []time.Time{first.Add(-time.Microsecond), end} {
			for _, s := range []credits.SetAllotment{{Anchor: at}, {From: at}, {Until: at}} {
				s.Account, s.Name, s.Amount = acc, "plan", 1
				_, err := l.SetAllotment(t.Context(), db, s)
				requireError(t, err, credits.ErrInvalid)
			}
		}
	})
}

// Keys are an account's own: what another used of them takes no period away.
func TestAllotment_IsGrantedWhateverKeysOthersHaveUsed(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 100})
		grant(t, l, db, credits.Grant{Account: other, Amount: math.MaxInt64, Key: "all"})
		keys := []string{"quitrent:allotment:plan:2026-04-01T09:00:00Z", "quitrent:allotment:plan:2026-05-01T09:00:00Z"}
		_, err := l.Grant(t.Context(), db, credits.Grant{Account: other, Amount: 1, Key: keys[0]})
		requireError(t, err, credits.ErrOverflow) // which is remembered
		if _, err := l.Deduct(t.Context(), db, credits.Deduct{Account: other, Amount: 1}); err != nil {
			t.Fatal(err)
		}
		grant(t, l, db, credits.Grant{Account: other, Amount: 1, Key: keys[1]})
		clock.Set(at(5, 1))
		requireStory(t, l, db, "grant +100 =100 2026-03-01T09:00", "expire -100 =0 2026-04-01T09:00", "grant +100 =100 2026-04-01T09:00",
			"expire -100 =0 2026-05-01T09:00", "grant +100 =100 2026-05-01T09:00")
	})
}

func TestAllotment_EndsAndGoesOn(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		plan := credits.SetAllotment{Account: acc, Name: "plan", Amount: 100}
		allot(t, l, db, plan)
		got := endAllotment(t, l, db, "plan")
		if !got.NextAt.IsZero() || !got.EndsAt.Equal(at(4, 1)) {
			t.Errorf("%+v", got)
		}
		if got := tenancytest.RequireEvent[credits.AllotmentEnded](t, db, acc); got.Name != "plan" {
			t.Errorf("%+v", got)
		}
		tenancytest.RequireAudit(t, db, acc, "credits.end_allotment")
		if n := scan[int](t, db, "SELECT COUNT(*) FROM credits_accounts WHERE renews_at IS NOT NULL"); n != 0 {
			t.Error("an allotment is still due")
		}
		requireBalance(t, l, db, credits.Balance{Booked: 100, Spendable: 100})
		before := rows(t, db)
		endAllotment(t, l, db, "plan")
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Errorf("ended again: %s", d)
		}
		clock.Set(at(6, 15))
		requireBalance(t, l, db, credits.Balance{})
		if n := scan[int](t, db, "SELECT COUNT(*) FROM credits_accounts WHERE renews_at IS NOT NULL OR next_at IS NOT NULL"); n != 0 {
			t.Error("something is still due")
		}
		if list, err := l.Allotments(t.Context(), db, acc); err != nil || len(list) != 1 || !list[0].NextAt.IsZero() {
			t.Errorf("%+v, %v", list, err)
		}
		// It goes on with the period that is now, and none in between.
		if got := allot(t, l, db, plan); !got.EndsAt.Equal(at(7, 1)) {
			t.Errorf("%+v", got)
		}
		requireStory(t, l, db, "grant +100 =100 2026-03-01T09:00", "expire -100 =0 2026-04-01T09:00", "grant +100 =100 2026-06-15T09:00")

		for _, account := range []tenancy.AccountID{acc, other} {
			_, err := l.EndAllotment(t.Context(), db, credits.EndAllotment{Account: account, Name: "none"})
			requireError(t, err, credits.ErrNoAllotment)
		}
	})
}

// Set again before its period ends it goes on as if it had never been ended; later, what was
// left has expired.
func TestAllotment_ThatGoesOnInTimeRollsOver(t *testing.T) {
	for name, c := range map[string]struct {
		again time.Time
		want  []string
	}{
		"in time":            {at(3, 20), []string{"expire -60 =0 2026-04-01T09:00", "grant +50 =50 2026-04-01T09:00", "grant +100 =150 2026-04-01T09:00"}},
		"as the period ends": {at(4, 1), []string{"expire -60 =0 2026-04-01T09:00", "grant +100 =100 2026-04-01T09:00"}},
		"later":              {at(4, 10), []string{"expire -60 =0 2026-04-01T09:00", "grant +100 =100 2026-04-10T09:00"}},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
				plan := credits.SetAllotment{Account: acc, Name: "plan", Amount: 100, Rollover: credits.Rollover{Cap: 50}}
				allot(t, l, db, plan)
				deduct(t, l, db, credits.Deduct{Account: acc, Amount: 40})
				clock.Set(at(3, 10))
				endAllotment(t, l, db, "plan")
				clock.Set(c.again)
				allot(t, l, db, plan)
				clock.Set(at(4, 20))
				if d := cmp.Diff(c.want, story(t, l, db)[2:]); d != "" {
					t.Error(d)
				}
				creditstest.RequireSound(t, l, db, acc)
			})
		})
	}
}

func TestAllotment_EndsByItself(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		plan := credits.SetAllotment{Account: acc, Name: "plan", Amount: 100, Every: credits.Every{Days: 10}, Until: at(3, 21)}
		allot(t, l, db, plan)
		clock.Set(at(6, 1))
		requireStory(t, l, db, "grant +100 =100 2026-03-01T09:00", "expire -100 =0 2026-03-11T09:00", "grant +100 =100 2026-03-11T09:00",
			"expire -100 =0 2026-03-21T09:00")
		before := rows(t, db)
		allot(t, l, db, plan)
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Errorf("set as it is: %s", d)
		}
		// One microsecond later there is a third.
		plan.Name, plan.Anchor, plan.Until = "later", at(6, 1), at(6, 21).Add(time.Microsecond)
		allot(t, l, db, plan)
		clock.Set(at(9, 1))
		if got := story(t, l, db); len(got) != 4+6 {
			t.Error(got)
		}
		// An earlier end ends it.
		plan.Name, plan.Anchor, plan.Until = "cut short", at(9, 1), time.Time{}
		allot(t, l, db, plan)
		plan.Until = at(9, 1).Add(time.Hour)
		if got := allot(t, l, db, plan); !got.NextAt.IsZero() {
			t.Errorf("%+v", got)
		}
	})
}

func TestAllotment_OfAPeriodThatHasBegunIsGrantedNow(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		clock.Set(at(5, 20))
		allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 100, Anchor: time.Date(2019, 1, 31, 9, 0, 0, 0, time.UTC)})
		requireStory(t, l, db, "grant +100 =100 2026-05-20T09:00")
		clock.Set(at(5, 31))
		requireStory(t, l, db, "grant +100 =100 2026-05-20T09:00", "expire -100 =0 2026-05-31T09:00", "grant +100 =100 2026-05-31T09:00")
	})
}

func TestAllotment_RepaysADebtFirst(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, _ *credits.Ledger, clock *tenancytest.Clock) {
		l := credits.New(credits.Config{Now: clock.Now, Overdraft: 50})
		allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 100})
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 100})
		settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 130})
		clock.Set(at(4, 1))
		requireBalance(t, l, db, credits.Balance{Booked: 70, Spendable: 70})
		creditstest.RequireSound(t, l, db, acc)
	})
}

// At one moment: what ends expires, then periods begin by name, then holds end.
func TestAllotment_OrderAtOneMoment(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		day := credits.Every{Days: 1}
		allot(t, l, db, credits.SetAllotment{Account: acc, Name: "b", Amount: 20, Every: day, Rollover: credits.Rollover{Cap: 7}})
		allot(t, l, db, credits.SetAllotment{Account: acc, Name: "a", Amount: 10, Every: day, Rollover: credits.Rollover{Cap: 3}})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 5, Key: "g", ExpiresAt: start.Add(24 * time.Hour)})
		hold(t, l, db, credits.Hold{Account: acc, Amount: 2, For: 24 * time.Hour, AtEnd: credits.AtEndCharge})
		clock.Advance(24 * time.Hour)
		requireStory(t, l, db, "grant +20 =20 2026-03-01T09:00", "grant +10 =30 2026-03-01T09:00", "grant +5 =35 2026-03-01T09:00",
			"expire -18 =0 2026-03-02T09:00", "expire -10 =0 2026-03-02T09:00", "expire -5 =0 2026-03-02T09:00",
			"grant +3 =3 2026-03-02T09:00", "grant +10 =13 2026-03-02T09:00", "grant +7 =20 2026-03-02T09:00", "grant +20 =40 2026-03-02T09:00",
			"settle -2 =40 2026-03-02T09:00")
	})
}

func TestAllotment_ThatCannotBeGrantedIsSkippedWithAnEvent(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 100, Operations: []string{"ideas", "art"}})
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 100, Operation: "art"})
		grant(t, l, db, credits.Grant{Account: acc, Amount: math.MaxInt64 - 99, Key: "huge"})
		clock.Set(at(4, 1))
		requireBalance(t, l, db, credits.Balance{Booked: math.MaxInt64 - 99, Spendable: math.MaxInt64 - 99})
		want := credits.AllotmentSkipped{Name: "plan", Period: at(4, 1), Amount: 100, Reason: "overflow"}
		if d := cmp.Diff(want, tenancytest.RequireEvent[credits.AllotmentSkipped](t, db, acc)); d != "" {
			t.Error(d)
		}
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
		creditstest.RequireSound(t, l, db, acc)
		creditstest.RequireEntry(t, l, db, acc, credits.KindDeduct, -1) // nothing is made up for
		clock.Set(at(5, 1))
		requireBalance(t, l, db, credits.Balance{Booked: math.MaxInt64, Spendable: math.MaxInt64 - 100})
		creditstest.RequireEntry(t, l, db, acc, credits.KindGrant, 100)

		// Somebody has taken the key of the next period.
		clock.Set(at(3, 1))
		grant(t, l, db, credits.Grant{Account: other, Amount: 1, Key: "quitrent:allotment:plan:2026-04-01T09:00:00Z"})
		_, err := l.SetAllotment(t.Context(), db, credits.SetAllotment{Account: other, Name: "plan", Amount: 100})
		if err != nil {
			t.Fatal(err)
		}
		clock.Set(at(4, 1))
		creditstest.RequireBalance(t, l, db, other, 1)
		want.Reason = "key_used"
		skipped := tenancytest.RequireEvent[credits.AllotmentSkipped](t, db, other)
		if d := cmp.Diff(want, skipped); d != "" {
			t.Error(d)
		}
		clock.Set(at(5, 1))
		creditstest.RequireBalance(t, l, db, other, 101)
		creditstest.RequireSound(t, l, db, other)
	})
}

func TestAllotment_OfEachUnitIsItsOwn(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		seconds := credits.New(credits.Config{Now: clock.Now, Unit: "gpu_second"})
		allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 100})
		allot(t, seconds, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 60})
		if _, err := l.SetAllotment(t.Context(), db, credits.SetAllotment{Account: other, Name: "plan", Amount: 30}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			l       *credits.Ledger
			account tenancy.AccountID
			amount  int64
		}{{l, acc, 100}, {seconds, acc, 60}, {l, other, 30}} {
			list, err := c.l.Allotments(t.Context(), db, c.account)
			if err != nil || len(list) != 1 || list[0].Amount != c.amount {
				t.Errorf("%+v, %v", list, err)
			}
		}
		clock.Set(at(4, 1))
		creditstest.RequireBalance(t, l, db, acc, 100)
		creditstest.RequireBalance(t, seconds, db, acc, 60)
		endAllotment(t, l, db, "plan")
		clock.Set(at(5, 1))
		creditstest.RequireBalance(t, l, db, acc, 0)
		creditstest.RequireBalance(t, seconds, db, acc, 60)
		e := creditstest.RequireEntry(t, seconds, db, acc, credits.KindGrant, 60)
		if e.Key != "quitrent:allotment:plan:2026-05-01T09:00:00Z:gpu_second" {
			t.Error(e.Key)
		}
		creditstest.RequireSound(t, l, db, "")
		creditstest.RequireSound(t, seconds, db, "")
	})
}

func TestAllotment_ThatIsNotValidWritesNothing(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		before := rows(t, db)
		good := credits.SetAllotment{Account: acc, Name: "plan", Amount: 1}
		for name, spoil := range map[string]func(s *credits.SetAllotment){
			"no account":           func(s *credits.SetAllotment) { s.Account = "" },
			"no name":              func(s *credits.SetAllotment) { s.Name = "" },
			"a long name":          func(s *credits.SetAllotment) { s.Name = strings.Repeat("n", 101) },
			"a name with a line":   func(s *credits.SetAllotment) { s.Name = "a\nb" },
			"no amount":            func(s *credits.SetAllotment) { s.Amount = 0 },
			"months and days":      func(s *credits.SetAllotment) { s.Every = credits.Every{Months: 1, Days: 1} },
			"negative months":      func(s *credits.SetAllotment) { s.Every = credits.Every{Months: -1} },
			"too many months":      func(s *credits.SetAllotment) { s.Every = credits.Every{Months: 121} },
			"negative days":        func(s *credits.SetAllotment) { s.Every = credits.Every{Days: -1} },
			"too many days":        func(s *credits.SetAllotment) { s.Every = credits.Every{Days: 3661} },
			"an anchor long ago":   func(s *credits.SetAllotment) { s.Anchor = time.Date(1899, 1, 1, 0, 0, 0, 0, time.UTC) },
			"an anchor far away":   func(s *credits.SetAllotment) { s.Anchor = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) },
			"an end at the anchor": func(s *credits.SetAllotment) { s.Anchor, s.Until = start, start },
			"an end far away":      func(s *credits.SetAllotment) { s.Until = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) },
			"a zone of nobody":     func(s *credits.SetAllotment) { s.Zone = "Mars/Olympus" },
			"the machine's zone":   func(s *credits.SetAllotment) { s.Zone = "Local" },
			"an unknown category":  func(s *credits.SetAllotment) { s.Category = "gift" },
			"an empty operation":   func(s *credits.SetAllotment) { s.Operations = []string{""} },
			"two rollovers":        func(s *credits.SetAllotment) { s.Rollover = credits.Rollover{Cap: 1, Percent: 1} },
			"a negative cap":       func(s *credits.SetAllotment) { s.Rollover.Cap = -1 },
			"negative percent":     func(s *credits.SetAllotment) { s.Rollover.Percent = -1 },
			"101 percent":          func(s *credits.SetAllotment) { s.Rollover.Percent = 101 },
			"too many periods":     func(s *credits.SetAllotment) { s.Rollover.Periods = 121 },
			"half an actor":        func(s *credits.SetAllotment) { s.Actor.Kind = tenancy.ActorUser },
		} {
			s := good
			spoil(&s)
			if _, err := l.SetAllotment(t.Context(), db, s); !isInvalid(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, e := range []credits.EndAllotment{{Name: "plan"}, {Account: acc}, {Account: acc, Name: "plan", Actor: tenancy.Actor{ID: "x"}}} {
			if _, err := l.EndAllotment(t.Context(), db, e); !isInvalid(err) {
				t.Errorf("%+v: %v", e, err)
			}
		}
		if _, err := l.Allotments(t.Context(), db, ""); !isInvalid(err) {
			t.Error(err)
		}
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Error(d)
		}
		// The limits themselves.
		for _, spoil := range []func(s *credits.SetAllotment){
			func(s *credits.SetAllotment) { s.Name, s.Every = strings.Repeat("n", 100), credits.Every{Months: 120} },
			func(s *credits.SetAllotment) { s.Name, s.Every = "days", credits.Every{Days: 3660} },
			func(s *credits.SetAllotment) { s.Name, s.Rollover.Percent = "percent", 100 },
			func(s *credits.SetAllotment) { s.Name, s.Rollover.Periods = "periods", 120 },
			func(s *credits.SetAllotment) { s.Name, s.Rollover.Cap = "cap", math.MaxInt64 },
		} {
			s := good
			spoil(&s)
			allot(t, l, db, s)
		}
		for i := range 95 {
			allot(t, l, db, credits.SetAllotment{Account: acc, Name: fmt.Sprint(i), Amount: 1})
		}
		joined(t, db, func(tx bun.Tx) {
			_, err := l.SetAllotment(t.Context(), tx, credits.SetAllotment{Account: acc, Name: "one too many", Amount: 1})
			if !isInvalid(err) {
				t.Error(err)
			}
			_, err = l.EndAllotment(t.Context(), tx, credits.EndAllotment{Account: other, Name: "plan"})
			requireError(t, err, credits.ErrNoAllotment)
			deduct(t, l, tx, credits.Deduct{Account: acc, Amount: 1}) // it is still usable
		})
		creditstest.RequireBalance(t, l, db, acc, 99)
		endAllotment(t, l, db, "1") // those that have ended do not count
		allot(t, l, db, credits.SetAllotment{Account: acc, Name: "in its place", Amount: 1})
		creditstest.RequireSound(t, l, db, "")
	})
}

func TestAllotment_InAHostsTransactionComesAndGoesWithIt(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		before := map[string]int{}
		allot(t, l, tx, credits.SetAllotment{Account: acc, Name: "plan", Amount: 100})
		creditstest.RequireBalance(t, l, tx, acc, 100)
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		for table := range rows(t, db) {
			before[table] = 0
		}
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Error(d)
		}
		joined(t, db, func(tx bun.Tx) { allot(t, l, tx, credits.SetAllotment{Account: acc, Name: "plan", Amount: 100}) })
		clock.Set(at(4, 1))
		joined(t, db, func(tx bun.Tx) { deduct(t, l, tx, credits.Deduct{Account: acc, Amount: 60}) })
		creditstest.RequireBalance(t, l, db, acc, 40)
	})
}

// What begins before From is left out, and days are counted from the anchor all the same.
func TestAllotment_FromLeavesOutWhatBeginsBefore(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		clock.Set(at(1, 31))
		set := credits.SetAllotment{Account: acc, Name: "plan", Amount: 100, Anchor: at(1, 31), From: at(1, 31).Add(time.Microsecond)}
		if a := allot(t, l, db, set); !a.NextAt.Equal(at(2, 28)) || !a.EndsAt.IsZero() {
			t.Errorf("%+v", a)
		}
		endAllotment(t, l, db, "plan")
		allot(t, l, db, set) // as it was: said again, From leaves the same out
		requireStory(t, l, db)
		clock.Set(at(3, 1))
		set.From = at(2, 28)
		if a := allot(t, l, db, set); !a.NextAt.Equal(at(3, 31)) {
			t.Errorf("%+v", a)
		}
		set.From = at(4, 29) // later than the one to come, which is left out
		if a := allot(t, l, db, set); !a.NextAt.Equal(at(4, 30)) {
			t.Errorf("%+v", a)
		}
		set.From = time.Time{} // which never brings back what is to be left out
		allot(t, l, db, set)
		clock.Set(at(5, 1))
		requireStory(t, l, db, "grant +100 =100 2026-02-28T09:00", "expire -100 =0 2026-03-31T09:00", "grant +100 =100 2026-04-30T09:00")
		creditstest.RequireSound(t, l, db, acc)
		_, err := l.SetAllotment(t.Context(), db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 1, From: time.Unix(-1<<40, 0)})
		requireError(t, err, credits.ErrInvalid)
	})
}

// An erased account has no rules any more, and what is due is found to be nothing.
func TestAllotment_OfAnErasedAccountGrantsNothing(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 100})
		exec(t, db, "DELETE FROM credits_allotments")
		clock.Set(at(4, 1))
		for _, want := range []int{1, 0} {
			if n, err := l.Sweep(t.Context(), db); n != want || err != nil {
				t.Errorf("%d swept, %v", n, err)
			}
		}
		creditstest.RequireBalance(t, l, db, acc, 0)
		creditstest.RequireSound(t, l, db, acc)
		// The ledger remembers what it granted.
		clock.Set(start)
		allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 100})
		creditstest.RequireBalance(t, l, db, acc, 0)
	})
}

// A program that knows of no allotments leaves them out of what is due next.
func TestM15_AllotmentsAreGrantedAfterAnOlderProgramHasRun(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 100})
		exec(t, db, "UPDATE credits_accounts SET next_at = NULL")
		found, err := l.Verify(t.Context(), db, acc)
		if len(found) != 2 || !strings.Contains(found[1].String(), `the account knows when its next allotment is due: "plan"`) || err != nil {
			t.Errorf("%v, %v", found, err)
		}
		clock.Set(at(4, 1))
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
		requireStory(t, l, db, "grant +100 =100 2026-03-01T09:00", "expire -100 =0 2026-04-01T09:00", "grant +100 =100 2026-04-01T09:00",
			"deduct -1 =99 2026-04-01T09:00")
	})
}

// asks counts the statements that are about allotments.
type asks struct{ n int }

func (*asks) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (a *asks) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	if strings.Contains(e.Query, "credits_allotments") {
		a.n++
	}
}

func TestAllotments_AreLookedForOnlyWhereOneIsDue(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "g", ExpiresAt: at(3, 2)})
		allot(t, l, db, credits.SetAllotment{Account: other, Name: "plan", Amount: 100})
		grant(t, l, db, credits.Grant{Account: other, Amount: 10, Key: "g", ExpiresAt: at(3, 2)})
		count := &asks{}
		hooked := db.WithQueryHook(count)
		for _, account := range []tenancy.AccountID{acc, other} {
			deduct(t, l, hooked, credits.Deduct{Account: account, Amount: 1})
		}
		clock.Set(at(3, 2))
		for _, account := range []tenancy.AccountID{acc, other} {
			if _, err := l.Balance(t.Context(), hooked, account); err != nil {
				t.Fatal(err)
			}
		}
		if count.n != 0 {
			t.Errorf("%d statements are about allotments", count.n)
		}
	})
}
