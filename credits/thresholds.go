package credits

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

type thresholdRow struct {
	bun.BaseModel `bun:"table:credits_thresholds,alias:t"`

	Account   tenancy.AccountID `bun:"account_id,pk"`
	Unit      string            `bun:"unit,pk"`
	Name      string            `bun:"name,pk"`
	Low       int64             `bun:"low"`
	Reset     int64             `bun:"reset"`
	ReachedAt time.Time         `bun:"reached_at,nullzero"`
	CreatedAt time.Time         `bun:"created_at"`

	made, changed bool // it is to be written
}

func (r *thresholdRow) threshold() Threshold {
	return Threshold{Name: r.Name, Low: r.Low, Reset: r.Reset, ReachedAt: r.ReachedAt.UTC()}
}

// readThresholds reads the thresholds of accounts that have any.
func (o *opening) readThresholds(ctx context.Context) error {
	var accounts []tenancy.AccountID
	for _, account := range o.accounts {
		if b := o.books[account]; b != nil && b.row.thresholds > 0 {
			accounts = append(accounts, account)
		}
	}
	if len(accounts) == 0 {
		return nil
	}
	rows, err := o.db.QueryContext(ctx, `SELECT account_id, unit, name, low, reset, reached_at FROM credits_thresholds
		WHERE unit = ? AND account_id IN (?)`, o.ledger.cfg.Unit, bun.List(accounts))
	err = each(rows, err, func(scan func(...any) error) error {
		r := &thresholdRow{}
		var reached sql.Null[time.Time]
		err := scan(&r.Account, &r.Unit, &r.Name, &r.Low, &r.Reset, &reached)
		r.ReachedAt = orZero(reached)
		b := o.books[r.Account]
		b.thresholds = append(b.thresholds, r)
		return err
	})
	for _, b := range o.books { // the same facts in the same order, whoever reads them
		slices.SortFunc(b.thresholds, func(x, y *thresholdRow) int {
			return cmp.Or(cmp.Compare(y.Low, x.Low), cmp.Compare(x.Name, y.Name))
		})
	}
	return err
}

func (b *book) threshold(name string) *thresholdRow {
	for _, r := range b.thresholds {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// watch compares what can be spent with the thresholds.
func (b *book) watch() {
	if len(b.thresholds) == 0 {
		return
	}
	n := b.spendable("")
	for _, r := range b.thresholds {
		switch low := !r.ReachedAt.IsZero(); {
		case !low && n <= r.Low:
			r.ReachedAt, r.changed = b.time(), true
			b.publish(Low{Threshold: r.Name, Low: r.Low, Spendable: n, Unit: b.ledger.otherUnit()})
		case low && n >= r.Reset:
			r.ReachedAt, r.changed = time.Time{}, true
			b.publish(Recovered{Threshold: r.Name, Reset: r.Reset, Spendable: n, Unit: b.ledger.otherUnit()})
		}
	}
}

func (b *book) publish(f tenancy.Fact) {
	at := b.time()
	b.note(func(ctx context.Context, db bun.IDB) error { return tenancy.Publish(ctx, db, b.account, at, f) })
}

// expect makes the moment due at which a grant takes effect. It changes what can be spent
// without an entry, which matters only where there is a threshold.
func (b *book) expect(g *grantRow) {
	if len(b.thresholds) > 0 && g.EffectiveAt.After(b.now) {
		b.due(g.EffectiveAt)
	}
}

// moments are those up to now, in order, at which what can be spent has changed by itself
// since the book was last open.
func (b *book) moments(ended []*holdRow) []time.Time {
	if len(b.thresholds) == 0 {
		return nil
	}
	var all []time.Time
	for _, g := range b.grants {
		all = append(all, g.EffectiveAt, g.ExpiresAt)
	}
	for _, h := range ended {
		all = append(all, h.ExpiresAt)
	}
	all = slices.DeleteFunc(all, func(at time.Time) bool { return at.Before(b.row.nextAt) || at.After(b.now) })
	slices.SortFunc(all, time.Time.Compare)
	return slices.CompactFunc(all, time.Time.Equal)
}

// watchBefore watches at each of the moments before a time, and returns the others. All
// that happens at a moment has happened then: credits that expire and those that take
// their place at the same instant are no low.
func (b *book) watchBefore(t time.Time, moments []time.Time) []time.Time {
	for len(moments) > 0 && moments[0].Before(t) {
		b.lapse(moments[0])
		b.at(moments[0])
		b.watch()
		moments = moments[1:]
	}
	return moments
}

// flushThresholds writes the thresholds that were made and those that changed.
func flushThresholds(ctx context.Context, db bun.IDB, books []*book) error {
	changed := newSheet(db, "text", "text", "text", "bigint", "bigint", "timestamptz")
	for _, b := range books {
		for _, r := range b.thresholds {
			switch {
			case r.made:
				if _, err := db.NewInsert().Model(r).Exec(ctx); err != nil {
					return err
				}
			case r.changed:
				changed.text(string(r.Account))
				changed.text(r.Unit)
				changed.text(r.Name)
				changed.int(r.Low)
				changed.int(r.Reset)
				changed.time(r.ReachedAt)
			}
		}
	}
	if changed.rows == 0 {
		return nil
	}
	return moved(changed.rows)(db.ExecContext(ctx, `WITH d (account_id, unit, name, low, reset, reached_at) AS (?)
		UPDATE credits_thresholds SET low = d.low, reset = d.reset, reached_at = d.reached_at
		FROM d WHERE credits_thresholds.account_id = d.account_id AND credits_thresholds.unit = d.unit
		AND credits_thresholds.name = d.name`, changed))
}
