package tokens

import (
	"fmt"
	"net/http"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// Handler makes tokens for whoever shows a credential that Config.From knows, in the
// request as authn.Guard.FromRequest finds it. No other middleware needs to stand in
// front, apart from a limit.
//
//	POST /token    {"scope": "content.read", "may": "read+write", "expires_in": 60}
//
// The body is a JSON object, {} at least. Each member may be left out; scope is a list
// with spaces between, expires_in in seconds. A token ends with a whole second of the
// clock, so expires_in of the answer may be one less. The answer is that of RFC 6749,
// section 5.1, and a refusal a problem:
//
//	{"access_token": "…", "token_type": "Bearer", "expires_in": 60, "scope": "content.read"}
func (t *Tokens) Handler(db *bun.DB) http.Handler {
	mux := problem.NewMux(t.cfg.OnError)
	mux.Route("POST /token", func(w http.ResponseWriter, r *http.Request) error {
		m, err := t.wanted(w, r)
		if err != nil {
			return err
		}
		made, err := t.Mint(r.Context(), db, m)
		if err != nil {
			return err
		}
		w.Header().Set("Pragma", "no-cache") // beside no-store, as the RFC asks
		problem.JSON(w, http.StatusOK, struct {
			AccessToken string `json:"access_token"`
			TokenType   string `json:"token_type"`
			ExpiresIn   int64  `json:"expires_in"`
			Scope       string `json:"scope,omitempty"`
		}{made.Token, "Bearer", max(0, int64(made.ExpiresAt.Sub(t.now())/time.Second)), scope(made.Scopes)})
		return nil
	})
	return mux
}

// wanted reads a request for a token.
func (t *Tokens) wanted(w http.ResponseWriter, r *http.Request) (m Mint, err error) {
	if t.cfg.From == nil {
		return Mint{}, problem.ErrNotFound
	}
	if m.Credential, err = t.cfg.From.FromRequest(r); err != nil {
		return Mint{}, err
	}
	var body struct {
		Scope     string `json:"scope"`
		May       string `json:"may"`
		ExpiresIn *int64 `json:"expires_in"`
	}
	if err := problem.Decode(w, r, &body); err != nil {
		return Mint{}, err
	}
	m.Scopes = permissions(body.Scope)
	if body.May != "" {
		var ok bool
		if m.May, ok = tenancy.ParseCapability(body.May); !ok {
			return Mint{}, fmt.Errorf("%w: may is made of %v", tenancy.ErrInvalid, mayCarry)
		}
	}
	if body.ExpiresIn != nil {
		longest := int64(t.cfg.Lifetime / time.Second)
		if *body.ExpiresIn < 1 || *body.ExpiresIn > longest {
			return Mint{}, fmt.Errorf("%w: expires_in is 1 to %d seconds", tenancy.ErrInvalid, longest)
		}
		m.Lifetime = time.Duration(*body.ExpiresIn) * time.Second
	}
	return m, nil
}

// JWKS publishes the public keys as a JWK Set (RFC 7517, RFC 8037), for services that
// verify tokens by themselves. Such a service learns of no revocation: a token is good
// there until it expires.
//
//	GET /.well-known/jwks.json
func (t *Tokens) JWKS() http.Handler {
	mux := problem.NewMux(t.cfg.OnError)
	mux.Route("GET /.well-known/jwks.json", func(w http.ResponseWriter, _ *http.Request) error {
		h := w.Header()
		h.Set("Content-Type", "application/jwk-set+json")
		h.Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(t.ring.jwks)
		return nil
	})
	return mux
}
