package credits

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/uptrace/bun"
)

// flush writes what the books have become, in as few statements as the database lets
// it be, and runs their notes.
func flush(ctx context.Context, db bun.IDB, books []*book) error {
	for _, b := range books {
		if b.changed() {
			b.close()
		}
	}
	if err := flushGrants(ctx, db, books); err != nil {
		return err
	}
	w := gather(db, books)
	if err := w.write(ctx, db); err != nil {
		return err
	}
	for _, write := range []func(context.Context, bun.IDB, []*book) error{flushHolds, flushBudgets, flushThresholds} {
		if err := write(ctx, db, books); err != nil {
			return err
		}
	}
	if err := flushRules(ctx, db, books); err != nil {
		return err
	}
	for _, b := range books {
		for _, note := range b.notes {
			if err := note(ctx, db); err != nil {
				return err
			}
		}
	}
	return nil
}

// flushGrants writes the grants that were made, before what moves them.
func flushGrants(ctx context.Context, db bun.IDB, books []*book) error {
	var made []*grantRow
	for _, b := range books {
		for _, g := range b.grants {
			if g.made {
				made = append(made, g)
			}
		}
	}
	if len(made) == 0 {
		return nil
	}
	_, err := db.NewInsert().Model(&made).Exec(ctx)
	return err
}

// writing is the part of flush that most postings need.
type writing struct {
	entries, splits, grants, keys, accounts *sheet
}

func gather(db bun.IDB, books []*book) writing {
	text, num, at := "text", "bigint", "timestamptz"
	w := writing{
		entries:  newSheet(db, text, text, num, text, num, num, num, num, text, text, text, text, text, at, text, text, text, text, text, text),
		splits:   newSheet(db, text, text, num, num, text, num),
		grants:   newLookup(db, text, text, num, num),
		keys:     newSheet(db, text, text, text, text, text, num, num, num, text, text, at),
		accounts: newLookup(db, text, text, num, num, num, num, num, num, at, at, text, num),
	}
	for _, b := range books {
		for _, e := range b.lines {
			w.entry(e)
		}
		for _, s := range b.splits {
			w.split(s)
		}
		for _, g := range b.grants {
			if b.stale(g) {
				w.grant(g)
			}
		}
		for _, k := range b.keys {
			if k.made && k.line == nil {
				w.key(k)
			}
		}
		if b.changed() {
			w.account(b)
		}
	}
	return w
}

func (w writing) entry(e *entryRow) {
	s := w.entries
	s.text(string(e.Account))
	s.text(e.Unit)
	s.int(e.Number)
	s.text(string(e.Kind))
	s.int(e.Amount)
	s.int(e.Balance)
	s.int(e.Spendable)
	s.number(e.RefundOf)
	s.text(e.Key)
	s.text(e.Operation)
	s.text(e.Note)
	s.text(string(e.ActorKind))
	s.text(e.ActorID)
	s.time(e.At)
	s.text(e.Basis)
	s.text(e.Hold)
	s.text(e.Grant)
	s.text(e.Hash)
	s.text(string(e.OnBehalfKind))
	s.text(e.OnBehalfID)
}

func (w writing) split(p splitRow) {
	s := w.splits
	s.text(string(p.Account))
	s.text(p.Unit)
	s.int(p.Number)
	s.int(p.Position)
	s.text(p.Grant)
	s.int(p.Amount)
}

func (w writing) grant(g *grantRow) {
	s := w.grants
	s.text(string(g.Account))
	s.text(g.ID)
	s.int(g.Remaining - g.row.remaining)
	s.int(g.Held - g.row.held)
}

func (w writing) key(k *keyRow) {
	s := w.keys
	s.text(string(k.Account))
	s.text(k.Key)
	s.text(k.Hash)
	s.text(k.Unit)
	s.text(k.Outcome)
	s.number(k.Number)
	s.int(k.Need)
	s.int(k.Have)
	s.text(k.Detail)
	s.text(k.Hold)
	s.time(k.CreatedAt)
}

func (w writing) account(b *book) {
	s := w.accounts
	s.text(string(b.account))
	s.text(b.ledger.cfg.Unit)
	s.int(b.row.epoch)
	s.int(b.row.replays - b.was.replays)
	s.int(b.row.booked - b.was.booked)
	s.int(b.row.held - b.was.held)
	s.int(b.row.debt - b.was.debt)
	s.int(b.row.number - b.was.number)
	s.time(b.row.enteredAt)
	s.time(b.row.nextAt)
	s.text(b.row.head)
	s.int(b.row.headFree)
}

// The statements of a writing. The database itself refuses a grant that would leave the
// range from nothing to its amount.
const (
	insertEntries = `INSERT INTO credits_entries (account_id, unit, number, kind, amount, balance, spendable, refund_of, key,
		operation, note, actor_kind, actor_id, at, basis, hold_id, grant_id, hash, on_behalf_kind, on_behalf_id) ?`
	insertSplits = `INSERT INTO credits_splits (account_id, unit, number, position, grant_id, amount) ?`
	insertKeys   = `INSERT INTO credits_keys (account_id, key, hash, unit, outcome, number, need, have, detail, hold_id, created_at) ?`
	moveGrants   = `WITH d (account_id, grant_id, moved, held) AS (?) UPDATE credits_grants SET remaining = credits_grants.remaining + d.moved, held = credits_grants.held + d.held
		FROM d WHERE credits_grants.account_id = d.account_id AND credits_grants.grant_id = d.grant_id
		AND credits_grants.remaining + d.moved BETWEEN 0 AND credits_grants.amount`
	ofAccounts     = `a (account_id, unit, epoch, replays, booked, held, debt, number, entered_at, next_at, head, head_free) AS (?)`
	updateAccounts = `UPDATE credits_accounts SET epoch = a.epoch, replays = credits_accounts.replays + a.replays,
		booked = credits_accounts.booked + a.booked, held = credits_accounts.held + a.held, debt = credits_accounts.debt + a.debt,
		number = credits_accounts.number + a.number, entered_at = a.entered_at, next_at = a.next_at,
		head = a.head, head_free = a.head_free
		FROM a WHERE credits_accounts.account_id = a.account_id AND credits_accounts.unit = a.unit`
	moveAccounts = `WITH ` + ofAccounts + ` ` + updateAccounts

	// posting is what a deduction writes, in one round trip.
	posting = `WITH ` + ofAccounts + `, entries AS (` + insertEntries + `) ` + updateAccounts
)

func (w writing) write(ctx context.Context, db bun.IDB) error {
	one := w.entries.arrays && w.entries.rows > 0
	if one {
		if err := moved(w.accounts.rows)(db.ExecContext(ctx, posting, w.accounts, w.entries)); err != nil { // sqltext: constant
			return err
		}
	}
	for _, s := range []struct {
		sheet *sheet
		query string
		done  bool
	}{
		{w.entries, insertEntries, one},
		{w.splits, insertSplits, false},
		{w.grants, moveGrants, false},
		{w.keys, insertKeys, false},
		{w.accounts, moveAccounts, one},
	} {
		if s.done || s.sheet.rows == 0 {
			continue
		}
		if err := moved(s.sheet.rows)(db.ExecContext(ctx, s.query, s.sheet)); err != nil { // sqltext: one of the constants above
			return err
		}
	}
	return nil
}

// moved is an error where a statement found fewer rows than there are to change.
func moved(want int) func(sql.Result, error) error {
	return func(res sql.Result, err error) error {
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err == nil && n != int64(want) {
			err = fmt.Errorf("credits: %d of %d rows could be written: run Verify", n, want)
		}
		return err
	}
}
