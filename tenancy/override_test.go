package tenancy_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// large is a plan with everything that an override can change.
func large() tenancy.Plan {
	return tenancy.Plan{
		Slug: "large", Name: "Large", Active: true, TrialDays: 14,
		Prices: []tenancy.Price{{Currency: "USD", Interval: tenancy.Monthly, Amount: 0}},
		Limits: map[string]int64{"sites": 3, tenancy.LimitUsers: 2},
		Flags:  map[string]bool{"sso": true, "beta": false},
	}
}

func onLarge(t *testing.T, db bun.IDB, accounts *tenancy.Accounts) tenancy.AccountID {
	t.Helper()
	if _, err := accounts.Ensure(t.Context(), db, large()); err != nil {
		t.Fatal(err)
	}
	r, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: "ada@example.com", Plan: "large"})
	if err != nil {
		t.Fatal(err)
	}
	return r.Account.ID
}

// has enters the account and returns the plan that a handler sees.
func has(t *testing.T, db bun.IDB, accounts *tenancy.Accounts, id tenancy.AccountID) tenancy.Plan {
	t.Helper()
	ctx, err := accounts.Enter(t.Context(), db, id, key, 0)
	if err != nil {
		t.Fatal(err)
	}
	return tenancy.From(ctx).Plan
}

func TestM10_Plan_ItsFlagsAreKeptLikeItsLimits(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		id := onLarge(t, db, accounts)
		p := has(t, db, accounts, id)
		if d := cmp.Diff(large(), p); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if !p.Has("sso") || p.Has("beta") || p.Has("unknown") || (tenancy.Plan{}).Has("sso") {
			t.Errorf("%+v", p.Flags)
		}
		if n, limited := p.Limit("sites"); n != 3 || !limited {
			t.Error(n, limited)
		}
		if n, limited := p.Limit("sectors"); n != 0 || limited {
			t.Error(n, limited)
		}
		if changed, err := accounts.Ensure(t.Context(), db, large()); len(changed) != 0 || err != nil {
			t.Errorf("the same again changed %v, %v", changed, err)
		}
		for _, flags := range []map[string]bool{{"sso": true, "beta": true}, {"sso": true}, nil} {
			p := large()
			p.Flags = flags
			if changed, err := accounts.Ensure(t.Context(), db, p); len(changed) != 1 || err != nil {
				t.Errorf("%v changed %v, %v", flags, changed, err)
			}
			if d := cmp.Diff(flags, has(t, db, accounts, id).Flags); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		}
		for what, spoil := range map[string]func(p *tenancy.Plan){
			"an unnamed flag":      func(p *tenancy.Plan) { p.Flags[""] = true },
			"a flag in no UTF-8":   func(p *tenancy.Plan) { p.Flags["\xff"] = true },
			"a long flag":          func(p *tenancy.Plan) { p.Flags[strings.Repeat("a", 65)] = true },
			"a flag and a limit":   func(p *tenancy.Plan) { p.Flags["sites"] = true },
			"a limit, and no flag": func(p *tenancy.Plan) { p.Limits["beta"] = 1 },
		} {
			p := large()
			spoil(&p)
			unchanged(t, db, what, func() {
				_, err := accounts.Ensure(t.Context(), db, p)
				wantErr(t, what, err, tenancy.ErrInvalid)
			})
		}
	})
}

func TestM10_Override_IsInThePlanThatEnterReturns(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		id := onLarge(t, db, accounts)
		other := tenancytest.Register(t, db, accounts, "eve@example.com").Account.ID
		override := func(o tenancy.Override, want tenancy.Overrides) {
			t.Helper()
			o.Account, o.Actor, o.Reason = id, operator, "agreed by mail"
			got, err := accounts.Override(t.Context(), db, o)
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Errorf("returns (-want +got):\n%s%v", d, err)
			}
			stored, err := accounts.Overrides(t.Context(), db, id)
			if d := cmp.Diff(want, stored); d != "" || err != nil {
				t.Errorf("stores (-want +got):\n%s%v", d, err)
			}
		}
		entered := func(limits map[string]int64, flags map[string]bool) {
			t.Helper()
			want := large()
			want.Limits, want.Flags = limits, flags
			if d := cmp.Diff(want, has(t, db, accounts, id)); d != "" {
				t.Errorf("entered (-want +got):\n%s", d)
			}
		}
		clock.Advance(time.Hour)
		all := tenancy.Overrides{
			Limits: map[string]int64{"sites": 5, "sectors": math.MaxInt64}, Unlimited: []string{tenancy.LimitUsers},
			Flags: map[string]bool{"sso": false, "beta": true, "white_label": true},
		}
		override(tenancy.Override{Limits: all.Limits, Unlimited: all.Unlimited, Flags: all.Flags}, all)
		entered(map[string]int64{"sites": 5, "sectors": math.MaxInt64}, map[string]bool{"sso": false, "beta": true, "white_label": true})
		if d := cmp.Diff(tenancy.AccountOverridden{Overrides: all}, tenancytest.RequireEvent[tenancy.AccountOverridden](t, db, id)); d != "" {
			t.Errorf("event (-want +got):\n%s", d)
		}
		line := tenancytest.RequireAudit(t, db, id, "tenancy.override")
		if line.Actor != operator || line.Reason != "agreed by mail" || !line.At.Equal(clock.Now()) ||
			string(line.Data) != `{"limits":{"sectors":9223372036854775807,"sites":5},"unlimited":["users"],"flags":{"beta":true,"sso":false,"white_label":true}}` {
			t.Errorf("audit %+v %s", line, line.Data)
		}
		clock.Advance(time.Hour)
		unchanged(t, db, "the same again", func() {
			override(tenancy.Override{Limits: map[string]int64{"sites": 5}, Unlimited: all.Unlimited, Clear: []string{"unknown"}}, all)
			override(tenancy.Override{}, all)
		})
		if a, err := accounts.Get(t.Context(), db, id); err != nil || !a.UpdatedAt.Equal(clock.Now().Add(-time.Hour)) {
			t.Errorf("%+v, %v", a, err)
		}

		// They stay when the account goes to another plan, or changes otherwise.
		if _, err := accounts.Change(t.Context(), db, tenancy.Change{Account: id, Plan: "starter", Actor: operator}); err != nil {
			t.Fatal(err)
		}
		if p := has(t, db, accounts, id); p.Slug != "starter" || p.Limits["sites"] != 5 || !p.Has("beta") {
			t.Errorf("on another plan: %+v", p)
		}
		if _, err := accounts.Change(t.Context(), db, tenancy.Change{Account: id, Plan: "large", Actor: operator}); err != nil {
			t.Fatal(err)
		}

		// What is not named stays, what is cleared is the plan's again.
		override(tenancy.Override{Limits: map[string]int64{tenancy.LimitUsers: 0}, Clear: []string{"sectors", "sso", "white_label"}}, tenancy.Overrides{
			Limits: map[string]int64{"sites": 5, tenancy.LimitUsers: 0}, Flags: map[string]bool{"beta": true},
		})
		entered(map[string]int64{"sites": 5, tenancy.LimitUsers: 0}, map[string]bool{"sso": true, "beta": true})
		override(tenancy.Override{Clear: []string{"sites", tenancy.LimitUsers, "beta"}}, tenancy.Overrides{})
		entered(large().Limits, large().Flags)

		// Nobody else has any, and the catalogue is what it was.
		if own, err := accounts.Overrides(t.Context(), db, other); err != nil || cmp.Diff(tenancy.Overrides{}, own) != "" {
			t.Errorf("%+v, %v", own, err)
		}
		if p, err := accounts.Plan(t.Context(), db, "large"); err != nil || cmp.Diff(large(), p) != "" {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

func TestM10_Override_Refusals(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		id := onLarge(t, db, accounts)
		closed := tenancytest.Register(t, db, accounts, "eve@example.com").Account.ID
		if _, err := accounts.Close(t.Context(), db, tenancy.Close{Account: closed, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		if _, err := accounts.Override(t.Context(), db, tenancy.Override{Account: id, Flags: map[string]bool{"mine": true}, Limits: map[string]int64{"own": 1}, Actor: system}); err != nil {
			t.Fatal(err)
		}
		many := map[string]bool{}
		for i := range 200 {
			many[fmt.Sprint("f", i)] = true
		}
		sites := map[string]int64{"sites": 4}
		r, err := accounts.Get(t.Context(), db, id)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			what string
			o    tenancy.Override
			want error
		}{
			{"nobody", tenancy.Override{Account: id, Limits: sites, Actor: tenancy.Actor{Kind: tenancy.ActorOperator}}, tenancy.ErrInvalid},
			{"its owner", tenancy.Override{Account: id, Limits: sites, Actor: tenancy.Actor{Kind: tenancy.ActorUser, ID: string(r.Owner)}}, tenancy.ErrForbidden},
			{"a key", tenancy.Override{Account: id, Limits: sites, Actor: key}, tenancy.ErrForbidden},
			{"no account", tenancy.Override{Account: "acc_none", Limits: sites}, tenancy.ErrNoAccount},
			{"no account's id", tenancy.Override{Account: "a b", Limits: sites}, tenancy.ErrNoAccount},
			{"a closed account", tenancy.Override{Account: closed, Limits: sites}, tenancy.ErrNoAccount},
			{"a negative limit", tenancy.Override{Account: id, Limits: map[string]int64{"sites": -1}}, tenancy.ErrInvalid},
			{"no name", tenancy.Override{Account: id, Unlimited: []string{""}}, tenancy.ErrInvalid},
			{"a long name", tenancy.Override{Account: id, Flags: map[string]bool{strings.Repeat("a", 65): true}}, tenancy.ErrInvalid},
			{"a name with a NUL", tenancy.Override{Account: id, Clear: []string{"a\x00"}}, tenancy.ErrInvalid},
			{"a name twice", tenancy.Override{Account: id, Unlimited: []string{"sites", "sites"}}, tenancy.ErrInvalid},
			{"limited and unlimited", tenancy.Override{Account: id, Limits: sites, Unlimited: []string{"sites"}}, tenancy.ErrInvalid},
			{"given and cleared", tenancy.Override{Account: id, Limits: sites, Clear: []string{"sites"}}, tenancy.ErrInvalid},
			{"a limit and a flag", tenancy.Override{Account: id, Limits: map[string]int64{"x": 1}, Flags: map[string]bool{"x": true}}, tenancy.ErrInvalid},
			{"a flag that is the plan's limit", tenancy.Override{Account: id, Flags: map[string]bool{"sites": true}}, tenancy.ErrInvalid},
			{"a limit that is the plan's flag", tenancy.Override{Account: id, Unlimited: []string{"sso"}}, tenancy.ErrInvalid},
			{"a flag that is its own limit", tenancy.Override{Account: id, Flags: map[string]bool{"own": true}}, tenancy.ErrInvalid},
			{"a limit that is its own flag", tenancy.Override{Account: id, Limits: map[string]int64{"mine": 1}}, tenancy.ErrInvalid},
			{"too many", tenancy.Override{Account: id, Flags: many}, tenancy.ErrInvalid},
		} {
			if c.o.Actor.Kind == "" {
				c.o.Actor = operator
			}
			unchanged(t, db, c.what, func() {
				got, err := accounts.Override(t.Context(), db, c.o)
				wantErr(t, c.what, err, c.want)
				if d := cmp.Diff(tenancy.Overrides{}, got); d != "" {
					t.Errorf("%s returns %+v", c.what, got)
				}
			})
		}
		for _, id := range []tenancy.AccountID{"acc_none", "a b"} {
			_, err := accounts.Overrides(t.Context(), db, id)
			wantErr(t, "reading", err, tenancy.ErrNoAccount)
		}
	})
}

// Some are of one account at once: none is lost.
func TestM10_Override_EachOfManyAtOnceAddsItsOwn(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		id := onLarge(t, db, accounts)
		errs := dbtest.Together(8, func(i int) error {
			_, err := accounts.Override(t.Context(), db, tenancy.Override{Account: id, Limits: map[string]int64{fmt.Sprint("l", i): int64(i)}, Actor: operator})
			return err
		})
		if n := tally(t, errs, nil); n != 8 {
			t.Errorf("%d of 8 succeeded", n)
		}
		if own, err := accounts.Overrides(t.Context(), db, id); err != nil || len(own.Limits) != 8 {
			t.Errorf("%+v, %v", own, err)
		}
	})
}

// Whatever the names and numbers, what comes out is the last word on each.
func TestM10_Override_TheLastWordCounts(t *testing.T) {
	name := rapid.SampledFrom([]string{"a", "b", "sites", `q"?\`, "ä€😀"})
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		id := onLarge(t, db, accounts)
		gen := rapid.MapOfN(name, rapid.Int64Range(-2, math.MaxInt64), 0, 4) // -2 clears, -1 is unlimited
		last := map[string]int64{}
		for seed := range 40 {
			o := tenancy.Override{Account: id, Actor: operator}
			for what, n := range gen.Example(seed) {
				switch last[what] = n; n {
				case -2:
					o.Clear = append(o.Clear, what)
					delete(last, what)
				case -1:
					o.Unlimited = append(o.Unlimited, what)
				default:
					if o.Limits == nil {
						o.Limits = map[string]int64{}
					}
					o.Limits[what] = n
				}
			}
			if _, err := accounts.Override(t.Context(), db, o); err != nil {
				t.Fatal(err)
			}
			want := large().Limits
			for what, n := range last {
				if want[what] = n; n == -1 {
					delete(want, what)
				}
			}
			if d := cmp.Diff(want, has(t, db, accounts, id).Limits); d != "" {
				t.Fatalf("after %+v (-want +got):\n%s", o, d)
			}
		}
	})
}
