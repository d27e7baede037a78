package tenancy

import (
	"fmt"
	"math"
	"regexp"
)

// Plan is what an account has signed up for.
type Plan struct {
	// Slug names the plan in URLs and in the database: "starter".
	Slug string `json:"slug"`
	Name string `json:"name"`
	// Active is false for a plan that nobody may use any more. Accounts that are
	// still on it may sign in, pay and export.
	Active bool `json:"active"`
	// Prices are what the plan costs, by currency and interval. None: not for sale.
	Prices []Price `json:"prices"`
	// MonthlyCredits are the credits of one month.
	MonthlyCredits int64 `json:"monthly_credits"`
	// TrialDays is the length of the trial that sign-up starts; 0 starts none.
	TrialDays int `json:"trial_days"`
	// Rate is the requests a second the account may make in the long run, Burst
	// how many at once. A Rate of 0 leaves both to the throttle's default.
	Rate  float64 `json:"rate"`
	Burst int     `json:"burst"`
	// Limits are the most an account may have of something: "users", "sites".
	// What is not named is unlimited. Limit reads it, Accounts.Admit keeps it.
	Limits map[string]int64 `json:"limits"`
	// Flags are what the plan has beside what can be counted: "sso", "white_label".
	// What is not named it has not; Has reads it. A name is a limit's or a flag's.
	Flags map[string]bool `json:"flags,omitempty"`
}

// Limit is the most that the plan allows of something. Not limited: there is no most.
func (p Plan) Limit(name string) (n int64, limited bool) {
	n, limited = p.Limits[name]
	return n, limited
}

// Has reports whether the plan has something.
func (p Plan) Has(flag string) bool { return p.Flags[flag] }

// Price is what a plan costs for one interval.
type Price struct {
	Currency string `json:"currency"` // ISO 4217: "USD"
	Interval string `json:"interval"` // "month" or "year"
	Amount   int64  `json:"amount"`   // in minor units of the currency: 8900 is $89.00
}

// The intervals of a Price.
const (
	Monthly = "month"
	Yearly  = "year"
)

// Price finds the plan's price.
func (p Plan) Price(currency, interval string) (Price, bool) {
	for _, pr := range p.Prices {
		if pr.Currency == currency && pr.Interval == interval {
			return pr, true
		}
	}
	return Price{}, false
}

// Free reports that the plan has a price and none is above zero.
func (p Plan) Free() bool {
	for _, pr := range p.Prices {
		if pr.Amount > 0 {
			return false
		}
	}
	return len(p.Prices) > 0
}

var (
	slugForm     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)
	currencyForm = regexp.MustCompile(`^[A-Z]{3}$`)
)

// maxTrialDays keeps the end of a trial within what a database can hold.
const maxTrialDays = 36500

func (p Plan) validate() error {
	bad := func(what string, args ...any) error {
		return fmt.Errorf("%w: plan %q: %s", ErrInvalid, p.Slug, fmt.Sprintf(what, args...))
	}
	switch {
	case !slugForm.MatchString(p.Slug):
		return bad("the slug is made of a-z, 0-9 and inner hyphens, 64 at most")
	case p.Name == "":
		return bad("the name is missing")
	case p.MonthlyCredits < 0:
		return bad("monthly credits are negative")
	case p.TrialDays < 0 || p.TrialDays > maxTrialDays:
		return bad("trial days are not within 0 and %d", maxTrialDays)
	case math.IsNaN(p.Rate) || math.IsInf(p.Rate, 0) || p.Rate < 0 || p.Burst < 0:
		return bad("rate and burst must be finite and not negative")
	case (p.Rate > 0) != (p.Burst > 0):
		return bad("rate and burst are given together")
	}
	seen := map[Price]bool{}
	for _, pr := range p.Prices {
		at := Price{Currency: pr.Currency, Interval: pr.Interval}
		switch {
		case !currencyForm.MatchString(pr.Currency):
			return bad("currency %q is not a code of ISO 4217", pr.Currency)
		case pr.Interval != Monthly && pr.Interval != Yearly:
			return bad("interval %q is neither month nor year", pr.Interval)
		case pr.Amount < 0:
			return bad("a price is negative")
		case seen[at]:
			return bad("two prices for %s a %s", pr.Currency, pr.Interval)
		}
		seen[at] = true
	}
	for what, n := range p.Limits {
		if what == "" || n < 0 {
			return bad("limit %q is unnamed or negative", what)
		}
		if err := CheckText("name of a limit", what, maxEntitlement); err != nil {
			return err
		}
	}
	for what := range p.Flags {
		if what == "" {
			return bad("a flag is unnamed")
		}
		if err := CheckText("name of a flag", what, maxEntitlement); err != nil {
			return err
		}
	}
	if what, both := p.ambiguous(); both {
		return bad("%q is a limit and a flag", what)
	}
	return CheckText("plan's name", p.Name, 200)
}

// maxEntitlement bounds the name of a limit or a flag, in bytes.
const maxEntitlement = 64

// ambiguous finds a name that is a limit's and a flag's.
func (p Plan) ambiguous() (name string, both bool) {
	for what := range p.Flags {
		if _, both := p.Limits[what]; both {
			return what, true
		}
	}
	return "", false
}
