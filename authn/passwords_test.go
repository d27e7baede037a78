package authn_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

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
		user, err := h.passwords.SignIn(t.Context(), h.db, authn.SignIn{Email: " ADA@example.com ", Password: goodPassword})
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
			_, err2 := h.passwords.SignIn(ctx, tx, authn.SignIn{Email: "ada@example.com", Password: goodPassword})
			err3 := h.passwords.Set(ctx, tx, authn.SetPassword{User: r.User.ID, Actor: userOf(r), Password: goodPassword})
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

func TestSet_ReplacesThePasswordAndSaysWho(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		bob, err := h.accounts.CreateUser(t.Context(), h.db, tenancy.CreateUser{Email: "bob@example.com", Name: "Bob"})
		if err != nil {
			t.Fatal(err)
		}
		const next = "short blue elephants"
		set := func(user tenancy.UserID, actor tenancy.Actor, password string) error {
			return h.passwords.Set(t.Context(), h.db, authn.SetPassword{User: user, Actor: actor, Reason: "asked for it", Password: password})
		}
		h.unchanged(t, "the refusals", func() {
			wantErr(t, "none", set(r.User.ID, userOf(r), ""), authn.ErrWeakPassword)
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
