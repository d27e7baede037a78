package authn

import (
	"errors"
	"hash/maphash"
	"math"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/quitrent/quitrent/internal/bucket"
	"github.com/quitrent/quitrent/internal/clientaddr"
	"github.com/quitrent/quitrent/tenancy"
)

// Attempts is how often something may be tried: Burst times at once, and once more
// whenever Every has passed, up to Burst again. Where one of them is not positive, the
// default counts for both.
type Attempts struct {
	Burst int
	Every time.Duration
}

func (a Attempts) or(burst int, every time.Duration) bucket.Limit {
	if a.Burst <= 0 || a.Every <= 0 {
		a = Attempts{burst, every}
	}
	return bucket.Limit{Rate: rate.Every(a.Every), Burst: a.Burst}
}

// PasswordLimits bounds how often passwords are tried, before any of them is hashed. A
// network address is an IPv4 address or the /64 of an IPv6 address; all that is unknown
// counts as one. The zero value works.
type PasswordLimits struct {
	// Pair bounds the wrong passwords for one e-mail address from one network address.
	// Default: 10 at once, one a minute.
	Pair Attempts
	// Email bounds the wrong passwords for one e-mail address from all network
	// addresses together, but for those from which that person has signed in. Let it be
	// faster than Pair, or one address could use up everybody's. Default: 100 at once,
	// 100 an hour.
	Email Attempts
	// Addr bounds the wrong passwords from one network address for all e-mail addresses
	// together. Default: 300 at once, one every 5 seconds.
	Addr Attempts
	// Right bounds the right passwords of one person, from wherever: each is some 50 ms
	// of a CPU. Default: 60 at once, 2 a second.
	Right Attempts
	// SignUp bounds the sign-ups from one network address. Default: 100 at once, one
	// every 10 seconds.
	SignUp Attempts
}

// tooMany is ErrTooManyAttempts and how long to wait. It does not say which limit it was,
// since that of a person's own addresses would tell of the person.
type tooMany struct{ after time.Duration }

func (tooMany) Error() string { return ErrTooManyAttempts.Error() }
func (tooMany) Unwrap() error { return ErrTooManyAttempts }
func (t tooMany) RetryAfter() time.Duration {
	return min(t.after, math.MaxInt32*time.Second) // what clients can count (RFC 9111, section 1.2.2)
}

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
	seed                           maphash.Seed
	pair, email, addr, right, join bucket.Limit

	pairs  *bucket.Table[pair]
	emails *bucket.Table[uint64]
	addrs  *bucket.Table[clientaddr.Key]
	rights *bucket.Table[uint64]
	joins  *bucket.Table[clientaddr.Key]
	known  known
}

func newAttempts(l PasswordLimits) *attempts {
	return &attempts{
		seed:   maphash.MakeSeed(),
		pair:   l.Pair.or(10, time.Minute),
		email:  l.Email.or(100, time.Hour/100),
		addr:   l.Addr.or(300, 5*time.Second),
		right:  l.Right.or(60, time.Second/2),
		join:   l.SignUp.or(100, 10*time.Second),
		pairs:  bucket.New[pair](remembered),
		emails: bucket.New[uint64](remembered),
		addrs:  bucket.New[clientaddr.Key](remembered),
		rights: bucket.New[uint64](remembered),
		joins:  bucket.New[clientaddr.Key](remembered),
	}
}

// attempt is one that was let in and whose end settles what it costs.
type attempt struct {
	*attempts
	now   time.Time
	pair  pair
	known bool
}

// begin lets an attempt in or says how long to wait; a refusal costs nothing. Somebody
// who has signed in from an address is held back by what is tried from that address and
// by nothing else, so that no stranger elsewhere can keep a person out.
func (a *attempts) begin(now time.Time, email string, addr netip.Addr) (attempt, error) {
	if _, key, err := tenancy.ParseEmail(email); err == nil {
		email = key
	}
	t := attempt{attempts: a, now: now, pair: pair{maphash.String(a.seed, email), clientaddr.KeyOf(addr)}}
	t.known = a.known.has(t.pair)
	if d := a.pairs.Admit(now, t.pair, a.pair); !d.Allowed {
		return attempt{}, tooMany{d.RetryAfter}
	}
	d := t.take()
	if !d.Allowed {
		a.pairs.Settle(now, t.pair, a.pair, false)
		return attempt{}, tooMany{d.RetryAfter}
	}
	return t, nil
}

// take takes what an attempt takes beside its pair.
func (t attempt) take() bucket.Decision {
	if t.known {
		return t.rights.Take(t.now, t.pair.email, t.right, 1)
	}
	if d := t.emails.Take(t.now, t.pair.email, t.email, 1); !d.Allowed {
		return d
	}
	d := t.addrs.Take(t.now, t.pair.addr, t.addr, 1)
	if !d.Allowed {
		t.emails.GiveBack(t.now, t.pair.email, t.email)
	}
	return d
}

// end settles an attempt: a wrong password costs its pair, and the two addresses unless
// they are known together; a right one costs its person. What came to no answer, as when
// nobody waited for it, costs nothing.
func (t attempt) end(err error) {
	wrong := errors.Is(err, ErrBadCredential)
	t.pairs.Settle(t.now, t.pair, t.attempts.pair, wrong)
	switch {
	case t.known && err != nil:
		t.rights.GiveBack(t.now, t.pair.email, t.right)
	case !t.known && !wrong:
		t.emails.GiveBack(t.now, t.pair.email, t.email)
		t.addrs.GiveBack(t.now, t.pair.addr, t.addr)
	}
	if err == nil {
		if !t.known {
			t.rights.Charge(t.now, t.pair.email, t.right)
		}
		t.attempts.known.add(t.pair)
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

// known are the pairs by which somebody has signed in, as many as remembered: when half
// as many new ones have come, those that were not seen since are forgotten.
type known struct {
	mu       sync.Mutex
	now, old map[pair]struct{}
}

func (k *known) has(p pair) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.now[p]; ok {
		return true
	}
	_, ok := k.old[p]
	return ok
}

// add is for every right password: it keeps a pair that is known from being forgotten.
func (k *known) add(p pair) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.now[p]; !ok && len(k.now) >= remembered/2 {
		k.now, k.old = nil, k.now
	}
	if k.now == nil {
		k.now = map[pair]struct{}{}
	}
	k.now[p] = struct{}{}
}
