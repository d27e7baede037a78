package authn

import (
	"context"
	"errors"
	"net/http"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// Middleware asks the authenticators in order who is calling and enters the
// account for everything in need (0 means tenancy.Use), so that tenancy.From finds
// it in next. The first one that knows the credential decides: a bad one is never
// tried as another kind. A refusal goes to the OnError of accounts, with a
// WWW-Authenticate line for each Challenger if it is a 401.
func Middleware(db *bun.DB, accounts *tenancy.Accounts, need tenancy.Capability, auth ...Authenticator) func(http.Handler) http.Handler {
	refuse := func(w http.ResponseWriter, r *http.Request, err error) {
		nobody := func(*http.Request) (tenancy.AccountID, tenancy.Actor, error) { return "", tenancy.Actor{}, err }
		accounts.Middleware(db, nobody, need)(nil).ServeHTTP(w, r)
	}
	return middleware(db, accounts, need, refuse, auth)
}

// Middleware is the package's Middleware for keys alone, with the OnError of k.
func (k *Keys) Middleware(db *bun.DB, need tenancy.Capability) func(http.Handler) http.Handler {
	return middleware(db, k.accounts, need, k.onError, []Authenticator{k})
}

// Middleware is the package's Middleware for passwords alone, with the OnError of p.
func (p *Passwords) Middleware(db *bun.DB, need tenancy.Capability) func(http.Handler) http.Handler {
	return middleware(db, p.accounts, need, p.cfg.OnError, []Authenticator{p})
}

func middleware(db *bun.DB, accounts *tenancy.Accounts, need tenancy.Capability,
	refuse func(w http.ResponseWriter, r *http.Request, err error), auth []Authenticator,
) func(http.Handler) http.Handler {
	enter := func(r *http.Request) (context.Context, error) {
		who, err := first(r, db, auth)
		if err != nil {
			return nil, err
		}
		return accounts.Enter(r.Context(), db, who.Account, who.Actor, need)
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, err := enter(r)
			if err != nil {
				challenge(w.Header(), err, auth)
				refuse(w, r, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// first is the principal of the first authenticator that knows the credential.
func first(r *http.Request, db bun.IDB, auth []Authenticator) (Principal, error) {
	for _, a := range auth {
		who, err := a.Authenticate(r.Context(), db, r)
		if !errors.Is(err, ErrNoCredential) {
			return who, err
		}
	}
	if _, _, err := credential(r); err != nil {
		return Principal{}, err
	}
	return Principal{}, ErrBadCredential // there is one, and nobody knows it
}

func challenge(h http.Header, err error, auth []Authenticator) {
	if status, _, _ := problem.Of(err); status != http.StatusUnauthorized {
		return
	}
	for _, a := range auth {
		if c, ok := a.(Challenger); ok {
			h.Add("WWW-Authenticate", c.Challenge())
		}
	}
}
