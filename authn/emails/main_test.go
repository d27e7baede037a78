package emails_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/emails"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestMain(m *testing.M) {
	dbtest.Main(m, map[string]dbtest.ChildFunc{"verify": verifyChild, "reset": resetChild})
}

// t0 is when most tests begin. It has microseconds, which both databases keep.
var t0 = time.Date(2026, 3, 1, 9, 0, 0, 123456000, time.UTC)

func childNow() time.Time { return t0 }

const (
	oldPassword = "tall green giraffes"
	newPassword = "short blue elephants"
)

// house is everything that most tests need, on one database and one clock. Ada has
// signed up with oldPassword and not shown that the address is hers.
type house struct {
	db        *bun.DB
	clock     *tenancytest.Clock
	accounts  *tenancy.Accounts
	keys      *authn.Keys
	passwords *authn.Passwords
	mails     *emails.Emails
	ada       tenancy.Registered

	mu   sync.Mutex
	sent []emails.Message
}

func newHouse(t *testing.T, db *bun.DB, cfg emails.Config) *house {
	t.Helper()
	h := &house{db: db, clock: tenancytest.NewClock(t0)}
	h.accounts = tenancy.New(tenancy.Config{Now: h.clock.Now})
	if _, err := h.accounts.Ensure(t.Context(), db, tenancytest.Plans()...); err != nil {
		t.Fatal(err)
	}
	var err error
	h.keys, err = authn.New(h.accounts, authn.Config{Peppers: []authn.Pepper{{ID: "a", Secret: []byte(strings.Repeat("a", 32))}}, Now: h.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	h.passwords = authn.NewPasswords(h.accounts, authn.PasswordConfig{Now: h.clock.Now})
	cfg.Now, cfg.Keys = h.clock.Now, h.keys
	if cfg.Notify == nil {
		cfg.Notify = func(_ context.Context, m emails.Message) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.sent = append(h.sent, m)
			return nil
		}
	}
	h.mails = emails.New(h.accounts, h.passwords, cfg)
	h.ada = h.register(t, "Ada@example.com")
	return h
}

// each runs fn in a house on each database.
func each(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *bun.DB) { fn(t, newHouse(t, db, emails.Config{})) }, authn.Migrate)
}

func (h *house) register(t *testing.T, email string) tenancy.Registered {
	t.Helper()
	r, err := h.passwords.Register(t.Context(), h.db, tenancy.Register{Name: "Somebody", Email: email}, oldPassword)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (h *house) signIn(t *testing.T, email, password string) error {
	t.Helper()
	_, err := h.passwords.SignIn(t.Context(), h.db, authn.SignIn{Email: email, Password: password})
	return err
}

func (h *house) issue(t *testing.T, r tenancy.Registered) authn.Issued {
	t.Helper()
	issued, err := h.keys.Issue(t.Context(), h.db, authn.Issue{Account: r.Account.ID, Name: "a key", Actor: userOf(r)})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func (h *house) verifyKey(t *testing.T, k authn.Issued) error {
	t.Helper()
	_, err := h.keys.Verify(t.Context(), h.db, k.Secret, tenancy.Use)
	return err
}

func (h *house) verification(t *testing.T, user tenancy.UserID) emails.Issued {
	t.Helper()
	issued, err := h.mails.IssueVerification(t.Context(), h.db, emails.IssueVerification{User: user})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func (h *house) resetToken(t *testing.T, email string) emails.Issued {
	t.Helper()
	issued, err := h.mails.IssueReset(t.Context(), h.db, emails.IssueReset{Email: email})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func (h *house) verify(t *testing.T, token emails.Token, user tenancy.UserID) error {
	t.Helper()
	_, err := h.mails.Verify(t.Context(), h.db, emails.Verify{Token: token, User: user})
	return err
}

func (h *house) reset(t *testing.T, token emails.Token, password string) error {
	t.Helper()
	_, err := h.mails.Reset(t.Context(), h.db, emails.Reset{Token: token, Password: password})
	return err
}

// mailbox waits for what is on its way and returns what was sent since the last time.
func (h *house) mailbox(t *testing.T) []emails.Message {
	t.Helper()
	if err := h.mails.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	sent := h.sent
	h.sent = nil
	return sent
}

func userOf(r tenancy.Registered) tenancy.Actor {
	return tenancy.Actor{Kind: tenancy.ActorUser, ID: string(r.User.ID)}
}

func (h *house) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := h.db.NewRaw(query, args...).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
}

var tables = []string{
	"authn_email_tokens", "authn_passwords", "authn_keys", "authn_key_secrets", "authn_key_ids",
	"tenancy_accounts", "tenancy_users", "tenancy_members", "tenancy_events", "tenancy_audit", "tenancy_changes",
}

// dump is every row of every table, as text.
func (h *house) dump(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, table := range tables {
		var rows []map[string]any
		if err := h.db.NewRaw("SELECT * FROM ? ORDER BY 1, 2", bun.Ident(table)).Scan(t.Context(), &rows); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			out[table] = append(out[table], fmt.Sprint(r))
		}
	}
	return out
}

// unchanged fails when fn changes anything.
func (h *house) unchanged(t *testing.T, what string, fn func()) {
	t.Helper()
	before := h.dump(t)
	fn()
	if d := cmp.Diff(before, h.dump(t)); d != "" {
		t.Errorf("%s wrote something (-before +after):\n%s", what, d)
	}
}

// lines are those of the installation's audit log with an action.
func (h *house) lines(t *testing.T, action string) (found []tenancy.Audit) {
	t.Helper()
	lines, err := h.accounts.Audits(t.Context(), h.db, tenancy.AuditLog{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if l.Action == action {
			found = append(found, l)
		}
	}
	return found
}

func (h *house) epoch(t *testing.T, of tenancy.Subject) int64 {
	t.Helper()
	n, err := h.accounts.Epoch(t.Context(), h.db, of)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || (want == nil) != (err == nil) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// as is a check that names an actor.
func as(a tenancy.Actor) tenancy.Authorizer {
	return func(*http.Request) (tenancy.Actor, error) { return a, nil }
}

func call(t *testing.T, h http.Handler, method, path, body string) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if method == "POST" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	answer := map[string]any{}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return w.Code, answer
}
