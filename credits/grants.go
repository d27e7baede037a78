package credits

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
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
	Priority    int64             `bun:"priority"`
	Amount      int64             `bun:"amount"`
	Remaining   int64             `bun:"remaining"`
	Held        int64             `bun:"held"`
	Operations  string            `bun:"operations"`
	Origin      string            `bun:"origin"`
	EffectiveAt time.Time         `bun:"effective_at"`
	ExpiresAt   time.Time         `bun:"expires_at,nullzero"`
	Number      int64             `bun:"number"`
	CreatedAt   time.Time         `bun:"created_at"`

	made bool    // it is to be written
	row  inGrant // as it is written
}

// inGrant is what a grant's own row says is in it, and how much of that is held. Of an
// account's head the account's row knows better.
type inGrant struct{ remaining, held int64 }

// free is what is in the grant and not held.
func (g *grantRow) free() int64 { return g.Remaining - g.Held }

// isFor reports that the grant pays for the operation.
func (g *grantRow) isFor(operation string) bool {
	if g.Operations == "" {
		return true
	}
	for o := range strings.Lines(g.Operations) {
		if strings.TrimSuffix(o, "\n") == operation {
			return operation != ""
		}
	}
	return false
}

// expired reports that the grant's end has come.
func (g *grantRow) expired(at time.Time) bool {
	return !g.ExpiresAt.IsZero() && !at.Before(g.ExpiresAt)
}

// inEffect reports that the grant's credits may be spent at the instant. Expired
// credit is unspendable from the instant on, whether or not anything swept it.
func (g grantRow) inEffect(at time.Time) bool { return !at.Before(g.EffectiveAt) && !g.expired(at) }

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

// readGrants reads the grants that something remains in, which filled says.
func (o *opening) readGrants(ctx context.Context) error {
	rows, err := o.db.QueryContext(ctx, `SELECT `+grantColumns+` FROM credits_grants
		WHERE unit = ? AND filled AND account_id IN (?)`, o.ledger.cfg.Unit, bun.List(o.accounts)) // sqltext: constant
	return each(rows, err, func(scan func(...any) error) error {
		g, err := scanGrant(scan)
		if err != nil {
			return err
		}
		if b := o.books[g.Account]; b != nil {
			b.found(g)
		}
		return nil
	})
}

const grantColumns = `account_id, grant_id, category, priority, amount, remaining, held, operations, effective_at, expires_at`

func scanGrant(scan func(...any) error) (*grantRow, error) {
	g := &grantRow{}
	var expires sql.Null[time.Time]
	err := scan(&g.Account, &g.ID, &g.Category, &g.Priority, &g.Amount, &g.Remaining, &g.Held, &g.Operations, &g.EffectiveAt, &expires)
	g.EffectiveAt, g.ExpiresAt = g.EffectiveAt.UTC(), orZero(expires)
	return g, err
}

// grant is one of the account's, whether or not something remains in it.
func (b *book) grant(ctx context.Context, id string) (*grantRow, error) {
	for _, g := range b.grants {
		if g.ID == id {
			return g, nil
		}
	}
	var found *grantRow
	rows, err := b.db.QueryContext(ctx, `SELECT `+grantColumns+` FROM credits_grants
		WHERE account_id = ? AND grant_id = ? AND unit = ?`, b.account, id, b.ledger.cfg.Unit) // sqltext: constant
	err = each(rows, err, func(scan func(...any) error) (err error) {
		found, err = scanGrant(scan)
		return err
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, fmt.Errorf("credits: %s has no grant %s: run Verify", b.account, id)
	}
	b.found(found)
	return found, nil
}
