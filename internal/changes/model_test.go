package changes

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/uptrace/bun"
	"pgregory.net/rapid"
)

// world is a database and the processes that remember what they read in it, in a time
// of its own. Each process reads, loads, changes and stalls in steps, between which
// anything may happen elsewhere.
type world struct {
	t         *rapid.T
	rand      *rand.Rand // rapid's own numbers are mostly small
	now       int64
	bound     time.Duration
	quiet     bool // little changes, and times are long
	subjects  map[string]*subject
	processes []*node
	answers   int // of what was remembered
	late      int // those of them that were true no more
}

// subject is a row of the changes, with all values that the thing has had: that of
// version v is v.
type subject struct {
	name     string
	version  int64
	recent   bool
	lock     *transaction
	replaced []replacement // of version i
}

type replacement struct {
	at int64
	by *node // whose own change counts at once; nil: it was committed too late for that
}

type transaction struct {
	subject *subject
	began   int64
	written bool
}

// node is a process, and what it is at.
type node struct {
	*Feed
	name   string
	skew   int64 // of its wall clock
	behind int64 // its monotonic clock: it stood still so long
	asleep bool
	fell   int64
	until  int64 // it stalls, awake or asleep
	sleeps bool  // one that sleeps has a wall clock that never goes back
	memory map[string]remembered

	reading  *reading
	old      []row // to be settled
	loads    []*loading
	changing *transaction
}

type remembered struct {
	version int64
	lives   []*Life
}

type reading struct {
	began moment
	rows  []row
	read  bool
}

type loading struct {
	ticket  Ticket
	subject *subject
	version int64
	read    bool
}

func (w *world) clock(n *node) moment {
	now := w.now
	if n.asleep {
		now = n.fell
	}
	return moment{mono: now - n.behind, wall: w.now + n.skew}
}

// pass lets time go by, after which most processes read.
func (w *world) pass() {
	w.now += int64(w.pause())
	for _, n := range w.processes {
		for n.awake(w.now) && w.rand.IntN(5) > 0 && len(n.old) == 0 {
			w.read(n)
		}
		if w.rand.IntN(2) == 0 {
			w.settle(n)
		}
	}
}

// awake lets a process that need not stall any longer go on.
func (n *node) awake(now int64) bool {
	if now < n.until {
		return false
	}
	if n.asleep {
		n.behind += now - n.fell
		n.asleep = false
	}
	return true
}

// step lets a process do one thing.
func (w *world) step(db *bun.DB, n *node) {
	if !n.awake(w.now) {
		return
	}
	s := w.subjects[string(rune('a'+w.rand.IntN(len(w.subjects))))]
	switch w.rand.IntN(100) {
	case 0:
		if w.rand.IntN(4) == 0 {
			n.stop()
			n.reading, n.old = nil, nil
			n.pool.Store(db.DB)
		}
	case 1:
		if n.skew += int64(w.pause()); !n.sleeps {
			n.skew -= 2 * int64(w.pause())
		}
	case 2: // it stalls, for that long at least
		n.asleep, n.fell = n.sleeps, w.now
		n.until = w.now + int64(recentFor/8)*int64(w.rand.IntN(20))
	default:
		switch w.rand.IntN(8) { // or nothing
		case 0, 1:
			w.read(n)
		case 2:
			w.settle(n)
		case 3, 4, 5:
			w.load(db, n, s)
		case 6:
			w.change(n, s)
		}
	}
}

// read begins a reading, reads, ends it or has it fail.
func (w *world) read(n *node) {
	switch r := n.reading; {
	case r == nil:
		n.reading = &reading{began: n.now()}
	case w.rand.IntN(10) == 0:
		n.reading = nil
	case !r.read:
		r.read = true
		for _, s := range w.subjects {
			if s.recent {
				r.rows = append(r.rows, row{s.name, s.version})
			}
		}
	default:
		n.reading = nil
		n.old = n.apply(r.rows, r.began)
	}
}

func (w *world) settle(n *node) {
	for _, r := range n.old {
		if s := w.subjects[r.Subject]; s.version == r.Version && s.lock == nil {
			s.recent = false
		}
	}
	n.old = nil
}

// load begins to load s, reads it, or ends one of the loads that n is at.
func (w *world) load(db *bun.DB, n *node, s *subject) {
	if len(n.loads) == 0 || len(n.loads) < 3 && w.rand.IntN(3) == 0 {
		n.loads = append(n.loads, &loading{ticket: n.Begin(), subject: s})
		return
	}
	i := w.rand.IntN(len(n.loads))
	l := n.loads[i]
	if !l.read {
		l.read, l.version = true, l.subject.version
		return
	}
	n.loads = append(n.loads[:i], n.loads[i+1:]...)
	n.keep(l.ticket, db, func(lives []*Life) { n.memory[l.subject.name] = remembered{l.version, lives} }, l.subject.name)
}

// change begins a transaction, writes its change, and commits it or does not.
func (w *world) change(n *node, s *subject) {
	switch c := n.changing; {
	case c == nil && w.quiet && w.rand.IntN(10) > 0:
	case c == nil:
		n.changing = &transaction{subject: s, began: w.now}
		n.Feed.change(s.name, 0)
	case !c.written:
		if c.subject.lock != nil {
			return // it waits
		}
		c.subject.lock, c.written = c, true
		n.Feed.change(c.subject.name, c.subject.version+1)
	case w.rand.IntN(3) == 0:
		n.changing = nil
		c.subject.lock = nil
		if w.rand.IntN(3) == 0 {
			return
		}
		r := replacement{at: w.now, by: n}
		if w.now-c.began >= int64(ownFor-w.bound) {
			r.by = nil
		}
		c.subject.replaced = append(c.subject.replaced, r)
		c.subject.version++
		c.subject.recent = true
	}
}

// ask is what it is all for: nobody is told what was replaced longer ago than the
// bound, nor what the process itself has replaced.
func (w *world) ask(db *bun.DB, n *node, s *subject) {
	if n.asleep {
		return
	}
	m, ok := n.memory[s.name]
	if !ok || Over(m.lives) || !n.fresh(db, n.now()) {
		return
	}
	w.answers++
	if m.version == s.version {
		return
	}
	w.late++
	for v, r := range s.replaced[m.version:] {
		if late := time.Duration(w.now - r.at); late >= w.bound || r.by == n {
			w.t.Fatalf("process %s answers with version %d of %s; version %d was committed %v ago, by itself: %v; the bound is %v",
				n.name, m.version, s.name, int(m.version)+v+1, late, r.by == n, w.bound)
		}
	}
}

// pause is how long something lasts: mostly a moment, sometimes as long as one of the
// times that matter, or a little less or more.
func (w *world) pause() time.Duration {
	if often := map[bool]int{true: 4, false: 20}[w.quiet]; w.rand.IntN(often) > 0 {
		return w.bound / 16 * time.Duration(w.rand.IntN(8))
	}
	d := []time.Duration{w.bound, 2 * w.bound, ownFor, maxLoad, recentFor / 4, recentFor / 2, recentFor, 2 * recentFor}[w.rand.IntN(8)]
	return d + w.bound/16*time.Duration(w.rand.IntN(9)-4)
}

func newWorld(t *rapid.T, db *bun.DB) *world {
	w := &world{t: t, rand: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), rapid.Uint64().Draw(t, "seed"))), now: 1, subjects: map[string]*subject{}}
	w.bound = []time.Duration{time.Second, 10 * time.Second, 2 * time.Minute}[w.rand.IntN(3)]
	w.quiet = w.rand.IntN(2) == 0
	for i := range 1 + w.rand.IntN(6) {
		name := string(rune('a' + i))
		w.subjects[name] = &subject{name: name}
	}
	for i := range 2 + w.rand.IntN(2) {
		n := &node{Feed: New("changes", w.bound, 1000), name: fmt.Sprint(i), memory: map[string]remembered{}, sleeps: w.rand.IntN(2) == 0}
		n.skew = int64(w.rand.IntN(5)-2) * int64(time.Hour)
		n.now = func() moment { return w.clock(n) }
		n.pool.Store(db.DB)
		w.processes = append(w.processes, n)
	}
	return w
}

// Whatever happens in whichever order, no process answers with what was replaced by a
// commit older than the bound, or by a commit of its own.
func TestFeed_NobodyIsToldWhatWasReplacedLongerAgoThanTheBound(t *testing.T) {
	db, answers, late := noDB(t), 0, 0
	for range 3 {
		rapid.Check(t, func(t *rapid.T) {
			w := newWorld(t, db)
			for range 4000 {
				if w.rand.IntN(12) == 0 {
					w.pass()
				}
				w.step(db, w.processes[w.rand.IntN(len(w.processes))])
				for _, n := range w.processes {
					for _, s := range w.subjects {
						w.ask(db, n, s)
					}
				}
			}
			answers, late = answers+w.answers, late+w.late
		})
	}
	if t.Logf("%d answers from memory, %d of them late", answers, late); answers < 10_000 || late < 500 {
		t.Error("that is too few: it proves nothing")
	}
}
