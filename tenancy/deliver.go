package tenancy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
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

// Run lets this process remember what it reads of accounts, keys and sessions in db,
// by reading the changes there several times within Config.RevocationBound – db is the
// primary, and the role may update tenancy_changes; while processes of a version before
// Changed serve beside this one, they announce nothing, so let Run wait for the last of
// them to go – and
// delivers events to Config.Deliver, looking for new ones every second. Every process
// that serves runs it. Of any number a lease lets one deliver, as long as their clocks
// agree to within its 30 s, and otherwise events come twice. It returns when ctx is
// done, with nil.
func (a *Accounts) Run(ctx context.Context, db *bun.DB) error {
	var reading sync.WaitGroup
	reading.Go(func() { a.memory.feed.Run(ctx, db) })
	defer reading.Wait()
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
		now := a.now()
		due, err := dueAccounts(ctx, db, now)
		if err != nil || len(due) == 0 {
			return total, err
		}
		for _, account := range due {
			n, err := a.deliverTo(ctx, db, account, now)
			total += n
			if err != nil {
				return total, err
			}
		}
	}
}

// dueAccounts are those whose oldest event is due; one that is put off for longer
// than any is put off was by a clock that is wrong. That it is the oldest is asked
// for each due row by itself, in the primary key: as a join it might be read from
// the whole table.
func dueAccounts(ctx context.Context, db *bun.DB, now time.Time) (due []AccountID, err error) {
	err = db.NewRaw(`SELECT d.account_id FROM tenancy_deliveries AS d
		WHERE (d.due_at <= ? OR d.due_at > ?) AND d.event_id = (SELECT MIN(o.event_id) FROM tenancy_deliveries AS o WHERE o.account_id = d.account_id)
		ORDER BY d.due_at, d.event_id LIMIT ?`, now, now.Add(longestWait), batch).Scan(ctx, &due)
	return due, err
}

// pendingRow is an event that is still to be delivered. Its kind is missing when it
// was erased.
type pendingRow struct {
	EventID  string
	Attempts int64
	DueAt    time.Time
	Kind     *string
	Data     string
	At       time.Time
}

// deliverTo hands over one account's next events, as far as they are due.
func (a *Accounts) deliverTo(ctx context.Context, db *bun.DB, account AccountID, now time.Time) (n int, err error) {
	var rows []pendingRow
	err = db.NewRaw(`SELECT d.event_id, d.attempts, d.due_at, ev.kind, ev.data, ev.at
		FROM tenancy_deliveries AS d LEFT JOIN tenancy_events AS ev ON ev.account_id = d.account_id AND ev.event_id = d.event_id
		WHERE d.account_id = ? ORDER BY d.event_id LIMIT ?`, account, batch).Scan(ctx, &rows)
	if err != nil {
		return 0, err
	}
	for _, r := range rows {
		if r.DueAt.After(now) && !r.DueAt.After(now.Add(longestWait)) { // it failed before, and an older one became visible since
			return n, nil
		}
		if held, err := a.lease(ctx, db, "events"); err != nil || !held {
			return n, err // another process goes on from here
		}
		if r.Kind != nil {
			e := Event{Account: account, ID: r.EventID, Kind: *r.Kind, Data: json.RawMessage(r.Data), At: r.At.UTC()}
			if failure := a.deliverOne(ctx, e); failure != nil {
				if ctx.Err() != nil {
					return n, ctx.Err()
				}
				slog.WarnContext(ctx, "quitrent: event not delivered", "account", account, "event", e.ID, "kind", e.Kind, "err", failure)
				return n, postpone(ctx, db, account, r.EventID, a.now().Add(backOff(r.Attempts)))
			}
			n++
		}
		_, err := db.NewDelete().Model((*deliveryRow)(nil)).Where("account_id = ? AND event_id = ?", account, r.EventID).Exec(ctx)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// postpone puts an event off, and those behind it, so that what waits is not looked
// at before it is due. What is published meanwhile is, until the next failure.
func postpone(ctx context.Context, db *bun.DB, account AccountID, event string, until time.Time) error {
	res, err := db.NewUpdate().Model((*deliveryRow)(nil)).Set("attempts = attempts + 1").Set("due_at = ?", until).
		Where("account_id = ? AND event_id = ?", account, event).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err // another process, which took this one for dead, has delivered it
	}
	_, err = db.NewUpdate().Model((*deliveryRow)(nil)).Set("due_at = ?", until).
		Where("account_id = ? AND event_id > ? AND due_at < ?", account, event, until).Exec(ctx)
	return err
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
// on every database and behind every pooler and ends by itself with its holder. One
// whose end is further away than any lease lasts was taken by a clock that is wrong,
// and counts for nothing.
func (a *Accounts) lease(ctx context.Context, db *bun.DB, name string) (bool, error) {
	now := a.now()
	var holder string
	err := db.NewRaw(`INSERT INTO tenancy_leases (name, holder, until) VALUES (?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
		WHERE tenancy_leases.holder = excluded.holder OR tenancy_leases.until <= ? OR tenancy_leases.until > ?
		RETURNING holder`, name, a.holder, now.Add(leaseFor), now, now.Add(2*leaseFor)).Scan(ctx, &holder)
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
