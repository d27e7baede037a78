package credits

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// bookDue books what has happened by itself in an account, if anything has.
func (l *Ledger) bookDue(ctx context.Context, db bun.IDB, account tenancy.AccountID) error {
	var next sql.Null[time.Time]
	err := db.NewRaw(`SELECT next_at FROM credits_accounts WHERE account_id = ? AND unit = ?`, account, l.cfg.Unit).Scan(ctx, &next)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	case !next.Valid || l.now().Before(next.V):
		return nil
	}
	return tx.Join(ctx, db, func(db bun.IDB) error {
		nothing := func(context.Context, *book) (outcome, error) { return outcome{}, nil }
		_, _, err := l.posted(ctx, db, []request{{account: account, do: nothing}}, true)
		return err
	})
}

// atOnce is how many accounts a sweep reads in one go.
const atOnce = 200

// Sweep books what has happened by itself in all accounts by now – grants have expired,
// holds have ended, periods of allotments have begun – and returns in how many. Nothing
// waits for it: whatever asks for an account books what is due there first. It is for the
// events, and for statements of accounts that nobody asks for. Any number of processes may
// sweep at once.
//
// An account that cannot be swept, such as one with an allotment in a time zone that this
// machine does not know, does not keep the others from it: the error names it, and the next
// sweep tries again. When ctx ends, Sweep returns its error with how far it came.
func (l *Ledger) Sweep(ctx context.Context, db *bun.DB) (int, error) {
	swept := 0
	var errs []error
	now := l.now()
	for after := tenancy.AccountID(""); ; {
		var ids []tenancy.AccountID
		err := db.NewRaw(`SELECT account_id FROM credits_accounts WHERE next_at <= ? AND unit = ? AND account_id > ?
			ORDER BY account_id LIMIT ?`, now, l.cfg.Unit, after, atOnce).Scan(ctx, &ids)
		if err != nil || len(ids) == 0 {
			return swept, errors.Join(append(errs, err)...)
		}
		for _, id := range ids {
			err := l.bookDue(ctx, db, id)
			switch {
			case err == nil:
				swept++
			case ctx.Err() != nil:
				return swept, errors.Join(append(errs, ctx.Err())...)
			default:
				errs = append(errs, fmt.Errorf("account %s: %w", id, err))
			}
		}
		after = ids[len(ids)-1]
	}
}
