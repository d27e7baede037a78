package throttle

import (
	"cmp"
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// clock is a settable Config.Now.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// site is the chain a host would build: address limit, authentication by a
// credential that is the account's id, account limit, and a handler that answers 204.
type site struct {
	http.Handler
	plans map[tenancy.AccountID]tenancy.Plan
	actor tenancy.Actor
	need  tenancy.Capability

	answer http.HandlerFunc // instead of 204
}

func newSite(l *Limiter) *site {
	s := &site{plans: map[tenancy.AccountID]tenancy.Plan{}, actor: tenancy.Actor{Kind: tenancy.ActorKey, ID: "key_1"}}
	accounts := tenancy.New(tenancy.Config{
		Loader: func(_ context.Context, _ bun.IDB, id tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
			plan, ok := s.plans[id]
			if !ok {
				return tenancy.State{}, tenancy.Plan{}, tenancy.ErrNoAccount
			}
			return tenancy.State{Status: tenancy.StatusActive}, plan, nil
		},
	})
	s.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.answer(w, r) })
	limited := l.Middleware(handler)
	authn := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := cmp.Or(r.Header.Get("X-API-Key"), r.Header.Get("Authorization"), r.Header.Get("Cookie"))
		switch key {
		case "": // a public page
			handler.ServeHTTP(w, r)
			return
		case "panic":
			panic(http.ErrAbortHandler)
		}
		ctx, err := accounts.Enter(r.Context(), nil, tenancy.AccountID(key), s.actor, s.need)
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		limited.ServeHTTP(w, r.WithContext(ctx))
	})
	s.Handler = l.ByAddress(nil)(authn)
	return s
}

func plan(rate float64, burst int) tenancy.Plan {
	return tenancy.Plan{Slug: "p", Active: true, Rate: rate, Burst: burst}
}

// get asks h from addr; the headers come in pairs.
func get(h http.Handler, addr string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = addr
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// passes is how many of n requests were not answered 429.
func passes(h http.Handler, n int, addr string, headers ...string) int {
	ok := 0
	for range n {
		if get(h, addr, headers...).Code != http.StatusTooManyRequests {
			ok++
		}
	}
	return ok
}

func wantPasses(t *testing.T, h http.Handler, want, of int, addr string, headers ...string) {
	t.Helper()
	if got := passes(h, of, addr, headers...); got != want {
		t.Errorf("%d of %d requests from %s with %q passed, want %d", got, of, addr, headers, want)
	}
}
