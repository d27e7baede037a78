package authn_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

const (
	// revocationBound is short, so that a thousand changes take seconds.
	revocationBound = 30 * time.Millisecond
	// pace is how long it rests after it has tried everything, so that others have their
	// turn on a small machine.
	pace = time.Millisecond
	// skew is by how much the clock of one process is wrong.
	skew = -9 * time.Hour
)

// order is what the test tells the process that hammers.
type order struct {
	// Accounts and Keys are what to hammer on, from now on.
	Accounts []tenancy.AccountID
	Keys     []string
	// Stall is how the changes are kept from being read, until the next order that
	// says otherwise.
	Stall string
	// After is the instant after which a call to each has to have begun, and ended.
	After int64
	// Remembered: and to have been answered with yes and without the database.
	Remembered bool
	// Quit: after this one there are no more.
	Quit bool
}

// The ways in which news are kept away.
const (
	stallNone   = "none"
	stallBefore = "a reading hangs before it reads"
	stallAfter  = "a reading hangs after it has read"
	stallRun    = "Run has ended"
)

// report is the answer, once what the order waits for has happened.
type report struct {
	// Last is when the last call began that was let in: for each account, then for
	// each key.
	Last []int64
	// Calls are all so far, Hits those that cost no statement.
	Calls, Hits int64
	Errors      []string
}

// target is an account or a key that is hammered on.
type target struct {
	account tenancy.AccountID
	key     string
	// When the last call began that has ended, that was let in, and that was let in
	// without the database.
	ended, letIn, remembered atomic.Int64
}

// hammer is a process that serves.
type hammer struct {
	db       *bun.DB
	accounts *tenancy.Accounts
	keys     *authn.Keys
	targets  atomic.Pointer[[]*target]
	calls    atomic.Int64
	hits     atomic.Int64
	quiet    atomic.Bool
	passed   chan struct{} // all targets have been tried once more
	stop     func()        // ends Run; nil: it does not run
	stall    stalls

	mu     sync.Mutex
	errors []string
}

// hammerChild does what the orders say that come in at the address of args.
func hammerChild(ctx context.Context, db *bun.DB, args []string) error {
	conn, err := net.Dial("tcp", args[0])
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	h := &hammer{db: db.WithQueryHook(counting{}), passed: make(chan struct{}, 1)}
	h.accounts = tenancy.New(tenancy.Config{RevocationBound: revocationBound, Now: func() time.Time { return time.Now().Add(skew) }})
	if h.keys, err = authn.New(h.accounts, authn.Config{Peppers: []authn.Pepper{pepper("a")}}); err != nil {
		return err
	}
	h.targets.Store(&[]*target{})
	h.run(ctx)
	for range 2 {
		go h.pound(ctx)
	}
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			return err
		}
		if err := out.Encode(h.obey(ctx, o)); err != nil || o.Quit {
			return err
		}
	}
}

func (h *hammer) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = h.accounts.Run(ctx, h.db.WithQueryHook(&h.stall))
	}()
	h.stop = func() {
		cancel()
		<-ended
	}
}

func (h *hammer) pound(ctx context.Context) {
	for {
		for i, t := range *h.targets.Load() {
			if h.rests(i) {
				continue
			}
			var (
				asked atomic.Int64
				err   error
				began = time.Now().UnixNano()
			)
			ctx := context.WithValue(ctx, countKey{}, &asked)
			if t.key == "" {
				_, err = h.accounts.Enter(ctx, h.db, t.account, operator, tenancy.Use)
			} else {
				_, err = h.keys.Verify(ctx, h.db, t.key, tenancy.Use)
			}
			h.calls.Add(1)
			if asked.Load() == 0 {
				h.hits.Add(1)
			}
			switch {
			case err == nil:
				later(&t.letIn, began)
				if asked.Load() == 0 {
					later(&t.remembered, began)
				}
			case !errors.Is(err, tenancy.ErrSuspended) && !errors.Is(err, authn.ErrBadCredential):
				h.mu.Lock()
				h.errors = append(h.errors, err.Error())
				h.mu.Unlock()
			}
			later(&t.ended, began)
		}
		select {
		case h.passed <- struct{}{}:
		default:
		}
		<-time.After(pace)
	}
}

// rests reports that nobody asks for a target now: half of them nobody asks for while
// the news are stalled, so that what was remembered of them before is there after that.
func (h *hammer) rests(i int) bool { return h.quiet.Load() && i%4 >= 2 }

func later(at *atomic.Int64, t int64) {
	for old := at.Load(); old < t && !at.CompareAndSwap(old, t); old = at.Load() {
	}
}

func (h *hammer) obey(ctx context.Context, o order) report {
	if len(o.Keys) > 0 {
		var targets []*target
		for _, a := range o.Accounts {
			targets = append(targets, &target{account: a})
		}
		for _, k := range o.Keys {
			targets = append(targets, &target{key: k})
		}
		h.targets.Store(&targets)
	}
	if o.Stall != "" {
		h.quiet.Store(o.Stall != stallNone)
		h.stall.as(o.Stall)
		switch {
		case o.Stall == stallRun:
			h.stop()
			h.stop = nil
		case h.stop == nil:
			h.run(ctx)
		}
	}
	var r report
	for i, t := range *h.targets.Load() {
		at := &t.ended
		if o.Remembered {
			at = &t.remembered
		}
		for at.Load() <= o.After && !h.rests(i) {
			<-h.passed
		}
		r.Last = append(r.Last, t.letIn.Load())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	r.Calls, r.Hits, r.Errors = h.calls.Load(), h.hits.Load(), h.errors
	return r
}

// counting counts the statements of one call.
type counting struct{}

type countKey struct{}

func (counting) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context {
	if n, ok := ctx.Value(countKey{}).(*atomic.Int64); ok {
		n.Add(1)
	}
	return ctx
}

func (counting) AfterQuery(context.Context, *bun.QueryEvent) {}

// stalls makes the readings of the changes hang.
type stalls struct {
	mu      sync.Mutex
	how     string
	release chan struct{}
	hangs   chan struct{}
}

// as sets how readings hang from now on, lets go of the one that hangs, and waits until
// one hangs that is to.
func (s *stalls) as(how string) {
	s.mu.Lock()
	if s.release != nil {
		close(s.release)
		s.release = nil
	}
	s.how = how
	var hangs chan struct{}
	if how == stallBefore || how == stallAfter {
		s.release, s.hangs = make(chan struct{}), make(chan struct{}, 1)
		hangs = s.hangs
	}
	s.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
}

func (s *stalls) at(point string, e *bun.QueryEvent) {
	if !strings.HasPrefix(e.Query, "SELECT subject, version FROM") {
		return
	}
	s.mu.Lock()
	hang, hangs := s.release, s.hangs
	if s.how != point {
		hang = nil
	}
	s.mu.Unlock()
	if hang != nil {
		select {
		case hangs <- struct{}{}:
		default:
		}
		<-hang
	}
}

func (s *stalls) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	s.at(stallBefore, e)
	return ctx
}

func (s *stalls) AfterQuery(_ context.Context, e *bun.QueryEvent) { s.at(stallAfter, e) }

// boss gives the orders.
type boss struct {
	t   *testing.T
	in  *json.Decoder
	out *json.Encoder
	p   *dbtest.Process
}

func newBoss(t *testing.T, db *bun.DB) *boss {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	p := dbtest.Spawn(t, "hammer", dbtest.DSN(db), l.Addr().String())
	p.Go()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &boss{t, json.NewDecoder(conn), json.NewEncoder(conn), p}
}

func (b *boss) order(o order) (r report) {
	b.t.Helper()
	if err := b.out.Encode(o); err != nil {
		b.t.Fatal(err)
	}
	if err := b.in.Decode(&r); err != nil {
		b.t.Fatal(err)
	}
	for _, e := range r.Errors {
		b.t.Fatalf("the other process: %s", e)
	}
	return r
}

// lockout is another process that locks the table of the changes as soon as tx ends.
func lockout(t *testing.T, db *bun.DB) (end func()) {
	t.Helper()
	other, err := dbtest.Open(dbtest.DSN(db))
	if err != nil {
		t.Fatal(err)
	}
	over, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- other.RunInTx(context.Background(), nil, func(ctx context.Context, tx bun.Tx) error {
			_, err := tx.NewRaw("LOCK TABLE tenancy_changes IN ACCESS EXCLUSIVE MODE").Exec(ctx)
			<-over
			return err
		})
	}()
	for waiting := 0; waiting == 0; {
		err := db.NewRaw("SELECT COUNT(*) FROM pg_locks WHERE relation = 'tenancy_changes'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted").Scan(t.Context(), &waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		close(over)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		dbtest.Close(other)
	}
}

// One process suspends accounts and revokes keys, a thousand in all and each in a
// transaction of its own, while another one lets requests in as fast as it can and
// remembers what it has read. So that their bounds pass together, a wave of them is
// begun one soon after the other. The other process's news are stalled in half of the
// waves, and its clock is wrong by hours. Nobody whose call began when the bound of the
// commit was over is let in.
func TestM6_TwoProcesses_NobodyIsLetInAfterTheBound(t *testing.T) {
	const waves, n = 20, 50 // of accounts with a key each: 1,000 commits on each database
	ways := []string{stallNone, stallBefore, stallNone, stallAfter, stallNone, stallRun}
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		accounts := tenancy.New(tenancy.Config{RevocationBound: revocationBound})
		keys, err := authn.New(accounts, authn.Config{Peppers: []authn.Pepper{pepper("a")}})
		if err != nil {
			t.Fatal(err)
		}
		inOne := func(fn func(ctx context.Context, tx bun.Tx) error) {
			t.Helper()
			if err := db.RunInTx(t.Context(), nil, fn); err != nil {
				t.Fatal(err)
			}
		}
		endless := tenancytest.Plans()[0]
		endless.Slug, endless.TrialDays = "endless", 0
		if _, err := accounts.Ensure(t.Context(), db, endless); err != nil {
			t.Fatal(err)
		}
		ids := make([]tenancy.AccountID, n)
		for i := range ids {
			r, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: fmt.Sprintf("ada%d@example.com", i), Plan: "endless"})
			if err != nil {
				t.Fatal(err)
			}
			ids[i] = r.Account.ID
		}
		b := newBoss(t, db)
		locked := 0
		issued := make([]authn.Issued, n)
		commits := 0
		for wave := range waves {
			o := order{Stall: stallNone, Accounts: ids, Remembered: true}
			inOne(func(ctx context.Context, tx bun.Tx) (err error) {
				for i, id := range ids {
					if wave > 0 && i%2 == 0 {
						continue // the key of an account that was suspended goes on
					}
					if issued[i], err = keys.Issue(ctx, tx, authn.Issue{Account: id, Name: "a key", Actor: operator}); err != nil {
						return err
					}
				}
				return nil
			})
			for _, i := range issued {
				o.Keys = append(o.Keys, i.Secret)
			}
			b.order(o)
			way := ways[wave%len(ways)]
			b.order(order{Stall: way})

			over := make([]time.Time, n) // when the bound of each commit is
			commit := func(i int, also func()) error {
				err := db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) (err error) {
					if i%2 == 0 {
						_, err = accounts.Suspend(ctx, tx, tenancy.Suspend{Account: ids[i], Actor: operator})
					} else {
						_, err = keys.Revoke(ctx, tx, authn.Revoke{Account: ids[i], Key: issued[i].Key.ID, Actor: operator})
					}
					also()
					return err
				})
				over[i] = time.Now().Add(revocationBound)
				return err
			}
			const hands = 3
			for _, err := range dbtest.Together(hands, func(hand int) (err error) {
				for i := hand; i < n-1 && err == nil; i += hands {
					err = commit(i, func() {})
				}
				return err
			}) {
				if err != nil {
					t.Fatal(err)
				}
			}
			var end func()
			err := commit(n-1, func() {
				if way == stallNone && wave%4 == 0 && db.Dialect().Name() == dialect.PG {
					end = lockout(t, db)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			commits += n
			check := func(what string, r report) {
				t.Helper()
				for i, last := range r.Last {
					if i < n && i%2 == 1 {
						continue // the account of a key that was revoked
					}
					if late := time.Duration(last - over[i%n].UnixNano()); late > 0 {
						t.Fatalf("wave %d, %s, %s: a call was let in that began %v after the bound", wave, way, what, late)
					}
				}
			}
			last := over[n-1]
			if end != nil {
				locked++
				<-time.After(time.Until(last.Add(revocationBound))) // so long does it keep the table
				end()
			}
			check("at the bound", b.order(order{After: last.Add(revocationBound / 2).UnixNano()}))
			check("the news have come", b.order(order{Stall: stallNone, After: time.Now().Add(revocationBound).UnixNano()}))
			inOne(func(ctx context.Context, tx bun.Tx) error {
				for i := 0; i < n; i += 2 {
					if _, err := accounts.Resume(ctx, tx, tenancy.Resume{Account: ids[i], Actor: operator}); err != nil {
						return err
					}
				}
				return nil
			})
		}
		r := b.order(order{Quit: true})
		b.p.Wait()
		t.Logf("%d commits; %d calls, %d of them without a statement; %d waves behind a lock", commits, r.Calls, r.Hits, locked)
		if r.Hits*2 < r.Calls {
			t.Errorf("of %d calls only %d came from memory: it proves little", r.Calls, r.Hits)
		}
		if db.Dialect().Name() == dialect.PG && locked == 0 {
			t.Error("no wave was behind a lock")
		}
	}, tenancy.Migrate, authn.Migrate)
}
