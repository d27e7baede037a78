package tenancy_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestM9_Handler_PeopleAreListedChangedAndRemoved(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		eve := tenancytest.Register(t, db, accounts, "eve@example.com")
		bob := addMember(t, db, accounts, ada.Account.ID, "bob@example.com", viewer)
		guest := addMember(t, db, accounts, ada.Account.ID, "guest@example.com", nil, on(site("1"), tenancy.RoleAdmin))
		var actor tenancy.Actor
		who := func(*http.Request) (tenancy.AccountID, tenancy.Actor, error) { return ada.Account.ID, actor, nil }
		h := accounts.Middleware(db, who, tenancy.SignIn)(accounts.Handler(db))
		setStatus(t, db, ada.Account.ID, tenancy.StatusPastDue) // people can be put out all the same

		actor = as(bob)
		a := call(t, h, "GET", "/account/members", "")
		var got struct {
			Members []struct {
				User, Name, Email string
				Roles             []tenancy.Role
				Objects           []tenancy.ObjectRole
			}
		}
		if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != 200 || len(got.Members) != 3 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		m := got.Members
		if m[0].Email != "ada@example.com" || m[0].Name != "ada@example.com" || m[0].User != string(ada.User.ID) || m[0].Roles[0] != tenancy.RoleOwner ||
			m[2].Roles == nil || len(m[2].Roles) != 0 || len(m[2].Objects) != 1 || m[2].Objects[0] != on(site("1"), tenancy.RoleAdmin) ||
			!strings.Contains(a.body, `"objects":[{"kind":"site","id":"1","role":"admin"}]`) || strings.Contains(a.body, "eve@") {
			t.Errorf("%s", a.body)
		}

		b, g := "/account/members/"+string(bob), "/account/members/"+string(guest)
		for _, c := range []struct {
			what               string
			actor              tenancy.Actor
			method, path, body string
			status             int
			code, says         string
		}{
			{"a guest of one site lists", as(guest), "GET", "/account/members", "", 403, "forbidden", ""},
			{"a key lists", key, "GET", "/account/members", "", 403, "forbidden", ""},
			{"a stranger lists", self(eve), "GET", "/account/members", "", 403, "forbidden", ""},
			{"an operator lists", operator, "GET", "/account/members", "", 200, "", "bob@example.com"},
			{"a viewer changes", as(bob), "PUT", b + "/roles", `{"roles":["admin"]}`, 403, "forbidden", ""},
			{"the guest changes on its site", as(guest), "PUT", g + "/objects/site/1", `{"roles":[]}`, 403, "forbidden", ""},
			{"the owner changes", self(ada), "PUT", b + "/roles", `{"roles":["developer","editor"],"reason":"why"}`, 200, "", `"roles":["editor","developer"]`},
			{"the owner changes on a site", self(ada), "PUT", b + "/objects/site/a%2Fb", `{"roles":["admin"]}`, 200, "", `{"kind":"site","id":"a/b","role":"admin"}`},
			{"and takes it away", self(ada), "PUT", b + "/objects/site/a%2Fb", `{"roles":[]}`, 200, "", `"user":"` + string(bob) + `"`},
			{"the owner's own", self(ada), "PUT", "/account/members/" + string(ada.User.ID) + "/roles", `{"roles":["viewer"]}`, 409, "last_owner", ""},
			{"to owner", self(ada), "PUT", b + "/roles", `{"roles":["owner"]}`, 422, "invalid", ""},
			{"another account's", self(ada), "PUT", "/account/members/" + string(eve.User.ID) + "/roles", `{"roles":["viewer"]}`, 404, "no_user", ""},
			{"an odd user", self(ada), "PUT", "/account/members/%00/roles", `{"roles":["viewer"]}`, 422, "invalid", ""},
			{"an odd object", self(ada), "PUT", b + "/objects/site/%ff", `{"roles":["viewer"]}`, 422, "invalid", ""},
			{"no body", self(ada), "PUT", b + "/roles", ``, 422, "invalid_body", ""},
			{"an account", self(ada), "PUT", b + "/roles", `{"roles":["viewer"],"account":"x"}`, 422, "invalid_body", ""},
			{"a key removes", key, "DELETE", b, "", 403, "forbidden", ""},
			{"a guest removes", as(guest), "DELETE", b, "", 403, "forbidden", ""},
			{"the owner leaves", self(ada), "DELETE", "/account/members/" + string(ada.User.ID), "", 409, "last_owner", ""},
			{"the guest leaves", as(guest), "DELETE", g, "", 204, "", ""},
			{"the owner removes", self(ada), "DELETE", b, "", 204, "", ""},
			{"again", self(ada), "DELETE", b, "", 404, "no_user", ""},
			{"one who is out lists", as(bob), "GET", "/account/members", "", 403, "forbidden", ""},
			{"another method", self(ada), "POST", "/account/members", "{}", 405, "method_not_allowed", ""},
		} {
			actor = c.actor
			if actor.Kind == tenancy.ActorKey { // which cannot come in this way at all
				a = call(t, accounts.Middleware(db, who, tenancy.Read)(accounts.Handler(db)), c.method, c.path, c.body)
			} else {
				a = call(t, h, c.method, c.path, c.body)
			}
			if a.status != c.status || a.Code != c.code || !strings.Contains(a.body, c.says) {
				t.Errorf("%s: %d %s, want %d %s", c.what, a.status, a.body, c.status, c.code)
			}
		}
		if line := tenancytest.RequireAudit(t, db, ada.Account.ID, "tenancy.set_roles"); line.Reason != "why" || line.Actor != self(ada) {
			t.Errorf("audit %+v", line)
		}
	})
}

func TestM9_Handler_TheOwnershipIsOfferedAcceptedAndDeclined(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		bob := addMember(t, db, accounts, ada.Account.ID, "bob@example.com", nil, on(site("1"), tenancy.RoleViewer))
		zoe := addMember(t, db, accounts, ada.Account.ID, "zoe@example.com", viewer)
		gus := addMember(t, db, accounts, ada.Account.ID, "gus@example.com", nil, on(site("1"), tenancy.RoleViewer))
		const path = "/account/ownership"
		for _, c := range []struct {
			what               string
			actor              tenancy.Actor
			method, path, body string
			status             int
			code, says         string
		}{
			{"none yet", self(ada), "GET", path, "", 404, "no_offer", ""},
			{"none yet, and none of his business", as(gus), "GET", path, "", 403, "forbidden", ""},
			{"a viewer offers", as(zoe), "POST", path, `{"user":"` + string(zoe) + `"}`, 403, "forbidden", ""},
			{"the owner offers", self(ada), "POST", path, `{"user":"` + string(bob) + `","reason":"moving on"}`, 201, "", `"to":"` + string(bob) + `"`},
			{"the owner looks", self(ada), "GET", path, "", 200, "", `"to":"` + string(bob) + `"`},
			{"he looks, to whom it was made", as(bob), "GET", path, "", 200, "", `"expires_at":"2026-03-08T09:00:00.123456Z"`},
			{"who sees the members looks", as(zoe), "GET", path, "", 200, "", ""},
			{"who does not, does not", as(gus), "GET", path, "", 403, "forbidden", ""},
			{"another declines", as(zoe), "DELETE", path, "", 403, "forbidden", ""},
			{"another accepts", as(zoe), "POST", path + "/accept", "{}", 404, "no_offer", ""},
			{"a form accepts", as(bob), "POST", path + "/accept", "a=b", 422, "invalid_body", ""},
			{"he declines", as(bob), "DELETE", path, "", 204, "", ""},
			{"declined", as(bob), "POST", path + "/accept", "{}", 404, "no_offer", ""},
			{"an operator offers", operator, "POST", path, `{"user":"` + string(bob) + `"}`, 201, "", ""},
			{"he accepts", as(bob), "POST", path + "/accept", `{"reason":"gladly"}`, 200, "", `"owner":"` + string(bob) + `"`},
			{"she offers what is not hers", self(ada), "POST", path, `{"user":"` + string(zoe) + `"}`, 403, "forbidden", ""},
		} {
			who := func(*http.Request) (tenancy.AccountID, tenancy.Actor, error) { return ada.Account.ID, c.actor, nil }
			a := call(t, accounts.Middleware(db, who, tenancy.SignIn)(accounts.Handler(db)), c.method, c.path, c.body)
			if a.status != c.status || a.Code != c.code || !strings.Contains(a.body, c.says) {
				t.Errorf("%s: %d %s, want %d %s", c.what, a.status, a.body, c.status, c.code)
			}
		}
		requireOwner(t, db, accounts, ada.Account.ID, bob)
	})
}

func TestM9_Person_ListsTheAccountsToChooseFrom(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		none := createUser(t, db, accounts, "none@example.com")
		noCredential := problem.New(http.StatusUnauthorized, "no_credential", "say who you are")
		for _, c := range []struct {
			what   string
			actor  tenancy.Actor
			err    error
			status int
			body   string
		}{
			{"a person", self(ada), nil, 200, `{"accounts":[{"account":"` + string(ada.Account.ID) + `","name":"ada@example.com","status":"trial","roles":["owner"],"since":"2026-03-01T09:00:00.123456Z"}]}`},
			{"a person without an account", as(none), nil, 200, `{"accounts":[]}`},
			{"an operator", operator, nil, 403, "forbidden"},
			{"a key", key, nil, 403, "forbidden"},
			{"a nameless one", tenancy.Actor{Kind: tenancy.ActorUser}, nil, 403, "forbidden"},
			{"nobody", self(ada), noCredential, 401, "no_credential"},
		} {
			a := call(t, accounts.Person(db, func(*http.Request) (tenancy.Actor, error) { return c.actor, c.err }), "GET", "/accounts", "")
			if a.status != c.status || c.status != 200 && a.Code != c.body {
				t.Errorf("%s: %d %s", c.what, a.status, a.body)
			}
			if d := cmp.Diff(c.body, strings.TrimSpace(a.body)); c.status == 200 && d != "" {
				t.Errorf("%s (-want +got):\n%s", c.what, d)
			}
		}
	})
}
