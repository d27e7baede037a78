package authn_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
)

func (h *house) signIn(t *testing.T, email, password string) error {
	t.Helper()
	_, err := h.passwords.SignIn(t.Context(), h.db, authn.SignIn{Email: email, Password: password})
	return err
}

func TestSignIn_SameWordsAndSameWorkForWhatIsWrong(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.register(t, "ada@example.com")
		if _, err := h.accounts.CreateUser(t.Context(), h.db, tenancy.CreateUser{Email: "bob@example.com", Name: "Bob"}); err != nil {
			t.Fatal(err)
		}
		odd := h.register(t, "odd@example.com")
		h.exec(t, "UPDATE authn_passwords SET hash = 'garbage' WHERE user_id = ?", odd.User.ID)
		said := map[string]bool{}
		for what, c := range map[string][2]string{
			"a wrong password":   {"ada@example.com", "wrong password"},
			"nearly right":       {"ada@example.com", goodPassword + " "},
			"other letter case":  {"ada@example.com", strings.ToUpper(goodPassword)},
			"none":               {"ada@example.com", ""},
			"one without end":    {"ada@example.com", strings.Repeat(goodPassword, 1000)},
			"no text":            {"ada@example.com", goodPassword + "\xff"},
			"an unknown address": {"eve@example.com", goodPassword},
			"no address":         {"\x00", goodPassword},
			"no password set":    {"bob@example.com", goodPassword},
			"a broken hash":      {"odd@example.com", goodPassword},
			"a broken hash, ''":  {"odd@example.com", ""},
			"no password set ''": {"bob@example.com", ""},
		} {
			asked := &queries{}
			before := h.computed()
			_, err := h.passwords.SignIn(t.Context(), h.db.WithQueryHook(asked), authn.SignIn{Email: c[0], Password: c[1]})
			wantErr(t, what, err, authn.ErrBadCredential)
			said[err.Error()] = true
			if n := h.computed() - before; n != 1 {
				t.Errorf("%s: %d hashes", what, n)
			}
			if c[0] != "\x00" && len(asked.said) != 2 {
				t.Errorf("%s: %d statements", what, len(asked.said))
			}
		}
		if len(said) != 1 {
			t.Errorf("different words: %v", said)
		}
	})
}

// Even a hash that equals the one that stands in for none signs nobody in.
func TestSignIn_NobodyIsFoundByTheHashThatStandsIn(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		_, release := authn.Gate(h.passwords) // hashes all to zeros
		close(release)
		wantErr(t, "an unknown address", h.signIn(t, "eve@example.com", goodPassword), authn.ErrBadCredential)
		h.register(t, "ada@example.com")
		wantErr(t, "a known one", h.signIn(t, "ada@example.com", goodPassword), nil)
		wantErr(t, "no text", h.signIn(t, "ada@example.com", "\xff"), authn.ErrBadCredential)
	})
}

func TestSignIn_ComposedAndDecomposedAccentsAreOne(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		_, err := h.passwords.Register(t.Context(), h.db, tenancy.Register{Name: "Zoe", Email: "zoe@example.com"}, "cafe\u0301 au lait, please")
		if err != nil {
			t.Fatal(err)
		}
		wantErr(t, "composed", h.signIn(t, "zoe@example.com", "caf\u00e9 au lait, please"), nil)
		wantErr(t, "decomposed", h.signIn(t, "zoe@example.com", "cafe\u0301 au lait, please"), nil)
		wantErr(t, "without", h.signIn(t, "zoe@example.com", "cafe au lait, please"), authn.ErrBadCredential)
	})
}

func TestSignIn_ReplacesAWeakHashOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		old := h.hashOf(t, r.User.ID)
		wantErr(t, "at the same cost", h.signIn(t, "ada@example.com", goodPassword), nil)
		if h.hashOf(t, r.User.ID) != old {
			t.Error("a hash of today's cost was replaced")
		}
		dearer := authn.NewPasswords(h.accounts, authn.PasswordConfig{Memory: 65536, Passes: 3, Now: h.clock.Now})
		authn.Quick(dearer)
		h.clock.Advance(time.Hour)
		_, err := dearer.SignIn(t.Context(), h.db, authn.SignIn{Email: "ada@example.com", Password: "wrong password"})
		wantErr(t, "a wrong password", err, authn.ErrBadCredential)
		if h.hashOf(t, r.User.ID) != old {
			t.Error("a wrong password replaced the hash")
		}
		_, err = dearer.SignIn(t.Context(), h.db, authn.SignIn{Email: "ada@example.com", Password: goodPassword})
		wantErr(t, "the right one", err, nil)
		fresh := h.hashOf(t, r.User.ID)
		if !strings.HasPrefix(fresh, "$argon2id$v=19$m=65536,t=3,p=1$") {
			t.Errorf("now %s", fresh)
		}
		_, err = dearer.SignIn(t.Context(), h.db, authn.SignIn{Email: "ada@example.com", Password: goodPassword})
		wantErr(t, "again", err, nil)
		wantErr(t, "at the lower cost", h.signIn(t, "ada@example.com", goodPassword), nil)
		if h.hashOf(t, r.User.ID) != fresh {
			t.Error("the hash was replaced again")
		}
	})
}

func TestBasic(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada, bob := h.register(t, "ada@example.com"), h.register(t, "bob@example.com")
		if _, err := h.passwords.Register(t.Context(), h.db, tenancy.Register{Name: "Zoe", Email: "zoe@example.com"}, "naïve: café"); err != nil {
			t.Fatal(err)
		}
		if _, err := h.accounts.CreateUser(t.Context(), h.db, tenancy.CreateUser{Email: "eve@example.com", Name: "Eve"}); err != nil {
			t.Fatal(err)
		}
		zed, err := h.accounts.CreateUser(t.Context(), h.db, tenancy.CreateUser{Email: "zed@example.com", Name: "Zed"})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.passwords.Set(t.Context(), h.db, authn.SetPassword{User: zed.ID, Actor: operator, Password: goodPassword}); err != nil {
			t.Fatal(err)
		}
		both := h.register(t, "both@example.com")
		if _, err := h.accounts.AddMember(t.Context(), h.db, tenancy.AddMember{
			Account: ada.Account.ID, User: both.User.ID, Roles: []tenancy.Role{tenancy.RoleViewer}, Actor: userOf(ada),
		}); err != nil {
			t.Fatal(err)
		}
		good := basic("ada@example.com", goodPassword)
		server := h.passwords.Middleware(h.db, tenancy.SignIn)(whoami)
		for what, c := range map[string]struct {
			headers []string
			status  int
			code    string
		}{
			"a member":             {[]string{"Authorization", good}, 200, ""},
			"lower case":           {[]string{"Authorization", "basic" + good[5:]}, 200, ""},
			"its account":          {[]string{"Authorization", good, "X-Account-ID", string(ada.Account.ID)}, 200, ""},
			"colons and accents":   {[]string{"Authorization", basic("zoe@example.com", "naïve: café")}, 200, ""},
			"another's account":    {[]string{"Authorization", good, "X-Account-ID", string(bob.Account.ID)}, 404, "no_account"},
			"no account's id":      {[]string{"Authorization", good, "X-Account-ID", "a b"}, 422, "invalid"},
			"two accounts":         {[]string{"Authorization", good, "X-Account-ID", "a", "X-Account-ID", "b"}, 422, "invalid"},
			"of several":           {[]string{"Authorization", basic("both@example.com", goodPassword)}, 409, "which_account"},
			"of several, this":     {[]string{"Authorization", basic("both@example.com", goodPassword), "X-Account-ID", string(ada.Account.ID)}, 200, ""},
			"of several, another":  {[]string{"Authorization", basic("both@example.com", goodPassword), "X-Account-ID", string(bob.Account.ID)}, 404, "no_account"},
			"of several, wrong":    {[]string{"Authorization", basic("both@example.com", "wrong")}, 401, "invalid_credential"},
			"of none":              {[]string{"Authorization", basic("zed@example.com", goodPassword)}, 404, "no_account"},
			"of none, this":        {[]string{"Authorization", basic("zed@example.com", goodPassword), "X-Account-ID", string(bob.Account.ID)}, 404, "no_account"},
			"of none, wrong":       {[]string{"Authorization", basic("zed@example.com", "wrong")}, 401, "invalid_credential"},
			"more blanks":          {[]string{"Authorization", "Basic  " + good[5:]}, 200, ""},
			"a blank behind it":    {[]string{"Authorization", good + " "}, 401, "invalid_credential"},
			"no colon":             {[]string{"Authorization", "Basic YWRhQGV4YW1wbGUuY29t"}, 401, "invalid_credential"},
			"Latin-1":              {[]string{"Authorization", basic("zoe@example.com", "na\xefve: caf\xe9")}, 401, "invalid_credential"},
			"nothing behind it":    {[]string{"Authorization", "Basic "}, 401, "invalid_credential"},
			"colon alone":          {[]string{"Authorization", basic("", "")}, 401, "invalid_credential"},
			"no password set":      {[]string{"Authorization", basic("eve@example.com", goodPassword)}, 401, "invalid_credential"},
			"a wrong one, account": {[]string{"Authorization", basic("ada@example.com", "wrong"), "X-Account-ID", string(bob.Account.ID)}, 401, "invalid_credential"},
		} {
			w := serve(server, request("GET", "/", "", c.headers...))
			if got := code(t, w); w.Code != c.status || got != c.code {
				t.Errorf("%s: %d %s, want %d %s", what, w.Code, w.Body, c.status, c.code)
			}
		}
		wantErr(t, "of none, without an account", h.signIn(t, "zed@example.com", goodPassword), nil)
		w := serve(server, request("GET", "/", "", "Authorization", good))
		if want := string(ada.Account.ID) + " user " + string(ada.User.ID); w.Body.String() != want {
			t.Errorf("entered %s, want %s", w.Body, want)
		}
	})
}

// Somebody whose trial is over signs in and pays; nobody spends.
func TestM9_APersonWithoutAnAccountSignsInToSeeWhichThereAre(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.register(t, "ada@example.com")
		bob, err := h.accounts.CreateUser(t.Context(), h.db, tenancy.CreateUser{Email: "bob@example.com", Name: "Bob"})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.passwords.Set(t.Context(), h.db, authn.SetPassword{User: bob.ID, Actor: userOf(ada), Password: goodPassword}); err != nil {
			t.Fatal(err)
		}
		get := func(set func(r *http.Request)) *httptest.ResponseRecorder {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/accounts", nil)
			set(r)
			w := httptest.NewRecorder()
			h.accounts.Person(h.db, h.passwords.Person(h.db)).ServeHTTP(w, r)
			return w
		}
		basic := func(email, password string) func(*http.Request) {
			return func(r *http.Request) { r.SetBasicAuth(email, password) }
		}
		key := h.issue(t, ada)
		for what, c := range map[string]struct {
			set    func(*http.Request)
			status int
			body   string
		}{
			"who has one":      {basic("ada@example.com", goodPassword), 200, string(ada.Account.ID)},
			"who has none":     {basic("bob@example.com", goodPassword), 200, `{"accounts":[]}`},
			"a wrong password": {basic("ada@example.com", "no"), 401, "invalid_credential"},
			"a key":            {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+key.Secret) }, 401, "invalid_credential"},
			"nothing":          {func(*http.Request) {}, 401, "missing_credential"},
		} {
			if w := get(c.set); w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
				t.Errorf("%s: %d %s", what, w.Code, w.Body)
			}
		}
	})
}

func TestM6_APersonWhoseTrialIsOverSignsIn(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		h.clock.Set(r.Account.TrialEndsAt)
		for need, want := range map[tenancy.Capability]int{
			tenancy.SignIn: 200, tenancy.SignIn | tenancy.Pay: 200, tenancy.Read: 200, 0: 402, tenancy.MintKeys: 402,
		} {
			w := serve(h.passwords.Middleware(h.db, need)(whoami), request("GET", "/", "", "Authorization", basic("ada@example.com", goodPassword)))
			if w.Code != want {
				t.Errorf("%s: %d, want %d", need, w.Code, want)
			}
		}
	})
}
