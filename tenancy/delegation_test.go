package tenancy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/uptrace/bun"
	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// delegated enters an account as a credential that acts on the rights of d.
func delegated(t testing.TB, db bun.IDB, accounts *tenancy.Accounts, account tenancy.AccountID, actor tenancy.Actor, d tenancy.Delegation) context.Context {
	t.Helper()
	ctx, err := accounts.EnterAs(t.Context(), db, tenancy.Principal{Account: account, Actor: actor, Delegation: &d}, tenancy.Read)
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

// M9: a token of a user acts on the user's rights, as far as its scopes go and as long
// as the user has them.
func TestM9_Can_ADelegationNarrowsAndShrinks(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		bob := addMember(t, db, accounts, ada.Account.ID, "bob@example.com", []tenancy.Role{tenancy.RoleEditor}, on(site("1"), tenancy.RoleAdmin))
		eve := tenancytest.Register(t, db, accounts, "eve@example.com")
		for _, actor := range []tenancy.Actor{as(bob), key} {
			narrow := delegated(t, db, accounts, ada.Account.ID, actor, tenancy.Delegation{User: bob, Scopes: []tenancy.Permission{tenancy.PermContentWrite, tenancy.PermBillingManage}})
			wide := delegated(t, db, accounts, ada.Account.ID, actor, tenancy.Delegation{User: bob, Scopes: []tenancy.Permission{tenancy.AllScopes}})
			none := delegated(t, db, accounts, ada.Account.ID, actor, tenancy.Delegation{User: bob})
			stranger := delegated(t, db, accounts, ada.Account.ID, actor, tenancy.Delegation{User: eve.User.ID, Scopes: []tenancy.Permission{tenancy.AllScopes}})
			says := func(what string, ctx context.Context, p tenancy.Permission, want error, o ...tenancy.Object) {
				t.Helper()
				wantErr(t, fmt.Sprintf("%s: %s: %q %v", actor.Kind, what, p, o), accounts.Can(ctx, db, p, o...), want)
			}
			says("a scope that is held", narrow, tenancy.PermContentWrite, nil)
			says("a scope that is not held", narrow, tenancy.PermBillingManage, tenancy.ErrForbidden)
			says("a scope that is held on the object", narrow, tenancy.PermBillingManage, nil, site("1"))
			says("a scope that is held on one of two", narrow, tenancy.PermBillingManage, tenancy.ErrForbidden, site("1"), site("2"))
			says("held and no scope", narrow, tenancy.PermContentRead, tenancy.ErrForbidden)
			says("held and no scope, on the object", narrow, tenancy.PermContentRead, tenancy.ErrForbidden, site("1"))
			says("all scopes", wide, tenancy.PermContentRead, nil)
			says("all scopes, not held", wide, tenancy.PermBillingManage, tenancy.ErrForbidden)
			says("all scopes is no permission", wide, tenancy.AllScopes, tenancy.ErrForbidden)
			says("no permission at all", wide, "", tenancy.ErrForbidden)
			says("no scopes", none, tenancy.PermContentRead, tenancy.ErrForbidden)
			says("no member", stranger, tenancy.PermContentRead, tenancy.ErrForbidden)

			set := tenancy.SetRoles{Account: ada.Account.ID, User: bob, Roles: []tenancy.Role{tenancy.RoleViewer}, Actor: operator}
			if _, err := accounts.SetRoles(t.Context(), db, set); err != nil {
				t.Fatal(err)
			}
			says("demoted", narrow, tenancy.PermContentWrite, tenancy.ErrForbidden)
			says("demoted", wide, tenancy.PermContentRead, nil)
			set.Roles = []tenancy.Role{tenancy.RoleEditor}
			if _, err := accounts.SetRoles(t.Context(), db, set); err != nil {
				t.Fatal(err)
			}
		}
		ctx := delegated(t, db, accounts, ada.Account.ID, key, tenancy.Delegation{User: bob, Scopes: []tenancy.Permission{tenancy.AllScopes}})
		if err := accounts.RemoveMember(t.Context(), db, tenancy.RemoveMember{Account: ada.Account.ID, User: bob, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "entered, then removed", accounts.Can(ctx, db, tenancy.PermContentRead), tenancy.ErrForbidden)
		wantErr(t, "entered, then removed, on the object", accounts.Can(ctx, db, tenancy.PermContentRead, site("1")), tenancy.ErrForbidden)
	})
}

func TestM9_Covers_WhoHoldsAllThatItGives(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{Roles: map[tenancy.Role][]tenancy.Permission{"publisher": {"sites.publish"}}})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		other := tenancytest.Register(t, db, accounts, "other@example.com")
		member := func(email string, roles []tenancy.Role, objects ...tenancy.ObjectRole) tenancy.UserID {
			return addMember(t, db, accounts, ada.Account.ID, email, roles, objects...)
		}
		owner := ada.User.ID
		admin, admin2 := member("admin@example.com", []tenancy.Role{tenancy.RoleAdmin}), member("admin2@example.com", []tenancy.Role{tenancy.RoleAdmin})
		dev := member("dev@example.com", []tenancy.Role{tenancy.RoleDeveloper})
		viewer := member("viewer@example.com", []tenancy.Role{tenancy.RoleViewer})
		onSite := member("on-site@example.com", []tenancy.Role{tenancy.RoleViewer}, on(site("1"), tenancy.RoleEditor))
		publisher := member("publisher@example.com", []tenancy.Role{"publisher", tenancy.RoleAdmin})
		every := []tenancy.Permission{tenancy.AllScopes}
		billing := []tenancy.Permission{tenancy.PermBillingManage}
		content := []tenancy.Permission{tenancy.PermContentRead, tenancy.PermMembersRead}
		writes := []tenancy.Permission{tenancy.PermContentWrite}
		publish := []tenancy.Permission{"sites.publish"}
		key := tenancy.Actor{Kind: tenancy.ActorKey, ID: "k"}
		for what, c := range map[string]struct {
			actor tenancy.Actor
			d     tenancy.Delegation
			want  error
		}{
			"a developer, the owner's all":                  {as(dev), tenancy.Delegation{User: owner, Scopes: every}, tenancy.ErrForbidden},
			"a developer, the owner's billing":              {as(dev), tenancy.Delegation{User: owner, Scopes: billing}, tenancy.ErrForbidden},
			"a developer, the owner's content":              {as(dev), tenancy.Delegation{User: owner, Scopes: content}, nil},
			"a developer, the owner's content and more":     {as(dev), tenancy.Delegation{User: owner, Scopes: append(writes, content...)}, tenancy.ErrForbidden},
			"a developer, a viewer's all":                   {as(dev), tenancy.Delegation{User: viewer, Scopes: every}, tenancy.ErrForbidden},
			"a developer, a viewer's billing":               {as(dev), tenancy.Delegation{User: viewer, Scopes: billing}, tenancy.ErrForbidden},
			"a developer, the owner's nothing":              {as(dev), tenancy.Delegation{User: owner}, nil},
			"a developer, the owner's unheard-of":           {as(dev), tenancy.Delegation{User: owner, Scopes: []tenancy.Permission{"who.knows"}}, tenancy.ErrForbidden},
			"a developer, the service's":                    {as(dev), tenancy.Delegation{Scopes: content}, nil},
			"the owner, the service's":                      {as(owner), tenancy.Delegation{Scopes: content}, nil},
			"the owner, the service's nothing":              {as(owner), tenancy.Delegation{}, nil},
			"an admin, the owner's all":                     {as(admin), tenancy.Delegation{User: owner, Scopes: every}, tenancy.ErrForbidden}, // sites.publish
			"an admin, the owner's billing":                 {as(admin), tenancy.Delegation{User: owner, Scopes: billing}, nil},
			"an admin, another admin's all":                 {as(admin), tenancy.Delegation{User: admin2, Scopes: every}, tenancy.ErrForbidden},
			"an admin, a publisher's all":                   {as(admin), tenancy.Delegation{User: publisher, Scopes: every}, tenancy.ErrForbidden},
			"an admin, a publisher's billing":               {as(admin), tenancy.Delegation{User: publisher, Scopes: billing}, nil},
			"an admin, a publisher's sites":                 {as(admin), tenancy.Delegation{User: publisher, Scopes: publish}, tenancy.ErrForbidden},
			"a publisher, the owner's all":                  {as(publisher), tenancy.Delegation{User: owner, Scopes: every}, nil},
			"a developer, an editor's on a site, all":       {as(dev), tenancy.Delegation{User: onSite, Scopes: every}, tenancy.ErrForbidden},
			"a developer, an editor's on a site, its write": {as(dev), tenancy.Delegation{User: onSite, Scopes: writes}, tenancy.ErrForbidden},
			"a developer, an editor's on a site, content":   {as(dev), tenancy.Delegation{User: onSite, Scopes: content}, nil},
			"who holds it on a site, the owner's":           {as(onSite), tenancy.Delegation{User: owner, Scopes: writes}, tenancy.ErrForbidden},
			"the owner, an editor's on a site":              {as(owner), tenancy.Delegation{User: onSite, Scopes: every}, nil},
			"oneself":                                       {as(dev), tenancy.Delegation{User: dev, Scopes: every}, nil},
			"a stranger, the owner's content":               {as(other.User.ID), tenancy.Delegation{User: owner, Scopes: content}, tenancy.ErrForbidden},
			"a developer, a stranger's all":                 {as(dev), tenancy.Delegation{User: other.User.ID, Scopes: every}, tenancy.ErrForbidden},
			"an operator":                                   {operator, tenancy.Delegation{User: owner, Scopes: every}, nil},
			"the system":                                    {tenancy.Actor{Kind: tenancy.ActorSystem, ID: "job"}, tenancy.Delegation{Scopes: every}, nil},
			"a key":                                         {key, tenancy.Delegation{User: viewer}, tenancy.ErrForbidden},
			"nobody":                                        {tenancy.Actor{}, tenancy.Delegation{}, tenancy.ErrForbidden},
		} {
			wantErr(t, what, accounts.Covers(t.Context(), db, ada.Account.ID, c.actor, c.d), c.want)
		}
	})
}

// Whoever Covers lets hand a delegation on can by it no more than by itself, anywhere.
func TestM9_Covers_GivesNobodyMore(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	accounts, _ := newAccounts(t, db, tenancy.Config{})
	ada := tenancytest.Register(t, db, accounts, "ada@example.com")
	users := []tenancy.UserID{ada.User.ID, createUser(t, db, accounts, "bob@example.com"), createUser(t, db, accounts, "eve@example.com")}
	perms := []tenancy.Permission{tenancy.PermKeysManage, tenancy.PermBillingManage, tenancy.PermContentRead, tenancy.PermContentWrite}
	places := [][]tenancy.Object{nil, {site("1")}, {site("2")}}
	rapid.Check(t, func(rt *rapid.T) {
		for _, u := range users[1:] {
			_ = accounts.RemoveMember(rt.Context(), db, tenancy.RemoveMember{Account: ada.Account.ID, User: u, Actor: operator})
			m := tenancy.AddMember{Account: ada.Account.ID, User: u, Actor: operator}
			m.Roles = rapid.SliceOfNDistinct(rapid.SampledFrom(builtIn[1:]), 0, 2, rapid.ID).Draw(rt, "roles")
			for _, s := range []string{"1", "2"} {
				for _, r := range rapid.SliceOfNDistinct(rapid.SampledFrom(builtIn[1:]), 0, 1, rapid.ID).Draw(rt, "on "+s) {
					m.Objects = append(m.Objects, on(site(s), r))
				}
			}
			if len(m.Roles)+len(m.Objects) == 0 {
				continue
			}
			if _, err := accounts.AddMember(rt.Context(), db, m); err != nil {
				rt.Fatal(err)
			}
		}
		actor := rapid.SampledFrom(users).Draw(rt, "actor")
		d := tenancy.Delegation{
			User:   rapid.SampledFrom(users).Draw(rt, "maker"),
			Scopes: rapid.SliceOfNDistinct(rapid.SampledFrom(append(perms, tenancy.AllScopes)), 0, 3, rapid.ID).Draw(rt, "scopes"),
		}
		if actor == d.User || accounts.Covers(rt.Context(), db, ada.Account.ID, as(actor), d) != nil {
			return
		}
		byIt := delegated(t, db, accounts, ada.Account.ID, key, d)
		for _, p := range perms {
			for _, o := range places {
				if accounts.Can(byIt, db, p, o...) == nil && accounts.CanUser(rt.Context(), db, ada.Account.ID, actor, p, o...) != nil {
					rt.Fatalf("%s may hand on %s at %v, and does not hold it", actor, p, o)
				}
			}
		}
	})
}

func TestCapability_IsTextInJSON(t *testing.T) {
	for c := tenancy.Capability(1); c < 1<<7; c++ {
		raw, err := json.Marshal(map[string]tenancy.Capability{"may": c})
		if err != nil {
			t.Fatal(err)
		}
		var back map[string]tenancy.Capability
		if err := json.Unmarshal(raw, &back); err != nil || back["may"] != c {
			t.Errorf("%s became %v, %v", raw, back, err)
		}
	}
	for _, text := range []string{"", "+", "read+", "Read", "read + write", "all", "127", "*"} {
		c := tenancy.Pay
		wantErr(t, fmt.Sprintf("%q", text), c.UnmarshalText([]byte(text)), tenancy.ErrInvalid)
		if c != tenancy.Pay {
			t.Errorf("%q changed it to %s", text, c)
		}
	}
}
