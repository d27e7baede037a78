package tokens

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
)

// The lifetimes of tokens.
const (
	DefaultLifetime = 5 * time.Minute
	MaxLifetime     = 15 * time.Minute
)

// MaxToken is the longest token that is looked at, in bytes.
const MaxToken = 8 << 10

// The leeway for clocks that differ.
const (
	defaultLeeway = 5 * time.Second
	maxLeeway     = 30 * time.Second
)

// Config is the policy of Tokens.
type Config struct {
	// Issuer and Audience name who makes the tokens and whom they are for, by custom
	// as URLs: one of another issuer, or for another audience, is refused. Required.
	Issuer   string
	Audience string
	// Keys sign and verify: the first one signs, each one verifies what it signed.
	// To turn the key, give the new one last to every process, then put it first, and
	// take the old one away when a Lifetime is over. Required.
	Keys []Key
	// From knows what tokens are made of: sessions, API keys. Nil: this process
	// verifies tokens and makes none, and needs no private key.
	From *authn.Guard

	// Lifetime is how long a token lasts at most. Default: DefaultLifetime; MaxLifetime
	// is the longest.
	Lifetime time.Duration
	// Leeway is how far the clocks of two processes may differ: a token is good so much
	// earlier and longer. Default: 5 s; 30 s is the longest. Negative: none.
	Leeway time.Duration

	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// OnError writes the refusals of Handler. Default: that of accounts.
	OnError func(w http.ResponseWriter, r *http.Request, err error)
}

// Tokens makes access tokens and knows them again. It holds policy and no connection:
// every method that needs the database takes it. One value serves any number of
// goroutines.
type Tokens struct {
	accounts *tenancy.Accounts
	cfg      Config
	ring     *ring
	parser   *jwt.Parser
}

var _ interface {
	authn.Authenticator
	authn.Challenger
} = (*Tokens)(nil)

// New makes Tokens from cfg, for the accounts that accounts validates. The error says
// what is wrong with cfg.
func New(accounts *tenancy.Accounts, cfg Config) (*Tokens, error) {
	if cfg.Issuer == "" || cfg.Audience == "" {
		return nil, errors.New("tokens: Config.Issuer and Config.Audience are needed, such as the address of the service for both")
	}
	ring, err := newRing(cfg.Keys, cfg.From != nil)
	if err != nil {
		return nil, err
	}
	cfg.Keys = nil // so that formatting a Tokens finds none
	if cfg.Lifetime == 0 {
		cfg.Lifetime = DefaultLifetime
	}
	if cfg.Lifetime < time.Second || cfg.Lifetime > MaxLifetime {
		return nil, fmt.Errorf("tokens: the lifetime %v is not between 1s and %v", cfg.Lifetime, MaxLifetime)
	}
	if cfg.Leeway, err = leeway(cfg.Leeway); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OnError == nil {
		cfg.OnError = accounts.Refuse
	}
	return &Tokens{
		accounts: accounts, cfg: cfg, ring: ring,
		parser: newParser(cfg.Issuer, cfg.Audience, []string{jwt.SigningMethodEdDSA.Alg()}, cfg.Leeway, cfg.Now),
	}, nil
}

func leeway(d time.Duration) (time.Duration, error) {
	if d > maxLeeway {
		return 0, fmt.Errorf("tokens: the leeway %v is longer than %v", d, maxLeeway)
	}
	if d == 0 {
		return defaultLeeway, nil
	}
	return max(d, 0), nil
}

// newParser checks signatures of these algorithms alone, and the claims that RFC 8725,
// section 3, asks for.
func newParser(issuer, audience string, algorithms []string, leeway time.Duration, now func() time.Time) *jwt.Parser {
	return jwt.NewParser(
		jwt.WithValidMethods(algorithms), jwt.WithStrictDecoding(), jwt.WithJSONNumber(),
		jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(leeway), jwt.WithTimeFunc(now),
	)
}

// now is the instant of one operation.
func (t *Tokens) now() time.Time { return t.cfg.Now().UTC().Truncate(time.Microsecond) }
