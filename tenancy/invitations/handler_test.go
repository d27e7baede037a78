package invitations_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/invitations"
)

// serveAs is Handler for one who has entered Ada's account.
func (h *house) serveAs(actor tenancy.Actor, need tenancy.Capability) http.Handler {
	who := func(*http.Request) (tenancy.AccountID, tenancy.Actor, error) { return h.ada.Account.ID, actor, nil }
	return h.accounts.Middleware(h.db, who, need)(h.inv.Handler(h.db))
}

func as(actor tenancy.Actor) tenancy.Authorizer {
	return func(*http.Request) (tenancy.Actor, error) { return actor, nil }
}

func TestM9_Handler_InvitesListsResendsAndRevokes(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		server := h.serveAs(userActor(h.ada.User.ID), tenancy.SignIn)
		status, made := call(t, server, "POST", "/invitations",
			`{"email":"bob@example.com","roles":["editor"],"objects":[{"kind":"site","id":"7","role":"viewer"}],"locale":"pt-BR"}`)
		if status != 201 || made["email"] != "bob@example.com" || made["notified"] != true || len(h.mails) != 1 {
			t.Fatalf("%d %v, %d mails", status, made, len(h.mails))
		}
		mail := h.mails[0]
		if mail.Kind != invitations.KindInvitation || mail.To != "bob@example.com" || mail.Locale != "pt-BR" || mail.AccountName != h.ada.Account.Name ||
			string(mail.Invitation.ID) != made["id"] {
			t.Errorf("mail %+v", mail)
		}
		path := "/invitations/" + made["id"].(string)
		status, again := call(t, server, "POST", path+"/resend", `{}`)
		if status != 200 || again["id"] != made["id"] || again["notified"] != true || len(h.mails) != 2 || h.mails[1].Token == mail.Token {
			t.Errorf("%d %v", status, again)
		}
		for _, answer := range []map[string]any{made, again} {
			if text := fmt.Sprint(answer); strings.Contains(text, string(mail.Token)) || strings.Contains(text, string(h.mails[1].Token)) || answer["token"] != nil {
				t.Errorf("whoever invites sees the token: %s", text)
			}
		}
		call(t, server, "POST", "/invitations", `{"email":"cleo@example.com","roles":["viewer"]}`)
		status, list := call(t, server, "GET", "/invitations?limit=1", "")
		page := list["invitations"].([]any)
		if status != 200 || len(page) != 1 || page[0].(map[string]any)["email"] != "cleo@example.com" || list["next"] == nil {
			t.Errorf("%d %v", status, list)
		}
		_, list = call(t, server, "GET", "/invitations?before="+list["next"].(string), "")
		if page := list["invitations"].([]any); len(page) != 1 || page[0].(map[string]any)["id"] != made["id"] || list["next"] != nil {
			t.Errorf("the last page: %v", list)
		}
		for range 2 {
			if status, gone := call(t, server, "DELETE", path, ""); status != 200 || gone["revoked_at"] == nil {
				t.Errorf("%d %v", status, gone)
			}
		}
		_, open := call(t, server, "GET", "/invitations", "")
		_, all := call(t, server, "GET", "/invitations?all=true", "")
		if len(open["invitations"].([]any)) != 1 || len(all["invitations"].([]any)) != 2 {
			t.Errorf("open %v, all %v", open, all)
		}
	})
}

func TestM9_Handler_DoesNotSayWhichOperatorInvited(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.invitation("bob@example.com")
		v.Actor = operator
		issued, err := h.inv.Invite(t.Context(), h.db, v)
		if err != nil {
			t.Fatal(err)
		}
		server, path := h.serveAs(userActor(h.ada.User.ID), tenancy.SignIn), "/invitations/"+string(issued.Invitation.ID)
		_, list := call(t, server, "GET", "/invitations", "")
		_, revoked := call(t, server, "DELETE", path, "")
		for _, answer := range []any{list, revoked} {
			if text := fmt.Sprint(answer); strings.Contains(text, operator.ID) || !strings.Contains(text, "kind:operator") {
				t.Error(text)
			}
		}
	})
}

func TestM9_Handler_Refusals(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob := h.user(t, "bob@example.com")
		h.addMember(t, bob, tenancy.RoleEditor)
		path := "/invitations/" + string(h.invite(t, "open@example.com").Invitation.ID)
		owner, editor := userActor(h.ada.User.ID), userActor(bob)
		key := tenancy.Actor{Kind: tenancy.ActorKey, ID: "key_1"}
		good := `{"email":"new@example.com","roles":["viewer"]}`
		for _, c := range []struct {
			what               string
			actor              tenancy.Actor
			need               tenancy.Capability
			method, path, body string
			status             int
			code               string
		}{
			{"an editor lists", editor, tenancy.SignIn, "GET", "/invitations", "", 403, "forbidden"},
			{"an editor invites", editor, tenancy.SignIn, "POST", "/invitations", good, 403, "forbidden"},
			{"an editor sends again", editor, tenancy.SignIn, "POST", path + "/resend", `{}`, 403, "forbidden"},
			{"an editor revokes", editor, tenancy.SignIn, "DELETE", path, "", 403, "forbidden"},
			{"a key lists", key, tenancy.Use, "GET", "/invitations", "", 403, "forbidden"},
			{"a key invites", key, tenancy.Use, "POST", "/invitations", good, 403, "forbidden"},
			{"entered without signing in", owner, tenancy.Use, "GET", "/invitations", "", 403, "forbidden"},
			{"an odd limit", owner, tenancy.SignIn, "GET", "/invitations?limit=0", "", 422, "invalid"},
			{"an odd all", owner, tenancy.SignIn, "GET", "/invitations?all=1", "", 422, "invalid"},
			{"no address", owner, tenancy.SignIn, "POST", "/invitations", `{"roles":["viewer"]}`, 422, "invalid"},
			{"an actor in the body", owner, tenancy.SignIn, "POST", "/invitations", `{"email":"new@example.com","roles":["viewer"],"actor":{}}`, 422, "invalid_body"},
			{"an odd locale", owner, tenancy.SignIn, "POST", "/invitations", `{"email":"new@example.com","roles":["viewer"],"locale":"de\r\nBcc: x"}`, 422, "invalid"},
			{"a long locale", owner, tenancy.SignIn, "POST", path + "/resend", `{"locale":"` + strings.Repeat("a", 36) + `"}`, 422, "invalid"},
			{"twice", owner, tenancy.SignIn, "POST", "/invitations", `{"email":"open@example.com","roles":["viewer"]}`, 409, "already_invited"},
			{"an unknown one", owner, tenancy.SignIn, "POST", "/invitations/inv_none/resend", `{}`, 404, "no_invitation"},
			{"an odd one", owner, tenancy.SignIn, "DELETE", "/invitations/%00%ff", "", 404, "no_invitation"},
		} {
			h.unchanged(t, c.what, func() {
				status, answer := call(t, h.serveAs(c.actor, c.need), c.method, c.path, c.body)
				if status != c.status || answer["code"] != c.code {
					t.Errorf("%s: %d %v, want %d %s", c.what, status, answer, c.status, c.code)
				}
			})
		}
		if len(h.mails) != 0 {
			t.Errorf("refused, and %d mails", len(h.mails))
		}
	})
}

func TestM9_Handler_AMailThatFailsIsSaidAndLeavesNoAddressInTheLog(t *testing.T) {
	var logged strings.Builder
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, nil)))
	defer slog.SetDefault(old)
	h := newHouse(t, dbtest.SQLite(t, tenancy.Migrate), invitations.Config{Notify: func(ctx context.Context, m invitations.Message) error {
		if _, bounded := ctx.Deadline(); !bounded || ctx.Err() != nil {
			return fmt.Errorf("the context is not as promised")
		}
		return errors.New("550 no such mailbox " + m.To + " " + string(m.Token))
	}})
	status, made := call(t, h.serveAs(userActor(h.ada.User.ID), tenancy.SignIn), "POST", "/invitations", `{"email":"bob@example.com","roles":["viewer"]}`)
	if status != 201 || made["notified"] != false || len(h.list(t, false)) != 1 {
		t.Errorf("%d %v", status, made)
	}
	if s := logged.String(); !strings.Contains(s, made["id"].(string)) || strings.Contains(s, "bob") || strings.Contains(s, "550") {
		t.Errorf("logged %s", s)
	}
}

func TestHandler_WithoutNotifyDoesNotStart(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it was mounted")
		}
	}()
	invitations.New(tenancy.New(tenancy.Config{}), invitations.Config{}).Handler(nil)
}

func TestM9_Public_ShowsAndAcceptsByPostAlone(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued := h.invite(t, "bob@example.com")
		body := `{"token":"` + string(issued.Token) + `"}`
		bob := h.user(t, "bob@example.com")
		nobody := h.inv.Public(h.db, func(*http.Request) (tenancy.Actor, error) { return tenancy.Actor{}, authn.ErrNoCredential })
		server := h.inv.Public(h.db, as(userActor(bob)))
		h.unchanged(t, "looking", func() {
			status, p := call(t, nobody, "POST", "/invitations/peek", body)
			want := map[string]any{
				"account": string(h.ada.Account.ID), "account_name": "ada@example.com", "email": "b•••@example.com", "has_user": true,
				"roles": []any{"editor"}, "objects": []any{}, "expires_at": "2026-03-08T09:00:00.123456Z",
			}
			if d := cmp.Diff(want, p); d != "" || status != 200 {
				t.Errorf("%d (-want +got):\n%s", status, d)
			}
			for _, path := range []string{"/invitations/accept", "/invitations/peek", "/invitations/accept?token=" + string(issued.Token)} {
				for _, method := range []string{"GET", "PUT"} {
					if status, answer := call(t, server, method, path, body); status != 405 {
						t.Errorf("%s %s: %d %v", method, path, status, answer)
					}
				}
			}
			for _, c := range []struct {
				what, path, body string
				h                http.Handler
				status           int
				code             string
			}{
				{"nobody", "/invitations/accept", body, nobody, 401, "missing_credential"},
				{"an operator", "/invitations/accept", body, h.inv.Public(h.db, as(operator)), 403, "forbidden"},
				{"a key", "/invitations/accept", body, h.inv.Public(h.db, as(tenancy.Actor{Kind: tenancy.ActorKey, ID: string(bob)})), 403, "forbidden"},
				{"the inviter", "/invitations/accept", body, h.inv.Public(h.db, as(userActor(h.ada.User.ID))), 404, "no_invitation"},
				{"no token", "/invitations/accept", `{}`, server, 404, "no_invitation"},
				{"no token to look at", "/invitations/peek", `{}`, server, 404, "no_invitation"},
				{"a user in the body", "/invitations/accept", `{"token":"x","user":"usr_1"}`, server, 422, "invalid_body"},
			} {
				if status, answer := call(t, c.h, "POST", c.path, c.body); status != c.status || answer["code"] != c.code {
					t.Errorf("%s: %d %v, want %d %s", c.what, status, answer, c.status, c.code)
				}
			}
		})
		status, m := call(t, server, "POST", "/invitations/accept", body)
		if status != 200 || m["account"] != string(h.ada.Account.ID) || m["user"] != string(bob) || cmp.Diff([]any{"editor"}, m["roles"]) != "" {
			t.Errorf("%d %v", status, m)
		}
		if status, again := call(t, server, "POST", "/invitations/accept", body); status != 409 || again["code"] != "member_exists" {
			t.Errorf("again: %d %v", status, again)
		}
	})
}

func TestM9_SignUp_TakesANewUserWithAPassword(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		h := newHouse(t, db, invitations.Config{})
		passwords := authn.NewPasswords(h.accounts, authn.PasswordConfig{Now: h.clock.Now})
		hashed := 0
		server := h.inv.SignUp(db, func(ctx context.Context, r tenancy.Register, password string) (tenancy.Register, error) {
			hashed++
			return passwords.Prepare(ctx, r, password)
		})
		issued := h.invite(t, "bob@example.com")
		body := func(token, name, password string) string {
			return fmt.Sprintf(`{"token":%q,"name":%q,"password":%q}`, token, name, password)
		}
		const password = "correct horse battery"
		h.unchanged(t, "the refusals", func() {
			for _, c := range []struct {
				what, body string
				status     int
				code       string
			}{
				{"an unknown token", body(strings.Repeat("0", 43), "Bob", password), 404, "no_invitation"},
				{"an address of one's own", `{"token":"x","email":"eve@example.com"}`, 422, "invalid_body"},
				{"a weak password", body(string(issued.Token), "Bob", "bob@example.com"), 422, "weak_password"},
				{"no name", body(string(issued.Token), "", password), 422, "invalid"},
			} {
				if status, answer := call(t, server, "POST", "/", c.body); status != c.status || answer["code"] != c.code {
					t.Errorf("%s: %d %v, want %d %s", c.what, status, answer, c.status, c.code)
				}
			}
			if hashed != 1 { // the weak one, which was not
				t.Errorf("hashed %d times: a password is hashed only for an open invitation", hashed)
			}
		})
		status, made := call(t, server, "POST", "/", body(string(issued.Token), "Bob", password))
		user, _ := made["user"].(map[string]any)
		if status != 201 || user["email"] != "bob@example.com" {
			t.Fatalf("%d %v", status, made)
		}
		if in, err := passwords.SignIn(t.Context(), db, authn.SignIn{Email: "bob@example.com", Password: password}); err != nil || string(in.ID) != user["id"] {
			t.Errorf("signing in: %+v, %v", in, err)
		}
		if account, err := h.accounts.AccountOf(t.Context(), db, tenancy.UserID(user["id"].(string)), ""); account != h.ada.Account.ID || err != nil {
			t.Errorf("acts for %s, %v", account, err)
		}
		cleo := h.invite(t, "cleo@example.com")
		h.user(t, "cleo@example.com")
		if status, answer := call(t, server, "POST", "/", body(string(cleo.Token), "Cleo", password)); status != 409 || answer["code"] != "email_taken" {
			t.Errorf("a user: %d %v", status, answer)
		}
		if hashed != 2 {
			t.Errorf("hashed %d times", hashed)
		}
	}, authn.Migrate)
}

// The endpoints stand beside one another as doc.go mounts them.
func TestM9_Endpoints_StandBesideOneAnother(t *testing.T) {
	h := newHouse(t, dbtest.SQLite(t, authn.Migrate), invitations.Config{})
	bob := h.user(t, "bob@example.com")
	members := h.serveAs(userActor(h.ada.User.ID), tenancy.SignIn)
	mux := http.NewServeMux()
	mux.Handle("/invitations", members)
	mux.Handle("/invitations/", members)
	mux.Handle("POST /invitations/peek", h.inv.Public(h.db, as(userActor(bob))))
	mux.Handle("POST /invitations/accept", h.inv.Public(h.db, as(userActor(bob))))
	mux.Handle("POST /invitations/sign-up", h.inv.SignUp(h.db, authn.NewPasswords(h.accounts, authn.PasswordConfig{}).Prepare))
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/invitations", `{"email":"bob@example.com","roles":["viewer"]}`, 201},
		{"POST", "/invitations", `{"email":"cleo@example.com","roles":["viewer"]}`, 201},
		{"GET", "/invitations", "", 200},
		{"POST", "/invitations/{bob}/resend", `{}`, 200},
		{"POST", "/invitations/peek", `{"token":"{bob's}"}`, 200},
		{"POST", "/invitations/accept", `{"token":"{bob's}"}`, 200},
		{"POST", "/invitations/sign-up", `{"token":"{cleo's}","name":"Cleo","password":"correct horse battery"}`, 201},
		{"DELETE", "/invitations/{bob}", "", 404},
		{"GET", "/invitations/accept", "", 405},
	} {
		fill := strings.NewReplacer()
		if len(h.mails) > 1 {
			bobs := h.mails[0]
			if len(h.mails) > 2 {
				bobs = h.mails[2]
			}
			fill = strings.NewReplacer("{bob}", string(bobs.Invitation.ID), "{bob's}", string(bobs.Token), "{cleo's}", string(h.mails[1].Token))
		}
		if status, answer := call(t, mux, c.method, fill.Replace(c.path), fill.Replace(c.body)); status != c.status {
			t.Errorf("%s %s: %d %v, want %d", c.method, c.path, status, answer, c.status)
		}
	}
}
