package throttle

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"

	"github.com/quitrent/quitrent/tenancy"
)

// The names of our policies in header fields and problems.
const (
	accountPolicy = "account"
	addressPolicy = "address"
)

// Middleware takes one token from the bucket of the account that the request has
// entered and refuses with 429 when there is none. It stands behind the
// middleware that enters, and panics like tenancy.From without it.
func (l *Limiter) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := l.TakeAccount(tenancy.From(r.Context()), 1)
		announce(w.Header(), accountPolicy, d)
		if !d.Allowed {
			l.refuse(w, r, accountPolicy, d)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ByAddress limits by network address what comes from nobody known. It stands in
// front of authentication. A request without a credential takes a token before it
// goes on. One with a credential (Authorization, X-API-Key, Cookie) is refused
// while its address has no token, whoever it is from, and takes one afterwards
// unless somebody was recognised beneath (see tenancy.Observe), also when the
// handler panics.
//
// Requests whose callers are not recognised yet may run at once, but no more of one
// address than five bursts, and what they fail is owed in full: who tries in
// parallel gains those five bursts once and then waits until they are paid off, at
// Config.Address.
//
// trusted are the proxies whose X-Forwarded-For is believed, as ClientAddr says;
// nil trusts none. IPv6 counts by /64, the least that one subscriber has. All
// requests whose address is unknown, as on a Unix socket, share one bucket.
func (l *Limiter) ByAddress(trusted []netip.Prefix) func(http.Handler) http.Handler {
	trusted = slices.Clone(trusted)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key := keyOf(ClientAddr(r, trusted))
			if !hasCredential(r) {
				d := l.addresses.take(l.cfg.Now(), key, l.cfg.Address, 1)
				announce(w.Header(), addressPolicy, d)
				if !d.Allowed {
					l.refuse(w, r, addressPolicy, d)
					return
				}
				next.ServeHTTP(w, r)
				return
			}
			if d := l.addresses.admit(l.cfg.Now(), key, l.cfg.Address); !d.Allowed {
				announce(w.Header(), addressPolicy, d)
				l.refuse(w, r, addressPolicy, d)
				return
			}
			var once sync.Once
			settle := func(failed bool) {
				once.Do(func() { l.addresses.settle(l.cfg.Now(), key, l.cfg.Address, failed) })
			}
			defer settle(true)
			ctx := tenancy.Observe(r.Context(), func() { settle(false) })
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// hasCredential reports that r may be from somebody known. A session travels in a
// cookie as well; any cookie counts, since one that proves nothing costs a token
// all the same.
func hasCredential(r *http.Request) bool {
	return r.Header.Get("Authorization") != "" || r.Header.Get("X-API-Key") != "" || r.Header.Get("Cookie") != ""
}

// refuse sets what a 429 needs whatever Config.OnError writes: no cache may keep
// it (RFC 6585, section 4).
func (l *Limiter) refuse(w http.ResponseWriter, r *http.Request, policy string, d Decision) {
	h := w.Header()
	h.Set("Retry-After", strconv.FormatInt(max(1, seconds(d.RetryAfter)), 10))
	h.Set("Cache-Control", "no-store")
	l.cfg.OnError(w, r, &LimitedError{Policy: policy, Decision: d})
}
