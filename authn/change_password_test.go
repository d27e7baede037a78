package authn_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

const nextPassword = "short blue elephants"

// change is of the user, from a network address, by its last number.
func (h *house) change(t *testing.T, user tenancy.UserID, addr int, current, next string) error {
	t.Helper()
	_, err := h.passwords.Change(t.Context(), h.db, authn.ChangePassword{User: user, Current: current, Password: next, Addr: place(addr)})
	return err
}

func TestChange_TakesTheCurrentPasswordAndSaysWho(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		epoch := func() int64 {
			n, err := h.accounts.Epoch(t.Context(), h.db, r.User.ID.Subject())
			wantErr(t, "epoch", err, nil)
			return n
		}
		before := epoch()
		user, err := h.passwords.Change(t.Context(), h.db, authn.ChangePassword{User: r.User.ID, Current: goodPassword, Password: nextPassword})
		if err != nil || user.ID != r.User.ID || user.Email != "ada@example.com" {
			t.Fatalf("%+v, %v", user, err)
		}
		wantErr(t, "the old one", h.signIn(t, "ada@example.com", goodPassword), authn.ErrBadCredential)
		wantErr(t, "the new one", h.signIn(t, "ada@example.com", nextPassword), nil)
		if epoch() == before {
			t.Error("the user's tokens go on")
		}
		lines, err := h.accounts.Audits(t.Context(), h.db, tenancy.AuditLog{Limit: 1})
		want := tenancy.Audit{At: t0, Actor: userOf(r), Action: "authn.change_password", Target: string(r.User.ID)}
		if err != nil || len(lines) != 1 {
			t.Fatalf("%v, %v", lines, err)
		}
		lines[0].ID, lines[0].Data = want.ID, nil
		if d := cmp.Diff(want, lines[0]); d != "" {
			t.Errorf("the audit log (-want +got):\n%s", d)
		}
	})
}

func TestChange_Refuses(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		without, err := h.accounts.CreateUser(t.Context(), h.db, tenancy.CreateUser{Email: "bob@example.com", Name: "Bob"})
		wantErr(t, "a user", err, nil)
		boom := errors.New("boom")
		for _, c := range []struct {
			what          string
			user          tenancy.UserID
			current, next string
			then, want    error
		}{
			{"a wrong one", r.User.ID, "wrong password", nextPassword, nil, authn.ErrWrongPassword},
			{"none", r.User.ID, "", nextPassword, nil, authn.ErrWrongPassword},
			{"no text", r.User.ID, "\xff", nextPassword, nil, authn.ErrWrongPassword},
			{"a very long one", r.User.ID, strings.Repeat("x", 2000), nextPassword, nil, authn.ErrWrongPassword},
			{"a user without a password", without.ID, goodPassword, nextPassword, nil, authn.ErrWrongPassword},
			{"a user without a password, and none", without.ID, "", nextPassword, nil, authn.ErrWrongPassword},
			{"a weak one", r.User.ID, goodPassword, "password123", nil, authn.ErrWeakPassword},
			{"the address", r.User.ID, goodPassword, "ada@example.com", nil, authn.ErrWeakPassword},
			{"the same one", r.User.ID, goodPassword, goodPassword, nil, authn.ErrWeakPassword},
			{"nobody", "usr_none", goodPassword, nextPassword, nil, tenancy.ErrNoUser},
			{"Then fails", r.User.ID, goodPassword, nextPassword, boom, boom},
		} {
			h.unchanged(t, c.what, func() {
				_, err := h.passwords.Change(t.Context(), h.db, authn.ChangePassword{
					User: c.user, Current: c.current, Password: c.next,
					Then: func(context.Context, bun.IDB, tenancy.User) error {
						if c.then == nil {
							t.Errorf("%s: what follows was done", c.what)
						}
						return c.then
					},
				})
				wantErr(t, c.what, err, c.want)
			})
		}
		wantErr(t, "the password", h.signIn(t, "ada@example.com", goodPassword), nil)
		err = h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			_, err := h.passwords.Change(ctx, tx, authn.ChangePassword{User: r.User.ID, Current: goodPassword, Password: nextPassword})
			if err == nil || !strings.Contains(err.Error(), "outside of transactions") {
				t.Errorf("in a transaction: %v", err)
			}
			return nil
		})
		wantErr(t, "the transaction", err, nil)
	})
}

// A page that is left open is no way to try passwords: they are counted with those of
// signing in, and what comes too often is not hashed.
func TestChange_IsCountedLikeSigningIn(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		wantErr(t, "at home", h.from(t, 1, "ada@example.com", goodPassword), nil)
		for range 100 {
			wantErr(t, "weak ones", h.change(t, r.User.ID, 1, goodPassword, "password123"), authn.ErrWeakPassword)
		}
		for range 100 {
			wantErr(t, "the same one", h.change(t, r.User.ID, 1, goodPassword, goodPassword), authn.ErrWeakPassword)
			h.clock.Advance(time.Second)
		}
		outdated := problem.New(401, "test", "its session is over")
		for range 20 {
			_, err := h.passwords.Change(t.Context(), h.db, authn.ChangePassword{
				User: r.User.ID, Current: goodPassword, Password: nextPassword, Addr: place(1),
				Then: func(context.Context, bun.IDB, tenancy.User) error {
					return errors.Join(authn.ErrBadCredential, outdated)
				},
			})
			wantErr(t, "what follows is refused", err, outdated)
		}
		for range 5 {
			wantErr(t, "a wrong one", h.change(t, r.User.ID, 1, "wrong password", nextPassword), authn.ErrWrongPassword)
			wantErr(t, "a wrong one, signing in", h.from(t, 1, "ada@example.com", "wrong password"), authn.ErrBadCredential)
		}
		before := h.computed()
		wantErr(t, "the eleventh", h.change(t, r.User.ID, 1, goodPassword, nextPassword), authn.ErrTooManyAttempts)
		wantErr(t, "signing in", h.from(t, 1, "ada@example.com", goodPassword), authn.ErrTooManyAttempts)
		if n := h.computed() - before; n != 0 {
			t.Errorf("refusals cost %d hashes", n)
		}
		h.clock.Advance(time.Minute)
		wantErr(t, "a minute later", h.change(t, r.User.ID, 1, goodPassword, nextPassword), nil)
	})
}

// Whoever is changing a password while another one is set changes nothing: it was known
// to others. A sign-in that makes the hash stronger is in nobody's way.
func TestChange_ThePasswordThatCountsIsTheStoredOne(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		other := authn.NewPasswords(h.accounts, authn.PasswordConfig{Now: h.clock.Now})
		authn.Quick(other)
		set := func(password string) func() {
			return func() {
				wantErr(t, "set", other.Set(t.Context(), h.db, authn.SetPassword{User: r.User.ID, Actor: userOf(r), Password: password}), nil)
			}
		}
		authn.During(h.passwords, set("large green lizards"))
		wantErr(t, "another one is set", h.change(t, r.User.ID, 1, goodPassword, nextPassword), authn.ErrWrongPassword)
		wantErr(t, "that one", h.signIn(t, "ada@example.com", "large green lizards"), nil)
		authn.During(h.passwords, set("large green lizards"))
		wantErr(t, "hashed anew", h.change(t, r.User.ID, 1, "large green lizards", nextPassword), nil)
		wantErr(t, "the new one", h.signIn(t, "ada@example.com", nextPassword), nil)
	})
}

func TestChange_OfTwoAtOnceOneCounts(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		n := together(t, 6, authn.ErrWrongPassword, func(i int) error {
			return h.change(t, r.User.ID, i, goodPassword, nextPassword+string(rune('a'+i)))
		})
		if n != 1 {
			t.Errorf("%d counted", n)
		}
	})
}

// A link to set the password, which somebody else may have asked for, ends.
func TestChange_EndsTheLinksForAReset(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		h.exec(t, `INSERT INTO authn_email_tokens (user_id, kind, token_hash, email_key, expires_at, since, issued) VALUES (?, 'password_reset', 'x', 'ada@example.com', ?, ?, 1)`,
			r.User.ID, t0.Add(time.Hour), t0)
		wantErr(t, "change", h.change(t, r.User.ID, 1, goodPassword, nextPassword), nil)
		var left int
		if err := h.db.NewRaw("SELECT COUNT(*) FROM authn_email_tokens WHERE token_hash IS NOT NULL").Scan(t.Context(), &left); err != nil || left != 0 {
			t.Errorf("%d links are left, %v", left, err)
		}
	})
}
