package throttle

import (
	"hash/maphash"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/quitrent/quitrent/internal/clientaddr"
	"github.com/quitrent/quitrent/tenancy"
)

// The names of our policies in header fields and problems.
const (
	accountPolicy    = "account"
	addressPolicy    = "address"
	credentialPolicy = "credential"
)

// Middleware takes one token from the bucket of the account that the request has
// entered and refuses with 429 when there is none. It stands behind the
// middleware that enters, and panics like tenancy.From without it. Let nothing wait in
// between: a request counts as it entered, or, should it be refused then, as it comes.
func (l *Limiter) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := l.takeEntered(r.Context())
		l.announce(w.Header(), accountPolicy, d)
		if !d.Allowed {
			l.refuse(w, r, accountPolicy, d)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ByAddress limits by network address what comes from nobody known. It stands in
// front of authentication. A request without a credential takes a token before it
// goes on; a cookie may hold one, so that its token comes back when somebody is
// recognised beneath (see tenancy.Observe). One with a credential (Authorization,
// X-API-Key) is refused while its address has no token, whoever it is from, and
// takes one afterwards unless somebody was recognised, also when the handler panics.
//
// Requests whose callers are not recognised yet may run at once, but no more of one
// address than five bursts, and what they fail is owed in full: who tries in
// parallel gains those five bursts once and then waits until they are paid off, at
// Config.Address.
//
// A credential that is right and whose account is refused – suspended, or its trial
// over – has a bucket of its own with the same limit, so that a program which goes on
// calling does not keep its owner, at the same address, from paying. Beyond that
// limit such an account's requests count against the address again.
//
// trusted are the proxies whose X-Forwarded-For is believed, as ClientAddr says;
// nil trusts none. IPv6 counts by /64, the least that one subscriber has. All
// requests whose address is unknown, as on a Unix socket, share one bucket.
func (l *Limiter) ByAddress(trusted []netip.Prefix) func(http.Handler) http.Handler {
	trusted = slices.Clone(trusted)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key := clientaddr.KeyOf(ClientAddr(r, trusted))
			credential, shown := credentialOf(r)
			if shown {
				if d := decision(l.refused.Take(l.cfg.Now(), credential, l.stranger(), 0)); !d.Allowed {
					l.announce(w.Header(), credentialPolicy, d)
					l.refuse(w, r, credentialPolicy, d)
					return
				}
			}
			d := l.begin(key, shown)
			if !shown || !d.Allowed {
				l.announce(w.Header(), addressPolicy, d)
			}
			if !d.Allowed {
				l.refuse(w, r, addressPolicy, d)
				return
			}
			var once sync.Once
			settle := func(failed bool) { once.Do(func() { l.settle(key, shown, failed) }) }
			defer settle(true)
			ctx := tenancy.Observe(r.Context(), func(account tenancy.AccountID, admitted bool) {
				if admitted {
					settle(false)
					return
				}
				if shown {
					l.refused.Charge(l.cfg.Now(), credential, l.stranger())
				}
				settle(!l.turnedAway.Take(l.cfg.Now(), account, l.stranger(), 1).Allowed)
			})
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// begin lets a request in: to be settled later where it shows a credential, and for a
// token at once where it shows none.
func (l *Limiter) begin(key clientaddr.Key, shown bool) Decision {
	if shown {
		return decision(l.addresses.Admit(l.cfg.Now(), key, l.stranger()))
	}
	return decision(l.addresses.Take(l.cfg.Now(), key, l.stranger(), 1))
}

// settle ends what begin began: who failed has paid for it.
func (l *Limiter) settle(key clientaddr.Key, shown, failed bool) {
	switch {
	case shown:
		l.addresses.Settle(l.cfg.Now(), key, l.stranger(), failed)
	case !failed:
		l.addresses.GiveBack(l.cfg.Now(), key, l.stranger())
	}
}

// credentialOf finds the credential that r shows, in the form in which it is the same
// however it was sent, as a hash that nobody outside can aim at.
func credentialOf(r *http.Request) (hash uint64, shown bool) {
	fields := strings.Fields(r.Header.Get("Authorization"))
	if key := r.Header.Get("X-API-Key"); key != "" && len(fields) == 0 {
		fields = []string{"bearer", key}
	}
	if len(fields) == 0 {
		return 0, false
	}
	fields[0] = strings.ToLower(fields[0])
	return maphash.String(hashSeed, strings.Join(fields, " ")), true
}

var hashSeed = maphash.MakeSeed()

// noStore is a list whose capacity is one: what is added to it goes elsewhere.
var noStore = []string{"no-store"}

// refuse sets what a 429 needs whatever Config.OnError writes: no cache may keep
// it (RFC 6585, section 4).
func (l *Limiter) refuse(w http.ResponseWriter, r *http.Request, policy string, d Decision) {
	h := w.Header()
	h["Retry-After"] = []string{strconv.FormatInt(max(1, seconds(d.RetryAfter)), 10)}
	h["Cache-Control"] = noStore
	l.cfg.OnError(w, r, &LimitedError{Policy: policy, Decision: d, body: l.policies.of(policy, d.Limit).body})
}
