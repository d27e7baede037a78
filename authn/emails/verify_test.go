package emails_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/emails"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestVerify_MarksTheAddressAndIsAudited(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		if err := h.mails.SendVerification(t.Context(), h.db, emails.SendVerification{User: h.ada.User.ID, Locale: "de"}); err != nil {
			t.Fatal(err)
		}
		sent := h.mailbox(t)
		want := []emails.Message{{
			Kind: emails.KindVerification, To: "Ada@example.com", Locale: "de", User: h.ada.User, ExpiresAt: t0.Add(emails.DefaultVerificationLifetime),
		}}
		if d := cmp.Diff(want, sent, cmpopts.IgnoreFields(emails.Message{}, "Token")); d != "" {
			t.Fatalf("mail (-want +got):\n%s", d)
		}
		h.clock.Advance(time.Minute)
		got, err := h.mails.Verify(t.Context(), h.db, emails.Verify{Token: sent[0].Token, User: h.ada.User.ID})
		verified := h.ada.User
		verified.VerifiedAt = t0.Add(time.Minute)
		if got != verified || err != nil {
			t.Errorf("%+v, %v", got, err)
		}
		lines := []tenancy.Audit{{
			At: t0.Add(time.Minute), Actor: userOf(h.ada), Action: "tenancy.verify_email", Target: string(h.ada.User.ID), Reason: "a token came by mail", Data: []byte("{}"),
		}}
		if d := cmp.Diff(lines, h.lines(t, "tenancy.verify_email"), cmpopts.IgnoreFields(tenancy.Audit{}, "ID")); d != "" {
			t.Errorf("audit (-want +got):\n%s", d)
		}
		h.unchanged(t, "again", func() {
			wantErr(t, "the token again", h.verify(t, sent[0].Token, h.ada.User.ID), emails.ErrNoToken)
			_, err := h.mails.IssueVerification(t.Context(), h.db, emails.IssueVerification{User: h.ada.User.ID})
			wantErr(t, "another token", err, emails.ErrVerified)
			_, err = h.mails.IssueVerification(t.Context(), h.db, emails.IssueVerification{User: "usr_none"})
			wantErr(t, "nobody's", err, tenancy.ErrNoUser)
		})
	})
}

// Whoever gets a mail since a stranger signed up with their address, and follows the
// link, verifies nothing for the stranger.
func TestVerify_IsForTheUserWhoIsSignedIn(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob := h.register(t, "bob@example.com")
		token := h.verification(t, h.ada.User.ID).Token
		h.unchanged(t, "the refusals", func() {
			for _, user := range []tenancy.UserID{bob.User.ID, "", "usr_none", "usr_\x00"} {
				wantErr(t, string(user), h.verify(t, token, user), emails.ErrNoToken)
			}
		})
		wantErr(t, "hers", h.verify(t, token, h.ada.User.ID), nil)
	})
}

func TestSendVerification_ErrorsOfTheMailServerComeBack(t *testing.T) {
	boom := errors.New("boom")
	h := newHouse(t, dbtest.SQLite(t, authn.Migrate), emails.Config{Notify: func(context.Context, emails.Message) error { return boom }})
	wantErr(t, "sending", h.mails.SendVerification(t.Context(), h.db, emails.SendVerification{User: h.ada.User.ID}), boom)
	wantErr(t, "an odd locale", h.mails.SendVerification(t.Context(), h.db, emails.SendVerification{User: h.ada.User.ID, Locale: "de\r\nBcc: x"}), tenancy.ErrInvalid)
	if code, answer := call(t, h.mails.Handler(h.db, as(userOf(h.ada))), "POST", "/emails/verification", `{}`); code != 202 || answer["notified"] != false {
		t.Errorf("%d %v", code, answer)
	}
}

func TestRequire_LetsVerifiedUsersThroughAndWhoHasNoAddress(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob := h.register(t, "bob@example.com")
		wantErr(t, "ada", h.verify(t, h.verification(t, h.ada.User.ID).Token, h.ada.User.ID), nil)
		key := tenancy.Actor{Kind: tenancy.ActorKey, ID: "000000000000"}
		for what, c := range map[string]struct {
			actor      tenancy.Actor
			delegation *tenancy.Delegation
			want       int
		}{
			"verified":         {userOf(h.ada), nil, 200},
			"not verified":     {userOf(bob), nil, 403},
			"nobody":           {tenancy.Actor{Kind: tenancy.ActorUser, ID: "usr_none"}, nil, 404},
			"a key of ada's":   {key, &tenancy.Delegation{User: h.ada.User.ID}, 200},
			"a key of bob's":   {key, &tenancy.Delegation{User: bob.User.ID}, 403},
			"a token of bob's": {userOf(h.ada), &tenancy.Delegation{User: bob.User.ID}, 403},
			"a service's key":  {key, &tenancy.Delegation{}, 200},
			"an operator":      {tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}, nil, 200},
		} {
			ctx, err := h.accounts.EnterAs(t.Context(), h.db, tenancy.Principal{Account: h.ada.Account.ID, Actor: c.actor, Delegation: c.delegation}, tenancy.Use)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			h.mails.Require(h.db)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/", nil))
			if w.Code != c.want {
				t.Errorf("%s: %d %s", what, w.Code, w.Body)
			}
		}
	})
}

// The manual's way to send the first mail: the event of the sign-up, which is
// delivered at least once.
func TestSendVerification_ByTheEventOfASignUp(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		fact := tenancytest.RequireEvent[tenancy.AccountRegistered](t, h.db, h.ada.Account.ID)
		for range 2 {
			wantErr(t, "sending", h.mails.SendVerification(t.Context(), h.db, emails.SendVerification{User: fact.User}), nil)
		}
		sent := h.mailbox(t)
		wantErr(t, "the first mail", h.verify(t, sent[0].Token, fact.User), emails.ErrNoToken)
		wantErr(t, "the second mail", h.verify(t, sent[1].Token, fact.User), nil)
		wantErr(t, "delivered late", h.mails.SendVerification(t.Context(), h.db, emails.SendVerification{User: fact.User}), emails.ErrVerified)
	})
}

func TestVerify_JoinsTheHostsTransaction(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		token, boom := h.verification(t, h.ada.User.ID).Token, errors.New("boom")
		h.unchanged(t, "what was rolled back", func() {
			wantErr(t, "rolling back", h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
				_, err := h.mails.Verify(ctx, tx, emails.Verify{Token: token, User: h.ada.User.ID})
				wantErr(t, "verifying", err, nil)
				return boom
			}), boom)
		})
		wantErr(t, "afterwards", h.verify(t, token, h.ada.User.ID), nil)
	})
}
