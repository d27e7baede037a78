package credits

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// budgets adds up what subjects spent in their periods, and what their holds hold.
func (v *verification) budgets(ctx context.Context, db bun.IDB) error {
	there, err := v.counters(ctx, db)
	if err != nil || !there {
		return err
	}
	rows, err := db.QueryContext(ctx, spentOfBudgets, v.account, v.unit) // sqltext: constant
	err = each(rows, err, func(scan func(...any) error) error {
		var subject tenancy.Actor
		var used, spent, back int64
		err := scan(&subject.Kind, &subject.ID, &used, &spent, &back)
		v.finding("a budget counts what was spent", 0, "%s %s used %d, its entries of the period took %d and %d came back",
			subject.Kind, subject.ID, used, spent, back)
		return err
	})
	if err != nil {
		return err
	}
	rows, err = db.QueryContext(ctx, `SELECT * FROM (SELECT b.subject_kind, b.subject_id, b.held, (
			SELECT CAST(COALESCE(SUM(h.amount - h.used), 0) AS BIGINT) FROM credits_holds AS h
			WHERE h.account_id = b.account_id AND h.unit = b.unit AND h.state IN ('open', 'review')
			AND (h.actor_kind = b.subject_kind AND h.actor_id = b.subject_id
				OR h.on_behalf_kind = b.subject_kind AND h.on_behalf_id = b.subject_id)) AS held_by_it
		FROM credits_budgets AS b WHERE b.account_id = ? AND b.unit = ?) AS c
		WHERE held <> held_by_it ORDER BY 1, 2`, v.account, v.unit)
	return each(rows, err, func(scan func(...any) error) error {
		var subject tenancy.Actor
		var held, holds int64
		err := scan(&subject.Kind, &subject.ID, &held, &holds)
		v.finding("a budget counts what is held", 0, "%s %s holds %d, its holds %d", subject.Kind, subject.ID, held, holds)
		return err
	})
}

// Entries e that count against a budget b: as those of the actor, or of another who had
// it act.
const (
	countsForActor = ` JOIN credits_budgets AS b ON b.account_id = e.account_id AND b.unit = e.unit AND e.number > b.number AND e.at >= b.since
		AND b.subject_kind = e.actor_kind AND b.subject_id = e.actor_id`
	countsForOther = ` JOIN credits_budgets AS b ON b.account_id = e.account_id AND b.unit = e.unit AND e.number > b.number AND e.at >= b.since
		AND b.subject_kind = e.on_behalf_kind AND b.subject_id = e.on_behalf_id AND NOT (e.actor_kind = e.on_behalf_kind AND e.actor_id = e.on_behalf_id)`
	spending  = ` WHERE e.account_id = ?0 AND e.unit = ?1 AND e.kind IN ('deduct', 'settle')`
	refunding = ` JOIN credits_entries AS r ON r.account_id = e.account_id AND r.unit = e.unit AND r.refund_of = e.number
		WHERE e.account_id = ?0 AND e.unit = ?1 AND r.refund_of IS NOT NULL`

	// It reads the entries once for actors and once for others, however many have budgets.
	spentOfBudgets = `SELECT b.subject_kind, b.subject_id, b.used, COALESCE(c.spent, 0), COALESCE(c.back, 0) FROM credits_budgets AS b
		LEFT JOIN (SELECT kind, id, CAST(SUM(spent) AS BIGINT) AS spent, CAST(SUM(back) AS BIGINT) AS back FROM (
			SELECT b.subject_kind AS kind, b.subject_id AS id, -e.amount AS spent, 0 AS back FROM credits_entries AS e` + countsForActor + spending + `
			UNION ALL SELECT b.subject_kind, b.subject_id, -e.amount, 0 FROM credits_entries AS e` + countsForOther + spending + `
			UNION ALL SELECT b.subject_kind, b.subject_id, 0, r.amount FROM credits_entries AS e` + countsForActor + refunding + `
			UNION ALL SELECT b.subject_kind, b.subject_id, 0, r.amount FROM credits_entries AS e` + countsForOther + refunding + `) AS u
			GROUP BY kind, id) AS c ON c.kind = b.subject_kind AND c.id = b.subject_id
		WHERE b.account_id = ?0 AND b.unit = ?1 AND b.used <> COALESCE(c.spent, 0) - COALESCE(c.back, 0) ORDER BY 1, 2`
)

// counters are what says that there is anything to read: what they leave out binds nobody.
func (v *verification) counters(ctx context.Context, db bun.IDB) (there bool, err error) {
	var budgets, thresholds, theirs, watched int64
	err = db.NewRaw(`SELECT COALESCE(MAX(budgets), 0), COALESCE(MAX(thresholds), 0),
			(SELECT COUNT(*) FROM credits_budgets WHERE account_id = ? AND unit = ?),
			(SELECT COUNT(*) FROM credits_thresholds WHERE account_id = ? AND unit = ?)
		FROM credits_accounts WHERE account_id = ? AND unit = ?`, v.account, v.unit, v.account, v.unit, v.account, v.unit).
		Scan(ctx, &budgets, &thresholds, &theirs, &watched)
	if err == nil && (budgets != theirs || thresholds != watched) {
		v.finding("the account counts its budgets and thresholds", 0, "it says %d and %d, there are %d and %d", budgets, thresholds, theirs, watched)
	}
	return theirs > 0, err
}
