package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestM3_SignUpGivesATrialWithCreditsAndAKeyShownOnce(t *testing.T) {
	s := start(t, newFile(t))
	before := time.Now().UTC().Truncate(time.Microsecond)
	a := s.post("/v1/signup", nobody, `{"name": "Ada", "email": "ada@example.com", "password": "`+password+`"}`)
	after := time.Now().UTC()
	made := read[signedUp](t, a, http.StatusCreated)
	const trial = 14 * 24 * time.Hour
	if made.TrialEndsAt.Before(before.Add(trial)) || made.TrialEndsAt.After(after.Add(trial)) || !made.TrialEndsAt.Equal(made.Account.TrialEndsAt) {
		t.Errorf("the trial ends %v and %v, asked between %v and %v", made.TrialEndsAt, made.Account.TrialEndsAt, before, after)
	}
	if made.Account.Status != "trial" || made.Account.Plan != "free-trial" || made.Credits != 2000 || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v %s", a.header, a.body)
	}

	ada := customer{account: made.Account.ID, key: bearer(made.APIKey), person: person("ADA@example.com")}
	if got := read[account](t, s.get("/v1/account", ada.key), http.StatusOK); got != made.Account {
		t.Errorf("the key opens %+v, want %+v", got, made.Account)
	}
	ledger := read[page](t, s.get("/v1/credits/entries", ada.key), http.StatusOK)
	if len(ledger.Entries) != 1 || ledger.Entries[0] != (entry{Number: 1, Kind: "grant", Amount: 2000}) {
		t.Errorf("the ledger is born with %+v", ledger)
	}
	keys := s.get("/v1/keys", ada.person)
	if strings.Contains(keys.body, made.APIKey) || !strings.Contains(keys.body, made.Key.ID) || strings.Contains(s.log.String(), made.APIKey) {
		t.Errorf("the key is shown again: %s\n%s", keys.body, &s.log)
	}
}

func TestM3_SignUpRefusals(t *testing.T) {
	s := start(t, newFile(t))
	s.signUp("ada@example.com")
	for _, c := range []struct {
		what, body string
		status     int
		code       string
	}{
		{"a weak password", `{"name": "B", "email": "bob@example.com", "password": "password123"}`, 422, "weak_password"},
		{"no password", `{"name": "B", "email": "bob@example.com"}`, 422, "weak_password"},
		{"no address", `{"name": "B", "email": "bob", "password": "` + password + `"}`, 422, "invalid"},
		{"no name", `{"email": "bob@example.com", "password": "` + password + `"}`, 422, "invalid"},
		{"a taken address", `{"name": "B", "email": "Ada@Example.com", "password": "` + password + `"}`, 409, "email_taken"},
		{"a plan of one's choice", `{"name": "B", "email": "bob@example.com", "password": "` + password + `", "plan": "enterprise"}`, 422, "invalid_body"},
		{"no JSON", `name=B`, 422, "invalid_body"},
	} {
		s.post("/v1/signup", nobody, c.body).want(t, c.what, c.status, c.code)
	}
	s.get("/v1/account", person("bob@example.com")).want(t, "nobody was made", 401, "invalid_credential")
	s.signUp("bob@example.com") // and the address is free
}

// submit posts a form of a page.
func (s *server) submit(path string, who credential, form url.Values, headers ...string) answer {
	s.t.Helper()
	return s.post(path, who, form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
}

func (s *server) form(name, email, password string, headers ...string) answer {
	s.t.Helper()
	return s.submit("/", nobody, url.Values{"name": {name}, "email": {email}, "password": {password}}, headers...)
}

// lands checks that an answer signs a browser in and sends it to the ideas.
func lands(t *testing.T, what string, a answer) credential {
	t.Helper()
	cookie := a.header.Get("Set-Cookie")
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/ideas" || !strings.HasPrefix(cookie, "session=") ||
		!strings.Contains(cookie, "; HttpOnly; SameSite=Lax") {
		t.Fatalf("%s: %d %v %s", what, a.status, a.header, a.body)
	}
	return session(a)
}

func TestM3_TheFormStartsATrialAndLandsOnTheIdeas(t *testing.T) {
	s := start(t, newFile(t))
	if a := s.get("/", nobody); a.status != 200 || !strings.Contains(a.body, "<h1>Start your free trial</h1>") || strings.Contains(a.body, `name="plan"`) {
		t.Fatalf("the page: %d %s", a.status, a.body)
	}

	a := s.form("Ada & Co", "ada@example.com", password, "Sec-Fetch-Site", "same-origin")
	ada := lands(t, "the answer", a)
	a = s.get("/ideas", ada)
	if a.status != 200 || !strings.Contains(a.body, `<dd id="credits">2000</dd>`) || !strings.Contains(a.body, `id="trial"`) ||
		!strings.Contains(a.body, "None yet") || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("the ideas: %d %v %s", a.status, a.header, a.body)
	}
	if a := s.get("/v1/keys", ada); a.status != 200 || strings.TrimSpace(a.body) != `{"keys":[]}` {
		t.Errorf("keys from nowhere: %d %s", a.status, a.body)
	}
	a = s.submit("/ideas/key", ada, nil)
	key := shownKey.FindStringSubmatch(a.body)
	if a.status != http.StatusCreated || key == nil || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("a key: %d %s", a.status, a.body)
	}
	if a := s.post("/v1/ideas", bearer(key[1]), `{"count": 1}`); a.status != 200 || a.header.Get("Credits-Remaining") != "1995" {
		t.Errorf("the key: %d %s", a.status, a.body)
	}
	if a := s.get("/ideas", ada); !strings.Contains(a.body, `<dd id="credits">1995</dd>`) || !strings.Contains(a.body, `<li value="2">1 idea</li>`) || strings.Contains(a.body, key[1]) {
		t.Errorf("the ideas with one: %d %s", a.status, a.body)
	}

	a = s.form(`<script>alert(1)</script>`, "ada@example.com", password)
	if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "sign in instead") || !strings.Contains(a.body, `value="ada@example.com"`) {
		t.Errorf("the same address again: %d %s", a.status, a.body)
	}
	if strings.Contains(a.body, "<script>") || strings.Contains(a.body, password) {
		t.Errorf("the page repeats what it must not: %s", a.body)
	}
	if a := s.form("Bob", "bob@example.com", "password123"); a.status != 422 || !strings.Contains(a.body, "choose another password") {
		t.Errorf("a weak password: %d %s", a.status, a.body)
	}

	for _, from := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		if a := s.form("Eve", "eve@example.com", password, from...); a.status != http.StatusForbidden {
			t.Errorf("a form of another site, %v: %d %s", from, a.status, a.body)
		}
		if a := s.submit("/ideas/key", ada, nil, from...); a.status != http.StatusForbidden {
			t.Errorf("a form of another site makes a key, %v: %d %s", from, a.status, a.body)
		}
	}
	s.get("/v1/account", person("eve@example.com")).want(t, "nobody was made", 401, "invalid_credential")
	if a := s.must("DELETE", "/", nobody, ""); a.status != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", a.status)
	}
}

func TestM12_ThePagesSignInAndOut(t *testing.T) {
	s := start(t, newFile(t))
	ada := lands(t, "signing up", s.form("Ada", "ada@example.com", password))
	eve := s.signUp("eve@example.com")
	signedOut := func(what string, who credential) {
		t.Helper()
		if a := s.get("/ideas", who); a.status != http.StatusSeeOther || a.header.Get("Location") != "/signin" {
			t.Errorf("%s: %d %v", what, a.status, a.header)
		}
	}
	signedOut("nobody", nobody)
	signedOut("a made-up session", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "session", Value: strings.Repeat("a", 43)}) })
	for what, who := range map[string]credential{"a key": eve.key, "a password": eve.person} {
		signedOut(what, who) // they are for programs
	}

	a := s.submit("/signout", ada, nil)
	if a.status != http.StatusSeeOther || !strings.Contains(a.header.Get("Set-Cookie"), "session=; ") || !strings.Contains(a.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("signing out: %d %v", a.status, a.header)
	}
	signedOut("afterwards", ada)
	if a := s.submit("/signout", ada, nil); a.status != http.StatusSeeOther {
		t.Errorf("signing out again: %d %s", a.status, a.body)
	}

	form := url.Values{"email": {"ada@example.com"}, "password": {"not-" + password}}
	if a := s.submit("/signin", nobody, form); a.status != http.StatusUnauthorized || !strings.Contains(a.body, "is wrong") ||
		!strings.Contains(a.body, `value="ada@example.com"`) || strings.Contains(a.body, password) || a.header.Get("Set-Cookie") != "" {
		t.Errorf("a wrong password: %d %v %s", a.status, a.header, a.body)
	}
	form.Set("password", password)
	if a := s.submit("/signin", nobody, form, "Sec-Fetch-Site", "cross-site"); a.status != http.StatusForbidden {
		t.Errorf("a form of another site: %d %s", a.status, a.body)
	}
	for what, who := range map[string]credential{"by password": person("ada@example.com"), "by session": s.signIn("ada@example.com")} {
		if a := s.get("/v1/accounts", who); a.status != 200 || !strings.Contains(a.body, `"roles":["owner"]`) {
			t.Errorf("her accounts, %s: %d %s", what, a.status, a.body)
		}
	}
	s.get("/v1/accounts", eve.key).want(t, "a key's accounts", http.StatusUnauthorized, "invalid_credential")
	s.get("/v1/accounts", nobody).want(t, "nobody's accounts", http.StatusUnauthorized, "missing_credential")
	first := lands(t, "signing in", s.submit("/signin", nobody, form))
	second := lands(t, "signing in again", s.submit("/signin", first, form))
	signedOut("the session before", first)
	if a := s.get("/ideas", second); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}
