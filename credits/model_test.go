package credits_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
)

// model is one account's ledger as the package comment describes it, kept in memory,
// one operation after another. Nothing is summed up in it but the debt.
type model struct {
	account   tenancy.AccountID
	now       time.Time
	grace     time.Duration // of refunds
	overdraft int64
	periodic  bool // much of the history is about allotments

	debt    int64
	grants  []modelGrant
	holds   []modelHold
	rules   []modelRule // by name
	entries []credits.Entry
	agreed  int              // of the entries, with the ledger
	parts   map[int64][]part // what an entry took, in order, less what was given back
	keys    map[string]modelOutcome
}

// modelGrant is known by its place among the grants, which is the order of their ids.
type modelGrant struct {
	category        credits.Category
	priority        int
	operations      []string
	from, until     time.Time
	remaining, held int64
	number          int64 // of its entry
	again           bool  // it stands for what a refund gave back
}

// modelHold is known by its place among the holds. Of its parts the first used credits
// have been charged.
type modelHold struct {
	credits.Held
	parts []part
	used  int64
}

// part is what was taken from a grant; from inDebt, what was left as a debt.
type part struct {
	from   int
	amount int64
}

const inDebt = -1

type modelOutcome struct {
	content string
	result  result
	hold    int // that it is about, or none
}

const none = -1

func newModel(account tenancy.AccountID) *model {
	return &model{account: account, now: start, parts: map[int64][]part{}, keys: map[string]modelOutcome{}}
}

// clone is a model that goes its own way.
func (m *model) clone() *model {
	c := *m
	c.grants, c.holds, c.rules = slices.Clone(m.grants), slices.Clone(m.holds), slices.Clone(m.rules)
	c.entries = slices.Clip(m.entries)
	c.keys = maps.Clone(m.keys)
	c.parts = make(map[int64][]part, len(m.parts))
	for n, p := range m.parts {
		c.parts[n] = slices.Clone(p)
	}
	return &c
}

func (g modelGrant) free() int64 { return g.remaining - g.held }

func (g modelGrant) expired(at time.Time) bool { return !g.until.IsZero() && !g.until.After(at) }

func (g modelGrant) end() time.Time {
	if g.until.IsZero() {
		return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return g.until
}

func (g modelGrant) pays(operation string) bool {
	return len(g.operations) == 0 || slices.Contains(g.operations, operation)
}

// burns is the order in which grants are spent.
func (m *model) burns(i, j int) int {
	category := map[credits.Category]int{
		credits.CategoryAllowance: 1, credits.CategoryPromo: 2, credits.CategoryAdjustment: 3, credits.CategoryPaid: 4,
	}
	a, b := m.grants[i], m.grants[j]
	return cmp.Or(cmp.Compare(a.priority, b.priority), a.end().Compare(b.end()),
		cmp.Compare(category[a.category], category[b.category]), a.from.Compare(b.from), cmp.Compare(i, j))
}

// live are the grants that can be spent on an operation now, in burn order.
func (m *model) live(operation string) (out []int) {
	for i, g := range m.grants {
		if !g.from.After(m.now) && !g.expired(m.now) && g.free() > 0 && g.pays(operation) {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, m.burns)
	return out
}

func (m *model) spendable(operation string) int64 {
	n := -m.debt
	for _, i := range m.live(operation) {
		n += m.grants[i].free()
	}
	return max(0, n)
}

func (m *model) balance() credits.Balance {
	b := credits.Balance{Booked: -m.debt, Spendable: m.spendable("")}
	for _, g := range m.grants {
		b.Booked += g.remaining
		b.Held += g.held
	}
	return b
}

// take is n credits for an operation out of what can be spent.
func (m *model) take(operation string, n int64) (parts []part) {
	for _, i := range m.live(operation) {
		if take := min(n, m.grants[i].free()); take > 0 {
			parts = append(parts, part{i, take})
			n -= take
		}
	}
	return parts
}

// append enters what has happened to the grants.
func (m *model) append(e credits.Entry, at time.Time) credits.Entry {
	if n := len(m.entries); n > 0 && m.entries[n-1].At.After(at) {
		at = m.entries[n-1].At
	}
	b := m.balance()
	e.Account, e.Number, e.Balance, e.Spendable, e.At = m.account, int64(len(m.entries)+1), b.Booked, b.Spendable, at
	m.entries = append(m.entries, e)
	return e
}

// pass lets happen what happens by itself until a moment.
func (m *model) pass(to time.Time) {
	for {
		next := none
		for i, h := range m.holds {
			if h.State == credits.HoldOpen && !h.ExpiresAt.After(to) && (next == none || h.ExpiresAt.Before(m.holds[next].ExpiresAt)) {
				next = i
			}
		}
		begins := m.begins(to)
		if !begins.IsZero() && (next == none || !m.holds[next].ExpiresAt.Before(begins)) {
			m.now = begins
			m.beginPeriods()
			continue
		}
		if next == none {
			m.lapse(to)
			m.now = to
			return
		}
		h := &m.holds[next]
		m.lapse(h.ExpiresAt)
		m.now = h.ExpiresAt
		switch h.AtEnd {
		case credits.AtEndReview:
			h.State = credits.HoldReview
		case credits.AtEndCharge:
			if h.Left > 0 {
				m.charge(next, h.Left, credits.Entry{Note: h.Note})
			}
			m.giveUp(next)
		default:
			m.giveUp(next)
		}
	}
}

// lapse enters what was left in grants when they expired, if that was by then.
func (m *model) lapse(by time.Time) {
	now := m.now
	for {
		next := none
		for i, g := range m.grants {
			if g.free() > 0 && g.expired(by) && (next == none || cmp.Or(g.until.Compare(m.grants[next].until), m.burns(i, next)) < 0) {
				next = i
			}
		}
		if next == none {
			m.now = now
			return
		}
		g := &m.grants[next]
		m.now = g.until
		if n := len(m.entries); n > 0 && m.entries[n-1].At.After(m.now) {
			m.now = m.entries[n-1].At
		}
		n := g.free()
		g.remaining -= n
		m.append(credits.Entry{Kind: credits.KindExpire, Amount: -n}, m.now)
	}
}

// letGo lets go of n credits of what a hold still holds.
func (m *model) letGo(hold int, n int64) (parts []part) {
	h := &m.holds[hold]
	skip := h.used
	for _, p := range h.parts {
		held := max(0, p.amount-skip)
		skip = max(0, skip-p.amount)
		if take := min(n, held); take > 0 {
			m.grants[p.from].held -= take
			parts = append(parts, part{p.from, take})
			n -= take
		}
	}
	return parts
}

// charge enters n credits for a hold's work: what it holds, what can be spent, a debt.
func (m *model) charge(hold int, n int64, e credits.Entry) credits.Entry {
	h := &m.holds[hold]
	more := m.take(h.Operation, min(max(0, n-h.Left), m.spendable(h.Operation)))
	held := min(n, h.Left)
	parts := m.letGo(hold, held)
	h.used += held
	h.Left -= held
	h.Settled += n
	for _, p := range more {
		if i := slices.IndexFunc(parts, func(o part) bool { return o.from == p.from }); i >= 0 {
			parts[i].amount += p.amount
		} else {
			parts = append(parts, p)
		}
	}
	rest := n
	for _, p := range parts {
		m.grants[p.from].remaining -= p.amount
		rest -= p.amount
	}
	if rest > 0 {
		m.debt += rest
		parts = append(parts, part{inDebt, rest})
	}
	e.Kind, e.Amount, e.Hold, e.Operation = credits.KindSettle, -n, h.ID, h.Operation
	e = m.append(e, m.now)
	m.parts[e.Number] = parts
	return e
}

// giveUp ends a hold and gives back what is left of it.
func (m *model) giveUp(hold int) {
	h := &m.holds[hold]
	m.letGo(hold, h.Left)
	h.Left, h.State = 0, credits.HoldReleased
	if h.Settled > 0 {
		h.State = credits.HoldSettled
	}
	m.lapse(m.now)
}

// once runs do unless the key has been used, and remembers what it did.
func (m *model) once(key, content string, do func() (result, int)) result {
	if done, ok := m.keys[key]; ok && key != "" {
		if done.content != content {
			return result{Refusal: refusalOf(credits.ErrKeyReused)}
		}
		if done.hold != none { // as it is by now
			done.result.Hold = m.holds[done.hold].Held
		}
		if done.result.Refusal == "" {
			done.result.Entry.Replayed = done.result.Entry.Number != 0
			done.result.Hold.Replayed = done.hold != none
		}
		return done.result
	}
	r, hold := do()
	if key != "" {
		m.keys[key] = modelOutcome{content, r, hold}
	}
	return r
}

func short(need, have int64) result {
	return result{Refusal: refusalOf(&credits.InsufficientError{Need: need, Have: have})}
}

func refusedBy(err error) result { return result{Refusal: refusalOf(err)} }

func content(parts ...any) string { return fmt.Sprintf("%q", fmt.Sprint(parts...)) }
