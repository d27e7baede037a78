package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestMain(m *testing.M) {
	dbtest.Main(m, map[string]dbtest.ChildFunc{"register": registerChild, "act": actChild, "everyone": everyoneChild, "admit": admitChild})
}

// t0 is when most tests begin. It has microseconds, which both databases keep.
var t0 = time.Date(2026, 3, 1, 9, 0, 0, 123456000, time.UTC)

var (
	operator = tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}
	person   = tenancy.Actor{Kind: tenancy.ActorUser, ID: "usr_1"}
)

// self is the owner of what was registered.
func self(r tenancy.Registered) tenancy.Actor { return as(r.User.ID) }

func as(user tenancy.UserID) tenancy.Actor {
	return tenancy.Actor{Kind: tenancy.ActorUser, ID: string(user)}
}

func each(t *testing.T, fn func(t *testing.T, db *bun.DB)) {
	t.Helper()
	dbtest.Each(t, fn, tenancy.Migrate)
}

// newAccounts is Accounts on a clock of its own that shows t0, with the plans of
// the kit in the catalogue.
func newAccounts(t *testing.T, db bun.IDB, cfg tenancy.Config) (*tenancy.Accounts, *tenancytest.Clock) {
	t.Helper()
	clock := tenancytest.NewClock(t0)
	cfg.Now = clock.Now
	accounts := tenancy.New(cfg)
	if _, err := accounts.Ensure(t.Context(), db, tenancytest.Plans()...); err != nil {
		t.Fatal(err)
	}
	return accounts, clock
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || (want == nil) != (err == nil) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

var tables = []string{
	"tenancy_plans", "tenancy_accounts", "tenancy_users", "tenancy_members", "tenancy_member_roles",
	"tenancy_object_roles", "tenancy_ownership_offers", "tenancy_invitations", "tenancy_invitation_tokens",
	"tenancy_events", "tenancy_deliveries", "tenancy_leases", "tenancy_audit",
}

// rows counts the rows of every table.
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

// unchanged fails when fn adds or removes a row anywhere.
func unchanged(t *testing.T, db bun.IDB, what string, fn func()) {
	t.Helper()
	before := rows(t, db)
	fn()
	if d := cmp.Diff(before, rows(t, db)); d != "" {
		t.Errorf("%s wrote something (-before +after):\n%s", what, d)
	}
}

// tally counts the successes and fails for every error that is not want.
func tally(t *testing.T, errs []error, want error) (successes int) {
	t.Helper()
	for _, err := range errs {
		if err == nil {
			successes++
		} else if !errors.Is(err, want) {
			t.Errorf("got %v, want nil or %v", err, want)
		}
	}
	return successes
}

func setStatus(t *testing.T, db bun.IDB, id tenancy.AccountID, status tenancy.Status) {
	t.Helper()
	_, err := db.NewRaw("UPDATE tenancy_accounts SET status = ?, suspended_from = '' WHERE account_id = ?", status, id).Exec(t.Context())
	if err != nil {
		t.Fatal(err)
	}
}

func createUser(t *testing.T, db bun.IDB, accounts *tenancy.Accounts, email string) tenancy.UserID {
	t.Helper()
	u, err := accounts.CreateUser(t.Context(), db, tenancy.CreateUser{Email: email, Name: email})
	if err != nil {
		t.Fatal(err)
	}
	return u.ID
}

func registerChild(ctx context.Context, db *bun.DB, args []string) error {
	accounts := tenancy.New(tenancy.Config{})
	made := 0
	for _, err := range dbtest.Together(5, func(int) error {
		_, err := accounts.Register(ctx, db, tenancy.Register{Name: "Ada", Email: args[0]})
		return err
	}) {
		switch {
		case err == nil:
			made++
		case !errors.Is(err, tenancy.ErrEmailTaken):
			return err
		}
	}
	fmt.Print(made)
	return nil
}
