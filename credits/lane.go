package credits

import (
	"database/sql"
	"runtime"
	"slices"

	"github.com/quitrent/quitrent/tenancy"
)

// lane is whose requests are served one commit after another: those of a share of all
// accounts, as far as they go one way, or those of one account.
type lane struct {
	db      *sql.DB
	way     way
	shard   uint64
	account tenancy.AccountID // or "": of the shard
}

// way is how a lane serves its requests. Those that it cannot serve go on in the next
// one, so that they hold up nobody who needs less.
type way int

const (
	bySwift   way = iota // by what is remembered of their accounts
	byLocks              // by what is read under their locks too, but it waits for none
	byWaiting            // for the lock of the one account; on SQLite, for the only lock
)

// queue is who waits while a lane is at work.
type queue struct {
	callers []*caller
}

// place is where an account's requests are, so that none overtakes another.
type place struct {
	at lane
	n  int // of them
}

// start says that a lane is at work.
func (c *combiner) start(at lane) {
	if c.lanes == nil {
		c.lanes = map[lane]*queue{}
	}
	c.lanes[at] = &queue{}
}

// next goes on with those who have come to a lane meanwhile, if any have.
func (c *combiner) next(l *Ledger, at lane) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.lanes[at].callers) == 0 {
		delete(c.lanes, at)
		return
	}
	go c.work(l, at)
}

// work serves a lane until nobody waits there.
func (c *combiner) work(l *Ledger, at lane) {
	for {
		c.gather(at)
		c.mu.Lock()
		q := c.lanes[at]
		n := min(len(q.callers), mostCombined)
		if n == 0 {
			delete(c.lanes, at)
			c.mu.Unlock()
			return
		}
		callers := slices.Clone(q.callers[:n])
		q.callers = slices.Delete(q.callers, 0, n)
		c.waiting -= n
		callers[0].alone = n == 1 && at.way == byWaiting
		c.mu.Unlock()
		l.serve(callers)
		c.hand(l, callers)
	}
}

// gather lets those go first who are about to ask, such as who has just been answered,
// for as long as that brings more.
func (c *combiner) gather(at lane) {
	n := 0
	for vain := 0; vain < 4 && n < mostCombined; {
		runtime.Gosched()
		c.mu.Lock()
		now := len(c.lanes[at].callers)
		c.mu.Unlock()
		if vain++; now > n {
			n, vain = now, 0
		}
	}
}

// move brings callers of one account to another lane, and those of the account who wait
// behind them, and reports that nobody is at work there yet. Who does not wait does not
// wait there then either.
func (c *combiner) move(to lane, callers ...*caller) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	who, from := callers[0].who(), callers[0].at
	first := c.lanes[to] == nil
	if first {
		c.start(to)
	}
	for _, m := range callers {
		if m.at = to; !first || m.done != nil {
			c.enqueue(m)
		}
	}
	c.places[who].at = to
	if c.places[who].n == len(callers) || to == from {
		return first
	}
	old, now := c.lanes[from], c.lanes[to]
	old.callers = slices.DeleteFunc(old.callers, func(m *caller) bool {
		if m.who() != who {
			return false
		}
		m.at = to
		now.callers = append(now.callers, m)
		return true
	})
	return first
}

func (c *combiner) enqueue(me *caller) {
	if me.done == nil {
		me.done = make(chan struct{})
	}
	q := c.lanes[me.at]
	q.callers = append(q.callers, me)
	c.waiting++
}

// finish is for callers that have their outcome, or want none any more.
func (c *combiner) finish(callers ...*caller) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range callers {
		c.gone(m)
	}
}

func (c *combiner) gone(m *caller) {
	p := c.places[m.who()]
	if p.n--; p.n == 0 {
		delete(c.places, m.who())
	}
}
