package sessions_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/sessions"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// spill prints v in every way that a host might by accident.
func spill(w *bytes.Buffer, v any) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(w, verb+"\n", v)
		fmt.Fprintf(w, verb+"\n", []any{v})
		fmt.Fprintf(w, verb+"\n", map[string]any{"v": v})
	}
	slog.New(slog.NewTextHandler(w, nil)).Info("spill", "v", v)
	slog.New(slog.NewJSONHandler(w, nil)).Info("spill", "v", v)
	_ = json.NewEncoder(w).Encode(v)
}

// A token shows in the cookie that hands it over and nowhere else: in no formatted
// value, error, log, answer or row.
func TestSecrets_ShowNowhere(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		var out bytes.Buffer
		old := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
		defer slog.SetDefault(old)

		server, passwords := h.withPasswords(t)
		browser := &page{server: server}
		if status, answer := browser.call(t, "POST", "/session", signIn); status != 201 {
			t.Fatal(status, answer)
		}
		first := h.start(t, h.ada.User.ID)
		second, err := h.sessions.Rotate(t.Context(), h.db, sessions.Rotate{Token: first.Token})
		if err != nil {
			t.Fatal(err)
		}
		tokens := map[string]sessions.Token{"a live token": browser.token, "an old token": first.Token, "a rotated token": second.Token, "nobody's token": aToken}
		drive := func() {
			guard := authn.NewGuard(h.accounts, authn.GuardConfig{}, h.sessions)
			for _, token := range tokens {
				rotate, change, end := sessions.Rotate{Token: token}, sessions.SwitchAccount{Token: token, Account: "x"}, sessions.End{Token: token}
				for _, v := range []any{
					token, &token, second, &second, struct{ T sessions.Token }{token}, struct{ I sessions.Issued }{second}, shown(token, ""),
					rotate, &rotate, change, &change, end, &end,
				} {
					spill(&out, v)
				}
				_, err := h.sessions.Authenticate(t.Context(), h.db, shown(token+"x", ""))
				spill(&out, err)
				_, err = h.sessions.Authenticate(t.Context(), h.db, shown(token, "acc_none"))
				spill(&out, err)
				_, err = h.sessions.SwitchAccount(t.Context(), h.db, sessions.SwitchAccount{Token: token, Account: "acc_none"})
				spill(&out, err)
				for _, headers := range [][]string{with(token), with(token, with(token)...), {"Authorization", "Session " + string(token)}, {"Authorization", "Bearer " + string(token)}, {"Authorization", string(token)}} {
					for _, r := range [][2]string{{"GET", "/session"}, {"GET", "/sessions"}, {"DELETE", "/sessions/x"}, {"DELETE", "/x"}} {
						w := serve(server, request(r[0], r[1], "", headers...))
						fmt.Fprintln(&out, w.Code, w.Header(), w.Body)
					}
					w := serve(guard.Middleware(h.db, 0)(whoami), request("POST", "/", "", append(headers, "Sec-Fetch-Site", "cross-site")...))
					fmt.Fprintln(&out, w.Code, w.Header(), w.Body)
				}
			}
			_, err := h.sessions.List(t.Context(), h.db, sessions.List{User: h.ada.User.ID})
			spill(&out, err)
			spill(&out, h.sessions.End(t.Context(), h.db, sessions.End{Token: second.Token}))
		}
		drive()
		list, err := h.sessions.List(t.Context(), h.db, sessions.List{User: h.ada.User.ID})
		spill(&out, list)
		spill(&out, err)
		fmt.Fprintf(&out, "%v %+v\n", h.sessions, h.sessions)
		for table, rows := range h.dump(t) {
			fmt.Fprintln(&out, table, rows)
		}
		h.clock.Advance(time.Hour)
		dbtest.Close(h.db) // what a lost database makes of it
		drive()
		for _, r := range [][3]string{{"POST", "/session", signIn}, {"PUT", "/session/password", newPassword}} {
			w := serve(h.sessions.Handler(h.db, passwords), request(r[0], r[1], r[2], with(first.Token)...))
			fmt.Fprintln(&out, w.Code, w.Header(), w.Body)
		}

		for what, token := range tokens {
			for form, text := range map[string]string{
				"as it is": string(token), "in part": string(token[10:30]), "in small letters": strings.ToLower(string(token)),
				"in hexadecimal": hex.EncodeToString([]byte(token)), "in capitals": strings.ToUpper(hex.EncodeToString([]byte(token))),
				"as numbers": strings.Trim(fmt.Sprint([]byte(token)), "[]"), "in base 64": base64.StdEncoding.EncodeToString([]byte(token))[:len(token)/3*4],
			} {
				if i := bytes.Index(out.Bytes(), []byte(text)); i >= 0 {
					t.Errorf("%s shows %s: …%s…", what, form, out.Bytes()[max(0, i-80):i])
				}
			}
		}
		for _, said := range []string{`"v":"[token]"`, `"v":"session credential"`, `"Token":"[token]"`, string(second.Session.ID)} {
			if !bytes.Contains(out.Bytes(), []byte(said)) {
				t.Errorf("what may show does not: %s", said)
			}
		}
	})
}

// The database is no use to who reads it: what it holds of a token is no token.
func TestSecrets_AHashOpensNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.start(t, h.ada.User.ID)
		var hash string
		if err := h.db.NewRaw("SELECT token_hash FROM ?", bun.Ident("authn_sessions")).Scan(t.Context(), &hash); err != nil {
			t.Fatal(err)
		}
		for _, token := range []string{hash, hash[:43], strings.ToUpper(hash)[:43]} {
			h.opensNothing(t, "a hash", sessions.Token(token))
		}
	})
}

// What a cookie holds, whatever it is, is refused in the one way or is no cookie.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"", "x", string(aToken), string(aToken) + "; " + cookie + "=x", `"` + string(aToken) + `"`, "\x00\xff", "%00", strings.Repeat("-", 43)} {
		f.Add(seed)
	}
	s, err := sessions.New(tenancy.New(tenancy.Config{}), sessions.Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value string) {
		c, err := s.Read(request("GET", "/", "", "Cookie", cookie+"="+value))
		if err != nil && c != (authn.Credential{}) || err == nil && (c.Scheme != sessions.Scheme || c.Value == "") {
			t.Errorf("%q: %q of %q, %v", value, c.Value, c.Scheme, err)
		}
		if err != nil {
			return
		}
		if strings.Contains(fmt.Sprintf("%v %+v %#v %q %x", c, c, c, c, c), c.Value) && len(c.Value) > 20 {
			t.Errorf("%q shows", value)
		}
		if len(c.Value) != 43 || strings.ContainsAny(c.Value, "-_%.") {
			_, err := s.Authenticate(t.Context(), nil, c) // the database is not asked
			wantErr(t, value, err, authn.ErrBadCredential)
		}
	})
}
