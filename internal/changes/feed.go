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
// remembers. Its wall clock tells it only that the machine has slept, which stops the
// monotonic one: a sleep after which the wall clock is set back by as much is not seen.
package changes

import (
	"context"
	"database/sql"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/cache"
)

const (
	// recentFor is how long a change stays among those that are read. A process that
	// has not read for half of it forgets everything.
	recentFor = 3 * time.Minute
	// ownFor is how long a process remembers nothing of what it is changing itself,
	// unless it sees the change committed before: for not quite so long may a
	// transaction last whose change counts at once in its own process.
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
	now   func() moment
	asked chan struct{} // somebody found the feed not fresh
	used  atomic.Bool   // somebody asked since the last reading

	pool atomic.Pointer[sql.DB] // the database that is read; nil: none
	// Until when what is remembered counts, by the monotonic and by the wall clock:
	// the first one stands still while the machine sleeps.
	mono, wall atomic.Int64

	lives  *cache.Map[string, *Life]
	shared *cache.Map[string, *Life] // of subjects that much depends on
	prefix string                    // of those
	ended  atomic.Uint32             // lives

	mu    sync.Mutex
	round int64  // of the readings
	first int64  // the reading before which nothing was loaded that is remembered
	last  moment // when the last good reading began
	seen  map[string]sighting
	own   map[string]own
	prune int // so many in own are looked through for those that are over
}

func (f *Feed) end(l *Life) {
	l.over.Store(true)
	f.ended.Add(1) // after it: who has seen the number sees the life over
}

// moment is an Instant: since the Feed was made, and as the wall clock shows it.
type moment struct{ mono, wall int64 }

func (f *Feed) moment(t Instant) moment {
	return moment{mono: int64(t.Sub(f.base)), wall: t.UnixNano()}
}

// sighting is a recent change, as it was read.
type sighting struct {
	version int64
	round   int64 // in which it was first read
	at      int64 // when that had ended
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
	f := &Feed{
		table: table, bound: bound, base: time.Now(), asked: make(chan struct{}, 1),
		first: 1, seen: map[string]sighting{}, own: map[string]own{},
	}
	hash := func(s string) uint64 { return maphash.String(seed, s) }
	f.lives, f.shared = cache.New(most, hash, f.end), cache.New(maxShared, hash, f.end)
	f.now = func() moment { return f.moment(Now()) }
	return f
}

// maxShared bounds the subjects that much depends on.
const maxShared = 1 << 12

// Share says that there are few subjects which begin with prefix, and that much depends
// on each: the many others push none of them out.
func (f *Feed) Share(prefix string) { f.prefix = prefix }

// of is the map that a subject's life is in.
func (f *Feed) of(subject string) *cache.Map[string, *Life] {
	if f.prefix != "" && strings.HasPrefix(subject, f.prefix) {
		return f.shared
	}
	return f.lives
}

// Instant is what the clock of the machine has just said. Nobody outside of this library
// makes one, so that none is old.
type Instant struct{ time.Time }

// Now reads the clock.
func Now() Instant { return Instant{time.Now()} }

// Fresh reports whether what was remembered of db counts now.
func (f *Feed) Fresh(db bun.IDB, now Instant) bool { return f.fresh(db, f.moment(now)) }

func (f *Feed) fresh(db bun.IDB, now moment) bool {
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
	if now.mono < f.mono.Load() && now.wall < f.wall.Load() {
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

// change is also called where nothing reads the changes yet: that may begin before the
// transaction ends.
func (f *Feed) change(subject string, version int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now().mono
	if len(f.own) >= f.prune {
		f.letGo(now)
		f.prune = 2*len(f.own) + 64
	}
	f.own[subject] = own{version: version, until: now + int64(ownFor)}
	f.of(subject).Delete(subject)
}

// letGo takes changes of this process for undone that were not committed in time.
func (f *Feed) letGo(now int64) {
	for subject, o := range f.own {
		if o.until <= now {
			delete(f.own, subject)
		}
	}
}

// Ticket is when a load began.
type Ticket struct{ round, at int64 }

// Begin is called before something is loaded that is to be remembered.
func (f *Feed) Begin() Ticket {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Ticket{round: f.round, at: f.now().mono}
}

// keep gives the lives of what was loaded since t, one for each subject that it depends
// on, to put, which remembers it under them. It does not when one of them may have
// changed since: a load that is slower than the news must not bring back what is over.
func (f *Feed) keep(t Ticket, db bun.IDB, put func(lives []*Life), subjects ...string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d, ok := db.(*bun.DB); !ok || d.DB != f.pool.Load() {
		return false
	}
	now := f.now().mono
	if t.round < f.first || now-t.at > int64(maxLoad) {
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
		l, ok := f.of(s).Get(s)
		if !ok {
			l = &Life{}
			f.of(s).Put(s, l)
		}
		lives[i] = l
	}
	put(lives)
	return true
}
