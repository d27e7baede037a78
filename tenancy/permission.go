package tenancy

import (
	"fmt"
	"maps"
	"slices"
)

// Permission is something that a role lets a person do in an account: a name of 1
// to 64 of A-Z a-z 0-9 _ . : -, by custom what is acted on, a dot and a verb.
// Config.Roles adds the host's own.
//
//	                  owner   admin   editor   viewer   developer
//	account.manage      x       x
//	members.read        x       x       x        x          x
//	members.manage      x       x
//	keys.manage         x       x                           x
//	billing.read        x       x
//	billing.manage      x       x
//	content.read        x       x       x        x          x
//	content.write       x       x       x
//	the host's own      x    as Config.Roles says, in every role
//
// A permission says what a person may do; a Capability, what the account may.
// A request needs both. Closing the account and handing it on take no permission:
// they are its owner's.
type Permission string

// The permissions of this package. The owner holds every one, the host's too.
const (
	PermAccountManage Permission = "account.manage" // what the account is called and how it is set up
	PermMembersRead   Permission = "members.read"
	PermMembersManage Permission = "members.manage" // add, remove, change roles, as far as one's own reach
	PermKeysManage    Permission = "keys.manage"    // see, mint and revoke API keys
	PermBillingRead   Permission = "billing.read"
	PermBillingManage Permission = "billing.manage"
	PermContentRead   Permission = "content.read" // what the host keeps for the account
	PermContentWrite  Permission = "content.write"
)

// permissions are those that each role begins with; the owner's are all there are.
var permissions = map[Role][]Permission{
	RoleOwner: {},
	RoleAdmin: {
		PermAccountManage, PermMembersRead, PermMembersManage, PermKeysManage,
		PermBillingRead, PermBillingManage, PermContentRead, PermContentWrite,
	},
	RoleEditor:    {PermMembersRead, PermContentRead, PermContentWrite},
	RoleViewer:    {PermMembersRead, PermContentRead},
	RoleDeveloper: {PermMembersRead, PermKeysManage, PermContentRead},
}

// policy is permissions and Config.Roles, compiled: every permission that a role
// names has a bit.
type policy struct {
	bits      map[Permission]int
	sets      map[Role]rights // never nil for a role that is known
	grantable []Role          // in order, the owner's left out
}

// newPolicy panics where a name is none: a program that cannot spell its roles
// must not start.
func newPolicy(more map[Role][]Permission) *policy {
	p := &policy{bits: map[Permission]int{}, sets: map[Role]rights{}}
	for _, from := range []map[Role][]Permission{permissions, more} {
		for _, r := range slices.Sorted(maps.Keys(from)) {
			if !AccountID(r).known() {
				panic(fmt.Sprintf("tenancy: Config.Roles: %q is no name of a role: it is made of 1 to 64 of A-Z a-z 0-9 _ . : -", r))
			}
			set := append(rights{}, p.sets[r]...)
			for _, perm := range from[r] {
				if !AccountID(perm).known() {
					panic(fmt.Sprintf("tenancy: Config.Roles: %q is no name of a permission: it is made of 1 to 64 of A-Z a-z 0-9 _ . : -", perm))
				}
				bit, ok := p.bits[perm]
				if !ok {
					bit = len(p.bits)
					p.bits[perm] = bit
				}
				set = set.with(bit)
			}
			p.sets[r] = set
		}
	}
	for bit := range len(p.bits) {
		p.sets[RoleOwner] = p.sets[RoleOwner].with(bit)
	}
	for r := range p.sets {
		if r != RoleOwner {
			p.grantable = append(p.grantable, r)
		}
	}
	sortRoles(p.grantable)
	return p
}

// of is what a role lets its holder do; a role that nobody knows, nothing.
func (p *policy) of(r Role) rights { return p.sets[r] }

// allows reports that rights hold perm. One that no role names is held by nobody.
func (p *policy) allows(r rights, perm Permission) bool {
	bit, ok := p.bits[perm]
	return ok && r.has(bit)
}

// holders are the roles that hold perm.
func (p *policy) holders(perm Permission) []Role {
	var held []Role
	for r, set := range p.sets {
		if p.allows(set, perm) {
			held = append(held, r)
		}
	}
	slices.Sort(held)
	return held
}

// rights is a set of permissions, a bit each.
type rights []uint64

func (r rights) has(bit int) bool { return bit/64 < len(r) && r[bit/64]&(1<<(bit%64)) != 0 }

func (r rights) with(bit int) rights {
	for len(r) <= bit/64 {
		r = append(r, 0)
	}
	r[bit/64] |= 1 << (bit % 64)
	return r
}

// and is the union, in new memory.
func (r rights) and(other rights) rights {
	out := make(rights, max(len(r), len(other)))
	copy(out, r)
	for i, word := range other {
		out[i] |= word
	}
	return out
}

// covers reports that everything in other is in r.
func (r rights) covers(other rights) bool {
	for i, word := range other {
		if i >= len(r) && word != 0 || i < len(r) && word&^r[i] != 0 {
			return false
		}
	}
	return true
}
