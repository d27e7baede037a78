package credits

import (
	"database/sql"
	"sync"

	"github.com/quitrent/quitrent/tenancy"
)

// mostShelved is how many accounts a Ledger remembers, in about a KiB each.
const mostShelved = 10_000

// shelf remembers how accounts were left, so that their next requests need not read
// them. It is no truth: what is decided by it takes effect only where the account's
// version is still the one that was remembered.
type shelf struct {
	mu    sync.Mutex
	books map[shelved]standing
	busy  map[shelved]int // how often not to go by what is remembered
}

// standBack is how often an account is read under its lock after somebody else was found
// to work on it too: to remember what the other one changes costs an attempt each time.
const standBack = 16

type shelved struct {
	db      *sql.DB
	account tenancy.AccountID
}

// standing is a book as the last commit left it. Nobody changes its grants.
type standing struct {
	row    accountRow
	grants []*grantRow
}

// standing is how the book will be once it is written.
func (b *book) standing() standing {
	s := standing{row: b.row}
	if b.changed() {
		s.row.version++
	}
	for _, g := range b.grants {
		if g.Remaining > 0 {
			kept := *g
			kept.made, kept.moved, kept.set = false, 0, 0
			s.grants = append(s.grants, &kept)
		}
	}
	return s
}

// put remembers a standing unless a later one is remembered.
func (s *shelf) put(at shelved, now standing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.books[at]; ok && known.row.version > now.row.version {
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

// open is the account's book to go on with.
func (s standing) open(l *Ledger, account tenancy.AccountID) *book {
	b := &book{ledger: l, account: account, was: s.row, row: s.row, now: l.now()}
	for _, g := range s.grants {
		kept := *g
		b.grants = append(b.grants, &kept)
	}
	b.sort()
	return b
}
