package seals

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/chain"
	"github.com/quitrent/quitrent/tenancy"
)

// Seal seals every committed entry of an account's ledger that has no seal, and returns
// the new head. It takes no lock that a request waits for: entries are numbered without
// gaps, under the lock of their account, so that whoever sees one sees all before it.
// Any number of processes may seal at once: there is one chain. Given a *bun.DB it
// commits by the page, so what is sealed stays sealed when it is interrupted; given a
// transaction, other sealers of the account wait for its end.
//
// Where an entry is missing nothing is sealed from there on: the error says so, and
// Verify says more. tenancy.ErrInvalid: account cannot be an account's id.
func (s *Seals) Seal(ctx context.Context, db bun.IDB, account tenancy.AccountID) (Head, error) {
	head, _, err := s.ledgers().Seal(ctx, db, account)
	return head, err
}

func (s *Seals) ledgers() chain.Logs[tenancy.AccountID, Head, sealRow] {
	return chain.Logs[tenancy.AccountID, Head, sealRow]{Head: s.Head, Next: s.next, Due: s.due, Note: s.cfg.Note}
}

// next makes the seals of a page of entries after the head.
func (s *Seals) next(ctx context.Context, db bun.IDB, head Head) (Head, []sealRow, error) {
	lines, err := s.lines(ctx, db, head.Account, head.Number)
	rows := make([]sealRow, len(lines))
	for i, l := range lines {
		head.Number++
		if l.columns[placeNumber] != strconv.FormatInt(head.Number, 10) {
			return head, nil, fmt.Errorf("seals: entry %d is missing: the ledger was tampered with", head.Number)
		}
		if l.broken {
			return head, nil, fmt.Errorf("seals: entry %d: %s: the ledger was tampered with", head.Number, noValue)
		}
		head.Hash, head.At = l.hash(head.Hash), l.at
		rows[i] = sealRow{Account: head.Account, Unit: s.cfg.Unit, Number: head.Number, Hash: head.Hash}
	}
	return head, rows, err
}

// lines reads a page of entries after a number, with their splits.
func (s *Seals) lines(ctx context.Context, db bun.IDB, account tenancy.AccountID, after int64) ([]*line, error) {
	var lines []*line
	at, last := map[int64]*line{}, after
	rows, err := db.QueryContext(ctx, `SELECT `+columns+`, e.number FROM credits_entries AS e
		WHERE e.account_id = ? AND e.unit = ? AND e.number > ? ORDER BY e.number LIMIT ?`, account, s.cfg.Unit, after, chain.Page) // sqltext: constant
	err = each(rows, err, func(scan func(...any) error) error {
		var v values
		err := scan(append(v.targets(), &last)...)
		at[last] = v.line()
		lines = append(lines, at[last])
		return err
	})
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	return lines, s.splits(ctx, db, account, after, last, at)
}

// splits reads those of the entries after a number up to another into these lines.
func (s *Seals) splits(ctx context.Context, db bun.IDB, account tenancy.AccountID, after, last int64, at map[int64]*line) error {
	rows, err := db.QueryContext(ctx, `SELECT number, position, grant_id, amount FROM credits_splits
		WHERE account_id = ? AND unit = ? AND number > ? AND number <= ? ORDER BY number, position`, account, s.cfg.Unit, after, last)
	return each(rows, err, func(scan func(...any) error) error {
		var number int64
		var position, grant, amount any
		if err := scan(&number, &position, &grant, &amount); err != nil {
			return err
		}
		var p split
		p.position, _ = textOf(position)
		p.grant, _ = textOf(grant)
		p.amount, _ = textOf(amount)
		if l := at[number]; l != nil {
			l.splits = append(l.splits, p)
		}
		return nil
	})
}

// Run seals what has no seal until ctx ends, every Config.Every. Any number of
// processes may run it. It returns when ctx is done, with nil.
func (s *Seals) Run(ctx context.Context, db *bun.DB) error {
	chain.Run(ctx, db, "the ledgers", s.cfg.Every, s.SealDue)
	return nil
}

// SealDue is one round of Run, for hosts with a scheduler of their own: it seals every
// committed entry that has no seal, account by account, and returns how many. An
// account whose ledger cannot be sealed does not keep the others from it; the error
// names it. A round finds what is due in one statement for every 500 ledgers that are,
// which compares the number of each account with that of its newest seal: two look-ups
// in the database's indexes an account, whatever the length of its ledger.
func (s *Seals) SealDue(ctx context.Context, db *bun.DB) (int64, error) {
	return s.ledgers().SealDue(ctx, db)
}

func (s *Seals) due(ctx context.Context, db *bun.DB, after tenancy.AccountID) (due []tenancy.AccountID, err error) {
	// As NOT EXISTS over the newest number it is a join to PostgreSQL, which at times reads
	// every seal of the accounts before these.
	err = db.NewRaw(`SELECT a.account_id FROM credits_accounts AS a WHERE a.unit = ? AND a.account_id > ?
		AND a.number > COALESCE((SELECT MAX(s.number) FROM credits_seals AS s WHERE s.account_id = a.account_id AND s.unit = a.unit), 0)
		ORDER BY a.account_id LIMIT ?`, s.cfg.Unit, after, chain.Page).Scan(ctx, &due)
	return due, err
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
