package credits

import (
	"context"
	"database/sql"

	"github.com/quitrent/quitrent/tenancy"
)

// readKeys reads what is known of the requests' keys.
func (o *opening) readKeys(ctx context.Context) error {
	wanted := newLookup(o.db, "text", "text")
	for _, r := range o.requests {
		if r.key != "" && o.books[r.account] != nil {
			wanted.text(string(r.account))
			wanted.text(r.key)
		}
	}
	if wanted.rows == 0 {
		return nil
	}
	unit := o.ledger.cfg.Unit
	rows, err := o.db.QueryContext(ctx, `WITH d (account_id, key) AS (?)
		SELECT k.account_id, k.key, k.hash, k.outcome, k.number, k.need, k.have, k.detail, k.hold_id
		FROM d JOIN credits_keys AS k ON k.account_id = d.account_id AND k.key = d.key AND k.unit = ?
		UNION ALL SELECT e.account_id, e.key, e.hash, ?, e.number, 0, 0, '', e.hold_id
		FROM d JOIN credits_entries AS e ON e.account_id = d.account_id AND e.key = d.key AND e.unit = ? AND e.key <> '' AND e.hash <> ''`,
		wanted, unit, outcomeEntry, unit)
	return each(rows, err, func(scan func(...any) error) error {
		k := &keyRow{}
		var number sql.Null[int64]
		if err := scan(&k.Account, &k.Key, &k.Hash, &k.Outcome, &number, &k.Need, &k.Have, &k.Detail, &k.Hold); err != nil {
			return err
		}
		k.Number = number.V
		o.books[k.Account].know(k)
		return nil
	})
}

// readEntries reads the entries that known keys made.
func (o *opening) readEntries(ctx context.Context) error {
	wanted := newLookup(o.db, "text", "bigint")
	made := map[entryID]*keyRow{}
	for _, b := range o.books {
		for _, k := range b.keys {
			if k.Outcome == outcomeEntry {
				wanted.text(string(k.Account))
				wanted.int(k.Number)
				made[entryID{k.Account, k.Number}] = k
			}
		}
	}
	if wanted.rows == 0 {
		return nil
	}
	rows, err := o.db.QueryContext(ctx, `WITH d (account_id, number) AS (?)
		SELECT `+entryColumns+` FROM d JOIN credits_entries AS e ON e.account_id = d.account_id AND e.number = d.number
		WHERE e.unit = ?`, wanted, o.ledger.cfg.Unit) // sqltext: constant
	return each(rows, err, func(scan func(...any) error) error {
		e, err := scanEntry(scan)
		if err == nil {
			made[entryID{e.Account, e.Number}].out.entry = e.entry()
		}
		return err
	})
}

type entryID struct {
	account tenancy.AccountID
	number  int64
}
