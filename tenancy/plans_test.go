package tenancy_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/uptrace/bun"
	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func audits(t *testing.T, db bun.IDB, account tenancy.AccountID) []tenancy.Audit {
	t.Helper()
	lines, err := tenancy.New(tenancy.Config{}).Audits(t.Context(), db, tenancy.AuditLog{Account: account, Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestM1_Ensure_CreatesOnceChangesOnceAndLeavesOthersAlone(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		clock := tenancytest.NewClock(t0)
		accounts := tenancy.New(tenancy.Config{Now: clock.Now})
		ensure := func(want []string, plans ...tenancy.Plan) {
			t.Helper()
			got, err := accounts.Ensure(t.Context(), db, plans...)
			if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" || err != nil {
				t.Errorf("changed (-want +got):\n%s%v", d, err)
			}
		}
		plans := tenancytest.Plans()
		trial, starter := plans[0], plans[1]
		ensure([]string{"free-trial", "starter"}, starter, trial)
		unchanged(t, db, "the same catalogue again", func() { ensure(nil, trial, starter) })

		clock.Advance(time.Hour)
		starter.MonthlyCredits, starter.Active = 1500, false
		ensure([]string{"starter"}, trial, starter)
		unchanged(t, db, "the changed catalogue again", func() { ensure(nil, trial, starter) })

		got, err := accounts.Plans(t.Context(), db)
		if d := cmp.Diff([]tenancy.Plan{trial, starter}, got, cmpopts.EquateEmpty()); d != "" || err != nil {
			t.Errorf("the catalogue (-want +got):\n%s%v", d, err)
		}
		lines := audits(t, db, "")
		if len(lines) != 3 || lines[0].Target != "starter" || !strings.Contains(string(lines[0].Data), "1500") || !lines[0].At.Equal(clock.Now()) {
			t.Errorf("audit: %+v", lines)
		}
		var created, updated time.Time
		if err := db.NewRaw("SELECT created_at, updated_at FROM tenancy_plans WHERE slug = 'starter'").Scan(t.Context(), &created, &updated); err != nil {
			t.Fatal(err)
		}
		if !created.Equal(t0) || !updated.Equal(clock.Now()) {
			t.Errorf("created %s, updated %s", created, updated)
		}
		for i, want := range []string{
			`{"slug":"starter","name":"Starter","active":false,"prices":[{"currency":"USD","interval":"month","amount":8900}],` +
				`"monthly_credits":1500,"trial_days":0,"rate":10,"burst":50,"limits":{"users":2}}`,
			`{"slug":"starter","name":"Starter","active":true,"prices":[{"currency":"USD","interval":"month","amount":8900}],` +
				`"monthly_credits":1000,"trial_days":0,"rate":10,"burst":50,"limits":{"users":2}}`,
			`{"slug":"free-trial","name":"Free trial","active":true,"prices":[{"currency":"USD","interval":"month","amount":0}],` +
				`"monthly_credits":2000,"trial_days":14,"rate":5,"burst":20,"limits":{}}`,
		} {
			if d := cmp.Diff(want, string(lines[i].Data)); d != "" {
				t.Errorf("audit of %s (-want +got):\n%s", lines[i].Target, d)
			}
		}
		ensure(nil) // no plans, no change
		_, err = accounts.Plan(t.Context(), db, "missing")
		wantErr(t, "a plan that is not there", err, tenancy.ErrNoPlan)
	})
}

func TestM1_Ensure_APlanThatMakesNoSenseWritesNothing(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	accounts := tenancy.New(tenancy.Config{})
	for name, spoil := range map[string]func(p *tenancy.Plan){
		"no slug":              func(p *tenancy.Plan) { p.Slug = "" },
		"slug in capitals":     func(p *tenancy.Plan) { p.Slug = "Starter" },
		"slug ends in -":       func(p *tenancy.Plan) { p.Slug = "starter-" },
		"slug with a line end": func(p *tenancy.Plan) { p.Slug = "starter\n" },
		"slug too long":        func(p *tenancy.Plan) { p.Slug = strings.Repeat("a", 65) },
		"no name":              func(p *tenancy.Plan) { p.Name = "" },
		"name too long":        func(p *tenancy.Plan) { p.Name = strings.Repeat("a", 201) },
		"name with a NUL":      func(p *tenancy.Plan) { p.Name = "a\x00b" },
		"negative credits":     func(p *tenancy.Plan) { p.MonthlyCredits = -1 },
		"negative trial":       func(p *tenancy.Plan) { p.TrialDays = -1 },
		"endless trial":        func(p *tenancy.Plan) { p.TrialDays = 36501 },
		"rate is no number":    func(p *tenancy.Plan) { p.Rate = math.NaN() },
		"rate is infinite":     func(p *tenancy.Plan) { p.Rate = math.Inf(1) },
		"negative rate":        func(p *tenancy.Plan) { p.Rate = -1 },
		"negative burst":       func(p *tenancy.Plan) { p.Burst = -1 },
		"rate without burst":   func(p *tenancy.Plan) { p.Burst = 0 },
		"burst without rate":   func(p *tenancy.Plan) { p.Rate = 0 },
		"currency":             func(p *tenancy.Plan) { p.Prices = []tenancy.Price{{Currency: "usd", Interval: "month"}} },
		"interval":             func(p *tenancy.Plan) { p.Prices = []tenancy.Price{{Currency: "USD", Interval: "week"}} },
		"negative price":       func(p *tenancy.Plan) { p.Prices = []tenancy.Price{{Currency: "USD", Interval: "month", Amount: -1}} },
		"two prices for one": func(p *tenancy.Plan) {
			p.Prices = []tenancy.Price{{Currency: "USD", Interval: "month", Amount: 1}, {Currency: "USD", Interval: "month", Amount: 2}}
		},
		"unnamed limit":  func(p *tenancy.Plan) { p.Limits = map[string]int64{"": 1} },
		"negative limit": func(p *tenancy.Plan) { p.Limits = map[string]int64{"sites": -1} },
		// JSON would store another name, and Ensure would never come to rest.
		"limit in no encoding": func(p *tenancy.Plan) { p.Limits = map[string]int64{"sites\xff": 1} },
	} {
		good, bad := tenancytest.Plans()[0], tenancytest.Plans()[1]
		spoil(&bad)
		unchanged(t, db, name, func() {
			_, err := accounts.Ensure(t.Context(), db, good, bad)
			wantErr(t, name, err, tenancy.ErrInvalid)
		})
	}
	unchanged(t, db, "one slug twice", func() {
		p := tenancytest.Plans()[0]
		_, err := accounts.Ensure(t.Context(), db, p, p)
		wantErr(t, "one slug twice", err, tenancy.ErrInvalid)
	})
}

func TestM1_Ensure_OfTenAtOnceOneSaysThatItDid(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts := tenancy.New(tenancy.Config{})
		all := func(what string, credits int64) {
			changed := make([]int, 10)
			errs := dbtest.Together(10, func(i int) error {
				plans := tenancytest.Plans()
				plans[0].MonthlyCredits, plans[1].MonthlyCredits = credits, credits
				if i%2 == 0 {
					plans[0], plans[1] = plans[1], plans[0]
				}
				slugs, err := accounts.Ensure(t.Context(), db, plans...)
				changed[i] = len(slugs)
				return err
			})
			if n := tally(t, errs, nil); n != 10 {
				t.Errorf("%s: %d of 10 succeeded", what, n)
			}
			sum := 0
			for _, n := range changed {
				sum += n
			}
			if sum != 2 {
				t.Errorf("%s: %d changes of two plans were reported", what, sum)
			}
		}
		all("creating", 1)
		all("changing", 2)
		if n := len(audits(t, db, "")); n != 4 {
			t.Errorf("%d lines of audit for 4 changes", n)
		}
	})
}

func TestM1_Plan_ComesBackAsItWasGiven(t *testing.T) {
	text := rapid.StringMatching(`[ -~ä€😀]{1,40}`)
	plan := rapid.Custom(func(t *rapid.T) tenancy.Plan {
		p := tenancy.Plan{
			Slug: rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?`).Draw(t, "slug"), Name: text.Draw(t, "name"),
			Active: rapid.Bool().Draw(t, "active"), MonthlyCredits: rapid.Int64Min(0).Draw(t, "credits"),
			TrialDays: rapid.IntRange(0, 36500).Draw(t, "days"),
			Limits:    rapid.MapOf(rapid.StringMatching(`[a-z_"'\\?]{1,20}`), rapid.Int64Min(0)).Draw(t, "limits"),
		}
		if rapid.Bool().Draw(t, "limited") {
			p.Rate, p.Burst = rapid.Float64Range(math.SmallestNonzeroFloat64, 1e15).Draw(t, "rate"), rapid.IntRange(1, math.MaxInt).Draw(t, "burst")
		}
		for _, at := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"USD", "EUR", "JPY"}), func(s string) string { return s }).Draw(t, "currencies") {
			p.Prices = append(p.Prices, tenancy.Price{Currency: at, Interval: tenancy.Yearly, Amount: rapid.Int64Min(0).Draw(t, "amount")})
		}
		return p
	})
	each(t, func(t *testing.T, db *bun.DB) {
		accounts := tenancy.New(tenancy.Config{})
		rapid.Check(t, func(rt *rapid.T) {
			want := plan.Draw(rt, "plan")
			if _, err := accounts.Ensure(t.Context(), db, want); err != nil {
				rt.Fatal(err)
			}
			got, err := accounts.Plan(t.Context(), db, want.Slug)
			if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" || err != nil {
				rt.Fatal(d, err)
			}
			if again, err := accounts.Ensure(t.Context(), db, want); len(again) != 0 || err != nil {
				rt.Fatalf("Ensure came to no rest: %v, %v", again, err)
			}
		})
	})
}

func TestPlan_PriceFindsByCurrencyAndInterval(t *testing.T) {
	p := tenancytest.Plans()[1]
	if got, ok := p.Price("USD", tenancy.Monthly); !ok || got.Amount != 8900 {
		t.Error(got, ok)
	}
	for _, at := range [][2]string{{"EUR", tenancy.Monthly}, {"USD", tenancy.Yearly}} {
		if got, ok := p.Price(at[0], at[1]); ok || got != (tenancy.Price{}) {
			t.Error(at, got, ok)
		}
	}
}
