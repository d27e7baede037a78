package tenancy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestM9_SetRoles_ReplacesRolesAndSaysSo(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		account := ada.Account.ID
		bob := addMember(t, db, accounts, account, "bob@example.com", viewer, on(site("1"), tenancy.RoleEditor))
		want := tenancy.Member{Account: account, User: bob, Objects: []tenancy.ObjectRole{on(site("1"), tenancy.RoleEditor)}, CreatedAt: t0}
		clock.Advance(time.Hour)
		for _, c := range []struct{ given, from, to []tenancy.Role }{
			{[]tenancy.Role{tenancy.RoleDeveloper, tenancy.RoleEditor}, viewer, []tenancy.Role{tenancy.RoleEditor, tenancy.RoleDeveloper}},
			{nil, []tenancy.Role{tenancy.RoleEditor, tenancy.RoleDeveloper}, []tenancy.Role{}},
			{[]tenancy.Role{tenancy.RoleAdmin}, []tenancy.Role{}, []tenancy.Role{tenancy.RoleAdmin}},
		} {
			got, err := accounts.SetRoles(t.Context(), db, tenancy.SetRoles{Account: account, User: bob, Roles: c.given, Actor: self(ada), Reason: "because"})
			want.Roles = nil
			if len(c.to) > 0 {
				want.Roles = c.to
			}
			got.Roles = append([]tenancy.Role(nil), got.Roles...)
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s%v", c.given, d, err)
			}
			read, err := accounts.Member(t.Context(), db, account, bob)
			if d := cmp.Diff(want, read); d != "" || err != nil {
				t.Errorf("%v read (-want +got):\n%s%v", c.given, d, err)
			}
			fact := tenancytest.RequireEvent[tenancy.RolesChanged](t, db, account)
			if d := cmp.Diff(tenancy.RolesChanged{User: bob, From: c.from, To: c.to}, fact); d != "" {
				t.Errorf("%v: event (-want +got):\n%s", c.given, d)
			}
			line := tenancytest.RequireAudit(t, db, account, "tenancy.set_roles")
			if line.Actor != self(ada) || line.Target != string(bob) || line.Reason != "because" || !line.At.Equal(clock.Now()) || !strings.Contains(string(line.Data), `"to"`) {
				t.Errorf("audit %+v", line)
			}
		}
		unchanged(t, db, "the same again", func() {
			same := tenancy.SetRoles{Account: account, User: bob, Roles: []tenancy.Role{tenancy.RoleAdmin}, Actor: self(ada)}
			if _, err := accounts.SetRoles(t.Context(), db, same); err != nil {
				t.Error(err)
			}
		})
	})
}

func TestM9_SetObjectRoles_GivesReplacesAndTakesAway(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		account := ada.Account.ID
		bob := addMember(t, db, accounts, account, "bob@example.com", viewer, on(site("2"), tenancy.RoleEditor))
		set := func(o tenancy.Object, roles ...tenancy.Role) tenancy.Member {
			t.Helper()
			m, err := accounts.SetObjectRoles(t.Context(), db, tenancy.SetObjectRoles{
				Account: account, User: bob, Object: o, Roles: roles, Actor: self(ada), Reason: "because",
			})
			if err != nil {
				t.Fatal(err)
			}
			read, err := accounts.Member(t.Context(), db, account, bob)
			if d := cmp.Diff(read, m); d != "" || err != nil {
				t.Errorf("%v (-read +returned):\n%s%v", o, d, err)
			}
			return m
		}
		odd := tenancy.Object{Kind: "page", ID: `ü'"\?:1 ` + strings.Repeat("x", 100)}
		set(site("1"), tenancy.RoleDeveloper, tenancy.RoleViewer)
		set(odd, tenancy.RoleEditor)
		set(site("1"), tenancy.RoleAdmin)
		got := set(tenancy.Object{Kind: "project", ID: "2"}, tenancy.RoleViewer)
		want := []tenancy.ObjectRole{on(odd, tenancy.RoleEditor), on(tenancy.Object{Kind: "project", ID: "2"}, tenancy.RoleViewer),
			on(site("1"), tenancy.RoleAdmin), on(site("2"), tenancy.RoleEditor)}
		if d := cmp.Diff(want, got.Objects); d != "" {
			t.Errorf("objects (-want +got):\n%s", d)
		}
		wantErr(t, "the odd one", accounts.CanUser(t.Context(), db, account, bob, tenancy.PermContentWrite, odd), nil)
		set(site("1"))
		fact := tenancytest.RequireEvent[tenancy.RolesChanged](t, db, account)
		if d := cmp.Diff(tenancy.RolesChanged{User: bob, Object: site("1"), From: []tenancy.Role{tenancy.RoleAdmin}, To: []tenancy.Role{}}, fact); d != "" {
			t.Errorf("event (-want +got):\n%s", d)
		}
		line := tenancytest.RequireAudit(t, db, account, "tenancy.set_object_roles")
		if line.Actor != self(ada) || line.Target != string(bob) || line.Reason != "because" {
			t.Errorf("audit %+v", line)
		}
		unchanged(t, db, "taking away what is not there", func() { set(site("1")) })
		if m := set(site("2")); len(m.Objects) != 2 || len(m.Roles) != 1 {
			t.Errorf("%+v", m)
		}
	})
}

func TestM9_AddMember_RolesOnObjectsAlone(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		bob := createUser(t, db, accounts, "bob@example.com")
		got, err := accounts.AddMember(t.Context(), db, tenancy.AddMember{
			Account: ada.Account.ID, User: bob, Actor: self(ada),
			Objects: []tenancy.ObjectRole{on(site("2"), tenancy.RoleViewer), on(site("1"), tenancy.RoleEditor)},
		})
		objects := []tenancy.ObjectRole{on(site("1"), tenancy.RoleEditor), on(site("2"), tenancy.RoleViewer)}
		if d := cmp.Diff(objects, got.Objects); d != "" || err != nil {
			t.Errorf("(-want +got):\n%s%v", d, err)
		}
		fact := tenancytest.RequireEvent[tenancy.MemberAdded](t, db, ada.Account.ID)
		if d := cmp.Diff(tenancy.MemberAdded{User: bob, Roles: []tenancy.Role{}, Objects: objects}, fact); d != "" { // [] in JSON, as in RolesChanged
			t.Errorf("event (-want +got):\n%s", d)
		}
		eve := createUser(t, db, accounts, "eve@example.com")
		for what, objects := range map[string][]tenancy.ObjectRole{
			"twice":        {on(site("1"), tenancy.RoleViewer), on(site("1"), tenancy.RoleViewer)},
			"the owner's":  {on(site("1"), tenancy.RoleOwner)},
			"unknown":      {on(site("1"), "root")},
			"no kind":      {on(tenancy.Object{ID: "1"}, tenancy.RoleViewer)},
			"an odd kind":  {on(tenancy.Object{Kind: "a b", ID: "1"}, tenancy.RoleViewer)},
			"no id":        {on(site(""), tenancy.RoleViewer)},
			"an odd id":    {on(site("a\x00"), tenancy.RoleViewer)},
			"a long id":    {on(site(strings.Repeat("a", 129)), tenancy.RoleViewer)},
			"too many":     make([]tenancy.ObjectRole, 1001),
			"none at all":  {},
			"one of three": {on(site("1"), tenancy.RoleViewer), on(site("2"), "root"), on(site("3"), tenancy.RoleViewer)},
		} {
			unchanged(t, db, what, func() {
				_, err := accounts.AddMember(t.Context(), db, tenancy.AddMember{Account: ada.Account.ID, User: eve, Objects: objects, Actor: self(ada)})
				wantErr(t, what, err, tenancy.ErrInvalid)
				if len(objects) > 0 {
					wantErr(t, what+", MayGrant", accounts.MayGrant(t.Context(), db, ada.Account.ID, self(ada), nil, objects...), tenancy.ErrInvalid)
				}
			})
		}
	})
}

func TestM9_ForgetObject_TakesEverybodysRolesOnItAway(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		eve := tenancytest.Register(t, db, accounts, "eve@example.com")
		bob := addMember(t, db, accounts, ada.Account.ID, "bob@example.com", nil, on(site("1"), tenancy.RoleEditor), on(site("2"), tenancy.RoleEditor))
		zoe := addMember(t, db, accounts, ada.Account.ID, "zoe@example.com", nil, on(site("1"), tenancy.RoleViewer), on(site("1"), tenancy.RoleAdmin))
		far := addMember(t, db, accounts, eve.Account.ID, "far@example.com", nil, on(site("1"), tenancy.RoleViewer))
		f := tenancy.ForgetObject{Account: ada.Account.ID, Object: site("1"), Actor: as(bob), Reason: "deleted"}
		wantErr(t, "forgetting", accounts.ForgetObject(t.Context(), db, f), nil)
		for user, want := range map[tenancy.UserID]int{bob: 1, zoe: 0} {
			if m, err := accounts.Member(t.Context(), db, ada.Account.ID, user); len(m.Objects) != want || err != nil {
				t.Errorf("%s holds %v, %v", user, m.Objects, err)
			}
		}
		if m, err := accounts.Member(t.Context(), db, eve.Account.ID, far); len(m.Objects) != 1 || err != nil {
			t.Errorf("the other account's member holds %v, %v", m.Objects, err)
		}
		if fact := tenancytest.RequireEvent[tenancy.ObjectForgotten](t, db, ada.Account.ID); fact.Object != site("1") {
			t.Errorf("event %+v", fact)
		}
		if line := tenancytest.RequireAudit(t, db, ada.Account.ID, "tenancy.forget_object"); line.Target != "site:1" || line.Reason != "deleted" || line.Actor != as(bob) {
			t.Errorf("audit %+v", line)
		}
		for _, c := range []struct {
			what   string
			change func(f *tenancy.ForgetObject)
			want   error
		}{
			{"again", func(*tenancy.ForgetObject) {}, nil},
			{"no account", func(f *tenancy.ForgetObject) { f.Account = "acc_none" }, tenancy.ErrNoAccount},
			{"no object", func(f *tenancy.ForgetObject) { f.Object = tenancy.Object{} }, tenancy.ErrInvalid},
			{"an odd object", func(f *tenancy.ForgetObject) { f.Object.ID = "\xff" }, tenancy.ErrInvalid},
			{"no actor", func(f *tenancy.ForgetObject) { f.Actor = tenancy.Actor{} }, tenancy.ErrInvalid},
		} {
			unchanged(t, db, c.what, func() {
				m := f
				c.change(&m)
				wantErr(t, c.what, accounts.ForgetObject(t.Context(), db, m), c.want)
			})
		}
		setStatus(t, db, ada.Account.ID, tenancy.StatusClosed)
		wantErr(t, "of a closed account", accounts.ForgetObject(t.Context(), db, tenancy.ForgetObject{Account: ada.Account.ID, Object: site("2"), Actor: operator}), nil)
	})
}

// Who may do what to whom: a row for each actor and each member.
func TestM9_Roles_NobodyReachesFurtherThanItsOwn(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{Roles: map[tenancy.Role][]tenancy.Permission{
			"recruiter":  {tenancy.PermMembersManage, tenancy.PermMembersRead, tenancy.PermContentRead},
			"accountant": {"books.close"},
		}})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		account := ada.Account.ID
		member := func(email string, roles []tenancy.Role, objects ...tenancy.ObjectRole) tenancy.UserID {
			return addMember(t, db, accounts, account, email, roles, objects...)
		}
		actors := map[string]tenancy.Actor{
			"owner": self(ada), "admin": as(member("admin@example.com", []tenancy.Role{tenancy.RoleAdmin})),
			"recruiter": as(member("recruiter@example.com", []tenancy.Role{"recruiter"}, on(site("1"), tenancy.RoleEditor))),
			"developer": as(member("developer@example.com", []tenancy.Role{tenancy.RoleDeveloper, tenancy.RoleEditor}, on(site("1"), tenancy.RoleAdmin))),
			"stranger":  as("usr_none"), "operator": operator, "system": {Kind: tenancy.ActorSystem, ID: "job"}, "key": key,
			"forged": {Kind: "admin", ID: string(ada.User.ID)}, "owner's key": {Kind: tenancy.ActorKey, ID: string(ada.User.ID)},
		}
		type change struct {
			roles   []tenancy.Role // of the member before
			objects []tenancy.ObjectRole
			to      []tenancy.Role // on the account or, where on is set, on that
			on      *tenancy.Object
			may     string // the actors that may
		}
		one, two := site("1"), site("2")
		admins, editors := []tenancy.Role{tenancy.RoleAdmin}, []tenancy.Role{tenancy.RoleEditor}
		n := 0
		for what, c := range map[string]change{
			"a viewer stays one, with more": {viewer, nil, []tenancy.Role{tenancy.RoleViewer, "recruiter"}, nil, "owner admin recruiter operator system"},
			"a viewer becomes an editor":    {viewer, nil, editors, nil, "owner admin operator system"},
			"a viewer becomes an admin":     {viewer, nil, admins, nil, "owner admin operator system"},
			"an admin becomes a viewer":     {admins, nil, viewer, nil, "owner admin operator system"},
			"an admin gets one more":        {admins, nil, []tenancy.Role{tenancy.RoleAdmin, tenancy.RoleViewer}, nil, "owner admin operator system"},
			"an admin stays one":            {admins, nil, admins, nil, "owner admin operator system"},
			"an accountant loses that":      {[]tenancy.Role{"accountant"}, nil, nil, nil, "owner operator system"},
			"on a site of one's own":        {viewer, nil, editors, &one, "owner admin recruiter operator system"},
			"on another site":               {viewer, nil, editors, &two, "owner admin operator system"},
			"more on a site of one's own":   {viewer, nil, admins, &one, "owner admin operator system"},
			"taken away, one's own":         {viewer, []tenancy.ObjectRole{on(one, tenancy.RoleEditor)}, nil, &one, "owner admin recruiter operator system"},
			"taken away, another":           {viewer, []tenancy.ObjectRole{on(two, tenancy.RoleEditor)}, nil, &two, "owner admin operator system"},
		} {
			for name, actor := range actors {
				n++
				bob := member(fmt.Sprintf("member%d@example.com", n), c.roles, c.objects...)
				want := tenancy.ErrForbidden
				if strings.Contains(" "+c.may+" ", " "+name+" ") {
					want = nil
				}
				act := func() {
					var err error
					if c.on == nil {
						_, err = accounts.SetRoles(t.Context(), db, tenancy.SetRoles{Account: account, User: bob, Roles: c.to, Actor: actor})
					} else {
						_, err = accounts.SetObjectRoles(t.Context(), db, tenancy.SetObjectRoles{Account: account, User: bob, Object: *c.on, Roles: c.to, Actor: actor})
					}
					wantErr(t, what+", "+name, err, want)
				}
				if want == nil {
					act()
					continue
				}
				unchanged(t, db, what, act)
			}
		}
		for what, c := range map[string]change{
			"a viewer goes":             {viewer, nil, nil, nil, "owner admin recruiter operator system"},
			"an admin goes":             {admins, nil, nil, nil, "owner admin operator system"},
			"an accountant goes":        {[]tenancy.Role{"accountant"}, nil, nil, nil, "owner operator system"},
			"an editor of site 1 goes":  {nil, []tenancy.ObjectRole{on(one, tenancy.RoleEditor)}, nil, nil, "owner admin recruiter operator system"},
			"an editor of site 2 goes":  {nil, []tenancy.ObjectRole{on(two, tenancy.RoleEditor)}, nil, nil, "owner admin operator system"},
			"an accountant of a site's": {nil, []tenancy.ObjectRole{on(one, "accountant")}, nil, nil, "owner operator system"},
		} {
			for name, actor := range actors {
				n++
				bob := member(fmt.Sprintf("member%d@example.com", n), c.roles, c.objects...)
				want := tenancy.ErrForbidden
				if strings.Contains(" "+c.may+" ", " "+name+" ") {
					want = nil
				}
				wantErr(t, what+", "+name, accounts.RemoveMember(t.Context(), db, tenancy.RemoveMember{Account: account, User: bob, Actor: actor}), want)
				wantErr(t, what+" by itself", accounts.RemoveMember(t.Context(), db, tenancy.RemoveMember{Account: account, User: bob, Actor: as(bob)}),
					map[bool]error{true: tenancy.ErrNoUser}[want == nil])
			}
		}
	})
}

func TestM9_SetRoles_Refusals(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		eve := tenancytest.Register(t, db, accounts, "eve@example.com")
		admin := as(addMember(t, db, accounts, ada.Account.ID, "admin@example.com", []tenancy.Role{tenancy.RoleAdmin}))
		bob := addMember(t, db, accounts, ada.Account.ID, "bob@example.com", viewer)
		good := tenancy.SetRoles{Account: ada.Account.ID, User: bob, Roles: []tenancy.Role{tenancy.RoleEditor}, Actor: self(ada)}
		for _, c := range []struct {
			what   string
			change func(s *tenancy.SetRoles)
			want   error
		}{
			{"to owner", func(s *tenancy.SetRoles) { s.Roles = []tenancy.Role{tenancy.RoleOwner} }, tenancy.ErrInvalid},
			{"unknown", func(s *tenancy.SetRoles) { s.Roles = []tenancy.Role{"root"} }, tenancy.ErrInvalid},
			{"twice", func(s *tenancy.SetRoles) { s.Roles = append(s.Roles, s.Roles...) }, tenancy.ErrInvalid},
			{"no actor", func(s *tenancy.SetRoles) { s.Actor = tenancy.Actor{} }, tenancy.ErrInvalid},
			{"a long reason", func(s *tenancy.SetRoles) { s.Reason = strings.Repeat("a", 1001) }, tenancy.ErrInvalid},
			{"the owner, by itself", func(s *tenancy.SetRoles) { s.User = ada.User.ID }, tenancy.ErrLastOwner},
			{"the owner, by an admin", func(s *tenancy.SetRoles) { s.User, s.Actor = ada.User.ID, admin }, tenancy.ErrLastOwner},
			{"the owner, by an operator", func(s *tenancy.SetRoles) { s.User, s.Actor, s.Roles = ada.User.ID, operator, nil }, tenancy.ErrLastOwner},
			{"the owner, by a member", func(s *tenancy.SetRoles) { s.User, s.Actor = ada.User.ID, as(bob) }, tenancy.ErrForbidden},
			{"its own", func(s *tenancy.SetRoles) { s.Actor = as(bob) }, tenancy.ErrForbidden},
			{"no member", func(s *tenancy.SetRoles) { s.User = eve.User.ID }, tenancy.ErrNoUser},
			{"nobody", func(s *tenancy.SetRoles) { s.User = "" }, tenancy.ErrNoUser},
			{"another account's owner acts", func(s *tenancy.SetRoles) { s.Actor = self(eve) }, tenancy.ErrForbidden},
			{"another account", func(s *tenancy.SetRoles) { s.Account = eve.Account.ID }, tenancy.ErrForbidden},
			{"no account", func(s *tenancy.SetRoles) { s.Account = "acc_none" }, tenancy.ErrNoAccount},
		} {
			s := good
			c.change(&s)
			unchanged(t, db, c.what, func() {
				_, err := accounts.SetRoles(t.Context(), db, s)
				wantErr(t, c.what, err, c.want)
				if errors.Is(c.want, tenancy.ErrLastOwner) {
					return // the owner may hold roles on objects too
				}
				_, err = accounts.SetObjectRoles(t.Context(), db, tenancy.SetObjectRoles{
					Account: s.Account, User: s.User, Object: site("1"), Roles: s.Roles, Actor: s.Actor, Reason: s.Reason,
				})
				wantErr(t, c.what+", on a site", err, c.want)
			})
		}
		_, err := accounts.SetObjectRoles(t.Context(), db, tenancy.SetObjectRoles{Account: ada.Account.ID, User: bob, Roles: viewer, Actor: self(ada)})
		wantErr(t, "no object", err, tenancy.ErrInvalid)
		// An admin may step down, and back by nobody's leave but another's.
		down := tenancy.SetRoles{Account: ada.Account.ID, User: tenancy.UserID(admin.ID), Roles: viewer, Actor: admin}
		_, err = accounts.SetRoles(t.Context(), db, down)
		wantErr(t, "stepping down", err, nil)
		down.Roles = []tenancy.Role{tenancy.RoleAdmin}
		_, err = accounts.SetRoles(t.Context(), db, down)
		wantErr(t, "and up again", err, tenancy.ErrForbidden)
	})
}

// Who owes money can put people out and takes nobody in; what is closed does nothing.
func TestM9_Members_WhatTheStatusAllows(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		account := ada.Account.ID
		n := 0
		for status, c := range map[tenancy.Status]struct{ add, byOperator, other error }{
			tenancy.StatusTrial:          {nil, nil, nil},
			tenancy.StatusActive:         {nil, nil, nil},
			tenancy.StatusPastDue:        {tenancy.ErrPastDue, nil, nil},
			tenancy.StatusPendingPayment: {tenancy.ErrPaymentPending, nil, nil},
			tenancy.StatusSuspended:      {tenancy.ErrSuspended, nil, nil},
			tenancy.StatusCancelled:      {tenancy.ErrCancelled, nil, nil},
			tenancy.StatusClosed:         {tenancy.ErrNoAccount, tenancy.ErrNoAccount, tenancy.ErrNoAccount},
			tenancy.StatusErased:         {tenancy.ErrNoAccount, tenancy.ErrNoAccount, tenancy.ErrNoAccount},
			"odd":                        {tenancy.ErrUnknownStatus, tenancy.ErrUnknownStatus, tenancy.ErrUnknownStatus},
		} {
			n++
			setStatus(t, db, account, tenancy.StatusActive)
			bob := addMember(t, db, accounts, account, fmt.Sprintf("bob%d@example.com", n), viewer)
			eve, zoe := createUser(t, db, accounts, fmt.Sprintf("eve%d@example.com", n)), createUser(t, db, accounts, fmt.Sprintf("zoe%d@example.com", n))
			setStatus(t, db, account, status)
			what := string(status)
			_, err := accounts.AddMember(t.Context(), db, tenancy.AddMember{Account: account, User: eve, Roles: viewer, Actor: self(ada)})
			wantErr(t, what+", adding", err, c.add)
			_, err = accounts.AddMember(t.Context(), db, tenancy.AddMember{Account: account, User: zoe, Roles: viewer, Actor: operator})
			wantErr(t, what+", an operator adding", err, c.byOperator)
			_, err = accounts.SetRoles(t.Context(), db, tenancy.SetRoles{Account: account, User: bob, Roles: []tenancy.Role{tenancy.RoleEditor}, Actor: self(ada)})
			wantErr(t, what+", changing", err, c.other)
			_, err = accounts.SetObjectRoles(t.Context(), db, tenancy.SetObjectRoles{Account: account, User: bob, Object: site("1"), Roles: viewer, Actor: self(ada)})
			wantErr(t, what+", changing on a site", err, c.other)
			_, err = accounts.OfferOwnership(t.Context(), db, tenancy.OfferOwnership{Account: account, To: bob, Actor: self(ada)})
			wantErr(t, what+", offering", err, c.other)
			wantErr(t, what+", removing", accounts.RemoveMember(t.Context(), db, tenancy.RemoveMember{Account: account, User: bob, Actor: self(ada)}), c.other)
		}
	})
}

func TestM9_AccountsOf_WhatAPersonMayChooseFrom(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		bob := createUser(t, db, accounts, "bob@example.com")
		join := func(email string, status tenancy.Status, roles []tenancy.Role, objects ...tenancy.ObjectRole) tenancy.AccountID {
			clock.Advance(time.Minute)
			r := tenancytest.Register(t, db, accounts, email)
			m := tenancy.AddMember{Account: r.Account.ID, User: bob, Roles: roles, Objects: objects, Actor: self(r)}
			if _, err := accounts.AddMember(t.Context(), db, m); err != nil {
				t.Fatal(err)
			}
			setStatus(t, db, r.Account.ID, status)
			return r.Account.ID
		}
		first := join("first@example.com", tenancy.StatusActive, []tenancy.Role{tenancy.RoleDeveloper, tenancy.RoleAdmin})
		closed := join("closed@example.com", tenancy.StatusClosed, viewer)
		erased := join("erased@example.com", tenancy.StatusErased, viewer)
		_, err := accounts.AccountOf(t.Context(), db, bob, closed)
		wantErr(t, "the closed one", err, tenancy.ErrNoAccount)
		_, err = accounts.AccountOf(t.Context(), db, bob, erased)
		wantErr(t, "the erased one", err, tenancy.ErrNoAccount)
		if got, err := accounts.AccountOf(t.Context(), db, bob, ""); got != first || err != nil {
			t.Errorf("the only open one: %s, %v", got, err)
		}
		last := join("last@example.com", tenancy.StatusSuspended, nil, on(site("1"), tenancy.RoleEditor))
		_, err = accounts.AccountOf(t.Context(), db, bob, "")
		wantErr(t, "two", err, tenancy.ErrWhichAccount)
		tenancytest.Register(t, db, accounts, "foreign@example.com")

		want := []tenancy.Membership{
			{Account: first, Name: "first@example.com", Status: tenancy.StatusActive, Roles: []tenancy.Role{tenancy.RoleAdmin, tenancy.RoleDeveloper}, Since: t0.Add(time.Minute)},
			{Account: last, Name: "last@example.com", Status: tenancy.StatusSuspended, Roles: []tenancy.Role{}, Objects: []tenancy.ObjectRole{on(site("1"), tenancy.RoleEditor)}, Since: t0.Add(4 * time.Minute)},
		}
		got, err := accounts.AccountsOf(t.Context(), db, bob)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("(-want +got):\n%s%v", d, err)
		}
		for _, nobody := range []tenancy.UserID{"usr_none", "", "\x00"} {
			if got, err := accounts.AccountsOf(t.Context(), db, nobody); got == nil || len(got) != 0 || err != nil {
				t.Errorf("%q: %v, %v", nobody, got, err)
			}
		}
	})
}

// The program of the version before removes a member and knows nothing of what was
// added.
func TestM15_APreviousBinaryRemovesAMemberWithRolesOnObjects(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		bob := addMember(t, db, accounts, ada.Account.ID, "bob@example.com", viewer, on(site("1"), tenancy.RoleEditor))
		if _, err := accounts.OfferOwnership(t.Context(), db, tenancy.OfferOwnership{Account: ada.Account.ID, To: bob, Actor: self(ada)}); err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{"DELETE FROM tenancy_member_roles WHERE user_id = ?", "DELETE FROM tenancy_members WHERE user_id = ?"} {
			if _, err := db.ExecContext(t.Context(), statement, bob); err != nil {
				t.Fatal(err)
			}
		}
		if r := rows(t, db); r["tenancy_object_roles"] != 0 || r["tenancy_ownership_offers"] != 0 {
			t.Errorf("left behind: %v", r)
		}
	})
}

// A SQLite that does not mind foreign keys cascades nothing.
func TestM9_RemoveMember_LeavesNothingBehind(t *testing.T) {
	db := dbtest.SQLiteOneConn(t, tenancy.Migrate)
	if _, err := db.ExecContext(t.Context(), "PRAGMA foreign_keys = OFF"); err != nil {
		t.Fatal(err)
	}
	accounts, _ := newAccounts(t, db, tenancy.Config{})
	ada := tenancytest.Register(t, db, accounts, "ada@example.com")
	before := rows(t, db)
	bob := addMember(t, db, accounts, ada.Account.ID, "bob@example.com", viewer, on(site("1"), tenancy.RoleEditor))
	offer(t, db, accounts, ada.Account.ID, bob, self(ada))
	wantErr(t, "removing", accounts.RemoveMember(t.Context(), db, tenancy.RemoveMember{Account: ada.Account.ID, User: bob, Actor: self(ada)}), nil)
	after := rows(t, db)
	for _, table := range []string{"tenancy_members", "tenancy_member_roles", "tenancy_object_roles", "tenancy_ownership_offers"} {
		if after[table] != before[table] {
			t.Errorf("%s: %d rows, want %d", table, after[table], before[table])
		}
	}
}

func TestM15_TakingThePeopleBackKeepsMembersAndRoles(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		addMember(t, db, accounts, ada.Account.ID, "bob@example.com", viewer, on(site("1"), tenancy.RoleEditor))
		before := rows(t, db)
		if err := tenancy.Down(t.Context(), db, 1); err != nil {
			t.Fatal(err)
		}
		if err := tenancy.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		before["tenancy_object_roles"] = 0
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Errorf("(-before +after):\n%s", d)
		}
	})
}

func TestM9_Members_TakesAsManyStatementsWhateverTheirNumber(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	accounts, _ := newAccounts(t, db, tenancy.Config{})
	ada := tenancytest.Register(t, db, accounts, "ada@example.com")
	q := &asked{}
	for i := range 3 {
		addMember(t, db, accounts, ada.Account.ID, fmt.Sprintf("m%d@example.com", i), viewer, on(site("1"), tenancy.RoleEditor))
	}
	members, err := accounts.Members(t.Context(), db.WithQueryHook(q), ada.Account.ID)
	if len(members) != 4 || len(q.said) != 3 || err != nil {
		t.Errorf("%d members in %d statements, %v", len(members), len(q.said), err)
	}
}

// A person's accounts are found by index, however many roles everybody else holds.
func TestM9_AccountsOf_ReadsNobodyElsesRows(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		if db.Dialect().Name() != dialect.SQLite {
			return // whose planner does not go by the number of rows
		}
		said := &asked{}
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		if _, err := accounts.AccountsOf(t.Context(), db.WithQueryHook(said), tenancytest.Register(t, db, accounts, "ada@example.com").User.ID); err != nil {
			t.Fatal(err)
		}
		for _, query := range said.said {
			var plan []struct {
				ID, Parent, Notused int
				Detail              string
			}
			if err := db.NewRaw("EXPLAIN QUERY PLAN ?", bun.Safe(query)).Scan(t.Context(), &plan); err != nil {
				t.Fatal(err)
			}
			for _, step := range plan {
				if strings.HasPrefix(step.Detail, "SCAN") {
					t.Errorf("%s: %s", step.Detail, query)
				}
			}
		}
	})
}
