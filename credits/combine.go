package credits

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Combining says which requests of one process share a commit.
type Combining string

// The ways to combine.
const (
	// CombineAll lets requests for several accounts share a commit.
	CombineAll Combining = ""
	// CombineAccount lets only requests for one account share a commit: for engines that
	// are sharded by account.
	CombineAccount Combining = "account"
	// CombineOff gives every request a commit of its own.
	CombineOff Combining = "off"
)

// Bounds of what is combined. A request that waits takes less than 2 KiB, and its
// goroutine.
const (
	mostCombined = 256  // requests of a commit
	mostWaiting  = 8192 // requests of a Ledger that wait for a commit
	mostOfOne    = 4096 // of these for one account, which others may have locked for long
	shards       = 2    // commits at once of each way that does not wait for locks
)

// combineWithin bounds a commit that is shared, which no caller's context does.
const combineWithin = 30 * time.Second

// combiner lets requests that come while a commit is under way share the next one.
// Nothing waits for company: who comes alone is served at once.
type combiner struct {
	mu      sync.Mutex
	lanes   map[lane]*queue // only those at work
	places  map[shelved]*place
	waiting int
}

// caller waits for the outcome of a request.
type caller struct {
	ctx     context.Context
	request request
	db      *bun.DB
	at      lane
	alone   bool // it shares its commit with nobody, and its context cuts it
	unsure  bool // it may have been done before, and nobody knows until its key tells
	done    chan struct{}
	out     outcome
	err     error
}

func (m *caller) who() shelved { return shelved{m.db.DB, m.request.account} }

// onward is where a caller goes on that its lane could not serve.
func (m *caller) onward(out outcome) (to lane, ok bool) {
	to = m.at
	switch {
	case errors.Is(out.refusal, errUnread):
		to.way = byLocks
	case errors.Is(out.refusal, errLocked):
		to.way, to.shard, to.account = byWaiting, 0, m.request.account
	default:
		return to, false
	}
	return to, true
}

var seed = maphash.MakeSeed()

// ask answers a request: in a commit of its own, or in one that it shares with others
// of this process. A transaction of the host's is never shared.
func (l *Ledger) ask(ctx context.Context, db bun.IDB, r request) (outcome, error) {
	pool, ok := db.(*bun.DB)
	if !ok || r.alone || l.cfg.Combine == CombineOff {
		return l.post(ctx, db, r)
	}
	at := lane{db: pool.DB, way: byWaiting}
	if isPostgres(pool) {
		if at.way = byLocks; r.draw != nil {
			at.way = bySwift
		}
		at.shard = maphash.String(seed, string(r.account)) % shards
	}
	if l.cfg.Combine == CombineAccount {
		at.shard, at.account = 0, r.account
	}
	out, err := l.combiner.ask(ctx, l, &caller{ctx: ctx, request: r, db: pool, at: at})
	if err == nil {
		err = out.refusal
	}
	if err != nil {
		return outcome{}, err
	}
	return out, nil
}

// ask serves a caller at once where the lane is not at work, and with the others who
// wait otherwise.
func (c *combiner) ask(ctx context.Context, l *Ledger, me *caller) (outcome, error) {
	c.mu.Lock()
	p := c.places[me.who()]
	if p != nil {
		me.at = p.at
	}
	idle := c.lanes[me.at] == nil
	if !idle && (c.waiting >= mostWaiting || p != nil && p.n >= mostOfOne) {
		c.mu.Unlock()
		return outcome{}, ErrBusy
	}
	if p == nil {
		if c.places == nil {
			c.places = map[shelved]*place{}
		}
		p = &place{at: me.at}
		c.places[me.who()] = p
	}
	p.n++
	if idle {
		c.start(me.at)
		c.mu.Unlock()
		return c.first(l, me)
	}
	c.enqueue(me)
	c.mu.Unlock()
	return c.wait(me)
}

// first serves a caller whose lane was not at work.
func (c *combiner) first(l *Ledger, me *caller) (out outcome, err error) {
	at, gone := me.at, false
	defer func() {
		if !gone {
			c.finish(me)
			c.next(l, at)
		}
	}()
	out, err = l.single(me.ctx, me)
	to, on := me.onward(out)
	if !on || err != nil {
		return out, err
	}
	me.out = outcome{}
	// Where it has to wait for a lock it may as well wait with those who come meanwhile.
	if to.way == byWaiting {
		me.done = make(chan struct{})
	}
	first := c.move(to, me)
	c.next(l, at)
	gone = true
	switch {
	case first && me.done == nil:
		return c.first(l, me)
	case first:
		go c.work(l, to)
	}
	return c.wait(me)
}

// wait is for the outcome of a caller in a queue.
func (c *combiner) wait(me *caller) (outcome, error) {
	select {
	case <-me.done:
		return me.out, me.err
	case <-me.ctx.Done():
	}
	left, alone := c.leave(me)
	switch {
	case left && !me.unsure:
		return outcome{}, me.ctx.Err()
	case alone:
		<-me.done
		return me.out, me.err
	}
	return outcome{}, fmt.Errorf("%w (%w)", ErrOutcomeUnknown, me.ctx.Err())
}

// leave takes back a caller whose request nobody has begun, or says that it is alone.
func (c *combiner) leave(me *caller) (left, alone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.lanes[me.at]
	if q == nil {
		return false, me.alone
	}
	i := slices.Index(q.callers, me)
	if i < 0 {
		return false, me.alone
	}
	q.callers = slices.Delete(q.callers, i, i+1)
	c.waiting--
	c.gone(me)
	return true, false
}

// hand answers the callers, but those that have to go on elsewhere, who do so in their
// order.
func (c *combiner) hand(l *Ledger, callers []*caller) {
	var served []*caller
	moved := map[lane]map[tenancy.AccountID][]*caller{}
	for _, m := range callers {
		to, on := m.onward(m.out)
		if !on || m.err != nil {
			served = append(served, m)
			continue
		}
		m.out = outcome{}
		if moved[to] == nil {
			moved[to] = map[tenancy.AccountID][]*caller{}
		}
		moved[to][m.request.account] = append(moved[to][m.request.account], m)
	}
	c.finish(served...)
	for _, m := range served {
		if m.unsure && m.err != nil && !errors.Is(m.err, ErrOutcomeUnknown) {
			m.err = fmt.Errorf("%w (%w)", ErrOutcomeUnknown, m.err)
		}
		close(m.done)
	}
	for to, accounts := range moved {
		for _, group := range accounts {
			if c.move(to, group...) {
				go c.work(l, to)
			}
		}
	}
}
