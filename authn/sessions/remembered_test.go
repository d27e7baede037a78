package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/sessions"
	"github.com/quitrent/quitrent/tenancy"
)

// A password was right, and then a reset or a new password meets the session that begins
// with it: whichever comes first, nothing is open when both have ended.
func TestSignIn_ThatMeetsAResetLeavesNothingOpen(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		passwords := authn.NewPasswords(h.accounts, authn.PasswordConfig{Now: h.clock.Now})
		other := goodPassword
		set := func(password string) {
			if err := passwords.Set(t.Context(), h.db, authn.SetPassword{User: h.ada.User.ID, Actor: operator, Password: password}); err != nil {
				t.Error(err)
			}
		}
		set(other)
		for i := range 5 {
			was := other
			other = fmt.Sprintf("%s %d", goodPassword, i)
			var both sync.WaitGroup
			both.Go(func() {
				_, err := passwords.SignIn(t.Context(), h.db, authn.SignIn{
					Email: h.ada.User.Email, Password: was,
					Then: func(ctx context.Context, db bun.IDB, user tenancy.User) error {
						_, err := h.sessions.Start(ctx, db, sessions.Start{User: user.ID})
						return err
					},
				})
				if err != nil && !errors.Is(err, authn.ErrBadCredential) && !errors.Is(err, authn.ErrTooManyAttempts) {
					t.Error(err)
				}
			})
			both.Go(func() {
				set(other)
				if err := h.sessions.AfterReset(t.Context(), h.db, h.ada.User.ID); err != nil {
					t.Error(err)
				}
			})
			both.Wait()
			if open := h.open(t); open != 0 {
				t.Fatalf("%d sessions are open", open)
			}
		}
	})
}

func (h *house) open(t *testing.T) (n int) {
	t.Helper()
	all, err := h.sessions.List(t.Context(), h.db, sessions.List{User: h.ada.User.ID})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.RevokedAt.IsZero() {
			n++
		}
	}
	return n
}

// M12: a session that is remembered asks the database nothing, ends at once where it is
// revoked, and elsewhere with the next reading of the changes.
func TestM12_ARememberedSessionEndsWithItsRevocation(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.accounts = tenancy.New(tenancy.Config{Now: h.clock.Now, RevocationBound: time.Hour})
		h.sessions = h.policy(t, sessions.Config{})
		feed := h.accounts.Feed()
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { feed.Run(ctx, h.db) })
		t.Cleanup(func() { stop(); running.Wait() })
		issued := h.start(t, h.ada.User.ID)
		c := authn.Credential{Scheme: sessions.Scheme, Value: string(issued.Token)}
		guard := authn.NewGuard(h.accounts, authn.GuardConfig{}, h.sessions)
		asked := &queries{}
		db := h.db.WithQueryHook(asked)
		check := func() error {
			_, err := guard.Check(t.Context(), db, c, tenancy.Use)
			return err
		}
		for before := -1; before != len(asked.said); runtime.Gosched() { // until the changes have been read
			before = len(asked.said)
			if err := check(); err != nil {
				t.Fatal(err)
			}
		}
		h.clock.Advance(2 * time.Minute)
		before := len(asked.said)
		for range 5 {
			if err := check(); err != nil {
				t.Error(err)
			}
		}
		if n := len(asked.said) - before; n != 1 {
			t.Errorf("five checks asked %d times, once to note the use", n)
		}
		if err := feed.Poll(t.Context(), h.db); err != nil {
			t.Fatal(err)
		}
		if _, err := h.sessions.Revoke(t.Context(), h.db, sessions.Revoke{User: h.ada.User.ID, Session: issued.Session.ID, Actor: userOf(h.ada)}); err != nil {
			t.Fatal(err)
		}
		if err := check(); !errors.Is(err, authn.ErrBadCredential) {
			t.Errorf("revoked here: %v", err)
		}
	})
}
