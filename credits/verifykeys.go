package credits

import (
	"context"
	"database/sql"

	"github.com/uptrace/bun"
)

// keys looks both ways: a key that lost its entry would replay nothing, and an entry
// that lost its key would be made again. One that is kept twice would replay either.
func (v *verification) keys(ctx context.Context, db bun.IDB) error {
	rows, err := db.QueryContext(ctx, `SELECT k.key FROM credits_keys AS k
		LEFT JOIN credits_entries AS e ON e.account_id = k.account_id AND e.unit = k.unit AND e.number = k.number AND e.key = k.key
		WHERE k.account_id = ? AND k.unit = ? AND k.outcome = ? AND e.number IS NULL
		ORDER BY k.key`, v.account, v.unit, outcomeEntry)
	if err := v.eachKey(rows, err, "every key's entry exists"); err != nil {
		return err
	}
	rows, err = db.QueryContext(ctx, `SELECT k.key FROM credits_keys AS k
		LEFT JOIN credits_holds AS h ON h.account_id = k.account_id AND h.unit = k.unit AND h.hold_id = k.hold_id
		WHERE k.account_id = ? AND k.unit = ? AND k.outcome = ? AND h.hold_id IS NULL
		ORDER BY k.key`, v.account, v.unit, outcomeHold)
	if err := v.eachKey(rows, err, "every key's hold exists"); err != nil {
		return err
	}
	rows, err = db.QueryContext(ctx, `SELECT k.key FROM credits_keys AS k
		JOIN credits_entries AS e ON e.account_id = k.account_id AND e.unit = k.unit AND e.key = k.key AND e.key <> '' AND e.hash <> ''
		WHERE k.account_id = ? AND k.unit = ? ORDER BY k.key`, v.account, v.unit)
	if err := v.eachKey(rows, err, "a key is kept once"); err != nil {
		return err
	}
	rows, err = db.QueryContext(ctx, `SELECT e.number FROM credits_entries AS e
		LEFT JOIN credits_keys AS k ON k.account_id = e.account_id AND k.key = e.key AND k.unit = e.unit
			AND k.outcome = ? AND k.number = e.number
		WHERE e.account_id = ? AND e.unit = ? AND e.key <> '' AND e.hash = '' AND k.key IS NULL
		ORDER BY e.number`, outcomeEntry, v.account, v.unit)
	return each(rows, err, func(scan func(...any) error) error {
		var n int64
		err := scan(&n)
		v.finding("every entry's key is remembered", n, "entry %d", n)
		return err
	})
}

func (v *verification) eachKey(rows *sql.Rows, err error, rule string) error {
	return each(rows, err, func(scan func(...any) error) error {
		var key string
		err := scan(&key)
		v.finding(rule, 0, "key %q", key)
		return err
	})
}
