package leaks_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/leaks"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestMain(m *testing.M) { dbtest.Main(m, nil) }

var t0 = time.Date(2026, 3, 1, 9, 0, 0, 123456000, time.UTC)

// scanner signs reports with a key of its own.
type scanner struct {
	id  string
	key *ecdsa.PrivateKey
}

func newScanner(id string) *scanner {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return &scanner{id: id, key: key}
}

// public is the scanner's public key in PEM.
func (s *scanner) public() string { return public(&s.key.PublicKey) }

func public(key any) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// report is a signed request with this body.
func (s *scanner) report(body string) *http.Request {
	sum := sha256.Sum256([]byte(body))
	sig, err := ecdsa.SignASN1(rand.Reader, s.key, sum[:])
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest("POST", "/hooks/leaked", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Github-Public-Key-Identifier", s.id)
	r.Header.Set("Github-Public-Key-Signature", base64.StdEncoding.EncodeToString(sig))
	return r
}

// finds is a body with these tokens.
func finds(tokens ...string) string {
	var list []map[string]string
	for _, token := range tokens {
		list = append(list, map[string]string{"token": token, "type": "quitrent_api_key", "url": "https://git.example/blob/.env", "source": "content"})
	}
	b, err := json.Marshal(list)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// house is an account with keys and a scanner that finds them, on one database.
type house struct {
	db       *bun.DB
	clock    *tenancytest.Clock
	accounts *tenancy.Accounts
	keys     *authn.Keys
	ada      tenancy.Registered
	scanner  *scanner
}

func each(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *bun.DB) { fn(t, newHouse(t, db)) }, authn.Migrate)
}

// lite is a house on SQLite, for what is no matter of the database.
func lite(t *testing.T) *house {
	t.Helper()
	return newHouse(t, dbtest.SQLite(t, authn.Migrate))
}

func newHouse(t *testing.T, db *bun.DB) *house {
	t.Helper()
	h := &house{db: db, clock: tenancytest.NewClock(t0), scanner: newScanner("first")}
	h.accounts = tenancy.New(tenancy.Config{Now: h.clock.Now})
	if _, err := h.accounts.Ensure(t.Context(), db, tenancytest.Plans()...); err != nil {
		t.Fatal(err)
	}
	var err error
	if h.ada, err = h.accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: "ada@example.com"}); err != nil {
		t.Fatal(err)
	}
	h.keys = h.newKeys(t, "live")
	return h
}

func (h *house) newKeys(t *testing.T, env string) *authn.Keys {
	t.Helper()
	keys, err := authn.New(h.accounts, authn.Config{
		Envs: []string{env}, Now: h.clock.Now, Peppers: []authn.Pepper{{ID: "a", Secret: bytes.Repeat([]byte("PEPPER-a"), 5)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func (h *house) issue(t *testing.T, keys *authn.Keys) authn.Issued {
	t.Helper()
	issued, err := keys.Issue(t.Context(), h.db, authn.Issue{
		Account: h.ada.Account.ID, Name: "a key", Actor: tenancy.Actor{Kind: tenancy.ActorUser, ID: string(h.ada.User.ID)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// leaks are those of h's scanner, whose key is given unless cfg says otherwise.
func (h *house) leaks(t *testing.T, cfg leaks.Config) *leaks.Leaks {
	t.Helper()
	if cfg.PublicKeys == nil && cfg.KeysURL == "" && cfg.Verify == nil {
		cfg.PublicKeys = map[string]string{h.scanner.id: h.scanner.public()}
	}
	cfg.Now = h.clock.Now
	l, err := leaks.New(h.keys, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// opens reports that the key is let in.
func (h *house) opens(t *testing.T, keys *authn.Keys, key string) bool {
	t.Helper()
	_, err := keys.Verify(t.Context(), h.db, key, tenancy.Read)
	return err == nil
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// wantProblem fails unless w is the refusal.
func wantProblem(t *testing.T, what string, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	var got struct{ Code string }
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != status || got.Code != code {
		t.Errorf("%s: %d %s, want %d %s", what, w.Code, w.Body, status, code)
	}
}

// labels are those of an answer, in order. It fails unless the hashes are the tokens'.
func labels(t *testing.T, w *httptest.ResponseRecorder, tokens ...string) (labels []string) {
	t.Helper()
	var list []map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || w.Code != 200 || len(list) != len(tokens) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for i, a := range list {
		sum := sha256.Sum256([]byte(tokens[i]))
		if len(a) != 3 || a["token_hash"] != hex.EncodeToString(sum[:]) || a["token_type"] != "quitrent_api_key" {
			t.Errorf("answer %d: %v", i, a)
		}
		labels = append(labels, a["label"])
	}
	return labels
}

// queries counts what the database is asked.
type queries struct{ n int }

func (q *queries) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context {
	q.n++
	return ctx
}
func (q *queries) AfterQuery(context.Context, *bun.QueryEvent) {}

// sum appends the checksum that package authn documents, which makes a key of text.
func sum(text string) string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	n, b := crc32.ChecksumIEEE([]byte(text)), [6]byte{}
	for i := range b {
		b[5-i] = alphabet[n%62]
		n /= 62
	}
	return text + string(b[:])
}
