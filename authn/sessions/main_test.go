package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/sessions"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestMain(m *testing.M) {
	dbtest.Main(m, map[string]dbtest.ChildFunc{"use": useChild, "rotate": rotateChild})
}

// t0 is when most tests begin. It has microseconds, which both databases keep.
var t0 = time.Date(2026, 3, 1, 9, 0, 0, 123456000, time.UTC)

var operator = tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}

const (
	goodPassword = "tall green giraffes"
	cookie       = sessions.DefaultCookie
)

// house is an account of Ada's and one of Bob's, on a clock that shows t0.
type house struct {
	db       *bun.DB
	clock    *tenancytest.Clock
	accounts *tenancy.Accounts
	sessions *sessions.Sessions
	ada, bob tenancy.Registered
}

func newHouse(t *testing.T, db *bun.DB, cfg sessions.Config) *house {
	t.Helper()
	h := &house{db: db, clock: tenancytest.NewClock(t0)}
	h.accounts = tenancy.New(tenancy.Config{Now: h.clock.Now})
	h.sessions = h.policy(t, cfg)
	h.ada = tenancytest.Register(t, db, h.accounts, "ada@example.com")
	h.bob = tenancytest.Register(t, db, h.accounts, "bob@example.com")
	return h
}

func (h *house) policy(t *testing.T, cfg sessions.Config) *sessions.Sessions {
	t.Helper()
	cfg.Now = h.clock.Now
	s, err := sessions.New(h.accounts, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// each runs fn in a house on each database.
func each(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *bun.DB) { fn(t, newHouse(t, db, sessions.Config{})) }, authn.Migrate)
}

func userOf(r tenancy.Registered) tenancy.Actor {
	return tenancy.Actor{Kind: tenancy.ActorUser, ID: string(r.User.ID)}
}

func (h *house) start(t *testing.T, user tenancy.UserID) sessions.Issued {
	t.Helper()
	issued, err := h.sessions.Start(t.Context(), h.db, sessions.Start{User: user, Addr: netip.MustParseAddr("192.0.2.7"), UserAgent: "Browser/1"})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// join makes a user a member of an account, by an operator.
func (h *house) join(t *testing.T, account tenancy.AccountID, user tenancy.UserID) {
	t.Helper()
	_, err := h.accounts.AddMember(t.Context(), h.db, tenancy.AddMember{Account: account, User: user, Roles: []tenancy.Role{tenancy.RoleEditor}, Actor: operator})
	if err != nil {
		t.Fatal(err)
	}
}

func (h *house) leave(t *testing.T, account tenancy.AccountID, user tenancy.UserID) {
	t.Helper()
	if err := h.accounts.RemoveMember(t.Context(), h.db, tenancy.RemoveMember{Account: account, User: user, Actor: operator}); err != nil {
		t.Fatal(err)
	}
}

func (h *house) user(t *testing.T, email string) tenancy.UserID {
	t.Helper()
	u, err := h.accounts.CreateUser(t.Context(), h.db, tenancy.CreateUser{Email: email, Name: email})
	if err != nil {
		t.Fatal(err)
	}
	return u.ID
}

func shown(token sessions.Token, account tenancy.AccountID) authn.Credential {
	return authn.Credential{Scheme: sessions.Scheme, Value: string(token), Account: account}
}

// use says what a token opens: the account, or the refusal.
func (h *house) use(t *testing.T, token sessions.Token) (tenancy.AccountID, error) {
	t.Helper()
	p, err := h.sessions.Authenticate(t.Context(), h.db, shown(token, ""))
	return p.Account, err
}

// opens fails unless the token opens the account.
func (h *house) opens(t *testing.T, what string, token sessions.Token, want tenancy.AccountID) {
	t.Helper()
	if got, err := h.use(t, token); err != nil || got != want {
		t.Errorf("%s: it opens %q, %v, want %s", what, got, err, want)
	}
}

// opensNothing fails unless the token is refused in the one way.
func (h *house) opensNothing(t *testing.T, what string, token sessions.Token) {
	t.Helper()
	const words = "the credential is not valid: the session is over: sign in"
	if got, err := h.use(t, token); !errors.Is(err, authn.ErrBadCredential) || err.Error() != words {
		t.Errorf("%s: it opens %q, %v", what, got, err)
	}
}

func (h *house) list(t *testing.T, user tenancy.UserID) (ids []sessions.ID) {
	t.Helper()
	list, err := h.sessions.List(t.Context(), h.db, sessions.List{User: user})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	return ids
}

// epoch is how often what is remembered of a user became untrue.
func (h *house) epoch(t *testing.T, user tenancy.UserID) int64 {
	t.Helper()
	n, err := h.accounts.Epoch(t.Context(), h.db, user.Subject())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// audits are the lines of the installation's log, newest first.
func (h *house) audits(t *testing.T) []tenancy.Audit {
	t.Helper()
	lines, err := h.accounts.Audits(t.Context(), h.db, tenancy.AuditLog{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func (h *house) count(t *testing.T, table string) (n int) {
	t.Helper()
	if err := h.db.NewRaw("SELECT COUNT(*) FROM ?", bun.Ident(table)).Scan(t.Context(), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

var tables = []string{"authn_sessions", "authn_passwords", "tenancy_changes", "tenancy_audit", "tenancy_events", "tenancy_users", "tenancy_members"}

// dump is every row of every table that this package writes or might, as text.
func (h *house) dump(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, table := range tables {
		var rows []map[string]any
		if err := h.db.NewRaw("SELECT * FROM ? ORDER BY 1, 2", bun.Ident(table)).Scan(t.Context(), &rows); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			out[table] = append(out[table], fmt.Sprintf("%s", r))
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

// in runs fn in a transaction of the host's, which is still good afterwards.
func (h *house) in(t *testing.T, fn func(ctx context.Context, tx bun.Tx)) {
	t.Helper()
	err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		fn(ctx, tx)
		_, err := h.accounts.Get(ctx, tx, h.ada.Account.ID)
		return err
	})
	if err != nil {
		t.Errorf("the host's transaction is spoilt: %v", err)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || (want == nil) != (err == nil) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// request makes a request; headers are name, value, name, value. What has a body has JSON.
func request(method, target, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// with are the headers of a browser that has the session.
func with(token sessions.Token, headers ...string) []string {
	return append([]string{"Cookie", cookie + "=" + string(token)}, headers...)
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
type queries struct{ said []string }

func (q *queries) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (q *queries) AfterQuery(_ context.Context, e *bun.QueryEvent) { q.said = append(q.said, e.Query) }
