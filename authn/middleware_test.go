package authn_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
)

func basic(email, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(email+":"+password))
}

func code(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var body struct{ Code string }
	if w.Code >= 400 {
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Errorf("%d %s: %v", w.Code, w.Body, err)
		}
	}
	return body.Code
}

// M12: a key in either header puts its account on the request.
func TestM12_AKeyPutsItsAccountOnTheRequest(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada, bob := h.register(t, "ada@example.com"), h.register(t, "bob@example.com")
		a, b := h.issue(t, ada), h.issue(t, bob)
		server := h.keys.Middleware(h.db, 0)(whoami)
		for _, c := range []struct {
			issued  authn.Issued
			headers []string
		}{
			{a, []string{"Authorization", "Bearer " + a.Secret}},
			{a, []string{"Authorization", "bearer   " + a.Secret}},
			{a, []string{"X-API-Key", a.Secret}},
			{b, []string{"Authorization", "BEARER " + b.Secret}},
			{b, []string{"x-api-key", b.Secret}},
			{b, []string{"Authorization", "Bearer " + b.Secret, "X-API-Key", b.Secret}},
			{b, []string{"X-API-Key", b.Secret, "X-Account-ID", string(bob.Account.ID)}},
		} {
			w := serve(server, request("GET", "/", "", c.headers...))
			want := string(c.issued.Key.Account) + " key " + string(c.issued.Key.ID)
			if w.Code != 200 || w.Body.String() != want {
				t.Errorf("%q: %d %s, want %s", c.headers[0], w.Code, w.Body, want)
			}
		}
	})
}

func TestMiddleware_OneCredentialARequest(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada, bob := h.register(t, "ada@example.com"), h.register(t, "bob@example.com")
		a, b := h.issue(t, ada).Secret, h.issue(t, bob).Secret
		person := basic("ada@example.com", goodPassword)
		server := authn.NewGuard(h.accounts, authn.GuardConfig{}, h.keys, h.passwords).Middleware(h.db, 0)(whoami)
		for what, c := range map[string]struct {
			headers []string
			status  int
			code    string
		}{
			"nothing":                    {nil, 401, "missing_credential"},
			"empty headers":              {[]string{"Authorization", "", "X-API-Key", ""}, 401, "missing_credential"},
			"a key":                      {[]string{"Authorization", "Bearer " + a}, 200, ""},
			"a password":                 {[]string{"Authorization", person}, 200, ""},
			"a bad key":                  {[]string{"Authorization", "Bearer " + a[:len(a)-1] + "_"}, 401, "invalid_credential"},
			"a bearer of nobody":         {[]string{"Authorization", "Bearer x"}, 401, "invalid_credential"},
			"a bearer without a token":   {[]string{"Authorization", "Bearer"}, 401, "invalid_credential"},
			"another environment":        {[]string{"X-API-Key", strings.Replace(a, "live", "test", 1)}, 401, "invalid_credential"},
			"an unknown scheme":          {[]string{"Authorization", "Digest " + a}, 401, "invalid_credential"},
			"a key without a scheme":     {[]string{"Authorization", a}, 401, "invalid_credential"},
			"a wrong password":           {[]string{"Authorization", basic("ada@example.com", "wrong password")}, 401, "invalid_credential"},
			"two keys":                   {[]string{"Authorization", "Bearer " + a, "X-API-Key", b}, 401, "invalid_credential"},
			"two keys in one field":      {[]string{"X-API-Key", a, "X-API-Key", b}, 401, "invalid_credential"},
			"two authorizations":         {[]string{"Authorization", "Bearer " + a, "Authorization", "Bearer " + a}, 401, "invalid_credential"},
			"a bad key and a password":   {[]string{"Authorization", person, "X-API-Key", "x"}, 401, "invalid_credential"},
			"a good key and a password":  {[]string{"Authorization", person, "X-API-Key", a}, 401, "invalid_credential"},
			"a bad bearer, a good key":   {[]string{"Authorization", "Bearer x", "X-API-Key", a}, 401, "invalid_credential"},
			"a key, no account's id":     {[]string{"X-API-Key", a, "X-Account-ID", "a b"}, 422, "invalid"},
			"a key, another account":     {[]string{"X-API-Key", a, "X-Account-ID", string(bob.Account.ID)}, 404, "no_account"},
			"no account's id alone":      {[]string{"X-Account-ID", "a b"}, 401, "missing_credential"},
			"a password that is no text": {[]string{"Authorization", "Basic %%%"}, 401, "invalid_credential"},
		} {
			w := serve(server, request("GET", "/", "", c.headers...))
			if got := code(t, w); w.Code != c.status || got != c.code {
				t.Errorf("%s: %d %s, want %d %s", what, w.Code, got, c.status, c.code)
			}
			challenges := w.Header().Values("WWW-Authenticate")
			if want := []string{"Bearer", `Basic realm="API", charset="UTF-8"`}; c.status == 401 && !slices.Equal(challenges, want) {
				t.Errorf("%s: challenges %q", what, challenges)
			} else if c.status != 401 && challenges != nil {
				t.Errorf("%s: challenges %q on a %d", what, challenges, c.status)
			}
		}
	})
}

func TestMiddleware_ChallengesForItsOwnSchemesAlone(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		key := "Bearer " + h.issue(t, h.register(t, "ada@example.com")).Secret
		realm := authn.NewPasswords(h.accounts, authn.PasswordConfig{Realm: "Acme"})
		odd := authn.NewPasswords(h.accounts, authn.PasswordConfig{Realm: "x\", charset=\"latin1"})
		for _, c := range []struct {
			server func(http.Handler) http.Handler
			want   string
		}{
			{h.keys.Middleware(h.db, 0), "Bearer"},
			{h.passwords.Middleware(h.db, 0), `Basic realm="API", charset="UTF-8"`},
			{realm.Middleware(h.db, 0), `Basic realm="Acme", charset="UTF-8"`},
			{odd.Middleware(h.db, 0), `Basic realm="API", charset="UTF-8"`},
		} {
			if got := serve(c.server(whoami), request("GET", "/", "")).Header().Values("WWW-Authenticate"); !slices.Equal(got, []string{c.want}) {
				t.Errorf("challenges %q, want %s", got, c.want)
			}
		}
		// A key is none of the passwords' kind, and more than Use is no matter of 401.
		if w := serve(h.passwords.Middleware(h.db, 0)(whoami), request("GET", "/", "", "Authorization", key)); w.Code != 401 {
			t.Errorf("a key for a password: %d", w.Code)
		}
		w := serve(h.keys.Middleware(h.db, tenancy.MintKeys)(whoami), request("GET", "/", "", "Authorization", key))
		if w.Code != 403 || w.Header().Get("WWW-Authenticate") != "" {
			t.Errorf("minting by key: %d %q", w.Code, w.Header())
		}
	})
}

func TestMiddleware_RefusalsGoToOnError(t *testing.T) {
	teapot := func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusTeapot) }
	accounts := tenancy.New(tenancy.Config{OnError: teapot})
	keys, err := authn.New(accounts, authn.Config{Peppers: []authn.Pepper{pepper("a")}, OnError: teapot})
	if err != nil {
		t.Fatal(err)
	}
	passwords := authn.NewPasswords(accounts, authn.PasswordConfig{OnError: teapot})
	for what, server := range map[string]http.Handler{
		"the package": authn.NewGuard(accounts, authn.GuardConfig{}).Middleware(nil, 0)(whoami),
		"keys":        keys.Middleware(nil, 0)(whoami),
		"passwords":   passwords.Middleware(nil, 0)(whoami),
		"sign-up":     passwords.SignUp(nil, nil),
	} {
		if w := serve(server, request("GET", "/", "")); w.Code != http.StatusTeapot {
			t.Errorf("%s: %d", what, w.Code)
		}
	}
}

// never is an authenticator that must not be asked.
type never struct{ t *testing.T }

func (n never) Authenticate(context.Context, bun.IDB, authn.Credential) (authn.Principal, error) {
	n.t.Error("asked although somebody before knew the credential")
	return authn.Principal{}, authn.ErrNoCredential
}

func TestMiddleware_WhoKnowsTheCredentialDecides(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		key := h.issue(t, h.register(t, "ada@example.com")).Secret
		test, err := authn.New(h.accounts, authn.Config{Envs: []string{"test"}, Peppers: []authn.Pepper{pepper("a")}, Now: h.clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		server := authn.NewGuard(h.accounts, authn.GuardConfig{}, test, h.keys, never{t}).Middleware(h.db, 0)(whoami)
		for _, c := range []struct {
			key  string
			want int
		}{{key, 200}, {key[:55] + "_", 401}, {"qr_live_", 401}, {"qr_test_x", 401}} {
			if w := serve(server, request("GET", "/", "", "X-API-Key", c.key)); w.Code != c.want {
				t.Errorf("%d, want %d", w.Code, c.want)
			}
		}
	})
}

func TestMiddleware_TheDatabaseAwayIs503(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		key := h.issue(t, h.register(t, "ada@example.com")).Secret
		server := authn.NewGuard(h.accounts, authn.GuardConfig{}, h.keys, h.passwords).Middleware(h.db, 0)(whoami)
		_ = h.db.Close()
		for _, credential := range []string{"Bearer " + key, basic("ada@example.com", goodPassword)} {
			w := serve(server, request("GET", "/", "", "Authorization", credential))
			if w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "closed") {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
	})
}

func TestOperatorToken(t *testing.T) {
	token := strings.Repeat("operator-", 4)
	check, err := authn.OperatorToken(token, "op_1")
	if err != nil {
		t.Fatal(err)
	}
	key := authn.Sum("qr_live_" + strings.Repeat("0", 42))
	for what, c := range map[string]struct {
		headers []string
		want    error
	}{
		"the token":             {[]string{"Authorization", "Bearer " + token}, nil},
		"nothing":               {nil, authn.ErrNoCredential},
		"a customer's key":      {[]string{"Authorization", "Bearer " + key}, tenancy.ErrForbidden},
		"a key in X-API-Key":    {[]string{"X-API-Key", key}, tenancy.ErrForbidden},
		"a person":              {[]string{"Authorization", basic("ada@example.com", goodPassword)}, tenancy.ErrForbidden},
		"the token as Basic":    {[]string{"Authorization", "Basic " + token}, tenancy.ErrForbidden},
		"a piece of it":         {[]string{"Authorization", "Bearer " + token[:35]}, tenancy.ErrForbidden},
		"more than it":          {[]string{"Authorization", "Bearer " + token + "x"}, tenancy.ErrForbidden},
		"the token and a key":   {[]string{"Authorization", "Bearer " + token, "X-API-Key", key}, tenancy.ErrForbidden},
		"the token in a stray":  {[]string{"Authorization", "Bearer " + token, "Authorization", "x"}, tenancy.ErrForbidden},
		"the token, an account": {[]string{"Authorization", "Bearer " + token, "X-Account-ID", "a b"}, nil}, // none of its business
		"a bearer with nothing": {[]string{"Authorization", "Bearer "}, tenancy.ErrForbidden},
	} {
		r := request("GET", "/", "", c.headers...)
		recognised := false
		ctx := tenancy.Observe(r.Context(), func(tenancy.AccountID, bool) { recognised = true })
		actor, err := check.Authorize(r.WithContext(ctx))
		wantErr(t, what, err, c.want)
		if recognised != (c.want == nil) {
			t.Errorf("%s: recognised %v", what, recognised)
		}
		if want := (tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}); c.want == nil && actor != want {
			t.Errorf("%s: %+v", what, actor)
		}
	}
	for _, bad := range [][2]string{{"", "op_1"}, {token[:31], "op_1"}, {token, ""}} {
		if _, err := authn.OperatorToken(bad[0], bad[1]); err == nil || bad[0] != "" && strings.Contains(err.Error(), bad[0]) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
