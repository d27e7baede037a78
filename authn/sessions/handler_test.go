package sessions_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/sessions"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// page is a browser that keeps the session's cookie, on the service's own pages.
type page struct {
	server http.Handler
	token  sessions.Token
}

func (p *page) call(t *testing.T, method, path, body string, headers ...string) (int, map[string]any) {
	t.Helper()
	headers = append(headers, "Sec-Fetch-Site", "same-origin")
	if p.token != "" {
		headers = with(p.token, headers...)
	}
	return p.read(t, serve(p.server, request(method, path, body, headers...)))
}

func (p *page) read(t *testing.T, w *httptest.ResponseRecorder) (int, map[string]any) {
	t.Helper()
	for _, c := range w.Result().Cookies() {
		if c.Name != cookie || !c.Secure || !c.HttpOnly {
			t.Errorf("a cookie %+v", c)
		}
		p.token = sessions.Token(c.Value)
	}
	answer := map[string]any{}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if w.Code == 401 && w.Header().Get("WWW-Authenticate") != "Session" {
		t.Errorf("challenged by %q", w.Header().Values("WWW-Authenticate"))
	}
	return w.Code, answer
}

// withPasswords gives Ada a password and serves the handler.
func (h *house) withPasswords(t *testing.T) (http.Handler, *authn.Passwords) {
	t.Helper()
	passwords := authn.NewPasswords(h.accounts, authn.PasswordConfig{Now: h.clock.Now})
	set := authn.SetPassword{User: h.ada.User.ID, Actor: operator, Password: goodPassword}
	if err := passwords.Set(t.Context(), h.db, set); err != nil {
		t.Fatal(err)
	}
	return h.sessions.Handler(h.db, passwords), passwords
}

const signIn = `{"email": "Ada@example.com", "password": "` + goodPassword + `"}`

func wantCode(t *testing.T, what string, status int, answer map[string]any, want int, code string) {
	t.Helper()
	if got, _ := answer["code"].(string); status != want || got != code {
		t.Errorf("%s: %d %v, want %d %s", what, status, answer, want, code)
	}
}

func TestHandler_InAndOut(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		server, _ := h.withPasswords(t)
		browser := &page{server: server}
		status, answer := browser.call(t, "GET", "/session", "")
		wantCode(t, "before", status, answer, 401, "missing_credential")
		status, answer = browser.call(t, "POST", "/session", strings.Replace(signIn, goodPassword, "small grey mice", 1))
		wantCode(t, "a wrong password", status, answer, 401, "invalid_credential")
		if browser.token != "" {
			t.Error("a cookie for a wrong password")
		}

		status, answer = browser.call(t, "POST", "/session", signIn, "User-Agent", "Browser/1")
		if status != 201 {
			t.Fatalf("%d %v", status, answer)
		}
		list, err := h.sessions.List(t.Context(), h.db, sessions.List{User: h.ada.User.ID})
		if err != nil || len(list) != 1 || list[0].Addr != netip.MustParseAddr("192.0.2.1") || list[0].UserAgent != "Browser/1" {
			t.Fatalf("%+v, %v", list, err)
		}
		want := map[string]any{
			"session": map[string]any{
				"id": string(list[0].ID), "user": string(h.ada.User.ID), "account": string(h.ada.Account.ID), "addr": "192.0.2.1", "user_agent": "Browser/1",
				"created_at": "2026-03-01T09:00:00.123456Z", "seen_at": "2026-03-01T09:00:00.123456Z", "expires_at": "2026-03-31T09:00:00.123456Z",
			},
			"user": map[string]any{
				"id": string(h.ada.User.ID), "email": "ada@example.com", "name": "ada@example.com", "created_at": "2026-03-01T09:00:00.123456Z",
			},
			"accounts": []any{map[string]any{
				"account": string(h.ada.Account.ID), "name": "ada@example.com", "status": "trial", "roles": []any{"owner"}, "since": "2026-03-01T09:00:00.123456Z",
			}},
		}
		if d := cmp.Diff(want, answer); d != "" {
			t.Errorf("answered (-want +got):\n%s", d)
		}
		status, again := browser.call(t, "GET", "/session", "")
		if d := cmp.Diff(answer, again); d != "" || status != 200 {
			t.Errorf("%d, and then:\n%s", status, d)
		}

		old := browser.token
		for _, what := range []string{"out", "out again"} {
			if status, answer = browser.call(t, "DELETE", "/session", ""); status != 204 || browser.token != "" {
				t.Errorf("%s: %d %v, the cookie %q", what, status, answer, string(browser.token))
			}
		}
		browser.token = old
		if status, _ = browser.call(t, "DELETE", "/session", ""); status != 204 || browser.token != "" {
			t.Errorf("out with an old cookie: %d", status)
		}
		browser.token = old
		status, answer = browser.call(t, "GET", "/session", "")
		wantCode(t, "after", status, answer, 401, "invalid_credential")
	})
}

// Whatever cookie a browser has when somebody signs in, nothing of it is taken over.
func TestHandler_ASessionCannotBePlanted(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		server, _ := h.withPasswords(t)
		planted := h.start(t, h.bob.User.ID) // by Bob, in Ada's browser
		mine := h.start(t, h.ada.User.ID)
		for what, cookies := range map[string][]string{
			"somebody else's session": {string(planted.Token)},
			"an earlier one":          {string(mine.Token)},
			"a token of nobody's":     {string(aToken)},
			"garbage":                 {"garbage"},
			"two":                     {string(aToken), string(h.start(t, h.bob.User.ID).Token)},
			"very many":               strings.Split(strings.Repeat("x,", 999)+"x", ","),
		} {
			var headers []string
			for _, c := range cookies {
				headers = append(headers, "Cookie", cookie+"="+c)
			}
			browser := &page{server: server}
			status, answer := browser.read(t, serve(server, request("POST", "/session", signIn, headers...)))
			if status != 201 {
				t.Errorf("%s: %d %v", what, status, answer)
			}
			h.opens(t, what, browser.token, h.ada.Account.ID)
			for _, c := range cookies {
				if string(browser.token) == c {
					t.Errorf("%s was taken over", what)
				}
			}
		}
		h.opensNothing(t, "the planted one", planted.Token)
		h.opensNothing(t, "the earlier one", mine.Token)
		if n := len(h.list(t, h.bob.User.ID)); n != 0 {
			t.Errorf("%d sessions of Bob's are open", n)
		}
	})
}

// Signing out leaves nothing open, also where the request says two things.
func TestHandler_SigningOutEndsAllThatCameIn(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		server := h.sessions.Handler(h.db, nil)
		for what, c := range map[string]struct {
			header bool
			n      int
		}{"one cookie": {false, 1}, "two cookies": {false, 2}, "a header": {true, 1}, "a header and a cookie": {true, 2}} {
			var headers []string
			var tokens []sessions.Token
			for i := range c.n {
				tokens = append(tokens, h.start(t, h.ada.User.ID).Token)
				if c.header && i == 0 {
					headers = append(headers, "Authorization", "Session "+string(tokens[i]))
				} else {
					headers = append(headers, with(tokens[i])...)
				}
			}
			if w := serve(server, request("DELETE", "/session", "", headers...)); w.Code != 204 {
				t.Errorf("%s: %d %s", what, w.Code, w.Body)
			}
			for _, token := range tokens {
				h.opensNothing(t, what, token)
			}
		}
	})
}

func TestHandler_TheSessionsOfAPerson(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		server := h.sessions.Handler(h.db, nil)
		first, second, third := h.start(t, h.ada.User.ID), h.start(t, h.ada.User.ID), h.start(t, h.ada.User.ID)
		bobs := h.start(t, h.bob.User.ID)
		browser := &page{server: server, token: first.Token}
		h.clock.Advance(time.Hour)
		status, answer := browser.call(t, "GET", "/sessions", "")
		current := map[string]bool{}
		list, _ := answer["sessions"].([]any)
		for _, s := range list {
			s := s.(map[string]any)
			current[s["id"].(string)] = s["current"].(bool)
			if len(s) != 9 {
				t.Errorf("a session shows %v", s)
			}
		}
		want := map[string]bool{string(first.Session.ID): true, string(second.Session.ID): false, string(third.Session.ID): false}
		if d := cmp.Diff(want, current); d != "" || status != 200 || list[0].(map[string]any)["current"] != true {
			t.Errorf("%d %v\n%s", status, answer, d)
		}

		for what, id := range map[string]sessions.ID{"Bob's": bobs.Session.ID, "nobody's": "ses_none", "odd bytes": "%00%ff"} {
			status, answer = browser.call(t, "DELETE", "/sessions/"+string(id), "")
			wantCode(t, what, status, answer, 404, "no_session")
		}
		if status, answer = browser.call(t, "DELETE", "/sessions/"+string(second.Session.ID), ""); status != 204 || browser.token != first.Token {
			t.Errorf("%d %v", status, answer)
		}
		h.opensNothing(t, "the second", second.Token)
		h.opens(t, "the third", third.Token, h.ada.Account.ID)
		if status, answer = browser.call(t, "DELETE", "/sessions", ""); status != 200 || answer["revoked"] != 1.0 {
			t.Errorf("%d %v", status, answer)
		}
		h.opensNothing(t, "the third", third.Token)
		h.opens(t, "the first", first.Token, h.ada.Account.ID)
		h.opens(t, "Bob's", bobs.Token, h.bob.Account.ID)
		if status, _ = browser.call(t, "DELETE", "/sessions/"+string(first.Session.ID), ""); status != 204 || browser.token != "" {
			t.Errorf("the current one: %d, the cookie %q", status, string(browser.token))
		}
		h.opensNothing(t, "the first", first.Token)
	})
}

func TestHandler_SwitchesTheAccount(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.join(t, h.bob.Account.ID, h.ada.User.ID)
		first := h.start(t, h.ada.User.ID)
		browser := &page{server: h.sessions.Handler(h.db, nil), token: first.Token}
		status, answer := browser.call(t, "PUT", "/session/account", `{"account": "`+string(h.bob.Account.ID)+`"}`)
		if status != 200 || answer["account"] != string(h.bob.Account.ID) || answer["id"] != string(first.Session.ID) {
			t.Errorf("%d %v", status, answer)
		}
		h.opensNothing(t, "the old cookie", first.Token)
		h.opens(t, "the new cookie", browser.token, h.bob.Account.ID)
		for _, c := range []struct {
			what, body string
			status     int
			code       string
		}{
			{"an account of nobody's", `{"account": "acc_none"}`, 404, "no_account"},
			{"a choice left open", `{}`, 409, "which_account"},
			{"something else", `{"user": "x"}`, 422, "invalid_body"},
		} {
			before := browser.token
			status, answer = browser.call(t, "PUT", "/session/account", c.body)
			wantCode(t, c.what, status, answer, c.status, c.code)
			if browser.token != before {
				t.Errorf("%s: another cookie", c.what)
			}
		}
		status, answer = (&page{server: browser.server}).call(t, "PUT", "/session/account", `{"account": "x"}`)
		wantCode(t, "nobody", status, answer, 401, "missing_credential")
	})
}

// No page of another origin does anything here, signing in and out among it.
func TestHandler_AnotherOriginChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		server, _ := h.withPasswords(t)
		issued := h.start(t, h.ada.User.ID)
		h.unchanged(t, "a page of another origin", func() {
			for _, c := range [][3]string{
				{"POST", "/session", signIn}, {"DELETE", "/session", ""}, {"PUT", "/session/account", `{}`},
				{"PUT", "/session/password", newPassword},
				{"DELETE", "/sessions", ""}, {"DELETE", "/sessions/" + string(issued.Session.ID), ""},
			} {
				for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
					w := serve(server, request(c[0], c[1], c[2], with(issued.Token, headers...)...))
					if w.Code != 403 || !strings.Contains(w.Body.String(), "cross_origin") || len(w.Result().Cookies()) > 0 {
						t.Errorf("%s %s: %d %s", c[0], c[1], w.Code, w.Body)
					}
				}
			}
			w := serve(server, request("POST", "/session", signIn, "Sec-Fetch-Site", "cross-site"))
			if w.Code != 403 {
				t.Errorf("signing somebody in: %d %s", w.Code, w.Body)
			}
		})
	})
}

// A person with several accounts, or with none, signs in before any is chosen.
func TestHandler_SignsInWhoeverThePersonBelongsTo(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		server, passwords := h.withPasswords(t)
		nobody := h.user(t, "nobody@example.com")
		if err := passwords.Set(t.Context(), h.db, authn.SetPassword{User: nobody, Actor: operator, Password: goodPassword}); err != nil {
			t.Fatal(err)
		}
		h.join(t, h.bob.Account.ID, h.ada.User.ID)
		for what, c := range map[string]struct {
			body     string
			status   int
			account  any
			accounts int
		}{
			"several":              {signIn, 201, nil, 2},
			"one of them":          {strings.Replace(signIn, "{", `{"account": "`+string(h.bob.Account.ID)+`", `, 1), 201, string(h.bob.Account.ID), 2},
			"one that is not hers": {strings.Replace(signIn, "{", `{"account": "acc_none", `, 1), 404, nil, 0},
			"none":                 {strings.Replace(signIn, "Ada", "nobody", 1), 201, nil, 0},
		} {
			browser := &page{server: server}
			status, answer := browser.call(t, "POST", "/session", c.body)
			session, _ := answer["session"].(map[string]any)
			accounts, _ := answer["accounts"].([]any)
			if status != c.status || session["account"] != c.account || len(accounts) != c.accounts || (status == 201) != (browser.token != "") {
				t.Errorf("%s: %d %v", what, status, answer)
			}
		}
	})
}

// A limiter that counts strangers learns who is none.
func TestHandler_TellsAnObserverWhoIsKnown(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		server, _ := h.withPasswords(t)
		token := h.start(t, h.ada.User.ID).Token
		for what, c := range map[string]struct {
			r     *http.Request
			known bool
		}{
			"a session":        {request("GET", "/sessions", "", with(token)...), true},
			"a password":       {request("POST", "/session", signIn), true},
			"a wrong password": {request("POST", "/session", strings.Replace(signIn, "giraffes", "mice", 1)), false},
			"garbage":          {request("GET", "/sessions", "", with("garbage")...), false},
		} {
			known := false
			ctx := tenancy.Observe(t.Context(), func(tenancy.AccountID, bool) { known = true })
			if w := serve(server, c.r.WithContext(ctx)); known != c.known {
				t.Errorf("%s: known %t, %d %s", what, known, w.Code, w.Body)
			}
		}
	})
}

func TestHandler_WithoutPasswordsNobodySignsInThere(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		h := newHouse(t, db, sessions.Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
		status, answer := (&page{server: h.sessions.Handler(h.db, nil)}).call(t, "POST", "/session", signIn)
		wantCode(t, "a host with its own way in", status, answer, 405, "method_not_allowed")

		server, _ := h.withPasswords(t)
		_, answer = (&page{server: server}).call(t, "POST", "/session", signIn, "X-Forwarded-For", "203.0.113.9")
		if session, _ := answer["session"].(map[string]any); session["addr"] != "203.0.113.9" {
			t.Errorf("through a proxy it came from %v", session["addr"])
		}
	}, authn.Migrate)
}

func TestHandler_SigningInIsCountedByTheAddressOfTheClient(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.sessions = h.policy(t, sessions.Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}})
		server, _ := h.withPasswords(t)
		browser := &page{server: server}
		wrong := strings.Replace(signIn, goodPassword, "small grey mice", 1)
		for range 10 {
			status, answer := browser.call(t, "POST", "/session", wrong, "X-Forwarded-For", "198.51.100.1")
			wantCode(t, "a wrong password", status, answer, 401, "invalid_credential")
		}
		status, answer := browser.call(t, "POST", "/session", signIn, "X-Forwarded-For", "198.51.100.1")
		wantCode(t, "the right one, too late", status, answer, 429, "too_many_attempts")
		if status, answer = browser.call(t, "POST", "/session", signIn, "X-Forwarded-For", "198.51.100.2"); status != 201 {
			t.Errorf("from another address: %d %v", status, answer)
		}
	})
}

// Whoever tries too often has nothing read.
func TestHandler_ASignInTooManyAsksTheDatabaseNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		passwords := authn.NewPasswords(h.accounts, authn.PasswordConfig{
			Now: h.clock.Now, Limits: authn.PasswordLimits{Pair: authn.Attempts{Burst: 1, Every: time.Hour}},
		})
		asked := &queries{}
		server := h.sessions.Handler(h.db.WithQueryHook(asked), passwords)
		for _, email := range []string{"ada@example.com", "nobody@example.com"} {
			for _, want := range []int{401, 429, 429} {
				before := len(asked.said)
				r := httptest.NewRequest("POST", "https://a.example.com/session", strings.NewReader(`{"email":"`+email+`","password":"wrong wrong wrong"}`))
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				server.ServeHTTP(w, r)
				if n := len(asked.said) - before; w.Code != want || want == 429 && n != 0 {
					t.Errorf("%s: %d with %d statements, want %d", email, w.Code, n, want)
				}
			}
		}
	})
}
