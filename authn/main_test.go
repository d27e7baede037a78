package authn_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestMain(m *testing.M) {
	dbtest.Main(m, map[string]dbtest.ChildFunc{"hammer": hammerChild})
}

// t0 is when most tests begin. It has microseconds, which both databases keep.
var t0 = time.Date(2026, 3, 1, 9, 0, 0, 123456000, time.UTC)

var operator = tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}

const goodPassword = "tall green giraffes"

// pepper has a secret that internal/testrun knows, should it ever show.
func pepper(id string) authn.Pepper {
	return authn.Pepper{ID: id, Secret: bytes.Repeat([]byte("PEPPER-"+id), 5)}
}

// house is everything that most tests need, on one database and one clock. Its
// passwords are hashed in no time; computed counts them.
type house struct {
	db        *bun.DB
	clock     *tenancytest.Clock
	accounts  *tenancy.Accounts
	keys      *authn.Keys
	passwords *authn.Passwords
	computed  func() int64
}

func newHouse(t *testing.T, db *bun.DB) *house {
	t.Helper()
	h := &house{db: db, clock: tenancytest.NewClock(t0)}
	h.accounts = tenancy.New(tenancy.Config{Now: h.clock.Now})
	if _, err := h.accounts.Ensure(t.Context(), db, tenancytest.Plans()...); err != nil {
		t.Fatal(err)
	}
	h.keys = h.newKeys(t, pepper("a"))
	h.passwords = authn.NewPasswords(h.accounts, authn.PasswordConfig{Now: h.clock.Now})
	h.computed = authn.Quick(h.passwords)
	return h
}

func (h *house) newKeys(t *testing.T, peppers ...authn.Pepper) *authn.Keys {
	t.Helper()
	keys, err := authn.New(h.accounts, authn.Config{Peppers: peppers, Now: h.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// each runs fn in a house on each database.
func each(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *bun.DB) { fn(t, newHouse(t, db)) }, authn.Migrate)
}

// register signs up with goodPassword.
func (h *house) register(t *testing.T, email string) tenancy.Registered {
	t.Helper()
	r, err := h.passwords.Register(t.Context(), h.db, tenancy.Register{Name: "Somebody", Email: email}, goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (h *house) issue(t *testing.T, r tenancy.Registered) authn.Issued {
	t.Helper()
	issued, err := h.keys.Issue(t.Context(), h.db, authn.Issue{Account: r.Account.ID, Name: "a key", Actor: userOf(r)})
	if err != nil {
		t.Fatal(err)
	}
	return issued
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

func (h *house) count(t *testing.T, table string) (n int) {
	t.Helper()
	if err := h.db.NewRaw("SELECT COUNT(*) FROM ?", bun.Ident(table)).Scan(t.Context(), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

var tables = []string{
	"authn_key_ids", "authn_accounts", "authn_keys", "authn_key_secrets", "authn_key_uses", "authn_imported_keys", "authn_passwords", "authn_email_tokens", "authn_sessions",
	"tenancy_plans", "tenancy_accounts", "tenancy_users", "tenancy_members", "tenancy_member_roles", "tenancy_object_roles",
	"tenancy_events", "tenancy_deliveries", "tenancy_audit",
}

// unchanged fails when fn adds or removes a row anywhere.
func (h *house) unchanged(t *testing.T, what string, fn func()) {
	t.Helper()
	rows := func() map[string]int {
		counts := map[string]int{}
		for _, table := range tables {
			counts[table] = h.count(t, table)
		}
		return counts
	}
	before := rows()
	fn()
	if d := cmp.Diff(before, rows()); d != "" {
		t.Errorf("%s wrote something (-before +after):\n%s", what, d)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || (want == nil) != (err == nil) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// together runs fn n times at once and counts the successes. Any error but want
// fails the test.
func together(t *testing.T, n int, want error, fn func(i int) error) (successes int) {
	t.Helper()
	for _, err := range dbtest.Together(n, fn) {
		switch {
		case err == nil:
			successes++
		case !errors.Is(err, want):
			t.Errorf("got %v, want nil or %v", err, want)
		}
	}
	return successes
}

// request makes a request; headers are name, value, name, value. A POST has JSON.
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

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// whoami answers with the account and the actor of the request.
var whoami = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	s := tenancy.From(r.Context())
	_, _ = w.Write([]byte(string(s.Account) + " " + string(s.Actor.Kind) + " " + s.Actor.ID))
})

// queries counts what the database is asked.
type queries struct {
	mu   sync.Mutex
	said []string
}

func (q *queries) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (q *queries) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.said = append(q.said, e.Query)
}

// asks tells when the database is about to be asked something that names what.
type asks struct {
	what string
	seen chan struct{}
}

func (a asks) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if strings.Contains(e.Query, a.what) {
		select {
		case a.seen <- struct{}{}:
		default:
		}
	}
	return ctx
}

func (a asks) AfterQuery(context.Context, *bun.QueryEvent) {}
