package authn_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
)

// A hash that was made at a lower cost is no sooner done than that of an unknown address.
func TestSignIn_SameWorkAfterTheCostWasRaised(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.register(t, "old@example.com")
		for _, cfg := range []authn.PasswordConfig{{}, {Passes: 3}, {Memory: 20000}, {Memory: 65536, Passes: 3}, {Memory: 262144, Passes: 16}} {
			cfg.Now = h.clock.Now
			p := authn.NewPasswords(h.accounts, cfg)
			authn.Quick(p)
			work := authn.CountWork(p)
			by := map[string]uint64{}
			for _, email := range []string{"old@example.com", "nobody@example.com"} {
				*work = 0
				_, err := p.SignIn(t.Context(), h.db, authn.SignIn{Email: email, Password: "a wrong password"})
				wantErr(t, email, err, authn.ErrBadCredential)
				by[email] = *work
			}
			want := uint64(max(cfg.Memory, 19456)) * uint64(max(cfg.Passes, 2))
			if old := by["old@example.com"]; by["nobody@example.com"] != want || old > want || want-old > 16 {
				t.Errorf("memory %d, passes %d: %v, want %d", cfg.Memory, cfg.Passes, by, want)
			}
		}
	})
}

// A sign-in may wait long for its hash; a password that was replaced meanwhile, because
// others knew it, does not open any more.
func TestSignIn_APasswordThatIsReplacedMeanwhileDoesNotOpen(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.register(t, "ada@example.com")
		other := authn.NewPasswords(h.accounts, authn.PasswordConfig{Now: h.clock.Now})
		authn.Quick(other)
		replace := func(with string) func() {
			return func() {
				if err := other.Set(t.Context(), h.db, authn.SetPassword{User: ada.User.ID, Actor: userOf(ada), Password: with}); err != nil {
					t.Error(err)
				}
			}
		}
		authn.During(h.passwords, replace("short blue elephants"))
		wantErr(t, "the old one", h.signIn(t, "ada@example.com", goodPassword), authn.ErrBadCredential)
		authn.During(h.passwords, func() { h.exec(t, "DELETE FROM authn_passwords") })
		wantErr(t, "one that is gone", h.signIn(t, "ada@example.com", "short blue elephants"), authn.ErrBadCredential)
		replace(goodPassword)()
		authn.During(h.passwords, replace(goodPassword))
		wantErr(t, "the same one, hashed anew", h.signIn(t, "ada@example.com", goodPassword), nil)
		// Twice within one sign-in is no sign-in's doing.
		authn.During(h.passwords, func() {
			replace(goodPassword)()
			authn.During(h.passwords, replace(goodPassword))
		})
		wantErr(t, "hashed anew and anew", h.signIn(t, "ada@example.com", goodPassword), authn.ErrBadCredential)
	})
}

// Another sign-in that replaces a weak hash keeps nobody out.
func TestSignIn_AHashThatIsMadeStrongerMeanwhileOpens(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		dearer := func() *authn.Passwords {
			p := authn.NewPasswords(h.accounts, authn.PasswordConfig{Memory: 65536, Passes: 3, Now: h.clock.Now})
			authn.Quick(p)
			return p
		}
		first, second := dearer(), dearer()
		in := authn.SignIn{Email: "ada@example.com", Password: goodPassword}
		var fresh string
		authn.During(first, func() {
			_, err := second.SignIn(t.Context(), h.db, in)
			wantErr(t, "the second", err, nil)
			fresh = h.hashOf(t, r.User.ID)
		})
		_, err := first.SignIn(t.Context(), h.db, in)
		wantErr(t, "the first", err, nil)
		if h.hashOf(t, r.User.ID) != fresh {
			t.Error("a hash of today's cost was replaced")
		}
	})
}

// Then is done for a right password alone, in a transaction that its error undoes.
func TestSignIn_ThenIsForARightPasswordAlone(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.register(t, "ada@example.com")
		boom := errors.New("boom")
		for _, c := range []struct {
			password string
			then     error
			called   bool
			want     error
		}{
			{goodPassword, nil, true, nil},
			{goodPassword, boom, true, boom},
			{"wrong password", nil, false, authn.ErrBadCredential},
		} {
			called := false
			before := h.count(t, "tenancy_leases")
			user, err := h.passwords.SignIn(t.Context(), h.db, authn.SignIn{Email: "ada@example.com", Password: c.password,
				Then: func(ctx context.Context, db bun.IDB, user tenancy.User) error {
					called = user.ID == ada.User.ID
					if _, err := db.NewRaw("INSERT INTO tenancy_leases (name, holder, until) VALUES (?, '', ?)", c.password+fmt.Sprint(c.then), t0).Exec(ctx); err != nil {
						return err
					}
					return c.then
				},
			})
			wantErr(t, c.password, err, c.want)
			if called != c.called || (err == nil) != (user.ID == ada.User.ID) {
				t.Errorf("%s: called %v, user %q", c.password, called, user.ID)
			}
			if wrote := h.count(t, "tenancy_leases") - before; wrote > 0 != (c.called && c.then == nil) {
				t.Errorf("%s, %v: wrote %d", c.password, c.then, wrote)
			}
		}
	})
}
