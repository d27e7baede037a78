package credits_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// as makes requests of an account.
func as(t *testing.T, h http.Handler, account tenancy.AccountID) func(method, target string) *httptest.ResponseRecorder {
	ctx := tenancytest.Context(t, tenancy.Scope{Account: account})
	return func(method, target string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, target, nil))
		return w
	}
}

func TestHandler_ServesAnAccountItsOwnCredits(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "g", Note: "hello"})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 5, Key: "later", EffectiveAt: start.AddDate(0, 0, 1)})
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 3, Operation: "ideas"})
		refund(t, l, db, credits.Refund{Account: acc, Entry: 3, Amount: 1, Key: "r"})
		h := l.Handler(db)
		mine, theirs := as(t, h, acc), as(t, h, other)
		const (
			unit = `"unit":"credit","exponent":0}`

			e1 = `{"number":1,"kind":"grant","amount":10,"balance":10,"spendable":10,"key":"g","actor":{"kind":"system","id":"credits"},"note":"hello","at":"2026-03-01T09:00:00Z"}`
			e2 = `{"number":2,"kind":"grant","amount":5,"balance":15,"spendable":10,"key":"later","actor":{"kind":"system","id":"credits"},"at":"2026-03-01T09:00:00Z"}`
			e3 = `{"number":3,"kind":"deduct","amount":-3,"balance":12,"spendable":7,"operation":"ideas","at":"2026-03-01T09:00:00Z"}`
			e4 = `{"number":4,"kind":"refund","amount":1,"balance":13,"spendable":8,"refund_of":3,"key":"r","operation":"ideas","at":"2026-03-01T09:00:00Z"}`
		)
		for _, c := range []struct {
			ask          func(method, target string) *httptest.ResponseRecorder
			target, want string
		}{
			{mine, "/credits/balance", `{"booked":13,"held":0,"spendable":8,"unit":"credit","exponent":0}`},
			{mine, "/credits/entries", `{"entries":[` + e4 + "," + e3 + "," + e2 + "," + e1 + `],` + unit},
			{mine, "/credits/entries?limit=2", `{"entries":[` + e4 + "," + e3 + `],"next":3,` + unit},
			{mine, "/credits/entries?limit=2&before=3", `{"entries":[` + e2 + "," + e1 + `],` + unit},
			{mine, "/credits/entries?limit=9223372036854775807&before=2", `{"entries":[` + e1 + `],` + unit},
			{theirs, "/credits/balance", `{"booked":0,"held":0,"spendable":0,"unit":"credit","exponent":0}`},
			{theirs, "/credits/entries", `{"entries":[],` + unit},
			{theirs, "/credits/entries?account=acc_1&account_id=acc_1", `{"entries":[],` + unit},
		} {
			w := c.ask("GET", c.target)
			if got := w.Body.String(); w.Code != http.StatusOK || got != c.want+"\n" {
				t.Errorf("%s: %d\n%s\nwant\n%s", c.target, w.Code, got, c.want)
			}
			if got := w.Header().Get("Content-Type"); got != "application/json" {
				t.Errorf("%s: %s", c.target, got)
			}
		}
		for _, q := range []string{"limit=0", "limit=-1", "limit=x", "limit=1.5", "limit=%2B", "before=0", "before=-9", "before=99999999999999999999", "before=''"} {
			w := mine("GET", "/credits/entries?"+q)
			if code, _ := refused(t, w); w.Code != http.StatusUnprocessableEntity || code != "invalid_credits" {
				t.Errorf("%s: %d %s", q, w.Code, w.Body)
			}
		}
		if w := mine("POST", "/credits/balance"); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST: %d", w.Code)
		}
		if w := mine("GET", "/credits"); w.Code != http.StatusNotFound {
			t.Errorf("elsewhere: %d", w.Code)
		}
	})
}

func TestHandler_OfADatabaseThatFailsAnswers503(t *testing.T) {
	db := tenancytest.SQLite(t)
	ask := as(t, credits.New(credits.Config{}).Handler(db), acc)
	for _, target := range []string{"/credits/balance", "/credits/entries"} {
		w := ask("GET", target)
		code, body := refused(t, w)
		if w.Code != http.StatusServiceUnavailable || code != "unavailable" || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %v", target, w.Code, body)
		}
	}
}

func TestHandler_OnErrorWritesTheRefusals(t *testing.T) {
	l := credits.New(credits.Config{OnError: func(w http.ResponseWriter, _ *http.Request, err error) {
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, isInvalid(err))
	}})
	w := as(t, l.Handler(tenancytest.SQLite(t)), acc)("GET", "/credits/entries?limit=x")
	if w.Code != http.StatusTeapot || w.Body.String() != "true" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// refused is the code of a problem, and the whole of it.
func refused(t *testing.T, w *httptest.ResponseRecorder) (string, map[string]any) {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %s", got)
	}
	code, _ := body["code"].(string)
	return code, body
}

func TestErrors_AreAnsweredAsTheySay(t *testing.T) {
	want := map[string]int{
		"insufficient_credits": 402, "key_reused": 409, "invalid_credits": 422, "credits_overflow": 422, "no_entry": 404, "not_refundable": 409,
		"no_allotment": 404,
	}
	got := map[string]int{}
	for _, err := range []error{
		credits.ErrInsufficient, credits.ErrKeyReused, credits.ErrInvalid, credits.ErrOverflow, credits.ErrNoEntry, credits.ErrNotRefundable,
		credits.ErrNoAllotment,
	} {
		cost := func(*http.Request) (int64, error) { return 0, fmt.Errorf("wrapped: %w", err) }
		w := httptest.NewRecorder()
		credits.New(credits.Config{}).Middleware(nil, cost)(nil).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		code, _ := refused(t, w)
		got[code] = w.Code
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
