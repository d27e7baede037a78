package tenancytest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func greeting(w http.ResponseWriter, r *http.Request) {
	s := tenancy.From(r.Context())
	fmt.Fprintf(w, "hello %s, you are on %s", s.Account, s.Plan.Slug)
}

// The test that doc.go shows.
func TestGreeting_NamesThePlan(t *testing.T) {
	ctx := tenancytest.Context(t, tenancy.Scope{Account: "acc_1"})
	r := httptest.NewRequestWithContext(ctx, "GET", "/greeting", nil)
	w := httptest.NewRecorder()
	greeting(w, r)
	if got := w.Body.String(); got != "hello acc_1, you are on starter" {
		t.Error(got)
	}
}

func TestContext_FillsInWhatIsMissingAndKeepsWhatIsGiven(t *testing.T) {
	got := tenancy.From(tenancytest.Context(t, tenancy.Scope{}))
	want := tenancy.Scope{
		Account: "acc_test", State: tenancy.State{Status: tenancy.StatusActive}, Plan: tenancytest.Plans()[1],
		Actor: tenancy.Actor{Kind: tenancy.ActorUser, ID: "usr_test"}, Capability: tenancy.Use,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	past := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	want = tenancy.Scope{
		Account: "7", State: tenancy.State{Status: tenancy.StatusPastDue, GraceEndsAt: past}, Plan: tenancytest.Plans()[0],
		Actor: tenancy.Actor{Kind: tenancy.ActorKey, ID: "key_1"}, Capability: tenancy.Read,
	}
	if d := cmp.Diff(want, tenancy.From(tenancytest.Context(t, want))); d != "" {
		t.Error(d)
	}
}

func TestContext_IsNoWayAroundTheValidation(t *testing.T) {
	for _, s := range []tenancy.Scope{
		{State: tenancy.State{Status: tenancy.StatusSuspended}},
		{Plan: tenancy.Plan{Slug: "old"}},
		{Actor: tenancy.Actor{Kind: tenancy.ActorKey, ID: "key_1"}, Capability: tenancy.Pay},
	} {
		if said := failure(t, func(t testing.TB) { tenancytest.Context(t, s) }); said == "" {
			t.Errorf("%+v was entered", s)
		}
	}
}

func TestRegister_BringsThePlansAndLeavesTheHostsAlone(t *testing.T) {
	clock := tenancytest.NewClock(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC))
	db := tenancytest.SQLite(t, tenancy.Migrate)
	accounts := tenancy.New(tenancy.Config{Now: clock.Now})
	own := tenancy.Plan{Slug: tenancy.DefaultTrialPlan, Name: "The host's own", Active: true, TrialDays: 3, Prices: []tenancy.Price{}, Limits: map[string]int64{}}
	if _, err := accounts.Ensure(t.Context(), db, own); err != nil {
		t.Fatal(err)
	}
	ada := tenancytest.Register(t, db, accounts, "ada@example.com")
	bob := tenancytest.Register(t, db, accounts, "bob@example.com")
	if ada.Account.ID == bob.Account.ID {
		t.Error("two registrations made one account")
	}
	if d := cmp.Diff(own, ada.Plan); d != "" {
		t.Error(d)
	}
	if want := clock.Now().AddDate(0, 0, 3); !ada.Account.TrialEndsAt.Equal(want) {
		t.Errorf("the trial ends %s, not %s: the host's clock was not read", ada.Account.TrialEndsAt, want)
	}
	starter, err := accounts.Plan(t.Context(), db, "starter")
	if d := cmp.Diff(tenancytest.Plans()[1], starter); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestSQLite_EachTestHasItsOwnAndForeignKeysHold(t *testing.T) {
	one, two := tenancytest.SQLite(t, tenancy.Migrate), tenancytest.SQLite(t, tenancy.Migrate)
	tenancytest.Register(t, one, tenancy.New(tenancy.Config{}), "ada@example.com")
	tenancytest.Register(t, two, tenancy.New(tenancy.Config{}), "ada@example.com")
	_, err := one.ExecContext(t.Context(), "INSERT INTO tenancy_members (account_id, user_id, created_at) VALUES ('a', 'u', '2026-03-01')")
	if err == nil {
		t.Error("a member of no account was stored")
	}
	broken := func(context.Context, *bun.DB) error { return fmt.Errorf("boom") }
	if said := failure(t, func(t testing.TB) { tenancytest.SQLite(t, broken) }); !strings.Contains(said, "boom") {
		t.Errorf("a failed migration said %q", said)
	}
}

func TestRequire_FindsTheLatestAndFailsWithoutOne(t *testing.T) {
	db := tenancytest.SQLite(t, tenancy.Migrate)
	accounts := tenancy.New(tenancy.Config{})
	id := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
	if e := tenancytest.RequireEvent[tenancy.AccountRegistered](t, db, id); e.Plan != tenancy.DefaultTrialPlan {
		t.Errorf("event %+v", e)
	}
	if said := failure(t, func(t testing.TB) { tenancytest.RequireEvent[tenancy.AccountChanged](t, db, id) }); !strings.Contains(said, "tenancy.account_registered") {
		t.Errorf("without the event it said %q", said)
	}
	if said := failure(t, func(t testing.TB) { tenancytest.RequireAudit(t, db, id, "tenancy.suspend") }); !strings.Contains(said, "tenancy.register") {
		t.Errorf("without the audit it said %q", said)
	}
	operator := tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}
	for _, reason := range []string{"first", "second"} {
		if _, err := accounts.Suspend(t.Context(), db, tenancy.Suspend{Account: id, Actor: operator, Reason: reason}); err != nil {
			t.Fatal(err)
		}
		if _, err := accounts.Resume(t.Context(), db, tenancy.Resume{Account: id, Actor: operator}); err != nil {
			t.Fatal(err)
		}
	}
	if a := tenancytest.RequireAudit(t, db, id, "tenancy.suspend"); a.Reason != "second" || a.Actor != operator {
		t.Errorf("audit %+v", a)
	}
	if e := tenancytest.RequireEvent[tenancy.AccountChanged](t, db, id); e.From != tenancy.StatusSuspended || e.To != tenancy.StatusTrial {
		t.Errorf("event %+v", e)
	}
	if n := len(tenancytest.Events(t, db, id)); n != 5 {
		t.Errorf("%d events", n)
	}
	tenancytest.RequireAudit(t, db, "", "tenancy.ensure_plan")
}

func TestClock_MovesBothWays(t *testing.T) {
	start := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	clock := tenancytest.NewClock(start)
	clock.Advance(time.Hour)
	if got := clock.Now(); !got.Equal(start.Add(time.Hour)) {
		t.Error(got)
	}
	clock.Set(start.AddDate(-1, 0, 0))
	if got := clock.Now(); !got.Equal(start.AddDate(-1, 0, 0)) {
		t.Error(got)
	}
}

// recorder is a test that may fail without failing this one.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Fatal(args ...any)                 { r.end(fmt.Sprint(args...)) }
func (r *recorder) Fatalf(format string, args ...any) { r.end(fmt.Sprintf(format, args...)) }
func (r *recorder) end(said string)                   { r.said = said; runtime.Goexit() }

func failure(t *testing.T, fn func(t testing.TB)) string {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() { defer close(done); fn(r) }()
	<-done
	return r.said
}
