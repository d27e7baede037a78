package tenancy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
)

type planRow struct {
	bun.BaseModel `bun:"table:tenancy_plans,alias:p"`

	Slug           string    `bun:"slug,pk"`
	Name           string    `bun:"name"`
	Active         bool      `bun:"active"`
	Prices         string    `bun:"prices"`
	MonthlyCredits int64     `bun:"monthly_credits"`
	TrialDays      int       `bun:"trial_days"`
	Rate           float64   `bun:"rate"`
	Burst          int       `bun:"burst"`
	Limits         string    `bun:"limits"`
	Flags          string    `bun:"flags"`
	CreatedAt      time.Time `bun:"created_at"`
	UpdatedAt      time.Time `bun:"updated_at"`
}

func (r planRow) plan() (Plan, error) {
	p := Plan{
		Slug: r.Slug, Name: r.Name, Active: r.Active, MonthlyCredits: r.MonthlyCredits,
		TrialDays: r.TrialDays, Rate: r.Rate, Burst: r.Burst,
	}
	err := errors.Join(json.Unmarshal([]byte(r.Prices), &p.Prices), json.Unmarshal([]byte(r.Limits), &p.Limits))
	if r.Flags != "{}" {
		err = errors.Join(err, json.Unmarshal([]byte(r.Flags), &p.Flags))
	}
	if err != nil {
		return Plan{}, fmt.Errorf("plan %q: %w", r.Slug, err)
	}
	return p, nil
}

func newPlanRow(p Plan, at time.Time) (*planRow, error) {
	prices, err1 := json.Marshal(p.Prices)
	limits, err2 := json.Marshal(p.Limits)
	flags, err3 := json.Marshal(p.Flags)
	return &planRow{
		Slug: p.Slug, Name: p.Name, Active: p.Active, Prices: string(prices), MonthlyCredits: p.MonthlyCredits,
		TrialDays: p.TrialDays, Rate: p.Rate, Burst: p.Burst, Limits: string(limits), Flags: string(flags), CreatedAt: at, UpdatedAt: at,
	}, errors.Join(err1, err2, err3)
}

// Ensure makes the catalogue say what plans say: it creates those that are missing,
// updates those that differ and leaves every other plan alone. It returns the slugs
// of what it created or changed, in their order; called again, none. A changed plan
// counts at once for every account that is on it, except that what accounts are granted
// month by month follows by AllotAll of package billing. ErrInvalid: a plan makes no
// sense or is given twice, and nothing is written.
func (a *Accounts) Ensure(ctx context.Context, db bun.IDB, plans ...Plan) ([]string, error) {
	// In one order, so that programs that list them in another do not wait for
	// each other in a circle.
	plans = slices.SortedFunc(slices.Values(plans), func(a, b Plan) int { return strings.Compare(a.Slug, b.Slug) })
	for i, p := range plans {
		if err := p.validate(); err != nil {
			return nil, err
		}
		if i > 0 && p.Slug == plans[i-1].Slug {
			return nil, fmt.Errorf("%w: two plans are called %q", ErrInvalid, p.Slug)
		}
	}
	var changed []string
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		changed = nil
		for _, p := range plans {
			did, err := a.ensure(ctx, db, p)
			if err != nil {
				return err
			}
			if did {
				changed = append(changed, p.Slug)
			}
		}
		return nil
	})
	return changed, err
}

func (a *Accounts) ensure(ctx context.Context, db bun.IDB, p Plan) (bool, error) {
	if p.Prices == nil {
		p.Prices = []Price{} // null is no list
	}
	if p.Limits == nil {
		p.Limits = map[string]int64{}
	}
	if p.Flags == nil {
		p.Flags = map[string]bool{}
	}
	now := a.now()
	row, err := newPlanRow(p, now)
	if err != nil {
		return false, err
	}
	res, err := db.NewInsert().Model(row).On("CONFLICT (slug) DO NOTHING").Exec(ctx)
	if err != nil {
		return false, err
	}
	if n, err := res.RowsAffected(); err != nil {
		return false, err
	} else if n == 0 {
		differs, err := a.differs(ctx, db, p)
		if err != nil || !differs {
			return false, err
		}
		// Somebody else may be making the same change: of those only the first
		// one says that it did.
		if _, err := db.NewUpdate().Model((*planRow)(nil)).Set("updated_at = updated_at").Where("slug = ?", p.Slug).Exec(ctx); err != nil {
			return false, err
		}
		if differs, err = a.differs(ctx, db, p); err != nil || !differs {
			return false, err
		}
		if _, err := db.NewUpdate().Model(row).ExcludeColumn("created_at").WherePK().Exec(ctx); err != nil {
			return false, err
		}
	}
	if err := a.Changed(ctx, db, planSubject(p.Slug)); err != nil {
		return false, err
	}
	data, err := json.Marshal(p)
	if err != nil {
		return false, err
	}
	return true, Record(ctx, db, Audit{
		At: now, Actor: Actor{Kind: ActorSystem, ID: "catalogue"}, Action: "tenancy.ensure_plan", Target: p.Slug, Data: data,
	})
}

func (a *Accounts) differs(ctx context.Context, db bun.IDB, p Plan) (bool, error) {
	old, err := a.Plan(ctx, db, p.Slug)
	return err == nil && !equalPlans(old, p), err
}

func equalPlans(a, b Plan) bool {
	prices, limits, flags := slices.Equal(a.Prices, b.Prices), maps.Equal(a.Limits, b.Limits), maps.Equal(a.Flags, b.Flags)
	return prices && limits && flags && a.Slug == b.Slug && a.Name == b.Name && a.Active == b.Active &&
		a.MonthlyCredits == b.MonthlyCredits && a.TrialDays == b.TrialDays && a.Rate == b.Rate && a.Burst == b.Burst
}

// Plan reads a plan. ErrNoPlan: there is none of that slug.
func (a *Accounts) Plan(ctx context.Context, db bun.IDB, slug string) (Plan, error) {
	if !slugForm.MatchString(slug) {
		return Plan{}, ErrNoPlan
	}
	var row planRow
	err := db.NewSelect().Model(&row).Where("slug = ?", slug).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Plan{}, ErrNoPlan
	}
	if err != nil {
		return Plan{}, err
	}
	return row.plan()
}

// Plans reads the catalogue, in the order of slugs, inactive plans too.
func (a *Accounts) Plans(ctx context.Context, db bun.IDB) ([]Plan, error) {
	var rows []planRow
	if err := db.NewSelect().Model(&rows).OrderExpr("slug").Scan(ctx); err != nil {
		return nil, err
	}
	plans := make([]Plan, 0, len(rows))
	for _, r := range rows {
		p, err := r.plan()
		if err != nil {
			return nil, err
		}
		plans = append(plans, p)
	}
	return plans, nil
}
