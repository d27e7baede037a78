package tenancy

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// MayGrant says whether an actor may give somebody these roles in an account, on
// the account and on objects: nil, or ErrForbidden. AddMember, SetRoles and
// SetObjectRoles ask it themselves; it is there for what gives roles later, such as
// an invitation.
//
// A user needs members.manage on the account, and gives no role that holds what
// the user does not: for a role on an object what counts is what the user holds on
// that object. An operator and the system may give every role but the owner's,
// an API key none.
//
// The answer is as good as the rows it reads: whoever acts on it locks the account
// first, in the same transaction (see Lock), so that a right lost in between counts.
//
// It returns ErrInvalid for an actor without kind or id, for a role that Config
// does not know or that is named twice, for RoleOwner, and for what cannot be an
// object. No roles at all are no mistake here: then it says who may manage members.
func (a *Accounts) MayGrant(ctx context.Context, db bun.IDB, account AccountID, actor Actor, roles []Role, on ...ObjectRole) error {
	if err := actor.validate(); err != nil {
		return err
	}
	if _, err := a.policy.granted(roles); err != nil {
		return err
	}
	if _, err := a.policy.grantedOn(on); err != nil {
		return err
	}
	g, err := a.grantor(ctx, db, account, actor, on)
	if err != nil {
		return err
	}
	return g.covers(roles, on)
}

// Covers says whether an actor holds, on the account, every permission that the scopes
// of a delegation name: nil, or ErrForbidden. It is for what hands a delegation on, as a
// new secret of a key does: what its user holds now may be less, and more tomorrow. To
// AllScopes belongs everything, which only the owner holds. An operator and the system
// hold everything, and a user what is delegated by the same user. Whoever acts on the
// answer has locked the account.
func (a *Accounts) Covers(ctx context.Context, db bun.IDB, account AccountID, actor Actor, d Delegation) error {
	if actor.Kind == ActorOperator || actor.Kind == ActorSystem || actor.Kind == ActorUser && d.User == UserID(actor.ID) {
		return nil
	}
	further := fmt.Errorf("%w: it reaches further than your own rights", ErrForbidden)
	if actor.Kind != ActorUser {
		return further
	}
	held, err := a.holds(ctx, db, account, UserID(actor.ID), nil)
	if err != nil {
		return err
	}
	if held.account.covers(a.policy.of(RoleOwner)) {
		return nil
	}
	for _, p := range d.Scopes {
		if p == AllScopes || !a.policy.allows(held.account, p) {
			return further
		}
	}
	return nil
}

// grantor is an actor who may manage members, with what it holds itself.
type grantor struct {
	policy *policy
	all    bool
	holding
}

// grantor reads what the actor holds, on the objects of on too. It returns
// ErrForbidden for one who may not manage members.
func (a *Accounts) grantor(ctx context.Context, db bun.IDB, account AccountID, actor Actor, on []ObjectRole) (grantor, error) {
	g := grantor{policy: a.policy}
	switch actor.Kind {
	case ActorOperator, ActorSystem:
		g.all = true
		return g, nil
	case ActorUser:
	default:
		return grantor{}, ErrForbidden
	}
	objects := make([]Object, len(on))
	for i, o := range on {
		objects[i] = o.Object
	}
	var err error
	if g.holding, err = a.holds(ctx, db, account, UserID(actor.ID), objects); err != nil {
		return grantor{}, err
	}
	if !a.policy.allows(g.account, PermMembersManage) {
		return grantor{}, fmt.Errorf("%w: it needs the permission %s", ErrForbidden, PermMembersManage)
	}
	return g, nil
}

// covers refuses roles that hold what the grantor does not, to give them, to change
// them and to take them away.
func (g grantor) covers(roles []Role, on []ObjectRole) error {
	if g.all {
		return nil
	}
	for _, r := range roles {
		if !g.account.covers(g.policy.of(r)) {
			return fmt.Errorf("%w: the role %s reaches further than your own", ErrForbidden, r)
		}
	}
	for _, o := range on {
		if !g.at(o.Object).covers(g.policy.of(o.Role)) {
			return fmt.Errorf("%w: the role %s on %s reaches further than your own", ErrForbidden, o.Role, o.Kind)
		}
	}
	return nil
}
