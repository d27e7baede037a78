package tenancy

import (
	"context"
	"errors"
	"net/http"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/problem"
)

// person is a member as the others see it.
type person struct {
	Member
	Name  string `json:"name"`
	Email string `json:"email"`
}

func (a *Accounts) persons(ctx context.Context, db bun.IDB, account AccountID) ([]person, error) {
	members, err := a.Members(ctx, db, account)
	if err != nil {
		return nil, err
	}
	var rows []userRow
	err = db.NewSelect().Model(&rows).
		Where("user_id IN (SELECT user_id FROM tenancy_members WHERE account_id = ?)", account).Scan(ctx)
	if err != nil {
		return nil, err
	}
	users := make(map[UserID]userRow, len(rows))
	for _, r := range rows {
		users[r.ID] = r
	}
	out := make([]person, len(members))
	for i, m := range members {
		m.Roles = none(m.Roles)
		out[i] = person{Member: m, Name: users[m.User].Name, Email: users[m.User].Email}
	}
	return out, nil
}

type rolesBody struct {
	Roles  []Role `json:"roles"`
	Reason string `json:"reason"`
}

// people serves an account's members.
func (a *Accounts) people(mux *problem.Mux, db *bun.DB) {
	mux.Route("GET /account/members", func(w http.ResponseWriter, r *http.Request) error {
		if err := a.Can(r.Context(), db, PermMembersRead); err != nil {
			return err
		}
		members, err := a.persons(r.Context(), db, From(r.Context()).Account)
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, struct {
			Members []person `json:"members"`
		}{members})
		return nil
	})
	set := func(pattern string, do func(r *http.Request, s Scope, body rolesBody) (Member, error)) {
		mux.Route(pattern, func(w http.ResponseWriter, r *http.Request) error {
			var body rolesBody
			if err := problem.Decode(w, r, &body); err != nil {
				return err
			}
			member, err := do(r, From(r.Context()), body)
			if err != nil {
				return err
			}
			member.Roles = none(member.Roles)
			problem.JSON(w, http.StatusOK, member)
			return nil
		})
	}
	set("PUT /account/members/{user}/roles", func(r *http.Request, s Scope, body rolesBody) (Member, error) {
		return a.SetRoles(r.Context(), db, SetRoles{
			Account: s.Account, User: UserID(r.PathValue("user")), Roles: body.Roles, Actor: s.Actor, Reason: body.Reason,
		})
	})
	set("PUT /account/members/{user}/objects/{kind}/{id}", func(r *http.Request, s Scope, body rolesBody) (Member, error) {
		return a.SetObjectRoles(r.Context(), db, SetObjectRoles{
			Account: s.Account, User: UserID(r.PathValue("user")), Object: Object{Kind: r.PathValue("kind"), ID: r.PathValue("id")},
			Roles: body.Roles, Actor: s.Actor, Reason: body.Reason,
		})
	})
	mux.Route("DELETE /account/members/{user}", func(w http.ResponseWriter, r *http.Request) error {
		s := From(r.Context())
		if err := a.RemoveMember(r.Context(), db, RemoveMember{Account: s.Account, User: UserID(r.PathValue("user")), Actor: s.Actor}); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

// ownerships serves the offer of an account's ownership.
func (a *Accounts) ownerships(mux *problem.Mux, db *bun.DB) {
	mux.Route("GET /account/ownership", func(w http.ResponseWriter, r *http.Request) error {
		s := From(r.Context())
		offer, err := a.Offer(r.Context(), db, s.Account)
		if err != nil && !errors.Is(err, ErrNoOffer) {
			return err
		}
		if s.Actor != (Actor{Kind: ActorUser, ID: string(offer.To)}) {
			if err := a.Can(r.Context(), db, PermMembersRead); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, offer)
		return nil
	})
	mux.Route("POST /account/ownership", func(w http.ResponseWriter, r *http.Request) error {
		var body struct {
			User   UserID `json:"user"`
			Reason string `json:"reason"`
		}
		if err := problem.Decode(w, r, &body); err != nil {
			return err
		}
		s := From(r.Context())
		offer, err := a.OfferOwnership(r.Context(), db, OfferOwnership{Account: s.Account, To: body.User, Actor: s.Actor, Reason: body.Reason})
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusCreated, offer)
		return nil
	})
	mux.Route("POST /account/ownership/accept", func(w http.ResponseWriter, r *http.Request) error {
		var body reason
		if err := problem.Decode(w, r, &body); err != nil {
			return err
		}
		s := From(r.Context())
		account, err := a.AcceptOwnership(r.Context(), db, AcceptOwnership{Account: s.Account, Actor: s.Actor, Reason: body.Reason})
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, account)
		return nil
	})
	mux.Route("DELETE /account/ownership", func(w http.ResponseWriter, r *http.Request) error {
		s := From(r.Context())
		if err := a.DeclineOwnership(r.Context(), db, DeclineOwnership{Account: s.Account, Actor: s.Actor}); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}
