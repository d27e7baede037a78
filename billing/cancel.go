package billing

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Cancel ends a subscription.
type Cancel struct {
	Account tenancy.AccountID
	// AtPeriodEnd lets it run as far as it is paid; what is paid no further ends at
	// once. Otherwise it ends at once, and the account with it: signing in, paying and
	// exporting are left.
	AtPeriodEnd bool
	// Actor is who cancels, for the audit log. Required.
	Actor tenancy.Actor
	// Reason is the actor's own words, at most 1000 bytes.
	Reason string
}

// Cancel ends the account's subscription, now or at the end of what is paid.
// Cancelling twice changes nothing more and returns the same subscription, one that
// has ended too. An account that went further (closed) stays where it is.
//
// It returns ErrNoSubscription when the account never had one, tenancy.ErrNoAccount
// and ErrInvalid.
func (s *Subscriptions) Cancel(ctx context.Context, db bun.IDB, c Cancel) (Subscription, error) {
	line := tenancy.Audit{
		Account: c.Account, Actor: c.Actor, Action: "billing.cancel", Reason: c.Reason,
		Data: fmt.Appendf(nil, `{"at_period_end":%t}`, c.AtPeriodEnd),
	}
	if err := signed(line); err != nil {
		return Subscription{}, err
	}
	var out Subscription
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		account, err := s.accounts.Lock(ctx, db, c.Account)
		if err != nil {
			return err
		}
		now := s.now()
		row, err := current(ctx, db, c.Account)
		if errors.Is(err, ErrNoSubscription) {
			row, err = lastEnded(ctx, db, c.Account)
			out = row.subscription()
			return err
		}
		if err != nil {
			return err
		}
		old, flagged := row.Status, row.CancelAtPeriodEnd
		row.CancelAtPeriodEnd = c.AtPeriodEnd
		switch {
		case !c.AtPeriodEnd || !now.Before(row.PeriodEnd):
			row.Status = SubscriptionCancelled
			err = s.save(ctx, db, &row, now, tenancy.Change{Actor: c.Actor, Reason: c.Reason})
		case flagged:
			out = row.subscription()
			return nil
		default:
			row.UpdatedAt = now
			active := account.Status == tenancy.StatusActive ||
				account.Status == tenancy.StatusSuspended && account.SuspendedFrom == tenancy.StatusActive
			if _, err = db.NewUpdate().Model(&row).WherePK().Exec(ctx); err == nil && row.Status == SubscriptionActive && active {
				_, err = s.accounts.Change(ctx, db, tenancy.Change{ // no grace after an end that was asked for
					Account: c.Account, Status: tenancy.StatusActive, PaidUntil: row.PeriodEnd, Actor: c.Actor, Reason: c.Reason,
				})
			}
		}
		if err == nil {
			err = s.Allot(ctx, db, c.Account)
		}
		if err != nil {
			return err
		}
		out = row.subscription()
		line.At, line.Target = now, row.ID
		return tenancy.Note(ctx, db, line, SubscriptionChanged{
			Subscription: row.ID, From: old, To: row.Status, CancelAtPeriodEnd: row.CancelAtPeriodEnd,
		})
	})
	if err != nil {
		return Subscription{}, err
	}
	return out, nil
}

// lastEnded is the subscription that the account had last.
func lastEnded(ctx context.Context, db bun.IDB, account tenancy.AccountID) (subscriptionRow, error) {
	var row subscriptionRow
	err := db.NewSelect().Model(&row).Where("account_id = ? AND ended_at IS NOT NULL", account).
		OrderExpr("ended_at DESC, subscription_id DESC").Limit(1).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return subscriptionRow{}, ErrNoSubscription
	}
	return row, err
}
