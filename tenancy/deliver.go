package tenancy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/uptrace/bun"
)

const (
	pollEvery   = time.Second
	leaseFor    = 30 * time.Second
	batch       = 100
	firstRetry  = time.Second
	longestWait = 10 * time.Minute
)

// Run delivers events to Config.Deliver until ctx ends, looking for new ones every
// second. Any number of processes may run it: a lease lets one of them work.
// It returns when ctx is done, with nil.
func (a *Accounts) Run(ctx context.Context, db *bun.DB) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if _, err := a.DeliverDue(ctx, db); err != nil && ctx.Err() == nil {
			slog.ErrorContext(ctx, "quitrent: delivering events", "err", err)
		}
		select {
		case <-ctx.Done():
			a.endLease(ctx, db, "events")
			return nil
		case <-tick.C:
		}
	}
}

// DeliverDue is one round of Run, for hosts with a scheduler of their own: it
// delivers what is due, each account's events in order, and returns how many.
// When Config.Deliver fails for an event, that account's later events wait with
// it, for 1 s, 2 s, 4 s and so on up to 10 minutes; other accounts go on.
func (a *Accounts) DeliverDue(ctx context.Context, db *bun.DB) (int, error) {
	if a.cfg.Deliver == nil {
		return 0, nil
	}
	total := 0
	for {
		held, err := a.lease(ctx, db, "events")
		if err != nil || !held {
			return total, err
		}
		var heads []headRow
		err = db.NewSelect().Model(&heads).Where("delivered < number AND due_at <= ?", a.now()).
			OrderExpr("due_at, account_id").Limit(batch).Scan(ctx)
		if err != nil || len(heads) == 0 {
			return total, err
		}
		for _, h := range heads {
			n, err := a.deliverTo(ctx, db, h)
			total += n
			if err != nil {
				return total, err
			}
		}
	}
}

type headRow struct {
	bun.BaseModel `bun:"table:tenancy_event_heads,alias:h"`

	Account   AccountID `bun:"account_id,pk"`
	Number    int64     `bun:"number"`
	Delivered int64     `bun:"delivered"`
	Attempts  int64     `bun:"attempts"`
	DueAt     time.Time `bun:"due_at"`
}

// deliverTo hands over one account's next events and notes how far it came.
func (a *Accounts) deliverTo(ctx context.Context, db *bun.DB, h headRow) (int, error) {
	var rows []eventRow
	err := db.NewSelect().Model(&rows).Where("account_id = ? AND number > ?", h.Account, h.Delivered).
		OrderExpr("number").Limit(batch).Scan(ctx)
	if err != nil {
		return 0, err
	}
	if len(rows) == 0 { // they were erased
		_, err := db.NewUpdate().Model((*headRow)(nil)).Set("delivered = ?", h.Number).
			Where("account_id = ? AND delivered < ?", h.Account, h.Number).Exec(ctx)
		return 0, err
	}
	for i, r := range rows {
		if held, err := a.lease(ctx, db, "events"); err != nil || !held {
			return i, err // another process goes on from here
		}
		if failure := a.deliverOne(ctx, r.event()); failure != nil {
			if ctx.Err() != nil {
				return i, ctx.Err()
			}
			slog.WarnContext(ctx, "quitrent: event not delivered", "account", r.Account, "number", r.Number, "kind", r.Kind, "err", failure)
			// Unless another process, which took this one for dead, has delivered it.
			_, err := db.NewUpdate().Model((*headRow)(nil)).
				Set("attempts = attempts + 1").Set("due_at = ?", a.now().Add(backOff(h.Attempts))).
				Where("account_id = ? AND delivered < ?", h.Account, r.Number).Exec(ctx)
			return i, err
		}
		h.Attempts = 0
		_, err := db.NewUpdate().Model((*headRow)(nil)).
			Set("delivered = ?", r.Number).Set("attempts = 0").
			Where("account_id = ? AND delivered < ?", h.Account, r.Number).Exec(ctx)
		if err != nil {
			return i + 1, err
		}
	}
	return len(rows), nil
}

// deliverOne turns a panic of the host's function into a failed attempt, so that
// one bad event does not end the process that delivers the others, and gives it no
// longer than the lease lasts: after that another process may deliver the same.
func (a *Accounts) deliverOne(ctx context.Context, e Event) (err error) {
	ctx, cancel := context.WithTimeout(ctx, leaseFor)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return a.cfg.Deliver(ctx, e)
}

func backOff(attempts int64) time.Duration {
	return min(firstRetry<<min(attempts, 20), longestWait)
}

// lease takes or renews a lease by name. It is a row with an end, so that it works
// on every database and behind every pooler and ends by itself with its holder.
func (a *Accounts) lease(ctx context.Context, db *bun.DB, name string) (bool, error) {
	now := a.now()
	var holder string
	err := db.NewRaw(`INSERT INTO tenancy_leases (name, holder, until) VALUES (?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
		WHERE tenancy_leases.holder = excluded.holder OR tenancy_leases.until <= ?
		RETURNING holder`, name, a.holder, now.Add(leaseFor), now).Scan(ctx, &holder)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// endLease lets the next process go on at once. Should it fail, the lease ends by
// itself.
func (a *Accounts) endLease(ctx context.Context, db *bun.DB, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, err := db.NewRaw("DELETE FROM tenancy_leases WHERE name = ? AND holder = ?", name, a.holder).Exec(ctx)
	if err != nil {
		slog.WarnContext(ctx, "quitrent: giving up a lease", "name", name, "err", err)
	}
}
