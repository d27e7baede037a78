package tenancy

import (
	"cmp"
	"fmt"
	"slices"
)

// Role is what a member of an account is there for: a set of permissions under a
// name of 1 to 64 of A-Z a-z 0-9 _ . : -. A member may hold several. Config.Roles
// adds the host's own.
type Role string

// The roles. An account has exactly one owner: Account.Owner. The table of
// Permission says what each one may do.
const (
	RoleOwner     Role = "owner"
	RoleAdmin     Role = "admin"
	RoleEditor    Role = "editor"
	RoleViewer    Role = "viewer"
	RoleDeveloper Role = "developer"
)

var roles = []Role{RoleOwner, RoleAdmin, RoleEditor, RoleViewer, RoleDeveloper}

// sortRoles puts the roles of this package first, in order of the constants, and
// the host's behind them by name.
func sortRoles(held []Role) {
	place := func(r Role) int {
		if i := slices.Index(roles, r); i >= 0 {
			return i
		}
		return len(roles)
	}
	slices.SortFunc(held, func(a, b Role) int { return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b)) })
}

// granted checks roles that are to be given and returns them in order. It refuses,
// with ErrInvalid, one that Config does not know, one that is named twice, and the
// owner's, which only AcceptOwnership gives.
func (p *policy) granted(given []Role) ([]Role, error) {
	held := slices.Clone(given)
	sortRoles(held)
	for i, r := range held {
		switch {
		case r == RoleOwner:
			return nil, fmt.Errorf("%w: nobody is given the role owner: offer the ownership instead", ErrInvalid)
		case p.sets[r] == nil:
			return nil, fmt.Errorf("%w: a role is one of %v", ErrInvalid, p.grantable)
		case i > 0 && held[i-1] == r:
			return nil, fmt.Errorf("%w: a role is named twice", ErrInvalid)
		}
	}
	return held, nil
}
