package tokens_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/tokens"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestMain(m *testing.M) { dbtest.Main(m, nil) }

var t0 = time.Date(2026, 3, 1, 9, 0, 0, 123456000, time.UTC)

var operator = tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}

const (
	issuer   = "https://api.example.com"
	audience = "https://api.example.com/v1"
)

// signer is the same key for the same letter.
func signer(letter string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte(letter), ed25519.SeedSize))
}

// desk knows people by what a session would be. It stands in for sessions.
type desk struct {
	mu    sync.Mutex
	known map[string]authn.Principal
	after func(ctx context.Context, db bun.IDB) // runs when somebody was recognised
}

func (d *desk) Authenticate(ctx context.Context, db bun.IDB, c authn.Credential) (authn.Principal, error) {
	if !strings.HasPrefix(c.Value, "ses_") {
		return authn.Principal{}, authn.ErrNoCredential
	}
	d.mu.Lock()
	who, ok := d.known[c.Value]
	d.mu.Unlock()
	if !ok {
		return authn.Principal{}, authn.ErrBadCredential
	}
	if d.after != nil {
		d.after(ctx, db)
	}
	return who, nil
}

func (d *desk) open(session string, who authn.Principal) authn.Credential {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known[session] = who
	return bearer(session)
}

func (d *desk) close(session string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.known, session)
}

// house is everything that most tests need, on one database and one clock.
type house struct {
	db       *bun.DB
	clock    *tenancytest.Clock
	accounts *tenancy.Accounts
	keys     *authn.Keys
	desk     *desk
	tokens   *tokens.Tokens
	guard    *authn.Guard
	ada      tenancy.Registered
	session  authn.Credential // of ada
}

func newHouse(t *testing.T, db *bun.DB) *house {
	t.Helper()
	h := &house{db: db, clock: tenancytest.NewClock(t0), desk: &desk{known: map[string]authn.Principal{}}}
	h.accounts = tenancy.New(tenancy.Config{Now: h.clock.Now})
	if _, err := h.accounts.Ensure(t.Context(), db, tenancytest.Plans()...); err != nil {
		t.Fatal(err)
	}
	var err error
	h.keys, err = authn.New(h.accounts, authn.Config{Peppers: []authn.Pepper{{ID: "a", Secret: bytes.Repeat([]byte("a"), 32)}}, Now: h.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	h.tokens = h.make(t, tokens.Config{})
	h.guard = authn.NewGuard(h.accounts, authn.GuardConfig{}, h.keys, h.desk, h.tokens)
	h.ada = tenancytest.Register(t, db, h.accounts, "ada@example.com")
	h.session = h.desk.open("ses_ada", authn.Principal{Account: h.ada.Account.ID, Actor: userOf(h.ada)})
	return h
}

// make fills in what cfg leaves out.
func (h *house) make(t *testing.T, cfg tokens.Config) *tokens.Tokens {
	t.Helper()
	if cfg.Issuer == "" {
		cfg.Issuer = issuer
	}
	if cfg.Audience == "" {
		cfg.Audience = audience
	}
	if cfg.Keys == nil {
		cfg.Keys = []tokens.Key{{ID: "a", Private: signer("a")}}
	}
	if cfg.Now == nil {
		cfg.Now = h.clock.Now
	}
	cfg.From = authn.NewGuard(h.accounts, authn.GuardConfig{}, h.keys, h.desk)
	made, err := tokens.New(h.accounts, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// each runs fn in a house on each database.
func each(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *bun.DB) { fn(t, newHouse(t, db)) }, authn.Migrate)
}

func (h *house) mint(t *testing.T, m tokens.Mint) tokens.Minted {
	t.Helper()
	made, err := h.tokens.Mint(t.Context(), h.db, m)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (h *house) issue(t *testing.T) authn.Issued {
	t.Helper()
	issued, err := h.keys.Issue(t.Context(), h.db, authn.Issue{Account: h.ada.Account.ID, Name: "a key", Actor: userOf(h.ada)})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// check is what the guard says of a token.
func (h *house) check(t *testing.T, token string) error {
	t.Helper()
	_, err := h.guard.Check(t.Context(), h.db, bearer(token), tenancy.Read)
	return err
}

// changed announces what fn takes away, in one transaction with it.
func (h *house) changed(t *testing.T, of tenancy.Subject, fn func(ctx context.Context, db bun.IDB) error) {
	t.Helper()
	err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		return h.accounts.Changed(ctx, tx, of)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func bearer(value string) authn.Credential { return authn.Credential{Scheme: "bearer", Value: value} }

func userOf(r tenancy.Registered) tenancy.Actor {
	return tenancy.Actor{Kind: tenancy.ActorUser, ID: string(r.User.ID)}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || (want == nil) != (err == nil) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func request(method, path, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}
