package credits

import (
	"context"
	"database/sql"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

type budgetRow struct {
	bun.BaseModel `bun:"table:credits_budgets,alias:b"`

	Account tenancy.AccountID `bun:"account_id,pk"`
	Unit    string            `bun:"unit,pk"`
	Kind    tenancy.ActorKind `bun:"subject_kind,pk"`
	ID      string            `bun:"subject_id,pk"`
	Limit   int64             `bun:"amount"`
	// Used is what the subject spent since Since, Held what its open holds hold.
	Used   int64        `bun:"used"`
	Held   int64        `bun:"held"`
	Period BudgetPeriod `bun:"period"`
	Zone   string       `bun:"zone"`
	// Number is that of the last entry which does not count.
	Number    int64     `bun:"number"`
	Since     time.Time `bun:"since"`
	Until     time.Time `bun:"until,nullzero"`
	CreatedAt time.Time `bun:"created_at"`

	made, changed bool // it is to be written
}

// spenders are who spends: an actor, and on whose behalf.
type spenders [2]tenancy.Actor

// each is every one of them, once.
func (s spenders) each(fn func(tenancy.Actor)) {
	for i, a := range s {
		if a != (tenancy.Actor{}) && (i == 0 || a != s[0]) {
			fn(a)
		}
	}
}

func (r *budgetRow) utc() { r.Since, r.Until = r.Since.UTC(), r.Until.UTC() }

func (r *budgetRow) budget() Budget {
	return Budget{
		Subject: tenancy.Actor{Kind: r.Kind, ID: r.ID}, Limit: r.Limit, Used: r.Used, Held: r.Held,
		Period: r.Period, Zone: r.Zone, Since: r.Since, Until: r.Until,
	}
}

// roll begins the budget anew where its period is over. What is held stays held.
func (r *budgetRow) roll(at time.Time) (err error) {
	if r.Until.IsZero() || at.Before(r.Until) {
		return nil
	}
	r.Used, r.changed = 0, true
	r.Since, r.Until, err = r.Period.around(at, r.Zone)
	return err
}

// time is when an entry would be made now.
func (b *book) time() time.Time { return latest(b.now, b.row.enteredAt) }

// readBudgets reads the budgets of those who spend, in accounts that have any.
func (o *opening) readBudgets(ctx context.Context) error {
	wanted := newSheet(o.db, "text", "text", "text")
	want := func(b *book, s spenders) {
		if b == nil || b.row.budgets == 0 {
			return
		}
		s.each(func(a tenancy.Actor) {
			if _, known := b.budgets[a]; known {
				return
			}
			b.knowBudget(a, nil)
			wanted.text(string(b.account))
			wanted.text(string(a.Kind))
			wanted.text(a.ID)
		})
	}
	for _, r := range o.requests {
		want(o.books[r.account], r.spenders)
	}
	for _, b := range o.books {
		for _, h := range b.holds {
			want(b, h.spenders())
		}
	}
	if wanted.rows == 0 {
		return nil
	}
	rows, err := o.db.QueryContext(ctx, `WITH d (account_id, subject_kind, subject_id) AS (?)
		SELECT `+budgetColumns+` FROM d JOIN credits_budgets AS b
		ON b.account_id = d.account_id AND b.subject_kind = d.subject_kind AND b.subject_id = d.subject_id
		WHERE b.unit = ?`, wanted, o.ledger.cfg.Unit) // sqltext: constant
	return each(rows, err, func(scan func(...any) error) error {
		r, err := scanBudget(scan)
		if err == nil {
			o.books[r.Account].knowBudget(tenancy.Actor{Kind: r.Kind, ID: r.ID}, r)
		}
		return err
	})
}

const budgetColumns = `b.account_id, b.unit, b.subject_kind, b.subject_id, b.amount, b.used, b.held, b.period, b.zone,
	b.number, b.since, b.until, b.created_at`

func scanBudget(scan func(...any) error) (*budgetRow, error) {
	r := &budgetRow{}
	var until sql.Null[time.Time]
	err := scan(&r.Account, &r.Unit, &r.Kind, &r.ID, &r.Limit, &r.Used, &r.Held, &r.Period, &r.Zone,
		&r.Number, &r.Since, &until, &r.CreatedAt)
	r.Until = orZero(until)
	r.utc()
	return r, err
}

// knowBudget remembers the budget of a subject, of which nil is none.
func (b *book) knowBudget(a tenancy.Actor, r *budgetRow) {
	if b.budgets == nil {
		b.budgets = map[tenancy.Actor]*budgetRow{}
	}
	b.budgets[a] = r
}

// budget is a subject's, or nil.
func (b *book) budget(ctx context.Context, a tenancy.Actor) (*budgetRow, error) {
	if r, known := b.budgets[a]; known {
		return r, nil
	}
	b.knowBudget(a, nil)
	if b.row.budgets == 0 {
		return nil, nil
	}
	rows, err := b.db.QueryContext(ctx, `SELECT `+budgetColumns+` FROM credits_budgets AS b
		WHERE b.account_id = ? AND b.unit = ? AND b.subject_kind = ? AND b.subject_id = ?`,
		b.account, b.ledger.cfg.Unit, a.Kind, a.ID) // sqltext: constant
	err = each(rows, err, func(scan func(...any) error) error {
		r, err := scanBudget(scan)
		if err == nil {
			b.knowBudget(a, r)
		}
		return err
	})
	return b.budgets[a], err
}

// budgetsOf are those that spending counts against, as of the book's time.
func (b *book) budgetsOf(ctx context.Context, s spenders) (found []*budgetRow, err error) {
	if b.row.budgets == 0 {
		return nil, nil
	}
	s.each(func(a tenancy.Actor) {
		if err != nil {
			return
		}
		var r *budgetRow
		if r, err = b.budget(ctx, a); r != nil && err == nil {
			err = r.roll(b.time())
			found = append(found, r)
		}
	})
	return found, err
}

// within refuses what is more than one of the budgets allows: of two, by the one that
// ends later, since waiting for the other would not help.
func within(budgets []*budgetRow, n int64) error {
	var over *budgetRow
	for _, r := range budgets {
		if n > r.Limit-min(r.Limit, addUp(r.Used, r.Held)) &&
			(over == nil || !over.Until.IsZero() && (r.Until.IsZero() || r.Until.After(over.Until))) {
			over = r
		}
	}
	if over == nil {
		return nil
	}
	return &BudgetError{
		Subject: tenancy.Actor{Kind: over.Kind, ID: over.ID}, Limit: over.Limit, Used: addUp(over.Used, over.Held),
		Need: n, Until: over.Until,
	}
}

// count changes what the budgets say was used and is held.
func count(budgets []*budgetRow, used, held int64) {
	for _, r := range budgets {
		r.Used = addUp(max(0, r.Used+min(0, used)), max(0, used))
		r.Held = addUp(max(0, r.Held+min(0, held)), max(0, held))
		r.changed = true
	}
}

// giveBackTo takes n credits that an entry took out of what the budgets say was used, if
// it was in their period.
func giveBackTo(budgets []*budgetRow, entry Entry, n int64) {
	for _, r := range budgets {
		if entry.Number > r.Number && !entry.At.Before(r.Since) {
			count([]*budgetRow{r}, -n, 0)
		}
	}
}

// heldBy is what the open holds of a subject hold.
func (b *book) heldBy(ctx context.Context, a tenancy.Actor) (held int64, err error) {
	rows, err := b.db.QueryContext(ctx, `SELECT hold_id, amount - used FROM credits_holds
		WHERE account_id = ? AND unit = ? AND state IN ('open', 'review')
		AND (actor_kind = ? AND actor_id = ? OR on_behalf_kind = ? AND on_behalf_id = ?)`,
		b.account, b.ledger.cfg.Unit, a.Kind, a.ID, a.Kind, a.ID)
	err = each(rows, err, func(scan func(...any) error) error {
		var id string
		var left int64
		err := scan(&id, &left)
		if h := b.holds[id]; h != nil { // it may have ended just now
			left = h.left()
		}
		held += left
		return err
	})
	return held, err
}

// flushBudgets writes the budgets that were made and those that changed.
func flushBudgets(ctx context.Context, db bun.IDB, books []*book) error {
	changed := newSheet(db, "text", "text", "text", "text", "bigint", "bigint", "bigint", "text", "text", "bigint", "timestamptz", "timestamptz")
	for _, b := range books {
		for _, r := range b.budgets {
			switch {
			case r == nil:
			case r.made:
				if _, err := db.NewInsert().Model(r).Exec(ctx); err != nil {
					return err
				}
			case r.changed:
				changed.text(string(r.Account))
				changed.text(r.Unit)
				changed.text(string(r.Kind))
				changed.text(r.ID)
				changed.int(r.Limit)
				changed.int(r.Used)
				changed.int(r.Held)
				changed.text(string(r.Period))
				changed.text(r.Zone)
				changed.int(r.Number)
				changed.time(r.Since)
				changed.time(r.Until)
			}
		}
	}
	if changed.rows == 0 {
		return nil
	}
	return moved(changed.rows)(db.ExecContext(ctx, `WITH d (account_id, unit, subject_kind, subject_id, amount, used, held, period, zone, number, since, until) AS (?)
		UPDATE credits_budgets SET amount = d.amount, used = d.used, held = d.held, period = d.period, zone = d.zone,
			number = d.number, since = d.since, until = d.until
		FROM d WHERE credits_budgets.account_id = d.account_id AND credits_budgets.unit = d.unit
		AND credits_budgets.subject_kind = d.subject_kind AND credits_budgets.subject_id = d.subject_id`, changed))
}

// spenders of a hold are those who took it.
func (h *holdRow) spenders() spenders {
	return spenders{{Kind: h.ActorKind, ID: h.ActorID}, {Kind: h.OnBehalfKind, ID: h.OnBehalfID}}
}
