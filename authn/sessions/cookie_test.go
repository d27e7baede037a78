package sessions_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/sessions"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

var aToken = sessions.Token(strings.Repeat("A", 43))

func policy(t *testing.T, cfg sessions.Config) *sessions.Sessions {
	t.Helper()
	cfg.Now = tenancytest.NewClock(t0).Now
	s, err := sessions.New(tenancy.New(tenancy.Config{}), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRead(t *testing.T) {
	s := policy(t, sessions.Config{})
	for what, c := range map[string]struct {
		cookies []string
		want    sessions.Token
		err     error
	}{
		"none":                {nil, "", authn.ErrNoCredential},
		"an empty one":        {[]string{cookie + "="}, "", authn.ErrNoCredential},
		"another name":        {[]string{"session=" + string(aToken)}, "", authn.ErrNoCredential},
		"letters of its name": {[]string{"__host-session=" + string(aToken)}, "", authn.ErrNoCredential},
		"one":                 {[]string{cookie + "=" + string(aToken)}, aToken, nil},
		"one among others":    {[]string{"a=b; " + cookie + "=" + string(aToken) + "; c=d"}, aToken, nil},
		"garbage":             {[]string{cookie + "=garbage"}, "garbage", nil}, // for Authenticate to refuse
		"two":                 {[]string{cookie + "=" + string(aToken) + "; " + cookie + "=x"}, "", authn.ErrBadCredential},
		"the same twice":      {[]string{cookie + "=" + string(aToken), cookie + "=" + string(aToken)}, "", authn.ErrBadCredential},
		"an empty one beside": {[]string{cookie + "=; " + cookie + "=" + string(aToken)}, "", authn.ErrBadCredential},
	} {
		var headers []string
		for _, line := range c.cookies {
			headers = append(headers, "Cookie", line)
		}
		got, err := s.Read(request("GET", "/", "", headers...))
		wantErr(t, what, err, c.err)
		if c.err == nil && got != (authn.Credential{Scheme: sessions.Scheme, Value: string(c.want)}) {
			t.Errorf("%s: %s of %q", what, got, got.Scheme)
		}
	}
}

// What a browser of the present and of the past sends along with every kind of
// request, and what comes of it.
func TestRead_CrossOriginMatrix(t *testing.T) {
	const ours, theirs, trusted = "https://api.example.com", "https://evil.example", "https://app.example.com"
	s := policy(t, sessions.Config{TrustedOrigins: []string{trusted}})
	type sent struct{ site, origin string }
	safe := []string{"GET", "HEAD", "OPTIONS"}
	unsafe := []string{"POST", "PUT", "PATCH", "DELETE", "CONNECT", "MADEUP"}
	for _, c := range []struct {
		what string
		sent
		refused bool
	}{
		{"the same origin", sent{"same-origin", ours}, false},
		{"the address bar", sent{"none", ""}, false},
		{"another site", sent{"cross-site", theirs}, true},
		{"another site that hides", sent{"cross-site", "null"}, true},
		{"another site without an origin", sent{"cross-site", ""}, true},
		{"a sibling host", sent{"same-site", "https://other.example.com"}, true},
		{"another site that says our origin", sent{"cross-site", ours}, true},
		{"a trusted origin", sent{"same-site", trusted}, false},
		{"a trusted origin over plain HTTP", sent{"same-site", "http://app.example.com"}, true},
		{"a trusted origin's other port", sent{"same-site", trusted + ":8443"}, true},
		{"a word nobody knows", sent{"made-up", theirs}, true},
		{"no browser", sent{"", ""}, false},
		{"an old browser here", sent{"", ours}, false},
		{"an old browser elsewhere", sent{"", theirs}, true},
		{"an old browser that hides", sent{"", "null"}, true},
		{"an old browser, trusted", sent{"", trusted}, false},
	} {
		try := func(method string, refused bool, more ...string) {
			t.Helper()
			headers := with(aToken, append(more, "Host", "api.example.com")...)
			for name, value := range map[string]string{"Sec-Fetch-Site": c.site, "Origin": c.origin} {
				if value != "" {
					headers = append(headers, name, value)
				}
			}
			var want error
			if refused {
				want = sessions.ErrCrossOrigin
			}
			r := request(method, "/", "", headers...)
			_, err := s.Read(r)
			wantErr(t, c.what+" "+method+" "+strings.Join(more, " "), err, want)
			if r.Method != method {
				t.Errorf("the request became a %s", r.Method)
			}
		}
		for _, method := range safe {
			try(method, false)
		}
		for _, method := range unsafe {
			try(method, c.refused)
		}
		try("GET", c.refused, "Upgrade", "websocket")
	}
	// Without a cookie there is nothing to misuse.
	_, err := s.Read(request("POST", "/", "", "Sec-Fetch-Site", "cross-site"))
	wantErr(t, "no cookie", err, authn.ErrNoCredential)
}

func TestSetCookie_ItsAttributes(t *testing.T) {
	s := policy(t, sessions.Config{})
	issued := sessions.Issued{Session: sessions.Session{ExpiresAt: t0.Add(30 * 24 * time.Hour)}, Token: aToken}
	set := func(s *sessions.Sessions, r *http.Request, do func(w http.ResponseWriter)) string {
		w := httptest.NewRecorder()
		do(w)
		return strings.Join(w.Header().Values("Set-Cookie"), "\n")
	}
	r := request("POST", "/session", "")
	if got, want := set(s, r, func(w http.ResponseWriter) { s.SetCookie(w, r, issued) }), cookie+"="+string(aToken)+"; Path=/; Max-Age=2592000; HttpOnly; Secure; SameSite=Lax"; got != want {
		t.Errorf("set %q, want %q", got, want)
	}
	if got, want := set(s, r, func(w http.ResponseWriter) { s.ClearCookie(w, r) }), cookie+"=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"; got != want {
		t.Errorf("cleared %q, want %q", got, want)
	}
	over := sessions.Issued{Session: sessions.Session{ExpiresAt: t0}, Token: aToken}
	if got := set(s, r, func(w http.ResponseWriter) { s.SetCookie(w, r, over) }); !strings.Contains(got, "Max-Age=1;") {
		t.Errorf("one that is over: %q", got) // no Max-Age at all would outlive it
	}
	named := policy(t, sessions.Config{Cookie: "__Secure-sid"})
	if got := set(named, r, func(w http.ResponseWriter) { named.SetCookie(w, r, issued) }); !strings.HasPrefix(got, "__Secure-sid=") {
		t.Errorf("another name: %q", got)
	}
}

// The cookie lacks Secure on this machine alone, and only where that is asked for.
func TestSetCookie_WithoutTLSOnLoopbackAlone(t *testing.T) {
	on, off := policy(t, sessions.Config{PlainHTTPOnLoopback: true}), policy(t, sessions.Config{})
	for what, c := range map[string]struct {
		peer, host string
		tls        bool
		header     string
		plain      bool
	}{
		"localhost":                 {"127.0.0.1:40000", "localhost:8080", false, "", true},
		"a name below it":           {"[::1]:40000", "app.LOCALHOST:8080", false, "", true},
		"127.0.0.1":                 {"127.0.0.1:40000", "127.0.0.1", false, "", true},
		"::1":                       {"[::1]:40000", "[::1]:8080", false, "", true},
		"IPv4 in IPv6":              {"[::ffff:127.0.0.1]:40000", "localhost", false, "", true},
		"over TLS":                  {"127.0.0.1:40000", "localhost:8443", true, "", false},
		"from another machine":      {"192.0.2.7:40000", "localhost:8080", false, "", false},
		"to another name":           {"127.0.0.1:40000", "app.example.com", false, "", false},
		"to a name that ends alike": {"127.0.0.1:40000", "evil-localhost", false, "", false},
		"through a proxy":           {"127.0.0.1:40000", "localhost:8080", false, "X-Forwarded-Proto", false},
		"through another":           {"127.0.0.1:40000", "localhost:8080", false, "Forwarded", false},
		"on a socket":               {"@", "localhost", false, "", false},
	} {
		for _, s := range []*sessions.Sessions{on, off} {
			r := request("POST", "/session", "", "Host", c.host)
			if r.RemoteAddr = c.peer; c.tls {
				r.TLS = &tls.ConnectionState{}
			}
			if c.header != "" {
				r.Header.Set(c.header, "x")
			}
			w := httptest.NewRecorder()
			s.SetCookie(w, r, sessions.Issued{Session: sessions.Session{ExpiresAt: t0.Add(time.Hour)}, Token: aToken})
			got := w.Result().Cookies()[0]
			name, plain := cookie, s == on && c.plain
			if plain {
				name = "session"
			}
			if got.Name != name || got.Secure == plain || !got.HttpOnly || got.SameSite != http.SameSiteLaxMode {
				t.Errorf("%s, switched on %t: %+v", what, s == on, got)
			}
			// And it is read where it was set, and nowhere else.
			for _, other := range []string{cookie, "session"} {
				r.Header.Set("Cookie", other+"="+string(aToken))
				_, err := s.Read(r)
				if (err == nil) != (other == name) {
					t.Errorf("%s, switched on %t: %s is read: %v", what, s == on, other, err)
				}
			}
		}
	}
}
