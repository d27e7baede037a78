package credits

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// opening reads the books that requests are about, under their locks.
type opening struct {
	ledger   *Ledger
	db       bun.IDB
	requests []request
	// wait is for locks that others hold. Without it their accounts are left out.
	wait bool

	accounts []tenancy.AccountID
	books    map[tenancy.AccountID]*book
}

// open locks the accounts of the requests, in their order, and reads their books as far
// as the requests need them. The lock is a statement of its own: what is read with it
// may be older than the lock.
//
// An account without a row gets one where a request has a key or opens. Without one it is
// left out: what takes is refused, which writes nothing.
func (o *opening) open(ctx context.Context) error {
	o.books = make(map[tenancy.AccountID]*book, len(o.requests))
	o.accounts = nil
	for _, r := range o.requests {
		if !slices.Contains(o.accounts, r.account) {
			o.accounts = append(o.accounts, r.account)
		}
	}
	if err := o.lock(ctx); err != nil {
		return err
	}
	if made, err := o.make(ctx); err != nil {
		return err
	} else if made {
		if err := o.lock(ctx); err != nil {
			return err
		}
	}
	if len(o.books) == 0 {
		return nil
	}
	// Only now: while the lock was waited for, a grant may have expired.
	now := o.ledger.now()
	for _, b := range o.books {
		b.now = now
	}
	for _, read := range []func(context.Context) error{o.readKeys, o.readEntries, o.readHolds, o.readGrants, o.readBudgets, o.readThresholds} {
		if err := read(ctx); err != nil {
			return err
		}
	}
	for _, b := range o.books {
		b.sort()
		if err := b.ripen(ctx); err != nil {
			return err
		}
	}
	return nil
}

const (
	rowColumns   = `account_id, epoch, booked, held, debt, number, entered_at, next_at, renews_at, budgets, thresholds, head, head_free`
	lockLite     = `UPDATE credits_accounts SET number = number WHERE unit = ? AND account_id IN (?) RETURNING ` + rowColumns
	lockPostgres = `SELECT ` + rowColumns + ` FROM credits_accounts WHERE unit = ? AND account_id IN (?) ORDER BY account_id FOR UPDATE`
)

// lock takes the accounts' rows. A write is what SQLite takes its lock for; on
// PostgreSQL that would write every row twice.
func (o *opening) lock(ctx context.Context) error {
	query := lockLite
	if isPostgres(o.db) {
		query = lockPostgres
		if !o.wait {
			query += " SKIP LOCKED"
		}
	}
	rows, err := o.db.QueryContext(ctx, query, o.ledger.cfg.Unit, bun.List(o.accounts)) // sqltext: one of three constants
	return each(rows, err, func(scan func(...any) error) error {
		b := &book{ledger: o.ledger, db: o.db}
		var entered, next, renews sql.Null[time.Time]
		if err := scan(&b.account, &b.was.epoch, &b.was.booked, &b.was.held, &b.was.debt, &b.was.number, &entered, &next, &renews, &b.was.budgets, &b.was.thresholds,
			&b.was.head, &b.was.headFree); err != nil {
			return err
		}
		b.was.enteredAt, b.was.nextAt, b.was.renewsAt = orZero(entered), orZero(next), orZero(renews)
		b.row = b.was
		b.due(b.row.renewsAt) // a program that knows of no allotments may have left it out
		o.books[b.account] = b
		return nil
	})
}

// make makes the rows of accounts that have none.
func (o *opening) make(ctx context.Context) (made bool, err error) {
	if !o.wait {
		return false, nil // it may be there, in somebody else's hands
	}
	for _, r := range o.requests {
		if r.key == "" && !r.opens || o.books[r.account] != nil {
			continue
		}
		made = true
		// It begins with any epoch, so that nobody who remembers an account of that name,
		// which is gone, takes this one for it.
		_, err := o.db.NewRaw(`INSERT INTO credits_accounts (account_id, unit, epoch, booked, number, created_at) VALUES (?, ?, ?, 0, 0, ?)
			ON CONFLICT (account_id, unit) DO NOTHING`, r.account, o.ledger.cfg.Unit, rand.Int64N(1<<62), o.ledger.now()).Exec(ctx)
		if err != nil {
			return false, err
		}
	}
	return made, nil
}

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
	rows, err := o.db.QueryContext(ctx, `WITH d (account_id, key) AS (?)
		SELECT k.account_id, k.key, k.hash, k.unit, k.outcome, k.number, k.need, k.have, k.detail, k.hold_id
		FROM d JOIN credits_keys AS k ON k.account_id = d.account_id AND k.key = d.key
		UNION ALL SELECT e.account_id, e.key, e.hash, e.unit, ?, e.number, 0, 0, '', e.hold_id
		FROM d JOIN credits_entries AS e ON e.account_id = d.account_id AND e.key = d.key AND e.key <> '' AND e.hash <> ''`, wanted, outcomeEntry)
	return each(rows, err, func(scan func(...any) error) error {
		k := &keyRow{}
		var number sql.Null[int64]
		if err := scan(&k.Account, &k.Key, &k.Hash, &k.Unit, &k.Outcome, &number, &k.Need, &k.Have, &k.Detail, &k.Hold); err != nil {
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
			if k.Outcome == outcomeEntry && k.Unit == o.ledger.cfg.Unit {
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

// readHolds reads the holds that the requests name.
func (o *opening) readHolds(ctx context.Context) error {
	wanted := newLookup(o.db, "text", "text")
	for _, r := range o.requests {
		if r.hold != "" && o.books[r.account] != nil {
			wanted.text(string(r.account))
			wanted.text(r.hold)
		}
	}
	if wanted.rows == 0 {
		return nil
	}
	rows, err := o.db.QueryContext(ctx, `WITH d (account_id, hold_id) AS (?)
		SELECT `+holdColumns+` FROM d JOIN credits_holds AS h ON h.account_id = d.account_id AND h.hold_id = d.hold_id
		WHERE h.unit = ?`, wanted, o.ledger.cfg.Unit) // sqltext: constant
	return each(rows, err, func(scan func(...any) error) error {
		h, err := scanHold(scan)
		if err != nil {
			return err
		}
		o.books[h.Account].keep(h)
		return nil
	})
}

// readGrants reads the grants that something remains in, which filled says.
func (o *opening) readGrants(ctx context.Context) error {
	rows, err := o.db.QueryContext(ctx, `SELECT `+grantColumns+` FROM credits_grants
		WHERE unit = ? AND filled AND account_id IN (?)`, o.ledger.cfg.Unit, bun.List(o.accounts)) // sqltext: constant
	return each(rows, err, func(scan func(...any) error) error {
		g, err := scanGrant(scan)
		if err != nil {
			return err
		}
		if b := o.books[g.Account]; b != nil {
			b.found(g)
		}
		return nil
	})
}

const grantColumns = `account_id, grant_id, category, priority, amount, remaining, held, operations, effective_at, expires_at`

func scanGrant(scan func(...any) error) (*grantRow, error) {
	g := &grantRow{}
	var expires sql.Null[time.Time]
	err := scan(&g.Account, &g.ID, &g.Category, &g.Priority, &g.Amount, &g.Remaining, &g.Held, &g.Operations, &g.EffectiveAt, &expires)
	g.EffectiveAt, g.ExpiresAt = g.EffectiveAt.UTC(), orZero(expires)
	return g, err
}

// grant is one of the account's, whether or not something remains in it.
func (b *book) grant(ctx context.Context, id string) (*grantRow, error) {
	for _, g := range b.grants {
		if g.ID == id {
			return g, nil
		}
	}
	var found *grantRow
	rows, err := b.db.QueryContext(ctx, `SELECT `+grantColumns+` FROM credits_grants
		WHERE account_id = ? AND grant_id = ? AND unit = ?`, b.account, id, b.ledger.cfg.Unit) // sqltext: constant
	err = each(rows, err, func(scan func(...any) error) (err error) {
		found, err = scanGrant(scan)
		return err
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, fmt.Errorf("credits: %s has no grant %s: run Verify", b.account, id)
	}
	b.found(found)
	return found, nil
}

// each hands every row to fn.
func each(rows *sql.Rows, err error, fn func(scan func(...any) error) error) error {
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := fn(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func orZero(t sql.Null[time.Time]) time.Time {
	if !t.Valid {
		return time.Time{}
	}
	return t.V.UTC()
}
