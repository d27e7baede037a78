package credits

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

func (v *verification) accountRow(ctx context.Context, db bun.IDB) error {
	v.absent = true
	rows, err := db.QueryContext(ctx, `SELECT booked, held, debt, number, entered_at, next_at, thresholds, head, head_free FROM credits_accounts
		WHERE account_id = ? AND unit = ?`, v.account, v.unit)
	return each(rows, err, func(scan func(...any) error) error {
		v.absent = false
		var entered, next sql.Null[time.Time]
		err := scan(&v.row.booked, &v.row.held, &v.row.debt, &v.row.number, &entered, &next, &v.row.thresholds, &v.row.head, &v.row.headFree)
		v.row.enteredAt, v.row.nextAt = orZero(entered), orZero(next)
		return err
	})
}

// openHolds adds up what the holds hold, and of which grants.
func (v *verification) openHolds(ctx context.Context, db bun.IDB) error {
	v.holding = map[string]int64{}
	rows, err := db.QueryContext(ctx, `SELECT hold_id, state, amount, used, parts, expires_at FROM credits_holds
		WHERE account_id = ? AND unit = ? AND state IN ('open', 'review') ORDER BY hold_id`, v.account, v.unit)
	return each(rows, err, func(scan func(...any) error) error {
		var h holdRow
		if err := scan(&h.ID, &h.State, &h.Amount, &h.Used, &h.Parts, &h.ExpiresAt); err != nil {
			return err
		}
		v.holds += h.left()
		if end := h.ExpiresAt.UTC(); h.State == HoldOpen && (v.ending.IsZero() || end.Before(v.ending)) {
			v.ending = end
		}
		parts, err := parseParts(h.Parts)
		var total int64
		for _, p := range parts {
			before := min(total, h.Used)
			total += p.amount
			v.holding[p.grant] += p.amount - (min(total, h.Used) - before)
		}
		if err != nil || total != h.Amount {
			v.finding("a hold is the sum of its parts", 0, "%s is %d, its parts %d", h.ID, h.Amount, total)
		}
		return nil
	})
}

func (v *verification) grants(ctx context.Context, db bun.IDB) error {
	led := v.row.head == ""
	rows, err := db.QueryContext(ctx, `SELECT grant_id, amount, remaining, held, effective_at, expires_at FROM credits_grants
		WHERE account_id = ? AND unit = ? ORDER BY grant_id`, v.account, v.unit)
	err = each(rows, err, func(scan func(...any) error) error {
		var g grantRow
		var expires sql.Null[time.Time]
		if err := scan(&g.ID, &g.Amount, &g.Remaining, &g.Held, &g.EffectiveAt, &expires); err != nil {
			return err
		}
		g.ExpiresAt = orZero(expires)
		if g.ID == v.row.head {
			led = true
			now := v.row.headFree + g.Held
			if now > g.Remaining {
				v.note(Finding{Rule: ruleHead, Grant: g.ID, Detail: fmt.Sprintf("%s has %d, of %d that its own row knows of", g.ID, now, g.Remaining)})
			}
			g.Remaining = now
		}
		v.grant(&g)
		return nil
	})
	if err == nil && !led {
		v.finding(ruleHead, 0, "grant %s is not there", v.row.head)
	}
	return err
}

func (v *verification) grant(g *grantRow) {
	walked := v.walk.grants[g.ID]
	find := func(rule string, off int64, detail string, args ...any) {
		v.note(Finding{Rule: rule, Grant: g.ID, Off: off, Detail: g.ID + " " + fmt.Sprintf(detail, args...)})
	}
	v.remaining += g.Remaining
	v.held += g.Held
	if g.Held < 0 || g.Held > max(0, g.Remaining) {
		find("what is held of a grant remains in it", 0, "has %d, of which %d are held", g.Remaining, g.Held)
	}
	if holding := v.holding[g.ID]; g.Held != holding {
		find("what is held of a grant is what holds hold", 0, "has %d held, holds hold %d of it", g.Held, holding)
	}
	if g.Remaining < 0 || g.Remaining > g.Amount {
		find("what remains in a grant is between nothing and its amount", 0, "has %d of %d", g.Remaining, g.Amount)
	}
	if walked.given != g.Amount {
		find("a grant is what its entry put in", 0, "is %d, its entry put in %d", g.Amount, walked.given)
	}
	if walked.left != g.Remaining {
		find(ruleRemaining, g.Remaining-walked.left, "has %d, its splits %d", g.Remaining, walked.left)
	}
	if !g.ExpiresAt.IsZero() && g.free() > 0 {
		v.due("grant "+g.ID+" ends", g.ExpiresAt)
	}
	if v.row.thresholds > 0 && g.Remaining > 0 && g.EffectiveAt.After(v.now) {
		v.due("grant "+g.ID+" takes effect", g.EffectiveAt)
	}
}

// due is what will happen by itself at a time. Nobody looks for it where the account's
// row says that nothing happens until later: a grant would end, and stay in the balance.
func (v *verification) due(what string, at time.Time) {
	switch next := v.row.nextAt; {
	case v.absent:
	case next.IsZero():
		v.finding(ruleDue, 0, "%s at %s, and nothing is due", what, instant(at))
	case next.After(at):
		v.finding(ruleDue, 0, "%s at %s, and nothing is due before %s", what, instant(at), instant(next))
	}
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// sums compares the account's row with all the others.
func (v *verification) sums() {
	row, w := v.row, v.walk
	if row.booked != w.total {
		v.note(Finding{Rule: ruleBalance, Off: row.booked - w.total, Detail: fmt.Sprintf("the balance is %d, the sum %d", row.booked, w.total)})
	}
	if row.booked != v.remaining-row.debt {
		v.finding("balance = what remains in grants - debt", 0, "the balance is %d, grants hold %d, the debt is %d", row.booked, v.remaining, row.debt)
	}
	if row.number != w.count {
		v.finding("the account counts its entries", 0, "it says %d, the last entry is %d", row.number, w.count)
	}
	if !v.absent && !row.enteredAt.Equal(w.at) {
		v.finding("the account knows when its last entry was made", 0, "it says %s, the last entry is of %s", instant(row.enteredAt), instant(w.at))
	}
	if row.debt != w.debt {
		v.finding("debt = splits without a grant", 0, "the debt is %d, the splits are %d", row.debt, w.debt)
	}
	if w.lost != 0 {
		v.finding("every split's grant exists", 0, "%d splits name none that does", w.lost)
	}
	if row.held != v.held {
		v.finding("held = what is held of grants", 0, "the account holds %d, its grants %d", row.held, v.held)
	}
	if row.held != v.holds {
		v.finding("held = what is left of holds", 0, "the account holds %d, its holds %d", row.held, v.holds)
	}
	if !v.ending.IsZero() {
		v.due("a hold ends", v.ending)
	}
}

// charges looks for holds that do not count what settlements charged.
func (v *verification) charges(ctx context.Context, db bun.IDB) error {
	rows, err := db.QueryContext(ctx, `SELECT hold_id, CAST(SUM(settled) AS BIGINT), CAST(SUM(charged) AS BIGINT), SUM(there) FROM (
			SELECT hold_id, settled, 0 AS charged, 1 AS there FROM credits_holds WHERE account_id = ? AND unit = ?
			UNION ALL SELECT hold_id, 0, -amount, 0 FROM credits_entries WHERE account_id = ? AND unit = ? AND hold_id <> '') AS h
		GROUP BY hold_id HAVING SUM(settled) <> SUM(charged) ORDER BY hold_id`, v.account, v.unit, v.account, v.unit)
	return each(rows, err, func(scan func(...any) error) error {
		var id string
		var settled, charged, there int64
		if err := scan(&id, &settled, &charged, &there); err != nil {
			return err
		}
		if there == 0 {
			v.finding("every settlement's hold exists", 0, "hold %s", id)
		} else {
			v.finding("a hold counts what was charged", 0, "%s says %d, its settlements %d", id, settled, charged)
		}
		return nil
	})
}

// refunds compares them with their deductions, some of those at a time. What a refund
// put into a grant that it made counts for that one's origin.
func (v *verification) refunds(ctx context.Context, db bun.IDB) error {
	for after := int64(0); ; {
		var first, last sql.Null[int64]
		err := db.NewRaw(`SELECT MIN(refund_of), MAX(refund_of) FROM (SELECT DISTINCT refund_of FROM credits_entries
			WHERE account_id = ? AND unit = ? AND refund_of IS NOT NULL AND refund_of > ? ORDER BY refund_of LIMIT 1000) AS r`, v.account, v.unit, after).Scan(ctx, &first, &last)
		if err != nil || !last.Valid {
			return err
		}
		if err := v.refundsOf(ctx, db, first.V, last.V); err != nil {
			return err
		}
		after = last.V
	}
}

func (v *verification) refundsOf(ctx context.Context, db bun.IDB, first, last int64) error {
	rows, err := db.QueryContext(ctx, `SELECT r.refund_of, r.origin, r.given, COALESCE(-d.taken, 0) FROM (
			SELECT e.refund_of, COALESCE(CASE g.origin WHEN ?0 THEN '' ELSE g.origin END, s.grant_id) AS origin,
				CAST(SUM(s.amount) AS BIGINT) AS given
			FROM credits_entries AS e
			JOIN `+parts+` AS s ON s.account_id = e.account_id AND s.unit = e.unit AND s.number = e.number
			LEFT JOIN credits_grants AS g ON g.account_id = s.account_id AND g.grant_id = s.grant_id AND g.number = s.number AND g.origin <> ''
			WHERE e.account_id = ?1 AND e.unit = ?2 AND e.refund_of BETWEEN ?3 AND ?4 GROUP BY 1, 2) AS r
		LEFT JOIN (SELECT number, grant_id, CAST(SUM(amount) AS BIGINT) AS taken FROM `+parts+` AS p
			WHERE account_id = ?1 AND unit = ?2 AND number BETWEEN ?3 AND ?4 GROUP BY number, grant_id) AS d ON d.number = r.refund_of AND d.grant_id = r.origin
		WHERE r.given > COALESCE(-d.taken, 0) ORDER BY 1, 2`, inDebt, v.account, v.unit, first, last) // sqltext: constant
	return each(rows, err, func(scan func(...any) error) error {
		var of, given, taken int64
		var id string
		err := scan(&of, &id, &given, &taken)
		v.note(Finding{
			Rule: ruleRefunds, Number: of, Grant: id, Off: given - taken,
			Detail: fmt.Sprintf("entry %d took %d from %s, %d came back", of, taken, id, given),
		})
		return err
	})
}
