package credits

import (
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// AllotmentSkipped says that a period was granted nothing, or not what should have
// rolled over into it. The next one is granted as if nothing had been.
type AllotmentSkipped struct {
	Name string `json:"name"`
	// Period is when it began, Amount what was not granted.
	Period time.Time `json:"period"`
	Amount int64     `json:"amount"`
	// Rollover says that it is what should have rolled over.
	Rollover bool `json:"rollover,omitzero"`
	// Reason is "overflow", where the balance would pass the largest int64, or "key_used",
	// where a grant had used the key that this library keeps for the period.
	Reason string `json:"reason"`
	// Unit is the ledger's, where that is not "credit".
	Unit string `json:"unit,omitempty"`
}

// EventKind implements tenancy.Fact.
func (AllotmentSkipped) EventKind() string { return "credits.allotment_skipped" }

// The keys of what a period grants. Each is one in the ledger's life.
const (
	allotmentKey = ownKeys + "allotment:"
	rolloverKey  = ownKeys + "rollover:"
)

// periodKey is the key of a rule's period. It says the unit, because there were times when
// the units of an account shared their keys: after the time, which no unit looks like the
// end of.
func (r *allotmentRow) periodKey(prefix string, begin time.Time) string {
	key := prefix + r.Name + ":" + begin.UTC().Format(time.RFC3339Nano)
	if r.Unit != defaultUnit {
		key += ":" + r.Unit
	}
	return key
}

// readDue reads the rules if one of them is due, and which of their periods' keys are
// taken.
func (b *book) readDue(ctx context.Context) error {
	if b.row.renewsAt.IsZero() || b.now.Before(b.row.renewsAt) {
		return nil
	}
	if err := b.readRules(ctx); err != nil {
		return err
	}
	return b.readTaken(ctx, b.rules, b.now)
}

// readTaken reads which keys of the rules' periods up to a time are taken.
func (b *book) readTaken(ctx context.Context, rules []*allotmentRow, until time.Time) error {
	wanted := newLookup(b.db, "text", "text")
	for _, r := range rules {
		c, err := r.calendar()
		if err != nil {
			return err
		}
		for n, begin := r.Period, r.NextAt; !begin.IsZero() && !begin.After(until); n, begin = c.after(n, begin) {
			for _, prefix := range []string{allotmentKey, rolloverKey} {
				wanted.text(string(b.account))
				wanted.text(r.periodKey(prefix, begin))
			}
		}
	}
	if wanted.rows == 0 {
		return nil
	}
	b.taken = map[string]bool{}
	unit := b.ledger.cfg.Unit
	rows, err := b.db.QueryContext(ctx, `WITH d (account_id, key) AS (?)
		SELECT k.key FROM d JOIN credits_keys AS k ON k.account_id = d.account_id AND k.key = d.key AND k.unit = ?
		UNION ALL SELECT e.key FROM d JOIN credits_entries AS e ON e.account_id = d.account_id AND e.key = d.key AND e.unit = ? AND e.key <> ''`,
		wanted, unit, unit)
	return each(rows, err, func(scan func(...any) error) error {
		var key string
		err := scan(&key)
		b.taken[key] = true
		return err
	})
}

// dueRules are those whose next period begins first, by name, and when, if that is by a
// time.
func (b *book) dueRules(by time.Time) (due []*allotmentRow, at time.Time) {
	for _, r := range b.rules {
		switch {
		case !r.runs() || r.NextAt.After(by):
		case len(due) == 0 || r.NextAt.Before(at):
			due, at = append(due[:0], r), r.NextAt
		case r.NextAt.Equal(at):
			due = append(due, r)
		}
	}
	slices.SortFunc(due, byName)
	return due, at
}

// renew begins the next period of rules, all at the time that the book is seen at.
func (b *book) renew(due []*allotmentRow) error {
	left := make([]int64, len(due))
	for i, r := range due {
		left[i] = b.left(r)
	}
	b.lapse(b.now)
	for i, r := range due {
		if err := b.beginPeriod(r, left[i]); err != nil {
			return err
		}
	}
	return nil
}

// beginPeriod grants what rolled over from the period before, then what the new one has.
// What rolled over is spent first, for its grant is the older one.
func (b *book) beginPeriod(r *allotmentRow, left int64) error {
	c, err := r.calendar()
	if err != nil {
		return err
	}
	r.changed = true
	begin := r.NextAt
	n, end := c.after(r.Period, begin)
	expires := end
	for last, i := n, int64(0); i < r.Periods && !expires.IsZero(); i++ {
		last, expires = c.after(last, expires)
	}
	if expires.IsZero() { // the calendar is over
		r.next(0, time.Time{})
		return nil
	}
	r.Rolled = ""
	if left > 0 {
		r.Rolled = b.allot(r, rolloverKey, "rollover: ", left, end)
	}
	r.Grant = b.allot(r, allotmentKey, "allotment: ", r.Amount, expires)
	r.EndsAt = end
	r.next(n, end)
	return nil
}

// allot grants a part of the rule's period that begins, unless it is not to be, and
// returns the grant's id.
func (b *book) allot(r *allotmentRow, prefix, note string, amount int64, expires time.Time) string {
	g := Grant{
		Account: b.account, Amount: amount, Key: r.periodKey(prefix, r.NextAt), Category: r.Category, Priority: int(r.Priority),
		EffectiveAt: r.NextAt, ExpiresAt: expires, Operations: r.allotment().Operations, Note: note + r.Name, Actor: ownActor,
	}
	skipped := AllotmentSkipped{
		Name: r.Name, Period: r.NextAt, Amount: amount, Rollover: prefix == rolloverKey, Unit: b.ledger.otherUnit(),
	}
	switch {
	case b.taken[g.Key] || b.keys[g.Key] != nil:
		skipped.Reason = "key_used"
	case b.room(amount) != nil:
		skipped.Reason = "overflow"
	default:
		row, entry := b.put(g)
		b.remember(request{key: g.Key, hash: b.ledger.digestGrant(g)}, outcome{entry: entry})
		return row.ID
	}
	at := b.now
	b.note(func(ctx context.Context, db bun.IDB) error { return tenancy.Publish(ctx, db, b.account, at, skipped) })
	return ""
}
