package billing_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

type object = map[string]any

// call sends a request with a JSON body, or none, and reads the answer.
func call(t *testing.T, h http.Handler, method, target, body string, header ...string) (int, object) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "/", strings.NewReader(body))
	if target != "/" {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		r.URL, r.RequestURI = u, target
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var answer object
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%s %s: %d %s: %v", method, target, w.Code, w.Body, err)
	}
	return w.Code, answer
}

// refusal fails unless the request is refused with that status and code.
func refusal(t *testing.T, h http.Handler, method, target, body string, status int, code string, header ...string) {
	t.Helper()
	got, answer := call(t, h, method, target, body, header...)
	if got != status || answer["code"] != code {
		t.Errorf("%s %.60s %.60s: %d %v, want %d %s", method, target, body, got, answer, status, code)
	}
	if s, _ := answer["detail"].(string); len(s) > 500 {
		t.Errorf("%s %.60s: the detail has %d bytes", method, target, len(s))
	}
}

// customers is the customer's handler behind tenancy's middleware: the header names
// the account, whose owner it is.
func (w *world) customers(need tenancy.Capability) http.Handler {
	return w.accounts.Middleware(w.db, func(r *http.Request) (tenancy.AccountID, tenancy.Actor, error) {
		account, err := w.accounts.Get(r.Context(), w.db, tenancy.AccountID(r.Header.Get("Account")))
		return account.ID, tenancy.Actor{Kind: tenancy.ActorUser, ID: string(account.Owner)}, err
	}, need)(w.billing.Handler(w.db))
}

func TestM8_CustomersHandler_AsksAndSaysHowToPay(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		w.clock.Advance(20 * 24 * time.Hour) // the trial is over
		h := w.customers(tenancy.Pay)
		status, got := call(t, h, "POST", "/billing/transfers", `{"plan":"starter"}`, "Account", string(id))
		open, err := w.billing.Transfers(t.Context(), w.db, billing.Transfers{Account: id})
		if err != nil || len(open) != 1 {
			t.Fatal(open, err)
		}
		ref := open[0].Reference
		want := object{
			"account": string(id), "id": open[0].ID, "reference": ref, "status": "requested", "plan": "starter", "currency": "USD",
			"interval": "month", "amount": 8900.0, "credits": 1000.0, "requested_at": "2026-02-20T09:00:00.123456Z",
			"pay": object{
				"amount": "89.00 USD", "reference": strings.Join([]string{ref[:4], ref[4:8], ref[8:12], ref[12:]}, " "),
				"holder": "Quitrent Ltd", "iban": "DE02 1203 0000 0000 2020 51", "bic": "BYLADEM1001",
			},
		}
		if status != http.StatusCreated {
			t.Errorf("status %d", status)
		}
		same(t, "answer", want, got)
		if owner := w.get(t, id).Owner; open[0].RequestedBy != (tenancy.Actor{Kind: tenancy.ActorUser, ID: string(owner)}) {
			t.Errorf("requested by %+v", open[0].RequestedBy)
		}
		status, again := call(t, h, "POST", "/billing/transfers", `{"plan":"starter","interval":"month","currency":"USD"}`, "Account", string(id))
		same(t, "asked again", want, again)
		refusal(t, h, "GET", "/billing/subscription", "", 404, "no_subscription", "Account", string(id))

		w.confirm(t, ref)
		status2, list := call(t, h, "GET", "/billing/transfers", "", "Account", string(id))
		if one := list["transfers"].([]any)[0].(object); status != 201 || status2 != 200 || one["pay"] != nil || one["status"] != "confirmed" || one["entry"] != 2.0 {
			t.Errorf("after paying: %d %v", status2, list)
		}
		status, sub := call(t, h, "GET", "/billing/subscription", "", "Account", string(id))
		same(t, "subscription", object{
			"id": sub["id"], "status": "active", "plan": "starter", "currency": "USD", "interval": "month", "cancel_at_period_end": false,
			"period_start": "2026-02-20T09:00:00.123456Z", "period_end": "2026-03-20T09:00:00.123456Z", "created_at": "2026-02-20T09:00:00.123456Z",
			"payment_method": "bank_transfer", "external_payment_id": ref,
		}, sub)
		if status != 200 {
			t.Errorf("status %d", status)
		}
	})
}

func TestM8_CustomersHandler_ShowsAnAccountItsOwn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, bob := w.account(t), w.account(t)
		first := w.request(t, ada, "starter")
		w.pay(t, bob, "growth")
		second := w.request(t, ada, "growth")
		h := w.customers(tenancy.Pay)
		list := func(query string) (ids []string) {
			_, answer := call(t, h, "GET", "/billing/transfers"+query, "", "Account", string(ada))
			for _, tr := range answer["transfers"].([]any) {
				ids = append(ids, tr.(object)["id"].(string))
			}
			return ids
		}
		same(t, "list", []string{second.ID, first.ID}, list(""))
		same(t, "first page", []string{second.ID}, list("?limit=1"))
		same(t, "second page", []string{first.ID}, list("?limit=1&before="+second.ID))
		same(t, "naming another account", []string{second.ID, first.ID}, list("?account="+string(bob)+"&everybody=true"))
		refusal(t, h, "GET", "/billing/subscription", "", 404, "no_subscription", "Account", string(ada))
		refusal(t, h, "GET", "/billing/transfers/"+second.Reference, "", 404, "not_found", "Account", string(ada))
		refusal(t, h, "POST", "/transfers/"+second.Reference+"/confirm", `{}`, 404, "not_found", "Account", string(ada))
	})
}

func TestM8_CustomersHandler_Refuses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		h := w.customers(tenancy.Pay)
		long := strings.Repeat("x", 100_000)
		unchanged(t, w.db, "a refusal", func() {
			for body, want := range map[string]struct {
				status int
				code   string
			}{
				`{"plan":"gold"}`:                              {422, "no_plan"},
				`{}`:                                           {422, "no_plan"},
				`{"plan":"` + long + `"}`:                      {422, "no_plan"},
				`{"plan":"star\u0000ter"}`:                     {422, "no_plan"},
				`{"plan":"free-trial"}`:                        {422, "not_for_sale"},
				`{"plan":"starter","currency":"EUR"}`:          {422, "not_for_sale"},
				`{"plan":"starter","interval":"year"}`:         {422, "not_for_sale"},
				`{"plan":"starter","currency":"` + long + `"}`: {422, "invalid_billing"},
				`{"plan":"starter","interval":"\u0000"}`:       {422, "invalid_billing"},
				`{"plan":"starter","amount":1}`:                {422, "invalid_body"},
				`{"plan":"starter","account":"acc_1"}`:         {422, "invalid_body"},
				`{"plan":"starter","credits":99999}`:           {422, "invalid_body"},
				`{"plan":1}`:                                   {422, "invalid_body"},
				``:                                             {422, "invalid_body"},
				`{"plan":"` + strings.Repeat(long, 11) + `"}`:  {413, "body_too_large"},
			} {
				refusal(t, h, "POST", "/billing/transfers", body, want.status, want.code, "Account", string(id))
			}
			refusal(t, h, "POST", "/billing/transfers", `plan=starter`, 415, "unsupported_media_type", "Account", string(id), "Content-Type", "application/x-www-form-urlencoded")
			refusal(t, h, "DELETE", "/billing/transfers", ``, 405, "method_not_allowed", "Account", string(id))
			for _, query := range []string{"limit=0", "limit=-1", "limit=x", "limit=99999999999999999999", "before=%00", "before=%ff", "before=" + strings.Repeat("x", 65)} {
				refusal(t, h, "GET", "/billing/transfers?"+query, "", 422, "invalid_billing", "Account", string(id))
			}
		})
		plan := growth
		for i := range int64(11) {
			plan.Prices = []tenancy.Price{{Currency: "USD", Interval: tenancy.Monthly, Amount: 1 + i}}
			if _, err := w.accounts.Ensure(t.Context(), w.db, plan); err != nil {
				t.Fatal(err)
			}
			if i < 10 {
				w.request(t, id, "growth")
			}
		}
		refusal(t, h, "POST", "/billing/transfers", `{"plan":"growth"}`, 409, "too_many_open_transfers", "Account", string(id))
	})
}

// A route that was mounted for less than paying orders nothing: so no API key does.
func TestM8_CustomersHandler_OrdersOnlyWherePayingWasAllowed(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		unchanged(t, w.db, "a key's order", func() {
			refusal(t, w.customers(tenancy.Use), "POST", "/billing/transfers", `{"plan":"starter"}`, 403, "forbidden", "Account", string(id))
		})
		defer func() {
			if recover() == nil {
				t.Error("outside an account it answered")
			}
		}()
		call(t, w.billing.Handler(w.db), "GET", "/billing/transfers", "")
	})
}

// The table of tenancy.Permission is kept: who may read the billing reads it, who may
// manage it orders.
func TestM9_CustomersHandler_AsksForTheRight(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		w.pay(t, id, "starter")
		if _, err := w.accounts.Override(t.Context(), w.db, tenancy.Override{Account: id, Unlimited: []string{tenancy.LimitUsers}, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		site := []tenancy.ObjectRole{{Object: tenancy.Object{Kind: "site", ID: "1"}, Role: tenancy.RoleAdmin}}
		for who, c := range map[string]struct {
			roles   []tenancy.Role
			objects []tenancy.ObjectRole
			may     bool
		}{
			"admin":             {roles: []tenancy.Role{tenancy.RoleAdmin}, may: true},
			"editor, developer": {roles: []tenancy.Role{tenancy.RoleEditor, tenancy.RoleDeveloper}},
			"viewer":            {roles: []tenancy.Role{tenancy.RoleViewer}},
			"admin of a site":   {objects: site},
		} {
			user, err := w.accounts.CreateUser(t.Context(), w.db, tenancy.CreateUser{Name: who, Email: fmt.Sprintf("m%d@example.com", nextEmail())})
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.accounts.AddMember(t.Context(), w.db, tenancy.AddMember{Account: id, User: user.ID, Roles: c.roles, Objects: c.objects, Actor: operator})
			if err != nil {
				t.Fatal(err)
			}
			h := w.accounts.Middleware(w.db, func(*http.Request) (tenancy.AccountID, tenancy.Actor, error) {
				return id, tenancy.Actor{Kind: tenancy.ActorUser, ID: string(user.ID)}, nil
			}, tenancy.Pay)(w.billing.Handler(w.db))
			for _, request := range [][2]string{{"GET", "/billing/subscription"}, {"GET", "/billing/transfers"}, {"POST", "/billing/transfers"}} {
				status, answer := call(t, h, request[0], request[1], `{"plan":"starter"}`)
				if c.may != (status < 400) || !c.may && answer["code"] != "forbidden" {
					t.Errorf("%s: %s %s: %d %v", who, request[0], request[1], status, answer)
				}
			}
		}
		h := w.accounts.Middleware(w.db, func(*http.Request) (tenancy.AccountID, tenancy.Actor, error) {
			return id, tenancy.Actor{Kind: tenancy.ActorKey, ID: "000000000000"}, nil
		}, tenancy.Read)(w.billing.Handler(w.db))
		refusal(t, h, "GET", "/billing/transfers", "", 403, "forbidden")
	})
}

func TestHandlers_RefuseThroughOnError(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var said error
		w = w.with(t, billing.Config{OnError: func(rw http.ResponseWriter, _ *http.Request, err error) {
			said = err
			problem.JSON(rw, http.StatusTeapot, object{})
		}})
		if status, _ := call(t, w.desk(), "GET", "/transfers/RF097", "", "Who", "op_1"); status != http.StatusTeapot || !errors.Is(said, billing.ErrNoTransfer) {
			t.Errorf("%d, %v", status, said)
		}
		if status, _ := call(t, w.customers(tenancy.Pay), "GET", "/billing/nowhere", "", "Account", string(w.account(t))); status != http.StatusTeapot || !errors.Is(said, problem.ErrNotFound) {
			t.Errorf("%d, %v", status, said)
		}
	})
}
