package tenancy_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/uptrace/bun"
	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// table is the one of the doc comment of Permission, written down again.
var table = map[tenancy.Permission][]tenancy.Role{
	tenancy.PermAccountManage: {tenancy.RoleOwner, tenancy.RoleAdmin},
	tenancy.PermMembersRead:   {tenancy.RoleOwner, tenancy.RoleAdmin, tenancy.RoleEditor, tenancy.RoleViewer, tenancy.RoleDeveloper},
	tenancy.PermMembersManage: {tenancy.RoleOwner, tenancy.RoleAdmin},
	tenancy.PermKeysManage:    {tenancy.RoleOwner, tenancy.RoleAdmin, tenancy.RoleDeveloper},
	tenancy.PermBillingRead:   {tenancy.RoleOwner, tenancy.RoleAdmin},
	tenancy.PermBillingManage: {tenancy.RoleOwner, tenancy.RoleAdmin},
	tenancy.PermContentRead:   {tenancy.RoleOwner, tenancy.RoleAdmin, tenancy.RoleEditor, tenancy.RoleViewer, tenancy.RoleDeveloper},
	tenancy.PermContentWrite:  {tenancy.RoleOwner, tenancy.RoleAdmin, tenancy.RoleEditor},
}

var builtIn = []tenancy.Role{tenancy.RoleOwner, tenancy.RoleAdmin, tenancy.RoleEditor, tenancy.RoleViewer, tenancy.RoleDeveloper}

func site(id string) tenancy.Object { return tenancy.Object{Kind: "site", ID: id} }

func on(o tenancy.Object, r tenancy.Role) tenancy.ObjectRole {
	return tenancy.ObjectRole{Object: o, Role: r}
}

// addMember makes a new user a member, as an operator does.
func addMember(t *testing.T, db bun.IDB, accounts *tenancy.Accounts, account tenancy.AccountID, email string, roles []tenancy.Role, objects ...tenancy.ObjectRole) tenancy.UserID {
	t.Helper()
	user := createUser(t, db, accounts, email)
	m := tenancy.AddMember{Account: account, User: user, Roles: roles, Objects: objects, Actor: operator}
	if _, err := accounts.AddMember(t.Context(), db, m); err != nil {
		t.Fatal(err)
	}
	return user
}

func enter(t testing.TB, db bun.IDB, accounts *tenancy.Accounts, account tenancy.AccountID, actor tenancy.Actor) context.Context {
	t.Helper()
	ctx, err := accounts.Enter(t.Context(), db, account, actor, tenancy.Read)
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

func TestM9_Can_EachRoleHoldsWhatTheTableSays(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		eve := tenancytest.Register(t, db, accounts, "eve@example.com")
		holders := map[tenancy.Role]tenancy.UserID{tenancy.RoleOwner: ada.User.ID}
		for _, r := range builtIn[1:] {
			holders[r] = addMember(t, db, accounts, ada.Account.ID, string(r)+"@example.com", []tenancy.Role{r})
		}
		permissions := append(slices.Collect(maps.Keys(table)), "sites.publish", "", "content.*", "\x00")
		for role, user := range holders {
			ctx := enter(t, db, accounts, ada.Account.ID, as(user))
			elsewhere := enter(t, db, accounts, eve.Account.ID, as(user))
			for _, p := range permissions {
				what := fmt.Sprintf("%s %q", role, p)
				want := tenancy.ErrForbidden
				if slices.Contains(table[p], role) {
					want = nil
				}
				wantErr(t, what, accounts.Can(ctx, db, p), want)
				wantErr(t, what+" on an object", accounts.Can(ctx, db, p, site("1")), want)
				wantErr(t, what+" on what cannot be one", accounts.Can(ctx, db, p, tenancy.Object{}, site("\x00")), want)
				wantErr(t, what+", the user", accounts.CanUser(t.Context(), db, ada.Account.ID, user, p), want)
				wantErr(t, what+" elsewhere", accounts.Can(elsewhere, db, p), tenancy.ErrForbidden)
				wantErr(t, what+" elsewhere, the user", accounts.CanUser(t.Context(), db, eve.Account.ID, user, p), tenancy.ErrForbidden)
			}
		}
		for _, c := range []struct {
			actor tenancy.Actor
			want  error
		}{
			{operator, nil}, {tenancy.Actor{Kind: tenancy.ActorSystem, ID: "job"}, nil},
			{key, tenancy.ErrForbidden}, {tenancy.Actor{Kind: "god", ID: "1"}, tenancy.ErrForbidden}, {as("usr_none"), tenancy.ErrForbidden},
			{as("usr_\x7f"), tenancy.ErrInvalid}, {tenancy.Actor{Kind: tenancy.ActorKey, ID: string(ada.User.ID)}, tenancy.ErrForbidden},
		} {
			ctx, err := accounts.Enter(t.Context(), db, ada.Account.ID, c.actor, tenancy.Read)
			if err == nil {
				err = accounts.Can(ctx, db, tenancy.PermContentRead, site("1"))
			}
			wantErr(t, fmt.Sprint(c.actor), err, c.want)
		}
		wantErr(t, "an odd account", accounts.CanUser(t.Context(), db, "a\x00", ada.User.ID, tenancy.PermContentRead), tenancy.ErrForbidden)
		wantErr(t, "an odd user", accounts.CanUser(t.Context(), db, ada.Account.ID, "\xff", tenancy.PermContentRead), tenancy.ErrForbidden)
	})
}

func TestM9_Can_ARoleOnAnObjectReachesThatObjectAndNoFurther(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		bob := addMember(t, db, accounts, ada.Account.ID, "bob@example.com", nil,
			on(site("1"), tenancy.RoleEditor), on(site("2"), tenancy.RoleViewer), on(tenancy.Object{Kind: "project", ID: "3"}, tenancy.RoleEditor))
		ctx := enter(t, db, accounts, ada.Account.ID, as(bob))
		for _, c := range []struct {
			what string
			on   []tenancy.Object
			want error
		}{
			{"the account", nil, tenancy.ErrForbidden},
			{"its site", []tenancy.Object{site("1")}, nil},
			{"one it may only read", []tenancy.Object{site("2")}, tenancy.ErrForbidden},
			{"another", []tenancy.Object{site("4")}, tenancy.ErrForbidden},
			{"a project of the number of its site", []tenancy.Object{{Kind: "project", ID: "1"}}, tenancy.ErrForbidden},
			{"a site of the number of its project", []tenancy.Object{site("3")}, tenancy.ErrForbidden},
			{"both of its own", []tenancy.Object{site("1"), {Kind: "project", ID: "3"}}, nil},
			{"crosswise", []tenancy.Object{site("3"), {Kind: "project", ID: "1"}}, tenancy.ErrForbidden},
			{"its own and another", []tenancy.Object{site("1"), site("4")}, tenancy.ErrForbidden},
			{"its own and none", []tenancy.Object{site("1"), {}}, tenancy.ErrForbidden},
		} {
			wantErr(t, c.what, accounts.Can(ctx, db, tenancy.PermContentWrite, c.on...), c.want)
		}
		// A member whose site is deleted does not inherit the next one of that id.
		f := tenancy.ForgetObject{Account: ada.Account.ID, Object: site("1"), Actor: operator}
		if err := accounts.ForgetObject(t.Context(), db, f); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "forgotten", accounts.Can(ctx, db, tenancy.PermContentRead, site("1")), tenancy.ErrForbidden)
		wantErr(t, "not forgotten", accounts.Can(ctx, db, tenancy.PermContentRead, site("2")), nil)
	})
}

// The context was entered before; what counts is what is so now.
func TestM9_Can_ADemotionCountsAtOnce(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		bob := addMember(t, db, accounts, ada.Account.ID, "bob@example.com", []tenancy.Role{tenancy.RoleEditor}, on(site("1"), tenancy.RoleAdmin))
		ctx := enter(t, db, accounts, ada.Account.ID, as(bob))
		can := func(want, wantOn error) {
			t.Helper()
			wantErr(t, "the account", accounts.Can(ctx, db, tenancy.PermContentWrite), want)
			wantErr(t, "the site", accounts.Can(ctx, db, tenancy.PermContentWrite, site("1")), wantOn)
		}
		can(nil, nil)
		if _, err := accounts.SetRoles(t.Context(), db, tenancy.SetRoles{Account: ada.Account.ID, User: bob, Roles: viewer, Actor: self(ada)}); err != nil {
			t.Fatal(err)
		}
		can(tenancy.ErrForbidden, nil)
		if err := accounts.RemoveMember(t.Context(), db, tenancy.RemoveMember{Account: ada.Account.ID, User: bob, Actor: self(ada)}); err != nil {
			t.Fatal(err)
		}
		can(tenancy.ErrForbidden, tenancy.ErrForbidden)
		// And the roles do not wait for the member to come back.
		if _, err := accounts.AddMember(t.Context(), db, tenancy.AddMember{Account: ada.Account.ID, User: bob, Roles: viewer, Actor: self(ada)}); err != nil {
			t.Fatal(err)
		}
		can(tenancy.ErrForbidden, tenancy.ErrForbidden)
	})
}

func TestM9_Can_IsOneStatement(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		ctx := enter(t, db, accounts, ada.Account.ID, self(ada))
		q := &asked{}
		counted := db.WithQueryHook(q)
		wantErr(t, "the account", accounts.Can(ctx, counted, tenancy.PermContentRead), nil)
		wantErr(t, "objects", accounts.Can(ctx, counted, tenancy.PermContentRead, site("1"), site("2"), tenancy.Object{Kind: "x", ID: "y"}), nil)
		if len(q.said) != 2 {
			t.Errorf("%q", q.said)
		}
	})
}

// asked keeps what the database is asked. It serves one goroutine.
type asked struct{ said []string }

func (q *asked) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }
func (q *asked) AfterQuery(_ context.Context, e *bun.QueryEvent)                    { q.said = append(q.said, e.Query) }

func TestM9_Config_TheHostsOwnRolesAndPermissions(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		many := make([]tenancy.Permission, 200) // more than one word of bits
		for i := range many {
			many[i] = tenancy.Permission(fmt.Sprintf("host.do-%d", i))
		}
		accounts, _ := newAccounts(t, db, tenancy.Config{Roles: map[tenancy.Role][]tenancy.Permission{
			"accountant":      {tenancy.PermBillingRead, "books.close"},
			"guest":           {},
			"recruiter":       {tenancy.PermMembersManage, tenancy.PermMembersRead, tenancy.PermContentRead},
			"robot":           many,
			"half":            many[:100],
			"zealot":          {"host.crusade"}, // the last bit of all
			tenancy.RoleOwner: {"account.sell"},
			tenancy.RoleAdmin: {"sites.publish"},
		}})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		account := ada.Account.ID
		users := map[tenancy.Role]tenancy.UserID{tenancy.RoleOwner: ada.User.ID}
		for _, r := range []tenancy.Role{"accountant", "guest", "recruiter", "robot", "half", "zealot", tenancy.RoleAdmin, tenancy.RoleEditor} {
			users[r] = addMember(t, db, accounts, account, string(r)+"@example.com", []tenancy.Role{r})
		}
		for _, c := range []struct {
			p    tenancy.Permission
			held []tenancy.Role
		}{
			{"books.close", []tenancy.Role{tenancy.RoleOwner, "accountant"}},
			{"account.sell", []tenancy.Role{tenancy.RoleOwner}},
			{"sites.publish", []tenancy.Role{tenancy.RoleOwner, tenancy.RoleAdmin}},
			{many[0], []tenancy.Role{tenancy.RoleOwner, "robot", "half"}},
			{many[150], []tenancy.Role{tenancy.RoleOwner, "robot"}},
			{tenancy.PermBillingRead, []tenancy.Role{tenancy.RoleOwner, tenancy.RoleAdmin, "accountant"}},
			{"host.crusade", []tenancy.Role{tenancy.RoleOwner, "zealot"}},
			{"host.do-200", nil},
		} {
			for r, user := range users {
				want := tenancy.ErrForbidden
				if slices.Contains(c.held, r) {
					want = nil
				}
				wantErr(t, fmt.Sprintf("%s %s", r, c.p), accounts.CanUser(t.Context(), db, account, user, c.p), want)
			}
		}
		// Sets are compared, not names: nobody gives what reaches further than its own.
		for _, c := range []struct {
			who, gives tenancy.Role
			want       error
		}{
			{"recruiter", tenancy.RoleViewer, nil},
			{"recruiter", "guest", nil},
			{"recruiter", "recruiter", nil},
			{"recruiter", tenancy.RoleEditor, tenancy.ErrForbidden},
			{"recruiter", "accountant", tenancy.ErrForbidden},
			{"recruiter", "half", tenancy.ErrForbidden},
			{"recruiter", "zealot", tenancy.ErrForbidden},
			{tenancy.RoleAdmin, tenancy.RoleAdmin, nil},
			{tenancy.RoleAdmin, "recruiter", nil},
			{tenancy.RoleAdmin, "accountant", tenancy.ErrForbidden}, // books.close
			{tenancy.RoleAdmin, "robot", tenancy.ErrForbidden},
			{tenancy.RoleOwner, "robot", nil},
			{"guest", "guest", tenancy.ErrForbidden},
			{tenancy.RoleOwner, "nobody", tenancy.ErrInvalid},
		} {
			what := fmt.Sprintf("%s gives %s", c.who, c.gives)
			wantErr(t, what, accounts.MayGrant(t.Context(), db, account, as(users[c.who]), []tenancy.Role{c.gives}), c.want)
			wantErr(t, what+" on a site", accounts.MayGrant(t.Context(), db, account, as(users[c.who]), nil, on(site("1"), c.gives)), c.want)
		}
		// A program that knows these roles no more leaves them without a right.
		old, _ := newAccounts(t, db, tenancy.Config{})
		wantErr(t, "a role of before", old.CanUser(t.Context(), db, account, users["accountant"], tenancy.PermBillingRead), tenancy.ErrForbidden)
		members, err := old.Members(t.Context(), db, account)
		if err != nil || len(members) != len(users) || !slices.Equal(members[1].Roles, []tenancy.Role{"accountant"}) {
			t.Errorf("%v, %v", members, err)
		}
	})
}

func TestM9_New_PanicsWhereANameIsNone(t *testing.T) {
	for _, roles := range []map[tenancy.Role][]tenancy.Permission{
		{"": {}}, {"a b": {}}, {"rôle": {}}, {"ok": {""}}, {"ok": {"a\x00"}}, {"ok": {"content.read", "content read"}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was taken", roles)
				}
			}()
			tenancy.New(tenancy.Config{Roles: roles})
		}()
	}
}

func TestM9_Config_AHostWithMembersOfItsOwn(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	accounts := tenancy.New(tenancy.Config{
		Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
			return tenancy.State{Status: tenancy.StatusActive}, tenancytest.Plans()[1], nil
		},
		MemberLoader: func(_ context.Context, _ bun.IDB, account tenancy.AccountID, user tenancy.UserID) ([]tenancy.Role, error) {
			if account == "7" && user == "42" {
				return []tenancy.Role{tenancy.RoleDeveloper, "unknown"}, nil
			}
			return nil, nil
		},
	})
	ctx, other := enter(t, db, accounts, "7", as("42")), enter(t, db, accounts, "8", as("42"))
	wantErr(t, "a member", accounts.Can(ctx, db, tenancy.PermKeysManage), nil)
	wantErr(t, "a member on a site", accounts.Can(ctx, db, tenancy.PermKeysManage, site("1")), nil)
	wantErr(t, "more", accounts.Can(ctx, db, tenancy.PermBillingRead), tenancy.ErrForbidden)
	wantErr(t, "no member", accounts.Can(other, db, tenancy.PermKeysManage), tenancy.ErrForbidden)
	var shows bool
	if err := db.NewRaw("SELECT ?", accounts.Visible(ctx, tenancy.PermContentRead, "site", "x")).Scan(t.Context(), &shows); shows || err != nil {
		t.Errorf("Visible shows %v, %v", shows, err)
	}
}

func TestM9_Require_StandsBehindTheOneThatEnters(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	accounts, _ := newAccounts(t, db, tenancy.Config{})
	ada := tenancytest.Register(t, db, accounts, "ada@example.com")
	bob := addMember(t, db, accounts, ada.Account.ID, "bob@example.com", viewer)
	served := 0
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ })
	for _, c := range []struct {
		actor  tenancy.Actor
		status int
		served int
	}{{self(ada), 200, 1}, {as(bob), 403, 0}, {key, 403, 0}, {operator, 200, 1}} {
		served = 0
		who := func(*http.Request) (tenancy.AccountID, tenancy.Actor, error) { return ada.Account.ID, c.actor, nil }
		h := accounts.Middleware(db, who, tenancy.Read)(accounts.Require(db, tenancy.PermContentWrite)(next))
		if a := call(t, h, "GET", "/", ""); a.status != c.status || served != c.served {
			t.Errorf("%v: %d %s, served %d", c.actor, a.status, a.body, served)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("without a middleware that enters it answered")
		}
	}()
	call(t, accounts.Require(db, tenancy.PermContentRead)(next), "GET", "/", "")
}

// The host's table of sites, with ids as hosts have them.
const sites = "CREATE TABLE sites (account_id TEXT NOT NULL, id BIGINT NOT NULL, object_id TEXT NOT NULL, PRIMARY KEY (account_id, id))"

func TestM9_Visible_AgreesWithCan(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{Roles: map[tenancy.Role][]tenancy.Permission{
			"publisher": {"sites.publish"}, "guest": {},
		}})
		if _, err := db.ExecContext(t.Context(), sites); err != nil {
			t.Fatal(err)
		}
		var houses []tenancy.AccountID
		for i := range 2 {
			r := tenancytest.Register(t, db, accounts, fmt.Sprintf("owner%d@example.com", i))
			houses = append(houses, r.Account.ID)
			for id := range 6 {
				if _, err := db.ExecContext(t.Context(), "INSERT INTO sites VALUES (?, ?, ?)", r.Account.ID, id, fmt.Sprint(id)); err != nil {
					t.Fatal(err)
				}
			}
		}
		role := rapid.SampledFrom([]tenancy.Role{tenancy.RoleAdmin, tenancy.RoleEditor, tenancy.RoleViewer, tenancy.RoleDeveloper, "publisher", "guest"})
		object := rapid.Custom(func(t *rapid.T) tenancy.ObjectRole {
			kind := rapid.SampledFrom([]string{"site", "site", "project"}).Draw(t, "kind")
			return on(tenancy.Object{Kind: kind, ID: fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "id"))}, role.Draw(t, "role on it"))
		})
		permission := rapid.SampledFrom(append(slices.Sorted(maps.Keys(table)), "sites.publish", "unknown"))
		n := 0
		rapid.Check(t, func(rt *rapid.T) {
			n++
			user := createUser(t, db, accounts, fmt.Sprintf("user%d@example.com", n))
			for _, account := range houses {
				roles := rapid.SliceOfNDistinct(role, 0, 2, rapid.ID).Draw(rt, "roles")
				objects := rapid.SliceOfNDistinct(object, 0, 5, rapid.ID).Draw(rt, "objects")
				if len(roles)+len(objects) == 0 {
					continue // no member here
				}
				if rapid.IntRange(0, 2).Draw(rt, "a third has no account role") == 0 && len(objects) > 0 {
					roles = nil
				}
				m := tenancy.AddMember{Account: account, User: user, Roles: roles, Objects: objects, Actor: operator}
				if _, err := accounts.AddMember(t.Context(), db, m); err != nil {
					rt.Fatal(err)
				}
			}
			for range 3 {
				p := permission.Draw(rt, "permission")
				account := rapid.SampledFrom(houses).Draw(rt, "account")
				actor := rapid.SampledFrom([]tenancy.Actor{as(user), as(user), as(user), as(user), operator, key}).Draw(rt, "actor")
				who := tenancy.Principal{Account: account, Actor: actor}
				if rapid.Bool().Draw(rt, "by a key or a token") {
					who.Delegation = &tenancy.Delegation{
						User:   rapid.SampledFrom([]tenancy.UserID{user, user, ""}).Draw(rt, "on whose rights"),
						Scopes: rapid.SliceOfN(rapid.OneOf(permission, rapid.Just(tenancy.AllScopes)), 0, 4).Draw(rt, "scopes"),
					}
				}
				ctx, err := accounts.EnterAs(t.Context(), db, who, 0)
				if err != nil {
					rt.Fatal(err)
				}
				want := []string{}
				for id := range 6 {
					if accounts.Can(ctx, db, p, site(fmt.Sprint(id))) == nil {
						want = append(want, fmt.Sprint(id))
					}
				}
				for _, column := range []string{"s.id", "id", "object_id"} { // object_id is a name of ours too
					got := []string{}
					err := db.NewSelect().TableExpr("sites AS s").ColumnExpr("CAST(id AS TEXT)").Where("s.account_id = ?", account).
						Where("?", accounts.Visible(ctx, p, "site", column)).OrderExpr("id").Scan(t.Context(), &got)
					if err != nil || !slices.Equal(want, got) {
						rt.Fatalf("%s %s by %s: Can says %v, Visible %v, %v", actor.Kind, p, column, want, got, err)
					}
				}
			}
		})
	})
}

func TestM9_Visible_IsOneConditionAndTakesNoSQL(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		if _, err := db.ExecContext(t.Context(), sites); err != nil {
			t.Fatal(err)
		}
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		bob := addMember(t, db, accounts, ada.Account.ID, "bob@example.com", nil, on(site("1"), tenancy.RoleEditor), on(site("2"), tenancy.RoleViewer))
		for id := range 4 {
			if _, err := db.ExecContext(t.Context(), "INSERT INTO sites VALUES (?, ?, '')", ada.Account.ID, id); err != nil {
				t.Fatal(err)
			}
		}
		ctx := enter(t, db, accounts, ada.Account.ID, as(bob))
		count := func(what string, db bun.IDB, v any, want int64) {
			t.Helper()
			n, err := db.NewSelect().TableExpr("sites").Where("account_id = ?", ada.Account.ID).Where("?", v).Count(t.Context())
			if n != want || err != nil {
				t.Errorf("%s: %d, %v", what, n, err)
			}
		}
		q := &asked{}
		count("to read", db.WithQueryHook(q), accounts.Visible(ctx, tenancy.PermContentRead, "site", "sites.id"), 2)
		count("to write", db, accounts.Visible(ctx, tenancy.PermContentWrite, "site", "id"), 1)
		count("another kind", db, accounts.Visible(ctx, tenancy.PermContentRead, "project", "id"), 0)
		count("no kind", db, accounts.Visible(ctx, tenancy.PermContentRead, "a\x00'", "id"), 0)
		if len(q.said) != 1 {
			t.Errorf("%q", q.said)
		}
		odd := accounts.Visible(ctx, tenancy.PermContentRead, "site", `id" AS TEXT) IS NOT NULL OR ("id`)
		if n, err := db.NewSelect().TableExpr("sites").Where("?", odd).Count(t.Context()); err == nil && n > 0 {
			t.Errorf("the column was taken for SQL: %d rows", n)
		}
		// It holds for what is changed as well.
		res, err := db.NewUpdate().TableExpr("sites").Set("object_id = 'x'").Where("account_id = ?", ada.Account.ID).
			Where("?", accounts.Visible(ctx, tenancy.PermContentWrite, "site", "id")).Exec(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := res.RowsAffected(); n != 1 {
			t.Errorf("%d rows were changed", n)
		}
	})
}
