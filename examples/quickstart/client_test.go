package main

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// credential is how a request says who sends it.
type credential func(r *http.Request)

func nobody(*http.Request) {}

func bearer(token string) credential {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

const password = "correct-horse-battery"

func person(email string) credential {
	return func(r *http.Request) { r.SetBasicAuth(email, password) }
}

// session is what a browser sends after an answer that has signed it in.
func session(a answer) credential {
	return func(r *http.Request) {
		for _, c := range (&http.Response{Header: a.header}).Cookies() {
			r.AddCookie(c)
		}
	}
}

// answer is a response and its body.
type answer struct {
	status int
	header http.Header
	body   string
}

// problem is the code of a refusal.
func (a answer) problem() string {
	var p struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal([]byte(a.body), &p)
	return p.Code
}

// want checks the status and, of a refusal, the code.
func (a answer) want(t *testing.T, what string, status int, code string) {
	t.Helper()
	if a.status != status || a.problem() != code {
		t.Errorf("%s: %d %s, want %d %s", what, a.status, strings.TrimSpace(a.body), status, code)
	}
}

// read decodes a JSON answer of the given status, or ends the test.
func read[T any](t *testing.T, a answer, status int) (v T) {
	t.Helper()
	if a.status != status {
		t.Fatalf("%d %s, want %d", a.status, a.body, status)
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return v
}

var client = &http.Client{
	Timeout:       patience,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// send sends a request; headers are names and values in turn.
func (s *server) send(method, path string, who credential, body string, headers ...string) (answer, error) {
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	who(r)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b)}, err
}

func (s *server) get(path string, who credential) answer {
	s.t.Helper()
	return s.must("GET", path, who, "")
}

func (s *server) post(path string, who credential, body string, headers ...string) answer {
	s.t.Helper()
	return s.must("POST", path, who, body, headers...)
}

func (s *server) must(method, path string, who credential, body string, headers ...string) answer {
	s.t.Helper()
	a, err := s.send(method, path, who, body, headers...)
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", method, path, err, &s.log)
	}
	return a
}

// customer is somebody who has signed up.
type customer struct {
	account string
	key     credential
	person  credential
}

// account is an account as the service shows it.
type account struct {
	ID          string    `json:"id"`
	Status      string    `json:"status"`
	Plan        string    `json:"plan"`
	TrialEndsAt time.Time `json:"trial_ends_at"`
}

// signedUp is the answer of a sign-up.
type signedUp struct {
	Account     account   `json:"account"`
	TrialEndsAt time.Time `json:"trial_ends_at"`
	Credits     int64     `json:"credits"`
	APIKey      string    `json:"api_key"`
	Key         struct {
		ID string `json:"id"`
	} `json:"key"`
}

// signedIn says who has signed in.
type signedIn struct {
	Session struct {
		ID      string `json:"id"`
		Account string `json:"account"`
	} `json:"session"`
	User struct {
		Email string `json:"email"`
	} `json:"user"`
	Accounts []struct{} `json:"accounts"`
}

// signIn signs somebody in as a browser does.
func (s *server) signIn(email string) credential {
	s.t.Helper()
	a := s.post("/v1/session", nobody, `{"email": "`+email+`", "password": "`+password+`"}`)
	read[signedIn](s.t, a, http.StatusCreated)
	return session(a)
}

func (s *server) signUp(email string) customer {
	s.t.Helper()
	a := s.post("/v1/signup", nobody, `{"name": "Ada", "email": "`+email+`", "password": "`+password+`"}`)
	got := read[signedUp](s.t, a, http.StatusCreated)
	return customer{account: got.Account.ID, key: bearer(got.APIKey), person: person(email)}
}

// transfer is a bank transfer as the service shows it.
type transfer struct {
	Account     string    `json:"account"`
	Reference   string    `json:"reference"`
	Status      string    `json:"status"`
	Plan        string    `json:"plan"`
	Amount      int64     `json:"amount"`
	Credits     int64     `json:"credits"`
	PeriodStart time.Time `json:"period_start"`
	PeriodEnd   time.Time `json:"period_end"`
	Entry       int64     `json:"entry"`
	Pay         struct {
		Amount    string `json:"amount"`
		Reference string `json:"reference"`
		Holder    string `json:"holder"`
		IBAN      string `json:"iban"`
	} `json:"pay"`
}

func (s *server) request(c customer, plan string) transfer {
	s.t.Helper()
	return read[transfer](s.t, s.post("/v1/billing/transfers", c.person, `{"plan": "`+plan+`"}`), http.StatusCreated)
}

func (s *server) confirm(who credential, reference string) answer {
	s.t.Helper()
	return s.post("/operator/transfers/"+reference+"/confirm", who, `{"reason": "seen on the statement"}`)
}

// buy brings the customer on a paid plan.
func (s *server) buy(c customer, plan string) transfer {
	s.t.Helper()
	return read[transfer](s.t, s.confirm(bearer(s.operator), s.request(c, plan).Reference), http.StatusOK)
}

func (s *server) account(c customer) account {
	s.t.Helper()
	return read[account](s.t, s.get("/v1/account", c.person), http.StatusOK)
}

// balance is what the customer can spend.
func (s *server) balance(c customer) int64 {
	s.t.Helper()
	b := read[struct {
		Spendable int64 `json:"spendable"`
	}](s.t, s.get("/v1/credits/balance", c.person), http.StatusOK)
	return b.Spendable
}

// entry is a line of the ledger.
type entry struct {
	Number int64  `json:"number"`
	Kind   string `json:"kind"`
	Amount int64  `json:"amount"`
}

type page struct {
	Entries []entry `json:"entries"`
	Next    int64   `json:"next"`
}

var shownKey = regexp.MustCompile(`<code id="key">([^<]+)</code>`)
