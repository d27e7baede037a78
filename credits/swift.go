package credits

import (
	"context"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// swiftWithin bounds a swift statement, which waits for no lock.
const swiftWithin = 10 * time.Second

// lookFor is for how many batches keys are looked up beforehand after one was found
// that had been used.
const lookFor = 64

// swift answers requests by what is remembered of their accounts, in one statement that
// is its own transaction. For an account that is not as it was remembered, that somebody
// else has locked, or in which something is due, the statement does nothing; what is not
// answered is left for the way by locks, which is the same but for the round trips.
//
// A key that has been used before makes the statement fail as a whole. An error that is
// ErrOutcomeUnknown says that what was asked for may have happened.
func (l *Ledger) swift(ctx context.Context, db *bun.DB, requests []request) (outs []outcome, done []bool, err error) {
	outs, done = make([]outcome, len(requests)), make([]bool, len(requests))
	books := map[tenancy.AccountID]*book{}
	for _, r := range requests {
		if _, ok := books[r.account]; ok {
			continue
		}
		books[r.account] = nil
		if known, ok := l.shelf.get(shelved{db.DB, r.account}); ok && r.light {
			b := known.open(l, r.account)
			if b.row.budgets == 0 && b.row.thresholds == 0 && (b.row.nextAt.IsZero() || b.now.Before(b.row.nextAt)) {
				books[r.account] = b
			}
		}
	}
	if err := l.foresee(ctx, db, requests, books); err != nil {
		return outs, done, nil // the way by locks says what is wrong
	}
	for i, r := range requests {
		b := books[r.account]
		if b == nil || !r.light {
			books[r.account] = nil
			continue
		}
		if outs[i], err = b.answer(ctx, r); err != nil {
			books[r.account] = nil
		}
	}
	var ready []*book
	for account, b := range books {
		if b != nil && b.plain() {
			ready = append(ready, b)
		} else {
			delete(books, account)
		}
	}
	if len(ready) == 0 {
		return outs, done, nil
	}
	written, err := gather(db, ready).swift(ctx, db, &l.prepared)
	if err != nil {
		for _, b := range ready {
			l.shelf.drop(shelved{db.DB, b.account})
		}
		if errors.Is(err, tx.ErrOutcomeUnknown) {
			for i, r := range requests {
				done[i] = books[r.account] != nil
			}
			return outs, done, err
		}
		l.looking.Store(lookFor)
		return outs, done, nil
	}
	for _, b := range ready {
		if written[b.account] {
			l.shelf.put(shelved{db.DB, b.account}, b.standing())
		} else {
			l.shelf.drop(shelved{db.DB, b.account})
		}
	}
	for i, r := range requests {
		done[i] = books[r.account] != nil && written[r.account]
	}
	return outs, done, nil
}

// plain reports that a book is changed by nothing but entries of one grant each, and
// replays.
func (b *book) plain() bool {
	for _, k := range b.keys {
		if k.made && k.line == nil {
			return false
		}
	}
	return len(b.splits) == 0 && b.changed()
}

// remember keeps how books were left by a commit.
func (l *Ledger) remember(db *bun.DB, books []*book) {
	if !isPostgres(db) {
		return
	}
	for _, b := range books {
		l.shelf.put(shelved{db.DB, b.account}, b.standing())
	}
}

// foresee looks the requests' keys up, if some have been repeated lately.
func (l *Ledger) foresee(ctx context.Context, db *bun.DB, requests []request, books map[tenancy.AccountID]*book) error {
	if l.looking.Load() <= 0 {
		return nil
	}
	l.looking.Add(-1)
	o := &opening{ledger: l, db: db, requests: requests, books: map[tenancy.AccountID]*book{}}
	for account, b := range books {
		if b != nil {
			o.books[account] = b
		}
	}
	if err := o.readKeys(ctx); err != nil {
		return err
	}
	found := false
	for _, b := range o.books {
		found = found || len(b.keys) > 0
	}
	if !found {
		return nil
	}
	l.looking.Store(lookFor)
	return o.readEntries(ctx)
}

// swiftly is the statement. Rows are locked in no order, which is safe because it waits
// for none; an account that has changed or is locked is not among ok, and nothing of it
// is written. What is read of keys may be older than the lock, but then the version is
// another one. IS TRUE keeps IN from becoming a join, which PostgreSQL, expecting one row,
// would make one of each with each.
const swiftly = `WITH a (account_id, unit, version, replays, booked, held, debt, number, entered_at, next_at) AS (?),
	d (account_id, grant_id, moved, held) AS (?),
	e (account_id, unit, number, kind, amount, balance, spendable, refund_of, key,
		operation, note, actor_kind, actor_id, at, basis, hold_id, grant_id, hash, on_behalf_kind, on_behalf_id) AS (?),
	used AS (SELECT e.account_id FROM e CROSS JOIN LATERAL (SELECT 1 FROM credits_keys AS k
		WHERE k.account_id = e.account_id AND k.key = e.key LIMIT 1) AS k WHERE e.key <> ''),
	free AS (SELECT a.* FROM a JOIN credits_accounts AS c ON c.account_id = a.account_id AND c.unit = a.unit AND c.version = a.version
		WHERE c.account_id NOT IN (SELECT used.account_id FROM used) FOR UPDATE OF c SKIP LOCKED),
	ok AS (UPDATE credits_accounts SET version = credits_accounts.version + 1, replays = credits_accounts.replays + f.replays,
		booked = credits_accounts.booked + f.booked, held = credits_accounts.held + f.held, debt = credits_accounts.debt + f.debt,
		number = credits_accounts.number + f.number, entered_at = f.entered_at, next_at = f.next_at
		FROM free AS f
		WHERE credits_accounts.account_id = f.account_id AND credits_accounts.unit = f.unit AND credits_accounts.version = f.version
		RETURNING credits_accounts.account_id),
	entries AS (INSERT INTO credits_entries (account_id, unit, number, kind, amount, balance, spendable, refund_of, key,
		operation, note, actor_kind, actor_id, at, basis, hold_id, grant_id, hash, on_behalf_kind, on_behalf_id)
		SELECT e.* FROM e WHERE (e.account_id IN (SELECT ok.account_id FROM ok)) IS TRUE),
	grants AS (UPDATE credits_grants SET remaining = credits_grants.remaining + d.moved, held = credits_grants.held + d.held
		FROM d WHERE credits_grants.account_id = d.account_id AND credits_grants.grant_id = d.grant_id
		AND (d.account_id IN (SELECT ok.account_id FROM ok)) IS TRUE)
	SELECT account_id FROM ok`

// swift writes what it can of a writing and returns of which accounts.
func (w writing) swift(ctx context.Context, db *bun.DB, prepared *prepared) (map[tenancy.AccountID]bool, error) {
	// It is short and waits for nothing: nobody's context cuts it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), swiftWithin)
	defer cancel()
	written, err := w.run(ctx, db, prepared)
	return written, tx.Single(err)
}
