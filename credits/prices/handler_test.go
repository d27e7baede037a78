package prices_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/quitrent/quitrent/credits/prices"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// ask makes a request and returns its status and body, without the line's end.
func ask(h http.Handler, r *http.Request) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, strings.TrimSuffix(w.Body.String(), "\n")
}

func code(t *testing.T, body string) string {
	t.Helper()
	var p struct{ Code string }
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return p.Code
}

func TestHandler_ServesAnAccountThePricesThatItPays(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set(t, prices.Set{Operation: "chat", Price: prices.Price{Components: []prices.Component{{Input: "tokens", Credits: 3, Per: 1000}}, Minimum: 1}})
		w.set(t, prices.Set{Operation: "image", Price: fixed(9), Actor: operator})
		w.set(t, prices.Set{Account: acc, Operation: "image", Price: fixed(7)})
		h := w.list.Handler(w.db)
		get := func(account tenancy.AccountID, target string) (int, string) {
			ctx := tenancytest.Context(t, tenancy.Scope{Account: account})
			return ask(h, httptest.NewRequestWithContext(ctx, "GET", target, nil))
		}
		const (
			dates = `"effective_at":"2026-03-01T09:00:00.123456Z","set_at":"2026-03-01T09:00:00.123456Z"}`
			chat  = `{"operation":"chat","number":1,"price":{"components":[{"input":"tokens","credits":3,"per":1000}],"minimum":1,"rounding":"up"},` + dates
			image = `{"operation":"image","number":1,"price":{"fixed":9,"rounding":"up"},` + dates
			own   = `{"account":"acc_1","operation":"image","number":1,"price":{"fixed":7,"rounding":"up"},` + dates
			basis = `{"account":"acc_1","amount":7,"operation":"image","version":1}`
		)
		quoted := func(s string) string { b, _ := json.Marshal(s); return string(b) }
		for _, c := range []struct {
			account      tenancy.AccountID
			target, want string
		}{
			{acc, "/prices", `{"prices":[` + chat + "," + own + "]}"},
			{other, "/prices", `{"prices":[` + chat + "," + image + "]}"},
			{other, "/prices?account=acc_1&account_id=acc_1", `{"prices":[` + chat + "," + image + "]}"},
			{acc, "/prices/quote?operation=chat&input=tokens:1001", `{"amount":4,"version":` + chat + `,"basis":` + quoted(`{"amount":4,"inputs":{"tokens":1001},"operation":"chat","version":1}`) + "}"},
			{acc, "/prices/quote?operation=image", `{"amount":7,"version":` + own + `,"basis":` + quoted(basis) + "}"},
			{other, "/prices/quote?operation=image&account=acc_1", `{"amount":9,"version":` + image + `,"basis":` + quoted(`{"amount":9,"operation":"image","version":1}`) + "}"},
			{acc, "/prices/explain?basis=" + url.QueryEscape(basis), `{"text":"image, version 1 of the price: 7 credits","amount":7,"agrees":true,"version":` + own + "}"},
		} {
			if status, got := get(c.account, c.target); status != http.StatusOK || got != c.want {
				t.Errorf("%s %s: %d\n%s\nwant\n%s", c.account, c.target, status, got, c.want)
			}
		}
		for _, c := range []struct {
			account tenancy.AccountID
			target  string
			status  int
			code    string
		}{
			{acc, "/prices/quote", 422, "invalid_price"},
			{acc, "/prices/quote?operation=chat", 422, "invalid_price"},
			{acc, "/prices/quote?operation=chat&input=tokens", 422, "invalid_price"},
			{acc, "/prices/quote?operation=chat&input=:5", 422, "invalid_price"},
			{acc, "/prices/quote?operation=chat&input=tokens:1.5", 422, "invalid_price"},
			{acc, "/prices/quote?operation=chat&input=tokens:-1", 422, "invalid_price"},
			{acc, "/prices/quote?operation=chat&input=tokens:1&input=tokens:2", 422, "invalid_price"},
			{acc, "/prices/quote?operation=chat&input=tokens:9223372036854775808", 422, "invalid_price"},
			{acc, "/prices/quote?operation=video", 404, "no_price"},
			{acc, "/prices/explain", 422, "invalid_price"},
			{other, "/prices/explain?basis=" + url.QueryEscape(basis), 404, "no_price"},
			{acc, "/prices/history?operation=chat", 404, "not_found"},
		} {
			if status, body := get(c.account, c.target); status != c.status || code(t, body) != c.code {
				t.Errorf("%s %s: %d %s", c.account, c.target, status, body)
			}
		}
	})
}

// desk is the operator's handler; the header says who comes.
func (w *world) desk() http.Handler {
	return w.list.Operator(w.db, func(r *http.Request) (tenancy.Actor, error) {
		if r.Header.Get("Who") != "op_1" {
			return tenancy.Actor{}, tenancy.ErrForbidden
		}
		return operator, nil
	})
}

func post(target, body string) *http.Request {
	r := httptest.NewRequest("POST", target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestOperator_LetsNobodyElseIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set(t, prices.Set{Operation: "chat", Price: fixed(5)})
		w.unchanged(t, "a stranger", func() {
			for _, r := range []*http.Request{
				httptest.NewRequest("GET", "/prices", nil), httptest.NewRequest("GET", "/prices/history?operation=chat", nil),
				post("/prices", `{"operation":"chat","price":{"free":true}}`), post("/prices/end", `{"operation":"chat"}`),
			} {
				if status, body := ask(w.desk(), r); status != 403 || strings.Contains(body, "fixed") {
					t.Errorf("%s %s: %d %s", r.Method, r.URL, status, body)
				}
			}
		})
	})
}

func TestOperator_SetsEndsAndReads(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := w.desk()
		do := func(r *http.Request) (int, string) {
			r.Header.Set("Who", "op_1")
			return ask(h, r)
		}
		const (
			now  = `"2026-03-01T09:00:00.123456Z"`
			one  = `{"operation":"chat","number":1,"price":{"components":[{"input":"tokens","credits":3,"per":1000}],"minimum":1,"rounding":"up"},"effective_at":` + now + `,"set_at":` + now + "}"
			own  = `{"account":"acc_1","operation":"chat","number":1,"price":{"fixed":2,"rounding":"down"},"effective_at":"2026-06-01T00:00:00Z","set_at":` + now + "}"
			over = `{"operation":"chat","number":2,"ended":true,"effective_at":"2026-06-01T00:00:00Z","set_at":` + now + "}"
		)
		set := `{"operation":"chat","price":{"components":[{"input":"tokens","credits":3,"per":1000}],"minimum":1},"reason":"to begin with"}`
		for _, c := range []struct {
			r      *http.Request
			status int
			want   string
		}{
			{post("/prices", set), 201, one},
			{post("/prices", set), 200, one},
			{post("/prices", `{"account":"acc_1","operation":"chat","price":{"fixed":2,"rounding":"down"},"effective_at":"2026-06-01T02:00:00+02:00"}`), 201, own},
			{post("/prices/end", `{"operation":"chat","effective_at":"2026-06-01T00:00:00Z"}`), 201, over},
			{post("/prices/end", `{"operation":"chat","effective_at":"2026-06-01T00:00:00Z"}`), 200, over},
			{httptest.NewRequest("GET", "/prices", nil), 200, `{"prices":[` + one + "]}"},
			{httptest.NewRequest("GET", "/prices?account=acc_1", nil), 200, `{"prices":[` + one + "]}"},
			{httptest.NewRequest("GET", "/prices/history?operation=chat", nil), 200, `{"prices":[` + over + "," + one + "]}"},
			{httptest.NewRequest("GET", "/prices/history?operation=chat&before=2&limit=9223372036854775807", nil), 200, `{"prices":[` + one + "]}"},
			{httptest.NewRequest("GET", "/prices/history?operation=chat&account=acc_1", nil), 200, `{"prices":[` + own + "]}"},
			{httptest.NewRequest("GET", "/prices/history?operation=image", nil), 200, `{"prices":[]}`},
		} {
			if status, got := do(c.r); status != c.status || got != c.want {
				t.Errorf("%s %s: %d\n%s\nwant %d\n%s", c.r.Method, c.r.URL, status, got, c.status, c.want)
			}
		}
		if line := tenancytest.RequireAudit(t, w.db, "", "credits.set_price"); line.Actor != operator || line.Reason != "to begin with" {
			t.Errorf("%+v", line)
		}
		w.unchanged(t, "what is refused", func() {
			for _, c := range []struct {
				r      *http.Request
				status int
				code   string
			}{
				{post("/prices", `{"operation":"image"}`), 422, "invalid_price"}, // what was forgotten is not free
				{post("/prices", `{"operation":"image","price":{}}`), 422, "invalid_price"},
				{post("/prices", `{"operation":"image","price":{"fixed":1.5}}`), 422, "invalid_body"},
				{post("/prices", `{"operation":"image","price":{"fixd":1}}`), 422, "invalid_body"},
				{post("/prices", `{"operation":"image","price":{"fixed":1},"actor":"me"}`), 422, "invalid_body"},
				{post("/prices", `{"operation":"image","price":{"fixed":1},"effective_at":"2026-01-01T00:00:00Z"}`), 422, "invalid_price"},
				{post("/prices", `{"operation":"image","price":{"fixed":1},"effective_at":"tomorrow"}`), 422, "invalid_body"},
				{post("/prices/end", `{"operation":"image"}`), 404, "no_price"},
				{post("/prices/end", `{}`), 422, "invalid_price"},
				{httptest.NewRequest("GET", "/prices/history", nil), 422, "invalid_price"},
				{httptest.NewRequest("GET", "/prices/history?operation=chat&before=x", nil), 422, "invalid_price"},
				{httptest.NewRequest("GET", "/prices/history?operation=chat&limit=0", nil), 422, "invalid_price"},
				{httptest.NewRequest("PUT", "/prices", nil), 405, "method_not_allowed"},
			} {
				if status, body := do(c.r); status != c.status || code(t, body) != c.code {
					t.Errorf("%s %s: %d %s, want %d %s", c.r.Method, c.r.URL, status, body, c.status, c.code)
				}
			}
		})
	})
}

func TestHandler_OnErrorWritesTheRefusals(t *testing.T) {
	l := prices.New(prices.Config{OnError: func(w http.ResponseWriter, _ *http.Request, err error) {
		w.WriteHeader(http.StatusTeapot)
		if errors.Is(err, prices.ErrInvalid) {
			_, _ = w.Write([]byte("invalid"))
		}
	}})
	ctx := tenancytest.Context(t, tenancy.Scope{Account: acc})
	status, body := ask(l.Handler(tenancytest.SQLite(t)), httptest.NewRequestWithContext(ctx, "GET", "/prices/quote", nil))
	if status != http.StatusTeapot || body != "invalid" {
		t.Error(status, body)
	}
}

// A database that fails, or a row that somebody spoilt, is not the client's fault.
func TestHandler_OfADatabaseThatFailsAnswers503(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		exec(t, w.db, `INSERT INTO credits_prices (account_id, operation, version, ended, fixed, minimum, rounding, components, effective_at, created_at)
			VALUES ('', 'chat', 1, FALSE, 0, 0, 'up', '[{"input":"n","credits":1,"per":-1}]', ?0, ?0), ('', 'image', 1, FALSE, 1, 0, 'up', '{', ?0, ?0)`, t0)
		ctx := tenancytest.Context(t, tenancy.Scope{Account: acc})
		for _, target := range []string{"/prices", "/prices/quote?operation=chat&input=n:1", "/prices/quote?operation=image"} {
			status, body := ask(w.list.Handler(w.db), httptest.NewRequestWithContext(ctx, "GET", target, nil))
			if status != 503 || code(t, body) != "unavailable" {
				t.Errorf("%s: %d %s", target, status, body)
			}
		}
		status, body := ask(w.list.Handler(tenancytest.SQLite(t)), httptest.NewRequestWithContext(ctx, "GET", "/prices", nil))
		if status != 503 || code(t, body) != "unavailable" {
			t.Errorf("no tables: %d %s", status, body)
		}
	})
}
