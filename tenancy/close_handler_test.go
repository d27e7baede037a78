package tenancy_test

import (
	"net/http"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestM13_Operator_ClosesAndRestores(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		id := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		at := "/accounts/" + string(id)
		h := accounts.Operator(db, func(*http.Request) (tenancy.Actor, error) { return operator, nil })
		for _, c := range []struct {
			path, body string
			status     int
			state      tenancy.Status
			code       string
		}{
			{at + "/restore", `{"reason": "nothing to restore"}`, 200, tenancy.StatusTrial, ""},
			{at + "/close", `{"reason": "asked for by mail"}`, 200, tenancy.StatusClosed, ""},
			{at + "/close", `{"reason": "twice"}`, 200, tenancy.StatusClosed, ""},
			{at + "/suspend", `{"reason": "too late"}`, 409, "", "illegal_transition"},
			{at + "/restore", `{"reason": "they called"}`, 200, tenancy.StatusTrial, ""},
			{"/accounts/acc_none/close", `{}`, 404, "", "no_account"},
			{"/accounts/acc_none/restore", `{}`, 404, "", "no_account"},
			{at + "/close", ``, 422, "", "invalid_body"},
			{at + "/restore", `{"status": "active"}`, 422, "", "invalid_body"},
			{at + "/close", `{}`, 200, tenancy.StatusClosed, ""},
		} {
			if a := call(t, h, "POST", c.path, c.body); a.status != c.status || c.status == 200 && (a.State != c.state || a.ID != string(id)) || a.Code != c.code {
				t.Errorf("%s %s: %d %s", c.path, c.body, a.status, a.body)
			}
		}
		if line := tenancytest.RequireAudit(t, db, id, "tenancy.restore"); line.Reason != "they called" || line.Actor != operator {
			t.Errorf("audit %+v", line)
		}
		if a := call(t, h, "GET", at, ""); a.status != 200 || a.State != tenancy.StatusClosed {
			t.Errorf("looked at: %d %s", a.status, a.body)
		}
		clock.Advance(retention)
		if a := call(t, h, "POST", at+"/restore", `{}`); a.status != 409 || a.Code != "illegal_transition" {
			t.Errorf("too late: %d %s", a.status, a.body)
		}
		// An actor that is a customer's is none of the desk's, whatever the check says.
		odd := accounts.Operator(db, func(*http.Request) (tenancy.Actor, error) { return person, nil })
		for _, verb := range []string{"/close", "/restore"} {
			unchanged(t, db, verb, func() {
				if a := call(t, odd, "POST", at+verb, `{}`); a.status != 403 || a.Code != "forbidden" {
					t.Errorf("%s by a user: %d %s", verb, a.status, a.body)
				}
			})
		}
	})
}

func TestM13_Handler_TheOwnerClosesWhateverTheAccountStillMay(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		r := tenancytest.Register(t, db, accounts, "ada@example.com")
		as := func(actor tenancy.Actor, need tenancy.Capability) http.Handler {
			who := func(*http.Request) (tenancy.AccountID, tenancy.Actor, error) { return r.Account.ID, actor, nil }
			return accounts.Middleware(db, who, need)(accounts.Handler(db))
		}
		const leave = tenancy.SignIn | tenancy.Pay
		for _, c := range []struct {
			what  string
			actor tenancy.Actor
			need  tenancy.Capability
			body  string
			want  int
		}{
			{"another member", person, leave, `{"reason": "a"}`, 403},
			{"a key", key, tenancy.Use, `{"reason": "a"}`, 403},
			{"a route for reading", ownerOf(r), tenancy.Read, `{"reason": "a"}`, 403},
			{"a route for signing in", ownerOf(r), tenancy.SignIn, `{"reason": "a"}`, 403},
			{"a route for paying", operator, tenancy.Pay, `{"reason": "a"}`, 403},
			{"no body", ownerOf(r), leave, ``, 422},
		} {
			unchanged(t, db, c.what, func() {
				if a := call(t, as(c.actor, c.need), "POST", "/account/close", c.body); a.status != c.want {
					t.Errorf("%s: %d %s", c.what, a.status, a.body)
				}
			})
		}
		restore := func() {
			t.Helper()
			if _, err := accounts.Restore(t.Context(), db, tenancy.Restore{Account: r.Account.ID, Actor: operator}); err != nil {
				t.Fatal(err)
			}
		}
		closes := func(what string) {
			t.Helper()
			if a := call(t, as(ownerOf(r), leave), "POST", "/account/close", `{"reason": "too dear"}`); a.status != 200 || a.State != tenancy.StatusClosed {
				t.Errorf("%s: %d %s", what, a.status, a.body)
			}
			if line := tenancytest.RequireAudit(t, db, r.Account.ID, "tenancy.close"); line.Actor != ownerOf(r) || line.Reason != "too dear" {
				t.Errorf("%s: audit %+v", what, line)
			}
			if a := call(t, as(ownerOf(r), leave), "POST", "/account/close", `{"reason": "again"}`); a.status != 404 || a.Code != "no_account" {
				t.Errorf("%s, again: %d %s", what, a.status, a.body)
			}
			restore()
		}
		closes("on trial")
		clock.Set(r.Account.TrialEndsAt)
		closes("the trial over")
		if _, err := accounts.Suspend(t.Context(), db, tenancy.Suspend{Account: r.Account.ID, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		closes("suspended")
	})
}
