package sessions

import (
	"context"
	"log/slog"
	"time"

	"github.com/uptrace/bun"
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
// What is open stays, whatever the instant. It deletes a batch at a time, and goes on
// where it was stopped when it is called again.
func (s *Sessions) Purge(ctx context.Context, db bun.IDB, before time.Time) (int, error) {
	if now := s.now(); before.After(now) {
		before = now
	}
	before = before.UTC()
	for total := 0; ; {
		over := db.NewSelect().Model((*sessionRow)(nil)).Column("session_id").
			Where("seen_at < ?", before). // in the index, and no session is over before it was seen
			Where("revoked_at < ? OR expires_at < ? OR seen_at < ?", before, before, before.Add(-s.cfg.Idle)).Limit(batch)
		res, err := db.NewDelete().Model((*sessionRow)(nil)).Where("session_id IN (?)", over).Exec(ctx)
		if err != nil {
			return total, err
		}
		n, err := res.RowsAffected()
		total += int(n)
		if err != nil || n < batch {
			return total, err
		}
	}
}
