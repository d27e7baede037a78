package authn_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
)

// oneAnswer is GET /keys/{id}.
type oneAnswer struct {
	authn.Key
	Secrets []authn.Secret
}

// staff is a house with a keyring: the owner's all-powerful key, and a developer.
type staff struct {
	*house
	ada, dev tenancy.Registered
	server   http.Handler
	asAda    []string
	asDev    []string
}

func newStaff(t *testing.T, h *house) staff {
	t.Helper()
	s := staff{house: h, ada: h.register(t, "ada@example.com")}
	s.dev = h.join(t, s.ada, "dev@example.com", developer)
	s.server = h.passwords.Middleware(h.db, tenancy.SignIn)(h.keys.Handler(h.db))
	s.asAda = []string{"Authorization", basic("ada@example.com", goodPassword), "X-Account-ID", string(s.ada.Account.ID)}
	s.asDev = []string{"Authorization", basic("dev@example.com", goodPassword), "X-Account-ID", string(s.ada.Account.ID)}
	return s
}

func TestHandler_AKeyIsMadeSeenRotatedTakenOverAndRevoked(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		s := newStaff(t, h)
		authn.Gather(h.keys)
		w := serve(s.server, request("POST", "/keys", `{"name":"build","scopes":["content.write","content.read"],"may":"read+write","addresses":["192.0.2.7","2001:db8::1/32"]}`, s.asAda...))
		made := body[keyAnswer](t, w.Body.String())
		want := authn.Key{
			Account: s.ada.Account.ID, ID: made.ID, Name: "build", Env: "live", CreatedBy: userOf(s.ada), Maker: s.ada.User.ID,
			Scopes: []tenancy.Permission{tenancy.PermContentRead, tenancy.PermContentWrite}, May: tenancy.Read | tenancy.Write,
			Addresses: networks("192.0.2.7/32", "2001:db8::/32"), CreatedAt: t0,
		}
		if d := cmp.Diff(want, made.Key, byText); w.Code != 201 || d != "" {
			t.Errorf("%d %s %s", w.Code, w.Body, d)
		}
		path := "/keys/" + string(made.ID)
		use := func(key string) int {
			r := request("GET", "/", "", "X-API-Key", key)
			r.RemoteAddr = "192.0.2.7:4711"
			return serve(h.keys.Middleware(h.db, tenancy.Read)(whoami), r).Code
		}
		if got := use(made.APIKey); got != 200 {
			t.Errorf("the key: %d", got)
		}
		h.flush(t)
		h.clock.Advance(time.Hour)

		w = serve(s.server, request("POST", path+"/rotate", `{"overlap_seconds":60}`, s.asAda...))
		again := body[keyAnswer](t, w.Body.String())
		want.LastUsedAt = t0
		if d := cmp.Diff(want, again.Key, byText); w.Code != 201 || d != "" || again.APIKey == made.APIKey || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%d %s %s", w.Code, w.Body, d)
		}
		if a, b := use(made.APIKey), use(again.APIKey); a != 200 || b != 200 {
			t.Errorf("the two secrets: %d, %d", a, b)
		}
		h.flush(t)

		w = serve(s.server, request("GET", path, "", s.asDev...))
		one := body[oneAnswer](t, w.Body.String())
		want.LastUsedAt = t0.Add(time.Hour)
		secrets := []authn.Secret{
			{ID: one.Secrets[0].ID, CreatedAt: t0.Add(time.Hour), LastUsedAt: t0.Add(time.Hour)},
			{ID: one.Secrets[1].ID, CreatedAt: t0, ExpiresAt: t0.Add(time.Hour + time.Minute), LastUsedAt: t0.Add(time.Hour)},
		}
		if d := cmp.Diff(oneAnswer{want, secrets}, one, byText); w.Code != 200 || d != "" {
			t.Errorf("%d %s %s", w.Code, w.Body, d)
		}
		if strings.Contains(w.Body.String(), again.APIKey[20:50]) || strings.Contains(w.Body.String(), "hash") || strings.Contains(w.Body.String(), "pepper") {
			t.Errorf("it shows what is nobody's: %s", w.Body)
		}

		w = serve(s.server, request("DELETE", path+"/secrets/"+one.Secrets[0].ID, "", s.asDev...))
		if w.Code != 204 || w.Body.Len() != 0 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if a, b := use(made.APIKey), use(again.APIKey); a != 200 || b != 401 {
			t.Errorf("the two secrets: %d, %d", a, b)
		}
		w = serve(s.server, request("POST", path+"/take-over", `{}`, s.asDev...))
		if got := body[authn.Key](t, w.Body.String()); w.Code != 200 || got.Maker != s.dev.User.ID || got.CreatedBy != userOf(s.ada) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		w = serve(s.server, request("GET", "/keys?unused_since="+t0.Add(2*time.Hour).Format(time.RFC3339), "", s.asDev...))
		if got := body[keysAnswer](t, w.Body.String()); w.Code != 200 || len(got.Keys) != 1 || got.Keys[0].ID != made.ID {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		w = serve(s.server, request("GET", "/keys?unused_since="+t0.Format(time.RFC3339), "", s.asDev...))
		if got := body[keysAnswer](t, w.Body.String()); w.Code != 200 || len(got.Keys) != 0 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		w = serve(s.server, request("DELETE", path, "", s.asDev...))
		if got := body[authn.Key](t, w.Body.String()); w.Code != 200 || got.RevokedAt.IsZero() || use(made.APIKey) != 401 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func TestHandler_EveryRouteRefuses(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		s := newStaff(t, h)
		eve := h.register(t, "eve@example.com")
		foreign, own, dead := h.issue(t, eve), h.make(t, authn.Issue{Account: s.ada.Account.ID, Actor: userOf(s.ada), Scopes: every}), h.issue(t, s.ada)
		other := h.issue(t, s.ada)
		if _, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: s.ada.Account.ID, Key: dead.Key.ID, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		full := h.issue(t, s.ada)
		for range 4 {
			h.rotate(t, authn.Rotate{Account: s.ada.Account.ID, Key: full.Key.ID, Actor: operator, Overlap: day})
		}
		path := "/keys/" + string(own.Key.ID)
		secret := h.secrets(t, own.Key)[0].ID
		for what, c := range map[string]struct {
			method, path, body string
			status             int
			code               string
		}{
			"see another account's":           {"GET", "/keys/" + string(foreign.Key.ID), "", 404, "no_key"},
			"see an odd one":                  {"GET", "/keys/%00", "", 404, "no_key"},
			"make for another environment":    {"POST", "/keys", `{"name":"x","env":"test"}`, 422, "invalid"},
			"make with an odd scope":          {"POST", "/keys", `{"name":"x","scopes":["a b"]}`, 422, "invalid"},
			"make with a scope of no kind":    {"POST", "/keys", `{"name":"x","scopes":"*"}`, 422, "invalid_body"},
			"make for more than a key may":    {"POST", "/keys", `{"name":"x","may":"read+pay"}`, 422, "invalid"},
			"make for what there is not":      {"POST", "/keys", `{"name":"x","may":"all"}`, 422, "invalid_body"},
			"make for nothing":                {"POST", "/keys", `{"name":"x","may":""}`, 422, "invalid_body"},
			"make with a number for may":      {"POST", "/keys", `{"name":"x","may":14}`, 422, "invalid_body"},
			"make for no address":             {"POST", "/keys", `{"name":"x","addresses":["example.com"]}`, 422, "invalid"},
			"make for an empty address":       {"POST", "/keys", `{"name":"x","addresses":[""]}`, 422, "invalid"},
			"make for a null address":         {"POST", "/keys", `{"name":"x","addresses":[null]}`, 422, "invalid"},
			"make for too wide an address":    {"POST", "/keys", `{"name":"x","addresses":["192.0.2.0/33"]}`, 422, "invalid"},
			"make on somebody's rights":       {"POST", "/keys", `{"name":"x","maker":"` + string(eve.User.ID) + `"}`, 422, "invalid_body"},
			"list since no time":              {"GET", "/keys?unused_since=yesterday", "", 422, "invalid"},
			"list since the year 0":           {"GET", "/keys?unused_since=0000-01-01T00:00:00Z", "", 422, "invalid"},
			"rotate another account's":        {"POST", "/keys/" + string(foreign.Key.ID) + "/rotate", `{}`, 404, "no_key"},
			"rotate an odd one":               {"POST", "/keys/%ff/rotate", `{}`, 404, "no_key"},
			"rotate a dead one":               {"POST", "/keys/" + string(dead.Key.ID) + "/rotate", `{}`, 409, "key_over"},
			"rotate what is full":             {"POST", "/keys/" + string(full.Key.ID) + "/rotate", `{"overlap_seconds":1}`, 409, "many_secrets"},
			"rotate without a body":           {"POST", path + "/rotate", ``, 415, "unsupported_media_type"},
			"rotate with a form":              {"POST", path + "/rotate", `overlap_seconds=1`, 422, "invalid_body"},
			"rotate back in time":             {"POST", path + "/rotate", `{"overlap_seconds":-1}`, 422, "invalid"},
			"rotate for too long":             {"POST", path + "/rotate", `{"overlap_seconds":2592001}`, 422, "invalid"},
			"rotate for 2^55 seconds":         {"POST", path + "/rotate", `{"overlap_seconds":36028797018963968}`, 422, "invalid"},
			"rotate for the most":             {"POST", path + "/rotate", `{"overlap_seconds":9223372036854775807}`, 422, "invalid"},
			"rotate for more":                 {"POST", path + "/rotate", `{"overlap_seconds":9223372036854775808}`, 422, "invalid_body"},
			"rotate for half a second":        {"POST", path + "/rotate", `{"overlap_seconds":0.5}`, 422, "invalid_body"},
			"rotate with words":               {"POST", path + "/rotate", `{"overlap_seconds":"1"}`, 422, "invalid_body"},
			"rotate with more to say":         {"POST", path + "/rotate", `{"overlap":1}`, 422, "invalid_body"},
			"take another account's over":     {"POST", "/keys/" + string(foreign.Key.ID) + "/take-over", `{}`, 404, "no_key"},
			"take a dead one over":            {"POST", "/keys/" + string(dead.Key.ID) + "/take-over", `{}`, 409, "key_over"},
			"take over for somebody":          {"POST", path + "/take-over", `{"actor":"x"}`, 422, "invalid_body"},
			"take over as a page's form does": {"POST", path + "/take-over", ``, 415, "unsupported_media_type"},
			"revoke another account's secret": {"DELETE", "/keys/" + string(foreign.Key.ID) + "/secrets/" + secret, "", 404, "no_key"},
			"revoke another key's secret":     {"DELETE", "/keys/" + string(other.Key.ID) + "/secrets/" + secret, "", 404, "no_key"},
			"revoke an odd secret":            {"DELETE", path + "/secrets/%00", "", 404, "no_key"},
			"revoke a dead key's secret":      {"DELETE", "/keys/" + string(dead.Key.ID) + "/secrets/" + h.secrets(t, dead.Key)[0].ID, "", 409, "key_over"},
			"see a secret":                    {"GET", path + "/secrets/" + secret, "", 405, "method_not_allowed"},
			"rotate by looking":               {"GET", path + "/rotate", "", 405, "method_not_allowed"},
			"a way that is none":              {"POST", path + "/restore", `{}`, 404, "not_found"},
		} {
			h.unchanged(t, what, func() {
				w := serve(s.server, request(c.method, c.path, c.body, s.asAda...))
				if got := code(t, w); w.Code != c.status || got != c.code {
					t.Errorf("%s: %d %s, want %d %s", what, w.Code, w.Body, c.status, c.code)
				}
				if strings.Contains(w.Body.String(), "netip") || strings.Contains(w.Body.String(), "json:") {
					t.Errorf("%s: it speaks of the program: %s", what, w.Body)
				}
			})
		}

		// A developer rotates no key that gives more than a developer has.
		if w := serve(s.server, request("POST", path+"/rotate", `{}`, s.asDev...)); w.Code != 403 || code(t, w) != "forbidden" {
			t.Errorf("a developer: %d %s", w.Code, w.Body)
		}
		// Keys get nothing here, whatever they are mounted behind.
		routes := [][2]string{
			{"GET", "/keys"}, {"POST", "/keys"}, {"GET", path}, {"DELETE", path}, {"POST", path + "/rotate"},
			{"POST", path + "/take-over"}, {"DELETE", path + "/secrets/" + secret},
		}
		for _, need := range []tenancy.Capability{0, tenancy.Read, tenancy.SignIn} {
			server := h.keys.Middleware(h.db, need)(h.keys.Handler(h.db))
			for _, route := range routes {
				sent := ""
				if route[0] == "POST" {
					sent = `{}`
				}
				h.unchanged(t, route[1], func() {
					if w := serve(server, request(route[0], route[1], sent, "X-API-Key", own.Secret)); w.Code != 403 || code(t, w) != "forbidden" {
						t.Errorf("%s %s by a key: %d %s", route[0], route[1], w.Code, w.Body)
					}
				})
			}
		}
		// Nor does a member who manages no keys.
		h.setRoles(t, s.ada, s.dev, tenancy.RoleEditor)
		for _, route := range routes {
			sent := ""
			if route[0] == "POST" {
				sent = `{"name":"x"}`
			}
			h.unchanged(t, route[1], func() {
				if w := serve(s.server, request(route[0], route[1], sent, s.asDev...)); w.Code != 403 || code(t, w) != "forbidden" {
					t.Errorf("%s %s by an editor: %d %s", route[0], route[1], w.Code, w.Body)
				}
			})
		}
	})
}

// Which of the service's people did something is not the account's business.
func TestHandler_NamesNoneOfTheService(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		s := newStaff(t, h)
		key := h.make(t, authn.Issue{Account: s.ada.Account.ID, Actor: operator})
		job := h.make(t, authn.Issue{Account: s.ada.Account.ID, Actor: tenancy.Actor{Kind: tenancy.ActorSystem, ID: "job_7"}})
		for _, r := range []*http.Request{
			request("GET", "/keys", "", s.asAda...),
			request("GET", "/keys/"+string(key.Key.ID), "", s.asAda...),
			request("POST", "/keys/"+string(key.Key.ID)+"/rotate", `{}`, s.asAda...),
			request("POST", "/keys/"+string(key.Key.ID)+"/take-over", `{}`, s.asAda...),
			request("DELETE", "/keys/"+string(key.Key.ID), "", s.asAda...),
			request("DELETE", "/keys/"+string(job.Key.ID), "", s.asAda...),
		} {
			w := serve(s.server, r)
			if w.Code/100 != 2 || strings.Contains(w.Body.String(), operator.ID) || strings.Contains(w.Body.String(), "job_7") {
				t.Errorf("%s %s: %d %s", r.Method, r.URL, w.Code, w.Body)
			}
			if !strings.Contains(w.Body.String(), `"created_by":{"kind":"operator","id":""}`) && !strings.Contains(w.Body.String(), `"created_by":{"kind":"system","id":""}`) {
				t.Errorf("%s %s says not that the service made it: %s", r.Method, r.URL, w.Body)
			}
		}
	})
}

// M9: a right is asked for once more when the body has come, under the account's lock.
func TestM9_Handler_WhoIsDemotedWhileTheBodyIsOnTheWayDoesNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		s := newStaff(t, h)
		key := h.issue(t, s.ada)
		for _, path := range []string{"/keys", "/keys/" + string(key.Key.ID) + "/rotate", "/keys/" + string(key.Key.ID) + "/take-over"} {
			h.setRoles(t, s.ada, s.dev, tenancy.RoleDeveloper)
			sent := `{}`
			if path == "/keys" {
				sent = `{"name":"late"}`
			}
			r := request("POST", path, sent, s.asDev...)
			r.Body = io.NopCloser(&slow{r.Body, func() { h.setRoles(t, s.ada, s.dev, tenancy.RoleEditor) }})
			if w := serve(s.server, r); w.Code != 403 || code(t, w) != "forbidden" {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
		got, err := h.keys.Get(t.Context(), h.db, s.ada.Account.ID, key.Key.ID)
		if d := cmp.Diff(key.Key, got); d != "" || err != nil || h.count(t, "authn_keys") != 1 || h.count(t, "authn_key_secrets") != 1 {
			t.Error(d, err)
		}
	})
}
