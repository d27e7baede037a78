package credits

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

type allotmentRow struct {
	bun.BaseModel `bun:"table:credits_allotments,alias:al"`

	Account    tenancy.AccountID `bun:"account_id,pk"`
	Unit       string            `bun:"unit,pk"`
	Name       string            `bun:"name,pk"`
	Amount     int64             `bun:"amount"`
	Months     int64             `bun:"months"`
	Days       int64             `bun:"days"`
	Anchor     time.Time         `bun:"anchor"`
	Zone       string            `bun:"zone"`
	Category   Category          `bun:"category"`
	Priority   int64             `bun:"priority"`
	Operations string            `bun:"operations"`
	Cap        int64             `bun:"roll_cap"`
	Percent    int64             `bun:"roll_percent"`
	Periods    int64             `bun:"roll_periods"`
	Until      time.Time         `bun:"until_at,nullzero"`
	// Period is the number of the next one and NextAt its beginning; EndsAt is the end of
	// the one that came last, Grant and Rolled what that granted and rolled over.
	Period    int64     `bun:"period"`
	NextAt    time.Time `bun:"next_at,nullzero"`
	EndsAt    time.Time `bun:"ends_at,nullzero"`
	Grant     string    `bun:"grant_id"`
	Rolled    string    `bun:"rolled_id"`
	CreatedAt time.Time `bun:"created_at"`

	changed bool // it is to be written
}

// AfterScanRow implements bun.AfterScanRowHook: times are compared and counted in UTC.
func (r *allotmentRow) AfterScanRow(context.Context) error {
	for _, t := range []*time.Time{&r.Anchor, &r.Until, &r.NextAt, &r.EndsAt, &r.CreatedAt} {
		*t = micro(*t)
	}
	return nil
}

func (r *allotmentRow) allotment() Allotment {
	a := Allotment{
		Account: r.Account, Name: r.Name, Amount: r.Amount, Every: Every{Months: int(r.Months), Days: int(r.Days)},
		Anchor: r.Anchor, Zone: r.Zone, Category: r.Category, Priority: int(r.Priority),
		Rollover: Rollover{Cap: r.Cap, Percent: int(r.Percent), Periods: int(r.Periods)},
		Until:    r.Until, NextAt: r.NextAt, EndsAt: r.EndsAt, CreatedAt: r.CreatedAt,
	}
	if r.Operations != "" {
		a.Operations = strings.Split(r.Operations, "\n")
	}
	return a
}

func byName(a, b *allotmentRow) int { return cmp.Compare(a.Name, b.Name) }

// runs reports that a period is to come.
func (r *allotmentRow) runs() bool { return !r.NextAt.IsZero() }

// next says which period is to come, if it does not begin too late.
func (r *allotmentRow) next(n int64, begin time.Time) {
	if begin.IsZero() || !r.Until.IsZero() && !begin.Before(r.Until) {
		n, begin = 0, time.Time{}
	}
	r.Period, r.NextAt = n, begin
}

func (r *allotmentRow) sameCalendar(o *allotmentRow) bool {
	return r.Months == o.Months && r.Days == o.Days && r.Zone == o.Zone && r.Anchor.Equal(o.Anchor)
}

func (r *allotmentRow) calendar() (calendar, error) {
	zone, err := time.LoadLocation(r.Zone)
	if err != nil {
		return calendar{}, fmt.Errorf("credits: %w: import time/tzdata where the system has no zones", err)
	}
	return calendar{r.Anchor, Every{Months: int(r.Months), Days: int(r.Days)}, zone}, nil
}

// schedule finds the next period: the one that is now, or the first to come. It begins
// at floor or later.
func (r *allotmentRow) schedule(floor, now time.Time) error {
	c, err := r.calendar()
	if err == nil {
		r.next(c.from(floor, now))
	}
	return err
}

// readRules reads the rules by which something is to come.
func (b *book) readRules(ctx context.Context) error {
	if b.rulesRead {
		return nil
	}
	b.rulesRead = true
	return b.db.NewSelect().Model(&b.rules).Where("account_id = ? AND unit = ? AND next_at IS NOT NULL", b.account, b.ledger.cfg.Unit).Scan(ctx)
}

// rule is the one of the name, whether or not something is to come by it; nil where
// there is none.
func (b *book) rule(ctx context.Context, name string) (*allotmentRow, error) {
	if err := b.readRules(ctx); err != nil {
		return nil, err
	}
	for _, r := range b.rules {
		if r.Name == name {
			return r, nil
		}
	}
	r := &allotmentRow{}
	err := b.db.NewSelect().Model(r).Where("account_id = ? AND unit = ? AND name = ?", b.account, b.ledger.cfg.Unit, name).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b.rules = append(b.rules, r)
	return r, nil
}

// replan finds when the first of the rules is due.
func (b *book) replan() {
	b.row.renewsAt = time.Time{}
	for _, r := range b.rules {
		if r.runs() && (b.row.renewsAt.IsZero() || r.NextAt.Before(b.row.renewsAt)) {
			b.row.renewsAt = r.NextAt
		}
	}
	b.due(b.row.renewsAt)
}

// flushRules writes the rules that changed, and when the first is due.
func flushRules(ctx context.Context, db bun.IDB, books []*book) error {
	var changed []*allotmentRow
	for _, b := range books {
		for _, r := range b.rules {
			if r.changed {
				changed = append(changed, r)
			}
		}
		if b.row.renewsAt.Equal(b.was.renewsAt) {
			continue
		}
		_, err := db.NewRaw(`UPDATE credits_accounts SET renews_at = ? WHERE account_id = ? AND unit = ?`,
			bun.NullTime{Time: b.row.renewsAt}, b.account, b.ledger.cfg.Unit).Exec(ctx)
		if err != nil {
			return err
		}
	}
	if len(changed) == 0 {
		return nil
	}
	_, err := db.NewInsert().Model(&changed).On(`CONFLICT (account_id, unit, name) DO UPDATE SET amount = EXCLUDED.amount,
		months = EXCLUDED.months, days = EXCLUDED.days, anchor = EXCLUDED.anchor, zone = EXCLUDED.zone,
		category = EXCLUDED.category, priority = EXCLUDED.priority, operations = EXCLUDED.operations,
		roll_cap = EXCLUDED.roll_cap, roll_percent = EXCLUDED.roll_percent, roll_periods = EXCLUDED.roll_periods,
		until_at = EXCLUDED.until_at, period = EXCLUDED.period, next_at = EXCLUDED.next_at, ends_at = EXCLUDED.ends_at,
		grant_id = EXCLUDED.grant_id, rolled_id = EXCLUDED.rolled_id`).Exec(ctx)
	return err
}
