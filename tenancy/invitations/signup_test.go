package invitations_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/invitations"
)

func signUpBody(token invitations.Token, name string) string {
	return fmt.Sprintf(`{"token":%q,"name":%q,"password":"tall green giraffes"}`, string(token), name)
}

// post is call for many goroutines.
func post(h http.Handler, body string) int {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// An open invitation whose token is never used up would buy hashes without end.
func TestM9_SignUp_WhoWouldBeRefusedHasNothingHashed(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		hashed := 0
		server := h.inv.SignUp(h.db, func(_ context.Context, r tenancy.Register, _ string) (tenancy.Register, error) {
			hashed++
			return r, nil
		})
		refused := func(what string, token invitations.Token, name string, status int, code string) {
			t.Helper()
			if got, answer := call(t, server, "POST", "/", signUpBody(token, name)); got != status || answer["code"] != code {
				t.Errorf("%s: %d %v, want %d %s", what, got, answer, status, code)
			}
		}
		issued := h.invite(t, "new@example.com")
		for _, name := range []string{"", " ", "\u200b", strings.Repeat("a", 201)} {
			refused("a bad name", issued.Token, name, 422, "invalid")
		}
		taken := h.invite(t, "bob@example.com")
		cleo := h.user(t, "cleo@example.com")
		h.addMember(t, cleo, tenancy.RoleAdmin)
		i := h.invitation("dan@example.com")
		i.Actor = userActor(cleo)
		cleos, err := h.inv.Invite(t.Context(), h.db, i)
		if err != nil {
			t.Fatal(err)
		}
		h.removeMember(t, cleo)
		h.user(t, "bob@example.com")
		refused("a user", taken.Token, "Bob", 409, "email_taken")
		refused("an inviter who left", cleos.Token, "Dan", 409, "invitation_void")
		h.move(t, tenancy.Change{Status: tenancy.StatusSuspended})
		refused("an account that may not write", issued.Token, "New", 403, "account_suspended")
		if hashed != 0 {
			t.Errorf("%d passwords were hashed", hashed)
		}
	})
}

func TestM9_SignUp_AFullAccountHasNothingHashed(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		hashed := 0
		server := h.inv.SignUp(h.db, func(_ context.Context, r tenancy.Register, _ string) (tenancy.Register, error) {
			hashed++
			return r, nil
		})
		h.move(t, tenancy.Change{Status: tenancy.StatusActive, Plan: "starter"}) // 2 users
		first, second := h.invite(t, "first@example.com"), h.invite(t, "second@example.com")
		for i, token := range []invitations.Token{first.Token, second.Token} {
			want := []int{201, 402}[i]
			if code, answer := call(t, server, "POST", "/", signUpBody(token, "New")); code != want {
				t.Errorf("%d %v, want %d", code, answer, want)
			}
		}
		if hashed != 1 {
			t.Errorf("%d passwords were hashed, one was stored", hashed)
		}
	})
}

// Of many at once with one token one comes in, and no other has a password hashed.
func TestM9_SignUp_OneTokenIsHashedForOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		token := h.invite(t, "new@example.com").Token
		var hashed, made atomic.Int64
		server := h.inv.SignUp(h.db, func(_ context.Context, r tenancy.Register, _ string) (tenancy.Register, error) {
			hashed.Add(1)
			return r, nil
		})
		err := errors.Join(dbtest.Together(20, func(int) error {
			switch code := post(server, signUpBody(token, "New")); code {
			case 201:
				made.Add(1)
			case 404:
			default:
				return fmt.Errorf("%d", code)
			}
			return nil
		})...)
		if err != nil || made.Load() != 1 || hashed.Load() != 1 {
			t.Errorf("%v; %d made, %d hashed", err, made.Load(), hashed.Load())
		}
	})
}

func TestM9_SignUp_AsksMaySignUpFirst(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		tooMany := problem.New(429, "too_many_attempts", "wait")
		left := 2
		h := newHouse(t, db, invitations.Config{MaySignUp: func(r *http.Request) error {
			if r.URL.Path != "/" {
				t.Errorf("asked about %s", r.URL)
			}
			if left--; left < 0 {
				return tooMany
			}
			return nil
		}})
		token := h.invite(t, "new@example.com").Token
		server := h.inv.SignUp(db, func(_ context.Context, r tenancy.Register, _ string) (tenancy.Register, error) { return r, nil })
		for _, want := range []int{404, 422, 429} {
			body := signUpBody(token, "New")
			switch want {
			case 404:
				body = signUpBody("x", "New")
			case 422:
				body = signUpBody(token, "")
			}
			if code := post(server, body); code != want {
				t.Errorf("%d, want %d", code, want)
			}
		}
		left = 1
		if code := post(server, signUpBody(token, "New")); code != 201 {
			t.Error(code)
		}
	}, tenancy.Migrate)
}
