package billing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

const lapseEvery = time.Minute

// Run lets subscriptions lapse whose paid period is over, until ctx ends, looking
// every minute. Any number of processes may run it. It returns when ctx is done,
// with nil.
func (s *Subscriptions) Run(ctx context.Context, db *bun.DB) error {
	tick := time.NewTicker(lapseEvery)
	defer tick.Stop()
	for {
		if _, err := s.LapseDue(ctx, db); err != nil && ctx.Err() == nil {
			slog.ErrorContext(ctx, "quitrent: lapsing subscriptions", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// LapseDue is one round of Run, for hosts with a scheduler of their own. A
// subscription that was to end with its period is cancelled; another one is past due
// and leaves the account open for Config.Grace. An account that went further (closed,
// cancelled by an operator) stays where it is. It returns how many lapsed, and what
// went wrong with others; doing it late, twice or on several machines at once comes
// to the same.
func (s *Subscriptions) LapseDue(ctx context.Context, db *bun.DB) (int, error) {
	var (
		n      int
		failed []error
	)
	for after := tenancy.AccountID(""); ; {
		var due []tenancy.AccountID
		err := db.NewSelect().Model((*subscriptionRow)(nil)).Column("account_id").
			Where("ended_at IS NULL AND status = ? AND period_end <= ?", SubscriptionActive, s.now()).
			Where("account_id > ?", after).OrderExpr("account_id").Limit(100).Scan(ctx, &due)
		if err != nil || len(due) == 0 {
			return n, errors.Join(append(failed, err)...)
		}
		for _, account := range due {
			lapsed, err := s.lapse(ctx, db, account)
			if err != nil {
				failed = append(failed, fmt.Errorf("account %s: %w", account, err))
			}
			if lapsed {
				n++
			}
		}
		after = due[len(due)-1]
	}
}

func (s *Subscriptions) lapse(ctx context.Context, db *bun.DB, account tenancy.AccountID) (lapsed bool, err error) {
	err = tx.Join(ctx, db, func(db bun.IDB) error {
		lapsed = false
		now := s.now()
		if _, err := s.accounts.Lock(ctx, db, account); err != nil {
			return err
		}
		row, err := current(ctx, db, account)
		if errors.Is(err, ErrNoSubscription) {
			return nil // ended meanwhile
		}
		if err != nil {
			return err
		}
		if row.Status != SubscriptionActive || now.Before(row.PeriodEnd) {
			return nil // paid or lapsed meanwhile
		}
		c := tenancy.Change{Actor: tenancy.Actor{Kind: tenancy.ActorSystem, ID: "billing"}, Reason: "the paid period is over"}
		old := row.Status
		if row.CancelAtPeriodEnd {
			row.Status = SubscriptionCancelled
		} else {
			row.Status, c.GraceEndsAt = SubscriptionPastDue, row.PeriodEnd.Add(s.cfg.Grace)
		}
		if err := s.save(ctx, db, &row, now, c); err != nil {
			return err
		}
		lapsed = true
		return tenancy.Note(ctx, db, tenancy.Audit{
			Account: account, At: now, Actor: c.Actor, Action: "billing.lapse", Target: row.ID,
		}, SubscriptionChanged{Subscription: row.ID, From: old, To: row.Status})
	})
	return lapsed, err
}
