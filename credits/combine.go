package credits

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime"
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

// Bounds of what is combined. A request that waits takes about a KiB.
const (
	mostCombined = 256  // requests of a commit
	mostWaiting  = 8192 // requests of a Ledger that wait for a commit
	shards       = 2    // commits at once, of accounts that are not locked elsewhere
)

// combineWithin bounds a commit that is shared, which no caller's context does.
const combineWithin = 30 * time.Second

// combiner lets requests that come while a commit is under way share the next one.
// Nothing waits for company: who comes alone is served at once.
type combiner struct {
	mu      sync.Mutex
	lanes   map[lane]*queue // only those at work
	waiting int
}

// lane is whose requests are served one commit after another: an account's, or those of
// a share of all accounts.
type lane struct {
	db      *sql.DB
	shard   uint64
	account tenancy.AccountID // or "": of the shard
}

// queue is who waits while a lane is at work.
type queue struct {
	callers []*caller
}

// caller waits for the outcome of a request.
type caller struct {
	request request
	db      *bun.DB
	at      lane
	locked  bool // its account was, by somebody else
	done    chan struct{}
	out     outcome
	err     error
}

var seed = maphash.MakeSeed()

// ask answers a request: in a commit of its own, or in one that it shares with others
// of this process. A transaction of the host's is never shared.
func (l *Ledger) ask(ctx context.Context, db bun.IDB, r request) (outcome, error) {
	pool, ok := db.(*bun.DB)
	if !ok || r.alone || l.cfg.Combine == CombineOff {
		return l.post(ctx, db, r)
	}
	at := lane{db: pool.DB}
	switch {
	case l.cfg.Combine == CombineAccount:
		at.account = r.account
	case isPostgres(pool): // SQLite has one writer
		at.shard = maphash.String(seed, string(r.account)) % shards
	}
	out, err := l.combiner.ask(ctx, l, &caller{request: r, db: pool, at: at})
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
	if own := (lane{db: me.at.db, account: me.request.account}); c.lanes[own] != nil {
		me.at = own
	}
	if c.lanes[me.at] == nil {
		c.start(me.at)
		c.mu.Unlock()
		return c.alone(ctx, l, me)
	}
	if c.waiting >= mostWaiting {
		c.mu.Unlock()
		return outcome{}, ErrBusy
	}
	c.enqueue(me)
	c.mu.Unlock()
	return c.wait(ctx, me)
}

// alone serves a caller whose lane was not at work. Where its account is locked elsewhere
// it goes on in the account's own lane, before those who came after it.
func (c *combiner) alone(ctx context.Context, l *Ledger, me *caller) (out outcome, err error) {
	at, gone := me.at, false
	defer func() {
		if !gone {
			c.next(l, at)
		}
	}()
	if out, err = l.single(ctx, me); !errors.Is(out.refusal, errLocked) {
		return out, err
	}
	first := c.move(me)
	c.next(l, at)
	if gone = true; first {
		return c.alone(ctx, l, me)
	}
	return c.wait(ctx, me)
}

// move brings a caller to the lane of its account's own, and reports that nobody is at
// work there yet. Who waits already goes on waiting.
func (c *combiner) move(me *caller) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	me.at, me.locked = lane{db: me.at.db, account: me.request.account}, true
	first := c.lanes[me.at] == nil
	if first {
		c.start(me.at)
	}
	if !first || me.done != nil {
		c.enqueue(me)
	}
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

// wait is for the outcome of a caller in a queue.
func (c *combiner) wait(ctx context.Context, me *caller) (outcome, error) {
	select {
	case <-me.done:
		return me.out, me.err
	case <-ctx.Done():
		if c.leave(me) {
			return outcome{}, ctx.Err()
		}
		return outcome{}, fmt.Errorf("%w (%w)", ErrOutcomeUnknown, ctx.Err())
	}
}

// waits reports that the caller's lane waits for locks: an account's own does, and
// SQLite's, which has one lock for all.
func (m *caller) waits() bool { return m.at.account != "" || !isPostgres(m.db) }

// start says that a lane is at work.
func (c *combiner) start(at lane) {
	if c.lanes == nil {
		c.lanes = map[lane]*queue{}
	}
	c.lanes[at] = &queue{}
}

// leave takes back a caller whose request nobody has begun.
func (c *combiner) leave(me *caller) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.lanes[me.at]
	if q == nil {
		return false
	}
	i := slices.Index(q.callers, me)
	if i < 0 {
		return false
	}
	q.callers = slices.Delete(q.callers, i, i+1)
	c.waiting--
	return true
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

// hand answers the callers, but those whose account is locked elsewhere: these go on in
// a lane of the account's own, in their order.
func (c *combiner) hand(l *Ledger, callers []*caller) {
	for _, m := range callers {
		if !errors.Is(m.out.refusal, errLocked) {
			close(m.done)
			continue
		}
		m.out = outcome{}
		if c.move(m) {
			go c.work(l, m.at)
		}
	}
}
