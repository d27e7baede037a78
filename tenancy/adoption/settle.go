package adoption

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/quitrent/quitrent/tenancy"
)

const leftAlone = "the new system says something else and is left as it is"

func (s *survey) settleUsers() {
	for i := range s.users {
		u := &s.users[i]
		old, there := s.have.users[u.ID]
		if holder, taken := s.have.emails[u.key]; taken && !there {
			s.refuse(KindUser, u.row, u.foreign, "email", "user %q of the new system has this address: give the row that ID if both are one person", holder)
		}
		if s.have.erased[u.ID] && !there {
			s.refuse(KindUser, u.row, u.foreign, "id", "the person was erased: leave the row out, and delete it in the old system too")
		}
		switch {
		case s.bad[row{KindUser, u.row}]:
			continue // counted below, with the rows that have no id
		case !there:
			s.report.Users.New++
			u.CreatedAt = cmp.Or(u.CreatedAt, s.now)
			s.adopt.Users = append(s.adopt.Users, u.User)
		default:
			differs := unequal(field{"email", old.Email == u.Email}, field{"name", old.Name == u.Name}, field{"created_at", sameTime(old.CreatedAt, u.CreatedAt)})
			s.count(&s.report.Users, differs, KindUser, u.row, u.foreign)
		}
		s.report.UserIDs[u.foreign] = u.ID
	}
	s.report.Users.Refused = s.refused(KindUser)
}

func (s *survey) settleAccounts() {
	for i := range s.accounts {
		acc := &s.accounts[i]
		if s.bad[row{KindAccount, acc.row}] {
			continue
		}
		old, there := s.have.accounts[acc.ID]
		switch {
		case s.have.gone[acc.ID]:
			s.report.Accounts.Different++
			s.note(KindAccount, acc.row, acc.foreign, "id", "the account was adopted before and has been removed since: it does not come back")
		case !there:
			s.report.Accounts.New++
			acc.CreatedAt = cmp.Or(acc.CreatedAt, s.now)
			s.adopt.Accounts = append(s.adopt.Accounts, acc.Account)
			s.noteSeats(acc)
		default:
			s.count(&s.report.Accounts, unequal(
				field{"name", old.Name == acc.Name}, field{"status", old.Status == acc.Status},
				field{"suspended_from", old.SuspendedFrom == acc.SuspendedFrom}, field{"plan", old.Plan == acc.Plan},
				field{"owner", old.Owner == acc.Owner}, field{"zone", old.Zone == acc.Zone},
				field{"trial_ends_at", old.TrialEndsAt.Equal(acc.TrialEndsAt)}, field{"grace_ends_at", old.GraceEndsAt.Equal(acc.GraceEndsAt)},
				field{"paid_until", old.PaidUntil.Equal(acc.PaidUntil)}, field{"created_at", sameTime(old.CreatedAt, acc.CreatedAt)},
			), KindAccount, acc.row, acc.foreign)
		}
		s.report.AccountIDs[acc.foreign] = acc.ID
	}
	s.report.Accounts.Refused = s.refused(KindAccount)
}

// noteSeats says where a new account has more members than its plan allows.
func (s *survey) noteSeats(acc *account) {
	if limit, limited := s.plans[acc.Plan].Limits[tenancy.LimitUsers]; limited && int64(len(acc.places)) > limit {
		s.note(KindAccount, acc.row, acc.foreign, "plan", "the account has %d members and its plan allows %d: all are adopted, and nobody can be added", len(acc.places), limit)
	}
}

func (s *survey) settleMembers() {
	users := map[tenancy.UserID]*user{}
	for i := range slices.Backward(s.users) { // of two with one ID, the first is the one that is not refused
		users[s.users[i].ID] = &s.users[i]
	}
	for _, m := range s.places {
		u := users[m.user]
		if u != nil {
			u.placed = true
		}
		if len(m.roles) == 0 && !m.bad {
			m.bad = true
			s.refuse(KindMember, m.row, m.label, "roles", "the member has no role here: give one, such as viewer, or leave the member out")
		}
		_, there := s.have.accounts[m.acc.ID]
		switch {
		case m.bad, s.bad[row{KindAccount, m.acc.row}], u != nil && s.bad[row{KindUser, u.row}]:
			s.report.Members.Refused++
		case s.have.gone[m.acc.ID]:
			s.report.Members.Different++
		case there:
			held := slices.Sorted(slices.Values(s.have.members[m.acc.ID][m.user]))
			same := slices.Equal(held, slices.Sorted(slices.Values(m.roles)))
			s.count(&s.report.Members, unequal(field{"roles", same}), KindMember, m.row, m.label)
		default:
			s.report.Members.New++
			s.adopt.Members = append(s.adopt.Members, tenancy.Member{Account: m.acc.ID, User: m.user, Roles: m.roles, CreatedAt: cmp.Or(m.joined, s.now)})
		}
	}
}

func (s *survey) notePeople() {
	for i := range s.users {
		if u := &s.users[i]; !u.placed && !s.bad[row{KindUser, u.row}] {
			s.note(KindUser, u.row, u.foreign, "account", "the user belongs to no account, and may sign in to none until somebody adds it to one")
		}
	}
}

// refused counts the rows of a kind that something is wrong with.
func (s *survey) refused(kind Kind) (n int) {
	for r := range s.bad {
		if r.kind == kind {
			n++
		}
	}
	return n
}

// count counts a row that is there already.
func (s *survey) count(c *Counts, differs string, kind Kind, at int, id string) {
	if differs == "" {
		c.Same++
		return
	}
	c.Different++
	s.note(kind, at, id, differs, leftAlone)
}

type field struct {
	name string
	same bool
}

// unequal names the fields that differ: "status, plan".
func unequal(fields ...field) string {
	var names []string
	for _, f := range fields {
		if !f.same {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ", ")
}

// sameTime takes any time for one that the row does not give.
func sameTime(old, given time.Time) bool { return given.IsZero() || old.Equal(given) }
