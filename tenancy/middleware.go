package tenancy

import (
	"net/http"

	"github.com/uptrace/bun"
)

// Middleware lets a request through when the account that who names passes Check
// for everything in need (0 means Use), and puts its Scope into the context.
// authn's middleware does this for a credential; this one is for hosts that
// authenticate by other means. That a person belongs to the account is for who to ask,
// by AccountOf where the account is one that the request names: Enter takes its word.
// A refusal goes to Config.OnError.
func (a *Accounts) Middleware(db *bun.DB, who func(*http.Request) (AccountID, Actor, error), need Capability) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			account, actor, err := who(r)
			if err != nil {
				a.Refuse(w, r, err)
				return
			}
			ctx, err := a.Enter(r.Context(), db, account, actor, need)
			if err != nil {
				a.Refuse(w, r, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// Refuse answers r with err as Config.OnError says: for the packages above this one
// and for a host's own handlers, so that every refusal looks alike.
func (a *Accounts) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	a.cfg.OnError(w, r, err)
}
