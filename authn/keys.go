package authn

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// Config is the policy of Keys. Peppers must be given; the rest works as it is.
type Config struct {
	// Brand is what every key begins with: a letter and 1 to 15 of a-z 0-9.
	// Default: "qr".
	Brand string
	// Envs are the environments whose keys work here, so that a test key is no key in
	// production, or one that a handler can tell apart by tenancy.Scope.Env: each 2 to 8
	// of a-z. The first is that of a new key which names none. Default: "live".
	Envs []string
	// Peppers are the secrets that hashes are made with. The first one makes new
	// hashes, each one verifies those it made. To turn the pepper, put a new one
	// first; to end an old one, and with it the keys it still holds, remove it.
	Peppers []Pepper

	// MaxCached bounds the keys that are remembered while accounts.Run runs, at 1 to 2 KiB
	// each: the more limits the plans have, the more. Those of more accounts than twice
	// tenancy's Config.MaxCached push each other out before. Default: 1,000,000.
	MaxCached int

	// TrustedProxies are those whose X-Forwarded-For is believed by Middleware for the
	// address that a request comes from, as throttle.ClientAddr says. Default: none.
	TrustedProxies []netip.Prefix

	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// OnError writes refusals. Default: problem details (RFC 9457).
	OnError func(w http.ResponseWriter, r *http.Request, err error)
}

// Keys issues, lists, revokes and verifies API keys. It holds policy and no
// connection: every method that needs the database takes it. One value serves any
// number of goroutines.
type Keys struct {
	accounts *tenancy.Accounts
	form     form
	ring     *ring
	clock    func() time.Time
	real     bool // clock is time.Now
	memory   memory
	proxies  []netip.Prefix
	uses     *uses
	onError  func(w http.ResponseWriter, r *http.Request, err error)
}

// New makes Keys from cfg, for the accounts that accounts validates. The error
// says what is wrong with cfg.
func New(accounts *tenancy.Accounts, cfg Config) (*Keys, error) {
	if cfg.Brand == "" {
		cfg.Brand = "qr"
	}
	if len(cfg.Envs) == 0 {
		cfg.Envs = []string{"live"}
	}
	if !brandForm.MatchString(cfg.Brand) {
		return nil, fmt.Errorf("authn: the brand %q is not a letter and 1 to 15 of a-z 0-9", cfg.Brand)
	}
	for i, env := range cfg.Envs {
		if !envForm.MatchString(env) {
			return nil, fmt.Errorf("authn: the environment %q is not made of 2 to 8 of a-z", env)
		}
		if slices.Contains(cfg.Envs[:i], env) {
			return nil, fmt.Errorf("authn: the environment %q is named twice", env)
		}
	}
	ring, err := newRing(cfg.Peppers)
	if err != nil {
		return nil, err
	}
	if cfg.MaxCached <= 0 {
		cfg.MaxCached = 1_000_000
	}
	real := cfg.Now == nil
	if real {
		cfg.Now = time.Now
	}
	if cfg.OnError == nil {
		cfg.OnError = problem.Write
	}
	return &Keys{
		accounts: accounts, form: newForm(cfg.Brand, slices.Clone(cfg.Envs)), ring: ring, clock: cfg.Now, real: real,
		memory: newMemory(accounts, cfg.MaxCached), uses: &uses{}, proxies: cfg.TrustedProxies, onError: cfg.OnError,
	}, nil
}

// now is the instant of one operation: UTC, in the microseconds that PostgreSQL
// keeps, so that what is returned equals what is read back.
func (k *Keys) now() time.Time { return k.clock().UTC().Truncate(time.Microsecond) }
