package sessions_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/sessions"
	"github.com/quitrent/quitrent/tenancy"
)

// M12: a session puts its account on the request, like a key.
func TestM12_ASessionPutsItsAccountOnTheRequest(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		keys, err := authn.New(h.accounts, authn.Config{Peppers: []authn.Pepper{{ID: "a", Secret: bytes.Repeat([]byte("a"), 32)}}, Now: h.clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		key, err := keys.Issue(t.Context(), h.db, authn.Issue{Account: h.bob.Account.ID, Name: "a key", Actor: userOf(h.bob)})
		if err != nil {
			t.Fatal(err)
		}
		ada := h.start(t, h.ada.User.ID).Token
		both := h.user(t, "both@example.com")
		h.join(t, h.ada.Account.ID, both)
		h.join(t, h.bob.Account.ID, both)
		several := h.start(t, both).Token
		asAda := string(h.ada.Account.ID) + " user " + string(h.ada.User.ID)
		guard := authn.NewGuard(h.accounts, authn.GuardConfig{}, keys, h.sessions)
		server := guard.Middleware(h.db, 0)(whoami)
		for what, c := range map[string]struct {
			method  string
			headers []string
			status  int
			says    string
		}{
			"a cookie":                      {"GET", with(ada), 200, asAda},
			"a cookie, its account":         {"GET", with(ada, "X-Account-ID", string(h.ada.Account.ID)), 200, asAda},
			"a cookie, another's account":   {"GET", with(ada, "X-Account-ID", string(h.bob.Account.ID)), 404, "no_account"},
			"a choice to make":              {"GET", with(several), 409, "which_account"},
			"a choice made":                 {"GET", with(several, "X-Account-ID", string(h.ada.Account.ID)), 200, string(h.ada.Account.ID) + " user " + string(both)},
			"a header":                      {"GET", []string{"Authorization", "Session " + string(ada)}, 200, asAda},
			"a header, from anywhere":       {"POST", []string{"Authorization", "Session " + string(ada), "Sec-Fetch-Site", "cross-site"}, 200, asAda},
			"a key beside a cookie":         {"POST", with(ada, "X-API-Key", key.Secret, "Sec-Fetch-Site", "cross-site"), 200, string(h.bob.Account.ID) + " key " + string(key.Key.ID)},
			"a bad key beside a cookie":     {"GET", with(ada, "X-API-Key", key.Secret+"x"), 401, "invalid_credential"},
			"a token as a bearer":           {"GET", []string{"Authorization", "Bearer " + string(ada)}, 401, "invalid_credential"},
			"a token as a key":              {"GET", []string{"X-API-Key", string(ada)}, 401, "invalid_credential"},
			"a token as a password":         {"GET", []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("ada@example.com:"+ada))}, 401, "invalid_credential"},
			"a key in the cookie":           {"GET", with(sessions.Token(key.Secret)), 401, "invalid_credential"},
			"garbage in the cookie":         {"GET", with("x%00y"), 401, "invalid_credential"},
			"bytes of no cookie":            {"GET", with("x\x01ä"), 401, "missing_credential"}, // net/http drops them
			"two cookies":                   {"GET", with(ada, "Cookie", cookie+"=x"), 401, "invalid_credential"},
			"no cookie":                     {"GET", nil, 401, "missing_credential"},
			"another origin reads":          {"GET", with(ada, "Sec-Fetch-Site", "cross-site"), 200, asAda},
			"another origin writes":         {"POST", with(ada, "Sec-Fetch-Site", "cross-site"), 403, "cross_origin"},
			"another origin opens a socket": {"GET", with(ada, "Sec-Fetch-Site", "cross-site", "Upgrade", "websocket"), 403, "cross_origin"},
		} {
			w := serve(server, request(c.method, "/", "", c.headers...))
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
				t.Errorf("%s: %d %s, want %d %s", what, w.Code, w.Body, c.status, c.says)
			}
			if challenges := w.Header().Values("WWW-Authenticate"); (w.Code == 401) != (len(challenges) == 2) {
				t.Errorf("%s: %d with the challenges %q", what, w.Code, challenges)
			}
		}
		alone := h.sessions.Middleware(h.db, 0)(whoami)
		for what, c := range map[string]struct {
			headers []string
			status  int
		}{"a session": {with(ada), 200}, "a key": {[]string{"X-API-Key", key.Secret}, 401}} {
			if w := serve(alone, request("GET", "/", "", c.headers...)); w.Code != c.status {
				t.Errorf("sessions alone, %s: %d %s", what, w.Code, w.Body)
			}
		}
	})
}

// M12: a session is validated like every other way in, and a person whose trial is
// over signs in and pays.
func TestM12_AfterTheTrialAPersonSignsInAndPays(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.clock.Set(h.ada.Account.TrialEndsAt)
		token := h.start(t, h.ada.User.ID).Token
		call := func(need tenancy.Capability) int {
			return serve(h.sessions.Middleware(h.db, need)(whoami), request("POST", "/", "", with(token)...)).Code
		}
		for _, c := range []struct {
			need tenancy.Capability
			want int
		}{{tenancy.SignIn, 200}, {tenancy.SignIn | tenancy.Pay, 200}, {tenancy.Read, 200}, {0, 402}, {tenancy.Spend, 402}, {tenancy.MintKeys, 402}} {
			if got := call(c.need); got != c.want {
				t.Errorf("trial over, need %v: %d, want %d", c.need, got, c.want)
			}
		}
		paid := tenancy.Change{Account: h.ada.Account.ID, Status: tenancy.StatusActive, PaidUntil: h.clock.Now().AddDate(0, 1, 0), Actor: operator}
		if _, err := h.accounts.Change(t.Context(), h.db, paid); err != nil {
			t.Fatal(err)
		}
		if got := call(0); got != 200 {
			t.Errorf("paid: %d", got)
		}
		if _, err := h.accounts.Suspend(t.Context(), h.db, tenancy.Suspend{Account: h.ada.Account.ID, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		if got := call(0); got != 403 {
			t.Errorf("suspended: %d", got)
		}
		if got := call(tenancy.Pay); got != 200 {
			t.Errorf("suspended, to pay: %d", got)
		}
		if _, err := h.accounts.Close(t.Context(), h.db, tenancy.Close{Account: h.ada.Account.ID, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		if got := call(tenancy.SignIn); got != 404 {
			t.Errorf("closed: %d", got)
		}
	})
}

// Somebody who has entered no account, or may enter none, is a person all the same.
func TestPerson_NeedsNoAccount(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		nobody := h.user(t, "nobody@example.com")
		token := h.start(t, nobody).Token
		server := h.accounts.Person(h.db, h.sessions.Person(h.db))
		for what, c := range map[string]struct {
			headers []string
			status  int
			says    string
		}{
			"a session":         {with(token), 200, `{"accounts":[]}`},
			"a header":          {[]string{"Authorization", "Session " + string(token)}, 200, `{"accounts":[]}`},
			"nothing":           {nil, 401, "missing_credential"},
			"another kind":      {[]string{"Authorization", "Bearer x"}, 401, "this is for people"},
			"garbage":           {with("garbage"), 401, "sign in"},
			"two that differ":   {with(token, "Cookie", cookie+"=x"), 401, "two session cookies"},
			"an odd account":    {with(token, "X-Account-ID", "a b"), 422, "invalid"},
			"an odd credential": {[]string{"Authorization", "\x01"}, 401, "invalid_credential"},
		} {
			if w := serve(server, request("GET", "/accounts", "", c.headers...)); w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
				t.Errorf("%s: %d %s, want %d %s", what, w.Code, w.Body, c.status, c.says)
			}
		}
		if _, err := h.sessions.Person(h.db)(request("POST", "/x", "", with(token, "Sec-Fetch-Site", "cross-site")...)); err == nil {
			t.Error("a page of another origin acts as the person")
		}
		h.clock.Advance(24 * time.Hour)
		_, err := h.sessions.Person(h.db)(request("GET", "/x", "", with(token)...))
		wantErr(t, "an idle one", err, authn.ErrBadCredential)
	})
}
