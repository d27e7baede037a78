package authn_test

import (
	"strings"
	"testing"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// Environments may begin like one another, and the brand like any of them.
func TestEnvs_AKeyIsOfTheOneItWasMadeFor(t *testing.T) {
	modes(t, func(t *testing.T, h *house, read func()) {
		ada := h.register(t, "ada@example.com")
		cfg := authn.Config{Brand: "live2", Envs: []string{"live", "li", "livelive", "test"}, Peppers: []authn.Pepper{pepper("a")}, Now: h.clock.Now}
		keys, err := authn.New(h.accounts, cfg)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Envs = []string{"live"}
		production, err := authn.New(h.accounts, cfg)
		if err != nil {
			t.Fatal(err)
		}
		h.keys = keys
		read()
		for i, env := range []string{"", "li", "livelive", "test"} {
			key := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(ada), Env: env})
			if want := []string{"live", "li", "livelive", "test"}[i]; key.Key.Env != want || !strings.HasPrefix(key.Secret, "live2_"+want+"_") {
				t.Errorf("made for %q: %+v", env, key.Key)
			}
			read()
			for range 2 {
				ctx, err := keys.Verify(t.Context(), h.db, key.Secret, 0)
				if err != nil {
					t.Fatal(err)
				}
				if got := tenancy.From(ctx).Env; got != key.Key.Env {
					t.Errorf("a key of %q enters for %q", key.Key.Env, got)
				}
			}
			_, err := production.Verify(t.Context(), h.db, key.Secret, 0)
			_, rotated := production.Rotate(t.Context(), h.db, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(ada)})
			if env == "" {
				wantErr(t, "a live key in production", err, nil)
				wantErr(t, "a live key rotated in production", rotated, nil)
				continue
			}
			wantErr(t, env+" in production", err, authn.ErrBadCredential)
			wantErr(t, env+" rotated in production", rotated, tenancy.ErrInvalid)
			again := h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(ada)})
			if !strings.HasPrefix(again.Secret, "live2_"+env+"_"+string(key.Key.ID)) {
				t.Errorf("rotated, a key of %s is of another environment", env)
			}
			wantErr(t, env+" rotated", h.verify(t, again.Secret), nil)
		}
	})
}

// Where a key is none of its kind a Guard asks the next authenticator, and the
// database is not asked.
func TestEnvs_AKeyOfAnotherIsNone(t *testing.T) {
	h := newHouse(t, dbtest.SQLite(t, authn.Migrate))
	ada := h.register(t, "ada@example.com")
	test, err := authn.New(h.accounts, authn.Config{Envs: []string{"test"}, Peppers: []authn.Pepper{pepper("a")}, Now: h.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	key := h.issue(t, ada)
	asked := &queries{}
	db := h.db.WithQueryHook(asked)
	_, err = test.Authenticate(t.Context(), db, shown("Bearer "+key.Secret, ""))
	wantErr(t, "by itself", err, authn.ErrNoCredential)
	_, err = test.Verify(t.Context(), db, key.Secret, 0)
	wantErr(t, "verified", err, authn.ErrBadCredential)
	if len(asked.said) != 0 {
		t.Errorf("asked %q", asked.said)
	}
	// One guard takes keys of several brands and environments, each by its own policy.
	_, err = authn.NewGuard(h.accounts, authn.GuardConfig{}, test, h.keys).Check(t.Context(), h.db, shown("Bearer "+key.Secret, ""), 0)
	wantErr(t, "behind the other", err, nil)
}
