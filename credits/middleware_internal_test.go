package credits

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// Clients go while their holds are written in a commit that they share. Nobody is left to
// settle or release them, so they are let go of at once.
func TestMiddleware_LetsGoOfWhatItHeldForAClientThatIsGone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		l := funded(t, db, Config{}, accA)
		ctx, leave := context.WithCancel(tenancytest.Context(t, tenancy.Scope{Account: accA}))
		hooked := db.WithQueryHook(everyHook(func(query string) {
			if strings.Contains(query, "credits_holds") {
				leave()
			}
		}))
		h := l.Middleware(hooked, Fixed(2))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			t.Error("the handler works for a client that is gone")
		}))
		release := lockedElsewhere(t, db, accA)
		first := ahead(t.Context(), t, l, db, Deduct{Account: accA, Amount: 1}, 0)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "POST", "/", nil)) })
		}
		await(t, "they wait", func() bool { return l.waiters() == 3 })
		release()
		if a := <-first; a.err != nil {
			t.Error(a.err)
		}
		all.Wait()
		b, err := l.Balance(t.Context(), db, accA)
		if err != nil || b.Held != 0 || b.Spendable != 9 {
			t.Errorf("%+v, %v", b, err)
		}
		sound(t, l, db)
	}, Migrate)
}

// A cost below zero is a mistake of the host's, and no client is told that it was wrong.
func TestMiddleware_ANegativeCostIsAFaultOfTheHosts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		l := funded(t, db, Config{}, accA)
		h := l.Middleware(db, Fixed(-2))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it is served") }))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(tenancytest.Context(t, tenancy.Scope{Account: accA}), "POST", "/", nil))
		if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "-2") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}, Migrate)
}
