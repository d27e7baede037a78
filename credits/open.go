package credits

import (
	"context"
	"database/sql"
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
		b.now = latest(now, b.was.enteredAt) // by whosesoever clock
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
