package sessions

import (
	"context"
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
)

// batch is how many sessions one statement deletes.
const batch = 500

// Run deletes, until ctx ends, every Config.Every, the sessions that were over
// Config.Keep ago. Nothing waits for it: a session that is over opens nothing. Any
// number of processes may run it: what one has deleted, another does not find. It
// returns when ctx is done, with nil.
func (s *Sessions) Run(ctx context.Context, db *bun.DB) error {
	tick := time.NewTicker(s.cfg.Every)
	defer tick.Stop()
	for {
		if _, err := s.Purge(ctx, db, s.now().Add(-s.cfg.Keep)); err != nil && ctx.Err() == nil {
			slog.ErrorContext(ctx, "quitrent: deleting sessions", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Purge is one round of Run, for hosts with a scheduler of their own: it deletes the
// sessions that were revoked or expired before the given instant and returns how many.
// What is open stays, whatever the instant. It deletes a batch at a time, the oldest
// first and each in a transaction of its own, unless db is one; and goes on where it was
// stopped when it is called again.
func (s *Sessions) Purge(ctx context.Context, db bun.IDB, before time.Time) (int, error) {
	if now := s.now(); before.After(now) {
		before = now
	}
	before = before.UTC()
	total := 0
	for _, over := range []struct {
		since  bun.Ident // each has an index
		before time.Time
	}{{"revoked_at", before}, {"expires_at", before}, {"seen_at", before.Add(-s.cfg.Idle)}} {
		for n := batch; n == batch; total += n {
			var err error
			if n, err = purge(ctx, db, over.since, over.before); err != nil {
				return total, err
			}
		}
	}
	return total, nil
}

// purge deletes a batch. Where another process has deleted some of it meanwhile this one
// has fewer, as at the end: the rest is for the next round.
func purge(ctx context.Context, db bun.IDB, since bun.Ident, before time.Time) (n int, err error) {
	err = tx.Join(ctx, db, func(db bun.IDB) error {
		over := db.NewSelect().Model((*sessionRow)(nil)).Column("session_id").
			Where("? < ?", since, before).OrderExpr("?", since).Limit(batch)
		res, err := db.NewDelete().Model((*sessionRow)(nil)).Where("session_id IN (?)", over).Exec(ctx)
		if err != nil {
			return err
		}
		deleted, err := res.RowsAffected()
		n = int(deleted)
		return err
	})
	return n, err
}
