package tenancy

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/uptrace/bun"
)

// Can says whether who has entered may do p, on the account or, with objects, on
// each of them. It is nil, or ErrForbidden.
//
// A user may do what the roles hold that the user has on the account, and on an
// object also what the roles on that object hold. They are read anew each time, in
// one statement, so a demotion counts from its commit on; who is no member any more
// may do nothing. An operator and the system may do everything. An API key, and a token,
// may do what is among its scopes and its maker may do now: see Delegation.
//
// A permission that no role names is held by no user. An object is not looked for:
// that it belongs to the account is for the host to check.
func (a *Accounts) Can(ctx context.Context, db bun.IDB, p Permission, on ...Object) error {
	s := From(ctx)
	switch {
	case s.Delegation != nil:
		return a.canDelegate(ctx, db, s, p, on)
	case s.Actor.Kind == ActorOperator, s.Actor.Kind == ActorSystem:
		return nil
	case s.Actor.Kind == ActorUser:
		return a.CanUser(ctx, db, s.Account, UserID(s.Actor.ID), p, on...)
	}
	return ErrForbidden
}

// canDelegate is Can for a key or a token: both must hold p, the scopes and whose
// rights they narrow.
func (a *Accounts) canDelegate(ctx context.Context, db bun.IDB, s Scope, p Permission, on []Object) error {
	d := s.Delegation
	if !d.covers(p) {
		return fmt.Errorf("%w: it needs the scope %s", ErrForbidden, p)
	}
	if d.User == "" {
		return nil
	}
	return a.CanUser(ctx, db, s.Account, d.User, p, on...)
}

// covers reports that p is among the scopes.
func (d *Delegation) covers(p Permission) bool {
	return slices.Contains(d.Scopes, p) || slices.Contains(d.Scopes, AllScopes)
}

// CanUser is Can for a user of an account that no context has entered, such as the
// maker of something that is to be carried out later. It does not ask what the
// account may: Enter does.
func (a *Accounts) CanUser(ctx context.Context, db bun.IDB, account AccountID, user UserID, p Permission, on ...Object) error {
	held, err := a.holds(ctx, db, account, user, on)
	if err != nil {
		return err
	}
	may := len(on) > 0 || a.policy.allows(held.account, p)
	for _, o := range on {
		may = may && a.policy.allows(held.at(o), p)
	}
	if !may {
		return fmt.Errorf("%w: it needs the permission %s", ErrForbidden, p)
	}
	return nil
}

// Require lets a request through when Can says so of p, on the account. It stands
// behind a middleware that enters one. A refusal goes to Config.OnError.
func (a *Accounts) Require(db *bun.DB, p Permission) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := a.Can(r.Context(), db, p); err != nil {
				a.Refuse(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// holding is what a user may do, on the account and on some objects.
type holding struct {
	account rights
	on      map[Object]rights
}

func (h holding) at(o Object) rights { return h.account.and(h.on[o]) }

type heldRow struct {
	Role Role
	Kind string `bun:"object_kind"`
	ID   string `bun:"object_id"`
}

// holds reads what a user may do in one statement: nothing for who is no member.
func (a *Accounts) holds(ctx context.Context, db bun.IDB, account AccountID, user UserID, on []Object) (holding, error) {
	h := holding{on: map[Object]rights{}}
	if !account.known() || !user.known() {
		return h, nil
	}
	if a.cfg.MemberLoader != nil {
		held, err := a.cfg.MemberLoader(ctx, db, account, user)
		for _, r := range held {
			h.account = h.account.and(a.policy.of(r))
		}
		return h, err
	}
	var kinds, ids []string
	for _, o := range on {
		if o.validate() == nil { // on what cannot be an object nobody holds a role
			kinds, ids = append(kinds, o.Kind), append(ids, o.ID)
		}
	}
	var rows []heldRow
	q := db.NewRaw("SELECT role, '' AS object_kind, '' AS object_id FROM tenancy_member_roles WHERE account_id = ? AND user_id = ?", account, user)
	if len(kinds) > 0 { // some rows too many, where there are several kinds: they are found under their own name
		q = db.NewRaw(`SELECT role, '' AS object_kind, '' AS object_id FROM tenancy_member_roles WHERE account_id = ? AND user_id = ?
			UNION ALL SELECT role, object_kind, object_id FROM tenancy_object_roles
			WHERE account_id = ? AND user_id = ? AND object_kind IN (?) AND object_id IN (?)`,
			account, user, account, user, bun.List(kinds), bun.List(ids))
	}
	if err := q.Scan(ctx, &rows); err != nil {
		return holding{}, err
	}
	for _, r := range rows {
		if r.Kind == "" {
			h.account = h.account.and(a.policy.of(r.Role))
		} else {
			o := Object{Kind: r.Kind, ID: r.ID}
			h.on[o] = h.on[o].and(a.policy.of(r.Role))
		}
	}
	return h, nil
}
