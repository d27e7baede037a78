package tokens

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/uptrace/bun"
	"golang.org/x/time/rate"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
)

// ExternalConfig says which tokens of an identity provider are taken. Issuer,
// Audience, JWKSURL and Map are required.
type ExternalConfig struct {
	// Issuer is the iss of the tokens, to the letter.
	Issuer string
	// Audience is among the aud of the tokens: what the provider calls this service.
	// Never leave it to be that of another client.
	Audience string
	// JWKSURL is where the provider publishes its keys: the jwks_uri of its
	// /.well-known/openid-configuration. Only https, and http on this machine.
	JWKSURL string
	// Algorithms are those that signatures may have, by their names in RFC 7518 and
	// 8037; none that uses a shared secret. Default: RS256, PS256, ES256, EdDSA.
	Algorithms []string
	// Map finds whom the token is for and which account it acts for: see VerifiedEmail.
	// An error is the answer. One that finds a user by an address lets in none whose
	// address is not verified here: anybody can have signed up with it.
	Map func(ctx context.Context, db bun.IDB, c Claims) (authn.Principal, error)

	// HTTPClient fetches the keys. Redirects are not followed. Default: one of its own.
	HTTPClient *http.Client
	// MaxAge is how long keys that were fetched count without asking again, and so how
	// late the end of one is learnt of. Default: 10 minutes; 1 minute is the least.
	MaxAge time.Duration
	// Outage is how much longer they count while the provider does not answer. Then
	// nothing can be said of its tokens, and the answer is 503. Default: 1 hour.
	// Negative: no time at all.
	Outage time.Duration
	// Leeway is how far the provider's clock may differ: see Config.
	Leeway time.Duration

	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// External knows the access tokens of an identity provider. One value serves any number
// of goroutines.
type External struct {
	cfg    ExternalConfig
	keys   *keySet
	parser *jwt.Parser
}

var _ interface {
	authn.Authenticator
	authn.Challenger
} = (*External)(nil)

var (
	algorithms = []string{
		"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
	}
	defaultAlgorithms = []string{"RS256", "PS256", "ES256", "EdDSA"}
)

// NewExternal makes an External from cfg. The error says what is wrong with cfg. The
// provider is not asked for anything yet.
func NewExternal(cfg ExternalConfig) (*External, error) {
	if cfg.Issuer == "" || cfg.Audience == "" {
		return nil, errors.New("tokens: ExternalConfig.Issuer and Audience are needed: without them, tokens for anybody are taken")
	}
	if cfg.Map == nil {
		return nil, errors.New("tokens: ExternalConfig.Map is needed, such as VerifiedEmail")
	}
	if err := checkURL(cfg.JWKSURL); err != nil {
		return nil, err
	}
	if cfg.Algorithms = slices.Clone(cfg.Algorithms); len(cfg.Algorithms) == 0 {
		cfg.Algorithms = defaultAlgorithms
	}
	for _, a := range cfg.Algorithms {
		if !slices.Contains(algorithms, a) {
			return nil, fmt.Errorf("tokens: the algorithm %q is none of %s", a, strings.Join(algorithms, ", "))
		}
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = 10 * time.Minute
	}
	if cfg.MaxAge < time.Minute {
		return nil, fmt.Errorf("tokens: the keys' age %v is less than a minute", cfg.MaxAge)
	}
	if cfg.Outage == 0 {
		cfg.Outage = time.Hour
	}
	var err error
	if cfg.Leeway, err = leeway(cfg.Leeway); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	client := &http.Client{}
	if cfg.HTTPClient != nil {
		*client = *cfg.HTTPClient
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &External{
		cfg: cfg,
		keys: &keySet{
			url: cfg.JWKSURL, client: client, now: cfg.Now, maxAge: cfg.MaxAge, outage: max(cfg.Outage, 0),
			limit: rate.NewLimiter(rate.Every(fetchEvery), fetchBurst),
		},
		parser: newParser(cfg.Issuer, cfg.Audience, cfg.Algorithms, cfg.Leeway, cfg.Now),
	}, nil
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil {
		return errors.New("tokens: ExternalConfig.JWKSURL is no address of a web server")
	}
	addr, _ := netip.ParseAddr(u.Hostname())
	here := u.Hostname() == "localhost" || addr.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !here) {
		return errors.New("tokens: ExternalConfig.JWKSURL is not https: who can change the keys on their way can be anybody")
	}
	return nil
}

// Authenticate implements authn.Authenticator for bearer tokens that name the issuer.
// All else is none of its kind.
//
// It returns authn.ErrBadCredential in the same words for all that can be wrong, an
// error that is answered with 503 while nothing can be said, since the provider's keys
// cannot be fetched, and what ExternalConfig.Map returns. A token ends by itself and
// when Map refuses it: an identity provider tells nobody that it has put somebody out.
func (x *External) Authenticate(ctx context.Context, db bun.IDB, c authn.Credential) (authn.Principal, error) {
	if c.Scheme != scheme {
		return authn.Principal{}, authn.ErrNoCredential
	}
	e, ok := open(c.Value)
	if !ok || e.Issuer != x.cfg.Issuer {
		return authn.Principal{}, authn.ErrNoCredential
	}
	if e.odd || !accessToken(e.Type) || e.KeyID == "" || !slices.Contains(x.cfg.Algorithms, e.Algorithm) {
		return authn.Principal{}, authn.ErrBadCredential
	}
	keys, err := x.keys.find(ctx, e.KeyID, e.Algorithm)
	if err != nil {
		return authn.Principal{}, err
	}
	claims, err := x.read(c.Value, keys)
	if err != nil {
		return authn.Principal{}, authn.ErrBadCredential
	}
	claims.Wanted = c.Account
	who, err := x.cfg.Map(ctx, db, claims)
	if err != nil {
		return authn.Principal{}, err
	}
	var bounds tenancy.Bounds
	if who.Bounds != nil {
		bounds = *who.Bounds
	}
	if end := bounds.ExpiresAt; end.IsZero() || claims.ExpiresAt.Before(end) {
		bounds.ExpiresAt = claims.ExpiresAt
	}
	who.Bounds = &bounds
	return who, nil
}

// Challenge implements authn.Challenger.
func (x *External) Challenge() string { return "Bearer" }

// accessToken reports that typ may be that of one. Other kinds have other names, such
// as "logout+jwt".
func accessToken(typ string) bool {
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") {
	case "", "jwt", "at+jwt":
		return true
	}
	return false
}

func (x *External) read(value string, keys []any) (Claims, error) {
	set := jwt.VerificationKeySet{}
	for _, k := range keys {
		set.Keys = append(set.Keys, k)
	}
	all := jwt.MapClaims{}
	if _, err := x.parser.ParseWithClaims(value, all, func(*jwt.Token) (any, error) { return set, nil }); err != nil {
		return Claims{}, err
	}
	end, err := all.GetExpirationTime()
	if err != nil {
		return Claims{}, err
	}
	c := Claims{Issuer: x.cfg.Issuer, Members: all, ExpiresAt: end.UTC()}
	if c.Subject = c.Text("sub"); c.Subject == "" {
		return Claims{}, errNotOurs
	}
	return c, nil
}

// Claims are what a verified token of an identity provider says. They may be personal
// data.
type Claims struct {
	Issuer string
	// Subject is the provider's own name for whom the token is for, never reused and
	// never changed.
	Subject   string
	ExpiresAt time.Time
	// Members are all of them, numbers as json.Number.
	Members map[string]any
	// Wanted is the account that the request names; "": none.
	Wanted tenancy.AccountID
}

// Text is a claim that is a string. "": it is none.
func (c Claims) Text(name string) string {
	s, _ := c.Members[name].(string)
	return s
}

// VerifiedEmail is an ExternalConfig.Map: it finds the user with the token's e-mail
// address, acting with all that the user may. email_verified must be true. It is only for
// a provider that is trusted with the address of each of your users: with one where
// anybody can enter anybody's address, keep a table of subjects instead.
//
// The address must be verified here too (tenancy.User.VerifiedAt). Until then the user
// may be a stranger's, who has signed up with it, with a password and keys that would go
// on opening whatever the token's holder does there. A reset by mail ends those and
// verifies the address: see package emails. Whoever makes users of a provider's tokens
// calls tenancy's MarkVerified in the transaction of CreateUser.
//
// It returns authn.ErrBadCredential where there is no such user, tenancy.ErrUnverified,
// and as tenancy.Accounts.AccountOf, tenancy.ErrNoAccount and tenancy.ErrWhichAccount.
func VerifiedEmail(accounts *tenancy.Accounts) func(ctx context.Context, db bun.IDB, c Claims) (authn.Principal, error) {
	return func(ctx context.Context, db bun.IDB, c Claims) (authn.Principal, error) {
		if c.Members["email_verified"] != true {
			return authn.Principal{}, fmt.Errorf("%w: the identity provider has not verified an e-mail address", authn.ErrBadCredential)
		}
		user, err := accounts.UserByEmail(ctx, db, c.Text("email"))
		if errors.Is(err, tenancy.ErrNoUser) {
			return authn.Principal{}, fmt.Errorf("%w: there is no user with its e-mail address", authn.ErrBadCredential)
		}
		if err == nil && user.VerifiedAt.IsZero() {
			err = tenancy.ErrUnverified
		}
		if err != nil {
			return authn.Principal{}, err
		}
		account, err := accounts.AccountOf(ctx, db, user.ID, c.Wanted)
		if err != nil {
			return authn.Principal{}, err
		}
		return authn.Principal{Account: account, Actor: tenancy.Actor{Kind: tenancy.ActorUser, ID: string(user.ID)}}, nil
	}
}
