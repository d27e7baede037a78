package authn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/changes"
	"github.com/quitrent/quitrent/internal/clientaddr"
	"github.com/quitrent/quitrent/internal/crossorigin"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// GuardConfig is the policy of a Guard. The zero value works.
type GuardConfig struct {
	// TrustedProxies are those whose X-Forwarded-For is believed for the address that
	// a request comes from, as throttle.ClientAddr says. Default: none.
	TrustedProxies []netip.Prefix

	// OnError writes refusals; tenancy.ProblemOf says what to write, for a page in HTML
	// say. Default: that of accounts.
	OnError func(w http.ResponseWriter, r *http.Request, err error)
}

// Guard is one way in for credentials of several kinds: keys, sessions, tokens,
// passwords. Whichever came in, it enters an account only through tenancy's EnterAs.
// It serves any number of goroutines.
type Guard struct {
	accounts *tenancy.Accounts
	cfg      GuardConfig
	auth     []Authenticator
}

// NewGuard makes a Guard that asks the authenticators in order.
func NewGuard(accounts *tenancy.Accounts, cfg GuardConfig, auth ...Authenticator) *Guard {
	cfg.TrustedProxies = slices.Clone(cfg.TrustedProxies)
	if cfg.OnError == nil {
		cfg.OnError = accounts.Refuse
	}
	return &Guard{accounts: accounts, cfg: cfg, auth: slices.Clone(auth)}
}

// Check asks the authenticators in order whose the credential is and validates the
// account for everything in need (0 means tenancy.Use): the whole way in without a
// transport, for gRPC, sockets, queues. The first authenticator that knows the
// credential decides: a bad one is never tried as another kind.
//
// It returns ErrNoCredential for the zero Credential, ErrBadCredential also for one
// of a kind that is not asked for here, tenancy.ErrNoAccount for one that belongs to
// another account than it names, and what the authenticators and tenancy's EnterAs
// return. With Passwords among them db must not be a transaction.
func (g *Guard) Check(ctx context.Context, db bun.IDB, c Credential, need tenancy.Capability) (scope tenancy.Scope, err error) {
	now := changes.Now()
	who, seen, err := g.identify(ctx, db, &arrived{Credential: c}, now)
	switch {
	case err != nil:
	case seen:
		err = g.accounts.ValidateSeen(ctx, db, who, need, now, &scope)
	default:
		scope, err = g.accounts.Validate(ctx, db, *who, need)
	}
	return scope, err
}

// Enter is Check, and the account is in the context it returns, where tenancy.From
// finds it.
func (g *Guard) Enter(ctx context.Context, db bun.IDB, c Credential, need tenancy.Capability) (context.Context, error) {
	return g.enter(ctx, db, &arrived{Credential: c}, need)
}

func (g *Guard) enter(ctx context.Context, db bun.IDB, s *arrived, need tenancy.Capability) (context.Context, error) {
	now := changes.Now()
	who, seen, err := g.identify(ctx, db, s, now)
	switch {
	case err != nil:
		return nil, err
	case seen:
		return g.accounts.EnterSeen(ctx, db, who, need, now)
	}
	return g.accounts.EnterAs(ctx, db, *who, need)
}

// arrived is a credential on its way through a Guard. The address of the client is looked
// for where somebody asks: few keys are bound to one.
type arrived struct {
	Credential
	from    *http.Request // nil: from Addr
	proxies []netip.Prefix
}

func (s *arrived) address() netip.Addr {
	if s.from != nil {
		s.Addr, s.from = clientaddr.Of(s.from, s.proxies), nil
	}
	return s.Addr
}

// identify asks whose s is. seen: what it found counted at now, and is nobody's to change.
func (g *Guard) identify(ctx context.Context, db bun.IDB, s *arrived, now changes.Instant) (who *Principal, seen bool, err error) {
	if s.Scheme == "" && s.Value == "" {
		return nil, false, ErrNoCredential
	}
	for _, a := range g.auth {
		k, isKeys := a.(*Keys)
		if isKeys {
			who, err = k.authenticateSeen(ctx, db, s, now)
		} else {
			who, err = authenticate(ctx, db, a, s)
		}
		switch {
		case err == nil && s.Account != "" && s.Account != who.Account:
			return nil, false, tenancy.ErrNoAccount
		case err == nil || !errors.Is(err, ErrNoCredential):
			return who, isKeys, err
		}
	}
	return nil, false, fmt.Errorf("%w: this takes another kind of credential, or the whole of it", ErrBadCredential)
}

func authenticate(ctx context.Context, db bun.IDB, a Authenticator, s *arrived) (*Principal, error) {
	s.address()
	who, err := a.Authenticate(ctx, db, s.Credential)
	return &who, err
}

// Middleware is Enter for the credential that FromRequest finds, so that
// tenancy.From finds the account in next. A refusal goes to GuardConfig.OnError, with
// a WWW-Authenticate line for each Challenger if it is a 401.
func (g *Guard) Middleware(db *bun.DB, need tenancy.Capability) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			s, err := g.read(r)
			if err == nil {
				ctx, err = g.enter(ctx, db, &s, need)
			}
			if err != nil {
				g.challenge(w.Header(), err)
				g.cfg.OnError(w, r, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// FromRequest reads the credential of r: the package's FromRequest, and where that
// finds none, what an authenticator of g that is a Reader finds. So a header that a
// program has set counts before a cookie that a browser sends along. The address is
// the client's.
//
// A server that is not one of net/http fills in Header and RemoteAddr, and, if it takes
// cookies, Method, Host and TLS: without these a Reader trusts none.
func (g *Guard) FromRequest(r *http.Request) (Credential, error) {
	s, err := g.read(r)
	if err != nil {
		return Credential{}, err
	}
	s.address()
	return s.Credential, nil
}

var ownPages = http.NewCrossOriginProtection()

func (g *Guard) read(r *http.Request) (arrived, error) {
	c, err := fromHeader(r.Header)
	for _, a := range g.auth {
		if !errors.Is(err, ErrNoCredential) {
			break
		}
		if reader, ok := a.(Reader); ok {
			c, err = reader.Read(r)
		}
	}
	if err == nil {
		c.Account, err = wanted(r.Header)
	}
	// A browser that has once asked for a password sends it along with whatever any
	// page makes it send.
	if err == nil && c.Scheme == schemeBasic && crossorigin.Refused(ownPages, r) {
		err = ErrCrossOrigin
	}
	if err != nil {
		return arrived{}, err
	}
	return arrived{Credential: c, from: r, proxies: g.cfg.TrustedProxies}, nil
}

func (g *Guard) challenge(h http.Header, err error) {
	if problem.Status(err) != http.StatusUnauthorized {
		return
	}
	for _, a := range g.auth {
		c, ok := a.(Challenger)
		if !ok {
			continue
		}
		// Keys and tokens say the same; Add would make the name anew.
		if line := c.Challenge(); !slices.Contains(h["Www-Authenticate"], line) {
			h["Www-Authenticate"] = append(h["Www-Authenticate"], line)
		}
	}
}

// Identifier is an Authenticator that knows people apart from any account: Passwords,
// and sessions.
type Identifier interface {
	// Identify finds whose c is. It returns ErrNoCredential when c is none of its kind.
	Identify(ctx context.Context, db bun.IDB, c Credential) (tenancy.Actor, error)
}

// Person is the check of an endpoint for a person who has entered no account, and may
// have none: tenancy's Accounts.Person, Public of package invitations, Handler of package
// emails. It asks the authenticators that are Identifiers, in order, and returns
// ErrNoCredential, ErrBadCredential and what they return.
func (g *Guard) Person(db *bun.DB) tenancy.Authorizer {
	return func(r *http.Request) (tenancy.Actor, error) {
		c, err := g.FromRequest(r)
		if err != nil {
			return tenancy.Actor{}, err
		}
		for _, a := range g.auth {
			i, ok := a.(Identifier)
			if !ok {
				continue
			}
			if who, err := i.Identify(r.Context(), db, c); !errors.Is(err, ErrNoCredential) {
				return who, err
			}
		}
		return tenancy.Actor{}, fmt.Errorf("%w: this is for people: sign in", ErrBadCredential)
	}
}

// Middleware is that of a Guard for keys alone, with the OnError and the TrustedProxies
// of k.
func (k *Keys) Middleware(db *bun.DB, need tenancy.Capability) func(http.Handler) http.Handler {
	return NewGuard(k.accounts, GuardConfig{OnError: k.onError, TrustedProxies: k.proxies}, k).Middleware(db, need)
}

// Middleware is that of a Guard for passwords alone, with the OnError of p.
func (p *Passwords) Middleware(db *bun.DB, need tenancy.Capability) func(http.Handler) http.Handler {
	return NewGuard(p.accounts, GuardConfig{OnError: p.cfg.OnError, TrustedProxies: p.cfg.TrustedProxies}, p).Middleware(db, need)
}
