package adoption

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/tenancy"
)

// survey is what the rows come to, against what the new system has.
type survey struct {
	*Adoption

	now    time.Time
	report Report
	adopt  tenancy.Adopt // what is new
	bad    map[row]bool

	plans    map[string]tenancy.Plan
	users    []user
	accounts []account
	byUser   map[string]*user    // by Foreign
	byAcc    map[string]*account // by Foreign
	rows     []memberRow
	places   []*member // in order of the rows, owners without one last
	have     existing
}

type row struct {
	kind Kind
	at   int
}

type user struct {
	tenancy.User
	row     int
	foreign string
	key     string // under which the address is unique
	placed  bool   // belongs to an account
}

type account struct {
	tenancy.Account
	row     int
	foreign string
	owner   string // as the row names it
	places  []*member
}

func (a *Adoption) survey(ctx context.Context, db bun.IDB, what Adopt) (*survey, error) {
	s := &survey{
		Adoption: a, now: a.now(), bad: map[row]bool{}, plans: map[string]tenancy.Plan{},
		byUser: map[string]*user{}, byAcc: map[string]*account{},
		report: Report{
			DryRun: what.DryRun, Statuses: map[tenancy.Status]int{}, Plans: map[string]int{}, Refused: []Finding{}, Notes: []Finding{},
			AccountIDs: map[string]tenancy.AccountID{}, UserIDs: map[string]tenancy.UserID{},
		},
		adopt: tenancy.Adopt{Actor: what.Actor, Reason: what.Reason},
	}
	plans, err := a.accounts.Plans(ctx, db)
	if err != nil {
		return nil, err
	}
	for _, p := range plans {
		s.plans[p.Slug] = p
	}
	s.readUsers(what.Users)
	s.readAccounts(what.Accounts)
	s.readMembers(what.Members)
	if s.have, err = s.look(ctx, db); err != nil {
		return nil, err
	}
	s.settleUsers()
	s.placeMembers()
	for i := range s.accounts {
		s.settleOwner(&s.accounts[i])
	}
	s.settleAccounts()
	s.settleMembers()
	s.notePeople()
	order := map[Kind]int{KindUser: 0, KindAccount: 1, KindMember: 2}
	for _, list := range [][]Finding{s.report.Refused, s.report.Notes} {
		slices.SortStableFunc(list, func(a, b Finding) int { return cmp.Or(order[a.Kind]-order[b.Kind], a.Row-b.Row) })
	}
	return s, nil
}

func (s *survey) refuse(kind Kind, at int, id, field, text string, args ...any) {
	s.bad[row{kind, at}] = true
	s.report.Refused = append(s.report.Refused, Finding{Kind: kind, Row: at, ID: id, Field: field, Text: fmt.Sprintf(text, args...)})
}

func (s *survey) note(kind Kind, at int, id, field, text string, args ...any) {
	s.report.Notes = append(s.report.Notes, Finding{Kind: kind, Row: at, ID: id, Field: field, Text: fmt.Sprintf(text, args...)})
}

// name settles a row's id and its Foreign. It returns false when nothing can refer to
// the row.
func (s *survey) name(kind Kind, at int, prefix, own, foreign string) (id, name string, ok bool) {
	name = cmp.Or(foreign, own)
	switch {
	case name == "":
		s.refuse(kind, at, "", "foreign", "the row has no id: give it ID, Foreign or both")
		return "", "", false
	case tenancy.CheckText("id", name, 200) != nil:
		s.refuse(kind, at, fmt.Sprintf("%.200q", name), "foreign", "an id in the old system is text of at most 200 bytes without control characters and invisible ones")
		return "", "", false
	}
	if own == "" {
		return derived(prefix, s.cfg.Source, name), name, true
	}
	if _, err := tenancy.ParseAccountID(own); err != nil {
		s.refuse(kind, at, name, "id", "an id has 1 to 64 of A-Z a-z 0-9 _ . : -: leave ID empty and put what the old system has into Foreign")
	}
	return own, name, true
}

// derived is the id of a row that brings none. The source's length keeps two systems
// apart whatever their names and ids are.
func derived(prefix, source, foreign string) string {
	return id.Derived(prefix, fmt.Sprintf("adoption %d %s %s", len(source), source, foreign))
}

func (s *survey) readUsers(rows []User) {
	s.users = make([]user, 0, len(rows))
	ids, keys := map[tenancy.UserID]string{}, map[string]string{}
	for i, r := range rows {
		own, name, ok := s.name(KindUser, i, "usr", string(r.ID), r.Foreign)
		if !ok {
			continue
		}
		if s.byUser[name] != nil {
			s.refuse(KindUser, i, name, "foreign", "row %d has this id too: give every user once", s.byUser[name].row)
			continue
		}
		u := user{User: tenancy.User{ID: tenancy.UserID(own), CreatedAt: s.stamp(KindUser, i, name, "created_at", r.CreatedAt)}, row: i, foreign: name}
		if twin, twice := ids[u.ID]; twice {
			s.refuse(KindUser, i, name, "id", "user %q has the same ID: one of them needs another", twin)
		}
		ids[u.ID] = name
		u.VerifiedAt = s.stamp(KindUser, i, name, "verified_at", r.VerifiedAt)
		s.address(&u, r.Email, keys)
		var err error
		if u.Name, err = tenancy.ParseName(cmp.Or(strings.TrimSpace(r.Name), u.Email)); u.Email != "" && err != nil {
			s.refuse(KindUser, i, name, "name", "a name has 1 to 200 bytes, something that can be read and no control characters or invisible ones")
		}
		s.users = append(s.users, u) // never grows: byUser points into it
		s.byUser[name] = &s.users[len(s.users)-1]
	}
}

func (s *survey) address(u *user, email string, keys map[string]string) {
	var err error
	if strings.TrimSpace(email) == "" {
		s.refuse(KindUser, u.row, u.foreign, "email", "the user has no e-mail address, by which people are found here: give one, or leave the user out")
		return
	}
	if u.Email, u.key, err = tenancy.ParseEmail(email); err != nil {
		s.refuse(KindUser, u.row, u.foreign, "email", "this is no e-mail address as people have them: put it right, or leave the user out")
		return
	}
	if twin, twice := keys[u.key]; twice {
		s.refuse(KindUser, u.row, u.foreign, "email", "user %q has the same address; letter case and the way an accent is typed do not tell two people apart: "+
			"make them one user, a member of the accounts of both, or change one address", twin)
		return
	}
	keys[u.key] = u.foreign
}

func (s *survey) readAccounts(rows []Account) {
	s.accounts = make([]account, 0, len(rows))
	ids := map[tenancy.AccountID]string{}
	for i, r := range rows {
		own, name, ok := s.name(KindAccount, i, "acc", string(r.ID), r.Foreign)
		if !ok {
			continue
		}
		if s.byAcc[name] != nil {
			s.refuse(KindAccount, i, name, "foreign", "row %d has this id too: give every account once", s.byAcc[name].row)
			continue
		}
		acc := account{row: i, foreign: name, owner: r.Owner}
		acc.ID = tenancy.AccountID(own)
		if twin, twice := ids[acc.ID]; twice {
			s.refuse(KindAccount, i, name, "id", "account %q has the same ID: one of them needs another", twin)
		}
		ids[acc.ID] = name
		var err error
		if acc.Name, err = tenancy.ParseName(r.Name); err != nil {
			s.refuse(KindAccount, i, name, "name", "a name has 1 to 200 bytes, something that can be read and no control characters or invisible ones")
		}
		if acc.Zone, err = tenancy.ParseZone(r.Zone); err != nil {
			s.refuse(KindAccount, i, name, "zone", "the time zone is not one of IANA's, such as Europe/Vienna: translate it, or leave it empty for UTC")
		}
		s.standing(&acc, r)
		s.accounts = append(s.accounts, acc)
		s.byAcc[name] = &s.accounts[len(s.accounts)-1]
	}
}

// standing settles status, ends and plan.
func (s *survey) standing(acc *account, r Account) {
	at := func(field string, t time.Time) time.Time { return s.stamp(KindAccount, acc.row, acc.foreign, field, t) }
	acc.TrialEndsAt, acc.GraceEndsAt, acc.PaidUntil = at("trial_ends_at", r.TrialEndsAt), at("grace_ends_at", r.GraceEndsAt), at("paid_until", r.PaidUntil)
	acc.CreatedAt = at("created_at", r.CreatedAt)
	acc.Status = s.status(acc, "status", r.Status)
	if r.SuspendedFrom != "" {
		acc.SuspendedFrom = s.status(acc, "suspended_from", r.SuspendedFrom)
		if acc.SuspendedFrom == tenancy.StatusSuspended || acc.Status != tenancy.StatusSuspended {
			s.refuse(KindAccount, acc.row, acc.foreign, "suspended_from", "only a suspended account was something else before: leave it empty")
		}
	} else if acc.Status == tenancy.StatusSuspended {
		s.note(KindAccount, acc.row, acc.foreign, "suspended_from", "nothing says what the suspended account was before: it is resumed after an operator has said it")
	}
	s.report.Statuses[acc.Status]++
	if (acc.Status == tenancy.StatusTrial || acc.SuspendedFrom == tenancy.StatusTrial) && acc.TrialEndsAt.IsZero() {
		if acc.TrialEndsAt = s.cfg.TrialsEndAt.UTC().Truncate(time.Microsecond); s.cfg.TrialsEndAt.IsZero() {
			acc.TrialEndsAt = time.Time{}
			s.note(KindAccount, acc.row, acc.foreign, "trial_ends_at", "the trial has no recorded end and will have none: set Config.TrialsEndAt to give it one")
		} else {
			s.note(KindAccount, acc.row, acc.foreign, "trial_ends_at", "the trial has no recorded end and gets the one of Config.TrialsEndAt")
		}
	}
	acc.Plan = r.Plan
	if slug, mapped := s.cfg.Plans[r.Plan]; mapped {
		acc.Plan = slug
	}
	switch p, known := s.plans[acc.Plan]; {
	case !known:
		s.refuse(KindAccount, acc.row, acc.foreign, "plan", "there is no plan %.64q: create it (Accounts.Ensure), or translate it in Config.Plans", acc.Plan)
	case !p.Active:
		s.note(KindAccount, acc.row, acc.foreign, "plan", "plan %q is inactive: the account may sign in, read, pay and export until it has another", acc.Plan)
	}
	s.report.Plans[acc.Plan]++
}

func (s *survey) status(acc *account, field, word string) tenancy.Status {
	status, mapped := s.cfg.Statuses[word]
	if !mapped {
		status = tenancy.Status(word)
	}
	switch {
	case status == tenancy.StatusClosed || status == tenancy.StatusErased:
		s.refuse(KindAccount, acc.row, acc.foreign, field, "the account is over: leave it out, or translate %q to cancelled in Config.Statuses", word)
	case !adoptable(status):
		s.refuse(KindAccount, acc.row, acc.foreign, field, "nothing is known of the word %.64q: translate it in Config.Statuses", word)
	}
	return status
}

// stamp is a time as both databases keep it.
func (s *survey) stamp(kind Kind, at int, id, field string, t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	if !inRange(t) {
		s.refuse(kind, at, id, field, "the time is not within the years 1 and 9999: put it right, or leave it empty")
	}
	return t.UTC().Truncate(time.Microsecond)
}

func inRange(t time.Time) bool { y := t.UTC().Year(); return y >= 1 && y <= 9999 }
