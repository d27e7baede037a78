package adaptertest

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quitrent/quitrent/examples/adapters/internal/service"
	"github.com/quitrent/quitrent/tenancy"
)

// HTTP is the Call of adapters whose hello is GET /hello.
func HTTP(t *testing.T, addr string, header http.Header) Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/hello", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	res, body := do(t, req)
	got := Answer{Status: res.StatusCode, Challenge: res.Header.Get("WWW-Authenticate")}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		got.RetryAfter = time.Duration(seconds) * time.Second
	}
	if res.StatusCode == http.StatusOK {
		got.Body = body
		return got
	}
	var problem struct {
		Code   string
		Status int
	}
	if err := json.Unmarshal([]byte(body), &problem); err != nil || problem.Status != res.StatusCode || res.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %v %s", res.StatusCode, res.Header, body)
	}
	got.Code = problem.Code
	return got
}

// Charged asks whether POST /ideas charges five credits for an answer and none for a
// failure.
func Charged(t *testing.T, server func(*service.Service) service.Server) {
	a := Start(t, server)
	account, key := a.Join(t, "ada", tenancy.DefaultTrialPlan)
	for _, tc := range []struct {
		name, form string
		status     int
		body       string
		cost, left string
	}{
		{"an answer", "about=rivers", 200, "", "5", "1995"},
		{"a failure", "", 400, "about is missing", "0", "1995"},
		{"another answer", "about=hills", 200, "", "5", "1990"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+a.Addr+"/ideas", strings.NewReader(tc.form))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = key.Clone()
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, body := do(t, req)
		if res.StatusCode != tc.status || !strings.Contains(body, tc.body) || res.Header.Get("Credits-Cost") != tc.cost || res.Header.Get("Credits-Remaining") != tc.left {
			t.Errorf("%s: %d %v %s", tc.name, res.StatusCode, res.Header, body)
		}
	}
	if b, err := a.Ledger.Balance(t.Context(), a.DB, account); err != nil || b.Spendable != 1990 {
		t.Errorf("%+v, %v", b, err)
	}
}

func do(t *testing.T, req *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}
