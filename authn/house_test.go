package authn_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/changes"
	"github.com/quitrent/quitrent/tenancy"
)

// remember makes the house remember what it reads, as while Run of the accounts runs.
// The news count for an hour from a reading on, and read is one, so that no test
// depends on how fast it is.
func (h *house) remember(t *testing.T, cfg authn.Config) (read func()) {
	t.Helper()
	return h.rememberOf(t, tenancy.Config{}, cfg)
}

// rememberOf is remember for the accounts of a host.
func (h *house) rememberOf(t *testing.T, of tenancy.Config, cfg authn.Config) (read func()) {
	t.Helper()
	of.Now, of.RevocationBound = h.clock.Now, time.Hour
	h.accounts = tenancy.New(of)
	cfg.Now = h.clock.Now
	if cfg.Peppers == nil {
		cfg.Peppers = []authn.Pepper{pepper("a")}
	}
	var err error
	if h.keys, err = authn.New(h.accounts, cfg); err != nil {
		t.Fatal(err)
	}
	h.passwords = authn.NewPasswords(h.accounts, authn.PasswordConfig{Now: h.clock.Now})
	authn.Quick(h.passwords)
	feed := h.accounts.Feed()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		feed.Run(ctx, h.db)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	read = func() {
		t.Helper()
		if err := feed.Poll(t.Context(), h.db); err != nil {
			t.Fatal(err)
		}
	}
	read()
	for !feed.Fresh(h.db, changes.Now()) { // until the goroutine has begun
		runtime.Gosched()
	}
	return read
}

// modes runs fn in a house that remembers nothing and in one that remembers, on each
// database. read reads the news where there is somebody to read them.
func modes(t *testing.T, fn func(t *testing.T, h *house, read func())) {
	t.Helper()
	t.Run("asking", func(t *testing.T) {
		each(t, func(t *testing.T, h *house) { fn(t, h, func() {}) })
	})
	t.Run("remembering", func(t *testing.T) {
		each(t, func(t *testing.T, h *house) { fn(t, h, h.remember(t, authn.Config{})) })
	})
}

// join registers somebody and makes the person a member of an account.
func (h *house) join(t *testing.T, to tenancy.Registered, email string, roles []tenancy.Role, on ...tenancy.ObjectRole) tenancy.Registered {
	t.Helper()
	r := h.register(t, email)
	h.admit(t, to, r, roles, on...)
	return r
}

func (h *house) admit(t *testing.T, to, who tenancy.Registered, roles []tenancy.Role, on ...tenancy.ObjectRole) {
	t.Helper()
	if _, err := h.accounts.AddMember(t.Context(), h.db, tenancy.AddMember{
		Account: to.Account.ID, User: who.User.ID, Roles: roles, Objects: on, Actor: userOf(to),
	}); err != nil {
		t.Fatal(err)
	}
}

func (h *house) setRoles(t *testing.T, in, who tenancy.Registered, roles ...tenancy.Role) {
	t.Helper()
	if _, err := h.accounts.SetRoles(t.Context(), h.db, tenancy.SetRoles{
		Account: in.Account.ID, User: who.User.ID, Roles: roles, Actor: userOf(in),
	}); err != nil {
		t.Fatal(err)
	}
}

func (h *house) remove(t *testing.T, from, who tenancy.Registered) {
	t.Helper()
	if err := h.accounts.RemoveMember(t.Context(), h.db, tenancy.RemoveMember{Account: from.Account.ID, User: who.User.ID, Actor: userOf(from)}); err != nil {
		t.Fatal(err)
	}
}

// make issues a key as i says, named if it is not.
func (h *house) make(t *testing.T, i authn.Issue) authn.Issued {
	t.Helper()
	if i.Name == "" {
		i.Name = "a key"
	}
	issued, err := h.keys.Issue(t.Context(), h.db, i)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func (h *house) rotate(t *testing.T, r authn.Rotate) authn.Issued {
	t.Helper()
	issued, err := h.keys.Rotate(t.Context(), h.db, r)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func (h *house) secrets(t *testing.T, key authn.Key) []authn.Secret {
	t.Helper()
	secrets, err := h.keys.Secrets(t.Context(), h.db, key.Account, key.ID)
	if err != nil {
		t.Fatal(err)
	}
	return secrets
}

// can is what Can says of p to who holds the key.
func (h *house) can(t *testing.T, key string, p tenancy.Permission, on ...tenancy.Object) error {
	t.Helper()
	ctx, err := h.keys.Verify(t.Context(), h.db, key, 0)
	if err != nil {
		return err
	}
	return h.accounts.Can(ctx, h.db, p, on...)
}

// over answers a request that a key makes.
func over(server http.Handler, key string) *httptest.ResponseRecorder {
	return serve(server, request("GET", "/", "", "X-API-Key", key))
}
