package throttle_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/throttle"
)

// Two a second, five at once; an import costs three.
func ExampleLimiter_Take() {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	limiter := throttle.New(throttle.Config{Now: func() time.Time { return now }})
	limit := throttle.Limit{Rate: 2, Burst: 5}
	for range 2 {
		d := limiter.Take("import:acc_1", limit, 3)
		fmt.Println(d.Allowed, d.Remaining, d.RetryAfter)
	}
	now = now.Add(500 * time.Millisecond)
	fmt.Println(limiter.Take("import:acc_1", limit, 3).Allowed)
	// Output:
	// true 2 0s
	// false 2 500ms
	// true
}

// The order of the middlewares. A host has authn's middleware in the middle.
func Example() {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	limiter := throttle.New(throttle.Config{Now: func() time.Time { return now }})
	accounts := tenancy.New(tenancy.Config{
		Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
			return tenancy.State{Status: tenancy.StatusActive}, tenancy.Plan{Slug: "free", Active: true, Rate: 1, Burst: 2}, nil
		},
	})
	authenticate := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key := tenancy.Actor{Kind: tenancy.ActorKey, ID: "key_1"}
			ctx, err := accounts.Enter(r.Context(), nil, "acc_1", key, tenancy.Use)
			if err != nil {
				http.Error(w, "who are you?", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })
	handler := limiter.ByAddress(nil)(authenticate(limiter.Middleware(hello)))

	for range 3 {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer …")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Printf("%d %s %q\n", w.Code, w.Header().Get("RateLimit"), w.Header().Get("Retry-After"))
	}
	// Output:
	// 200 "account";r=1;t=1 ""
	// 200 "account";r=0;t=1 ""
	// 429 "account";r=0;t=1 "1"
}
