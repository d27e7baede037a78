package authn

import (
	"errors"
	"hash/maphash"
	"net/http"
	"net/netip"
	"time"

	"github.com/quitrent/quitrent/internal/bucket"
	"github.com/quitrent/quitrent/internal/clientaddr"
	"github.com/quitrent/quitrent/tenancy"
)

// remembered bounds the buckets of each kind, and the pairs that are known.
const remembered = 1 << 16

// pair is an e-mail address and a network address. What strangers choose is hashed:
// of one length, and none can be aimed at another.
type pair struct {
	email uint64
	addr  clientaddr.Key
}

// attempts counts what is tried. It lives in memory and starts afresh with the process.
type attempts struct {
	seed                                            maphash.Seed
	pair, email, addr, site, right, rightAddr, join bucket.Limit

	pairs      *bucket.Table[pair]
	emails     *bucket.Table[uint64]
	addrs      *bucket.Table[clientaddr.Key]
	sites      *bucket.Table[clientaddr.Key]
	rights     *bucket.Table[uint64]
	rightAddrs *bucket.Table[clientaddr.Key]
	joins      *bucket.Table[clientaddr.Key]
	known      known
	under      underway
}

// newAttempts lets mostUnderway attempts from one address be under way.
func newAttempts(l PasswordLimits, mostUnderway int) *attempts {
	return &attempts{
		seed:       maphash.MakeSeed(),
		pair:       l.Pair.or(10, time.Minute),
		email:      l.Email.or(100, time.Hour/100),
		addr:       l.Addr.or(300, 5*time.Second),
		site:       l.Site.or(1500, time.Second),
		right:      l.Right.or(60, time.Second/2),
		rightAddr:  l.RightAddr.or(600, time.Second/5),
		join:       l.SignUp.or(100, 10*time.Second),
		pairs:      bucket.New[pair](remembered),
		emails:     bucket.New[uint64](remembered),
		addrs:      bucket.New[clientaddr.Key](remembered),
		sites:      bucket.New[clientaddr.Key](remembered),
		rights:     bucket.New[uint64](remembered),
		rightAddrs: bucket.New[clientaddr.Key](remembered),
		joins:      bucket.New[clientaddr.Key](remembered),
		under:      underway{most: mostUnderway, n: map[clientaddr.Key]int{}},
	}
}

// attempt is one that was let in and whose end settles what it costs.
type attempt struct {
	*attempts
	now   time.Time
	pair  pair
	known bool

	site clientaddr.Key // where in6
	in6  bool
}

// begin lets an attempt in or says how long to wait; a refusal costs nothing. Somebody
// who has signed in from an address is held back by what is tried from that address and
// by nothing else, so that no stranger elsewhere can keep a person out.
func (a *attempts) begin(now time.Time, email string, addr netip.Addr) (attempt, error) {
	if _, key, err := tenancy.ParseEmail(email); err == nil {
		email = key
	}
	t := attempt{attempts: a, now: now, pair: pair{maphash.String(a.seed, email), clientaddr.KeyOf(addr)}}
	t.site, t.in6 = clientaddr.SiteOf(addr)
	t.known = a.known.has(t.pair)
	if !a.under.enter(t.pair.addr) {
		return attempt{}, tooMany{queueFull}
	}
	d := a.pairs.Admit(now, t.pair, a.pair)
	if d.Allowed {
		if d = t.take(); d.Allowed {
			return t, nil
		}
		a.pairs.Settle(now, t.pair, a.pair, false)
	}
	a.under.leave(t.pair.addr)
	return attempt{}, tooMany{d.RetryAfter}
}

// take takes what an attempt takes beside its pair.
func (t attempt) take() bucket.Decision {
	a := t.attempts
	if t.known {
		d := a.rights.Take(t.now, t.pair.email, a.right, 1)
		if !d.Allowed {
			return d
		}
		if d = a.rightAddrs.Take(t.now, t.pair.addr, a.rightAddr, 1); !d.Allowed {
			a.rights.GiveBack(t.now, t.pair.email, a.right)
		}
		return d
	}
	if d := a.rightAddrs.Take(t.now, t.pair.addr, a.rightAddr, 0); !d.Allowed { // it may turn out right
		return d
	}
	d := a.emails.Take(t.now, t.pair.email, a.email, 1)
	if !d.Allowed {
		return d
	}
	if d = a.addrs.Take(t.now, t.pair.addr, a.addr, 1); d.Allowed {
		if !t.in6 {
			return d
		}
		if d = a.sites.Take(t.now, t.site, a.site, 1); d.Allowed {
			return d
		}
		a.addrs.GiveBack(t.now, t.pair.addr, a.addr)
	}
	a.emails.GiveBack(t.now, t.pair.email, a.email)
	return d
}

// end settles an attempt: a wrong password costs its pair, and the two addresses unless
// they are known together; a right one costs its person and its network address. What
// came to no answer, as when nobody waited for it, costs nothing.
func (t attempt) end(err error) {
	a, wrong := t.attempts, errors.Is(err, ErrBadCredential)
	a.under.leave(t.pair.addr)
	a.pairs.Settle(t.now, t.pair, a.pair, wrong)
	switch {
	case t.known && err != nil:
		a.rights.GiveBack(t.now, t.pair.email, a.right)
		a.rightAddrs.GiveBack(t.now, t.pair.addr, a.rightAddr)
	case !t.known && !wrong:
		a.emails.GiveBack(t.now, t.pair.email, a.email)
		a.addrs.GiveBack(t.now, t.pair.addr, a.addr)
		if t.in6 {
			a.sites.GiveBack(t.now, t.site, a.site)
		}
	}
	if err == nil {
		if !t.known {
			a.rights.Charge(t.now, t.pair.email, a.right)
			a.rightAddrs.Charge(t.now, t.pair.addr, a.rightAddr)
		}
		a.known.add(t.pair)
	}
}

// MaySignUp counts a sign-up from the network address that r comes from. SignUp asks it
// by itself; a page of the host's own asks it before it calls Register or Prepare.
//
// It returns ErrTooManyAttempts.
func (p *Passwords) MaySignUp(r *http.Request) error {
	a := p.attempts
	addr := clientaddr.KeyOf(clientaddr.Of(r, p.cfg.TrustedProxies))
	if d := a.joins.Take(p.cfg.Now(), addr, a.join, 1); !d.Allowed {
		return tooMany{d.RetryAfter}
	}
	return nil
}
