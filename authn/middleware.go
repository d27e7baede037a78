package authn

import (
	"net/http"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// Middleware is Enter for the credential that FromRequest finds, so that
// tenancy.From finds the account in next. A refusal goes to the OnError of accounts,
// with a WWW-Authenticate line for each Challenger if it is a 401.
func Middleware(db *bun.DB, accounts *tenancy.Accounts, need tenancy.Capability, auth ...Authenticator) func(http.Handler) http.Handler {
	return middleware(db, accounts, need, accounts.Refuse, auth)
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
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			c, err := FromRequest(r)
			if err == nil {
				ctx, err = Enter(ctx, db, accounts, need, c, auth...)
			}
			if err != nil {
				challenge(w.Header(), err, auth)
				refuse(w, r, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
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
