package authn

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Handler serves an account's keys to the people in it who hold tenancy.PermKeysManage
// (the owner, admins and developers), behind a middleware that enters it with
// tenancy.SignIn: they may see and revoke keys whatever the account's status, also
// when the trial is over and a key has leaked. To make one, the account must be able
// to do tenancy.MintKeys. Everybody else gets tenancy.ErrForbidden, and so does a
// context that was entered without SignIn, as every one of a key is. What a member
// holds is read with each request, and for a new key once more when its body has come,
// under the account's lock: a demotion counts at once. A host that keeps its members in
// its own tables brings a tenancy.Config.MemberLoader.
//
//	GET    /keys       {"keys": […], "next": "…"}, newest first; ?limit= (1 to 500) and
//	                   ?before= (the next of the page before; the last page has none)
//	POST   /keys       {"name": "…", "expires_at": "…"}; 201, with api_key this once
//	DELETE /keys/{id}  revokes it
func (k *Keys) Handler(db *bun.DB) http.Handler {
	mux := problem.NewMux(k.onError)
	route := func(pattern string, do func(w http.ResponseWriter, r *http.Request, s tenancy.Scope) error) {
		mux.Route(pattern, func(w http.ResponseWriter, r *http.Request) error {
			scope := tenancy.From(r.Context())
			if scope.Capability&tenancy.SignIn == 0 {
				return tenancy.ErrForbidden
			}
			if err := k.accounts.Can(r.Context(), db, tenancy.PermKeysManage); err != nil {
				return err
			}
			return do(w, r, scope)
		})
	}
	route("GET /keys", func(w http.ResponseWriter, r *http.Request, s tenancy.Scope) error {
		page := List{Account: s.Account, Before: KeyID(r.URL.Query().Get("before"))}
		if limit := r.URL.Query().Get("limit"); limit != "" {
			n, err := strconv.Atoi(limit)
			if err != nil || n < 1 || n > 500 {
				return fmt.Errorf("%w: limit is a number from 1 to 500", tenancy.ErrInvalid)
			}
			page.Limit = n
		}
		keys, next, err := k.list(r.Context(), db, page)
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, struct {
			Keys []Key `json:"keys"`
			Next KeyID `json:"next,omitzero"`
		}{keys, next})
		return nil
	})
	route("POST /keys", func(w http.ResponseWriter, r *http.Request, s tenancy.Scope) error {
		var body struct {
			Name      string    `json:"name"`
			ExpiresAt time.Time `json:"expires_at"`
		}
		if err := problem.Decode(w, r, &body); err != nil {
			return err
		}
		var made Issued
		err := tx.Join(r.Context(), db, func(db bun.IDB) (err error) {
			if err := k.mayStill(r.Context(), db, s); err != nil {
				return err
			}
			made, err = k.Issue(r.Context(), db, Issue{Account: s.Account, Name: body.Name, Actor: s.Actor, ExpiresAt: body.ExpiresAt})
			return err
		})
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusCreated, struct {
			Key
			APIKey string `json:"api_key"`
		}{made.Key, made.Secret})
		return nil
	})
	route("DELETE /keys/{id}", func(w http.ResponseWriter, r *http.Request, s tenancy.Scope) error {
		key, err := k.Revoke(r.Context(), db, Revoke{Account: s.Account, Key: KeyID(r.PathValue("id")), Actor: s.Actor})
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, key)
		return nil
	})
	return mux
}

// mayStill asks for the right again, under the account's lock: who made the request
// may have been put out while its body was on the way, and a key would stay.
func (k *Keys) mayStill(ctx context.Context, db bun.IDB, s tenancy.Scope) error {
	if err := k.lock(ctx, db, s.Account); err != nil {
		return err
	}
	return k.accounts.Can(ctx, db, tenancy.PermKeysManage)
}
