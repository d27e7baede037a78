package authn_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func (h *house) signIn(t *testing.T, email, password string) error {
	t.Helper()
	_, err := h.passwords.SignIn(t.Context(), h.db, email, password)
	return err
}

func (h *house) hashOf(t *testing.T, user tenancy.UserID) (hash string) {
	t.Helper()
	if err := h.db.NewRaw("SELECT hash FROM authn_passwords WHERE user_id = ?", user).Scan(t.Context(), &hash); err != nil {
		t.Fatal(err)
	}
	return hash
}

func TestRegister_StoresThePasswordAndRunsThenAfterIt(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ran := 0
		r, err := h.passwords.Register(t.Context(), h.db, tenancy.Register{
			Name: "Ada", Email: "ada@example.com",
			Then: func(ctx context.Context, db bun.IDB, r tenancy.Registered) error {
				ran++
				n, err := db.NewSelect().TableExpr("authn_passwords").Where("user_id = ?", r.User.ID).Count(ctx)
				if n != 1 {
					t.Errorf("Then sees %d passwords", n)
				}
				return err
			},
		}, goodPassword)
		if err != nil || ran != 1 {
			t.Fatal(ran, err)
		}
		if hash := h.hashOf(t, r.User.ID); !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
			t.Errorf("stored %s", hash)
		}
		user, err := h.passwords.SignIn(t.Context(), h.db, " ADA@example.com ", goodPassword)
		if err != nil || user.ID != r.User.ID {
			t.Errorf("signed in %+v, %v", user, err)
		}
	})
}

func TestRegister_RefusalsWriteNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.register(t, "ada@example.com")
		boom := errors.New("boom")
		for what, c := range map[string]struct {
			r        tenancy.Register
			password string
			want     error
		}{
			"no password":     {tenancy.Register{Name: "B", Email: "b@example.com"}, "", authn.ErrWeakPassword},
			"a weak one":      {tenancy.Register{Name: "B", Email: "b@example.com"}, "password123", authn.ErrWeakPassword},
			"the address":     {tenancy.Register{Name: "B", Email: "b@example.com"}, "b@example.com", authn.ErrWeakPassword},
			"a taken address": {tenancy.Register{Name: "B", Email: "Ada@Example.com"}, goodPassword, tenancy.ErrEmailTaken},
			"no address":      {tenancy.Register{Name: "B", Email: "b"}, goodPassword, tenancy.ErrInvalid},
			"no such plan":    {tenancy.Register{Name: "B", Email: "b@example.com", Plan: "none"}, goodPassword, tenancy.ErrNoPlan},
			"Then fails": {tenancy.Register{Name: "B", Email: "b@example.com", Then: func(context.Context, bun.IDB, tenancy.Registered) error {
				return boom
			}}, goodPassword, boom},
		} {
			h.unchanged(t, what, func() {
				_, err := h.passwords.Register(t.Context(), h.db, c.r, c.password)
				wantErr(t, what, err, c.want)
			})
		}
	})
}

func TestRegister_TwoAtOnceMakeOneAccount(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		passwords := []string{"tall green giraffes", "short blue elephants"}
		n := together(t, 8, tenancy.ErrEmailTaken, func(i int) error {
			_, err := h.passwords.Register(t.Context(), h.db, tenancy.Register{Name: "Ada", Email: "ada@example.com"}, passwords[i%2])
			return err
		})
		if n != 1 || h.count(t, "tenancy_accounts") != 1 || h.count(t, "authn_passwords") != 1 {
			t.Errorf("%d succeeded", n)
		}
		if (h.signIn(t, "ada@example.com", passwords[0]) == nil) == (h.signIn(t, "ada@example.com", passwords[1]) == nil) {
			t.Error("not exactly one of the passwords is the winner's")
		}
	})
}

func TestPasswords_AreNotHashedInATransaction(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		prepared, err := h.passwords.Prepare(t.Context(), tenancy.Register{Name: "Bob", Email: "bob@example.com"}, goodPassword)
		if err != nil {
			t.Fatal(err)
		}
		before := h.computed()
		err = h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			_, err1 := h.passwords.Register(ctx, tx, tenancy.Register{Name: "Eve", Email: "eve@example.com"}, goodPassword)
			_, err2 := h.passwords.SignIn(ctx, tx, "ada@example.com", goodPassword)
			err3 := h.passwords.Set(ctx, tx, authn.SetPassword{User: r.User.ID, Actor: userOf(r)}, goodPassword)
			for _, err := range []error{err1, err2, err3} {
				if err == nil || !strings.Contains(err.Error(), "outside of transactions") {
					t.Errorf("got %v", err)
				}
			}
			_, err := h.accounts.Register(ctx, tx, prepared)
			return err
		})
		if err != nil || h.computed() != before {
			t.Errorf("%d hashes in the transaction, %v", h.computed()-before, err)
		}
		wantErr(t, "who was prepared", h.signIn(t, "bob@example.com", goodPassword), nil)
	})
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
			_, err := h.passwords.SignIn(t.Context(), h.db.WithQueryHook(asked), c[0], c[1])
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
		_, err := dearer.SignIn(t.Context(), h.db, "ada@example.com", "wrong password")
		wantErr(t, "a wrong password", err, authn.ErrBadCredential)
		if h.hashOf(t, r.User.ID) != old {
			t.Error("a wrong password replaced the hash")
		}
		_, err = dearer.SignIn(t.Context(), h.db, "ada@example.com", goodPassword)
		wantErr(t, "the right one", err, nil)
		fresh := h.hashOf(t, r.User.ID)
		if !strings.HasPrefix(fresh, "$argon2id$v=19$m=65536,t=3,p=1$") {
			t.Errorf("now %s", fresh)
		}
		_, err = dearer.SignIn(t.Context(), h.db, "ada@example.com", goodPassword)
		wantErr(t, "again", err, nil)
		wantErr(t, "at the lower cost", h.signIn(t, "ada@example.com", goodPassword), nil)
		if h.hashOf(t, r.User.ID) != fresh {
			t.Error("the hash was replaced again")
		}
	})
}

func TestSet_ReplacesThePasswordAndSaysWho(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		bob, err := h.accounts.CreateUser(t.Context(), h.db, tenancy.CreateUser{Email: "bob@example.com", Name: "Bob"})
		if err != nil {
			t.Fatal(err)
		}
		const next = "short blue elephants"
		set := func(user tenancy.UserID, actor tenancy.Actor, password string) error {
			return h.passwords.Set(t.Context(), h.db, authn.SetPassword{User: user, Actor: actor, Reason: "asked for it"}, password)
		}
		h.unchanged(t, "the refusals", func() {
			wantErr(t, "a weak one", set(r.User.ID, userOf(r), "password123"), authn.ErrWeakPassword)
			wantErr(t, "the address", set(r.User.ID, userOf(r), "ada@example.com"), authn.ErrWeakPassword)
			wantErr(t, "nobody", set("usr_none", operator, next), tenancy.ErrNoUser)
			wantErr(t, "by nobody", set(r.User.ID, tenancy.Actor{}, next), tenancy.ErrInvalid)
		})
		wantErr(t, "the old one", h.signIn(t, "ada@example.com", goodPassword), nil)
		wantErr(t, "set", set(r.User.ID, userOf(r), next), nil)
		wantErr(t, "the first one", set(bob.ID, operator, next), nil)
		wantErr(t, "the old one", h.signIn(t, "ada@example.com", goodPassword), authn.ErrBadCredential)
		wantErr(t, "the new one", h.signIn(t, "ada@example.com", next), nil)
		wantErr(t, "the first one", h.signIn(t, "bob@example.com", next), nil)
		if line := tenancytest.RequireAudit(t, h.db, "", "authn.set_password"); line.Actor != operator || line.Target != string(bob.ID) || line.Reason != "asked for it" {
			t.Errorf("audit %+v", line)
		}
	})
}

func TestPasswords_HashSoManyAtOnceAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const parallel = 2
		p := authn.NewPasswords(tenancy.New(tenancy.Config{}), authn.PasswordConfig{Parallel: parallel})
		running, release := authn.Gate(p)
		done := make(chan error, 10)
		prepare := func(ctx context.Context) {
			_, err := p.Prepare(ctx, tenancy.Register{}, goodPassword)
			done <- err
		}
		gone, goAway := context.WithCancel(t.Context())
		for range parallel {
			go prepare(t.Context())
		}
		synctest.Wait()
		for range 3 {
			go prepare(gone)
		}
		go prepare(t.Context())
		synctest.Wait() // until nobody can go on
		if n := running(); n != parallel {
			t.Errorf("%d hashes at once", n)
		}
		goAway() // whoever waits for a turn waits no longer than it wants
		for range 3 {
			wantErr(t, "who gave up waiting", <-done, context.Canceled)
		}
		release <- struct{}{} // a turn that ends is the next one's
		wantErr(t, "the first", <-done, nil)
		synctest.Wait()
		if n := running(); n != parallel {
			t.Errorf("%d hashes after one ended", n)
		}
		close(release)
		for range parallel {
			wantErr(t, "the others", <-done, nil)
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
		w := serve(server, request("GET", "/", "", "Authorization", good))
		if want := string(ada.Account.ID) + " user " + string(ada.User.ID); w.Body.String() != want {
			t.Errorf("entered %s, want %s", w.Body, want)
		}
	})
}

// Somebody whose trial is over signs in and pays; nobody spends.
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
