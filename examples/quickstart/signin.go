package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/sessions"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/throttle"
)

// signUp makes the account, its owner, its credits and the owner's session in one
// transaction. There is no choice of a plan.
func (s site) signUp(w http.ResponseWriter, r *http.Request) {
	if !readForm(w, r) {
		return
	}
	if err := s.passwords.MaySignUp(r); err != nil {
		tenancy.Refuse(w, r, err)
		return
	}
	var session sessions.Issued
	form := tenancy.Register{Name: r.PostFormValue("name"), Email: r.PostFormValue("email")}
	form.Then = func(ctx context.Context, tx bun.IDB, made tenancy.Registered) (err error) {
		session, err = s.begin(ctx, tx, r, made.User.ID)
		return err
	}
	_, err := s.passwords.Register(r.Context(), s.db, form, r.PostFormValue("password"))
	switch {
	case errors.Is(err, tenancy.ErrEmailTaken), errors.Is(err, tenancy.ErrInvalid), errors.Is(err, authn.ErrWeakPassword):
		render(w, http.StatusUnprocessableEntity, "signup.html", map[string]any{"Problem": err, "Name": form.Name, "Email": form.Email})
	case err != nil:
		tenancy.Refuse(w, r, err)
	default:
		s.land(w, r, session)
	}
}

// signIn takes the password of somebody who has an account.
func (s site) signIn(w http.ResponseWriter, r *http.Request) {
	if !readForm(w, r) {
		return
	}
	var session sessions.Issued
	who := authn.SignIn{
		Email: r.PostFormValue("email"), Password: r.PostFormValue("password"), Addr: throttle.ClientAddr(r, nil),
		Then: func(ctx context.Context, db bun.IDB, user tenancy.User) (err error) {
			session, err = s.begin(ctx, db, r, user.ID)
			return err
		},
	}
	_, err := s.passwords.SignIn(r.Context(), s.db, who)
	if errors.Is(err, authn.ErrBadCredential) {
		render(w, http.StatusUnauthorized, "signin.html", map[string]any{"Problem": "The address or the password is wrong.", "Email": who.Email})
		return
	}
	if err != nil {
		tenancy.Refuse(w, r, err)
		return
	}
	s.land(w, r, session)
}

// begin ends the session that the browser had, which somebody may have planted there,
// and starts another.
func (s site) begin(ctx context.Context, tx bun.IDB, r *http.Request, user tenancy.UserID) (sessions.Issued, error) {
	if err := s.end(ctx, tx, r); err != nil {
		return sessions.Issued{}, err
	}
	return s.people.Start(ctx, tx, sessions.Start{User: user, Addr: throttle.ClientAddr(r, nil), UserAgent: r.UserAgent()})
}

// land hands over the session, now that it is committed.
func (s site) land(w http.ResponseWriter, r *http.Request, session sessions.Issued) {
	s.people.SetCookie(w, r, session)
	http.Redirect(w, r, "/ideas", http.StatusSeeOther)
}

func (s site) signOut(w http.ResponseWriter, r *http.Request) {
	if err := s.end(r.Context(), s.db, r); err != nil {
		tenancy.Refuse(w, r, err)
		return
	}
	s.people.ClearCookie(w, r)
	http.Redirect(w, r, "/signin", http.StatusSeeOther)
}

// end ends the session that r comes with, if there is one.
func (s site) end(ctx context.Context, db bun.IDB, r *http.Request) error {
	if c, err := s.people.Read(r); err == nil {
		return s.people.End(ctx, db, sessions.End{Token: sessions.Token(c.Value)})
	}
	return nil
}

// readForm reads the form of a page, or answers that it cannot.
func readForm(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<16)
	if err := r.ParseForm(); err != nil {
		tenancy.Refuse(w, r, fmt.Errorf("%w: the form cannot be read", tenancy.ErrInvalid))
		return false
	}
	return true
}
