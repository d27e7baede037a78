package authn

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
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
//	GET    /keys                {"keys": […], "next": "…"}, newest first; ?limit= (1 to 500),
//	                            ?before= (the next of the page before; the last page has none)
//	                            and ?unused_since= (a time)
//	POST   /keys                {"name", "env", "scopes": […], "may", "addresses": […],
//	                            "expires_at"}, all but the name optional; 201, with api_key
//	                            this once
//	GET    /keys/{id}           the key, with its secrets
//	DELETE /keys/{id}           revokes it
//	POST   /keys/{id}/rotate    {"overlap_seconds": 86400}: another secret, and how long the
//	                            old ones go on, {} not at all; 201, with api_key this once
//	POST   /keys/{id}/take-over {}: the key acts on the rights of who asks
//	DELETE /keys/{id}/secrets/{secret}  revokes one secret
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
		limit, err := problem.Limit(r, tenancy.ErrInvalid)
		if err != nil {
			return err
		}
		page := List{Account: s.Account, Before: KeyID(r.URL.Query().Get("before")), Limit: limit}
		if since := r.URL.Query().Get("unused_since"); since != "" {
			at, err := time.Parse(time.RFC3339, since)
			if err != nil {
				return fmt.Errorf("%w: unused_since is a time like 2026-12-31T23:59:59Z", tenancy.ErrInvalid)
			}
			page.UnusedSince = at
		}
		keys, next, err := k.list(r.Context(), db, page)
		if err != nil {
			return err
		}
		for i := range keys {
			keys[i] = shown(keys[i])
		}
		problem.JSON(w, http.StatusOK, struct {
			Keys []Key `json:"keys"`
			Next KeyID `json:"next,omitzero"`
		}{keys, next})
		return nil
	})
	route("POST /keys", func(w http.ResponseWriter, r *http.Request, s tenancy.Scope) error {
		var body struct {
			Name      string               `json:"name"`
			Env       string               `json:"env"`
			Scopes    []tenancy.Permission `json:"scopes"`
			May       tenancy.Capability   `json:"may"`
			Addresses []string             `json:"addresses"`
			ExpiresAt time.Time            `json:"expires_at"`
		}
		if err := problem.Decode(w, r, &body); err != nil {
			return err
		}
		return k.answerIssued(w, r, db, s, func(db bun.IDB) (Issued, error) {
			return k.Issue(r.Context(), db, Issue{
				Account: s.Account, Name: body.Name, Actor: s.Actor, Env: body.Env, Scopes: body.Scopes, May: body.May,
				Addresses: prefixes(body.Addresses), ExpiresAt: body.ExpiresAt,
			})
		})
	})
	route("GET /keys/{id}", func(w http.ResponseWriter, r *http.Request, s tenancy.Scope) error {
		key, err := k.Get(r.Context(), db, s.Account, KeyID(r.PathValue("id")))
		if err != nil {
			return err
		}
		secrets, err := k.Secrets(r.Context(), db, s.Account, key.ID)
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, struct {
			Key
			Secrets []Secret `json:"secrets"`
		}{shown(key), secrets})
		return nil
	})
	route("DELETE /keys/{id}", func(w http.ResponseWriter, r *http.Request, s tenancy.Scope) error {
		key, err := k.Revoke(r.Context(), db, Revoke{Account: s.Account, Key: KeyID(r.PathValue("id")), Actor: s.Actor})
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, shown(key))
		return nil
	})
	route("POST /keys/{id}/rotate", func(w http.ResponseWriter, r *http.Request, s tenancy.Scope) error {
		var body struct {
			Overlap int64 `json:"overlap_seconds"`
		}
		if err := problem.Decode(w, r, &body); err != nil {
			return err
		}
		if body.Overlap < 0 || body.Overlap > int64(MaxOverlap/time.Second) {
			return fmt.Errorf("%w: overlap_seconds is a number from 0 to %d", tenancy.ErrInvalid, MaxOverlap/time.Second)
		}
		return k.answerIssued(w, r, db, s, func(db bun.IDB) (Issued, error) {
			return k.Rotate(r.Context(), db, Rotate{
				Account: s.Account, Key: KeyID(r.PathValue("id")), Actor: s.Actor, Overlap: time.Duration(body.Overlap) * time.Second,
			})
		})
	})
	route("POST /keys/{id}/take-over", func(w http.ResponseWriter, r *http.Request, s tenancy.Scope) error {
		if err := problem.Decode(w, r, &struct{}{}); err != nil { // not for its content: no page of another site can send it
			return err
		}
		var key Key
		err := tx.Join(r.Context(), db, func(db bun.IDB) (err error) {
			if err := k.mayStill(r.Context(), db, s); err != nil {
				return err
			}
			key, err = k.TakeOver(r.Context(), db, TakeOver{Account: s.Account, Key: KeyID(r.PathValue("id")), Actor: s.Actor})
			return err
		})
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, shown(key))
		return nil
	})
	route("DELETE /keys/{id}/secrets/{secret}", func(w http.ResponseWriter, r *http.Request, s tenancy.Scope) error {
		err := k.RevokeSecret(r.Context(), db, RevokeSecret{
			Account: s.Account, Key: KeyID(r.PathValue("id")), Secret: r.PathValue("secret"), Actor: s.Actor,
		})
		if err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
	return mux
}

// answerIssued makes a secret for who may still have one made, and shows it this once.
func (k *Keys) answerIssued(w http.ResponseWriter, r *http.Request, db *bun.DB, s tenancy.Scope, do func(db bun.IDB) (Issued, error)) error {
	var made Issued
	err := tx.Join(r.Context(), db, func(db bun.IDB) (err error) {
		if err := k.mayStill(r.Context(), db, s); err != nil {
			return err
		}
		made, err = do(db)
		return err
	})
	if err != nil {
		return err
	}
	problem.JSON(w, http.StatusCreated, struct {
		Key
		APIKey string `json:"api_key"`
	}{shown(made.Key), made.Secret})
	return nil
}

// shown is a key as its account sees it: which of the service's people made it is not
// the account's business.
func shown(k Key) Key {
	if k.CreatedBy.Kind != tenancy.ActorUser {
		k.CreatedBy.ID = ""
	}
	return k
}

// prefixes reads networks and single addresses. What is neither comes out as the zero
// Prefix, which Issue refuses in its own words.
func prefixes(texts []string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		if addr, err := netip.ParseAddr(text); err == nil {
			out[i] = netip.PrefixFrom(addr, addr.BitLen())
		} else {
			out[i], _ = netip.ParsePrefix(text)
		}
	}
	return out
}

// mayStill asks for the right again, under the account's lock: who made the request
// may have been put out while its body was on the way, and a key would stay.
func (k *Keys) mayStill(ctx context.Context, db bun.IDB, s tenancy.Scope) error {
	if err := k.lock(ctx, db, s.Account); err != nil {
		return err
	}
	return k.accounts.Can(ctx, db, tenancy.PermKeysManage)
}
