package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
)

//go:embed *.html
var pages embed.FS

var templates = template.Must(template.ParseFS(pages, "*.html"))

// signUpPage is the sign-up for people: the form, and after it the account with its
// key, shown once.
func signUpPage(db *bun.DB, passwords *authn.Passwords, keys *authn.Keys, ledger *credits.Ledger) http.Handler {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			render(w, http.StatusOK, "signup.html", map[string]any{})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 1<<16)
		if err := r.ParseForm(); err != nil {
			tenancy.Refuse(w, r, fmt.Errorf("%w: the form cannot be read", tenancy.ErrInvalid))
			return
		}
		if err := passwords.MaySignUp(r); err != nil {
			tenancy.Refuse(w, r, err)
			return
		}
		form := tenancy.Register{Name: r.PostFormValue("name"), Email: r.PostFormValue("email")}
		var key authn.Issued
		var balance credits.Balance
		form.Then = func(ctx context.Context, tx bun.IDB, made tenancy.Registered) (err error) {
			actor := tenancy.Actor{Kind: tenancy.ActorUser, ID: string(made.User.ID)}
			if key, err = keys.Issue(ctx, tx, authn.Issue{Account: made.Account.ID, Name: authn.FirstKey, Actor: actor}); err != nil {
				return err
			}
			balance, err = ledger.Balance(ctx, tx, made.Account.ID)
			return err
		}
		made, err := passwords.Register(r.Context(), db, form, r.PostFormValue("password"))
		switch {
		case errors.Is(err, tenancy.ErrEmailTaken), errors.Is(err, tenancy.ErrInvalid), errors.Is(err, authn.ErrWeakPassword):
			render(w, http.StatusUnprocessableEntity, "signup.html", map[string]any{"Problem": err, "Name": form.Name, "Email": form.Email})
		case err != nil:
			tenancy.Refuse(w, r, err)
		default:
			render(w, http.StatusCreated, "welcome.html", map[string]any{
				"Account": made.Account, "Credits": balance.Spendable, "Key": key.Secret, "Host": r.Host,
			})
		}
	})
	return http.NewCrossOriginProtection().Handler(page) // no other site may post the form
}

func render(w http.ResponseWriter, status int, name string, data any) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = templates.ExecuteTemplate(w, name, data)
}
