package credits_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestHandler_ServesStatements(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "g", Actor: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_secret"}})
		clock.Advance(24 * time.Hour)
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 3})
		h := l.Handler(db)
		mine, theirs := as(t, h, acc), as(t, h, other)
		const (
			e1   = `{"number":1,"kind":"grant","amount":10,"balance":10,"spendable":10,"key":"g","actor":{"kind":"operator","id":""},"at":"2026-03-01T09:00:00Z"}`
			e2   = `{"number":2,"kind":"deduct","amount":-3,"balance":7,"spendable":7,"at":"2026-03-02T09:00:00Z"}`
			b0   = `{"number":0,"balance":0}`
			b1   = `{"number":1,"balance":10}`
			b2   = `{"number":2,"balance":7}`
			unit = `"unit":"credit","exponent":0}`
			none = `{"opening":` + b0 + `,"closing":` + b0 + `,"entries":[],` + unit
		)
		for _, c := range []struct {
			ask         func(method, target string) *httptest.ResponseRecorder
			query, want string
		}{
			{mine, "", `{"opening":` + b0 + `,"closing":` + b2 + `,"entries":[` + e1 + "," + e2 + `],` + unit},
			{mine, "from=2026-03-02", `{"opening":` + b1 + `,"closing":` + b2 + `,"entries":[` + e2 + `],` + unit},
			{mine, "to=2026-03-02T09:00:00Z&totals=true", `{"opening":` + b0 + `,"closing":` + b1 +
				`,"totals":[{"kind":"grant","entries":1,"in":10,"out":0}],"entries":[` + e1 + `],` + unit},
			{mine, "from=2026-03-01T10:00:00.000001%2B01:00&to=2026-03-03&totals=0", `{"opening":` + b1 + `,"closing":` + b2 + `,"entries":[` + e2 + `],` + unit},
			{theirs, "", none},
			{theirs, "account=acc_1&account_id=acc_1", none},
		} {
			w := c.ask("GET", "/credits/statement?"+c.query)
			if got := w.Body.String(); w.Code != http.StatusOK || got != c.want+"\n" {
				t.Errorf("%s: %d\n%s\nwant\n%s", c.query, w.Code, got, c.want)
			}
			if h := w.Header(); h.Get("Content-Type") != "application/json" || h.Get("Vary") != "Accept" {
				t.Errorf("%s: %v", c.query, h)
			}
		}

		var page credits.StatementPage
		if err := json.Unmarshal(mine("GET", "/credits/statement?limit=1&to=2026-03-03").Body.Bytes(), &page); err != nil || page.Next == "" {
			t.Fatal(page, err)
		}
		next := "/credits/statement?limit=1&to=2026-03-03&cursor=" + url.QueryEscape(page.Next)
		if w := mine("GET", next); w.Code != 200 || !strings.Contains(w.Body.String(), e2) || strings.Contains(w.Body.String(), `"next"`) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		for _, target := range []string{
			"?from=yesterday", "?to=2026-13-01", "?from=2026-03-01T00:00:00+01:00", "?from=0000-01-01", "?from=0001-01-01", "?to=10000-01-01",
			"?from=2026-03-02&to=2026-03-01", "?limit=0", "?limit=x", "?totals=please", "?cursor=x", "?limit=1&cursor=" + page.Next,
			".csv?limit=1", ".csv?totals=true", ".csv?cursor=" + page.Next, ".csv?from=yesterday", ".csv?from=2026-03-02&to=2026-03-01",
		} {
			w := mine("GET", "/credits/statement"+target)
			if code, _ := refused(t, w); w.Code != http.StatusUnprocessableEntity || code != "invalid_credits" || w.Header().Get("Content-Disposition") != "" {
				t.Errorf("%s: %d %s", target, w.Code, w.Body)
			}
		}
		if w := theirs("GET", next); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("another's cursor: %d %s", w.Code, w.Body)
		}
	})
}

func TestHandler_ServesStatementsAsFiles(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "g", Actor: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_secret"}})
		h := l.Handler(db)
		ask := func(method, target, accept string) *httptest.ResponseRecorder {
			r := httptest.NewRequestWithContext(tenancytest.Context(t, tenancy.Scope{Account: acc}), method, target, nil)
			r.Header.Set("Accept", accept)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w
		}
		want := lines(csvHead, ",2026-03-01T00:00:00.000000Z,opening,,0,,,,,,,,,,,,credit",
			"1,2026-03-01T09:00:00.000000Z,grant,10,10,10,,,,g,operator,,,,,,credit", ",,closing,,10,,,,,,,,,,,,credit")
		for _, c := range []struct{ target, accept string }{
			{"/credits/statement.csv", "application/json"}, {"/credits/statement", "text/csv"},
		} {
			w := ask("GET", c.target+"?from=2026-03-01", c.accept)
			if w.Code != 200 || w.Body.String() != want {
				t.Errorf("%s: %d\n%s\nwant\n%s", c.target, w.Code, w.Body, want)
			}
			for name, want := range map[string]string{
				"Content-Type":           "text/csv; charset=utf-8; header=present",
				"Content-Disposition":    "attachment; filename=credits-acc_1-20260301.csv",
				"Cache-Control":          "no-store",
				"X-Content-Type-Options": "nosniff",
			} {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s: %s is %q", c.target, name, got)
				}
			}
			head := ask("HEAD", c.target, c.accept)
			if head.Code != 200 || head.Body.Len() > 0 || head.Header().Get("Content-Type") != w.Header().Get("Content-Type") {
				t.Errorf("HEAD %s: %d %v", c.target, head.Code, head.Header())
			}
		}
		for accept, want := range map[string]bool{
			"": false, "*/*": false, "application/json": false, "text/*": false, "text/csv": true, "Text/CSV; charset=utf-8": true,
			"text/csv, */*": true, "*/*, text/csv": true, "text/csv;q=0.5, */*": false, "text/csv, application/json": false,
			"application/json;q=0.9, text/csv": true, "text/csv;q=0.9, application/json": false, "text/csv;q=0": false,
			"text/csv;q=x": false, ";;, text/csv": true, "text/csv;q=0.8,application/*;q=0.9": false,
		} {
			if got := ask("GET", "/credits/statement", accept).Header().Get("Content-Disposition") != ""; got != want {
				t.Errorf("Accept: %s gets a file: %t", accept, got)
			}
		}
	})
}

// A file that breaks off does not look like a whole one: the connection ends before the
// answer does, and the line of the closing balance is not there.
func TestHandler_AFileThatBreaksOffIsSeenToBe(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fill(t, db, 1250)
		scope := tenancytest.Context(t, tenancy.Scope{Account: acc})
		for after, whole := range map[int]bool{3: false, 4: false, 5: true} {
			ctx, cancel := context.WithCancel(scope)
			h := l.Handler(db.WithQueryHook(&stopping{after: after, stop: cancel}))
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r.WithContext(ctx)) }))
			answer, err := http.Get(server.URL + "/credits/statement.csv")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			if (err == nil) != whole || strings.Contains(string(body), "closing") != whole || !strings.HasPrefix(string(body), csvHead) {
				t.Errorf("after %d statements: %d bytes, %v", after, len(body), err)
			}
			_ = answer.Body.Close()
			server.Close()
			cancel()
		}
	})
}

func TestHandler_OfADatabaseThatFailsHasNoStatement(t *testing.T) {
	ask := as(t, credits.New(credits.Config{}).Handler(tenancytest.SQLite(t)), acc)
	for _, target := range []string{"/credits/statement", "/credits/statement.csv"} {
		w := ask("GET", target)
		if code, body := refused(t, w); w.Code != http.StatusServiceUnavailable || code != "unavailable" || w.Header().Get("Content-Disposition") != "" {
			t.Errorf("%s: %d %v", target, w.Code, body)
		}
	}
}
