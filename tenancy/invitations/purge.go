package invitations

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// finished are the invitations that were over at an instant. It takes the instant
// three times.
const finished = "(accepted_at < ? OR revoked_at < ? OR accepted_at IS NULL AND revoked_at IS NULL AND expires_at < ?)"

// Purge deletes the invitations of all accounts that were accepted, revoked or
// expired before the given instant, with their addresses, and returns how many. What
// is open stays, whatever the instant. It takes one account after the other, each in
// a transaction of its own unless db is one, and goes on where it was stopped when it
// is called again.
func (n *Invitations) Purge(ctx context.Context, db bun.IDB, before time.Time) (int, error) {
	if now := n.now(); before.After(now) {
		before = now
	}
	before = before.UTC()
	var accounts []tenancy.AccountID
	err := db.NewSelect().Model((*invitationRow)(nil)).Distinct().Column("account_id").
		Where(finished, before, before, before).OrderExpr("account_id").Scan(ctx, &accounts)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, account := range accounts {
		deleted := 0
		err := tx.Join(ctx, db, func(db bun.IDB) (err error) {
			deleted, err = n.purge(ctx, db, account, before)
			return err
		})
		if err != nil {
			return total, err
		}
		total += deleted
	}
	return total, nil
}

func (n *Invitations) purge(ctx context.Context, db bun.IDB, account tenancy.AccountID, before time.Time) (int, error) {
	if _, err := n.accounts.Lock(ctx, db, account); err != nil {
		return 0, err
	}
	over := db.NewSelect().Model((*invitationRow)(nil)).Column("invitation_id").
		Where("account_id = ?", account).Where(finished, before, before, before)
	_, err := db.NewDelete().Model((*tokenRow)(nil)).Where("account_id = ? AND invitation_id IN (?)", account, over).Exec(ctx)
	if err != nil {
		return 0, err
	}
	res, err := db.NewDelete().Model((*invitationRow)(nil)).
		Where("account_id = ?", account).Where(finished, before, before, before).Exec(ctx)
	if err != nil {
		return 0, err
	}
	deleted, err := res.RowsAffected()
	return int(deleted), err
}
