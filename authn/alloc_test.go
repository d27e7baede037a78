//go:build !race

package authn_test

import (
	"net/http"
	"net/netip"
	"runtime"
	"testing"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// discard is a response that nobody reads.
type discard http.Header

func (d discard) Header() http.Header         { return http.Header(d) }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// The check of a key that is remembered allocates nothing, and a request that is let in
// allocates twice: the context, and the request with it.
func TestGuard_AllocatesNothingForAKeyThatIsRemembered(t *testing.T) {
	h := newHouse(t, dbtest.SQLite(t, authn.Migrate))
	read := h.remember(t, authn.Config{})
	ada := h.register(t, "ada@example.com")
	key := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(ada), Scopes: writes, Addresses: networks("192.0.2.0/24", "2001:db8::/32")})
	dead := h.issue(t, ada)
	if _, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: ada.Account.ID, Key: dead.Key.ID, Actor: operator}); err != nil {
		t.Fatal(err)
	}
	wrong, _, _ := authn.Rekey(h.keys, key.Key.ID)
	authn.Gather(h.keys)
	read()
	guard := authn.NewGuard(h.accounts, authn.GuardConfig{}, h.keys)
	ctx := t.Context()
	for what, c := range map[string]struct {
		key  string
		need tenancy.Capability
		want error
	}{
		"a key":         {key.Secret, 0, nil},
		"a revoked key": {dead.Secret, 0, authn.ErrBadCredential},
		"a wrong key":   {wrong, 0, authn.ErrBadCredential},
		"too much":      {key.Secret, tenancy.Pay, tenancy.ErrForbidden},
	} {
		credential := authn.Credential{Scheme: "bearer", Value: c.key, Addr: netip.MustParseAddr("2001:db8::1")}
		check := func() {
			_, err := guard.Check(ctx, h.db, credential, c.need)
			if (err == nil) != (c.want == nil) {
				t.Errorf("%s: %v", what, err)
			}
		}
		check()
		if n := testing.AllocsPerRun(1000, check); n != 0 {
			t.Errorf("%s: %g allocations", what, n)
		}
	}

	served := 0
	server := guard.Middleware(h.db, 0)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if tenancy.From(r.Context()).Account == ada.Account.ID {
			served++
		}
	}))
	r, w := request("GET", "/", "", "Authorization", "Bearer "+key.Secret), discard{}
	r.RemoteAddr = "192.0.2.1:4711"
	n := testing.AllocsPerRun(1000, func() { server.ServeHTTP(w, r) })
	if t.Logf("a request: %g allocations", n); n > 2 || served != 1001 {
		t.Errorf("%g allocations, %d requests served", n, served)
	}
}

// What Config.MaxCached says of memory: a key with all that is remembered of it.
func TestRemembered_MemoryOfAKey(t *testing.T) {
	h := newHouse(t, dbtest.SQLite(t, authn.Migrate))
	read := h.remember(t, authn.Config{})
	const n = 1000
	ada := h.register(t, "ada@example.com")
	var keys []authn.Issued
	for range n {
		keys = append(keys, h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(ada), Scopes: writes}))
	}
	read()
	wantErr(t, "the first", h.verify(t, keys[0].Secret), nil)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for _, k := range keys {
		wantErr(t, "a key", h.verify(t, k.Secret), nil)
	}
	each := (heap() - before) / n
	runtime.KeepAlive(keys)
	if authn.Opened(h.keys) != n {
		t.Fatalf("%d are remembered", authn.Opened(h.keys))
	}
	if t.Logf("%d bytes a key", each); each < 512 || each > 1536 { // on a plan without limits
		t.Errorf("%d bytes a key", each)
	}
}
