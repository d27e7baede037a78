package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestM3_Register_WritesAccountOwnerRoleAuditAndEvent(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		before := rows(t, db)
		got, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "  Ada's Atelier ", Email: " Ada@Example.com ", Zone: "Europe/Vienna"})
		if err != nil {
			t.Fatal(err)
		}
		ends := time.Date(2026, 3, 15, 9, 0, 0, 123456000, time.UTC)
		want := tenancy.Registered{
			Account: tenancy.Account{
				Name: "Ada's Atelier", State: tenancy.State{Status: tenancy.StatusTrial, TrialEndsAt: ends}, Plan: "free-trial",
				Zone: "Europe/Vienna", CreatedAt: t0, UpdatedAt: t0,
			},
			User: tenancy.User{Name: "Ada's Atelier", Email: "Ada@Example.com", CreatedAt: t0},
			Plan: tenancytest.Plans()[0],
		}
		want.Account.ID, want.Account.Owner, want.User.ID = got.Account.ID, got.User.ID, got.User.ID
		want.Plan.Limits = map[string]int64{}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("registered (-want +got):\n%s", d)
		}
		if !strings.HasPrefix(string(got.Account.ID), "acc_") || !strings.HasPrefix(string(got.User.ID), "usr_") {
			t.Errorf("ids %s, %s", got.Account.ID, got.User.ID)
		}

		after := rows(t, db)
		for _, table := range tables {
			want := 1
			switch table {
			case "tenancy_plans", "tenancy_leases", "tenancy_object_roles", "tenancy_ownership_offers", "tenancy_invitations", "tenancy_invitation_tokens":
				want = 0
			}
			if n := after[table] - before[table]; n != want {
				t.Errorf("%s has %d rows more, want %d", table, n, want)
			}
		}
		account, err := accounts.Get(t.Context(), db, got.Account.ID)
		if d := cmp.Diff(want.Account, account); d != "" || err != nil {
			t.Errorf("account read back (-want +got):\n%s%v", d, err)
		}
		user, err := accounts.UserByEmail(t.Context(), db, "ADA@example.COM")
		if d := cmp.Diff(want.User, user); d != "" || err != nil {
			t.Errorf("user read back (-want +got):\n%s%v", d, err)
		}
		members, err := accounts.Members(t.Context(), db, account.ID)
		if d := cmp.Diff([]tenancy.Member{{Account: account.ID, User: user.ID, Roles: []tenancy.Role{tenancy.RoleOwner}, CreatedAt: t0}}, members); d != "" || err != nil {
			t.Errorf("members (-want +got):\n%s%v", d, err)
		}
		fact := tenancy.AccountRegistered{User: user.ID, Plan: "free-trial", Status: tenancy.StatusTrial, TrialEndsAt: ends}
		if d := cmp.Diff(fact, tenancytest.RequireEvent[tenancy.AccountRegistered](t, db, account.ID)); d != "" {
			t.Errorf("event (-want +got):\n%s", d)
		}
		line := tenancytest.RequireAudit(t, db, account.ID, "tenancy.register")
		if line.Actor != (tenancy.Actor{Kind: tenancy.ActorUser, ID: string(user.ID)}) || line.Target != string(user.ID) || !line.At.Equal(t0) {
			t.Errorf("audit %+v", line)
		}
		for _, e := range tenancytest.Events(t, db, account.ID) {
			if strings.Contains(strings.ToLower(string(e.Data)), "ada") {
				t.Errorf("personal data in the outbox: %s", e.Data)
			}
		}
	})
}

func TestM3_Register_ThePlanDecidesTheFirstStatus(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	accounts, _ := newAccounts(t, db, tenancy.Config{})
	price := func(n int64) []tenancy.Price {
		return []tenancy.Price{{Currency: "USD", Interval: "month", Amount: n}}
	}
	for i, c := range []struct {
		plan   tenancy.Plan
		status tenancy.Status
		trial  bool
	}{
		{tenancy.Plan{Slug: "free", Prices: price(0)}, tenancy.StatusActive, false},
		{tenancy.Plan{Slug: "paid", Prices: price(1)}, tenancy.StatusPendingPayment, false},
		{tenancy.Plan{Slug: "paid-trial", Prices: price(1), TrialDays: 1}, tenancy.StatusTrial, true},
		{tenancy.Plan{Slug: "priceless"}, tenancy.StatusPendingPayment, false},
		{tenancy.Plan{Slug: "half-free", Prices: append(price(0), tenancy.Price{Currency: "EUR", Interval: "month", Amount: 1})}, tenancy.StatusPendingPayment, false},
	} {
		c.plan.Name, c.plan.Active = c.plan.Slug, true
		if _, err := accounts.Ensure(t.Context(), db, c.plan); err != nil {
			t.Fatal(err)
		}
		r, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: fmt.Sprintf("ada%d@example.com", i), Plan: c.plan.Slug})
		if err != nil || r.Account.Status != c.status || r.Account.TrialEndsAt.IsZero() == c.trial || r.Account.Zone != "UTC" {
			t.Errorf("%s: %+v, %v", c.plan.Slug, r.Account, err)
		}
	}
}

func TestM3_Register_BadInputWritesNothing(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		stopped := tenancy.Plan{Slug: "stopped", Name: "Stopped"}
		if _, err := accounts.Ensure(t.Context(), db, stopped); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			what   string
			change func(r *tenancy.Register)
			want   error
		}{
			{"no name", func(r *tenancy.Register) { r.Name = " \t " }, tenancy.ErrInvalid},
			{"name that nobody sees", func(r *tenancy.Register) { r.Name = "\u200b\u00ad" }, tenancy.ErrInvalid},
			{"name too long", func(r *tenancy.Register) { r.Name = strings.Repeat("é", 101) }, tenancy.ErrInvalid},
			{"name with a NUL", func(r *tenancy.Register) { r.Name = "a\x00b" }, tenancy.ErrInvalid},
			{"name with a line end", func(r *tenancy.Register) { r.Name = "a\nb" }, tenancy.ErrInvalid},
			{"name in no encoding", func(r *tenancy.Register) { r.Name = "a\xffb" }, tenancy.ErrInvalid},
			{"zone Local", func(r *tenancy.Register) { r.Zone = "Local" }, tenancy.ErrInvalid},
			{"zone unknown", func(r *tenancy.Register) { r.Zone = "Europe/Atlantis" }, tenancy.ErrInvalid},
			{"zone outside its folder", func(r *tenancy.Register) { r.Zone = "../zoneinfo/UTC" }, tenancy.ErrInvalid},
			{"zone of the machine", func(r *tenancy.Register) { r.Zone = "localtime" }, tenancy.ErrInvalid},
			{"zone with leap seconds", func(r *tenancy.Register) { r.Zone = "right/Europe/Vienna" }, tenancy.ErrInvalid},
			{"zone written oddly", func(r *tenancy.Register) { r.Zone = "Europe//Vienna" }, tenancy.ErrInvalid},
			{"zone too long", func(r *tenancy.Register) { r.Zone = strings.Repeat("a/", 4000) + "UTC" }, tenancy.ErrInvalid},
			{"zone with a NUL", func(r *tenancy.Register) { r.Zone = "UTC\x00" }, tenancy.ErrInvalid},
			{"plan unknown", func(r *tenancy.Register) { r.Plan = "gold" }, tenancy.ErrNoPlan},
			{"plan stopped", func(r *tenancy.Register) { r.Plan = "stopped" }, tenancy.ErrNoPlan},
			{"plan with a NUL", func(r *tenancy.Register) { r.Plan = "starter\x00" }, tenancy.ErrNoPlan},
			{"plan in no encoding", func(r *tenancy.Register) { r.Plan = "\xff" }, tenancy.ErrNoPlan},
		} {
			unchanged(t, db, c.what, func() {
				r := tenancy.Register{Name: "Ada", Email: "ada@example.com"}
				c.change(&r)
				_, err := accounts.Register(t.Context(), db, r)
				wantErr(t, c.what, err, c.want)
				if status, _, _ := problem.Of(err); status != 422 {
					t.Errorf("%s answers %d", c.what, status)
				}
			})
		}
	})
}

func TestM3_Register_EmailAddresses(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	accounts, _ := newAccounts(t, db, tenancy.Config{})
	for _, email := range []string{
		"", " ", "ada", "ada@", "@example.com", "ada@localhost", "ada@@example.com", "ada@example..com", "ada@.example.com",
		"ada@example.com.", ".ada@example.com", "a da@example.com", `"a da"@example.com`, "Ada <ada@example.com>",
		"<ada@example.com>", "ada@example.com (Ada)", "ada@example.com,bob@example.com", "ada@example.com\nBcc: bob@example.com",
		"ada\x00@example.com", "ada@exa\xffmple.com", "ada@[127.0.0.1]", "ada\u00a0@example.com", "ada@exam\u200bple.com",
		"\u202eada@example.com", "jac\u212a@example.com", "j\u0130m@example.com", strings.Repeat("a", 243) + "@example.com",
	} {
		unchanged(t, db, email, func() {
			_, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: email})
			wantErr(t, strconv.Quote(email), err, tenancy.ErrInvalid)
			_, err = accounts.CreateUser(t.Context(), db, tenancy.CreateUser{Name: "Ada", Email: email})
			wantErr(t, strconv.Quote(email), err, tenancy.ErrInvalid)
			_, err = accounts.UserByEmail(t.Context(), db, email)
			wantErr(t, strconv.Quote(email), err, tenancy.ErrNoUser)
		})
	}
	for _, email := range []string{
		"a@b.co", "ada+tag@example.com", "o'hara@example.com", "ada@sub.example.co.uk", "grüße@exämple.com",
		"1-2_3@example.com", "ada@xn--exmple-cua.com", strings.Repeat("a", 242) + "@example.com",
	} {
		r, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: email})
		if err != nil || r.User.Email != email {
			t.Errorf("%q: %+v, %v", email, r.User, err)
		}
	}
}

func TestM3_Register_ATakenAddressWritesNothing(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		tenancytest.Register(t, db, accounts, "grüße@example.com")
		unchanged(t, db, "the second sign-up", func() {
			for _, email := range []string{"grüße@example.com", "GRÜßE@EXAMPLE.COM", " Grüße@Example.com", "gru\u0308ße@example.com"} {
				_, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Bob", Email: email})
				wantErr(t, email, err, tenancy.ErrEmailTaken)
				_, err = accounts.CreateUser(t.Context(), db, tenancy.CreateUser{Name: "Bob", Email: email})
				wantErr(t, email, err, tenancy.ErrEmailTaken)
			}
		})
		if status, code, _ := problem.Of(tenancy.ErrEmailTaken); status != 409 || code != "email_taken" {
			t.Errorf("answers %d %s", status, code)
		}
	})
}

func TestM3_Register_BeforeRegisterRefuses(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	accounts, _ := newAccounts(t, db, tenancy.Config{
		BeforeRegister: func(context.Context, tenancy.Register) error {
			return fmt.Errorf("%w: by invitation only", tenancy.ErrRefused)
		},
	})
	unchanged(t, db, "a refused registration", func() {
		_, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
		if status, code, text := problem.Of(err); status != 403 || code != "registration_refused" || !strings.HasSuffix(text, ": by invitation only") {
			t.Errorf("answers %d %s %q", status, code, text)
		}
	})
}

// A visitor can do nothing about it, so it is no 422 for the visitor.
func TestM3_Register_WithoutTheTrialPlanIsTheHostsMistake(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts := tenancy.New(tenancy.Config{TrialPlan: "secret-plan"})
		check := func() {
			unchanged(t, db, "a registration without a plan", func() {
				_, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
				if status, _, text := problem.Of(err); status != 503 || strings.Contains(text, "plan") || errors.Is(err, tenancy.ErrNoPlan) {
					t.Errorf("answers %d %q for %v", status, text, err)
				}
			})
		}
		check()
		if _, err := accounts.Ensure(t.Context(), db, tenancy.Plan{Slug: "secret-plan", Name: "Stopped"}); err != nil {
			t.Fatal(err)
		}
		check()
	})
}
