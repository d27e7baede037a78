package changes

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
)

// Run reads the changes in db until ctx ends: several times within the bound while
// anything is asked for, and not at all while nothing is. While it runs, a second one
// does nothing.
func (f *Feed) Run(ctx context.Context, db *bun.DB) {
	if f.bound <= 0 || !f.pool.CompareAndSwap(nil, db.DB) {
		return
	}
	defer f.stop()
	next := time.NewTimer(0)
	defer next.Stop()
	var reading, cleaning faults
	for f.wanted(ctx) {
		next.Reset(f.bound / 4)
		old, err := f.poll(ctx, db)
		reading.tell(ctx, "quitrent: changes cannot be read, so nothing is cached", err)
		if err == nil {
			cleaning.tell(ctx, "quitrent: changes that every process has read are read again and again", f.cleanUp(ctx, db, old))
		}
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
	}
}

// wanted waits until somebody has asked since the last reading. It reports false when
// ctx ends.
func (f *Feed) wanted(ctx context.Context) bool {
	select { // what was left here by somebody who has been answered since
	case <-f.asked:
	default:
	}
	if f.used.Swap(false) {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-f.asked:
		f.used.Store(false)
		return true
	}
}

// stop forgets everything: nothing reads the news any more.
func (f *Feed) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mono.Store(0)
	f.pool.Store(nil)
	f.used.Store(false)
	f.forget()
}

// forget ends what is remembered, and keeps what is being loaded from being so. What
// this process is changing itself goes on.
func (f *Feed) forget() {
	f.lives.Clear()
	f.shared.Clear()
	clear(f.seen)
	f.first = f.round + 1
}

type row struct {
	Subject string
	Version int64
}

// faults says when something begins to fail, and not each time.
type faults struct{ failing bool }

func (s *faults) tell(ctx context.Context, what string, err error) {
	if (err != nil) == s.failing || ctx.Err() != nil {
		return
	}
	if s.failing = err != nil; s.failing {
		slog.WarnContext(ctx, what, "err", err)
	}
}

// Poll is one reading, with what there is to clean up after it.
func (f *Feed) Poll(ctx context.Context, db *bun.DB) error {
	old, err := f.poll(ctx, db)
	if err == nil {
		_ = f.cleanUp(ctx, db, old)
	}
	return err
}

// longestPoll is how long a reading may take that is longer than the bound. It lets
// nobody in any more, but without it what has become too much would never be cleaned up.
const longestPoll = 10 * time.Second

func (f *Feed) poll(ctx context.Context, db *bun.DB) (old []row, err error) {
	ctx, cancel := context.WithTimeout(ctx, max(f.bound, longestPoll))
	defer cancel()
	began := f.now()
	var rows []row
	err = db.NewRaw("SELECT subject, version FROM ? WHERE recent", bun.Ident(f.table)).Scan(ctx, &rows)
	if err != nil {
		return nil, err
	}
	return f.apply(rows, began), nil
}

func (f *Feed) cleanUp(ctx context.Context, db *bun.DB, old []row) error {
	ctx, cancel := context.WithTimeout(ctx, f.bound/2) // the next reading is due
	defer cancel()
	return f.settle(ctx, db, old)
}

// apply takes in what a reading says that began then and has just ended, and returns
// what needs to be read no more.
func (f *Feed) apply(rows []row, began moment) (old []row) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if f.round >= f.first && f.missed(now) {
		f.forget()
	}
	f.round++
	f.last = began
	there := make(map[string]bool, len(rows))
	for _, r := range rows {
		there[r.Subject] = true
		s, known := f.seen[r.Subject]
		if known && s.version == r.Version {
			if now.mono-s.at > int64(recentFor) {
				old = append(old, r)
			}
			continue
		}
		f.seen[r.Subject] = sighting{version: r.Version, round: f.round, at: now.mono}
		f.of(r.Subject).Delete(r.Subject)
		if f.own[r.Subject].version == r.Version {
			delete(f.own, r.Subject)
		}
	}
	for subject := range f.seen {
		if !there[subject] { // it is old, or the database is not the one that it was
			delete(f.seen, subject)
			f.of(subject).Delete(subject)
		}
	}
	f.letGo(now.mono)
	f.mono.Store(began.mono + int64(f.bound))
	f.wall.Store(began.wall + int64(f.bound))
	return old
}

// missed reports that since the last reading a change may have come and gone: that was
// too long ago, or the machine slept meanwhile, and what is remembered has not aged.
func (f *Feed) missed(now moment) bool {
	awake, all := now.mono-f.last.mono, now.wall-f.last.wall
	return awake > int64(recentFor/2) || all-awake > int64(f.bound)
}

// perPoll bounds what one reading cleans up.
const perPoll = 1000

// settle takes changes out of those that are read, unless they changed again. Every
// process has read them that remembers anything. It waits for nobody who is changing
// one, on PostgreSQL, and not long for SQLite's one writer: there is a next time.
func (f *Feed) settle(ctx context.Context, db *bun.DB, old []row) error {
	if len(old) == 0 {
		return nil
	}
	old = old[:min(len(old), perPoll)]
	args := []any{bun.Ident(f.table)}
	for _, r := range old {
		args = append(args, r.Subject, r.Version)
	}
	skip := ""
	if db.Dialect().Name() == dialect.PG {
		skip = " FOR UPDATE SKIP LOCKED"
	}
	values := strings.TrimSuffix(strings.Repeat("(?, ?), ", len(old)), ", ")
	args = append(args, bun.Safe(skip))
	args = append(args[:1:1], args...)                                                                                                                                                    // the table is named twice
	_, err := db.NewRaw("UPDATE ? SET recent = FALSE WHERE recent AND subject IN (SELECT subject FROM ? WHERE recent AND (subject, version) IN (VALUES "+values+")?)", args...).Exec(ctx) // sqltext: placeholders alone
	return err
}
