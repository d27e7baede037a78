// Package catalogue is the price list that the examples sell from.
package catalogue

import "github.com/quitrent/quitrent/tenancy"

// FreeTrial is the plan that sign-up assigns.
func FreeTrial() tenancy.Plan {
	return tenancy.Plan{
		Slug: tenancy.DefaultTrialPlan, Name: "Free trial", Active: true, Prices: monthly(0),
		MonthlyCredits: 2_000, TrialDays: 14, Rate: 5, Burst: 20,
		Limits: map[string]int64{"sites": 1, tenancy.LimitUsers: 1, "sectors_per_site": 3},
	}
}

// Plans is the whole catalogue.
func Plans() []tenancy.Plan {
	plan := func(slug, name string, price, credits, sites, users int64, rate float64, burst int) tenancy.Plan {
		return tenancy.Plan{
			Slug: slug, Name: name, Active: true, Prices: monthly(price), MonthlyCredits: credits, Rate: rate, Burst: burst,
			Limits: map[string]int64{"sites": sites, tenancy.LimitUsers: users},
		}
	}
	return []tenancy.Plan{
		FreeTrial(),
		plan("free", "Free", 0, 100, 1, 1, 1, 10),
		plan("starter", "Starter", 89_00, 1_000, 1, 2, 10, 50),
		plan("growth", "Growth", 139_00, 2_000, 3, 3, 20, 100),
		plan("scale", "Scale", 229_00, 4_000, 5, 5, 50, 200),
		plan("enterprise", "Enterprise", 0, 10_000, 20, 10_000, 200, 1_000),
	}
}

// monthly is a price in US cents.
func monthly(cents int64) []tenancy.Price {
	return []tenancy.Price{{Currency: "USD", Interval: tenancy.Monthly, Amount: cents}}
}
