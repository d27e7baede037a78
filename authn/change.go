package authn

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// change is what the verbs on a key that lives have in common: the account's lock, the
// key, the logs, and the news that it changed. Without a fact nothing did.
func (k *Keys) change(ctx context.Context, db bun.IDB, line tenancy.Audit,
	do func(db bun.IDB, key keyRow, now time.Time) (tenancy.Fact, error),
) error {
	if err := line.Validate(); err != nil {
		return err
	}
	return tx.Join(ctx, db, func(db bun.IDB) error {
		if err := k.lock(ctx, db, line.Account); err != nil {
			return err
		}
		// The account is locked, unless it is a Loader's: the key is in any case.
		if _, err := db.NewUpdate().Model((*keyRow)(nil)).Set("name = name").
			Where("account_id = ? AND key_id = ?", line.Account, line.Target).Exec(ctx); err != nil {
			return err
		}
		line.At = k.now()
		var key keyRow
		err := db.NewSelect().Model(&key).Where("account_id = ? AND key_id = ?", line.Account, line.Target).Scan(ctx)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return ErrNoKey
		case err != nil:
			return err
		case !key.RevokedAt.IsZero() || over(key.ExpiresAt, line.At):
			return ErrKeyOver
		}
		fact, err := do(db, key, line.At)
		if err != nil || fact == nil {
			return err
		}
		if err := k.accounts.Changed(ctx, db, line.Account.Subject()); err != nil {
			return err
		}
		return tenancy.Note(ctx, db, line, fact)
	})
}
