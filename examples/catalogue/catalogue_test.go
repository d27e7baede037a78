package catalogue_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/examples/catalogue"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

func TestMain(m *testing.M) { dbtest.Main(m, nil) }

// price is in dollars; perSite of 0 limits no sectors.
type row struct {
	slug                  string
	price, credits        int64
	sites, users, perSite int64
	trialDays             int
	rate                  float64
	burst                 int
}

var table = []row{
	{slug: "enterprise", price: 0, credits: 10_000, sites: 20, users: 10_000, rate: 200, burst: 1_000},
	{slug: "free", price: 0, credits: 100, sites: 1, users: 1, rate: 1, burst: 10},
	{slug: "free-trial", price: 0, credits: 2_000, sites: 1, users: 1, perSite: 3, trialDays: 14, rate: 5, burst: 20},
	{slug: "growth", price: 139, credits: 2_000, sites: 3, users: 3, rate: 20, burst: 100},
	{slug: "scale", price: 229, credits: 4_000, sites: 5, users: 5, rate: 50, burst: 200},
	{slug: "starter", price: 89, credits: 1_000, sites: 1, users: 2, rate: 10, burst: 50},
}

// rows reads plans back into the table's form, in the order of slugs.
func rows(t *testing.T, plans []tenancy.Plan) []row {
	t.Helper()
	var out []row
	for _, p := range plans {
		price, ok := p.Price("USD", tenancy.Monthly)
		if !ok || len(p.Prices) != 1 || price.Amount%100 != 0 || !p.Active || p.Name == "" {
			t.Errorf("%+v", p)
		}
		limits := map[string]bool{"sites": true, "users": true, "sectors_per_site": true}
		for name := range p.Limits {
			if !limits[name] {
				t.Errorf("%s limits %s", p.Slug, name)
			}
		}
		out = append(out, row{
			slug: p.Slug, price: price.Amount / 100, credits: p.MonthlyCredits,
			sites: p.Limits["sites"], users: p.Limits["users"], perSite: p.Limits["sectors_per_site"],
			trialDays: p.TrialDays, rate: p.Rate, burst: p.Burst,
		})
	}
	return out
}

func TestM1_TheCatalogueIsCreatedOnceAndReadsBackAsWritten(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		ctx, accounts := t.Context(), tenancy.New(tenancy.Config{})
		changed, err := accounts.Ensure(ctx, db, catalogue.Plans()...)
		slices.Sort(changed)
		if diff := cmp.Diff([]string{"enterprise", "free", "free-trial", "growth", "scale", "starter"}, changed); err != nil || diff != "" {
			t.Fatalf("%v\n%s", err, diff)
		}
		plans, err := accounts.Plans(ctx, db)
		if diff := cmp.Diff(table, rows(t, plans), cmp.AllowUnexported(row{})); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}

		if changed, err = accounts.Ensure(ctx, db, catalogue.Plans()...); err != nil || len(changed) != 0 {
			t.Errorf("the second time it changed %v, %v", changed, err)
		}
		again, err := accounts.Plans(ctx, db)
		if diff := cmp.Diff(plans, again); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	}, tenancy.Migrate)
}

func TestM1_TheTrialPlanAloneIsEnsuredTwice(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		ctx, accounts := t.Context(), tenancy.New(tenancy.Config{})
		for i, want := range [][]string{{"free-trial"}, nil} {
			if changed, err := accounts.Ensure(ctx, db, catalogue.FreeTrial()); err != nil || !slices.Equal(changed, want) {
				t.Errorf("time %d: changed %v, %v, want %v", i+1, changed, err, want)
			}
		}
		plans, err := accounts.Plans(ctx, db)
		if diff := cmp.Diff(table[2:3], rows(t, plans), cmp.AllowUnexported(row{})); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	}, tenancy.Migrate)
}
