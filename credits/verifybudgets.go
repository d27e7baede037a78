package credits

import (
	"context"

	"github.com/uptrace/bun"
)

// budgets adds up what subjects spent in their periods, and what their holds hold.
func (v *verification) budgets(ctx context.Context, db bun.IDB) error {
	type line struct {
		Subject                                string
		Used, Spent, GivenBack, Held, HeldByIt int64
	}
	var wrong []line
	err := db.NewRaw(`SELECT * FROM (
			SELECT b.subject_kind || ' ' || b.subject_id AS subject, b.used, b.held,
				(SELECT CAST(COALESCE(SUM(-e.amount), 0) AS BIGINT) FROM credits_entries AS e
					WHERE e.account_id = b.account_id AND e.unit = b.unit AND e.number > b.number AND e.at >= b.since
					AND e.kind IN ('deduct', 'settle') AND (e.actor_kind = b.subject_kind AND e.actor_id = b.subject_id
						OR e.on_behalf_kind = b.subject_kind AND e.on_behalf_id = b.subject_id)) AS spent,
				(SELECT CAST(COALESCE(SUM(r.amount), 0) AS BIGINT) FROM credits_entries AS r
					JOIN credits_entries AS e ON e.account_id = r.account_id AND e.unit = r.unit AND e.number = r.refund_of
					WHERE r.account_id = b.account_id AND r.unit = b.unit AND e.number > b.number AND e.at >= b.since
					AND (e.actor_kind = b.subject_kind AND e.actor_id = b.subject_id
						OR e.on_behalf_kind = b.subject_kind AND e.on_behalf_id = b.subject_id)) AS given_back,
				(SELECT CAST(COALESCE(SUM(h.amount - h.used), 0) AS BIGINT) FROM credits_holds AS h
					WHERE h.account_id = b.account_id AND h.unit = b.unit AND h.state IN ('open', 'review')
					AND (h.actor_kind = b.subject_kind AND h.actor_id = b.subject_id
						OR h.on_behalf_kind = b.subject_kind AND h.on_behalf_id = b.subject_id)) AS held_by_it
			FROM credits_budgets AS b WHERE b.account_id = ? AND b.unit = ?) AS c
		WHERE used <> spent - given_back OR held <> held_by_it ORDER BY subject`, v.account, v.unit).Scan(ctx, &wrong)
	for _, w := range wrong {
		if w.Used != w.Spent-w.GivenBack {
			v.finding("a budget counts what was spent", "%s used %d, its entries of the period took %d and %d came back", w.Subject, w.Used, w.Spent, w.GivenBack)
		}
		if w.Held != w.HeldByIt {
			v.finding("a budget counts what is held", "%s holds %d, its holds %d", w.Subject, w.Held, w.HeldByIt)
		}
	}
	if err != nil {
		return err
	}
	return v.counters(ctx, db)
}

// counters are what says that there is anything to read: what they leave out binds nobody.
func (v *verification) counters(ctx context.Context, db bun.IDB) error {
	var budgets, thresholds, theirs, watched int64
	err := db.NewRaw(`SELECT COALESCE(MAX(budgets), 0), COALESCE(MAX(thresholds), 0),
			(SELECT COUNT(*) FROM credits_budgets WHERE account_id = ? AND unit = ?),
			(SELECT COUNT(*) FROM credits_thresholds WHERE account_id = ? AND unit = ?)
		FROM credits_accounts WHERE account_id = ? AND unit = ?`, v.account, v.unit, v.account, v.unit, v.account, v.unit).
		Scan(ctx, &budgets, &thresholds, &theirs, &watched)
	if err == nil && (budgets != theirs || thresholds != watched) {
		v.finding("the account counts its budgets and thresholds", "it says %d and %d, there are %d and %d", budgets, thresholds, theirs, watched)
	}
	return err
}
