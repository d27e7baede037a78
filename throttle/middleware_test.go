package throttle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/uptrace/bun"
	"golang.org/x/time/rate"

	"github.com/quitrent/quitrent/tenancy"
)

func TestM7_EachAccountHasItsOwnBucket(t *testing.T) {
	s := newSite(New(Config{Now: newClock().now}))
	s.plans["a"], s.plans["b"] = plan(1, 5), plan(1, 5)
	wantPasses(t, s, 5, 8, "192.0.2.1:1", "X-API-Key", "a")
	wantPasses(t, s, 5, 8, "192.0.2.1:1", "X-API-Key", "b")
	wantPasses(t, s, 0, 3, "192.0.2.2:1", "X-API-Key", "a") // nor does another address help
}

func TestM7_ThePlanSetsRateAndBurst(t *testing.T) {
	c := newClock()
	s := newSite(New(Config{Now: c.now}))
	s.plans["starter"], s.plans["scale"], s.plans["none"] = plan(10, 50), plan(50, 200), plan(0, 0)
	for _, tc := range []struct {
		key         string
		burst, rate int
	}{
		{"starter", 50, 10},
		{"scale", 200, 50},
		{"none", 20, 10}, // Config.Default
	} {
		wantPasses(t, s, tc.burst, 250, "192.0.2.1:1", "X-API-Key", tc.key)
		c.pass(time.Second)
		wantPasses(t, s, tc.rate, 250, "192.0.2.1:1", "X-API-Key", tc.key)
	}
}

func TestM7_NobodyWithAnAccountIsExempt(t *testing.T) {
	for _, kind := range []tenancy.ActorKind{tenancy.ActorUser, tenancy.ActorKey, tenancy.ActorOperator, tenancy.ActorSystem} {
		t.Run(string(kind), func(t *testing.T) {
			s := newSite(New(Config{Now: newClock().now}))
			s.plans["a"] = plan(1, 3)
			s.actor = tenancy.Actor{Kind: kind, ID: "x"}
			for _, s.need = range []tenancy.Capability{tenancy.Read, tenancy.Write, tenancy.Use} {
				get(s, "192.0.2.1:1", "X-API-Key", "a")
			}
			wantPasses(t, s, 0, 3, "192.0.2.1:1", "X-API-Key", "a")
		})
	}
}

func TestM7_APlanChangeKeepsWhatIsLeft(t *testing.T) {
	c := newClock()
	s := newSite(New(Config{Now: c.now}))
	s.plans["a"] = plan(1, 10)
	wantPasses(t, s, 10, 10, "192.0.2.1:1", "X-API-Key", "a")

	s.plans["a"] = plan(20, 100) // an upgrade is no fresh bucket …
	wantPasses(t, s, 0, 3, "192.0.2.1:1", "X-API-Key", "a")
	c.pass(time.Second) // … but fills faster at once
	wantPasses(t, s, 20, 30, "192.0.2.1:1", "X-API-Key", "a")

	c.pass(time.Minute)
	s.plans["a"] = plan(1, 10) // a downgrade leaves no more than its burst
	wantPasses(t, s, 10, 30, "192.0.2.1:1", "X-API-Key", "a")
}

func TestM7_AnonymousRequestsCountByAddress(t *testing.T) {
	c := newClock()
	s := newSite(New(Config{Now: c.now}))
	wantPasses(t, s, 20, 25, "192.0.2.1:1000")
	wantPasses(t, s, 0, 3, "192.0.2.1:2000") // another port
	wantPasses(t, s, 20, 25, "192.0.2.2:1000")
	c.pass(2 * time.Second)
	wantPasses(t, s, 2, 5, "192.0.2.1:1000")

	wantPasses(t, s, 20, 25, "[2001:db8:0:1::1]:1")
	wantPasses(t, s, 0, 3, "[2001:db8:0:1:ffff::2]:1") // the same /64
	wantPasses(t, s, 20, 25, "[2001:db8:0:2::1]:1")

	wantPasses(t, s, 20, 25, "@")
	wantPasses(t, s, 0, 3, "")
	wantPasses(t, s, 20, 25, "[::1]:1") // and no address is not the address ::
}

func TestM7_FailedCredentialsCountByAddress(t *testing.T) {
	c := newClock()
	s := newSite(New(Config{Now: c.now}))
	s.plans["good"] = plan(100, 100)
	for i := range 20 {
		if w := get(s, "192.0.2.1:1", "X-API-Key", fmt.Sprint("guess", i)); w.Code != http.StatusUnauthorized {
			t.Fatalf("guess %d: %d", i, w.Code)
		}
	}
	wantPasses(t, s, 0, 3, "192.0.2.1:1", "X-API-Key", "guess")
	wantPasses(t, s, 0, 3, "192.0.2.1:1", "X-API-Key", "good") // it may be the next guess
	wantPasses(t, s, 0, 3, "192.0.2.1:1")
	c.pass(time.Second)
	wantPasses(t, s, 1, 3, "192.0.2.1:1", "X-API-Key", "guess")
	for _, header := range []string{"Authorization", "Cookie"} {
		wantPasses(t, s, 20, 25, "192.0.2.2:1", header, "x")
		c.pass(time.Minute)
	}
}

func TestM7_AFailedCredentialCountsWhenTheHandlerPanics(t *testing.T) {
	s := newSite(New(Config{Now: newClock().now, Address: Limit{Rate: 1, Burst: 1}}))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		get(s, "192.0.2.1:1", "X-API-Key", "panic")
	}()
	wantPasses(t, s, 0, 1, "192.0.2.1:1", "X-API-Key", "guess")
}

func TestM7_GoodCredentialsDoNotCountByAddress(t *testing.T) {
	for _, header := range []string{"X-API-Key", "Authorization", "Cookie"} {
		s := newSite(New(Config{Now: newClock().now}))
		s.plans["a"] = plan(1, 50)
		// 50 pass, 50 are over the account's limit: it is known who sent those too.
		wantPasses(t, s, 50, 100, "192.0.2.1:1", header, "a")
		wantPasses(t, s, 20, 25, "192.0.2.1:1")
	}
}

// All at once is five bursts, and after that the address waits until they are paid off.
func TestM7_GuessesInParallelAreOwed(t *testing.T) {
	for _, header := range []string{"Authorization", "X-API-Key"} {
		c := newClock()
		l := New(Config{Now: c.now, Address: Limit{Rate: 1, Burst: 4}})
		var tried, inside atomic.Int64
		var looked sync.WaitGroup
		looked.Add(100)
		h := l.ByAddress(nil)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			inside.Add(1)
			looked.Done()
			looked.Wait() // until all have looked at the bucket
			w.WriteHeader(http.StatusUnauthorized)
		}))
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				tried.Add(1)
				if w := get(h, "192.0.2.1:1", header, "guess"); w.Code == http.StatusTooManyRequests {
					looked.Done()
				}
			})
		}
		all.Wait()
		if n := inside.Load(); n != 20 {
			t.Errorf("%s: %d of %d guesses at once went on, want 20", header, n, tried.Load())
		}
		s := l.ByAddress(nil)(http.NotFoundHandler())
		c.pass(16 * time.Second) // of 20 that were let in, 4 were in the bucket
		wantPasses(t, s, 0, 1, "192.0.2.1:1", header, "guess")
		c.pass(time.Second)
		wantPasses(t, s, 1, 2, "192.0.2.1:1", header, "guess")
	}
}

// In the long run no way of asking gets more than the rate.
func TestM7_WavesOfGuessesGetTheRate(t *testing.T) {
	c := newClock()
	l := New(Config{Now: c.now, Address: Limit{Rate: 1, Burst: 4}})
	var inside atomic.Int64
	for range 300 { // seconds
		release := make(chan struct{})
		h := l.ByAddress(nil)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			inside.Add(1)
			<-release
			w.WriteHeader(http.StatusUnauthorized)
		}))
		var begun, all sync.WaitGroup
		for range 30 {
			begun.Add(1)
			all.Go(func() {
				begun.Done()
				get(h, "192.0.2.1:1", "Authorization", "Bearer guess")
			})
		}
		begun.Wait()
		close(release)
		all.Wait()
		c.pass(time.Second)
	}
	// What was in the bucket, what came in, and what the last to begin may owe: five
	// bursts, of which one token was there.
	if n := inside.Load(); n > 4+299+(5*4-1) {
		t.Errorf("%d passed in 300 seconds at 1 a second", n)
	}
}

// A cookie may be a session or nothing: it costs a token that a session gets back.
func TestM7_ACookieThatProvesNothingFreesNobody(t *testing.T) {
	c := newClock()
	s := newSite(New(Config{Now: c.now, Address: Limit{Rate: 1, Burst: 4}}))
	s.plans["session"] = plan(100, 100)
	wantPasses(t, s, 50, 50, "192.0.2.1:1", "Cookie", "session")
	wantPasses(t, s, 4, 50, "192.0.2.1:1", "Cookie", "theme=dark")
	wantPasses(t, s, 0, 5, "192.0.2.1:1")
	c.pass(2 * time.Second)
	wantPasses(t, s, 2, 5, "192.0.2.1:1", "Cookie", "theme=dark")
}

// A program that goes on calling for an account that is refused has a limit, and its
// owner at the same address can still sign in and pay.
func TestM7_ARefusedAccountLocksItsOwnerNotOut(t *testing.T) {
	c := newClock()
	s := newSite(New(Config{Now: c.now, Address: Limit{Rate: 1, Burst: 4}}))
	s.plans["refused"] = tenancy.Plan{Slug: "gone"} // Check says no
	s.plans["owner"] = plan(100, 100)
	reached := func(header, value string) int {
		n := 0
		for range 50 {
			if get(s, "192.0.2.1:1", header, value).Code == http.StatusUnauthorized {
				n++
			}
		}
		return n
	}
	if n := reached("X-API-Key", "refused"); n != 4 {
		t.Errorf("%d of 50 were let through, want 4", n)
	}
	w := get(s, "192.0.2.1:1", "X-API-Key", "refused")
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), `"credential"`) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	wantPasses(t, s, 50, 50, "192.0.2.1:1", "X-API-Key", "owner")
	wantPasses(t, s, 4, 5, "192.0.2.1:1") // the address has paid for nothing
	c.pass(time.Second)
	if n := reached("X-API-Key", "refused"); n != 1 {
		t.Errorf("%d were let through after a second, want 1", n)
	}
}

// One credential can be written in many ways. Beyond its account's limit each counts
// against the address.
func TestM7_ARefusedAccountGainsNothingByWritingItsCredentialAnew(t *testing.T) {
	c := newClock()
	l := New(Config{Now: c.now, Address: Limit{Rate: 1, Burst: 4}})
	accounts := tenancy.New(tenancy.Config{
		Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
			return tenancy.State{Status: tenancy.StatusSuspended}, plan(1, 1), nil
		},
	})
	reached := 0
	h := l.ByAddress(nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached++
		if _, err := accounts.Enter(r.Context(), nil, "acc_1", tenancy.Actor{Kind: tenancy.ActorUser, ID: "usr_1"}, 0); err == nil {
			t.Error("admitted")
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	for i := range 100 {
		get(h, "192.0.2.1:1", "Authorization", fmt.Sprint("Basic variant", i))
	}
	if reached != 4+4 {
		t.Errorf("%d of 100 were let through, want the account's 4 and the address's 4", reached)
	}
	for _, same := range []string{"Bearer one", "bearer   one"} { // what is no other writing
		c.pass(time.Minute)
		reached = 0
		for range 10 {
			get(h, "192.0.2.2:1", "Authorization", same)
		}
		if reached != 4 {
			t.Errorf("%q: %d were let through", same, reached)
		}
	}
}

// Who is recognised makes room at once, however long the request then takes.
func TestM7_RecognisedRequestsTakeNoRoom(t *testing.T) {
	s := newSite(New(Config{Now: newClock().now, Address: Limit{Rate: 1, Burst: 1}}))
	s.plans["a"] = plan(1000, 1000)
	release := make(chan struct{})
	var inside, all sync.WaitGroup
	quick := s.answer
	s.answer = func(http.ResponseWriter, *http.Request) {
		inside.Done()
		<-release
	}
	for range 50 {
		inside.Add(1)
		all.Go(func() {
			if w := get(s, "192.0.2.1:1", "X-API-Key", "a"); w.Code != http.StatusOK {
				inside.Done()
				t.Errorf("answered %d", w.Code)
			}
		})
		inside.Wait() // one after another, all of them still under way
	}
	close(release)
	all.Wait()
	s.answer = quick
	wantPasses(t, s, 1, 2, "192.0.2.1:1") // and the bucket is as it was
}

func TestM7_AForgedForwardedForChangesNothing(t *testing.T) {
	l := New(Config{Now: newClock().now})
	for _, tc := range []struct {
		name    string
		trusted []netip.Prefix
		peer    string
		list    func(i int) []string
	}{
		{"no proxy", nil, "192.0.2.1:1", func(i int) []string {
			return []string{"X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i), "X-Real-IP", fmt.Sprintf("198.51.100.%d", i), "Forwarded", fmt.Sprintf("for=198.51.100.%d", i)}
		}},
		{"peer is no proxy", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "192.0.2.2:1", func(i int) []string {
			return []string{"X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i)}
		}},
		{"behind a proxy", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "10.0.0.1:1", func(i int) []string {
			return []string{"X-Forwarded-For", fmt.Sprintf("198.51.100.%d, 192.0.2.3", i)}
		}},
		{"a header of its own", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "10.0.0.1:1", func(i int) []string {
			return []string{"X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i), "X-Forwarded-For", "192.0.2.4"}
		}},
	} {
		h := l.ByAddress(tc.trusted)(http.NotFoundHandler())
		ok := 0
		for i := range 40 {
			ok += passes(h, 1, tc.peer, tc.list(i)...)
		}
		if ok != 20 {
			t.Errorf("%s: %d passed, want 20", tc.name, ok)
		}
	}
	// And what the proxy wrote does count.
	h := l.ByAddress([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})(http.NotFoundHandler())
	wantPasses(t, h, 20, 25, "10.0.0.1:1", "X-Forwarded-For", "192.0.2.5")
	wantPasses(t, h, 20, 25, "10.0.0.1:1", "X-Forwarded-For", "192.0.2.6")
}

func TestM7_ManyAddressesDoNotResetAnAccount(t *testing.T) {
	l := New(Config{Now: newClock().now, MaxKeys: 4})
	s := newSite(l)
	s.plans["a"] = plan(1, 5)
	wantPasses(t, s, 5, 6, "192.0.2.1:1", "X-API-Key", "a")
	for i := range 100 { // each emptier than the account's
		passes(s, 20, fmt.Sprintf("198.51.100.%d:1", i))
		l.Take(fmt.Sprint(i), Limit{Rate: 1, Burst: 20}, 20)
	}
	wantPasses(t, s, 0, 3, "192.0.2.1:1", "X-API-Key", "a")
}

func TestMiddleware_PanicsWithoutAnAccount(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a request of no account passed")
		}
	}()
	get(New(Config{}).Middleware(http.NotFoundHandler()), "192.0.2.1:1")
}

func TestHeaders_OnEveryAnswer(t *testing.T) {
	c := newClock()
	s := newSite(New(Config{Now: c.now}))
	s.plans["a"] = plan(0.4, 2)
	for i, want := range []http.Header{
		{"Ratelimit-Policy": {`"account";q=2;w=5`}, "Ratelimit": {`"account";r=1;t=3`}},
		{"Ratelimit-Policy": {`"account";q=2;w=5`}, "Ratelimit": {`"account";r=0;t=3`}},
		{"Ratelimit-Policy": {`"account";q=2;w=5`}, "Ratelimit": {`"account";r=0;t=3`}, "Retry-After": {"3"},
			"Cache-Control": {"no-store"}, "Content-Type": {"application/problem+json"}},
	} {
		if diff := cmp.Diff(want, get(s, "192.0.2.1:1", "X-API-Key", "a").Header()); diff != "" {
			t.Errorf("answer %d (-want +got):\n%s", i+1, diff)
		}
	}
	if diff := cmp.Diff(http.Header{"Ratelimit-Policy": {`"address";q=20;w=20`}, "Ratelimit": {`"address";r=19;t=1`}},
		get(s, "192.0.2.1:1").Header()); diff != "" {
		t.Errorf("anonymous (-want +got):\n%s", diff)
	}
}

func TestHeaders_PoliciesOfTwoLimitsAreAList(t *testing.T) {
	l := New(Config{Now: newClock().now})
	s := newSite(l)
	s.plans["a"] = plan(1, 5)
	// Known by something that ByAddress cannot see, such as a client certificate.
	h := l.ByAddress(nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-API-Key", "a")
		s.ServeHTTP(w, r)
	}))
	want := http.Header{
		"Ratelimit-Policy": {`"address";q=20;w=20`, `"account";q=5;w=5`},
		"Ratelimit":        {`"address";r=19;t=1`, `"account";r=4;t=1`},
	}
	if diff := cmp.Diff(want, get(h, "192.0.2.1:1").Header()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRefusal_IsAProblem(t *testing.T) {
	s := newSite(New(Config{Now: newClock().now, Address: Limit{Rate: 0.5, Burst: 1}}))
	s.plans["a"] = plan(0.25, 1)
	for policy, headers := range map[string][]string{"account": {"X-API-Key", "a"}, "address": nil} {
		addr := map[string]string{"account": "192.0.2.1:1", "address": "192.0.2.2:1"}[policy]
		get(s, addr, headers...)
		w := get(s, addr, headers...)
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		delete(got, "detail")
		want := map[string]any{
			"type": "about:blank", "title": "Too Many Requests", "status": 429.0, "code": "rate_limited",
			"violated-policies": []any{policy},
		}
		if diff := cmp.Diff(want, got); diff != "" || w.Code != http.StatusTooManyRequests {
			t.Errorf("%s: %d (-want +got):\n%s", policy, w.Code, diff)
		}
	}
}

func TestRefusal_OfTheHostsOwnHasTheHeaders(t *testing.T) {
	var got error
	s := newSite(New(Config{Now: newClock().now, OnError: func(w http.ResponseWriter, _ *http.Request, err error) {
		got = err
		w.WriteHeader(http.StatusTooManyRequests)
	}}))
	s.plans["a"] = plan(0.3, 1)
	get(s, "192.0.2.1:1", "X-API-Key", "a")
	h := get(s, "192.0.2.1:1", "X-API-Key", "a").Header()
	if h.Get("Retry-After") != "4" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("headers: %v", h)
	}
	var limited *LimitedError
	if !errors.Is(got, ErrLimited) || !errors.As(got, &limited) {
		t.Fatalf("OnError got %v", got)
	}
	want := LimitedError{Policy: "account", Decision: Decision{Limit: Limit{0.3, 1},
		RetryAfter: 3333333334, Reset: 3333333334}} // a third of a nanosecond is one
	if diff := cmp.Diff(want, *limited, cmpopts.IgnoreUnexported(LimitedError{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLimitedError_NeverComesBackTooEarly(t *testing.T) {
	l := New(Config{Now: newClock().now})
	w := httptest.NewRecorder()
	l.refuse(w, httptest.NewRequest(http.MethodGet, "/", nil), "export", l.Take("k", Limit{Rate: 1, Burst: 1}, 2))
	if got := w.Header().Get("Retry-After"); got != "2147483647" {
		t.Errorf("Retry-After of what can never pass: %s", got)
	}
}

// A request counts as it entered. One that waited since, or whose context is an old one,
// is not refused for what was not there then and is now.
func TestMiddleware_AnOldContextIsNotHeldBackByItsAge(t *testing.T) {
	l := New(Config{})
	quick := plan(1e9, 1) // full again after a nanosecond
	accounts := tenancy.New(tenancy.Config{
		Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
			return tenancy.State{Status: tenancy.StatusActive}, quick, nil
		},
	})
	ctx, err := accounts.Enter(t.Context(), nil, "a", tenancy.Actor{Kind: tenancy.ActorUser, ID: "usr_1"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	served := 0
	h := l.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	for range 10 {
		if !l.TakeAccount(tenancy.From(ctx), 1).Allowed { // after the context entered
			t.Fatal("refused")
		}
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx))
	}
	if served != 10 {
		t.Errorf("%d of 10 were served", served)
	}
}

// What is said of a limit and of a bucket is kept, and is nobody else's: of many limits
// each gets its own, and what a handler adds stays in its answer.
func TestHeaders_WhatIsKeptIsOfTheRightLimit(t *testing.T) {
	l := New(Config{Now: newClock().now})
	for range 2 {
		for i := range 1500 {
			d := Decision{Limit: Limit{Rate: rate.Limit(1 + i%40), Burst: 1 + i%40}, Remaining: i / 80 * (atHand / 2), Reset: time.Duration(i/20%3) * time.Second}
			policy := []string{"account", "address"}[i%2]
			h := http.Header{}
			l.announce(h, policy, d)
			want := http.Header{"Ratelimit-Policy": {policyField(policy, d.Limit)}, "Ratelimit": {stateField(policy, d)}}
			if diff := cmp.Diff(want, h); diff != "" {
				t.Fatalf("%d (-want +got):\n%s", i, diff)
			}
			h.Add("RateLimit-Policy", "mine")
			h.Add("RateLimit", "mine")
		}
	}
}
