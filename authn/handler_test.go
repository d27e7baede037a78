package authn_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func body[T any](t *testing.T, raw string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(raw), &v); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return v
}

type keyAnswer struct {
	authn.Key
	APIKey string `json:"api_key"`
}

type keysAnswer struct {
	Keys []authn.Key
	Next authn.KeyID
}

func TestHandler_AnAccountMintsListsAndRevokesItsKeys(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		server := h.passwords.Middleware(h.db, tenancy.SignIn)(h.keys.Handler(h.db))
		person := []string{"Authorization", basic("ada@example.com", goodPassword)}

		w := serve(server, request("POST", "/keys", `{"name":"build","expires_at":"2026-03-02T10:00:00+01:00"}`, person...))
		made := body[keyAnswer](t, w.Body.String())
		if w.Code != 201 || made.Name != "build" || !made.ExpiresAt.Equal(t0.Truncate(time.Hour).Add(24*time.Hour)) || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%d %q %s", w.Code, w.Header(), w.Body)
		}
		wantErr(t, "the key", h.verify(t, made.APIKey), nil)

		h.clock.Advance(time.Second)
		second := body[keyAnswer](t, serve(server, request("POST", "/keys", `{"name":"test"}`, person...)).Body.String())
		w = serve(server, request("GET", "/keys", "", person...))
		list := body[keysAnswer](t, w.Body.String()).Keys
		if w.Code != 200 || len(list) != 2 || list[0].ID != second.ID || list[1].ID != made.ID {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "next") {
			t.Errorf("a page after the last: %s", w.Body)
		}
		if strings.Contains(w.Body.String(), made.APIKey) || strings.Contains(w.Body.String(), "api_key") {
			t.Error("the list shows a secret")
		}
		w = serve(server, request("GET", "/keys?limit=1", "", person...))
		first := body[keysAnswer](t, w.Body.String())
		if len(first.Keys) != 1 || first.Keys[0].ID != second.ID || first.Next != second.ID {
			t.Errorf("the first page: %s", w.Body)
		}
		w = serve(server, request("GET", "/keys?limit=1&before="+string(first.Next), "", person...))
		if last := body[keysAnswer](t, w.Body.String()); len(last.Keys) != 1 || last.Keys[0].ID != made.ID || last.Next != "" {
			t.Errorf("the last page: %s", w.Body)
		}
		w = serve(server, request("GET", "/keys?before="+string(made.ID), "", person...))
		if got := strings.TrimSpace(w.Body.String()); got != `{"keys":[]}` {
			t.Errorf("behind the last: %s", got)
		}

		for range 2 {
			w = serve(server, request("DELETE", "/keys/"+string(made.ID), "", person...))
			if got := body[authn.Key](t, w.Body.String()); w.Code != 200 || !got.RevokedAt.Equal(t0.Add(time.Second)) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
		wantErr(t, "the revoked key", h.verify(t, made.APIKey), authn.ErrBadCredential)
		if line := tenancytest.RequireAudit(t, h.db, r.Account.ID, "authn.revoke_key"); line.Actor != userOf(r) {
			t.Errorf("revoked by %+v", line.Actor)
		}
	})
}

func TestHandler_Refusals(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada, bob := h.register(t, "ada@example.com"), h.register(t, "bob@example.com")
		foreign, own := h.issue(t, bob), h.issue(t, ada)
		server := h.passwords.Middleware(h.db, tenancy.SignIn)(h.keys.Handler(h.db))
		for what, c := range map[string]struct {
			method, path, body string
			status             int
			code               string
		}{
			"no name":              {"POST", "/keys", `{}`, 422, "invalid"},
			"an end in the past":   {"POST", "/keys", `{"name":"x","expires_at":"2020-01-01T00:00:00Z"}`, 422, "invalid"},
			"an end after 9999":    {"POST", "/keys", `{"name":"x","expires_at":"9999-12-31T23:59:59-23:59"}`, 422, "invalid"},
			"no instant":           {"POST", "/keys", `{"name":"x","expires_at":"tomorrow"}`, 422, "invalid_body"},
			"an account":           {"POST", "/keys", `{"name":"x","account":"` + string(bob.Account.ID) + `"}`, 422, "invalid_body"},
			"another's key":        {"DELETE", "/keys/" + string(foreign.Key.ID), "", 404, "no_key"},
			"an unknown key":       {"DELETE", "/keys/000000000000", "", 404, "no_key"},
			"an odd id":            {"DELETE", "/keys/%00%ff", "", 404, "no_key"},
			"an odd limit":         {"GET", "/keys?limit=x", "", 422, "invalid"},
			"a limit beyond":       {"GET", "/keys?limit=501", "", 422, "invalid"},
			"another path":         {"GET", "/keyring", "", 404, "not_found"},
			"another method":       {"PUT", "/keys", `{}`, 405, "method_not_allowed"},
			"somebody else's form": {"POST", "/keys", `name=x`, 422, "invalid_body"},
		} {
			h.unchanged(t, what, func() {
				w := serve(server, request(c.method, c.path, c.body, "Authorization", basic("ada@example.com", goodPassword)))
				if got := code(t, w); w.Code != c.status || got != c.code {
					t.Errorf("%s: %d %s, want %d %s", what, w.Code, w.Body, c.status, c.code)
				}
			})
		}
		wantErr(t, "another's key", h.verify(t, foreign.Secret), nil)

		// Who may only sign in sees and revokes a key that has leaked, and makes none.
		h.clock.Set(t0.AddDate(0, 0, 14)) // the trial is over
		person := []string{"Authorization", basic("ada@example.com", goodPassword)}
		for _, c := range []struct {
			method, path, body string
			status             int
		}{
			{"GET", "/keys", "", 200}, {"POST", "/keys", `{"name":"x"}`, 402}, {"DELETE", "/keys/" + string(own.Key.ID), "", 200},
		} {
			if w := serve(server, request(c.method, c.path, c.body, person...)); w.Code != c.status {
				t.Errorf("%s %s with the trial over: %d %s", c.method, c.path, w.Code, w.Body)
			}
		}
		h.clock.Set(t0)

		// Mounted behind what enters for less, it gives nothing away.
		for _, loose := range []http.Handler{
			h.passwords.Middleware(h.db, 0)(h.keys.Handler(h.db)),
			h.keys.Middleware(h.db, 0)(h.keys.Handler(h.db)),
		} {
			for _, credential := range []string{basic("ada@example.com", goodPassword), "Bearer " + own.Secret} {
				for _, r := range []*http.Request{
					request("GET", "/keys", "", "Authorization", credential),
					request("POST", "/keys", `{"name":"x"}`, "Authorization", credential),
					request("DELETE", "/keys/"+string(own.Key.ID), "", "Authorization", credential),
				} {
					if w := serve(loose, r); w.Code != 403 && w.Code != 401 {
						t.Errorf("%s %s: %d", r.Method, credential[:6], w.Code)
					}
				}
			}
		}
	})
}

// A member sees, mints and revokes keys as far as its roles reach now.
func TestM9_Handler_KeysAreForThoseWhoManageThem(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.register(t, "ada@example.com")
		bob := h.register(t, "bob@example.com") // an owner elsewhere, which helps nobody here
		own := h.issue(t, ada)
		server := h.passwords.Middleware(h.db, tenancy.SignIn)(h.keys.Handler(h.db))
		headers := []string{"Authorization", basic("bob@example.com", goodPassword), "X-Account-ID", string(ada.Account.ID)}
		requests := func() []*http.Request {
			return []*http.Request{
				request("GET", "/keys", "", headers...),
				request("POST", "/keys", `{"name":"x"}`, headers...),
				request("DELETE", "/keys/"+string(own.Key.ID), "", headers...),
			}
		}
		if _, err := h.accounts.AddMember(t.Context(), h.db, tenancy.AddMember{
			Account: ada.Account.ID, User: bob.User.ID, Actor: userOf(ada),
			Roles:   []tenancy.Role{tenancy.RoleViewer},
			Objects: []tenancy.ObjectRole{{Object: tenancy.Object{Kind: "site", ID: "1"}, Role: tenancy.RoleDeveloper}},
		}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			role tenancy.Role
			may  bool
		}{
			{tenancy.RoleViewer, false}, {tenancy.RoleEditor, false}, {tenancy.RoleDeveloper, true},
			{tenancy.RoleViewer, false}, {tenancy.RoleAdmin, true}, {tenancy.RoleEditor, false},
		} {
			if _, err := h.accounts.SetRoles(t.Context(), h.db, tenancy.SetRoles{
				Account: ada.Account.ID, User: bob.User.ID, Roles: []tenancy.Role{c.role}, Actor: userOf(ada),
			}); err != nil {
				t.Fatal(err)
			}
			for _, r := range requests() {
				refused := func() {
					if w := serve(server, r); w.Code != 403 || code(t, w) != "forbidden" {
						t.Errorf("%s %s as %s: %d %s", r.Method, r.URL, c.role, w.Code, w.Body)
					}
				}
				if !c.may {
					h.unchanged(t, string(c.role), refused)
				} else if w := serve(server, r); w.Code/100 != 2 {
					t.Errorf("%s %s as %s: %d %s", r.Method, r.URL, c.role, w.Code, w.Body)
				}
			}
		}
	})
}

type signUpAnswer struct {
	Account     tenancy.Account `json:"account"`
	User        tenancy.User    `json:"user"`
	TrialEndsAt time.Time       `json:"trial_ends_at"`
	Key         authn.Key       `json:"key"`
	APIKey      string          `json:"api_key"`
	Credits     int             `json:"credits"`
}

// M16: from a stranger's sign-up to a request with the key it was given.
func TestM16_SignUpGivesAKeyThatWorksAtOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		passwords := authn.NewPasswords(h.accounts, authn.PasswordConfig{ // with real hashes
			Now: h.clock.Now,
			SignUpAnswer: func(ctx context.Context, db bun.IDB, r tenancy.Registered) (map[string]any, error) {
				n, err := db.NewSelect().TableExpr("authn_keys").Where("account_id = ?", r.Account.ID).Count(ctx)
				return map[string]any{"credits": 2000 * n, "api_key": "the hook's", "account": nil}, err
			},
		})
		w := serve(passwords.SignUp(h.db, h.keys), request("POST", "/v1/signup", `{"name":"Ada","email":"ada@example.com","password":"`+goodPassword+`"}`))
		got := body[signUpAnswer](t, w.Body.String())
		if w.Code != 201 || w.Header().Get("Cache-Control") != "no-store" || strings.Contains(w.Body.String(), goodPassword) {
			t.Fatalf("%d %q %s", w.Code, w.Header(), w.Body)
		}
		if got.Account.Status != tenancy.StatusTrial || got.Account.Plan != tenancy.DefaultTrialPlan || got.Account.Owner != got.User.ID ||
			got.User.Email != "ada@example.com" || !got.TrialEndsAt.Equal(t0.AddDate(0, 0, 14)) || got.Credits != 2000 ||
			got.Key.Account != got.Account.ID || got.Key.Name != authn.FirstKey {
			t.Errorf("answer %s", w.Body)
		}
		w = serve(h.keys.Middleware(h.db, 0)(whoami), request("GET", "/", "", "X-API-Key", got.APIKey))
		if w.Code != 200 || !strings.HasPrefix(w.Body.String(), string(got.Account.ID)) {
			t.Errorf("the key: %d %s", w.Code, w.Body)
		}
		w = serve(passwords.Middleware(h.db, 0)(whoami), request("GET", "/", "", "Authorization", basic("ada@example.com", goodPassword)))
		if w.Code != 200 {
			t.Errorf("the password: %d %s", w.Code, w.Body)
		}
	})
}

func TestSignUp_RefusalsWriteNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.register(t, "ada@example.com")
		server := h.passwords.SignUp(h.db, h.keys)
		person := func(name, email, password, more string) string {
			return `{"name":"` + name + `","email":"` + email + `","password":"` + password + `"` + more + `}`
		}
		for what, c := range map[string]struct {
			body, contentType string
			status            int
			code              string
		}{
			"a taken address": {person("Ada", "ADA@example.com", goodPassword, ""), "", 409, "email_taken"},
			"a weak password": {person("Bob", "bob@example.com", "password123", ""), "", 422, "weak_password"},
			"no password":     {`{"name":"Bob","email":"bob@example.com"}`, "", 422, "weak_password"},
			"a bad address":   {person("Bob", "bob", goodPassword, ""), "", 422, "invalid"},
			"no address":      {person("Bob", "", goodPassword, ""), "", 422, "invalid"},
			"no name":         {person("", "bob@example.com", goodPassword, ""), "", 422, "invalid"},
			"a plan":          {person("Bob", "bob@example.com", goodPassword, `,"plan":"starter"`), "", 422, "invalid_body"},
			"an account":      {person("Bob", "bob@example.com", goodPassword, `,"account":"acc_1"`), "", 422, "invalid_body"},
			"a status":        {person("Bob", "bob@example.com", goodPassword, `,"status":"active"`), "", 422, "invalid_body"},
			"a form":          {`name=Bob`, "application/x-www-form-urlencoded", 415, "unsupported_media_type"},
			"no JSON":         {`name=Bob`, "", 422, "invalid_body"},
			"a megabyte":      {person("Bob", "bob@example.com", strings.Repeat("x", 1<<20), ""), "", 413, "body_too_large"},
		} {
			h.unchanged(t, what, func() {
				r := request("POST", "/signup", c.body)
				if c.contentType != "" {
					r.Header.Set("Content-Type", c.contentType)
				}
				w := serve(server, r)
				if got := code(t, w); w.Code != c.status || got != c.code {
					t.Errorf("%s: %d %s, want %d %s", what, w.Code, w.Body, c.status, c.code)
				}
			})
		}
		if w := serve(server, request("GET", "/signup", "")); w.Code != 405 || w.Header().Get("Allow") != "POST" {
			t.Errorf("GET: %d %q", w.Code, w.Header())
		}
		boom := authn.NewPasswords(h.accounts, authn.PasswordConfig{Now: h.clock.Now,
			SignUpAnswer: func(context.Context, bun.IDB, tenancy.Registered) (map[string]any, error) {
				return nil, errors.New("boom")
			},
		})
		authn.Quick(boom)
		h.unchanged(t, "a hook that fails", func() {
			if w := serve(boom.SignUp(h.db, h.keys), request("POST", "/", person("Bob", "bob@example.com", goodPassword, ""))); w.Code != 503 || strings.Contains(w.Body.String(), "boom") {
				t.Errorf("a hook that fails: %d %s", w.Code, w.Body)
			}
		})
	})
}

func TestSignUp_TwoAtOnceMakeOneAccountWithOneKey(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		server := h.passwords.SignUp(h.db, h.keys)
		taken := errors.New("taken")
		n := together(t, 8, taken, func(int) error {
			switch w := serve(server, request("POST", "/", `{"name":"Ada","email":"ada@example.com","password":"`+goodPassword+`"}`)); w.Code {
			case 201:
				return nil
			case 409:
				return taken
			default:
				return errors.New(w.Body.String())
			}
		})
		if n != 1 || h.count(t, "tenancy_accounts") != 1 || h.count(t, "authn_keys") != 1 || h.count(t, "authn_passwords") != 1 || h.count(t, "authn_key_ids") != 1 {
			t.Errorf("%d succeeded, %d keys", n, h.count(t, "authn_keys"))
		}
	})
}

func TestSignUp_WithoutAKeyWhereNoneMayBe(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		full := tenancytest.Plans()[0]
		full.Slug, full.Limits = "keyless", map[string]int64{authn.LimitKeys: 0}
		if _, err := h.accounts.Ensure(t.Context(), h.db, full); err != nil {
			t.Fatal(err)
		}
		for plan, status := range map[string]tenancy.Status{"starter": tenancy.StatusPendingPayment, "keyless": tenancy.StatusTrial} {
			accounts := tenancy.New(tenancy.Config{TrialPlan: plan, Now: h.clock.Now})
			keys, err := authn.New(accounts, authn.Config{Peppers: []authn.Pepper{pepper("a")}, Now: h.clock.Now})
			if err != nil {
				t.Fatal(err)
			}
			passwords := authn.NewPasswords(accounts, authn.PasswordConfig{Now: h.clock.Now})
			authn.Quick(passwords)
			w := serve(passwords.SignUp(h.db, keys), request("POST", "/", `{"name":"Ada","email":"`+plan+`@example.com","password":"`+goodPassword+`"}`))
			got := body[signUpAnswer](t, w.Body.String())
			if w.Code != 201 || got.APIKey != "" || got.Account.Status != status || (plan == "starter") != got.TrialEndsAt.IsZero() {
				t.Errorf("%s: %d %s", plan, w.Code, w.Body)
			}
		}
		w := serve(h.passwords.SignUp(h.db, nil), request("POST", "/", `{"name":"Ada","email":"ada@example.com","password":"`+goodPassword+`"}`))
		if w.Code != 201 || strings.Contains(w.Body.String(), "api_key") || h.count(t, "authn_keys") != 0 {
			t.Errorf("without keys: %d %s", w.Code, w.Body)
		}
	})
}

// A limiter in front counts strangers. Whoever signs up is one, also with a made-up
// credential in hand.
func TestSignUp_RecognisesNobody(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := request("POST", "/", `{"name":"Ada","email":"ada@example.com","password":"`+goodPassword+`"}`, "X-API-Key", "x")
		recognised := false
		ctx := tenancy.Observe(r.Context(), func(tenancy.AccountID, bool) { recognised = true })
		if w := serve(h.passwords.SignUp(h.db, h.keys), r.WithContext(ctx)); w.Code != 201 || recognised {
			t.Errorf("%d, recognised %v", w.Code, recognised)
		}
	})
}

// slow is a body that takes long to come: meanwhile something happens.
type slow struct {
	io.Reader
	meanwhile func()
}

func (s *slow) Read(b []byte) (int, error) {
	if s.meanwhile != nil {
		s.meanwhile()
		s.meanwhile = nil
	}
	return s.Reader.Read(b)
}

func TestM9_Handler_WhoIsPutOutWhileTheBodyIsOnTheWayMintsNoKey(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada, bob := h.register(t, "ada@example.com"), h.register(t, "bob@example.com")
		_, err := h.accounts.AddMember(t.Context(), h.db, tenancy.AddMember{
			Account: ada.Account.ID, User: bob.User.ID, Roles: []tenancy.Role{tenancy.RoleDeveloper}, Actor: userOf(ada),
		})
		if err != nil {
			t.Fatal(err)
		}
		server := h.passwords.Middleware(h.db, tenancy.SignIn)(h.keys.Handler(h.db))
		r := request("POST", "/keys", `{"name":"late"}`,
			"Authorization", basic("bob@example.com", goodPassword), "X-Account-ID", string(ada.Account.ID))
		r.Body = io.NopCloser(&slow{r.Body, func() {
			err := h.accounts.RemoveMember(t.Context(), h.db, tenancy.RemoveMember{Account: ada.Account.ID, User: bob.User.ID, Actor: userOf(ada)})
			if err != nil {
				t.Error(err)
			}
		}})
		if w := serve(server, r); w.Code != 403 || code(t, w) != "forbidden" || h.count(t, "authn_keys") != 0 {
			t.Errorf("%d %s, and %d keys", w.Code, w.Body, h.count(t, "authn_keys"))
		}
	})
}
