package emails_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/quitrent/quitrent/authn/emails"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// spill is what was printed, also behind an answer.
type spill struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (s *spill) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(b)
}

// No token and no password shows in an error, a log, an answer or the database.
func TestSecrets_ShowNowhere(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		var out spill
		old := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
		defer slog.SetDefault(old)

		handler := h.mails.Handler(h.db, as(userOf(h.ada)))
		serve := func(path, body string) {
			r := httptest.NewRequestWithContext(t.Context(), "POST", path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			fmt.Fprintln(&out, w.Code, w.Header(), w.Body)
		}
		serve("/emails/verification", `{}`)
		serve("/emails/reset", `{"email":"ada@example.com"}`)
		var tokens []string
		for _, m := range h.mailbox(t) {
			tokens = append(tokens, string(m.Token))
			for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
				fmt.Fprintf(&out, verb+"\n", m)
			}
			_ = json.NewEncoder(&out).Encode(m)
		}
		if len(tokens) != 2 {
			t.Fatalf("%d mails", len(tokens))
		}
		const secret = "CANARY CANARY CANARY giraffe"
		use := func() {
			for _, token := range append(tokens, tokens[0]+"x", tokens[0][:42]) {
				for _, path := range []string{"/emails/verification/peek", "/emails/verification/confirm", "/emails/reset/peek"} {
					serve(path, `{"token":"`+token+`"}`)
				}
				serve("/emails/reset/confirm", `{"token":"`+token+`","password":"CANARY"}`)
				serve("/emails/reset/confirm", `{"token":"`+token+`","password":"`+secret+`"}`)
				_, err := h.mails.Verify(t.Context(), h.db, emails.Verify{Token: emails.Token(token), User: h.ada.User.ID})
				fmt.Fprintln(&out, err)
				_, err = h.mails.Reset(t.Context(), h.db, emails.Reset{Token: emails.Token(token), Password: secret})
				fmt.Fprintln(&out, err)
			}
		}
		// While the tokens work, once they are used, and with the database gone.
		fmt.Fprintln(&out, h.dump(t))
		use()
		fmt.Fprintln(&out, h.dump(t))
		dbtest.Close(h.db)
		use()
		serve("/emails/verification", `{}`)
		serve("/emails/reset", `{"email":"ada@example.com"}`)
		h.mailbox(t)
		fmt.Fprintln(&out, h.mails.SendVerification(t.Context(), h.db, emails.SendVerification{User: h.ada.User.ID}))

		said := out.all.Bytes() // nothing is on its way any more
		for _, secret := range append(tokens, "CANARY") {
			for form, text := range map[string]string{
				"as it is": secret, "in hexadecimal": hex.EncodeToString([]byte(secret)), "as numbers": strings.Trim(fmt.Sprint([]byte(secret)), "[]"),
				"in base 64": base64.StdEncoding.EncodeToString([]byte(secret))[:len(secret)/3*4],
			} {
				if i := bytes.Index(said, []byte(text)); i >= 0 {
					t.Errorf("a secret shows %s: …%s…", form, said[max(0, i-200):i])
				}
			}
		}
		for _, text := range []string{"[token]", "no_token", "weak_password", "a mail for a reset was not sent", "password_reset", string(tenancy.ActorUser)} {
			if !bytes.Contains(said, []byte(text)) {
				t.Errorf("what may show does not: %s", text)
			}
		}
	})
}
