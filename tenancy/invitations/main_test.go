package invitations_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/invitations"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestMain(m *testing.M) {
	dbtest.Main(m, map[string]dbtest.ChildFunc{"invite": inviteChild, "accept": acceptChild, "acceptNew": acceptNewChild})
}

// t0 is when most tests begin. It has microseconds, which both databases keep.
var t0 = time.Date(2026, 3, 1, 9, 0, 0, 123456000, time.UTC)

var (
	operator = tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}
	viewer   = []tenancy.Role{tenancy.RoleViewer}
	editor   = []tenancy.Role{tenancy.RoleEditor}
)

// house is an account of Ada's, who may invite, on a clock that shows t0.
type house struct {
	db       *bun.DB
	accounts *tenancy.Accounts
	inv      *invitations.Invitations
	clock    *tenancytest.Clock
	ada      tenancy.Registered
	mails    []invitations.Message
}

func newHouse(t *testing.T, db *bun.DB, cfg invitations.Config) *house {
	t.Helper()
	h := &house{db: db, clock: tenancytest.NewClock(t0)}
	h.accounts = tenancy.New(tenancy.Config{Now: h.clock.Now})
	cfg.Now = h.clock.Now
	if cfg.Notify == nil {
		cfg.Notify = func(_ context.Context, m invitations.Message) error {
			h.mails = append(h.mails, m)
			return nil
		}
	}
	h.inv = invitations.New(h.accounts, cfg)
	h.ada = tenancytest.Register(t, db, h.accounts, "ada@example.com")
	return h
}

func each(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *bun.DB) { fn(t, newHouse(t, db, invitations.Config{})) }, tenancy.Migrate)
}

func userActor(id tenancy.UserID) tenancy.Actor {
	return tenancy.Actor{Kind: tenancy.ActorUser, ID: string(id)}
}

func (h *house) invitation(email string) invitations.Invite {
	return invitations.Invite{Account: h.ada.Account.ID, Email: email, Roles: editor, Actor: userActor(h.ada.User.ID)}
}

func (h *house) invite(t *testing.T, email string) invitations.Issued {
	t.Helper()
	issued, err := h.inv.Invite(t.Context(), h.db, h.invitation(email))
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func (h *house) resend(t *testing.T, id invitations.ID) invitations.Issued {
	t.Helper()
	issued, err := h.inv.Resend(t.Context(), h.db, invitations.Resend{Account: h.ada.Account.ID, Invitation: id, Actor: userActor(h.ada.User.ID)})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func (h *house) revoke(t *testing.T, id invitations.ID) {
	t.Helper()
	_, err := h.inv.Revoke(t.Context(), h.db, invitations.Revoke{Account: h.ada.Account.ID, Invitation: id, Actor: userActor(h.ada.User.ID)})
	if err != nil {
		t.Fatal(err)
	}
}

func (h *house) accept(t *testing.T, token invitations.Token, user tenancy.UserID) error {
	t.Helper()
	_, err := h.inv.Accept(t.Context(), h.db, invitations.Accept{Token: token, User: user})
	return err
}

func (h *house) user(t *testing.T, email string) tenancy.UserID {
	t.Helper()
	u, err := h.accounts.CreateUser(t.Context(), h.db, tenancy.CreateUser{Email: email, Name: email})
	if err != nil {
		t.Fatal(err)
	}
	return u.ID
}

// addMember lets the owner add one, with no invitation.
func (h *house) addMember(t *testing.T, user tenancy.UserID, roles ...tenancy.Role) {
	t.Helper()
	_, err := h.accounts.AddMember(t.Context(), h.db, tenancy.AddMember{Account: h.ada.Account.ID, User: user, Roles: roles, Actor: userActor(h.ada.User.ID)})
	if err != nil {
		t.Fatal(err)
	}
}

func (h *house) removeMember(t *testing.T, user tenancy.UserID) {
	t.Helper()
	err := h.accounts.RemoveMember(t.Context(), h.db, tenancy.RemoveMember{Account: h.ada.Account.ID, User: user, Actor: operator})
	if err != nil {
		t.Fatal(err)
	}
}

// members are the account's, but for Ada.
func (h *house) members(t *testing.T) map[tenancy.UserID][]tenancy.Role {
	t.Helper()
	list, err := h.accounts.Members(t.Context(), h.db, h.ada.Account.ID)
	if err != nil {
		t.Fatal(err)
	}
	got := map[tenancy.UserID][]tenancy.Role{}
	for _, m := range list {
		if m.User != h.ada.User.ID {
			got[m.User] = m.Roles
		}
	}
	return got
}

func (h *house) list(t *testing.T, all bool) []invitations.Invitation {
	t.Helper()
	list, err := h.inv.List(t.Context(), h.db, invitations.List{Account: h.ada.Account.ID, All: all})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (h *house) move(t *testing.T, c tenancy.Change) {
	t.Helper()
	c.Account, c.Actor = h.ada.Account.ID, operator
	if _, err := h.accounts.Change(t.Context(), h.db, c); err != nil {
		t.Fatal(err)
	}
}

var tables = []string{
	"tenancy_accounts", "tenancy_users", "tenancy_members", "tenancy_member_roles", "tenancy_object_roles",
	"tenancy_events", "tenancy_audit", "tenancy_invitations", "tenancy_invitation_tokens",
}

// unchanged fails when fn changes anything in a table that this package writes.
func (h *house) unchanged(t *testing.T, what string, fn func()) {
	t.Helper()
	before := h.dump(t)
	fn()
	if d := cmp.Diff(before, h.dump(t)); d != "" {
		t.Errorf("%s wrote something (-before +after):\n%s", what, d)
	}
}

// dump is every row of every table, as text.
func (h *house) dump(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, table := range tables {
		var rows []map[string]any
		if err := h.db.NewRaw("SELECT * FROM ? ORDER BY 1, 2, 3", bun.Ident(table)).Scan(t.Context(), &rows); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			out[table] = append(out[table], fmt.Sprint(r))
		}
	}
	return out
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || (want == nil) != (err == nil) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// tally counts the successes and fails for every error that is not among want.
func tally(t *testing.T, errs []error, want ...error) (successes int) {
	t.Helper()
next:
	for _, err := range errs {
		if err == nil {
			successes++
			continue
		}
		for _, w := range want {
			if errors.Is(err, w) {
				continue next
			}
		}
		t.Errorf("got %v, want nil or one of %v", err, want)
	}
	return successes
}

// in runs fn in a transaction of the host's, which commits.
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
