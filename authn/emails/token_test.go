package emails_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/emails"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// Whoever has no token that fits learns nothing.
func TestToken_OneAnswerForEveryOneThatDoesNotFit(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob, moved, erased := h.register(t, "bob@example.com"), h.register(t, "moved@example.com"), h.register(t, "erased@example.com")
		expiredV, expiredR := h.verification(t, bob.User.ID).Token, h.resetToken(t, "bob@example.com").Token
		h.clock.Advance(emails.DefaultVerificationLifetime)
		movedV, movedR := h.verification(t, moved.User.ID).Token, h.resetToken(t, "moved@example.com").Token
		h.exec(t, "UPDATE tenancy_users SET email = 'new@example.com', email_key = 'new@example.com' WHERE user_id = ?", moved.User.ID)
		erasedV, erasedR := h.verification(t, erased.User.ID).Token, h.resetToken(t, "erased@example.com").Token
		h.exec(t, "UPDATE tenancy_users SET email = NULL, email_key = NULL, name = '' WHERE user_id = ?", erased.User.ID)
		replacedV, replacedR := h.verification(t, h.ada.User.ID).Token, h.resetToken(t, "ada@example.com").Token
		openV, openR := h.verification(t, h.ada.User.ID).Token, h.resetToken(t, "ada@example.com").Token

		for _, c := range []struct {
			what                string
			verification, reset emails.Token
			user                tenancy.UserID
		}{
			{"none", "", "", h.ada.User.ID},
			{"a malformed one", "x", "x", h.ada.User.ID},
			{"one with a NUL", openV[:42] + "\x00", openR[:42] + "\x00", h.ada.User.ID},
			{"one with a blank", openV + " ", openR + " ", h.ada.User.ID},
			{"an unknown one", emails.Token(strings.Repeat("0", 43)), emails.Token(strings.Repeat("0", 43)), h.ada.User.ID},
			{"a replaced one", replacedV, replacedR, h.ada.User.ID},
			{"an expired one", expiredV, expiredR, bob.User.ID},
			{"one for the other purpose", openR, openV, h.ada.User.ID},
			{"one for an old address", movedV, movedR, moved.User.ID},
			{"one of who was erased", erasedV, erasedR, erased.User.ID},
		} {
			h.unchanged(t, c.what, func() {
				_, peekedV := h.mails.Peek(t.Context(), h.db, emails.Peek{Kind: emails.KindVerification, Token: c.verification})
				_, peekedR := h.mails.Peek(t.Context(), h.db, emails.Peek{Kind: emails.KindReset, Token: c.reset})
				for _, err := range []error{h.verify(t, c.verification, c.user), h.reset(t, c.reset, newPassword), peekedV, peekedR} {
					if !errors.Is(err, emails.ErrNoToken) || err.Error() != emails.ErrNoToken.Error() {
						t.Errorf("%s: %v", c.what, err)
					}
				}
				err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
					_, err := h.mails.Verify(ctx, tx, emails.Verify{Token: c.verification, User: c.user})
					wantErr(t, c.what+", joined", err, emails.ErrNoToken)
					_, err = h.accounts.User(ctx, tx, h.ada.User.ID)
					return err
				})
				wantErr(t, "the host's transaction", err, nil)
			})
		}
		wantErr(t, "the one that fits", h.verify(t, openV, h.ada.User.ID), nil)
		wantErr(t, "the one that fits", h.reset(t, openR, newPassword), nil)
		for _, err := range []error{h.verify(t, openV, h.ada.User.ID), h.reset(t, openR, oldPassword)} {
			wantErr(t, "a used one", err, emails.ErrNoToken)
		}
	})
}

func TestToken_EndsExactlyAtItsTimeAndPeekUsesNothingUp(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v, r := h.verification(t, h.ada.User.ID), h.resetToken(t, "ADA@example.com")
		if !v.ExpiresAt.Equal(t0.Add(emails.DefaultVerificationLifetime)) || !r.ExpiresAt.Equal(t0.Add(emails.DefaultResetLifetime)) {
			t.Errorf("ends %s, %s", v.ExpiresAt, r.ExpiresAt)
		}
		at := func(end time.Time, issued emails.Issued, want error) {
			t.Helper()
			h.clock.Set(end)
			h.unchanged(t, "peeking", func() {
				p, err := h.mails.Peek(t.Context(), h.db, emails.Peek{Kind: issued.Kind, Token: issued.Token})
				wantErr(t, string(issued.Kind), err, want)
				if shown := (emails.Preview{Kind: issued.Kind, Email: "Ada@example.com", ExpiresAt: issued.ExpiresAt}); err == nil && p != shown {
					t.Errorf("%+v", p)
				}
			})
		}
		at(r.ExpiresAt, r, emails.ErrNoToken)
		wantErr(t, "at its end", h.reset(t, r.Token, newPassword), emails.ErrNoToken)
		at(r.ExpiresAt.Add(-time.Microsecond), r, nil)
		wantErr(t, "just before", h.reset(t, r.Token, newPassword), nil)
		at(v.ExpiresAt, v, emails.ErrNoToken)
		wantErr(t, "at its end", h.verify(t, v.Token, h.ada.User.ID), emails.ErrNoToken)
		at(v.ExpiresAt.Add(-time.Microsecond), v, nil)
		wantErr(t, "just before", h.verify(t, v.Token, h.ada.User.ID), nil)
	})
}

func TestIssue_SoManyMailsInAnHourAndNoMore(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob := h.register(t, "bob@example.com")
		var open emails.Token
		for range 4 { // windows, each begins with the first mail after the last one
			n := 0
			tokens := make([]emails.Token, 20)
			for i, err := range dbtest.Together(20, func(i int) error {
				issued, err := h.mails.IssueReset(t.Context(), h.db, emails.IssueReset{Email: "ada@example.com"})
				tokens[i] = issued.Token
				return err
			}) {
				switch {
				case err == nil:
					n++
					if _, err := h.mails.Peek(t.Context(), h.db, emails.Peek{Kind: emails.KindReset, Token: tokens[i]}); err == nil {
						open = tokens[i]
					}
				case !errors.Is(err, emails.ErrTooMany):
					t.Error(err)
				}
			}
			if n != emails.DefaultMostPerHour {
				t.Errorf("%d mails at once", n)
			}
			h.clock.Advance(20 * time.Minute)
			_, err := h.mails.IssueReset(t.Context(), h.db, emails.IssueReset{Email: "ada@example.com"})
			wantErr(t, "one more", err, emails.ErrTooMany)
			var again problem.Retryable
			if !errors.As(err, &again) || again.RetryAfter() != 40*time.Minute {
				t.Errorf("retry after %v", again)
			}
			// What counts one user's mails of one kind counts no others.
			h.verification(t, h.ada.User.ID)
			h.resetToken(t, "bob@example.com")
			h.clock.Advance(40*time.Minute - time.Microsecond)
			if _, err := h.mails.IssueReset(t.Context(), h.db, emails.IssueReset{Email: "ada@example.com"}); !errors.Is(err, emails.ErrTooMany) {
				t.Errorf("at the end of the hour: %v", err)
			}
			// Nobody is kept out by the mails that others ask for.
			if _, err := h.mails.Peek(t.Context(), h.db, emails.Peek{Kind: emails.KindReset, Token: open}); err != nil {
				t.Errorf("the last of them: %v", err)
			}
			h.clock.Advance(time.Microsecond)
		}
		wantErr(t, "bob's own", h.reset(t, h.resetToken(t, bob.User.Email).Token, newPassword), nil)
	})
}

func TestConfig_BoundsWhatTheHostSays(t *testing.T) {
	db := dbtest.SQLite(t, authn.Migrate)
	h := newHouse(t, db, emails.Config{VerificationLifetime: 1000 * 24 * time.Hour, ResetLifetime: -1, MostPerHour: 1})
	if v := h.verification(t, h.ada.User.ID); !v.ExpiresAt.Equal(t0.Add(emails.MaxLifetime)) {
		t.Errorf("ends %s", v.ExpiresAt)
	}
	if r := h.resetToken(t, "ada@example.com"); !r.ExpiresAt.Equal(t0.Add(emails.DefaultResetLifetime)) {
		t.Errorf("ends %s", r.ExpiresAt)
	}
	_, err := h.mails.IssueReset(t.Context(), h.db, emails.IssueReset{Email: "ada@example.com"})
	wantErr(t, "a second one", err, emails.ErrTooMany)
}

func TestToken_IsShownByStringConversionAlone(t *testing.T) {
	const token = emails.Token("CANARYCANARYCANARYCANARYCANARYCANARYCANARYC")
	issued, reset := emails.Issued{Kind: emails.KindReset, Token: token}, emails.Reset{Token: token, Password: "CANARYCANARY"}
	var said strings.Builder
	for _, v := range []any{token, issued, &issued, reset, &reset, emails.Verify{Token: token}, emails.Message{Token: token}, emails.Peek{Token: token}, struct{ I emails.Issued }{issued}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&said, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&said, nil)).Info("spill", "v", v)
		slog.New(slog.NewJSONHandler(&said, nil)).Info("spill", "v", v)
		_ = json.NewEncoder(&said).Encode(v)
	}
	for _, form := range []string{"CANARY", fmt.Sprintf("%x", "CANARY"), fmt.Sprintf("%X", "CANARY"), strings.Trim(fmt.Sprint([]byte("CANARY")), "[]")} {
		if strings.Contains(said.String(), form) {
			t.Errorf("%s in\n%s", form, said.String())
		}
	}
}
