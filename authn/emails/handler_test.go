package emails_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quitrent/quitrent/authn/emails"
	"github.com/quitrent/quitrent/tenancy"
)

func TestHandler_TheWholeWay(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		handler := h.mails.Handler(h.db, as(userOf(h.ada)))
		step := func(path, body string, code int, want map[string]any) {
			t.Helper()
			got, answer := call(t, handler, "POST", path, body)
			if d := cmp.Diff(want, answer); got != code || d != "" {
				t.Errorf("%s: %d (-want +got):\n%s", path, got, d)
			}
		}
		user := map[string]any{
			"id": string(h.ada.User.ID), "email": "Ada@example.com", "name": "Somebody",
			"created_at": "2026-03-01T09:00:00.123456Z", "verified_at": "2026-03-01T09:00:00.123456Z",
		}
		step("/emails/verification", `{"locale":"de"}`, 202, map[string]any{"notified": true})
		token := string(h.mailbox(t)[0].Token)
		for range 2 {
			step("/emails/verification/peek", `{"token":"`+token+`"}`, 200,
				map[string]any{"kind": "email_verification", "email": "A•••@example.com", "expires_at": "2026-03-03T09:00:00.123456Z"})
		}
		step("/emails/verification/confirm", `{"token":"`+token+`"}`, 200, user)
		if code, answer := call(t, handler, "POST", "/emails/verification", `{}`); code != 409 || answer["code"] != "already_verified" {
			t.Errorf("%d %v", code, answer)
		}

		step("/emails/reset", `{"email":"ada@example.com"}`, 202, map[string]any{"accepted": true})
		token = string(h.mailbox(t)[0].Token)
		step("/emails/reset/peek", `{"token":"`+token+`"}`, 200,
			map[string]any{"kind": "password_reset", "email": "A•••@example.com", "expires_at": "2026-03-01T10:00:00.123456Z"})
		if code, answer := call(t, handler, "POST", "/emails/reset/confirm", `{"token":"`+token+`","password":"short"}`); code != 422 || answer["code"] != "weak_password" {
			t.Errorf("%d %v", code, answer)
		}
		step("/emails/reset/confirm", `{"token":"`+token+`","password":"`+newPassword+`"}`, 200, user)
		wantErr(t, "the new password", h.signIn(t, "ada@example.com", newPassword), nil)
	})
}

func TestHandler_Refusals(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		operator := tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}
		nobody := tenancy.Authorizer(func(*http.Request) (tenancy.Actor, error) { return tenancy.Actor{}, tenancy.ErrNoUser })
		verification, reset := string(h.verification(t, h.ada.User.ID).Token), string(h.resetToken(t, "ada@example.com").Token)
		for range emails.DefaultMostPerHour - 1 {
			verification = string(h.verification(t, h.ada.User.ID).Token)
		}
		bob := h.register(t, "bob@example.com")
		h.unchanged(t, "the refusals", func() {
			for _, c := range []struct {
				what         string
				who          tenancy.Authorizer
				method, path string
				body         string
				status       int
				code         string
			}{
				{"nobody asks", nobody, "POST", "/emails/verification", `{}`, 404, "no_user"},
				{"no user asks", as(operator), "POST", "/emails/verification", `{}`, 403, "forbidden"},
				{"too often", as(userOf(h.ada)), "POST", "/emails/verification", `{}`, 429, "too_many_mails"},
				{"an odd locale", as(userOf(bob)), "POST", "/emails/verification", `{"locale":"de\r\nBcc: x"}`, 422, "invalid"},
				{"an address with it", as(userOf(bob)), "POST", "/emails/verification", `{"email":"ada@example.com"}`, 422, "invalid_body"},
				{"nobody confirms", nobody, "POST", "/emails/verification/confirm", `{"token":"` + verification + `"}`, 404, "no_user"},
				{"no user confirms", as(operator), "POST", "/emails/verification/confirm", `{"token":"` + verification + `"}`, 403, "forbidden"},
				{"another confirms", as(userOf(bob)), "POST", "/emails/verification/confirm", `{"token":"` + verification + `"}`, 404, "no_token"},
				{"the other kind", as(userOf(h.ada)), "POST", "/emails/verification/confirm", `{"token":"` + reset + `"}`, 404, "no_token"},
				{"the other kind, peeked", nobody, "POST", "/emails/verification/peek", `{"token":"` + reset + `"}`, 404, "no_token"},
				{"the other kind, to reset", nobody, "POST", "/emails/reset/confirm", `{"token":"` + verification + `","password":"` + newPassword + `"}`, 404, "no_token"},
				{"no token", nobody, "POST", "/emails/reset/peek", `{}`, 404, "no_token"},
				{"no body", nobody, "POST", "/emails/reset/peek", ``, 422, "invalid_body"},
				{"a mail scanner", nobody, "GET", "/emails/reset/confirm", ``, 405, "method_not_allowed"},
				{"a mail scanner", nobody, "GET", "/emails/verification/confirm", ``, 405, "method_not_allowed"},
			} {
				status, answer := call(t, h.mails.Handler(h.db, c.who), c.method, c.path, c.body)
				if status != c.status || answer["code"] != c.code {
					t.Errorf("%s: %d %v", c.what, status, answer)
				}
			}
		})
		if sent := h.mailbox(t); len(sent) != 0 {
			t.Errorf("%d mails", len(sent))
		}
	})
}
