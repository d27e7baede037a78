package sessions

import (
	"context"
	"errors"
	"net/http"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/clientaddr"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// Handler signs people in and out, and shows them their sessions:
//
//	POST   /session          {"email": "…", "password": "…", "account": "…"}; 201 and the cookie
//	GET    /session          who is signed in
//	DELETE /session          signs out and clears the cookie; 204, the second time too
//	PUT    /session/account  {"account": "…"} acts for that one from now on; a new cookie
//	PUT    /session/password {"current": "…", "password": "…", "locale": "de"} changes the
//	                         password, signs out everywhere else, and a new cookie;
//	                         {"session": {…}, "revoked": 2, "notified": true}
//	GET    /sessions         {"sessions": […]}, all that are open; "current" is this one
//	DELETE /sessions         signs out everywhere else; {"revoked": 2}
//	DELETE /sessions/{id}    ends one of them; 204
//
// POST and GET /session answer with "session", "user" and "accounts", those that the
// person may choose from; "account" is left out where the choice is for later. A
// session that the browser had is ended by POST, so that a cookie which somebody planted
// is worth nothing. Without passwords there is no POST, and no password to change: the
// host signs people in its own way, with Start and SetCookie.
//
// A password is changed by its person alone, who shows the current one: a wrong one is
// authn.ErrWrongPassword (422), counts like one that is tried in signing in, and ends no
// session. The new cookie is of the same session. "notified" says that Config.Notify has
// told the person; without one it is false.
//
// The token is in the cookie alone, and no answer shows it. Everything that changes
// something is refused with ErrCrossOrigin where a page of another origin sends it,
// signing in too. Behind no middleware that enters an account: somebody who belongs to
// none may sign in.
func (s *Sessions) Handler(db *bun.DB, passwords *authn.Passwords) http.Handler {
	mux := problem.NewMux(s.refuse)
	if passwords != nil {
		mux.Route("POST /session", func(w http.ResponseWriter, r *http.Request) error { return s.signIn(w, r, db, passwords) })
	}
	mux.Route("DELETE /session", func(w http.ResponseWriter, r *http.Request) error { return s.signOut(w, r, db) })
	mine := func(pattern string, do func(w http.ResponseWriter, r *http.Request, in Session, token Token) error) {
		mux.Route(pattern, func(w http.ResponseWriter, r *http.Request) error {
			in, token, err := s.present(r, db)
			if err == nil {
				err = recognised(r, in.User)
			}
			if err != nil {
				return err
			}
			return do(w, r, in, token)
		})
	}
	mine("GET /session", func(w http.ResponseWriter, r *http.Request, in Session, _ Token) error {
		user, err := s.accounts.User(r.Context(), db, in.User)
		if err != nil {
			return err
		}
		accounts, err := s.accounts.AccountsOf(r.Context(), db, in.User)
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, welcome{in, user, accounts})
		return nil
	})
	mine("PUT /session/account", func(w http.ResponseWriter, r *http.Request, _ Session, token Token) error {
		var body struct {
			Account tenancy.AccountID `json:"account"`
		}
		if err := problem.Decode(w, r, &body); err != nil {
			return err
		}
		issued, err := s.SwitchAccount(r.Context(), db, SwitchAccount{Token: token, Account: body.Account})
		if err != nil {
			return err
		}
		s.SetCookie(w, r, issued)
		problem.JSON(w, http.StatusOK, issued.Session)
		return nil
	})
	if passwords != nil {
		mine("PUT /session/password", func(w http.ResponseWriter, r *http.Request, in Session, token Token) error {
			return s.changePassword(w, r, db, passwords, in, token)
		})
	}
	mine("GET /sessions", func(w http.ResponseWriter, r *http.Request, in Session, _ Token) error {
		list, err := s.List(r.Context(), db, List{User: in.User})
		if err != nil {
			return err
		}
		type line struct {
			Session
			Current bool `json:"current"`
		}
		lines := make([]line, len(list))
		for i, l := range list {
			lines[i] = line{l, l.ID == in.ID}
		}
		problem.JSON(w, http.StatusOK, struct {
			Sessions []line `json:"sessions"`
		}{lines})
		return nil
	})
	mine("DELETE /sessions", func(w http.ResponseWriter, r *http.Request, in Session, _ Token) error {
		n, err := s.RevokeOthers(r.Context(), db, RevokeOthers{User: in.User, Keep: in.ID, Actor: person(in.User)})
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, struct {
			Revoked int `json:"revoked"`
		}{n})
		return nil
	})
	mine("DELETE /sessions/{id}", func(w http.ResponseWriter, r *http.Request, in Session, _ Token) error {
		ended, err := s.Revoke(r.Context(), db, Revoke{User: in.User, Session: ID(r.PathValue("id")), Actor: person(in.User)})
		if err != nil {
			return err
		}
		if ended.ID == in.ID {
			s.ClearCookie(w, r)
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
	return mux
}

func (s *Sessions) signIn(w http.ResponseWriter, r *http.Request, db *bun.DB, passwords *authn.Passwords) error {
	if err := s.sameOrigin(r); err != nil { // or a page signs people in as somebody else
		return err
	}
	var body struct {
		Email    string            `json:"email"`
		Password string            `json:"password"`
		Account  tenancy.AccountID `json:"account"`
	}
	if err := problem.Decode(w, r, &body); err != nil {
		return err
	}
	addr := clientaddr.Of(r, s.cfg.TrustedProxies)
	var issued Issued
	user, err := passwords.SignIn(r.Context(), db, authn.SignIn{
		Email: body.Email, Password: body.Password, Addr: addr,
		Then: func(ctx context.Context, db bun.IDB, user tenancy.User) (err error) {
			if err = recognised(r, user.ID); err != nil {
				return err
			}
			for _, old := range s.tokens(r) {
				if err := s.End(ctx, db, End{Token: old}); err != nil {
					return err
				}
			}
			issued, err = s.Start(ctx, db, Start{User: user.ID, Account: body.Account, Addr: addr, UserAgent: r.UserAgent()})
			return err
		},
	})
	if err != nil {
		return err
	}
	accounts, err := s.accounts.AccountsOf(r.Context(), db, user.ID)
	if err != nil {
		return err
	}
	s.SetCookie(w, r, issued)
	problem.JSON(w, http.StatusCreated, welcome{issued.Session, user, accounts})
	return nil
}

func (s *Sessions) signOut(w http.ResponseWriter, r *http.Request, db *bun.DB) error {
	if err := s.sameOrigin(r); err != nil {
		return err
	}
	for _, token := range s.tokens(r) {
		if err := s.End(r.Context(), db, End{Token: token}); err != nil {
			return err
		}
	}
	s.ClearCookie(w, r)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// tokens are all that a request comes with, also where there are too many to say who
// the caller is: of none of them is a session to be left behind. A browser sends one;
// nobody has the database asked for more than a few.
func (s *Sessions) tokens(r *http.Request) (tokens []Token) {
	const few = 4
	if c, err := authn.FromRequest(r); err == nil && c.Scheme == Scheme {
		tokens = append(tokens, Token(c.Value))
	}
	name, _ := s.cookie(r)
	for _, c := range r.CookiesNamed(name) {
		if len(tokens) < few {
			tokens = append(tokens, Token(c.Value))
		}
	}
	return tokens
}

// welcome says who is signed in, and which accounts there are to choose from.
type welcome struct {
	Session  Session              `json:"session"`
	User     tenancy.User         `json:"user"`
	Accounts []tenancy.Membership `json:"accounts"`
}

// recognised tells an observer of the request (see tenancy.Observe) that the caller is
// known.
func recognised(r *http.Request, user tenancy.UserID) error {
	_, err := tenancy.Authorizer(func(*http.Request) (tenancy.Actor, error) { return person(user), nil }).Authorize(r)
	return err
}

func (s *Sessions) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, authn.ErrBadCredential) || errors.Is(err, authn.ErrNoCredential) {
		w.Header().Add("WWW-Authenticate", s.Challenge())
	}
	s.cfg.OnError(w, r, err)
}
