package sessions_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/sessions"
	"github.com/quitrent/quitrent/internal/dbtest"
)

const (
	nextPassword = "short blue elephants"
	newPassword  = `{"current": "` + goodPassword + `", "password": "` + nextPassword + `", "locale": "de"}`
	wrongCurrent = `{"current": "small grey mice", "password": "` + nextPassword + `"}`
)

func (h *house) signsIn(t *testing.T, passwords *authn.Passwords, password string) error {
	t.Helper()
	_, err := passwords.SignIn(t.Context(), h.db, authn.SignIn{Email: "ada@example.com", Password: password})
	return err
}

func TestHandler_ChangesThePassword(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		var told []sessions.Message
		var fails error
		h := newHouse(t, db, sessions.Config{Notify: func(ctx context.Context, m sessions.Message) error {
			if _, ends := ctx.Deadline(); !ends || ctx.Err() != nil {
				t.Error("the mail has no time")
			}
			told = append(told, m)
			return fails
		}})
		server, passwords := h.withPasswords(t)
		first, second, bobs := h.start(t, h.ada.User.ID), h.start(t, h.ada.User.ID), h.start(t, h.bob.User.ID)
		browser := &page{server: server, token: first.Token}
		h.clock.Advance(time.Minute)

		status, answer := browser.call(t, "PUT", "/session/password", newPassword, "User-Agent", "Browser/2")
		session, _ := answer["session"].(map[string]any)
		if status != 200 || session["id"] != string(first.Session.ID) || answer["revoked"] != 1.0 || answer["notified"] != true || len(answer) != 3 {
			t.Fatalf("%d %v", status, answer)
		}
		h.opens(t, "the new cookie", browser.token, h.ada.Account.ID)
		h.opensNothing(t, "the old cookie", first.Token)
		h.opensNothing(t, "her other session", second.Token)
		h.opens(t, "Bob's", bobs.Token, h.bob.Account.ID)
		wantErr(t, "the old password", h.signsIn(t, passwords, goodPassword), authn.ErrBadCredential)
		wantErr(t, "the new password", h.signsIn(t, passwords, nextPassword), nil)
		want := []sessions.Message{{
			Kind: sessions.KindPasswordChanged, To: "ada@example.com", Locale: "de", User: h.ada.User,
			At: t0.Add(time.Minute), Addr: netip.MustParseAddr("192.0.2.1"), UserAgent: "Browser/2",
		}}
		if d := cmp.Diff(want, told, cmpopts.EquateComparable(netip.Addr{})); d != "" {
			t.Errorf("told (-want +got):\n%s", d)
		}
		var done []string
		for _, line := range h.audits(t)[:3] {
			done = append(done, line.Action+" "+line.Actor.ID+" "+line.Reason)
		}
		by := " " + string(h.ada.User.ID) + " "
		if d := cmp.Diff([]string{"sessions.revoke_others" + by + "the password was changed", "sessions.rotate" + by + "the password was changed", "authn.change_password" + by}, done); d != "" {
			t.Errorf("the audit log (-want +got):\n%s", d)
		}

		fails = errors.New("no mail today")
		status, answer = browser.call(t, "PUT", "/session/password", `{"current": "`+nextPassword+`", "password": "`+goodPassword+`"}`)
		if status != 200 || answer["notified"] != false || answer["revoked"] != 0.0 {
			t.Errorf("without a mail: %d %v", status, answer)
		}
		h.opens(t, "the cookie after that", browser.token, h.ada.Account.ID)
	}, authn.Migrate)
}

func TestHandler_APasswordIsChangedByItsPersonAlone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		h := newHouse(t, db, sessions.Config{Notify: func(_ context.Context, m sessions.Message) error {
			t.Errorf("somebody was told of %+v", m)
			return nil
		}})
		server, passwords := h.withPasswords(t)
		keys, err := authn.New(h.accounts, authn.Config{Peppers: []authn.Pepper{{ID: "1", Secret: make([]byte, 32)}}, Now: h.clock.Now})
		wantErr(t, "keys", err, nil)
		key, err := keys.Issue(t.Context(), h.db, authn.Issue{Account: h.ada.Account.ID, Name: "a key", Actor: userOf(h.ada)})
		wantErr(t, "a key", err, nil)
		mine, bobs, over := h.start(t, h.ada.User.ID), h.start(t, h.bob.User.ID), h.start(t, h.ada.User.ID)
		wantErr(t, "end", h.sessions.End(t.Context(), h.db, sessions.End{Token: over.Token}), nil)
		for _, c := range []struct {
			what    string
			headers []string
			body    string
			status  int
			code    string
		}{
			{"a wrong password", with(mine.Token), wrongCurrent, 422, "wrong_password"},
			{"no password", with(mine.Token), `{"password": "` + nextPassword + `"}`, 422, "wrong_password"},
			{"somebody else's session", with(bobs.Token), newPassword, 422, "wrong_password"},
			{"a weak one", with(mine.Token), strings.Replace(newPassword, nextPassword, "password123", 1), 422, "weak_password"},
			{"the same one", with(mine.Token), strings.Replace(newPassword, nextPassword, goodPassword, 1), 422, "weak_password"},
			{"no locale", with(mine.Token), strings.Replace(newPassword, `"de"`, `"x/y"`, 1), 422, "invalid"},
			{"a user", with(mine.Token), strings.Replace(newPassword, "{", `{"user": "`+string(h.ada.User.ID)+`", `, 1), 422, "invalid_body"},
			{"nobody", nil, newPassword, 401, "missing_credential"},
			{"a session that is over", with(over.Token), newPassword, 401, "invalid_credential"},
			{"a key", []string{"Authorization", "Bearer " + key.Secret}, newPassword, 401, "invalid_credential"},
			{"a key in its own header", []string{"X-API-Key", key.Secret}, newPassword, 401, "invalid_credential"},
			{"a key in the cookie", with(sessions.Token(key.Secret)), newPassword, 401, "invalid_credential"},
			{"a key beside the cookie", with(mine.Token, "Authorization", "Bearer "+key.Secret), newPassword, 401, "invalid_credential"},
			{"a page of another site", with(mine.Token, "Sec-Fetch-Site", "cross-site"), newPassword, 403, "cross_origin"},
			{"a page of a sibling", with(mine.Token, "Origin", "https://evil.example"), newPassword, 403, "cross_origin"},
			{"a form", with(mine.Token, "Content-Type", "text/plain"), newPassword, 415, "unsupported_media_type"},
		} {
			h.unchanged(t, c.what, func() {
				r := request("PUT", "/session/password", c.body, c.headers...)
				if len(r.Header.Values("Content-Type")) > 1 {
					r.Header["Content-Type"] = r.Header["Content-Type"][1:]
				}
				w := serve(server, r)
				_, answer := (&page{}).read(t, w)
				wantCode(t, c.what, w.Code, answer, c.status, c.code)
				if len(w.Result().Cookies()) != 0 {
					t.Errorf("%s: another cookie", c.what)
				}
			})
		}
		h.opens(t, "her session", mine.Token, h.ada.Account.ID)
		wantErr(t, "her password", h.signsIn(t, passwords, goodPassword), nil)

		status, answer := (&page{server: h.sessions.Handler(h.db, nil), token: mine.Token}).call(t, "PUT", "/session/password", newPassword)
		wantCode(t, "a host with its own way in", status, answer, 404, "not_found")
	}, authn.Migrate)
}

// Whoever closes the page keeps nobody from learning of the change.
func TestHandler_AMailDoesNotEndWithTheRequest(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		ctx, leave := context.WithCancel(t.Context())
		told := 0
		h := newHouse(t, db, sessions.Config{Notify: func(ctx context.Context, _ sessions.Message) error {
			leave()
			told++
			return ctx.Err()
		}})
		server, _ := h.withPasswords(t)
		w := serve(server, request("PUT", "/session/password", newPassword, with(h.start(t, h.ada.User.ID).Token)...).WithContext(ctx))
		if w.Code != 200 || told != 1 || !strings.Contains(w.Body.String(), `"notified":true`) {
			t.Errorf("%d %s, told %d times", w.Code, w.Body, told)
		}
	}, authn.Migrate)
}

// Passwords cannot be tried in a page that somebody has left open, nor by the way of
// another address.
func TestHandler_ChangingThePasswordIsCountedLikeSigningIn(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.sessions = h.policy(t, sessions.Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}})
		server, _ := h.withPasswords(t)
		browser := &page{server: server, token: h.start(t, h.ada.User.ID).Token}
		for range 5 {
			status, answer := browser.call(t, "PUT", "/session/password", wrongCurrent, "X-Forwarded-For", "198.51.100.1")
			wantCode(t, "a wrong password", status, answer, 422, "wrong_password")
			status, answer = (&page{server: server}).call(t, "POST", "/session", strings.Replace(signIn, goodPassword, "small grey mice", 1), "X-Forwarded-For", "198.51.100.1")
			wantCode(t, "a wrong password, signing in", status, answer, 401, "invalid_credential")
		}
		status, answer := browser.call(t, "PUT", "/session/password", newPassword, "X-Forwarded-For", "198.51.100.1")
		wantCode(t, "the right one, too late", status, answer, 429, "too_many_attempts")
		if status, answer = browser.call(t, "PUT", "/session/password", newPassword, "X-Forwarded-For", "198.51.100.2"); status != 200 || answer["notified"] != false {
			t.Errorf("from another address: %d %v", status, answer)
		}
	})
}

// Of two at once with one cookie one counts: a token that is old by then changes nothing.
func TestHandler_ASessionThatEndsMeanwhileChangesNoPassword(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		_, passwords := h.withPasswords(t)
		issued := h.start(t, h.ada.User.ID)
		ends := &between{what: "FROM \"authn_passwords\"", do: func() {
			_, err := h.sessions.Rotate(context.Background(), h.db, sessions.Rotate{Token: issued.Token})
			wantErr(t, "rotate", err, nil)
		}}
		server := h.sessions.Handler(h.db.WithQueryHook(ends), passwords)
		status, answer := (&page{server: server, token: issued.Token}).call(t, "PUT", "/session/password", newPassword)
		wantCode(t, "a token that is replaced meanwhile", status, answer, 401, "invalid_credential")
		wantErr(t, "the password", h.signsIn(t, passwords, goodPassword), nil)
		if ends.do != nil {
			t.Error("it was not replaced")
		}
	})
}

// between does something once, before the first statement that says what.
type between struct {
	what string
	do   func()
}

func (b *between) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if do := b.do; do != nil && strings.Contains(e.Query, b.what) {
		b.do = nil
		do()
	}
	return ctx
}

func (b *between) AfterQuery(context.Context, *bun.QueryEvent) {}
