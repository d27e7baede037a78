package credits_test

import (
	"cmp"
	"fmt"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
)

// do does an operation. Of what the ledger did it looks at nothing but the id of a new
// hold.
func (m *model) do(o operation, got result) result {
	switch {
	case o.Grant != nil:
		return m.grant(*o.Grant)
	case o.Deduct != nil:
		return m.deduct(*o.Deduct)
	case o.Refund != nil:
		return m.refund(*o.Refund)
	case o.Hold != nil:
		return m.hold(*o.Hold, got.Hold.ID)
	case o.Settle != nil:
		return m.settle(*o.Settle)
	case o.Release != nil:
		return m.release(*o.Release)
	case o.Extend != nil:
		return m.extend(*o.Extend)
	case o.Revoke != nil:
		return m.revoke(*o.Revoke)
	case o.SetAllotment != nil:
		return m.setAllotment(*o.SetAllotment)
	case o.EndAllotment != nil:
		return m.endAllotment(*o.EndAllotment)
	}
	return result{}
}

func (m *model) grant(g credits.Grant) result {
	what := content("grant", g.Amount, g.Category, g.Priority, g.EffectiveAt, g.ExpiresAt, g.Operations)
	return m.once(g.Key, what, func() (result, int) {
		row := modelGrant{g.Category, g.Priority, g.Operations, g.EffectiveAt, g.ExpiresAt, g.Amount, 0, m.next(), false}
		if row.from.IsZero() {
			row.from = m.now
		}
		if len(g.Operations) == 0 && !row.from.After(m.now) && !row.expired(m.now) {
			repaid := min(m.debt, g.Amount)
			m.debt -= repaid
			row.remaining -= repaid
		}
		m.grants = append(m.grants, row)
		e := credits.Entry{
			Kind: credits.KindGrant, Amount: g.Amount, Key: g.Key, Note: g.Note, Actor: nobody,
		}
		r := result{Entry: m.append(e, m.now)}
		m.lapse(m.now)
		return r, none
	})
}

// next is the number of the entry that comes next.
func (m *model) next() int64 { return int64(len(m.entries) + 1) }

// nobody is who acts where nobody is named.
var nobody = tenancy.Actor{Kind: tenancy.ActorSystem, ID: "credits"}

func (m *model) deduct(d credits.Deduct) result {
	return m.once(d.Key, content("deduct", d.Amount, d.Operation), func() (result, int) {
		if have := m.spendable(d.Operation); d.Amount > have {
			return short(d.Amount, have), none
		}
		parts := m.take(d.Operation, d.Amount)
		for _, p := range parts {
			m.grants[p.from].remaining -= p.amount
		}
		e := m.append(credits.Entry{Kind: credits.KindDeduct, Amount: -d.Amount, Key: d.Key, Operation: d.Operation}, m.now)
		m.parts[e.Number] = parts
		return result{Entry: e}, none
	})
}

func (m *model) refund(r credits.Refund) result {
	return m.once(r.Key, content("refund", r.Entry, " ", r.Amount), func() (result, int) {
		if r.Entry < 1 || r.Entry > int64(len(m.entries)) {
			return refusedBy(credits.ErrNoEntry), none
		}
		parts := m.parts[r.Entry]
		var owed int64
		for _, p := range parts {
			owed += p.amount
		}
		n := cmp.Or(r.Amount, owed)
		if n > owed || n == 0 {
			return refusedBy(credits.ErrNotRefundable), none
		}
		left := n
		for i := len(parts) - 1; i >= 0; i-- {
			back := min(left, parts[i].amount)
			parts[i].amount -= back
			left -= back
			m.giveBack(parts[i].from, back)
		}
		e := m.append(credits.Entry{
			Kind: credits.KindRefund, Amount: n, RefundOf: r.Entry, Key: r.Key, Operation: m.entries[r.Entry-1].Operation,
		}, m.now)
		m.lapse(m.now)
		return result{Entry: e}, none
	})
}

// giveBack puts n credits back to where they came from, or into a grant in its place.
func (m *model) giveBack(from int, n int64) {
	if from == inDebt {
		repaid := min(m.debt, n)
		m.debt -= repaid
		if n > repaid {
			m.grants = append(m.grants, modelGrant{category: credits.CategoryAdjustment, from: m.now, remaining: n - repaid, number: m.next(), again: true})
		}
		return
	}
	g := &m.grants[from]
	if n > 0 && m.grace > 0 && g.expired(m.now) {
		again := *g
		again.from, again.until, again.remaining, again.held = m.now, m.now.Add(m.grace), n, 0
		again.number, again.again = m.next(), true
		m.grants = append(m.grants, again)
		return
	}
	g.remaining += n
}

func (m *model) hold(h credits.Hold, id string) result {
	return m.once(h.Key, content("hold", h.Amount, h.Operation, h.For, h.AtEnd), func() (result, int) {
		if have := m.spendable(h.Operation); h.Amount > have {
			return short(h.Amount, have), none
		}
		parts := m.take(h.Operation, h.Amount)
		for _, p := range parts {
			m.grants[p.from].held += p.amount
		}
		m.holds = append(m.holds, modelHold{credits.Held{
			Account: m.account, ID: id, State: credits.HoldOpen, Amount: h.Amount, Left: h.Amount, Operation: h.Operation,
			Note: h.Note, AtEnd: h.AtEnd, ExpiresAt: m.now.Add(h.For), CreatedAt: m.now,
		}, parts, 0})
		last := len(m.holds) - 1
		return result{Hold: m.seen(last)}, last
	})
}

// seen is a hold as it is answered with.
func (m *model) seen(hold int) credits.Held {
	h := m.holds[hold].Held
	h.Spendable = m.spendable("")
	return h
}

// find is a hold that still holds something.
func (m *model) find(id string) (int, error) {
	for i, h := range m.holds {
		if h.ID != id {
			continue
		}
		if h.State != credits.HoldOpen && h.State != credits.HoldReview {
			return i, credits.ErrHoldEnded
		}
		return i, nil
	}
	return none, credits.ErrNoHold
}

func (m *model) settle(s credits.Settle) result {
	key := s.Key
	if key == "" {
		key = fmt.Sprint("quitrent:settle:", s.Hold)
	}
	r := m.once(key, content("settle", s.Hold, s.Amount, s.More), func() (result, int) {
		i, err := m.find(s.Hold)
		if err != nil {
			return refusedBy(err), none
		}
		h := &m.holds[i]
		room := max(0, m.overdraft-m.debt)
		if have := h.Left + m.spendable(h.Operation); s.Amount > have+room {
			return short(s.Amount, have+room), none
		}
		var r result
		if s.Amount > 0 {
			r.Entry = m.charge(i, s.Amount, credits.Entry{Key: key, Note: h.Note})
		}
		if !s.More {
			m.giveUp(i)
		}
		r.Hold = m.seen(i)
		return r, i
	})
	if r.Refusal != "" && s.Key == "" && m.keys[key].result.Refusal != "" {
		delete(m.keys, key) // of the hold's own, so that it can be settled yet
	}
	return r
}

func (m *model) release(r credits.Release) result {
	i, err := m.find(r.Hold)
	switch {
	case err == nil:
		m.giveUp(i)
	case i == none || m.holds[i].State != credits.HoldReleased:
		return refusedBy(err)
	}
	return result{Hold: m.seen(i)}
}

func (m *model) extend(e credits.Extend) result {
	i, err := m.find(e.Hold)
	if err != nil {
		return refusedBy(err)
	}
	h := &m.holds[i]
	if e.For > 0 {
		h.State = credits.HoldOpen
		if until := m.now.Add(e.For); until.After(h.ExpiresAt) {
			h.ExpiresAt = until
		}
	}
	h.AtEnd = cmp.Or(e.AtEnd, h.AtEnd)
	return result{Hold: m.seen(i)}
}

// revoke takes back what is neither spent nor held.
func (m *model) revoke(r credits.Revoke) result {
	return m.once(r.Key, content("revoke", r.Entry), func() (result, int) {
		if r.Entry < 1 || r.Entry > int64(len(m.entries)) {
			return refusedBy(credits.ErrNoEntry), none
		}
		for i := range m.grants {
			g := &m.grants[i]
			if n := g.free(); g.number == r.Entry && !g.again && n > 0 {
				g.remaining -= n
				return result{Entry: m.append(credits.Entry{
					Kind: credits.KindRevoke, Amount: -n, Key: r.Key, Note: r.Note, Actor: nobody,
				}, m.now)}, none
			}
		}
		return refusedBy(credits.ErrNothingLeft), none
	})
}
