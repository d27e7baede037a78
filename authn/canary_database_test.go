package authn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// After everything that the package does, and that goes wrong in it, no table, log,
// refusal or panic holds a secret, in any encoding. A new verb belongs into this test.
func TestSecrets_NoTableHoldsOneAfterEveryVerb(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		var out bytes.Buffer
		old := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
		defer slog.SetDefault(old)

		const first, second, refused = "CANARY of the first password", "CANARY of the second one", "CANARYCANARY"
		secrets := map[string]string{
			"the first password": first, "the second password": second, "a refused password": refused, "a wrong password": "CANARY wrong one",
			"the pepper": "PEPPER-a", "a Basic value": basic("ada@example.com", second)[6:],
		}
		key := func(what, key string) string {
			secrets[what] = key[20:50]
			return key
		}
		say := func(v ...any) { fmt.Fprintln(&out, v...) }
		answer := func(w *httptest.ResponseRecorder) { say(w.Code, w.Header(), w.Body) }

		// Signing up, over HTTP: the one answer that shows a key.
		w := serve(h.passwords.SignUp(h.db, h.keys), request("POST", "/", `{"name":"Ada","email":"ada@example.com","password":"`+first+`"}`))
		made := body[struct {
			Account tenancy.Account
			User    tenancy.User
			APIKey  string `json:"api_key"`
		}](t, w.Body.String())
		firstKey := key("the first key", made.APIKey)
		ada := tenancy.Actor{Kind: tenancy.ActorUser, ID: string(made.User.ID)}
		for _, b := range []string{
			`{"name":"Ada","email":"ada@example.com","password":"` + second + `"}`,           // taken
			`{"name":"Bob","email":"bob@example.com","password":"` + refused + `"}`,          // weak
			`{"name":"Bob","email":"bob@example.com","password":"` + first + `","plan":"x"}`, // a member too many
			`{"name":"Bob","email":"bob@example.com","password":["` + first + `"]}`,          // another type
			`{"name":"Bob","email":"bob@example.com","password":"` + first,                   // cut off
		} {
			answer(serve(h.passwords.SignUp(h.db, h.keys), request("POST", "/", b)))
		}

		// Hooks of the host that fail and that panic.
		for _, panics := range []bool{false, true} {
			fail := func() error {
				if panics {
					panic("the host's own words")
				}
				return errors.New("the host's own words")
			}
			before := tenancy.New(tenancy.Config{Now: h.clock.Now, BeforeRegister: func(context.Context, tenancy.Register) error { return fail() }})
			after := authn.NewPasswords(h.accounts, authn.PasswordConfig{Now: h.clock.Now, SignUpAnswer: func(context.Context, bun.IDB, tenancy.Registered) (map[string]any, error) {
				return nil, fail()
			}})
			authn.Quick(after)
			refusing := authn.NewPasswords(before, authn.PasswordConfig{Now: h.clock.Now})
			authn.Quick(refusing)
			for _, p := range []*authn.Passwords{refusing, after} {
				func() {
					defer func() {
						if r := recover(); r != nil {
							say(r, string(debug.Stack()))
						}
					}()
					answer(serve(p.SignUp(h.db, h.keys), request("POST", "/", `{"name":"Eve","email":"eve@example.com","password":"`+first+`"}`)))
				}()
			}
		}

		// Passwords.
		for _, password := range []string{first, "CANARY wrong one", refused} {
			_, err := h.passwords.SignIn(t.Context(), h.db, authn.SignIn{Email: "ada@example.com", Password: password})
			say(err)
			_, err = h.passwords.SignIn(t.Context(), h.db, authn.SignIn{Email: "nobody@example.com", Password: password})
			say(err)
		}
		for _, password := range []string{refused, second} {
			say(h.passwords.Set(t.Context(), h.db, authn.SetPassword{User: made.User.ID, Actor: ada, Reason: "a change", Password: password}))
		}
		for _, c := range [][2]string{{"CANARY wrong one", first}, {second, "CANARY"}, {second, first}, {first, second}} {
			say(h.passwords.Change(t.Context(), h.db, authn.ChangePassword{User: made.User.ID, Current: c[0], Password: c[1]}))
		}
		_, err := h.passwords.Register(t.Context(), h.db, tenancy.Register{Name: "Bob", Email: "bob@example.com"}, second)
		say(err)

		// Keys, over HTTP and without it.
		person := []string{"Authorization", basic("ada@example.com", second)}
		server := h.passwords.Middleware(h.db, tenancy.SignIn)(h.keys.Handler(h.db))
		w = serve(server, request("POST", "/keys", `{"name":"by hand"}`, person...))
		secondKey := key("a key made over HTTP", body[keyAnswer](t, w.Body.String()).APIKey)
		issued, err := h.keys.Issue(t.Context(), h.db, authn.Issue{Account: made.Account.ID, Name: "a key", Actor: ada, ExpiresAt: t0.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		thirdKey := key("a key that expires", issued.Secret)
		wrong, _, _ := authn.Rekey(h.keys, issued.Key.ID)
		key("a wrong secret", wrong)
		for _, presented := range []string{firstKey, thirdKey, wrong, thirdKey[:40], thirdKey + "x"} {
			say(h.verify(t, presented))
			for _, header := range [][]string{{"X-API-Key", presented}, {"Authorization", "Bearer " + presented}, {"Authorization", presented}, {"X-Account-ID", presented, "X-API-Key", presented}} {
				answer(serve(authn.NewGuard(h.accounts, authn.GuardConfig{}, h.keys, h.passwords).Middleware(h.db, 0)(whoami), request("GET", "/", "", header...)))
			}
			for _, target := range []string{"/keys/" + presented, "/keys?before=" + presented, "/keys?limit=" + presented, "/" + presented} {
				answer(serve(server, request("GET", target, "", person...)))
				answer(serve(server, request("DELETE", target, "", person...)))
			}
			_, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: made.Account.ID, Key: authn.KeyID(presented), Actor: ada})
			say(err)
			_, err = h.keys.Get(t.Context(), h.db, tenancy.AccountID(presented), issued.Key.ID)
			say(err)
			_, err = h.keys.List(t.Context(), h.db, authn.List{Account: made.Account.ID, Before: authn.KeyID(presented)})
			say(err)
			_, err = h.keys.Rotate(t.Context(), h.db, authn.Rotate{Account: made.Account.ID, Key: authn.KeyID(presented), Actor: ada})
			say(err)
			_, err = h.keys.TakeOver(t.Context(), h.db, authn.TakeOver{Account: made.Account.ID, Key: authn.KeyID(presented), Actor: ada})
			say(err)
			_, err = h.keys.Secrets(t.Context(), h.db, made.Account.ID, authn.KeyID(presented))
			say(err)
			say(h.keys.RevokeSecret(t.Context(), h.db, authn.RevokeSecret{Account: made.Account.ID, Key: issued.Key.ID, Secret: presented, Actor: ada}))
		}
		rotated, err := h.keys.Rotate(t.Context(), h.db, authn.Rotate{Account: made.Account.ID, Key: issued.Key.ID, Actor: ada, Overlap: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		say(rotated, h.verify(t, key("a key that was rotated", rotated.Secret)))
		taken, err := h.keys.TakeOver(t.Context(), h.db, authn.TakeOver{Account: made.Account.ID, Key: issued.Key.ID, Actor: operator})
		say(taken, err)
		for range 2 {
			all, err := h.keys.Secrets(t.Context(), h.db, made.Account.ID, issued.Key.ID)
			say(all, err)
			if err != nil || len(all) != 2 {
				t.Fatalf("%v, %v", all, err)
			}
			say(h.keys.RevokeSecret(t.Context(), h.db, authn.RevokeSecret{Account: made.Account.ID, Key: issued.Key.ID, Secret: all[0].ID, Actor: ada}))
		}
		_, err = h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: made.Account.ID, Key: authn.KeyID(firstKey[8:20]), Actor: ada, Reason: "done"})
		say(err)
		for presented, place := range map[string]string{secondKey: "?key=", wrong: "", firstKey: ""} {
			l := found(presented)
			l.URL, l.Source = "https://git.example/"+place+presented, presented
			leak, err := h.keys.Leaked(t.Context(), h.db, l)
			say(leak, err)
		}
		h.clock.Advance(2 * time.Hour)
		say(h.verify(t, thirdKey))
		tenancytest.RequireEvent[authn.KeyLeaked](t, h.db, made.Account.ID) // the story went its way

		dump(t, h.db, &out)
		text := out.String()
		for what, secret := range secrets {
			for form, shown := range encodings(secret) {
				if i := strings.Index(text, shown); i >= 0 {
					t.Errorf("%s shows %s: …%s[it]", what, form, text[max(0, i-80):i])
				}
			}
		}
		if !strings.Contains(text, "$argon2id$") || !strings.Contains(text, string(issued.Key.ID)) || !strings.Contains(text, "the host's own words") || !strings.Contains(text, "goroutine ") {
			t.Error("the dump, the log or the panics are not in what was searched")
		}
	})
}
