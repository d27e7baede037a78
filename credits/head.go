package credits

import "math/rand/v2"

// lead finds the grant that is spent first from now on, whatever for, and what of it is
// free. Deductions take that in the account's row, where it is under the account's lock
// anyway; the grant's own row gets to know when another grant comes first, or when more
// than that happens to it.
func (b *book) lead() {
	var head *grantRow
	for _, g := range b.grants {
		if g.Operations != "" || g.free() <= 0 || !g.inEffect(b.now) {
			continue
		}
		if head == nil || burnOrder(*g, *head) < 0 {
			head = g
		}
	}
	b.row.head, b.row.headFree = "", 0
	if head != nil {
		b.row.head, b.row.headFree = head.ID, head.free()
	}
}

// found takes a grant into the book as its row and the account's say it is.
func (b *book) found(g *grantRow) {
	g.row = inGrant{g.Remaining, g.Held}
	if g.ID == b.was.head {
		g.Remaining = b.was.headFree + g.Held
	}
	b.grants = append(b.grants, g)
}

// stale reports that the grant's own row is to be written. A head's may say that more is
// in it than is: less would hide it.
func (b *book) stale(g *grantRow) bool {
	switch {
	case g.made:
		return false
	case g.ID == b.row.head && g.Held == g.row.held:
		return g.Remaining > g.row.remaining
	}
	return g.Held != g.row.held || g.Remaining != g.row.remaining
}

// plain reports that nothing has happened to the account but entries of its head, and
// replays. Whoever remembers it need not forget it for that.
func (b *book) plain() bool {
	row := b.was
	row.number, row.booked, row.enteredAt, row.replays, row.headFree = b.row.number, b.row.booked, b.row.enteredAt, b.row.replays, b.row.headFree
	if b.row != row || len(b.splits) > 0 || len(b.notes) > 0 {
		return false
	}
	for _, line := range b.lines {
		if line.Grant != b.row.head {
			return false
		}
	}
	for _, k := range b.keys {
		if k.made && k.line == nil {
			return false
		}
	}
	for _, h := range b.holds {
		if h.made || h.changed {
			return false
		}
	}
	for _, g := range b.grants {
		if g.made || b.stale(g) {
			return false
		}
	}
	return true
}

// close makes the row what is to be written of it.
func (b *book) close() {
	b.lead()
	if !b.plain() {
		// Not by one: where a failover has lost some of them, it must not come to where it
		// has been with other contents.
		b.row.epoch += step()
	}
}

func step() int64 { return 1 + rand.Int64N(1<<20) }
