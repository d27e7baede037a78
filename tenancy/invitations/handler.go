package invitations

import (
	"fmt"
	"net/http"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/mailed"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// Handler serves an account's invitations to those who manage its members, behind a
// middleware that enters it with tenancy.SignIn: one who may not gets
// tenancy.ErrForbidden, and so does a context that was entered without SignIn, as
// every one of a key is. What the account may is asked where it matters: one that
// may not write can still see and revoke.
//
//	GET    /invitations              {"invitations": […], "next": "…"}, the open ones, newest
//	                                 first; ?all=true adds the others, ?limit= (1 to 500)
//	                                 and ?before= (the next of the page before)
//	POST   /invitations              {"email": "…", "roles": ["editor"],
//	                                 "objects": [{"kind": "site", "id": "…", "role": "editor"}],
//	                                 "locale": "de"}; 201
//	POST   /invitations/{id}/resend  {"locale": "de"}
//	DELETE /invitations/{id}         revokes it
//
// The two that send answer with the invitation and "notified", which is false when
// Config.Notify failed: send it again later. Of an operator who invited, an answer shows
// that it was one and not who. The token is in no answer, so Handler panics without a
// Config.Notify.
func (n *Invitations) Handler(db *bun.DB) http.Handler {
	if n.cfg.Notify == nil {
		panic("invitations: Handler needs Config.Notify: nobody would get the token")
	}
	mux := problem.NewMux(n.cfg.OnError)
	route := func(pattern string, do func(w http.ResponseWriter, r *http.Request, s tenancy.Scope) error) {
		mux.Route(pattern, func(w http.ResponseWriter, r *http.Request) error {
			scope := tenancy.From(r.Context())
			if scope.Capability&tenancy.SignIn == 0 {
				return tenancy.ErrForbidden
			}
			return do(w, r, scope)
		})
	}
	route("GET /invitations", func(w http.ResponseWriter, r *http.Request, s tenancy.Scope) error {
		if err := n.accounts.MayGrant(r.Context(), db, s.Account, s.Actor, nil); err != nil {
			return err
		}
		page := List{Account: s.Account, Before: ID(r.URL.Query().Get("before"))}
		if err := page.read(r); err != nil {
			return err
		}
		list, next, err := n.list(r.Context(), db, page)
		if err != nil {
			return err
		}
		for i := range list {
			list[i] = shown(list[i])
		}
		problem.JSON(w, http.StatusOK, struct {
			Invitations []Invitation `json:"invitations"`
			Next        ID           `json:"next,omitzero"`
		}{list, next})
		return nil
	})
	route("POST /invitations", func(w http.ResponseWriter, r *http.Request, s tenancy.Scope) error {
		var body struct {
			Email   string               `json:"email"`
			Roles   []tenancy.Role       `json:"roles"`
			Objects []tenancy.ObjectRole `json:"objects"`
			Locale  string               `json:"locale"`
		}
		if err := problem.Decode(w, r, &body); err != nil {
			return err
		}
		if err := checkLocale(body.Locale); err != nil {
			return err
		}
		issued, err := n.Invite(r.Context(), db, Invite{Account: s.Account, Email: body.Email, Roles: body.Roles, Objects: body.Objects, Actor: s.Actor})
		if err != nil {
			return err
		}
		return n.sent(w, r, db, http.StatusCreated, issued, body.Locale)
	})
	route("POST /invitations/{id}/resend", func(w http.ResponseWriter, r *http.Request, s tenancy.Scope) error {
		var body struct {
			Locale string `json:"locale"`
		}
		if err := problem.Decode(w, r, &body); err != nil {
			return err
		}
		if err := checkLocale(body.Locale); err != nil {
			return err
		}
		issued, err := n.Resend(r.Context(), db, Resend{Account: s.Account, Invitation: ID(r.PathValue("id")), Actor: s.Actor})
		if err != nil {
			return err
		}
		return n.sent(w, r, db, http.StatusOK, issued, body.Locale)
	})
	route("DELETE /invitations/{id}", func(w http.ResponseWriter, r *http.Request, s tenancy.Scope) error {
		i, err := n.Revoke(r.Context(), db, Revoke{Account: s.Account, Invitation: ID(r.PathValue("id")), Actor: s.Actor})
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, shown(i))
		return nil
	})
	return mux
}

// shown is an invitation for the account's own people, who are not told which of the
// service's people did something.
func shown(i Invitation) Invitation {
	if i.Inviter.Kind == tenancy.ActorOperator {
		i.Inviter.ID = ""
	}
	return i
}

// sent notifies the person invited and answers the one who invites.
func (n *Invitations) sent(w http.ResponseWriter, r *http.Request, db *bun.DB, status int, issued Issued, locale string) error {
	problem.JSON(w, status, struct {
		Invitation
		Notified bool `json:"notified"`
	}{shown(issued.Invitation), n.notify(r.Context(), db, issued, locale)})
	return nil
}

func (l *List) read(r *http.Request) error {
	switch r.URL.Query().Get("all") {
	case "true":
		l.All = true
	case "", "false":
	default:
		return fmt.Errorf("%w: all is true or false", tenancy.ErrInvalid)
	}
	var err error
	l.Limit, err = problem.Limit(r, tenancy.ErrInvalid)
	return err
}

// checkLocale lets through what can be a tag of BCP 47.
func checkLocale(s string) error {
	if !mailed.IsLocale(s) {
		return fmt.Errorf("%w: a locale is a tag such as de or pt-BR", tenancy.ErrInvalid)
	}
	return nil
}
