package emails

import (
	"net/http"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/mailed"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// Handler serves people from outside any account:
//
//	POST /emails/verification          {"locale": "de"}; 202 and "notified"
//	POST /emails/verification/peek     {"token": "…"}; a Preview
//	POST /emails/verification/confirm  {"token": "…"}; the user
//	POST /emails/reset                 {"email": "…", "locale": "de"}; 202
//	POST /emails/reset/peek            {"token": "…"}; a Preview
//	POST /emails/reset/confirm         {"token": "…", "password": "…"}; the user
//
// The first and the third are for the user whom who names: an actor that is no user
// gets tenancy.ErrForbidden. "notified" is false when Config.Notify failed: ask again.
// A reset is asked for by anybody, and answered in the same words and as fast whether
// or not the address is a user's; a limit by network address belongs in front of it.
//
// Peek asks for the token alone, hides most of the address and uses nothing up. Nothing
// is done by GET, which mail scanners send, and no token is in a path, which logs keep.
// It panics without a Config.Notify.
func (e *Emails) Handler(db *bun.DB, who tenancy.Authorizer) http.Handler {
	e.mustNotify()
	mux := problem.NewMux(e.cfg.OnError)
	e.verification(mux, db, who)
	e.resets(mux, db)
	e.peek(mux, db, "POST /emails/verification/peek", KindVerification)
	e.peek(mux, db, "POST /emails/reset/peek", KindReset)
	return mux
}

func (e *Emails) peek(mux *problem.Mux, db *bun.DB, pattern string, kind Kind) {
	mux.Route(pattern, func(w http.ResponseWriter, r *http.Request) error {
		var body struct {
			Token string `json:"token"`
		}
		if err := problem.Decode(w, r, &body); err != nil {
			return err
		}
		p, err := e.Peek(r.Context(), db, Peek{Kind: kind, Token: Token(body.Token)})
		if err != nil {
			return err
		}
		p.Email = mailed.Mask(p.Email)
		problem.JSON(w, http.StatusOK, p)
		return nil
	})
}

func (e *Emails) verification(mux *problem.Mux, db *bun.DB, who tenancy.Authorizer) {
	route := func(pattern string, do func(w http.ResponseWriter, r *http.Request, user tenancy.UserID) error) {
		mux.Route(pattern, func(w http.ResponseWriter, r *http.Request) error {
			actor, err := who.Authorize(r)
			if err == nil && actor.Kind != tenancy.ActorUser {
				err = tenancy.ErrForbidden
			}
			if err != nil {
				return err
			}
			return do(w, r, tenancy.UserID(actor.ID))
		})
	}
	route("POST /emails/verification", func(w http.ResponseWriter, r *http.Request, user tenancy.UserID) error {
		var body struct {
			Locale string `json:"locale"`
		}
		if err := problem.Decode(w, r, &body); err != nil {
			return err
		}
		issued, err := e.prepare(r.Context(), db, SendVerification{User: user, Locale: body.Locale})
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusAccepted, map[string]bool{"notified": e.notify(r.Context(), issued, body.Locale) == nil})
		return nil
	})
	route("POST /emails/verification/confirm", func(w http.ResponseWriter, r *http.Request, user tenancy.UserID) error {
		var body struct {
			Token string `json:"token"`
		}
		if err := problem.Decode(w, r, &body); err != nil {
			return err
		}
		verified, err := e.Verify(r.Context(), db, Verify{Token: Token(body.Token), User: user})
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, verified)
		return nil
	})
}

func (e *Emails) resets(mux *problem.Mux, db *bun.DB) {
	mux.Route("POST /emails/reset", func(w http.ResponseWriter, r *http.Request) error {
		var body struct {
			Email  string `json:"email"`
			Locale string `json:"locale"`
		}
		if err := problem.Decode(w, r, &body); err != nil {
			return err
		}
		if err := e.SendReset(r.Context(), db, SendReset{Email: body.Email, Locale: body.Locale}); err != nil {
			return err
		}
		problem.JSON(w, http.StatusAccepted, map[string]bool{"accepted": true})
		return nil
	})
	mux.Route("POST /emails/reset/confirm", func(w http.ResponseWriter, r *http.Request) error {
		var body struct {
			Token    string `json:"token"`
			Password string `json:"password"`
		}
		if err := problem.Decode(w, r, &body); err != nil {
			return err
		}
		user, err := e.Reset(r.Context(), db, Reset{Token: Token(body.Token), Password: body.Password})
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, user)
		return nil
	})
}
