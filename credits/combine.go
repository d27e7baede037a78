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

	"github.com/quitrent/quitrent/internal/tx"
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
	if errors.Is(out.refusal, errLocked) { // others of the shard do not wait for this account's lock
		at = lane{db: pool.DB, account: r.account}
		out, err = l.combiner.ask(ctx, l, &caller{request: r, db: pool, at: at})
	}
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
	q := c.lanes[me.at]
	if q == nil {
		c.start(me.at)
		c.mu.Unlock()
		defer c.next(l, me.at)
		return l.single(ctx, me)
	}
	if c.waiting >= mostWaiting {
		c.mu.Unlock()
		return outcome{}, ErrBusy
	}
	me.done = make(chan struct{})
	q.callers = append(q.callers, me)
	c.waiting++
	c.mu.Unlock()
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
func (c *combiner) start(at lane) *queue {
	if c.lanes == nil {
		c.lanes = map[lane]*queue{}
	}
	q := &queue{}
	c.lanes[at] = q
	return q
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
		c.mu.Lock()
		m.at.shard, m.at.account = 0, m.request.account
		q, atWork := c.lanes[m.at]
		if !atWork {
			q = c.start(m.at)
		}
		q.callers = append(q.callers, m)
		c.waiting++
		if !atWork {
			go c.work(l, m.at)
		}
		c.mu.Unlock()
	}
}

// single serves a caller who is alone.
func (l *Ledger) single(ctx context.Context, me *caller) (outcome, error) {
	requests := []request{me.request}
	if isPostgres(me.db) {
		outs, done, err := l.swift(ctx, me.db, requests)
		if err != nil || done[0] {
			return outs[0], err
		}
	}
	outs, err := l.shared(ctx, me.db, requests, me.waits())
	if err != nil {
		return outcome{}, err
	}
	return outs[0], nil
}

// shared is posted in a transaction of its own.
func (l *Ledger) shared(ctx context.Context, db *bun.DB, requests []request, wait bool) ([]outcome, error) {
	var outs []outcome
	var books []*book
	err := tx.Join(ctx, db, func(db bun.IDB) (err error) {
		outs, books, err = l.posted(ctx, db, requests, wait)
		return err
	})
	if err == nil {
		l.remember(db, books)
	}
	return outs, err
}

// serve finds the outcomes of callers that share a commit. Where it fails nobody is
// told of a success: each is asked for again alone. What is unknown is so resolved by
// its key, and stays unknown where there is none.
func (l *Ledger) serve(callers []*caller) {
	ctx, cancel := context.WithTimeout(context.Background(), combineWithin)
	defer cancel()
	db, wait := callers[0].db, callers[0].waits()
	requests := requestsOf(callers)
	var (
		outs []outcome
		done []bool
	)
	err := guarded(func() (err error) {
		if isPostgres(db) {
			outs, done, err = l.swift(ctx, db, requests)
		}
		return err
	})
	var left []*caller
	for i, m := range callers {
		switch {
		case done == nil || !done[i]:
			left = append(left, m)
		case err != nil:
			m.err = err
		default:
			m.out = outs[i]
		}
	}
	if err != nil {
		l.again(ctx, slices.DeleteFunc(slices.Clone(callers), func(m *caller) bool { return m.err == nil }), err)
	}
	if len(left) == 0 {
		return
	}
	err = guarded(func() (err error) {
		outs, err = l.shared(ctx, db, requestsOf(left), wait)
		return err
	})
	if err != nil {
		l.again(ctx, left, err)
		return
	}
	for i, m := range left {
		m.out = outs[i]
	}
}

// again asks for each of the callers' requests alone, after an error for all of them. An
// account that is locked elsewhere is not waited for here either: hand goes on with it.
func (l *Ledger) again(ctx context.Context, callers []*caller, err error) {
	unknown := errors.Is(err, ErrOutcomeUnknown)
	var apart sync.WaitGroup
	for _, group := range byAccount(callers) {
		apart.Go(func() {
			locked := false
			for _, m := range group {
				if m.err = err; len(callers) == 1 && !unknown || unknown && m.request.key == "" {
					continue
				}
				if locked { // who came later does not overtake
					m.out, m.err = outcome{refusal: errLocked}, nil
					continue
				}
				var outs []outcome
				again := guarded(func() (err error) {
					outs, err = l.shared(ctx, m.db, []request{m.request}, m.waits())
					return err
				})
				switch {
				case again == nil:
					m.out, m.err = outs[0], nil
					locked = errors.Is(m.out.refusal, errLocked)
				case !unknown:
					m.err = again
				}
			}
		})
	}
	apart.Wait()
}

// guarded turns a panic into an error: no caller's goroutine would report it.
func guarded(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("credits: panic: %v", p)
		}
	}()
	return fn()
}

func requestsOf(callers []*caller) []request {
	requests := make([]request, len(callers))
	for i, m := range callers {
		requests[i] = m.request
	}
	return requests
}

// byAccount are the callers of each account, in their order.
func byAccount(callers []*caller) map[tenancy.AccountID][]*caller {
	groups := map[tenancy.AccountID][]*caller{}
	for _, m := range callers {
		groups[m.request.account] = append(groups[m.request.account], m)
	}
	return groups
}
