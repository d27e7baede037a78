package credits_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/credits"
)

// modelRule is an allotment, and the grants of its newest period, or none.
type modelRule struct {
	credits.Allotment
	grant, rolled int
}

// inWords are allotments, one a line.
func inWords(all ...credits.Allotment) string {
	lines := make([]string, len(all))
	for i, a := range all {
		lines[i] = fmt.Sprintf("%+v", a)
	}
	return strings.Join(lines, "\n")
}

func (m *model) allotments() string {
	var all []credits.Allotment
	for _, r := range m.rules {
		all = append(all, r.Allotment)
	}
	return inWords(all...)
}

// begin is when the n-th period begins: in a month that is too short, on its last day.
func (r modelRule) begin(n int) time.Time {
	if r.Every.Days > 0 {
		return r.Anchor.Add(time.Duration(n*r.Every.Days) * 24 * time.Hour) // the zone is UTC
	}
	year, month, day := r.Anchor.Date()
	month += time.Month(n * r.Every.Months)
	last := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
	clock := r.Anchor.Sub(r.Anchor.Truncate(24 * time.Hour))
	return time.Date(year, month, min(day, last), 0, 0, 0, 0, time.UTC).Add(clock)
}

// after is when the first period after a moment begins.
func (r modelRule) after(at time.Time) time.Time {
	for n := 0; ; n++ {
		if begin := r.begin(n); begin.After(at) {
			return begin
		}
	}
}

// key is that of what the next period grants.
func (r modelRule) key(kind string) string {
	return fmt.Sprint("quitrent:", kind, ":", r.Name, ":", r.NextAt.Format(time.RFC3339Nano))
}

// stop ends a rule whose next period is not to begin any more.
func (r *modelRule) stop() {
	if !r.Until.IsZero() && !r.NextAt.Before(r.Until) {
		r.NextAt = time.Time{}
	}
}

// begins is when the first of the next periods begins, if that is by a moment.
func (m *model) begins(by time.Time) (first time.Time) {
	for _, r := range m.rules {
		if !r.NextAt.IsZero() && !r.NextAt.After(by) && (first.IsZero() || r.NextAt.Before(first)) {
			first = r.NextAt
		}
	}
	return first
}

// beginPeriods begins those that begin now, or should have, when what ends now has
// expired.
func (m *model) beginPeriods() {
	left := make([]int64, len(m.rules))
	for i, r := range m.rules {
		left[i] = m.left(r)
	}
	m.lapse(m.now)
	for i := range m.rules {
		r := &m.rules[i]
		if r.NextAt.IsZero() || r.NextAt.After(m.now) {
			continue
		}
		end := r.after(r.NextAt)
		expires := end
		for range r.Rollover.Periods {
			expires = r.after(expires)
		}
		r.rolled = none
		if left[i] > 0 {
			r.rolled = m.allot(*r, "rollover", left[i], end)
		}
		r.grant = m.allot(*r, "allotment", r.Amount, expires)
		r.EndsAt, r.NextAt = end, end
		r.stop()
	}
}

// left is what of a rule's newest period rolls over into the next one.
func (m *model) left(r modelRule) int64 {
	free := func(grant int) int64 {
		if grant == none || !m.grants[grant].until.Equal(r.NextAt) {
			return 0
		}
		return m.grants[grant].free()
	}
	if r.Rollover.Percent > 0 {
		return free(r.grant) * int64(r.Rollover.Percent) / 100
	}
	return min(r.Rollover.Cap, free(r.grant)+free(r.rolled))
}

// allot grants what a period has, unless its key was used, and returns which grant it is.
func (m *model) allot(r modelRule, kind string, amount int64, until time.Time) int {
	if _, used := m.keys[r.key(kind)]; used {
		return none
	}
	m.grant(credits.Grant{
		Amount: amount, Key: r.key(kind), Category: r.Category, Priority: r.Priority, Operations: r.Operations,
		EffectiveAt: r.NextAt, ExpiresAt: until, Note: kind + ": " + r.Name,
	})
	return len(m.grants) - 1
}

func (m *model) setAllotment(s credits.SetAllotment) result {
	i, found := slices.BinarySearchFunc(m.rules, s.Name, func(r modelRule, name string) int { return cmp.Compare(r.Name, name) })
	if !found {
		a := credits.Allotment{Account: m.account, Name: s.Name, Zone: "UTC", Anchor: m.now, CreatedAt: m.now}
		m.rules = slices.Insert(m.rules, i, modelRule{a, none, none})
	}
	r := &m.rules[i]
	was := *r
	r.Amount, r.Every, r.Category, r.Priority = s.Amount, s.Every, cmp.Or(s.Category, credits.CategoryAllowance), s.Priority
	r.Operations, r.Rollover, r.Until = s.Operations, s.Rollover, s.Until
	if r.Every == (credits.Every{}) {
		r.Every.Months = 1
	}
	switch {
	case !s.Anchor.IsZero():
		r.Anchor = s.Anchor
	case found && r.Every != was.Every:
		r.Anchor = later(m.now, r.EndsAt)
	}
	// Its periods are found anew where they are others, or where the next one is left out.
	if was.NextAt.IsZero() || r.Every != was.Every || !r.Anchor.Equal(was.Anchor) || r.NextAt.Before(s.From) {
		floor := later(s.From, r.EndsAt)
		for n := 0; ; n++ {
			if r.NextAt = r.begin(n); !r.NextAt.Before(floor) && r.begin(n+1).After(m.now) {
				break
			}
		}
	}
	r.stop()
	if !r.NextAt.IsZero() && !r.NextAt.After(m.now) {
		m.beginPeriods()
	}
	return result{Allotment: inWords(m.rules[i].Allotment)}
}

func (m *model) endAllotment(e credits.EndAllotment) result {
	for i := range m.rules {
		if m.rules[i].Name == e.Name {
			m.rules[i].NextAt = time.Time{}
			return result{Allotment: inWords(m.rules[i].Allotment)}
		}
	}
	return refusedBy(credits.ErrNoAllotment)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// drawAllotment draws one of two names that is set, set again or ended. Its periods
// begin where grants and holds end too.
func drawAllotment(t *rapid.T, m *model, instant *rapid.Generator[time.Time]) operation {
	name := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name")
	if rapid.IntRange(0, 5).Draw(t, "ended") == 0 {
		return operation{EndAllotment: &credits.EndAllotment{Account: m.account, Name: name}}
	}
	s := credits.SetAllotment{
		Account: m.account, Name: name, Amount: rapid.Int64Range(1, 30).Draw(t, "amount"),
		Every:      rapid.SampledFrom([]credits.Every{{Days: 1}, {Days: 1}, {Days: 3}, {Days: 7}, {}, {Months: 2}}).Draw(t, "every"),
		Category:   rapid.SampledFrom(append([]credits.Category{""}, someCategories...)).Draw(t, "category"),
		Priority:   rapid.IntRange(-1, 1).Draw(t, "priority"),
		Operations: rapid.SampledFrom([][]string{nil, nil, nil, {"ideas"}}).Draw(t, "operations"),
		Rollover: rapid.SampledFrom([]credits.Rollover{
			{}, {Cap: 7}, {Cap: 40}, {Percent: 40}, {Percent: 100}, {Periods: 1}, {Periods: 3},
		}).Draw(t, "rollover"),
		Zone: rapid.SampledFrom([]string{"", "UTC"}).Draw(t, "zone"),
	}
	if i := slices.IndexFunc(m.rules, func(r modelRule) bool { return r.Name == name }); i >= 0 && rapid.Bool().Draw(t, "as it was") {
		r := m.rules[i]
		s.Amount, s.Every, s.Category, s.Priority, s.Operations = r.Amount, r.Every, r.Category, r.Priority, r.Operations
		s.Rollover, s.Until = r.Rollover, r.Until
		if !r.NextAt.IsZero() && rapid.IntRange(0, 3).Draw(t, "one left out") == 0 {
			s.From = r.NextAt.Add(time.Microsecond)
		}
	} else if rapid.IntRange(0, 3).Draw(t, "anchored") == 0 {
		s.Anchor = rapid.OneOf(instant, rapid.Just(time.Date(2025, 8, 31, 9, 0, 0, 0, time.UTC))).Draw(t, "anchor")
	}
	if s.From.IsZero() && rapid.IntRange(0, 5).Draw(t, "later") == 0 {
		s.From = instant.Draw(t, "from")
	}
	if s.Until.IsZero() && rapid.IntRange(0, 5).Draw(t, "for a time") == 0 {
		if s.Until = instant.Draw(t, "until"); !s.Until.After(s.Anchor) {
			s.Until = time.Time{}
		}
	}
	return operation{SetAllotment: &s}
}
