package authn

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/quitrent/quitrent/tenancy"
)

func TestFromRequest(t *testing.T) {
	for what, c := range map[string]struct {
		headers []string
		want    Credential
		err     error
	}{
		"nothing":                 {nil, Credential{}, ErrNoCredential},
		"an account alone":        {[]string{"X-Account-ID", "acc_1"}, Credential{}, ErrNoCredential},
		"a bearer":                {[]string{"Authorization", "Bearer x"}, Credential{Scheme: "bearer", Value: "x"}, nil},
		"a key":                   {[]string{"X-API-Key", "x"}, Credential{Scheme: "bearer", Value: "x"}, nil},
		"the same twice":          {[]string{"Authorization", "BEARER  x", "X-API-Key", "x"}, Credential{Scheme: "bearer", Value: "x"}, nil},
		"a person":                {[]string{"Authorization", "bAsIc eDp5"}, Credential{Scheme: "basic", Value: "eDp5"}, nil},
		"an account":              {[]string{"X-API-Key", "x", "X-Account-ID", "acc_1"}, Credential{Scheme: "bearer", Value: "x", Account: "acc_1"}, nil},
		"another scheme":          {[]string{"Authorization", "X-1.2~ y  z "}, Credential{Scheme: "x-1.2~", Value: "y  z "}, nil},
		"a scheme alone":          {[]string{"Authorization", "Basic"}, Credential{Scheme: "basic"}, nil},
		"a scheme and a tab":      {[]string{"Authorization", "Bearer\tx"}, Credential{}, ErrBadCredential},
		"a blank in front":        {[]string{"Authorization", " Bearer x"}, Credential{}, ErrBadCredential},
		"letters beyond ASCII":    {[]string{"Authorization", "BAS\u0130C eDp5"}, Credential{}, ErrBadCredential},
		"two keys":                {[]string{"X-API-Key", "x", "X-API-Key", "x"}, Credential{}, ErrBadCredential},
		"two authorizations":      {[]string{"Authorization", "Bearer x", "Authorization", "Bearer x"}, Credential{}, ErrBadCredential},
		"two that differ":         {[]string{"Authorization", "Bearer x", "X-API-Key", "y"}, Credential{}, ErrBadCredential},
		"a person and a key":      {[]string{"Authorization", "Basic x", "X-API-Key", "x"}, Credential{}, ErrBadCredential},
		"two accounts":            {[]string{"X-API-Key", "x", "X-Account-ID", "a", "X-Account-ID", "a"}, Credential{}, tenancy.ErrInvalid},
		"an account without name": {[]string{"X-API-Key", "x", "X-Account-ID", ""}, Credential{}, tenancy.ErrInvalid},
		"an account of odd bytes": {[]string{"X-API-Key", "x", "X-Account-ID", "a\x00"}, Credential{}, tenancy.ErrInvalid},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "@" // a Unix socket
		for i := 0; i < len(c.headers); i += 2 {
			r.Header.Add(c.headers[i], c.headers[i+1])
		}
		if got, err := FromRequest(r); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: got %s of %q for %q, %v", what, got, got.Scheme, got.Account, err)
		}
	}
}

// Whatever the headers are, a credential comes out in one spelling or not at all,
// it never prints, and a Basic one is what the standard library finds in them.
func FuzzCredential(f *testing.F) {
	for _, auth := range []string{
		"", "Bearer x", "Basic eDp5", "basic  eDp5", "Basic eDp5 ", "Basic eDp5==", "Basic eA==", "Basic Og==", "Basic eDp5Onpb\nWw==",
		"Basic %%%", "Basic", "Basic ", " x", "Bearer\tx", "BAS\u0130C eDp5", "qr_live_secret", "\x00 \xff",
	} {
		f.Add(auth, "", "")
		f.Add(auth, "x", "acc_1")
	}
	f.Fuzz(func(t *testing.T, auth, key, account string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Authorization"] = []string{auth}
		if key != "" {
			r.Header["X-Api-Key"] = []string{key}
		}
		if account != "" {
			r.Header["X-Account-Id"] = []string{account}
		}
		r.RemoteAddr = "@"
		c, err := FromRequest(r)
		if err != nil {
			if c != (Credential{}) || !errors.Is(err, ErrNoCredential) && !errors.Is(err, ErrBadCredential) && !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%q, %q, %q: %s with %v", auth, key, account, c, err)
			}
		} else {
			if !token(c.Scheme) || c.Scheme != strings.ToLower(c.Scheme) || string(c.Account) != account {
				t.Errorf("%q, %q, %q: %q for %q", auth, key, account, c.Scheme, c.Account)
			}
			if said := fmt.Sprintf("%v%+v%#v", c, c, c); said != strings.Repeat(c.String(), 3) || len(c.String()) > len("bearer credential") {
				t.Errorf("it prints %s", said)
			}
			again := httptest.NewRequest("GET", "/", nil)
			again.RemoteAddr = "@"
			again.Header["Authorization"] = []string{c.Scheme + " " + c.Value}
			again.Header["X-Account-Id"] = r.Header["X-Account-Id"]
			// A key may begin with a blank, which a header has no place for.
			if got, err := FromRequest(again); (got != c || err != nil) && !strings.HasPrefix(key, " ") {
				t.Errorf("%q, %q: read again as %q %q, %v", auth, key, got.Scheme, got.Value, err)
			}
		}
		if key != "" || account != "" {
			return
		}
		user, password, want := r.BasicAuth()
		u, p, got := userAndPassword(c.Value)
		got = got && c.Scheme == schemeBasic
		// RFC 9110 allows more blanks behind the scheme, the standard library one.
		if _, value, _ := strings.Cut(auth, " "); got != want && !strings.HasPrefix(value, " ") || want && (u != user || p != password) {
			t.Errorf("%q: %v, the standard library says %v", auth, got, want)
		}
	})
}
