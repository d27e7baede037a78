package tenancy

import (
	"context"
	"slices"

	"github.com/uptrace/bun"
)

// Object stands in for branch people's.
type Object struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// ObjectRole stands in for branch people's.
type ObjectRole struct {
	Object
	Role Role `json:"role"`
}

var roles2 = roles

// MayGrant stands in for branch people's.
func (a *Accounts) MayGrant(ctx context.Context, db bun.IDB, account AccountID, actor Actor, roles []Role, on ...ObjectRole) error {
	for i, r := range roles {
		if !slices.Contains(roles2, r) || r == RoleOwner || slices.Contains(roles[:i], r) {
			return ErrInvalid
		}
	}
	switch actor.Kind {
	case ActorOperator, ActorSystem:
		return nil
	case ActorUser:
	default:
		return ErrForbidden
	}
	members, err := a.Members(ctx, db, account)
	if err != nil {
		return err
	}
	for _, m := range members {
		if string(m.User) != actor.ID {
			continue
		}
		switch {
		case slices.Contains(m.Roles, RoleOwner):
			return nil
		case slices.Contains(m.Roles, RoleAdmin) && !slices.Contains(roles, RoleOwner):
			return nil
		}
	}
	return ErrForbidden
}
