package credits

import (
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// book is an account's ledger while its lock is held: what open read of it, and what
// flush will write. Verbs change it in memory, one after another; so several requests
// share a lock, and their commit.
type book struct {
	ledger  *Ledger
	db      bun.IDB
	account tenancy.AccountID
	now     time.Time

	was accountRow // as the lock found it
	row accountRow // as it is to be

	grants []*grantRow         // with something in them, and those that a verb asked for
	live   []*grantRow         // of these what can be spent now, in burn order
	free   int64               // what is in live and neither held nor for some operations only
	scoped bool                // some of live is for some operations only
	keys   map[string]*keyRow  // of the requests, as far as they are known
	holds  map[string]*holdRow // of the requests

	budgets    map[tenancy.Actor]*budgetRow // of those who spend; nil: they have none
	thresholds []*thresholdRow

	rules     []*allotmentRow // by which something is to come, and that a verb asked for
	rulesRead bool
	taken     map[string]bool // keys of periods that are not to be granted again

	lines  []*entryRow // to be written
	splits []splitRow  // to be written
	notes  []func(context.Context, bun.IDB) error
}

// accountRow is what the lock of an account says of it.
type accountRow struct {
	epoch                      int64 // moves on with every change that is not plain
	replays                    int64 // of its keys, by how many commits
	booked, held, debt, number int64
	enteredAt                  time.Time // of the newest entry
	nextAt                     time.Time // nothing is due before; zero: nothing at all
	budgets, thresholds        int64     // how many it has
	renewsAt                   time.Time // no allotment is due before; zero: there is none
	head                       string    // the grant that is spent first; "": there is none
	headFree                   int64     // of that
}

// part is what an entry puts into a grant, or takes from it (below zero). No grant:
// what it repays of a debt, or adds to it (below zero).
type part struct {
	grant  *grantRow
	amount int64
}

// sort finds what of the grants can be spent now.
func (b *book) sort() {
	b.live, b.free, b.scoped = b.live[:0], 0, false
	for _, g := range b.grants {
		if g.inEffect(b.now) && g.Remaining > 0 {
			b.live = append(b.live, g)
			if g.Operations == "" {
				b.free += g.free()
			} else {
				b.scoped = true
			}
		}
	}
	slices.SortFunc(b.live, func(x, y *grantRow) int { return burnOrder(*x, *y) })
}

// spendable is what can be spent on an operation. It is less than a debt, which comes
// first, and never below zero.
func (b *book) spendable(operation string) int64 {
	n := b.free
	if b.scoped && operation != "" {
		for _, g := range b.live {
			if g.Operations != "" && g.isFor(operation) {
				n += g.free()
			}
		}
	}
	return max(0, n-b.row.debt)
}

// take spreads n over what can be spent on the operation, which holds at least n.
func (b *book) take(operation string, n int64) []part {
	var out []part
	for _, g := range b.live {
		if n == 0 {
			break
		}
		if take := min(n, g.free()); take > 0 && g.isFor(operation) {
			out = append(out, part{g, -take})
			n -= take
		}
	}
	return out
}

// move changes what is in a grant, and how much of that is held.
func (b *book) move(g *grantRow, amount, held int64) {
	before := g.free()
	g.Remaining += amount
	g.Held += held
	b.row.held += held
	// What a hold lets go of too: by the clock of whoever looked before, the grant may have
	// expired with nothing in it but that.
	if (amount > 0 || held < 0) && !g.expired(b.now) {
		b.due(g.ExpiresAt)
	}
	if g.Operations == "" && g.inEffect(b.now) {
		b.free += g.free() - before
	}
}

// enter makes the next entry of the parts, as of the time at or of the newest entry.
func (b *book) enter(line entryRow, parts []part, at time.Time) *entryRow {
	line.Account, line.Unit, line.Number = b.account, b.ledger.cfg.Unit, b.row.number+1
	line.At = latest(at, b.row.enteredAt)
	if len(parts) == 1 && parts[0].grant != nil {
		line.Grant = parts[0].grant.ID // as most have one, they need no row of their own
	}
	for i, p := range parts {
		s := splitRow{Account: line.Account, Unit: line.Unit, Number: line.Number, Position: int64(i + 1), Amount: p.amount}
		if p.grant == nil {
			b.row.debt -= p.amount
		} else {
			s.Grant = p.grant.ID
			b.move(p.grant, p.amount, 0)
		}
		line.Amount += p.amount
		if line.Grant == "" {
			b.splits = append(b.splits, s)
		}
	}
	b.row.number = line.Number
	b.row.booked += line.Amount
	b.row.enteredAt = line.At
	line.Balance, line.Spendable = b.row.booked, b.spendable("")
	b.lines = append(b.lines, &line)
	return &line
}

// line is the entry of that number that is to be written.
func (b *book) line(number int64) *entryRow { return b.lines[number-b.was.number-1] }

// due says that something happens by itself at the time, which is zero where nothing
// does.
func (b *book) due(at time.Time) {
	if !at.IsZero() && (b.row.nextAt.IsZero() || at.Before(b.row.nextAt)) {
		b.row.nextAt = at
	}
}

// written goes on with a book that was flushed.
func (b *book) written() {
	for _, g := range b.grants {
		if g.made || b.stale(g) {
			g.made, g.row = false, inGrant{g.Remaining, g.Held}
		}
	}
	b.was = b.row
	b.lines, b.splits, b.notes = nil, nil, nil
	for _, h := range b.holds {
		h.made, h.changed = false, false
	}
	for _, r := range b.budgets {
		if r != nil {
			r.made, r.changed = false, false
		}
	}
	for _, r := range b.thresholds {
		r.made, r.changed = false, false
	}
	for _, r := range b.rules {
		r.changed = false
	}
}

// changed reports that there is something to write.
func (b *book) changed() bool {
	if b.row != b.was || len(b.lines) > 0 {
		return true
	}
	for _, k := range b.keys {
		if k.made {
			return true
		}
	}
	for _, h := range b.holds {
		if h.made || h.changed {
			return true
		}
	}
	return slices.ContainsFunc(b.grants, func(g *grantRow) bool { return g.made || g.Held != g.row.held })
}

// room refuses what would take the account's credits past the end of int64.
func (b *book) room(n int64) error {
	owned, err := add(b.row.booked, b.row.debt) // what all grants hold together
	if err != nil {
		return err
	}
	_, err = add(owned, n)
	return err
}

// note is run after the entries are written.
func (b *book) note(fn func(context.Context, bun.IDB) error) { b.notes = append(b.notes, fn) }

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// add adds without passing the ends of int64.
func add(a, b int64) (int64, error) {
	s := a + b
	if (s > a) != (b > 0) && b != 0 {
		return 0, ErrOverflow
	}
	return s, nil
}
