package billing_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

var errNoCredential = problem.New(http.StatusUnauthorized, "no_credential", "no credential")

// desk is the operator's handler; the header says who comes.
func (w *world) desk() http.Handler {
	return w.billing.Operator(w.db, func(r *http.Request) (tenancy.Actor, error) {
		switch who := r.Header.Get("Who"); who {
		case "":
			return tenancy.Actor{}, errNoCredential
		case "op_1":
			return operator, nil
		case "nameless":
			return tenancy.Actor{}, nil
		default:
			return tenancy.Actor{}, tenancy.ErrForbidden
		}
	})
}

func TestM8_Operator_LetsNobodyElseIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		tr := w.request(t, w.account(t), "starter")
		h := w.desk()
		unchanged(t, w.db, "strangers", func() {
			for _, route := range []string{"GET /transfers", "GET /transfers/" + tr.Reference, "POST /transfers/" + tr.Reference + "/confirm", "POST /transfers/" + tr.Reference + "/reject"} {
				method, target, _ := strings.Cut(route, " ")
				body := `{"reason":"mine"}`
				refusal(t, h, method, target, body, 401, "no_credential")
				refusal(t, h, method, target, body, 403, "forbidden", "Who", "a customer's key")
				refusal(t, h, method, target, body, 403, "forbidden", "Who", "nameless")
			}
		})
	})
}

func TestM8_Operator_ConfirmsRejectsAndReads(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, bob := w.account(t), w.account(t)
		one, two := w.request(t, ada, "starter"), w.request(t, bob, "starter")
		h := w.desk()
		typed := strings.ToLower(one.Reference[:4]) + "%20" + one.Reference[4:8] + "%20" + one.Reference[8:]
		status, got := call(t, h, "POST", "/transfers/"+typed+"/confirm", `{"reason":"line 12"}`, "Who", "op_1")
		want := object{
			"account": string(ada), "id": one.ID, "reference": one.Reference, "status": "confirmed", "plan": "starter", "currency": "USD",
			"interval": "month", "amount": 8900.0, "credits": 1000.0, "requested_at": "2026-01-31T09:00:00.123456Z",
			"decided_at": "2026-01-31T09:00:00.123456Z", "subscription": w.subscription(t, ada).ID,
			"period_start": "2026-01-31T09:00:00.123456Z", "period_end": "2026-02-28T09:00:00.123456Z", "entry": 2.0,
		}
		same(t, "confirmed", want, got)
		if a := tenancytest.RequireAudit(t, w.db, ada, "billing.confirm_transfer"); status != 200 || a.Actor != operator || a.Reason != "line 12" {
			t.Errorf("%d, audit %+v", status, a)
		}
		unchanged(t, w.db, "confirming again", func() {
			status, again := call(t, h, "POST", "/transfers/"+one.Reference+"/confirm", `{}`, "Who", "op_1")
			same(t, "again", want, again)
			if status != 200 {
				t.Errorf("again: %d", status)
			}
		})
		status, got = call(t, h, "GET", "/transfers/"+one.Reference, "", "Who", "op_1")
		same(t, "read", want, got)
		if status != 200 {
			t.Errorf("read: %d", status)
		}

		status, got = call(t, h, "POST", "/transfers/"+two.Reference+"/reject", `{"reason":"never came"}`, "Who", "op_1")
		if status != 200 || got["status"] != "rejected" {
			t.Errorf("rejected: %d %v", status, got)
		}
		ids := func(query string) (ids []any) {
			_, list := call(t, h, "GET", "/transfers"+query, "", "Who", "op_1")
			for _, tr := range list["transfers"].([]any) {
				ids = append(ids, tr.(object)["id"])
			}
			return ids
		}
		same(t, "all", []any{two.ID, one.ID}, ids(""))
		same(t, "rejected", []any{two.ID}, ids("?status=rejected"))
		same(t, "after the first", []any{one.ID}, ids("?limit=5&before="+two.ID))
		same(t, "none", nil, ids("?status=requested"))
		for query, next := range map[string]any{"?limit=1": two.ID, "?limit=3": nil} {
			_, list := call(t, h, "GET", "/transfers"+query, "", "Who", "op_1")
			same(t, query, next, list["next"])
		}
	})
}

func TestM8_Operator_Refuses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		open := w.request(t, id, "starter")
		rejected := w.request(t, id, "growth")
		if _, err := w.billing.RejectTransfer(t.Context(), w.db, rejection(rejected.Reference)); err != nil {
			t.Fatal(err)
		}
		confirmed := w.pay(t, w.account(t), "starter")
		h := w.desk()
		to := func(ref, verb string) string { return "/transfers/" + ref + "/" + verb }
		unchanged(t, w.db, "refusals", func() {
			for _, c := range []struct {
				target, body string
				status       int
				code         string
			}{
				{to("RF18539007547034", "confirm"), `{}`, 404, "no_transfer"},
				{to("RF18539007547035", "confirm"), `{}`, 422, "invalid_reference"},
				{to("RF18%00539007547034", "confirm"), `{}`, 422, "invalid_reference"},
				{to(strings.Repeat("9", 100_000), "confirm"), `{}`, 422, "invalid_reference"},
				{to(open.ID, "confirm"), `{}`, 422, "invalid_reference"},
				{to(open.Reference, "confirm"), ``, 422, "invalid_body"},
				{to(open.Reference, "confirm"), `{"reason":"x","credits":1}`, 422, "invalid_body"},
				{to(open.Reference, "confirm"), `{"reason":"\u0000"}`, 422, "invalid_billing"},
				{to(open.Reference, "confirm"), `{"reason":"` + strings.Repeat("x", 1001) + `"}`, 422, "invalid_billing"},
				{to(open.Reference, "reject"), `{}`, 422, "invalid_billing"},
				{to(open.Reference, "reject"), `{"reason":" "}`, 422, "invalid_billing"},
				{to(rejected.Reference, "confirm"), `{}`, 409, "transfer_decided"},
				{to(confirmed.Reference, "reject"), `{"reason":"x"}`, 409, "transfer_decided"},
			} {
				refusal(t, h, "POST", c.target, c.body, c.status, c.code, "Who", "op_1")
			}
			for _, query := range []string{"status=open", "status=%00", "limit=0", "before=%00"} {
				refusal(t, h, "GET", "/transfers?"+query, "", 422, "invalid_billing", "Who", "op_1")
			}
			refusal(t, h, "GET", to(open.Reference, "confirm"), "", 405, "method_not_allowed", "Who", "op_1")
		})
		retired := tenancytest.Plans()[1]
		retired.Active = false
		if _, err := w.accounts.Ensure(t.Context(), w.db, retired); err != nil {
			t.Fatal(err)
		}
		refusal(t, h, "POST", to(open.Reference, "confirm"), `{}`, 409, "plan_gone", "Who", "op_1")
		w.change(t, tenancy.Change{Account: id, Status: tenancy.StatusClosed})
		retired.Active = true
		if _, err := w.accounts.Ensure(t.Context(), w.db, retired); err != nil {
			t.Fatal(err)
		}
		refusal(t, h, "POST", to(open.Reference, "confirm"), `{}`, 409, "illegal_transition", "Who", "op_1")
	})
}
