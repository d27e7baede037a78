package adoption

import (
	"fmt"
	"slices"
	"time"

	"github.com/quitrent/quitrent/tenancy"
)

// memberRow is a Member with its roles translated.
type memberRow struct {
	row           int
	label         string
	account, user string
	roles         []tenancy.Role
	joined        time.Time
}

// member is a user's place in an account: the rows about it, added up.
type member struct {
	row    int // the first of them, or -1
	label  string
	acc    *account
	user   tenancy.UserID
	roles  []tenancy.Role // none twice
	joined time.Time
	bad    bool
}

func (s *survey) readMembers(rows []Member) {
	for i, r := range rows {
		m := memberRow{row: i, label: fmt.Sprintf("%.200s/%.200s", r.Account, r.User), account: r.Account, user: r.User}
		if r.Account == "" {
			s.note(KindMember, i, m.label, "account", "the roles %.200q are held in no account and left out: the user is adopted without", r.Roles)
			continue
		}
		for _, name := range r.Roles {
			held, known := s.cfg.Roles[name]
			if !known {
				held = []tenancy.Role{tenancy.Role(name)}
				known = s.Adoption.accounts.HasRole(held[0])
			}
			if !known {
				s.refuse(KindMember, i, m.label, "roles", "nothing is known of the role %.64q: translate it in Config.Roles", name)
				continue
			}
			m.roles = append(m.roles, held...)
		}
		m.joined = s.stamp(KindMember, i, m.label, "created_at", r.CreatedAt)
		s.rows = append(s.rows, m)
	}
}

// userID finds a user by Foreign, or by the ID of one that the new system has.
func (s *survey) userID(name string) (tenancy.UserID, bool) {
	if u := s.byUser[name]; u != nil {
		return u.ID, true
	}
	_, there := s.have.users[tenancy.UserID(name)]
	return tenancy.UserID(name), there
}

// placeMembers adds up the rows.
func (s *survey) placeMembers() {
	type key struct {
		acc  *account
		user tenancy.UserID
	}
	seen := map[key]*member{}
	for _, r := range s.rows {
		acc := s.byAcc[r.account]
		if acc == nil {
			s.refuse(KindMember, r.row, r.label, "account", "no row of Accounts has the id %.200q: bring the account, or leave the member out", r.account)
		}
		id, known := s.userID(r.user)
		if !known {
			s.refuse(KindMember, r.row, r.label, "user", "no row of Users has the id %.200q and no user of the new system: bring the user, or leave the member out", r.user)
		}
		if acc == nil || !known {
			s.report.Members.Refused++
			continue
		}
		m := seen[key{acc, id}]
		if m == nil {
			m = &member{row: r.row, label: r.label, acc: acc, user: id, joined: r.joined}
			seen[key{acc, id}] = m
			acc.places = append(acc.places, m)
			s.places = append(s.places, m)
		}
		m.bad = m.bad || s.bad[row{KindMember, r.row}]
		m.hold(r.roles...)
	}
}

func (m *member) hold(roles ...tenancy.Role) {
	for _, r := range roles {
		if !slices.Contains(m.roles, r) {
			m.roles = append(m.roles, r)
		}
	}
}

func (m *member) owns() bool { return slices.Contains(m.roles, tenancy.RoleOwner) }

// settleOwner finds the one owner and gives it its place.
func (s *survey) settleOwner(acc *account) {
	owners := slices.DeleteFunc(slices.Clone(acc.places), func(m *member) bool { return !m.owns() })
	refuse := func(text string, args ...any) { s.refuse(KindAccount, acc.row, acc.foreign, "owner", text, args...) }
	if acc.owner == "" {
		switch len(owners) {
		case 0:
			refuse("the account has no owner: name the user who is to own it, or leave the account out")
		case 1:
			acc.Owner = owners[0].user
		default:
			refuse("%d members hold the role owner and an account has one: name it in Owner, and translate the role of the others to admin", len(owners))
		}
		return
	}
	id, known := s.userID(acc.owner)
	if !known {
		refuse("the owner %.200q is no row of Users and no user of the new system: bring the user, or name another owner", acc.owner)
		return
	}
	acc.Owner = id
	for _, m := range owners {
		if m.user != id {
			m.bad = true
			s.refuse(KindMember, m.row, m.label, "roles", "the account's one owner is %.200q: give this member another role, such as admin", acc.owner)
		}
	}
	for _, m := range acc.places {
		if m.user == id {
			m.hold(tenancy.RoleOwner)
			return
		}
	}
	m := &member{row: -1, label: fmt.Sprintf("%.200s/%.200s", acc.foreign, acc.owner), acc: acc, user: id, roles: []tenancy.Role{tenancy.RoleOwner}, joined: acc.CreatedAt}
	acc.places = append(acc.places, m)
	s.places = append(s.places, m)
}
