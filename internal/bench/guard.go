package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/pgtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/throttle"
)

// guardArea measures what stands in front of a handler: who is calling, may the account
// do this, and how fast. The baseline is what one writes in an afternoon: three
// middlewares that hash, look up and format.
func guardArea(ctx context.Context, b *bench) error {
	return onEach(ctx, pgtest.Start, func(d database) error {
		if d.name != "sqlite" { // no database is asked
			return nil
		}
		return guarded(ctx, b, d)
	})
}

// The limit of all accounts: nobody reaches it, and most buckets are full, as they are
// where customers keep to what they have bought.
var limitOfAll = throttle.Limit{Rate: 1000, Burst: 1e5}

// callers are accounts with a key each, all of them remembered.
type callers struct {
	db      *bun.DB
	issuer  *authn.Keys
	guard   *authn.Guard
	limiter *throttle.Limiter
	keys    []string
	shown   []string // the same, as they come in, one behind the other: what has just been read is at hand
	ids     []tenancy.AccountID
	bytes   int // that are remembered of one
	stop    func()
}

func guarded(ctx context.Context, b *bench, d database) error {
	c, err := newCallers(ctx, d.db, b.pick(10_000, 20))
	if err != nil {
		return err
	}
	defer c.stop()
	// Of authn.Config.MaxCached, with an account to each key.
	b.report(figure{
		name: "guard: memory of a key that is remembered, with its account", bar: 1,
		ours: fmt.Sprintf("%d B", c.bytes), baseline: "2048 B", ratio: float64(c.bytes) / 2048,
	})
	plain := newPlain(c, limitOfAll)
	var got string // by the handler
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = string(tenancy.From(r.Context()).Account) })
	ours := c.guard.Middleware(c.db, tenancy.Use)(c.limiter.Middleware(handler))
	theirs := plain.middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Context().Value(accountKey{}).(string) }))
	through := func(h http.Handler) side[string] {
		return request(c.shown, h, func(w *answer) (string, error) {
			id := got
			if got = ""; w.status != 0 || len(w.header) == 0 {
				return "", fmt.Errorf("status %d, headers %v", w.status, w.header)
			}
			return id, nil
		})
	}
	right := func(i int, r string) error {
		if want := string(c.ids[i%len(c.ids)]); r != want {
			return fmt.Errorf("%q instead of %q", r, want)
		}
		return nil
	}
	same := func(a, b string) bool { return a == b }
	err1 := compare(ctx, b, pair[string]{
		name: "guard: authn and throttle middleware, cached, with headers", faster: true, alone: true, bar: 4,
		ours: through(ours), baseline: through(theirs), right: right, same: same,
	})
	err2 := compare(ctx, b, pair[string]{
		name: "guard: the same check without a transport", faster: true, alone: true, bar: 8,
		ours: c.check, baseline: through(theirs), right: right, same: same,
	})
	return errors.Join(err1, err2, refusals(ctx, b, c), whole(ctx, b), remembered(ctx, b))
}

// request sends what callers show through h, again and again. What comes of it is read
// from the answer.
func request[R any](shown []string, h http.Handler, read func(*answer) (R, error)) side[R] {
	return func(ctx context.Context) (func(int) (R, error), func() error, error) {
		w := &answer{header: http.Header{}}
		credential := []string{""}
		r := (&http.Request{Method: "GET", RemoteAddr: "192.0.2.1:4711", Header: http.Header{"Authorization": credential}}).WithContext(ctx)
		return func(i int) (R, error) {
			clear(w.header)
			w.status = 0
			credential[0] = shown[i%len(shown)]
			h.ServeHTTP(w, r)
			return read(w)
		}, nothing, nil
	}
}

func nothing() error { return nil }

// check is the transport-free side.
func (c *callers) check(ctx context.Context) (func(int) (string, error), func() error, error) {
	return func(i int) (string, error) {
		s, err := c.guard.Check(ctx, c.db, authn.Credential{Scheme: "bearer", Value: c.keys[i%len(c.keys)]}, tenancy.Use)
		if err != nil {
			return "", err
		}
		if !c.limiter.TakeAccount(s, 1).Allowed {
			return "", errors.New("throttled")
		}
		return string(s.Account), nil
	}, nothing, nil
}

// newCallers makes n of them and has each one seen once.
func newCallers(ctx context.Context, db *bun.DB, n int) (*callers, error) {
	if err := authn.Migrate(ctx, db); err != nil {
		return nil, err
	}
	accounts := tenancy.New(tenancy.Config{RevocationBound: time.Minute}) // a busy machine must not empty it
	keys, err := authn.New(accounts, authn.Config{Peppers: []authn.Pepper{{ID: "1", Secret: make([]byte, 32)}}})
	if err != nil {
		return nil, err
	}
	_, err = accounts.Ensure(ctx, db, tenancy.Plan{Slug: tenancy.DefaultTrialPlan, Name: "Free trial", Active: true, TrialDays: 14})
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	var run sync.WaitGroup
	run.Go(func() { _ = accounts.Run(running, db) })
	c := &callers{
		db: db, issuer: keys, guard: authn.NewGuard(accounts, authn.GuardConfig{}, keys), limiter: throttle.New(throttle.Config{Default: limitOfAll}),
		stop: func() { cancel(); run.Wait() },
	}
	err = db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for i := range n {
			r, err := accounts.Register(ctx, tx, tenancy.Register{Name: "Somebody", Email: fmt.Sprintf("%d@example.com", i)})
			if err != nil {
				return err
			}
			key, err := keys.Issue(ctx, tx, authn.Issue{
				Account: r.Account.ID, Name: "a key", Actor: tenancy.Actor{Kind: tenancy.ActorUser, ID: string(r.User.ID)},
			})
			if err != nil {
				return err
			}
			c.keys, c.ids = append(c.keys, key.Secret), append(c.ids, r.Account.ID)
		}
		return nil
	})
	if err == nil {
		err = c.see(ctx)
	}
	if err != nil {
		c.stop()
		return nil, err
	}
	c.shown = show(c.keys)
	for i, s := range c.shown {
		c.keys[i] = s[len(scheme):]
	}
	return c, nil
}

// see shows each key twice: what is used once may be remembered later. The first few
// pay for what there is one of.
func (c *callers) see(ctx context.Context) error {
	n, before := len(c.keys), 0
	for i := range 2 * n {
		if i == n/8 {
			before = heap()
		}
		if _, err := c.guard.Check(ctx, c.db, authn.Credential{Scheme: "bearer", Value: c.keys[i%n]}, tenancy.Use); err != nil {
			return err
		}
	}
	c.bytes = (heap() - before) / (n - n/8)
	return nil
}

const scheme = "Bearer "

// show is keys as they come in.
func show(keys []string) (shown []string) {
	all := scheme + strings.Join(keys, scheme)
	for _, k := range keys {
		n := len(scheme) + len(k)
		shown, all = append(shown, all[:n]), all[n:]
	}
	return shown
}

// heap is what is in use of it.
func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one has found to end
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// answer is a response that nobody waits for.
type answer struct {
	header http.Header
	status int
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) Write(b []byte) (int, error) { return len(b), nil }
func (a *answer) WriteHeader(status int)      { a.status = status }
