package chain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
)

// Logs are the logs that a table of seals is over, one of each account. A is an account's
// id, H the head of its chain, which is its newest seal, and R the row of a seal, which
// the database lets nobody insert twice with one number.
type Logs[A ~string, H, R any] struct {
	// Head reads the head of an account's chain.
	Head func(ctx context.Context, db bun.IDB, account A) (H, error)
	// Next reads lines that have no seal, Page of them where there are as many, and makes
	// the seals that follow the head, and the head with those.
	Next func(ctx context.Context, db bun.IDB, head H) (H, []R, error)
	// Due lists accounts after one, in their order, whose logs have lines without a seal;
	// none where there are no more.
	Due func(ctx context.Context, db *bun.DB, after A) ([]A, error)
	// Note receives the head of each log that SealDue and SealNote have sealed something
	// of. It may be nil.
	Note func(ctx context.Context, head H) error
}

// Seal seals the lines of an account's log that have no seal, and returns the head and
// how many they were. Given a pool it commits by the page.
func (l Logs[A, H, R]) Seal(ctx context.Context, db bun.IDB, account A) (head H, sealed int64, err error) {
	for more := true; more; {
		var n int64
		err = tx.Join(ctx, db, func(db bun.IDB) error {
			var err error
			head, n, more, err = l.page(ctx, db, account)
			return err
		})
		if err != nil {
			return *new(H), sealed, err
		}
		sealed += n
	}
	return head, sealed, nil
}

func (l Logs[A, H, R]) page(ctx context.Context, db bun.IDB, account A) (head H, n int64, more bool, err error) {
	// The head is read first. Whoever seals anything after that takes the number after
	// it, and then this one's first insert finds it taken.
	old, err := l.Head(ctx, db, account)
	if err != nil {
		return old, 0, false, err
	}
	head, rows, err := l.Next(ctx, db, old)
	if err != nil || len(rows) == 0 {
		return old, 0, false, err
	}
	// One row alone is the lock: who has inserted it is the only one to go on from the
	// head, and the others wait here.
	res, err := db.NewInsert().Model(&rows[0]).On("CONFLICT DO NOTHING").Exec(ctx)
	if err != nil {
		return old, 0, false, err
	}
	if first, err := res.RowsAffected(); err != nil || first == 0 {
		return old, 0, true, err // somebody else was faster: look again
	}
	if rest := rows[1:]; len(rest) > 0 {
		if _, err := db.NewInsert().Model(&rest).Exec(ctx); err != nil {
			return old, 0, false, err
		}
	}
	return head, int64(len(rows)), len(rows) == Page, nil
}

// SealNote is Seal that notes the head where something was sealed.
func (l Logs[A, H, R]) SealNote(ctx context.Context, db bun.IDB, account A) (int64, error) {
	head, n, err := l.Seal(ctx, db, account)
	if err == nil && n > 0 && l.Note != nil {
		err = l.Note(ctx, head)
	}
	return n, err
}

// SealDue seals and notes every log that is due, and returns how many lines it sealed. One
// that cannot be sealed does not keep the others from it; the error names its account.
func (l Logs[A, H, R]) SealDue(ctx context.Context, db *bun.DB) (int64, error) {
	var total int64
	var errs []error
	for after := A(""); ; {
		due, err := l.Due(ctx, db, after)
		if err != nil || len(due) == 0 {
			return total, errors.Join(append(errs, err)...)
		}
		for _, account := range due {
			n, err := l.SealNote(ctx, db, account)
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

// Run calls sealDue at once and then every so often until ctx ends, and logs its errors
// as those of sealing what.
func Run(ctx context.Context, db *bun.DB, what string, every time.Duration, sealDue func(context.Context, *bun.DB) (int64, error)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if _, err := sealDue(ctx, db); err != nil && ctx.Err() == nil {
			slog.ErrorContext(ctx, "quitrent: sealing "+what, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
