package adoption_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/adoption"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestMain(m *testing.M) {
	dbtest.Main(m, map[string]dbtest.ChildFunc{"adopt": adoptChild})
}

var (
	t0       = time.Date(2026, 11, 2, 9, 0, 0, 123456000, time.UTC)
	opened   = time.Date(2024, 3, 4, 5, 6, 7, 891000000, time.UTC)
	operator = tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}
)

func each(t *testing.T, fn func(t *testing.T, db *bun.DB)) {
	t.Helper()
	dbtest.Each(t, fn, tenancy.Migrate)
}

// newAccounts is Accounts at t0 with the plans of the old system in the catalogue.
// A hook that runs fails the adoption: none may.
func newAccounts(t *testing.T, db bun.IDB) *tenancy.Accounts {
	t.Helper()
	accounts := tenancy.New(tenancy.Config{Now: func() time.Time { return t0 }})
	plans := append(tenancytest.Plans(), tenancy.Plan{
		Slug: "enterprise", Name: "Enterprise", Active: true, MonthlyCredits: 10_000, Limits: map[string]int64{tenancy.LimitUsers: 10_000},
	})
	if _, err := accounts.Ensure(t.Context(), db, plans...); err != nil {
		t.Fatal(err)
	}
	return accounts
}

func newAdoption(t *testing.T, accounts *tenancy.Accounts, cfg adoption.Config) *adoption.Adoption {
	t.Helper()
	cfg.Now = func() time.Time { return t0 }
	a, err := adoption.New(accounts, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// words are those of the old system of design §7.
var words = adoption.Config{
	Statuses: map[string]tenancy.Status{"ACTIVE": tenancy.StatusActive, "TRIAL": tenancy.StatusTrial},
	Plans:    map[string]string{"Enterprise": "enterprise", "Free": tenancy.DefaultTrialPlan},
	Roles:    map[string][]tenancy.Role{"DEVELOPER": {tenancy.RoleDeveloper}, "OWNER": {tenancy.RoleOwner}},
}

// running is the old system: 8 accounts, 3 active and 5 on trial without a recorded
// end, 4 on enterprise; 8 users, 7 owners and a developer, who owns the eighth
// account if it has an owner.
func running(owned bool) adoption.Adopt {
	what := adoption.Adopt{Actor: operator, Reason: "the move"}
	for i := 1; i <= 8; i++ {
		n := fmt.Sprint(i)
		acc := adoption.Account{ID: tenancy.AccountID(n), Name: "Account " + n, Status: "TRIAL", Plan: "Free", Owner: n, CreatedAt: opened.Add(time.Duration(i) * time.Hour)}
		if i <= 3 {
			acc.Status = "ACTIVE"
		}
		if i <= 4 {
			acc.Plan = "Enterprise"
		}
		user := adoption.User{ID: tenancy.UserID(n), Email: "User" + n + "@example.com", Name: "User " + n, CreatedAt: opened}
		member := adoption.Member{Account: n, User: n, Roles: []string{"OWNER"}}
		if i == 8 {
			member.Roles = []string{"DEVELOPER"}
			if !owned {
				acc.Owner, member.Account = "", ""
			}
		}
		what.Accounts = append(what.Accounts, acc)
		what.Users = append(what.Users, user)
		what.Members = append(what.Members, member)
	}
	return what
}

var tables = []string{
	"tenancy_accounts", "tenancy_users", "tenancy_members", "tenancy_member_roles", "tenancy_events", "tenancy_deliveries", "tenancy_audit",
}

func rows(t *testing.T, db bun.IDB) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, table := range tables {
		var n int
		if err := db.NewRaw("SELECT COUNT(*) FROM ?", bun.Ident(table)).Scan(t.Context(), &n); err != nil {
			t.Fatal(err)
		}
		counts[table] = n
	}
	return counts
}

// wantRows fails unless fn adds exactly these rows.
func wantRows(t *testing.T, db bun.IDB, what string, added map[string]int, fn func()) {
	t.Helper()
	want := rows(t, db)
	for table, n := range added {
		want[table] += n
	}
	fn()
	if d := cmp.Diff(want, rows(t, db)); d != "" {
		t.Errorf("%s: rows (-want +got):\n%s", what, d)
	}
}

func wantCounts(t *testing.T, what string, r adoption.Report, accounts, users, members adoption.Counts) {
	t.Helper()
	got := []adoption.Counts{r.Accounts, r.Users, r.Members}
	if d := cmp.Diff([]adoption.Counts{accounts, users, members}, got); d != "" {
		t.Errorf("%s: counts of accounts, users, members (-want +got):\n%s", what, d)
	}
}

// found are the findings as "kind id field".
func found(list []adoption.Finding) []string {
	out := []string{}
	for _, f := range list {
		out = append(out, fmt.Sprintf("%s %s %s", f.Kind, f.ID, f.Field))
	}
	return out
}

func adoptChild(ctx context.Context, db *bun.DB, _ []string) error {
	a, err := adoption.New(tenancy.New(tenancy.Config{}), words)
	if err != nil {
		return err
	}
	report, err := a.Adopt(ctx, db, running(true))
	if err != nil {
		return err
	}
	out, err := json.Marshal(report)
	fmt.Print(string(out))
	return err
}

// beforeQuery runs fn before every statement that contains a text.
type beforeQuery struct {
	text string
	fn   func()
}

func before(text string, fn func()) bun.QueryHook { return beforeQuery{text, fn} }

func (b beforeQuery) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if strings.Contains(e.Query, b.text) {
		b.fn()
	}
	return ctx
}

func (beforeQuery) AfterQuery(context.Context, *bun.QueryEvent) {}
