// Package adaptertest asks every adapter the same questions, from a client's side.
package adaptertest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/quitrent/quitrent/examples/adapters/internal/service"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// Answer is what a client got.
type Answer struct {
	Status     int    // of HTTP, or of gRPC
	Code       string // of the problem, "" when there is none
	Challenge  string // WWW-Authenticate or what stands for it
	RetryAfter time.Duration
	Body       string
}

// Call calls the adapter's hello at an address with headers.
type Call func(t *testing.T, addr string, header http.Header) Answer

// Adapter is a running adapter.
type Adapter struct {
	*service.Service
	Addr  string
	Clock *tenancytest.Clock
	// Calls counts how often the handler ran.
	Calls atomic.Int64
}

// Start runs the adapter on an address of this machine until the test ends. The clock
// stands still.
func Start(t *testing.T, server func(*service.Service) service.Server) *Adapter {
	t.Helper()
	a := &Adapter{Clock: tenancytest.NewClock(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC))}
	s, err := service.New(t.Context(), tenancytest.SQLite(t, service.Migrate), a.Clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	a.Service = s
	hello := s.Hello
	s.Hello = func(ctx context.Context) string {
		a.Calls.Add(1)
		return hello(ctx)
	}
	_, err = s.Accounts.Ensure(t.Context(), s.DB,
		tenancy.Plan{Slug: "slow", Name: "Slow", Active: true, TrialDays: 14, Rate: 0.25, Burst: 2},
		tenancy.Plan{Slug: "brief", Name: "Brief", Active: true, TrialDays: 1, Rate: 5, Burst: 20})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a.Addr = listener.Addr().String()
	front := server(s)
	done := make(chan error, 1)
	go func() { done <- front.Serve(listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := front.Shutdown(ctx); err != nil {
			t.Errorf("it does not stop: %v", err)
		}
		if err := <-done; err != nil && !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("it served and then: %v", err)
		}
	})
	return a
}

// Join makes an account on a plan with a key.
func (a *Adapter) Join(t *testing.T, name, plan string) (tenancy.AccountID, http.Header) {
	t.Helper()
	account, key, err := a.SignUp(t.Context(), name+"@example.com", plan)
	if err != nil {
		t.Fatal(err)
	}
	return account, http.Header{"Authorization": {"Bearer " + key}}
}

// Suspend suspends an account.
func (a *Adapter) Suspend(t *testing.T, account tenancy.AccountID) {
	t.Helper()
	operator := tenancy.Actor{Kind: tenancy.ActorOperator, ID: "desk"}
	if _, err := a.Accounts.Suspend(t.Context(), a.DB, tenancy.Suspend{Account: account, Actor: operator, Reason: "to see it work"}); err != nil {
		t.Fatal(err)
	}
}

// M6 asks what a credential opens and, as M7 does, what happens when an account goes too fast:
// whichever framework stands in front, the answers are the same.
func M6(t *testing.T, server func(*service.Service) service.Server, call Call) {
	a := Start(t, server)
	good, goodKey := a.Join(t, "good", tenancy.DefaultTrialPlan)
	other, otherKey := a.Join(t, "other", tenancy.DefaultTrialPlan)
	_, overKey := a.Join(t, "over", "brief")
	suspended, suspendedKey := a.Join(t, "suspended", tenancy.DefaultTrialPlan)
	slow, slowKey := a.Join(t, "slow", "slow")
	a.Suspend(t, suspended)
	a.Clock.Advance(25 * time.Hour)

	foreign := goodKey.Clone()
	foreign.Set("X-Account-Id", string(other))
	named := goodKey.Clone()
	named.Set("X-Account-Id", string(good))
	plain := http.Header{"X-Api-Key": {strings.TrimPrefix(otherKey.Get("Authorization"), "Bearer ")}}

	for _, tc := range []struct {
		name   string
		header http.Header
		status []int // over HTTP, and as gRPC and Connect say it
		want   Answer
	}{
		{"no credential", nil, []int{401, int(codes.Unauthenticated)}, Answer{Code: "missing_credential", Challenge: "Bearer"}},
		{"a bad key", http.Header{"Authorization": {"Bearer qr_live_nonsense"}}, []int{401, int(codes.Unauthenticated)}, Answer{Code: "invalid_credential", Challenge: "Bearer"}},
		{"another scheme", http.Header{"Authorization": {"Basic " + goodKey.Get("Authorization")}}, []int{401, int(codes.Unauthenticated)}, Answer{Code: "invalid_credential", Challenge: "Bearer"}},
		{"the trial is over", overKey, []int{402, int(codes.FailedPrecondition)}, Answer{Code: "trial_over"}},
		{"suspended", suspendedKey, []int{403, int(codes.PermissionDenied)}, Answer{Code: "account_suspended"}},
		{"another's account", foreign, []int{404, int(codes.NotFound)}, Answer{Code: "no_account"}},
		{"good", goodKey, []int{200, int(codes.OK)}, Answer{Body: "hello, " + string(good)}},
		{"good, and names its account", named, []int{200, int(codes.OK)}, Answer{Body: "hello, " + string(good)}},
		{"another account, and X-API-Key", plain, []int{200, int(codes.OK)}, Answer{Body: "hello, " + string(other)}},
		{"slow once", slowKey, []int{200, int(codes.OK)}, Answer{Body: "hello, " + string(slow)}},
		{"slow twice", slowKey, []int{200, int(codes.OK)}, Answer{Body: "hello, " + string(slow)}},
		{"too fast", slowKey, []int{429, int(codes.ResourceExhausted)}, Answer{Code: "rate_limited", RetryAfter: 4 * time.Second}},
		{"and good all the same", goodKey, []int{200, int(codes.OK)}, Answer{Body: "hello, " + string(good)}},
	} {
		before := a.Calls.Load()
		got := call(t, a.Addr, tc.header)
		if !slices.Contains(tc.status, got.Status) {
			t.Errorf("%s: status %d, want one of %v", tc.name, got.Status, tc.status)
		}
		got.Status = 0
		if got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
		runs := int64(0)
		if tc.want.Code == "" {
			runs = 1
		}
		if n := a.Calls.Load() - before; n != runs {
			t.Errorf("%s: the handler ran %d times, want %d", tc.name, n, runs)
		}
	}

	a.Clock.Advance(4 * time.Second)
	if got := call(t, a.Addr, slowKey); got.Body == "" {
		t.Errorf("who has waited: %+v", got)
	}
	// A stranger at the same address has 20 tries, and then waits.
	a.Clock.Advance(time.Minute)
	for range 20 {
		if got := call(t, a.Addr, nil); got.Code != "missing_credential" {
			t.Fatalf("a stranger: %+v", got)
		}
	}
	if got := call(t, a.Addr, nil); got.Code != "rate_limited" || got.RetryAfter != time.Second {
		t.Errorf("a stranger, too often: %+v", got)
	}
}
