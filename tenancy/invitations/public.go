package invitations

import (
	"context"
	"net/http"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/mailed"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// Public serves the person invited, from outside any account:
//
//	POST /invitations/peek    {"token": "…"}; a Preview
//	POST /invitations/accept  {"token": "…"}; the member
//
// Peek asks for the token alone and hides most of the address. Accept is for the
// user whom who names: an actor that is no user gets tenancy.ErrForbidden. Nothing is
// accepted by GET, which mail scanners send, and no token is in a path, which logs
// keep. Guessing 256 bits is hopeless; who wants to bound the attempts all the same
// puts a limit by address in front.
func (n *Invitations) Public(db *bun.DB, who tenancy.Authorizer) http.Handler {
	mux := problem.NewMux(n.cfg.OnError)
	type body struct {
		Token string `json:"token"`
	}
	mux.Route("POST /invitations/peek", func(w http.ResponseWriter, r *http.Request) error {
		var b body
		if err := problem.Decode(w, r, &b); err != nil {
			return err
		}
		p, err := n.Peek(r.Context(), db, Token(b.Token))
		if err != nil {
			return err
		}
		p.Email = mailed.Mask(p.Email)
		problem.JSON(w, http.StatusOK, p)
		return nil
	})
	mux.Route("POST /invitations/accept", func(w http.ResponseWriter, r *http.Request) error {
		actor, err := who.Authorize(r)
		if err == nil && actor.Kind != tenancy.ActorUser {
			err = tenancy.ErrForbidden
		}
		if err != nil {
			return err
		}
		var b body
		if err := problem.Decode(w, r, &b); err != nil {
			return err
		}
		m, err := n.Accept(r.Context(), db, Accept{Token: Token(b.Token), User: tenancy.UserID(actor.ID)})
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, m)
		return nil
	})
	return mux
}

// SignUp takes an invitation for somebody who is no user yet, at whatever path it is
// mounted:
//
//	POST {"token": "…", "name": "…", "password": "…"}
//
// The address is the one invited: a member "email", and any other, is refused.
// prepare checks and hashes the password outside of the transaction; authn's
// Passwords.Prepare is one. It is not called before everything else is known to be in
// order, from Config.MaySignUp to the seat, and for one token once at a time in this
// process: a hash is dear, and one open invitation must not buy any number of them.
// The answer is 201 with account, user and member.
func (n *Invitations) SignUp(db *bun.DB, prepare func(ctx context.Context, r tenancy.Register, password string) (tenancy.Register, error)) http.Handler {
	mux := problem.NewMux(n.cfg.OnError)
	mux.Route("POST /", func(w http.ResponseWriter, r *http.Request) error {
		var body struct {
			Token    string `json:"token"`
			Name     string `json:"name"`
			Password string `json:"password"`
		}
		if err := problem.Decode(w, r, &body); err != nil {
			return err
		}
		if n.cfg.MaySignUp != nil {
			if err := n.cfg.MaySignUp(r); err != nil {
				return err
			}
		}
		name, err := tenancy.ParseName(body.Name)
		if err != nil {
			return err
		}
		hash, ok := Token(body.Token).hash()
		if !ok {
			return ErrNoInvitation
		}
		done, err := n.turns.Take(r.Context(), hash)
		if err != nil {
			return err
		}
		defer done()
		email, err := n.invited(r.Context(), db, Token(body.Token))
		if err != nil {
			return err
		}
		prepared, err := prepare(r.Context(), tenancy.Register{Name: name, Email: email}, body.Password)
		if err != nil {
			return err
		}
		made, err := n.AcceptNew(r.Context(), db, AcceptNew{Token: Token(body.Token), Name: name, Then: prepared.Then})
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusCreated, map[string]any{"account": made.Account, "user": made.User, "member": made.Member})
		return nil
	})
	return mux
}
