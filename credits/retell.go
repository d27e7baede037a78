package credits

import (
	"fmt"
	"slices"
)

// retelling makes entries of what happened in another system, of which nobody knows which
// credits were taken when: what came in first. So the first that came in is spent by the
// end, and the last is what is left. Each has grants of its own, and the lines to come
// take only from those that are to be spent.
type retelling struct {
	book  *book
	adopt Adopt
	lots  []Lot // what of them has not come in yet
	spend int64 // what is to come in and will be spent

	queue []*grantRow        // to be taken from, oldest first
	owed  map[string][]share // what deductions took, less what was given back
	entry map[string]int64   // their numbers
}

// retellLines is after how many lines what was made is written.
const retellLines = 500

// retell enters the lines of an adoption into the book of an account without entries, and
// calls write whenever there is something to write.
func (b *book) retell(a Adopt, hash string, write func() error) (Adopted, error) {
	r := &retelling{book: b, adopt: a, lots: slices.Clone(a.Lots), owed: map[string][]share{}, entry: map[string]int64{}}
	for _, n := range a.Lines {
		r.spend += max(0, n.Amount)
	}
	for _, t := range a.Lots {
		r.spend -= t.Amount
	}
	now := b.now
	for i, n := range a.Lines {
		b.now = now
		if !n.At.IsZero() {
			b.now = n.At
		}
		line := entryRow{Kind: n.Kind, Operation: n.Operation, Note: n.Note}
		if n.Reference != "" {
			line.Key, line.Hash = b.ledger.adoptedKey()+":"+n.Reference, hash
		}
		if err := r.tell(n, line); err != nil {
			return Adopted{}, fmt.Errorf("%w: %s", err, n.name(i))
		}
		if len(b.lines) < retellLines {
			continue
		}
		if err := write(); err != nil {
			return Adopted{}, err
		}
		b.grants = slices.DeleteFunc(b.grants, func(g *grantRow) bool { return g.Remaining == 0 })
	}
	return Adopted{Entries: b.row.number, Balance: b.row.booked}, nil
}

func (r *retelling) tell(n AdoptLine, line entryRow) error {
	switch {
	case n.Amount < 0:
		parts := r.take(-n.Amount)
		number := r.book.enter(line, parts, r.book.now).Number
		if n.Kind == KindDeduct && n.Reference != "" {
			r.entry[n.Reference] = number
			r.owed[n.Reference] = taken(parts)
		}
	case n.RefundOf == "":
		r.book.enter(line, r.repay(r.bring(n.Amount, "")), r.book.now)
	default:
		// Where a debt is open, it is not this refund that repays it: which credits the
		// line was about can no more be said.
		if r.book.row.debt > 0 {
			return fmt.Errorf("%w: the account was below zero when it was given back: leave out what it is the refund of", ErrInvalid)
		}
		back := giveBack(r.owed[n.RefundOf], n.Amount)
		if back == nil {
			return fmt.Errorf("%w: more was given back than was taken", ErrInvalid)
		}
		var parts []part
		for _, s := range back {
			origin := s.grant
			if origin == "" {
				origin = inDebt
			}
			parts = append(parts, r.bring(s.amount, origin)...)
			owed := r.owed[n.RefundOf]
			owed[slices.IndexFunc(owed, func(o share) bool { return o.grant == s.grant })].amount -= s.amount
		}
		line.RefundOf = r.entry[n.RefundOf]
		r.book.enter(line, parts, r.book.now)
	}
	return nil
}

// bring makes the grants of what comes in: first of what is to be spent, then of what is
// to be left.
func (r *retelling) bring(n int64, origin string) []part {
	var parts []part
	add := func(g *grantRow) {
		g.Origin, g.EffectiveAt = origin, r.book.now
		r.book.add(g)
		r.book.live = r.book.live[:0] // sorted when all is told
		parts = append(parts, part{g, g.Amount})
		n -= g.Amount
	}
	if spend := min(n, r.spend); spend > 0 {
		g := &grantRow{Category: r.adopt.Category, Amount: spend}
		r.spend -= spend
		r.queue = append(r.queue, g)
		add(g)
	}
	for n > 0 {
		t := &r.lots[0]
		g := &grantRow{Category: t.Category, Priority: int64(t.Priority), Amount: min(n, t.Amount), ExpiresAt: t.ExpiresAt}
		if t.Amount -= g.Amount; t.Amount == 0 {
			r.lots = r.lots[1:]
		}
		add(g)
	}
	return parts
}

// repay adds to what comes in what it repays of a debt. While there is one, less has come
// in than is to be spent, so it is repaid by that.
func (r *retelling) repay(parts []part) []part {
	if n := min(r.book.row.debt, parts[0].amount); n > 0 {
		parts = append(parts, part{parts[0].grant, -n}, part{nil, n})
	}
	return parts
}

// take takes from what came in first. What is missing is a debt.
func (r *retelling) take(n int64) []part {
	var parts []part
	for n > 0 && len(r.queue) > 0 {
		g := r.queue[0]
		if g.Remaining == 0 {
			r.queue = r.queue[1:]
			continue
		}
		t := min(n, g.Remaining)
		parts = append(parts, part{g, -t})
		if n -= t; n > 0 {
			r.queue = r.queue[1:]
		}
	}
	if n > 0 {
		parts = append(parts, part{nil, -n})
	}
	return parts
}

// taken is what a deduction took, the last grant taken from first.
func taken(parts []part) []share {
	var out []share
	for _, p := range slices.Backward(parts) {
		s := share{amount: -p.amount}
		if p.grant != nil {
			s.grant = p.grant.ID
		}
		out = append(out, s)
	}
	return out
}
