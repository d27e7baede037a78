package tokens_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/emails"
	"github.com/quitrent/quitrent/authn/tokens"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// provider is an identity provider: its keys, behind a server that can fail.
type provider struct {
	server *httptest.Server

	mu     sync.Mutex
	keys   map[string]crypto.Signer
	answer func(w http.ResponseWriter) bool // true: that was all
	asked  int
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{keys: map[string]crypto.Signer{"1": signer("1")}}
	p.server = httptest.NewServer(p)
	t.Cleanup(p.server.Close)
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.answer != nil && p.answer(w) {
		return
	}
	set := []map[string]string{{"kty": "oct", "kid": "secret", "k": "AAAA"}, {"kty": "EC", "kid": "half", "crv": "P-256"}}
	for id, key := range p.keys {
		set = append(set, public(id, key))
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"keys": set})
}

// public is the JWK of a key.
func public(id string, key crypto.Signer) map[string]string {
	switch k := key.Public().(type) {
	case ed25519.PublicKey:
		return map[string]string{"kty": "OKP", "kid": id, "crv": "Ed25519", "x": part([]byte(k))}
	case *ecdsa.PublicKey:
		b, _ := k.Bytes()
		n := len(b) / 2
		return map[string]string{"kty": "EC", "kid": id, "crv": k.Params().Name, "x": part(b[1 : n+1]), "y": part(b[n+1:])}
	case *rsa.PublicKey:
		return map[string]string{"kty": "RSA", "kid": id, "use": "sig", "n": part(k.N.Bytes()), "e": part(big.NewInt(int64(k.E)).Bytes())}
	}
	panic("no such key")
}

// set changes what the provider publishes and answers.
func (p *provider) set(fn func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fn()
}

func (p *provider) down(w http.ResponseWriter) bool {
	w.WriteHeader(http.StatusBadGateway)
	return true
}

func (p *provider) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

const (
	idp = "https://id.example.com/realms/main"
	us  = "quitrent-api"
)

func standard(at time.Time) map[string]any {
	return map[string]any{
		"iss": idp, "aud": []string{"account", us}, "sub": "u-1", "iat": at.Unix(), "exp": at.Add(5 * time.Minute).Unix(),
		"email": "Ada@example.com", "email_verified": true,
	}
}

// by is a token of the provider.
func by(key crypto.Signer, kid, algorithm string, claims map[string]any) string {
	t := jwt.NewWithClaims(jwt.GetSigningMethod(algorithm), jwt.MapClaims(claims))
	t.Header["kid"] = kid
	text, err := t.SignedString(key)
	if err != nil {
		panic(err)
	}
	return text
}

// anybody is a Map for tests without users.
func anybody(_ context.Context, _ bun.IDB, c tokens.Claims) (authn.Principal, error) {
	return authn.Principal{Account: "acc_1", Actor: tenancy.Actor{Kind: tenancy.ActorUser, ID: c.Subject}}, nil
}

func external(t *testing.T, p *provider, clock *tenancytest.Clock, change func(c *tokens.ExternalConfig)) *tokens.External {
	t.Helper()
	cfg := tokens.ExternalConfig{Issuer: idp, Audience: us, JWKSURL: p.server.URL, Map: anybody, Now: clock.Now}
	if change != nil {
		change(&cfg)
	}
	x, err := tokens.NewExternal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func ask(t *testing.T, x *tokens.External, token string) error {
	t.Helper()
	_, err := x.Authenticate(t.Context(), nil, bearer(token))
	return err
}

// M12: somebody whom an identity provider knows enters the account as the user.
func TestM12_ATokenOfAnIdentityProviderFindsItsUser(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		h, p := newHouse(t, db), newProvider(t)
		x := external(t, p, h.clock, func(c *tokens.ExternalConfig) { c.Map = tokens.VerifiedEmail(h.accounts) })
		guard := authn.NewGuard(h.accounts, authn.GuardConfig{}, h.keys, h.tokens, x)
		bob := tenancytest.Register(t, db, h.accounts, "bob@example.com")
		if _, err := h.accounts.CreateUser(t.Context(), db, tenancy.CreateUser{Email: "eve@example.com", Name: "Eve"}); err != nil {
			t.Fatal(err)
		}
		for _, email := range []string{"ada@example.com", "eve@example.com"} {
			prove(t, db, h.accounts, email)
		}
		token := func(change map[string]any) string {
			c := standard(t0)
			maps.Copy(c, change)
			return by(signer("1"), "1", "EdDSA", c)
		}
		s, err := guard.Check(t.Context(), db, bearer(token(nil)), tenancy.SignIn|tenancy.Use)
		wantErr(t, "ada", err, nil)
		want := tenancy.Scope{
			Account: h.ada.Account.ID, Actor: userOf(h.ada), Capability: tenancy.SignIn | tenancy.Use,
			Bounds: &tenancy.Bounds{ExpiresAt: t0.Truncate(time.Second).Add(5 * time.Minute)}, State: s.State, Plan: s.Plan,
		}
		if d := cmp.Diff(want, s); d != "" {
			t.Error(d)
		}
		for what, tc := range map[string]struct {
			change  map[string]any
			account tenancy.AccountID
			want    error
		}{
			"not verified":          {map[string]any{"email_verified": false}, "", authn.ErrBadCredential},
			"verified, in words":    {map[string]any{"email_verified": "true"}, "", authn.ErrBadCredential},
			"nothing of it":         {map[string]any{"email_verified": nil}, "", authn.ErrBadCredential},
			"nobody here":           {map[string]any{"email": "mallory@example.com"}, "", authn.ErrBadCredential},
			"claimed and not shown": {map[string]any{"email": "bob@example.com"}, "", tenancy.ErrUnverified},
			"no address":            {map[string]any{"email": nil}, "", authn.ErrBadCredential},
			"many addresses":        {map[string]any{"email": []string{"ada@example.com"}}, "", authn.ErrBadCredential},
			"a user of no account":  {map[string]any{"email": "eve@example.com"}, "", tenancy.ErrNoAccount},
			"the account by name":   {nil, h.ada.Account.ID, nil},
			"somebody else's":       {nil, bob.Account.ID, tenancy.ErrNoAccount},
			"no subject":            {map[string]any{"sub": ""}, "", authn.ErrBadCredential},
			"a subject in no words": {map[string]any{"sub": 7}, "", authn.ErrBadCredential},
		} {
			_, err := guard.Check(t.Context(), db, authn.Credential{Scheme: "bearer", Value: token(tc.change), Account: tc.account}, 0)
			wantErr(t, what, err, tc.want)
		}

		// Ours stands beside it, and may be made of it.
		own, err := tokens.New(h.accounts, tokens.Config{
			Issuer: issuer, Audience: audience, Keys: []tokens.Key{{ID: "a", Private: signer("a")}}, Now: h.clock.Now,
			From: authn.NewGuard(h.accounts, authn.GuardConfig{}, x),
		})
		if err != nil {
			t.Fatal(err)
		}
		short := token(map[string]any{"exp": t0.Add(time.Minute).Unix()})
		made, err := own.Mint(t.Context(), db, tokens.Mint{Credential: bearer(short)})
		wantErr(t, "one of ours", err, nil)
		if want := t0.Add(time.Minute).Truncate(time.Second); !made.ExpiresAt.Equal(want) {
			t.Errorf("it ends at %v", made.ExpiresAt)
		}
		_, err = guard.Check(t.Context(), db, bearer(made.Token), 0)
		wantErr(t, "through the same guard", err, nil)
	}, authn.Migrate)
}

func TestExternal_TakesEveryAlgorithmThatIsNamed(t *testing.T) {
	p, clock := newProvider(t), tenancytest.NewClock(t0)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	ec := func(c elliptic.Curve) crypto.Signer {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	p.set(func() {
		p.keys["rsa"], p.keys["weak"] = rsaKey, weak
		p.keys["p256"], p.keys["p384"], p.keys["p521"] = ec(elliptic.P256()), ec(elliptic.P384()), ec(elliptic.P521())
	})
	every := []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	x := external(t, p, clock, func(c *tokens.ExternalConfig) { c.Algorithms = every })
	few := external(t, p, clock, nil)
	for algorithm, kid := range map[string]string{
		"RS256": "rsa", "RS384": "rsa", "RS512": "rsa", "PS256": "rsa", "PS384": "rsa", "PS512": "rsa",
		"ES256": "p256", "ES384": "p384", "ES512": "p521", "EdDSA": "1",
	} {
		token := by(p.keys[kid], kid, algorithm, standard(t0))
		wantErr(t, algorithm, ask(t, x, token), nil)
		want := authn.ErrBadCredential
		switch algorithm {
		case "RS256", "PS256", "ES256", "EdDSA":
			want = nil
		}
		wantErr(t, algorithm+" by default", ask(t, few, token), want)
	}
	for what, token := range map[string]string{
		"a weak key":          by(weak, "weak", "RS256", standard(t0)),
		"a key of another id": by(rsaKey, "1", "RS256", standard(t0)),
		"a curve that is not": by(p.keys["p384"], "p384", "ES384", standard(t0))[1:],
	} {
		if err := ask(t, x, token); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func TestExternal_Refuses(t *testing.T) {
	p, clock := newProvider(t), tenancytest.NewClock(t0)
	x := external(t, p, clock, nil)
	with := func(change map[string]any) string {
		c := standard(t0)
		for k, v := range change {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
		return by(signer("1"), "1", "EdDSA", c)
	}
	body, _ := json.Marshal(standard(t0))
	head := func(text string) string { return signed(signer("1"), text, body) }
	good := with(nil)
	wantErr(t, "the token", ask(t, x, good), nil)
	wantErr(t, "one for us alone", ask(t, x, with(map[string]any{"aud": us})), nil)
	wantErr(t, "an access token", ask(t, x, head(`{"alg":"EdDSA","kid":"1","typ":"application/at+JWT","x5t":"x"}`)), nil)
	pub, _ := json.Marshal(public("1", signer("1")))
	mac := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims(standard(t0)))
	mac.Header["kid"] = "1"
	hs, _ := mac.SignedString(pub)
	mac.Header["kid"] = "secret"
	hsOct, _ := mac.SignedString([]byte{0, 0, 0})
	none := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims(standard(t0)))
	none.Header["kid"] = "1"
	unsigned, _ := none.SignedString(jwt.UnsafeAllowNoneSignatureType)
	for what, token := range map[string]string{
		"another audience":    with(map[string]any{"aud": "account"}),
		"no audience":         with(map[string]any{"aud": nil}),
		"an odd audience":     with(map[string]any{"aud": map[string]any{us: us}}),
		"no end":              with(map[string]any{"exp": nil}),
		"over":                with(map[string]any{"exp": t0.Unix() - 6}),
		"an end without end":  with(map[string]any{"exp": json.Number("1e300")}),
		"not yet":             with(map[string]any{"nbf": t0.Unix() + 7}),
		"bound to a key":      with(map[string]any{"cnf": map[string]any{"jkt": "x"}}),
		"another's signature": by(signer("2"), "1", "EdDSA", standard(t0)),
		"a key that is not":   by(signer("1"), "2", "EdDSA", standard(t0)),
		"a shared secret":     hs,
		"its shared secret":   hsOct,
		"no key":              head(`{"alg":"EdDSA","typ":"JWT"}`),
		"crit":                head(`{"alg":"EdDSA","kid":"1","crit":["b64"],"b64":false}`),
		"an empty crit":       head(`{"alg":"EdDSA","kid":"1","crit":[]}`),
		"a logout":            head(`{"alg":"EdDSA","kid":"1","typ":"logout+jwt"}`),
		"another's kind":      head(`{"alg":"EdDSA","kid":"1","typ":"dpop+jwt"}`),
		"another alg":         head(`{"alg":"RS256","kid":"1"}`),
		"an alg unheard of":   head(`{"alg":"eddsa","kid":"1"}`),
		"no alg":              head(`{"kid":"1"}`),
	} {
		err := ask(t, x, token)
		wantErr(t, what, err, authn.ErrBadCredential)
		if err != nil && err.Error() != authn.ErrBadCredential.Error() {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, token := range map[string]string{
		"another issuer":       with(map[string]any{"iss": idp + "/"}),
		"no issuer":            with(map[string]any{"iss": nil}),
		"an issuer of numbers": with(map[string]any{"iss": 7}),
		"no signature":         unsigned,
		"a key":                "qr_live_x",
		"garbage":              "a.b.c",
		"too long":             with(map[string]any{"x": strings.Repeat("x", tokens.MaxToken)}),
		"four parts":           good + ".x",
		"a line end":           good + "\n",
		"a claim said twice":   signed(signer("1"), `{"alg":"EdDSA","kid":"1"}`, `{"iss":"`+idp+`","sub":"a","sub":"b"}`),
		"once in capitals":     signed(signer("1"), `{"alg":"EdDSA","kid":"1"}`, `{"iss":"`+idp+`","sub":"a","SUB":"b"}`),
		"twice deep inside":    signed(signer("1"), `{"alg":"EdDSA","kid":"1"}`, `{"iss":"`+idp+`","a":[{"b":1,"b":2}]}`),
		"an alg said twice":    head(`{"alg":"EdDSA","alg":"none","kid":"1"}`),
		"two objects":          signed(signer("1"), `{"alg":"EdDSA","kid":"1"}`, string(body)+"{}"),
		"too deep":             signed(signer("1"), `{"alg":"EdDSA","kid":"1"}`, `{"iss":"`+idp+`","a":`+strings.Repeat("[", 20)+strings.Repeat("]", 20)+`}`),
	} {
		wantErr(t, what, ask(t, x, token), authn.ErrNoCredential)
	}
	_, err := x.Authenticate(t.Context(), nil, authn.Credential{Scheme: "basic", Value: good})
	wantErr(t, "another scheme", err, authn.ErrNoCredential)
}

func TestExternal_AsksOnceWhileTheKeysAreFresh(t *testing.T) {
	p, clock := newProvider(t), tenancytest.NewClock(t0)
	x := external(t, p, clock, nil)
	if p.count() != 0 {
		t.Error("the provider was asked before a token came")
	}
	for range 20 {
		wantErr(t, "a token", ask(t, x, by(signer("1"), "1", "EdDSA", standard(t0))), nil)
	}
	clock.Advance(10*time.Minute - time.Nanosecond)
	wantErr(t, "fresh", ask(t, x, by(signer("1"), "1", "EdDSA", standard(clock.Now()))), nil)
	if p.count() != 1 {
		t.Errorf("asked %d times", p.count())
	}
	clock.Advance(time.Nanosecond)
	wantErr(t, "aged", ask(t, x, by(signer("1"), "1", "EdDSA", standard(clock.Now()))), nil)
	if p.count() != 2 {
		t.Errorf("asked %d times", p.count())
	}
}

func TestExternal_FollowsTheProvidersKeys(t *testing.T) {
	p, clock := newProvider(t), tenancytest.NewClock(t0)
	x := external(t, p, clock, nil)
	old := by(signer("1"), "1", "EdDSA", standard(t0))
	wantErr(t, "the first key", ask(t, x, old), nil)
	p.set(func() { p.keys["2"] = signer("2") })
	wantErr(t, "a new key, at once", ask(t, x, by(signer("2"), "2", "EdDSA", standard(t0))), nil)
	wantErr(t, "the first key still", ask(t, x, old), nil)
	p.set(func() { delete(p.keys, "1") })
	wantErr(t, "an end not learnt of", ask(t, x, old), nil)
	clock.Advance(10 * time.Minute)
	wantErr(t, "and now it is", ask(t, x, by(signer("1"), "1", "EdDSA", standard(clock.Now()))), authn.ErrBadCredential)
	p.set(func() { clear(p.keys) })
	clock.Advance(10 * time.Minute)
	wantErr(t, "no keys at all", ask(t, x, by(signer("2"), "2", "EdDSA", standard(clock.Now()))), authn.ErrBadCredential)
}

// Ten thousand tokens of made-up keys ask the provider no more often than five.
func TestExternal_MadeUpKeysDoNotHammerTheProvider(t *testing.T) {
	p, clock := newProvider(t), tenancytest.NewClock(t0)
	x := external(t, p, clock, nil)
	for i := range 10_000 {
		wantErr(t, "made up", ask(t, x, part(fmt.Sprintf(`{"alg":"EdDSA","kid":"k%d"}`, i))+"."+part(standard(t0))+".AAAA"), authn.ErrBadCredential)
	}
	if p.count() != 5 {
		t.Errorf("asked %d times", p.count())
	}
	wantErr(t, "a good one meanwhile", ask(t, x, by(signer("1"), "1", "EdDSA", standard(t0))), nil)
	p.set(func() { p.keys["2"] = signer("2") })
	fresh := by(signer("2"), "2", "EdDSA", standard(t0))
	wantErr(t, "a new key must wait", ask(t, x, fresh), authn.ErrBadCredential)
	clock.Advance(30 * time.Second)
	wantErr(t, "but not long", ask(t, x, fresh), nil)
	if p.count() != 6 {
		t.Errorf("asked %d times", p.count())
	}
}

func TestExternal_ManyAtOnceAskOnce(t *testing.T) {
	p, clock := newProvider(t), tenancytest.NewClock(t0)
	x := external(t, p, clock, nil)
	token := by(signer("1"), "1", "EdDSA", standard(t0))
	for _, err := range dbtest.Together(50, func(int) error { return ask(t, x, token) }) {
		wantErr(t, "one of many", err, nil)
	}
	if p.count() != 1 {
		t.Errorf("asked %d times", p.count())
	}
}

// unsure reports that err is answered with 503.
func unsure(err error) bool {
	w := httptest.NewRecorder()
	tenancy.Refuse(w, httptest.NewRequest("GET", "/", nil), err)
	return err != nil && w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") != ""
}

func TestExternal_OutlastsAnOutageForAWhile(t *testing.T) {
	p, clock := newProvider(t), tenancytest.NewClock(t0)
	x := external(t, p, clock, func(c *tokens.ExternalConfig) { c.Outage = 20 * time.Minute })
	now := func() string { return by(signer("1"), "1", "EdDSA", standard(clock.Now())) }
	p.set(func() { p.answer = p.down })
	if err := ask(t, x, now()); !unsure(err) {
		t.Errorf("never reached: %v", err)
	}
	clock.Advance(time.Minute)
	p.set(func() { p.answer = nil })
	wantErr(t, "reached", ask(t, x, now()), nil)

	p.set(func() { p.answer = p.down })
	if err := ask(t, x, by(signer("2"), "2", "EdDSA", standard(clock.Now()))); !unsure(err) {
		t.Errorf("a key that may be new, the others fresh: %v", err)
	}
	clock.Advance(10 * time.Minute)
	wantErr(t, "aged", ask(t, x, now()), nil)
	if err := ask(t, x, by(signer("2"), "2", "EdDSA", standard(clock.Now()))); !unsure(err) {
		t.Errorf("a key that may be new: %v", err)
	}
	clock.Advance(20*time.Minute - time.Second)
	wantErr(t, "nearly too old", ask(t, x, now()), nil)
	clock.Advance(time.Second)
	if err := ask(t, x, now()); !unsure(err) {
		t.Errorf("too old: %v", err)
	}
	clock.Advance(time.Minute)
	p.set(func() { p.answer = nil })
	wantErr(t, "it is back", ask(t, x, now()), nil)
	wantErr(t, "a key that is not", ask(t, x, by(signer("2"), "2", "EdDSA", standard(clock.Now()))), authn.ErrBadCredential)
}

// Who waits for the provider stops when the request does, and others go on waiting.
func TestExternal_WaitingEndsWithTheRequest(t *testing.T) {
	p, clock := newProvider(t), tenancytest.NewClock(t0)
	asked, release := make(chan struct{}), make(chan struct{})
	p.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-release
		p.ServeHTTP(w, r)
	})
	x := external(t, p, clock, nil)
	token := by(signer("1"), "1", "EdDSA", standard(t0))
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := x.Authenticate(ctx, nil, bearer(token))
		first <- err
	}()
	<-asked
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	second := make(chan error)
	go func() { second <- ask(t, x, token) }()
	close(release)
	wantErr(t, "another", <-second, nil)
}

func TestExternal_BelievesNoOddAnswer(t *testing.T) {
	for what, answer := range map[string]func(w http.ResponseWriter) bool{
		"a page": func(w http.ResponseWriter) bool { fmt.Fprint(w, "<html>"); return true },
		"no set": func(w http.ResponseWriter) bool { fmt.Fprint(w, "{}"); return true },
		"null":   func(w http.ResponseWriter) bool { fmt.Fprint(w, `{"keys":null}`); return true },
		"too much": func(w http.ResponseWriter) bool {
			fmt.Fprint(w, `{"keys":[]}`, strings.Repeat(" ", 1<<20))
			return true
		},
		"too many": func(w http.ResponseWriter) bool {
			fmt.Fprint(w, `{"keys":[`, strings.Repeat("{},", 100), `{}]}`)
			return true
		},
		"another status": func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusAccepted); return false },
		"elsewhere": func(w http.ResponseWriter) bool {
			w.Header().Set("Location", "/keys")
			w.WriteHeader(http.StatusFound)
			return false
		},
	} {
		p, clock := newProvider(t), tenancytest.NewClock(t0)
		p.answer = answer
		if err := ask(t, external(t, p, clock, nil), by(signer("1"), "1", "EdDSA", standard(t0))); !unsure(err) {
			t.Errorf("%s: %v", what, err)
		}
		if p.count() != 1 {
			t.Errorf("%s: asked %d times", what, p.count())
		}
	}
}

func TestExternal_TheMapHasTheLastWord(t *testing.T) {
	p, clock := newProvider(t), tenancytest.NewClock(t0)
	token := by(signer("1"), "1", "EdDSA", standard(t0))
	for what, want := range map[string]error{"a refusal": tenancy.ErrForbidden, "a fault": errors.New("the table is gone")} {
		x := external(t, p, clock, func(c *tokens.ExternalConfig) {
			c.Map = func(context.Context, bun.IDB, tokens.Claims) (authn.Principal, error) { return authn.Principal{}, want }
		})
		wantErr(t, what, ask(t, x, token), want)
	}
	sooner, end := t0.Add(time.Minute), t0.Truncate(time.Second).Add(5*time.Minute)
	x := external(t, p, clock, func(c *tokens.ExternalConfig) {
		c.Map = func(_ context.Context, _ bun.IDB, got tokens.Claims) (authn.Principal, error) {
			if got.Issuer != idp || got.Subject != "u-1" || !got.ExpiresAt.Equal(end) || got.Text("email") != "Ada@example.com" || got.Wanted != "acc_1" || got.Text("exp") != "" {
				t.Errorf("got %+v", got)
			}
			return authn.Principal{Account: "acc_1", Bounds: &tenancy.Bounds{ExpiresAt: sooner}}, nil
		}
	})
	who, err := x.Authenticate(t.Context(), nil, authn.Credential{Scheme: "bearer", Value: token, Account: "acc_1"})
	if err != nil || !who.Bounds.ExpiresAt.Equal(sooner) {
		t.Errorf("%+v %v", who, err)
	}
	sooner = end.Add(time.Hour) // which the token does not give
	who, err = x.Authenticate(t.Context(), nil, authn.Credential{Scheme: "bearer", Value: token, Account: "acc_1"})
	if err != nil || !who.Bounds.ExpiresAt.Equal(end) {
		t.Errorf("%+v %v", who, err)
	}
}

func TestNewExternal_RefusesWhatCannotBeRight(t *testing.T) {
	for what, tc := range map[string]struct {
		change func(c *tokens.ExternalConfig)
		says   string
	}{
		"no issuer":         {func(c *tokens.ExternalConfig) { c.Issuer = "" }, "Issuer"},
		"no audience":       {func(c *tokens.ExternalConfig) { c.Audience = "" }, "Audience"},
		"no map":            {func(c *tokens.ExternalConfig) { c.Map = nil }, "Map"},
		"no address":        {func(c *tokens.ExternalConfig) { c.JWKSURL = "" }, "JWKSURL"},
		"http":              {func(c *tokens.ExternalConfig) { c.JWKSURL = "http://id.example.com/keys" }, "https"},
		"http, like here":   {func(c *tokens.ExternalConfig) { c.JWKSURL = "http://localhost.example.com/keys" }, "https"},
		"a file":            {func(c *tokens.ExternalConfig) { c.JWKSURL = "file://localhost/keys" }, "https"},
		"a password in it":  {func(c *tokens.ExternalConfig) { c.JWKSURL = "https://a:b@id.example.com/keys" }, "address"},
		"a shared secret":   {func(c *tokens.ExternalConfig) { c.Algorithms = []string{"ES256", "HS256"} }, "HS256"},
		"no signature":      {func(c *tokens.ExternalConfig) { c.Algorithms = []string{"none"} }, "none"},
		"always asking":     {func(c *tokens.ExternalConfig) { c.MaxAge = time.Second }, "age"},
		"other clocks":      {func(c *tokens.ExternalConfig) { c.Leeway = time.Minute }, "leeway"},
		"nothing":           {func(*tokens.ExternalConfig) {}, ""},
		"http, this system": {func(c *tokens.ExternalConfig) { c.JWKSURL = "http://[::1]:8080/keys" }, ""},
	} {
		cfg := tokens.ExternalConfig{Issuer: idp, Audience: us, JWKSURL: "https://id.example.com/keys", Map: anybody}
		tc.change(&cfg)
		_, err := tokens.NewExternal(cfg)
		if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// prove has the owner of an address show that it is theirs.
func prove(t *testing.T, db bun.IDB, accounts *tenancy.Accounts, email string) {
	t.Helper()
	user, err := accounts.UserByEmail(t.Context(), db, email)
	if err == nil {
		_, err = accounts.MarkVerified(t.Context(), db, tenancy.MarkVerified{User: user.ID, Email: email, Actor: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op"}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// M12: whoever has signed up with somebody else's address waits in vain for them to come
// in by an identity provider. They come in by a reset, and then nothing of the
// stranger's opens anything.
func TestM12_ATokenOfAnIdentityProviderLeadsIntoNoStrangersUser(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		h, p := newHouse(t, db), newProvider(t)
		x := external(t, p, h.clock, func(c *tokens.ExternalConfig) { c.Map = tokens.VerifiedEmail(h.accounts) })
		passwords := authn.NewPasswords(h.accounts, authn.PasswordConfig{Now: h.clock.Now})
		squat, err := passwords.Register(t.Context(), db, tenancy.Register{Name: "Squat", Email: "victim@example.com"}, "tall green giraffes")
		if err != nil {
			t.Fatal(err)
		}
		key, err := h.keys.Issue(t.Context(), db, authn.Issue{Account: squat.Account.ID, Name: "evil", Actor: userOf(squat), Scopes: []tenancy.Permission{"*"}})
		if err != nil {
			t.Fatal(err)
		}
		claims := standard(t0)
		claims["email"] = "Victim@example.com"
		token := bearer(by(signer("1"), "1", "EdDSA", claims))
		guard := authn.NewGuard(h.accounts, authn.GuardConfig{}, h.keys, h.tokens, x)
		_, err = guard.Check(t.Context(), db, token, tenancy.SignIn)
		wantErr(t, "into the stranger's user", err, tenancy.ErrUnverified)

		mails := emails.New(h.accounts, passwords, emails.Config{Now: h.clock.Now, Keys: h.keys})
		reset, err := mails.IssueReset(t.Context(), db, emails.IssueReset{Email: "victim@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mails.Reset(t.Context(), db, emails.Reset{Token: reset.Token, Password: "short blue elephants"}); err != nil {
			t.Fatal(err)
		}
		s, err := guard.Check(t.Context(), db, token, tenancy.SignIn)
		if err != nil || s.Actor != userOf(squat) {
			t.Errorf("after the reset: %+v, %v", s.Actor, err)
		}
		_, err = passwords.SignIn(t.Context(), db, authn.SignIn{Email: "victim@example.com", Password: "tall green giraffes"})
		wantErr(t, "the stranger's password", err, authn.ErrBadCredential)
		_, err = h.keys.Verify(t.Context(), db, key.Secret, 0)
		wantErr(t, "the stranger's key", err, authn.ErrBadCredential)
	}, authn.Migrate)
}
