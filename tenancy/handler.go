package tenancy

import (
	"net/http"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/problem"
)

// Handler serves an account to itself, behind a middleware that enters it. Enter it
// with SignIn, so that people can be put out while the account owes money:
//
//	GET    /account
//	POST   /account/close                                 {"reason": "…"}
//	GET    /account/members                               {"members": […]}, with names and addresses
//	PUT    /account/members/{user}/roles                  {"roles": ["editor"], "reason": "…"}
//	PUT    /account/members/{user}/objects/{kind}/{id}    {"roles": ["editor"], "reason": "…"}
//	DELETE /account/members/{user}                        removes a member; anybody may leave
//	GET    /account/ownership                             the open offer
//	POST   /account/ownership                             {"user": "…", "reason": "…"} offers
//	POST   /account/ownership/accept                      {"reason": "…"}
//	DELETE /account/ownership                             declines the offer, or withdraws it
//
// The list takes members.read, as does an offer for those it was not made to; the
// others ask for what their verbs do. An API key may only GET /account.
//
// Closing is for the owner and needs an entry for SignIn|Pay, which also a suspended
// or an unpaid account has left; a route that enters for less answers with
// ErrForbidden.
func (a *Accounts) Handler(db *bun.DB) http.Handler {
	mux := problem.NewMux(a.cfg.OnError)
	a.people(mux, db)
	a.ownerships(mux, db)
	mux.Route("GET /account", func(w http.ResponseWriter, r *http.Request) error {
		account, err := a.Get(r.Context(), db, From(r.Context()).Account)
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, account)
		return nil
	})
	mux.Route("POST /account/close", func(w http.ResponseWriter, r *http.Request) error {
		s := From(r.Context())
		if s.Capability&(SignIn|Pay) != SignIn|Pay {
			return ErrForbidden
		}
		var body reason
		if err := problem.Decode(w, r, &body); err != nil {
			return err
		}
		account, err := a.Close(r.Context(), db, Close{Account: s.Account, Actor: s.Actor, Reason: body.Reason})
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, account)
		return nil
	})
	return mux
}

// reason is the body of what needs no more than one.
type reason struct {
	Reason string `json:"reason"`
}

// Operator serves accounts to those who run the service, as check allows:
//
//	GET  /accounts                     {"accounts": […], "next": "…"}, in the order of ids;
//	                                   ?plan=, ?status=, ?limit= (1 to 500), ?after= the next
//	GET  /accounts/{account}
//	POST /accounts/{account}/suspend   {"reason": "…"}
//	POST /accounts/{account}/resume    {"reason": "…"}
//	POST /accounts/{account}/close     {"reason": "…"}
//	POST /accounts/{account}/restore   {"reason": "…"}
//
// The list is what List reads, for an operator or the system (others: ErrForbidden, 403);
// a filter, a mark or a limit that makes no sense is answered with ErrInvalid (422). That
// somebody looked is not in the audit log.
func (a *Accounts) Operator(db *bun.DB, check Authorizer) http.Handler {
	mux := problem.NewMux(a.cfg.OnError)
	handle := func(pattern string, do func(r *http.Request, id AccountID, actor Actor, why string) (Account, error)) {
		mux.Route(pattern, func(w http.ResponseWriter, r *http.Request) error {
			actor, err := check.Authorize(r)
			if err != nil {
				return err
			}
			var body reason
			if r.Method == http.MethodPost {
				if err := problem.Decode(w, r, &body); err != nil {
					return err
				}
			}
			account, err := do(r, AccountID(r.PathValue("account")), actor, body.Reason)
			if err != nil {
				return err
			}
			problem.JSON(w, http.StatusOK, account)
			return nil
		})
	}
	mux.Route("GET /accounts", func(w http.ResponseWriter, r *http.Request) error {
		actor, err := check.Authorize(r)
		if err != nil {
			return err
		}
		if !actor.acrossAccounts() {
			return ErrForbidden
		}
		var page List
		if err := page.parse(r); err != nil {
			return err
		}
		found, err := page.read(r.Context(), db)
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, struct {
			Accounts []Account `json:"accounts"`
			Next     AccountID `json:"next,omitzero"`
		}{found, page.next(found)})
		return nil
	})
	handle("GET /accounts/{account}", func(r *http.Request, id AccountID, _ Actor, _ string) (Account, error) {
		return a.Get(r.Context(), db, id)
	})
	handle("POST /accounts/{account}/suspend", func(r *http.Request, id AccountID, actor Actor, why string) (Account, error) {
		return a.Suspend(r.Context(), db, Suspend{Account: id, Actor: actor, Reason: why})
	})
	handle("POST /accounts/{account}/resume", func(r *http.Request, id AccountID, actor Actor, why string) (Account, error) {
		return a.Resume(r.Context(), db, Resume{Account: id, Actor: actor, Reason: why})
	})
	handle("POST /accounts/{account}/close", func(r *http.Request, id AccountID, actor Actor, why string) (Account, error) {
		return a.Close(r.Context(), db, Close{Account: id, Actor: actor, Reason: why})
	})
	handle("POST /accounts/{account}/restore", func(r *http.Request, id AccountID, actor Actor, why string) (Account, error) {
		return a.Restore(r.Context(), db, Restore{Account: id, Actor: actor, Reason: why})
	})
	return mux
}
