// Package changes lets a process remember what it has read from the database for as
// long as nothing that it depends on has changed there, with a bound on how late it
// learns of a change.
//
// A transaction that changes something says so with Announce, in the row of its
// subject. Each process reads the recent rows again and again. What it remembers counts
// until the bound after the beginning of its last good reading: a change that was
// committed before that reading has been seen by it, and one committed later is not yet
// older than the bound. So the promise holds by one process's monotonic clock alone,
// whatever the clocks of others say, and a process that cannot read uses nothing that it
// remembers.
package changes

import (
	"context"
	"database/sql"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/cache"
)

const (
	// recentFor is how long a change stays among those that are read. A process that
	// has not read for half of it forgets everything.
	recentFor = 10 * time.Minute
	// ownFor is how long a process remembers nothing of what it is changing itself,
	// unless it sees the change committed before: at most so long does a transaction
	// last whose change counts at once in its own process.
	ownFor = time.Minute
	// maxLoad is how long a load may last whose result is remembered.
	maxLoad = time.Minute
)

// MaxAge is how long anything is remembered: what is changed past this library, by
// hand, counts after that.
const MaxAge = 5 * time.Minute

// Life is how long something is remembered that depends on one subject.
type Life struct{ over atomic.Bool }

// Over reports that the subject has changed.
func (l *Life) Over() bool { return l.over.Load() }

// Over reports that one of the subjects has changed.
func Over(lives []*Life) bool {
	for _, l := range lives {
		if l.Over() {
			return true
		}
	}
	return false
}

// Feed is what one process knows of the changes in one database.
type Feed struct {
	table string
	bound time.Duration
	base  time.Time
	asked chan struct{} // somebody found the feed not fresh
	used  atomic.Bool   // somebody asked since the last reading

	pool atomic.Pointer[sql.DB] // the database that is read; nil: none
	// Until when what is remembered counts, by the monotonic and by the wall clock:
	// the first one stands still while the machine sleeps.
	mono, wall atomic.Int64

	lives *cache.Map[string, *Life]

	mu    sync.Mutex
	round int64 // of the readings
	last  int64 // when the last good reading began
	seen  map[string]sighting
	own   map[string]own
}

// sighting is a recent change, as it was read.
type sighting struct {
	version int64
	round   int64 // in which it was first read
	at      int64
}

// own is a change of this process whose commit has not been seen.
type own struct {
	version int64 // 0: not written yet
	until   int64
}

// New is a Feed of the changes written to table. most bounds the subjects of which
// something is remembered.
func New(table string, bound time.Duration, most int) *Feed {
	seed := maphash.MakeSeed()
	return &Feed{
		table: table, bound: bound, base: time.Now(), asked: make(chan struct{}, 1),
		lives: cache.New(most, func(s string) uint64 { return maphash.String(seed, s) }, func(l *Life) { l.over.Store(true) }),
		seen:  map[string]sighting{}, own: map[string]own{},
	}
}

// Instant is what the clock of the machine has just said. Nobody outside of this library
// makes one, so that none is old.
type Instant struct{ time.Time }

// Now reads the clock.
func Now() Instant { return Instant{time.Now()} }

// Fresh reports whether what was remembered of db counts now.
func (f *Feed) Fresh(db bun.IDB, now Instant) bool {
	pool := f.pool.Load()
	if pool == nil {
		return false
	}
	if d, ok := db.(*bun.DB); !ok || d.DB != pool {
		return false
	}
	if !f.used.Load() {
		f.used.Store(true)
	}
	if int64(now.Sub(f.base)) < f.mono.Load() && now.UnixNano() < f.wall.Load() {
		return true
	}
	select {
	case f.asked <- struct{}{}:
	default:
	}
	return false
}

// Announce writes, in the caller's transaction, that a subject has changed, and
// remembers nothing of it until that is seen committed.
func (f *Feed) Announce(ctx context.Context, db bun.IDB, subject string) error {
	f.change(subject, 0)
	var version int64
	err := db.NewRaw(`INSERT INTO ? (subject, version, recent) VALUES (?, 1, TRUE)
		ON CONFLICT (subject) DO UPDATE SET version = ?.version + 1, recent = TRUE RETURNING version`,
		bun.Ident(f.table), subject, bun.Ident(f.table)).Scan(ctx, &version)
	if err != nil {
		return err
	}
	f.change(subject, version)
	return nil
}

func (f *Feed) change(subject string, version int64) {
	if f.pool.Load() == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.own[subject] = own{version: version, until: f.since() + int64(ownFor)}
	f.lives.Delete(subject)
}

func (f *Feed) since() int64 { return int64(time.Since(f.base)) }

// Ticket is when a load began.
type Ticket struct{ round, at int64 }

// Begin is called before something is loaded that is to be remembered.
func (f *Feed) Begin() Ticket {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Ticket{round: f.round, at: f.since()}
}

// keep gives the lives of what was loaded since t, one for each subject that it depends
// on, to put, which remembers it under them. It does not when one of them may have
// changed since: a load that is slower than the news must not bring back what is over.
func (f *Feed) keep(t Ticket, db bun.IDB, put func(lives []*Life), subjects ...string) bool {
	if d, ok := db.(*bun.DB); !ok || d.DB != f.pool.Load() {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.since()
	if now-t.at > int64(maxLoad) {
		return false
	}
	for _, s := range subjects {
		if f.seen[s].round > t.round {
			return false
		}
		if o, ok := f.own[s]; ok && o.until > now {
			return false
		}
	}
	lives := make([]*Life, len(subjects))
	for i, s := range subjects {
		l, ok := f.lives.Get(s)
		if !ok {
			l = &Life{}
			f.lives.Put(s, l)
		}
		lives[i] = l
	}
	put(lives)
	return true
}
