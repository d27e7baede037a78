package seals

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
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
	head, _, err := s.seal(ctx, db, account)
	return head, err
}

func (s *Seals) seal(ctx context.Context, db bun.IDB, account tenancy.AccountID) (head Head, sealed int64, err error) {
	if err := check(account); err != nil {
		return Head{}, 0, err
	}
	for {
		var n int64
		more := false
		err := tx.Join(ctx, db, func(db bun.IDB) error {
			var err error
			head, n, more, err = s.sealPage(ctx, db, account)
			return err
		})
		if err != nil {
			return Head{}, sealed, err
		}
		sealed += n
		if !more {
			return head, sealed, nil
		}
	}
}

func (s *Seals) sealPage(ctx context.Context, db bun.IDB, account tenancy.AccountID) (head Head, n int64, more bool, err error) {
	// The head is read first. Whoever seals anything after that takes the number after
	// it, and then this one's first insert finds it taken.
	if head, err = s.Head(ctx, db, account); err != nil {
		return head, 0, false, err
	}
	lines, err := s.lines(ctx, db, account, head.Number)
	if err != nil || len(lines) == 0 {
		return head, 0, false, err
	}
	old := head
	rows := make([]sealRow, len(lines))
	for i, l := range lines {
		head.Number++
		if l.columns[placeNumber] != strconv.FormatInt(head.Number, 10) {
			return old, 0, false, fmt.Errorf("seals: entry %d is missing: the ledger was tampered with", head.Number)
		}
		if l.broken != "" {
			return old, 0, false, fmt.Errorf("seals: entry %d: %s: the ledger was tampered with", head.Number, l.broken)
		}
		head.Hash, head.At = l.hash(head.Hash), l.at
		rows[i] = sealRow{Account: account, Unit: s.cfg.Unit, Number: head.Number, Hash: head.Hash}
	}
	// One row alone is the lock: who has inserted it is the only one to go on from the
	// head, and the others wait here.
	res, err := db.NewInsert().Model(&rows[0]).On("CONFLICT DO NOTHING").Exec(ctx)
	if err != nil {
		return old, 0, false, err
	}
	if first, err := res.RowsAffected(); err != nil || first == 0 {
		return old, 0, err == nil, err // somebody else was faster: look again
	}
	if rest := rows[1:]; len(rest) > 0 {
		if _, err := db.NewInsert().Model(&rest).Exec(ctx); err != nil {
			return old, 0, false, err
		}
	}
	return head, int64(len(rows)), len(rows) == page, nil
}

// lines reads a page of entries after a number, with their splits.
func (s *Seals) lines(ctx context.Context, db bun.IDB, account tenancy.AccountID, after int64) ([]line, error) {
	var lines []line
	last := after
	rows, err := db.QueryContext(ctx, `SELECT `+columns+`, e.number FROM credits_entries AS e
		WHERE e.account_id = ? AND e.unit = ? AND e.number > ? ORDER BY e.number LIMIT ?`, account, s.cfg.Unit, after, page) // sqltext: constant
	at := map[int64]int{}
	err = each(rows, err, func(scan func(...any) error) error {
		var v values
		err := scan(append(v.targets(), &last)...)
		at[last] = len(lines)
		lines = append(lines, v.line())
		return err
	})
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	return lines, s.splits(ctx, db, account, after, last, func(number int64, p split) {
		if i, ok := at[number]; ok {
			lines[i].splits = append(lines[i].splits, p)
		}
	})
}

// splits hands over those of the entries after a number up to another, in their order.
func (s *Seals) splits(ctx context.Context, db bun.IDB, account tenancy.AccountID, after, last int64, fn func(number int64, p split)) error {
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
		fn(number, p)
		return nil
	})
}

// Run seals what has no seal until ctx ends, every Config.Every. Any number of
// processes may run it. It returns when ctx is done, with nil.
func (s *Seals) Run(ctx context.Context, db *bun.DB) error {
	tick := time.NewTicker(s.cfg.Every)
	defer tick.Stop()
	for {
		if _, err := s.SealDue(ctx, db); err != nil && ctx.Err() == nil {
			slog.ErrorContext(ctx, "quitrent: sealing the ledgers", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// SealDue is one round of Run, for hosts with a scheduler of their own: it seals every
// committed entry that has no seal, account by account, and returns how many. An
// account whose ledger cannot be sealed does not keep the others from it; the error
// names it. A round compares the number of each account with that of its newest seal:
// two look-ups an account, whatever the length of its ledger.
func (s *Seals) SealDue(ctx context.Context, db *bun.DB) (int64, error) {
	var total int64
	var errs []error
	for after := tenancy.AccountID(""); ; {
		var due []tenancy.AccountID
		err := db.NewRaw(`SELECT a.account_id FROM credits_accounts AS a WHERE a.unit = ? AND a.account_id > ?
			AND a.number > COALESCE((SELECT MAX(s.number) FROM credits_seals AS s WHERE s.account_id = a.account_id AND s.unit = a.unit), 0)
			ORDER BY a.account_id LIMIT ?`, s.cfg.Unit, after, page).Scan(ctx, &due)
		if err != nil || len(due) == 0 {
			return total, errors.Join(append(errs, err)...)
		}
		for _, account := range due {
			n, err := s.sealAndNote(ctx, db, account)
			total += n
			if ctx.Err() != nil {
				return total, ctx.Err()
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("account %s: %w", account, err))
			}
		}
		after = due[len(due)-1]
	}
}

func (s *Seals) sealAndNote(ctx context.Context, db *bun.DB, account tenancy.AccountID) (int64, error) {
	head, n, err := s.seal(ctx, db, account)
	if err == nil && n > 0 && s.cfg.Note != nil {
		err = s.cfg.Note(ctx, head)
	}
	return n, err
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
