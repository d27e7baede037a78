package tokens_test

import (
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quitrent/quitrent/authn/tokens"
	"github.com/quitrent/quitrent/tenancy"
)

// refusing answers with err.
func (h *house) refusing(err error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.accounts.Refuse(w, r, err) })
}

// code is the status and the code of a problem.
func code(t *testing.T, w *httptest.ResponseRecorder) (int, string) {
	t.Helper()
	var body struct{ Code string }
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return w.Code, body.Code
}

func TestHandler_MakesTokens(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		key := h.issue(t)
		for body, want := range map[string]struct {
			expires int64
			scope   string
			may     tenancy.Capability
		}{
			`{}`:                     {299, "*", tenancy.Use},
			`{"expires_in":60}`:      {59, "*", tenancy.Use},
			`{"may":"read+pay"}`:     {299, "*", tenancy.Read | tenancy.Pay},
			`{"scope":"a.b  c"}`:     {299, "a.b c", tenancy.Use},
			`{"scope":" ","may":""}`: {299, "*", tenancy.Use},
		} {
			w := serve(h.tokens.Handler(h.db), request("POST", "/token", body, "Authorization", "Bearer ses_ada"))
			var got struct {
				AccessToken string `json:"access_token"`
				TokenType   string `json:"token_type"`
				ExpiresIn   int64  `json:"expires_in"`
				Scope       string `json:"scope"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
				t.Fatalf("%s: %d %s", body, w.Code, w.Body)
			}
			if got.TokenType != "Bearer" || got.ExpiresIn != want.expires || got.Scope != want.scope {
				t.Errorf("%s: %s", body, w.Body)
			}
			if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Pragma") != "no-cache" {
				t.Errorf("%s: %v", body, w.Header())
			}
			_, err := h.guard.Check(t.Context(), h.db, bearer(got.AccessToken), want.may)
			wantErr(t, body, err, nil)
		}
		w := serve(h.tokens.Handler(h.db), request("POST", "/token", "{}", "X-API-Key", key.Secret))
		if w.Code != 200 {
			t.Errorf("a key: %d %s", w.Code, w.Body)
		}
	})
}

func TestHandler_Refuses(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		token := h.mint(t, tokens.Mint{Credential: h.session}).Token
		for _, tc := range []struct {
			what, method, path, body, credential string
			status                               int
			code                                 string
		}{
			{"nobody", "POST", "/token", "{}", "", 401, "missing_credential"},
			{"a stranger", "POST", "/token", "{}", "Bearer ses_eve", 401, "invalid_credential"},
			{"a password", "POST", "/token", "{}", "Basic YTpi", 401, "invalid_credential"},
			{"a token", "POST", "/token", "{}", "Bearer " + token, 403, "forbidden"},
			{"no body", "POST", "/token", "", "Bearer ses_ada", 415, "unsupported_media_type"},
			{"what is not known", "POST", "/token", `{"sub":"x"}`, "Bearer ses_ada", 422, "invalid_body"},
			{"no capability", "POST", "/token", `{"may":"fly"}`, "Bearer ses_ada", 422, "invalid"},
			{"to sign in", "POST", "/token", `{"may":"sign_in"}`, "Bearer ses_ada", 422, "invalid"},
			{"too long", "POST", "/token", `{"expires_in":301}`, "Bearer ses_ada", 422, "invalid"},
			{"no time", "POST", "/token", `{"expires_in":0}`, "Bearer ses_ada", 422, "invalid"},
			{"beyond all time", "POST", "/token", `{"expires_in":9223372036854775807}`, "Bearer ses_ada", 422, "invalid"},
			{"no permission", "POST", "/token", `{"scope":"ä"}`, "Bearer ses_ada", 422, "invalid"},
			{"a GET", "GET", "/token", "", "Bearer ses_ada", 405, "method_not_allowed"},
			{"elsewhere", "POST", "/", "{}", "Bearer ses_ada", 404, "not_found"},
		} {
			r := request(tc.method, tc.path, tc.body)
			if tc.credential != "" {
				r.Header.Set("Authorization", tc.credential)
			}
			w := serve(h.tokens.Handler(h.db), r)
			if status, code := code(t, w); status != tc.status || code != tc.code {
				t.Errorf("%s: %d %s", tc.what, status, w.Body)
			}
			if (w.Code == 401) != (w.Header().Get("WWW-Authenticate") != "") {
				t.Errorf("%s: %v", tc.what, w.Header())
			}
		}
	})
}

func TestJWKS_PublishesWhatVerifies(t *testing.T) {
	accounts := tenancy.New(tenancy.Config{})
	made, err := tokens.New(accounts, tokens.Config{Issuer: issuer, Audience: audience, Keys: []tokens.Key{
		{ID: "b", Private: signer("b")}, {ID: "a", Public: signer("a").Public().(ed25519.PublicKey)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	w := serve(made.JWKS(), request("GET", "/.well-known/jwks.json", ""))
	var got, want any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal([]byte(`{"keys":[
		{"kty":"OKP","kid":"b","use":"sig","alg":"EdDSA","crv":"Ed25519","x":"`+part([]byte(signer("b").Public().(ed25519.PublicKey)))+`"},
		{"kty":"OKP","kid":"a","use":"sig","alg":"EdDSA","crv":"Ed25519","x":"`+part([]byte(signer("a").Public().(ed25519.PublicKey)))+`"}]}`), &want)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if h := w.Header(); h.Get("Content-Type") != "application/jwk-set+json" || h.Get("Cache-Control") == "no-store" {
		t.Errorf("%v", h)
	}
}
