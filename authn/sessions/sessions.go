package sessions

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// The defaults of Config.
const (
	DefaultIdle     = 24 * time.Hour
	DefaultLifetime = 30 * 24 * time.Hour
	DefaultMostOpen = 50
	DefaultKeep     = 7 * 24 * time.Hour
	DefaultEvery    = time.Hour
	// DefaultMaxCached takes about 100 MB when all are there.
	DefaultMaxCached = 100_000
	DefaultCookie    = "__Host-session"
)

// MaxLifetime bounds Config.Lifetime: browsers keep no cookie for longer (RFC 6265bis,
// section 5.5).
const MaxLifetime = 400 * 24 * time.Hour

// Config is the policy of Sessions. The zero value works.
type Config struct {
	// Idle ends a session that was not used for so long. Default: DefaultIdle.
	Idle time.Duration
	// Lifetime ends every session so long after it began, however much it is used.
	// Default: DefaultLifetime. Most: MaxLifetime.
	Lifetime time.Duration
	// MostOpen is how many sessions a person has at once: the next one ends the one
	// that was not used for longest. Default: DefaultMostOpen.
	MostOpen int
	// Keep is how long Run keeps what is over, with its network address and browser.
	// Default: DefaultKeep; a negative one is no time at all.
	Keep time.Duration
	// Every is how often Run deletes. Default: DefaultEvery.
	Every time.Duration

	// MaxCached bounds the sessions that are remembered while accounts.Run runs, at about
	// 1 KiB each. Default: DefaultMaxCached.
	MaxCached int

	// Cookie is the cookie's name. Default: DefaultCookie. The prefix __Host- has
	// browsers refuse a cookie of that name from any other host, a sibling too; one
	// without it can be planted there.
	Cookie string
	// PlainHTTPOnLoopback is for development without TLS: a request over plain HTTP
	// from this machine to localhost or a loopback address is served a cookie without
	// Secure, whose name lacks the prefix. No other request is. Default: none.
	PlainHTTPOnLoopback bool
	// TrustedOrigins are those, other than the service's own, whose pages may use
	// sessions: "https://app.example.com". Default: none.
	TrustedOrigins []string
	// TrustedProxies are those whose X-Forwarded-For is believed for the address that
	// a request comes from, as throttle.ClientAddr says. Default: none.
	TrustedProxies []netip.Prefix

	// Notify tells a person by mail what was done with a session, so that it learns when
	// that was somebody else. Handler calls it after the commit; its context does not end
	// with the request and lasts 30 s. An error is logged by its type. Default: nobody is
	// told.
	Notify func(ctx context.Context, m Message) error

	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// OnError writes refusals. Default: problem details (RFC 9457).
	OnError func(w http.ResponseWriter, r *http.Request, err error)
}

// Sessions starts, finds and ends the sessions of people. It holds policy and no
// connection: every method that needs the database takes it. One value serves any
// number of goroutines.
type Sessions struct {
	accounts *tenancy.Accounts
	cfg      Config
	plain    string // the cookie's name without its prefix
	origins  *http.CrossOriginProtection
	guard    *authn.Guard // for sessions alone
	memory   memory
}

// New makes Sessions from cfg, for the users of accounts. The error says what is wrong
// with cfg: its cookie's name, or a trusted origin.
func New(accounts *tenancy.Accounts, cfg Config) (*Sessions, error) {
	def := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	def(&cfg.Idle, DefaultIdle)
	def(&cfg.Lifetime, DefaultLifetime)
	def(&cfg.Every, DefaultEvery)
	cfg.Lifetime = min(cfg.Lifetime, MaxLifetime)
	cfg.Keep = max(cmp.Or(cfg.Keep, DefaultKeep), 0)
	if cfg.MaxCached <= 0 {
		cfg.MaxCached = DefaultMaxCached
	}
	if cfg.MostOpen <= 0 {
		cfg.MostOpen = DefaultMostOpen
	}
	cfg.Cookie = cmp.Or(cfg.Cookie, DefaultCookie)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OnError == nil {
		cfg.OnError = problem.Write
	}
	s := &Sessions{accounts: accounts, cfg: cfg, origins: http.NewCrossOriginProtection(), memory: newMemory(accounts, cfg.MaxCached)}
	s.plain = strings.TrimPrefix(strings.TrimPrefix(cfg.Cookie, "__Host-"), "__Secure-")
	for _, name := range []string{cfg.Cookie, s.plain} {
		if err := (&http.Cookie{Name: name, Path: "/"}).Valid(); err != nil {
			return nil, fmt.Errorf("sessions: %q is no cookie's name", cfg.Cookie)
		}
	}
	for _, origin := range cfg.TrustedOrigins {
		if err := s.origins.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("sessions: a trusted origin is written like https://app.example.com: %w", err)
		}
	}
	s.guard = authn.NewGuard(accounts, authn.GuardConfig{TrustedProxies: cfg.TrustedProxies, OnError: cfg.OnError}, s)
	return s, nil
}

// now is the instant of one operation: UTC, in the microseconds that PostgreSQL
// keeps, so that what is returned equals what is read back.
func (s *Sessions) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Microsecond) }
