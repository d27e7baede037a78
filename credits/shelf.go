package credits

import (
	"database/sql"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// mostShelved is how many accounts a Ledger remembers, in less than 300 bytes each.
const mostShelved = 30_000

// shelf remembers how accounts were left, so that their next deductions need not read
// them. It is no truth: what is decided by it takes effect only where the account is in
// the same epoch, and its head has enough.
type shelf struct {
	mu    sync.Mutex
	books map[shelved]standing
	busy  map[shelved]int // how often not to go by what is remembered
}

// standBack is how often an account is read under its lock after somebody else was found
// to have changed it: to remember what the other one changes costs an attempt each time.
const standBack = 16

type shelved struct {
	db      *sql.DB
	account tenancy.AccountID
}

// standing is what a deduction from the head of an account depends on. Whatever else
// deducts from it changes nothing of that but what is free.
type standing struct {
	epoch int64
	free  int64     // in the head, as far as is known
	apart int64     // of the balance cannot be spent
	until time.Time // the first moment at which something is otherwise by itself; zero: none
}

// standing is how the book stands once it is written, where deductions from it can be
// plain: whoever has budgets, thresholds or debts needs more than one row, and credits for
// some operations only have another head for each of these.
func (b *book) standing() (standing, bool) {
	written := b.row
	if b.lead(); b.row != written { // nothing was written that would have told the row of its head
		b.row = written
		return standing{}, false
	}
	s := standing{epoch: b.row.epoch, free: b.row.headFree, until: b.row.nextAt}
	free := int64(0)
	for _, g := range b.grants {
		if g.EffectiveAt.After(b.now) && (s.until.IsZero() || g.EffectiveAt.Before(s.until)) {
			s.until = g.EffectiveAt
		}
		if g.Remaining > 0 && g.inEffect(b.now) {
			if g.Operations != "" {
				return standing{}, false
			}
			free += g.free()
		}
	}
	s.apart = b.row.booked - free
	return s, b.row.head != "" && b.row.budgets == 0 && b.row.thresholds == 0 && b.row.debt == 0
}

// remember keeps how books were left by a commit.
func (l *Ledger) remember(db *bun.DB, books []*book) {
	if !isPostgres(db) {
		return
	}
	for _, b := range books {
		if s, ok := b.standing(); ok {
			l.shelf.put(shelved{db.DB, b.account}, s)
		}
	}
}

// put remembers a standing unless a later one is remembered.
func (s *shelf) put(at shelved, now standing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.books[at]; ok && known.epoch > now.epoch {
		return
	}
	if s.books == nil {
		s.books = map[shelved]standing{}
	}
	for old := range s.books {
		if len(s.books) < mostShelved {
			break
		}
		delete(s.books, old)
	}
	s.books[at] = now
}

func (s *shelf) get(at shelved) (standing, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[at] > 0 {
		if s.busy[at]--; s.busy[at] == 0 {
			delete(s.busy, at)
		}
		return standing{}, false
	}
	known, ok := s.books[at]
	return known, ok
}

// drop forgets an account that is not as it was remembered.
func (s *shelf) drop(at shelved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.books, at)
	if s.busy == nil || len(s.busy) >= mostShelved {
		s.busy = map[shelved]int{}
	}
	s.busy[at] = standBack
}
