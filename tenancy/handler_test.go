package tenancy_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// answer is what came back, with the members that a test looks at.
type answer struct {
	status int
	body   string
	Code   string         `json:"code"`
	Detail string         `json:"detail"`
	ID     string         `json:"id"`
	State  tenancy.Status `json:"status"`
}

func call(t *testing.T, h http.Handler, method, path, body string) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if method != "GET" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	a := answer{status: w.Code, body: w.Body.String()}
	_ = json.Unmarshal([]byte(a.body), &a) // a problem's status is a number
	return a
}

func TestOperator_SuspendsAndResumesWithAReason(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		id := string(tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID)
		h := accounts.Operator(db, func(*http.Request) (tenancy.Actor, error) { return operator, nil })

		for _, c := range []struct {
			method, path, body string
			want               tenancy.Status
		}{
			{"GET", "/accounts/" + id, "", tenancy.StatusTrial},
			{"POST", "/accounts/" + id + "/suspend", `{"reason": "abuse of the API"}`, tenancy.StatusSuspended},
			{"POST", "/accounts/" + id + "/suspend", `{"reason": "twice"}`, tenancy.StatusSuspended},
			{"GET", "/accounts/" + id, "", tenancy.StatusSuspended},
			{"POST", "/accounts/" + id + "/resume", `{"reason": "they called"}`, tenancy.StatusTrial},
		} {
			if a := call(t, h, c.method, c.path, c.body); a.status != 200 || a.ID != id || a.State != c.want {
				t.Errorf("%s %s: %d %s", c.method, c.path, a.status, a.body)
			}
		}
		if line := tenancytest.RequireAudit(t, db, tenancy.AccountID(id), "tenancy.suspend"); line.Reason != "abuse of the API" || line.Actor != operator {
			t.Errorf("audit %+v", line)
		}
		if line := tenancytest.RequireAudit(t, db, tenancy.AccountID(id), "tenancy.resume"); line.Reason != "they called" || line.Actor != operator {
			t.Errorf("audit %+v", line)
		}
	})
}

func TestOperator_Refusals(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		id := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		closed := tenancytest.Register(t, db, accounts, "bob@example.com").Account.ID
		setStatus(t, db, closed, tenancy.StatusClosed)
		noCredential := problem.New(http.StatusUnauthorized, "no_credential", "say who you are")
		good := `{"reason": "abuse"}`
		suspend := "/accounts/" + string(id) + "/suspend"
		for _, c := range []struct {
			what         string
			actor        tenancy.Actor
			err          error
			method, path string
			body         string
			status       int
			code         string
		}{
			{"nobody", operator, noCredential, "POST", suspend, good, 401, "no_credential"},
			{"nobody looks", operator, noCredential, "GET", "/accounts/" + string(id), "", 401, "no_credential"},
			{"a customer", operator, tenancy.ErrForbidden, "POST", suspend, good, 403, "forbidden"},
			{"an operator without a name", tenancy.Actor{}, nil, "POST", suspend, good, 403, "forbidden"},
			{"an operator without a name looks", tenancy.Actor{Kind: tenancy.ActorOperator}, nil, "GET", "/accounts/" + string(id), "", 403, "forbidden"},
			{"a check that failed", operator, errors.New("secret dsn"), "POST", suspend, good, 503, "unavailable"},
			{"no account", operator, nil, "POST", "/accounts/acc_none/suspend", good, 404, "no_account"},
			{"no account resumed", operator, nil, "POST", "/accounts/acc_none/resume", good, 404, "no_account"},
			{"no account looked at", operator, nil, "GET", "/accounts/acc_none", "", 404, "no_account"},
			{"an id with a NUL", operator, nil, "GET", "/accounts/%00", "", 404, "no_account"},
			{"an id in no encoding", operator, nil, "POST", "/accounts/%ff/suspend", good, 404, "no_account"},
			{"an id with a slash", operator, nil, "GET", "/accounts/a%2Fb", "", 404, "no_account"},
			{"a very long id", operator, nil, "GET", "/accounts/" + strings.Repeat("a", 5000), "", 404, "no_account"},
			{"a closed account", operator, nil, "POST", "/accounts/" + string(closed) + "/suspend", good, 409, "illegal_transition"},
			{"no body", operator, nil, "POST", suspend, "", 422, "invalid_body"},
			{"no JSON", operator, nil, "POST", suspend, "reason=abuse", 422, "invalid_body"},
			{"another member", operator, nil, "POST", suspend, `{"reason": "a", "status": "active"}`, 422, "invalid_body"},
			{"a long reason", operator, nil, "POST", suspend, `{"reason": "` + strings.Repeat("a", 1001) + `"}`, 422, "invalid"},
			{"a reason with a NUL", operator, nil, "POST", suspend, `{"reason": "a\u0000"}`, 422, "invalid"},
			{"another address", operator, nil, "GET", "/elsewhere", "", 404, "not_found"},
			{"another method", operator, nil, "DELETE", "/accounts/" + string(id), "", 405, "method_not_allowed"},
		} {
			h := accounts.Operator(db, func(*http.Request) (tenancy.Actor, error) { return c.actor, c.err })
			unchanged(t, db, c.what, func() {
				a := call(t, h, c.method, c.path, c.body)
				if a.status != c.status || a.Code != c.code || strings.Contains(a.body, "secret") {
					t.Errorf("%s: %d %s, want %d %s", c.what, a.status, a.body, c.status, c.code)
				}
			})
		}
	})
}

func TestHandler_ShowsAnAccountToItself(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	accounts, clock := newAccounts(t, db, tenancy.Config{})
	ada := tenancytest.Register(t, db, accounts, "ada@example.com").Account
	tenancytest.Register(t, db, accounts, "eve@example.com")
	who := func(*http.Request) (tenancy.AccountID, tenancy.Actor, error) { return ada.ID, person, nil }
	h := accounts.Middleware(db, who, tenancy.Read)(accounts.Handler(db))

	a := call(t, h, "GET", "/account", "")
	var got tenancy.Account
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if d := cmp.Diff(ada, got); d != "" {
		t.Errorf("account (-want +got):\n%s", d)
	}
	clock.Set(ada.TrialEndsAt) // and still, when the trial is over
	if a := call(t, h, "GET", "/account", ""); a.status != 200 {
		t.Errorf("trial over: %d %s", a.status, a.body)
	}
	if a := call(t, h, "POST", "/account", "{}"); a.status != 405 || a.Code != "method_not_allowed" {
		t.Errorf("another method: %d %s", a.status, a.body)
	}
	defer func() {
		if recover() == nil {
			t.Error("without a middleware it answered")
		}
	}()
	call(t, accounts.Handler(db), "GET", "/account", "")
}

func TestMiddleware_LetsThroughWhatPassesAndNothingElse(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com").Account
		stranger := problem.New(http.StatusUnauthorized, "no_credential", "say who you are")
		var served []tenancy.AccountID
		next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			served = append(served, tenancy.From(r.Context()).Account)
		})
		for _, c := range []struct {
			what   string
			id     tenancy.AccountID
			actor  tenancy.Actor
			err    error
			need   tenancy.Capability
			at     int // days on
			status int
			code   string
		}{
			{"a user", ada.ID, person, nil, 0, 0, 200, ""},
			{"a key", ada.ID, key, nil, 0, 0, 200, ""},
			{"a key that pays", ada.ID, key, nil, tenancy.Pay, 0, 403, "forbidden"},
			{"a stranger", ada.ID, person, stranger, 0, 0, 401, "no_credential"},
			{"no account", "acc_none", person, nil, 0, 0, 404, "no_account"},
			{"the trial over", ada.ID, person, nil, 0, 14, 402, "trial_over"},
			{"the trial over, to pay", ada.ID, person, nil, tenancy.Pay, 14, 200, ""},
		} {
			clock.Set(t0.AddDate(0, 0, c.at))
			served = nil
			who := func(*http.Request) (tenancy.AccountID, tenancy.Actor, error) { return c.id, c.actor, c.err }
			a := call(t, accounts.Middleware(db, who, c.need)(next), "GET", "/", "")
			if a.status != c.status || a.Code != c.code || (len(served) == 1) != (c.status == 200) {
				t.Errorf("%s: %d %s, served %q; want %d %s", c.what, a.status, a.body, served, c.status, c.code)
			}
		}
	})
}

func TestConfig_OnErrorWritesTheRefusals(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	accounts, _ := newAccounts(t, db, tenancy.Config{OnError: func(w http.ResponseWriter, _ *http.Request, err error) {
		if errors.Is(err, tenancy.ErrNoAccount) || errors.Is(err, tenancy.ErrForbidden) {
			w.WriteHeader(http.StatusTeapot)
		}
	}})
	who := func(*http.Request) (tenancy.AccountID, tenancy.Actor, error) { return "acc_none", person, nil }
	denied := func(*http.Request) (tenancy.AccountID, tenancy.Actor, error) { return "", person, tenancy.ErrForbidden }
	check := func(*http.Request) (tenancy.Actor, error) { return operator, nil }
	for what, h := range map[string]http.Handler{
		"the middleware": accounts.Middleware(db, who, 0)(http.NotFoundHandler()),
		"its question":   accounts.Middleware(db, denied, 0)(http.NotFoundHandler()),
		"the operator's": accounts.Operator(db, check),
		"Refuse": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			accounts.Refuse(w, r, tenancy.ErrForbidden)
		}),
	} {
		if a := call(t, h, "GET", "/accounts/acc_none", ""); a.status != http.StatusTeapot {
			t.Errorf("%s wrote %d %s", what, a.status, a.body)
		}
	}
}

func TestRefuse_AnswersForTheHostsOwnHandlers(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{{tenancy.ErrLimit, 402, "plan_limit"}, {errors.New("secret dsn"), 503, "unavailable"}} {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { tenancy.Refuse(w, r, c.err) })
		if a := call(t, h, "GET", "/", ""); a.status != c.status || a.Code != c.code || strings.Contains(a.body, "secret") {
			t.Errorf("%v: %d %s", c.err, a.status, a.body)
		}
	}
}
