package sessions

import (
	"context"
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/changes"
	"github.com/quitrent/quitrent/tenancy"
)

// memory remembers what tokens open, by the hash of each, while the feed of the accounts
// is fresh: until the user or the account changes.
type memory struct {
	feed   *changes.Feed
	opened *changes.Memo[string, *opened]
}

// opened is what was found, and when this process noted a use of it.
type opened struct {
	found
	seen atomic.Pointer[time.Time] // nil: SeenAt
}

var hashSeed = maphash.MakeSeed()

func newMemory(accounts *tenancy.Accounts, most int) memory {
	feed := accounts.Feed()
	return memory{feed: feed, opened: changes.NewMemo[string, *opened](feed, most, func(hash string) uint64 {
		return maphash.String(hashSeed, hash)
	})}
}

// look is what the token with this hash opens: what is remembered, or what the database
// says. Another process may have seen a use that this one knows nothing of, so one that
// is remembered as over is asked for again.
func (s *Sessions) look(ctx context.Context, db bun.IDB, hash string, at time.Time) (*opened, error) {
	now := changes.Now()
	if o, ok := s.memory.opened.Get(db, now, hash); ok && s.open(o.session(), at) {
		return o, nil
	}
	ticket := s.memory.feed.Begin()
	f, err := s.find(ctx, db, hash, ticket, now)
	if err != nil {
		return nil, err
	}
	o := &opened{found: f}
	if f.ID != "" {
		subjects := []string{string(f.User.Subject())}
		if f.who.Account != "" {
			subjects = append(subjects, f.who.Subjects()...)
		}
		s.memory.opened.Keep(ticket, db, hash, func([]*changes.Life) *opened { return o }, subjects...)
	}
	return o, nil
}

// session is what was found, with the last use that is known here.
func (o *opened) session() Session {
	in := o.Session
	if at := o.seen.Load(); at != nil {
		in.SeenAt = *at
	}
	return in
}
