package credits

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Category is where a grant's credits come from.
type Category string

// The categories, in the order in which they are spent when priority and expiry do
// not decide: what was given before what was paid for.
const (
	CategoryAllowance  Category = "allowance"  // part of the plan
	CategoryPromo      Category = "promo"      // a gift: a trial, a campaign
	CategoryAdjustment Category = "adjustment" // an operator's correction
	CategoryPaid       Category = "paid"       // bought
)

var categories = []Category{CategoryAllowance, CategoryPromo, CategoryAdjustment, CategoryPaid}

type grantRow struct {
	bun.BaseModel `bun:"table:credits_grants,alias:g"`

	Account     tenancy.AccountID `bun:"account_id,pk"`
	ID          string            `bun:"grant_id,pk"`
	Unit        string            `bun:"unit"`
	Category    Category          `bun:"category"`
	Priority    int               `bun:"priority"`
	Amount      int64             `bun:"amount"`
	Remaining   int64             `bun:"remaining"`
	EffectiveAt time.Time         `bun:"effective_at"`
	ExpiresAt   time.Time         `bun:"expires_at,nullzero"`
	Number      int64             `bun:"number"`
	CreatedAt   time.Time         `bun:"created_at"`
}

// inEffect reports that the grant's credits may be spent at the instant. Expired
// credit is unspendable from the instant on, whether or not anything swept it.
func (g grantRow) inEffect(at time.Time) bool {
	return !at.Before(g.EffectiveAt) && (g.ExpiresAt.IsZero() || at.Before(g.ExpiresAt))
}

// burnOrder is the total order in which grants are spent: lower priority first,
// then the soonest expiry, then what was given before what was paid for, then the
// earlier effective date, then the id.
func burnOrder(a, b grantRow) int {
	return cmp.Or(
		cmp.Compare(a.Priority, b.Priority),
		compareExpiry(a.ExpiresAt, b.ExpiresAt),
		cmp.Compare(slices.Index(categories, a.Category), slices.Index(categories, b.Category)),
		a.EffectiveAt.Compare(b.EffectiveAt),
		cmp.Compare(a.ID, b.ID),
	)
}

func compareExpiry(a, b time.Time) int {
	switch {
	case a.IsZero() && b.IsZero():
		return 0
	case a.IsZero():
		return 1 // never is the latest
	case b.IsZero():
		return -1
	}
	return a.Compare(b)
}

// liveGrants are those that can be spent from at the instant, in burn order, and
// what remains in them.
func liveGrants(ctx context.Context, db bun.IDB, account tenancy.AccountID, at time.Time) ([]grantRow, int64, error) {
	var rows []grantRow
	err := db.NewSelect().Model(&rows).Where("account_id = ? AND unit = ? AND remaining > 0", account, unit).Scan(ctx)
	if err != nil {
		return nil, 0, err
	}
	rows = slices.DeleteFunc(rows, func(g grantRow) bool { return !g.inEffect(at) })
	slices.SortFunc(rows, burnOrder)
	var sum int64 // at most booked + debt, which the account's row holds
	for _, g := range rows {
		sum += g.Remaining
	}
	return rows, sum, nil
}
