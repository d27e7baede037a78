//go:build !race

package throttle

import (
	"context"
	"net/http"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// discard is a response that nobody reads.
type discard http.Header

func (d discard) Header() http.Header         { return http.Header(d) }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// A request within its account's limit allocates nothing here, as long as what is said of
// the bucket was said before.
func TestMiddleware_AllocatesNothing(t *testing.T) {
	accounts := tenancy.New(tenancy.Config{
		Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
			return tenancy.State{Status: tenancy.StatusActive}, plan(1e9, 50), nil // full again at once
		},
	})
	ctx, err := accounts.Enter(t.Context(), nil, "a", tenancy.Actor{Kind: tenancy.ActorUser, ID: "usr_1"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	served := 0
	h := New(Config{}).Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	r, w := (&http.Request{}).WithContext(ctx), discard{}
	n := testing.AllocsPerRun(1000, func() {
		clear(w)
		h.ServeHTTP(w, r)
	})
	if n != 0 || served != 1001 {
		t.Errorf("%g allocations, %d requests served", n, served)
	}
}
