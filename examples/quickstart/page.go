package main

import (
	"embed"
	"errors"
	"html/template"
	"net/http"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/sessions"
	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
	"github.com/quitrent/quitrent/throttle"
)

//go:embed *.html
var files embed.FS

var templates = template.Must(template.ParseFS(files, "*.html"))

// site is the service for people: they sign up or in, and see what is theirs.
type site struct {
	db        *bun.DB
	accounts  *tenancy.Accounts
	passwords *authn.Passwords
	people    *sessions.Sessions
	keys      *authn.Keys
	ledger    *credits.Ledger
	tables    *owned.Tables
	limiter   *throttle.Limiter
}

func (s site) pages() http.Handler {
	signedIn := func(need tenancy.Capability, h http.HandlerFunc) http.Handler {
		cfg := authn.GuardConfig{OnError: func(w http.ResponseWriter, r *http.Request, err error) {
			if errors.Is(err, authn.ErrNoCredential) || errors.Is(err, authn.ErrBadCredential) {
				http.Redirect(w, r, "/signin", http.StatusSeeOther)
				return
			}
			tenancy.Refuse(w, r, err)
		}}
		return authn.NewGuard(s.accounts, cfg, s.people).Middleware(s.db, need)(s.limiter.Middleware(h))
	}
	mux := http.NewServeMux()
	show := func(pattern, name string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { render(w, http.StatusOK, name, map[string]any{}) })
	}
	show("GET /{$}", "signup.html")
	mux.HandleFunc("POST /{$}", s.signUp)
	show("GET /signin", "signin.html")
	mux.HandleFunc("POST /signin", s.signIn)
	mux.HandleFunc("POST /signout", s.signOut)
	mux.Handle("GET /ideas", signedIn(tenancy.Read, s.ideas))
	mayMint := s.accounts.Require(s.db, tenancy.PermKeysManage) // and who may: Issue does not ask
	mux.Handle("POST /ideas/key", signedIn(tenancy.MintKeys, mayMint(http.HandlerFunc(s.newKey)).ServeHTTP))
	return http.NewCrossOriginProtection().Handler(mux) // no other site may post the forms
}

// ideas lists what the account has bought, the last ones first.
func (s site) ideas(w http.ResponseWriter, r *http.Request) {
	scope := tenancy.From(r.Context())
	var orders []order
	balance, err := s.ledger.Balance(r.Context(), s.db, scope.Account)
	if err == nil {
		err = s.tables.For(r.Context(), s.db).NewSelect().Model(&orders).Order("entry DESC").Limit(10).Scan(r.Context())
	}
	if err != nil {
		tenancy.Refuse(w, r, err)
		return
	}
	data := map[string]any{"Scope": scope, "Credits": balance.Spendable, "Orders": orders}
	if scope.State.Status == tenancy.StatusTrial {
		data["TrialEnds"] = scope.State.TrialEndsAt.Format("2 January 2006")
	}
	render(w, http.StatusOK, "ideas.html", data)
}

// newKey makes an API key and shows it, this once.
func (s site) newKey(w http.ResponseWriter, r *http.Request) {
	scope := tenancy.From(r.Context())
	key, err := s.keys.Issue(r.Context(), s.db, authn.Issue{Account: scope.Account, Name: "from the page", Actor: scope.Actor})
	if err != nil {
		tenancy.Refuse(w, r, err)
		return
	}
	render(w, http.StatusCreated, "key.html", map[string]any{"Key": key.Secret, "Host": r.Host})
}

func render(w http.ResponseWriter, status int, name string, data any) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = templates.ExecuteTemplate(w, name, data)
}
