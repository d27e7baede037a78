package changes

import (
	"context"
	"log/slog"
	"time"

	"github.com/uptrace/bun"
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
	failing := false
	for f.wanted(ctx) {
		next.Reset(f.bound / 4)
		err := f.Poll(ctx, db)
		if (err != nil) != failing && ctx.Err() == nil {
			failing = !failing
			if failing {
				slog.WarnContext(ctx, "quitrent: changes cannot be read, so nothing is cached", "err", err)
			}
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

// Poll is one reading.
func (f *Feed) Poll(ctx context.Context, db *bun.DB) error {
	ctx, cancel := context.WithTimeout(ctx, f.bound) // later it says nothing new
	defer cancel()
	began := f.now()
	var rows []row
	err := db.NewRaw("SELECT subject, version FROM ? WHERE recent", bun.Ident(f.table)).Scan(ctx, &rows)
	if err != nil {
		return err
	}
	f.settle(ctx, db, f.apply(rows, began))
	return nil
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
const perPoll = 100

// settle takes changes out of those that are read, unless they changed again. Every
// process has read them that remembers anything. It does not wait long for who is
// changing one: there is a next time, and the next reading is due.
func (f *Feed) settle(ctx context.Context, db *bun.DB, old []row) {
	ctx, cancel := context.WithTimeout(ctx, f.bound/8)
	defer cancel()
	for _, r := range old[:min(len(old), perPoll)] {
		_, err := db.NewRaw("UPDATE ? SET recent = FALSE WHERE subject = ? AND version = ?", bun.Ident(f.table), r.Subject, r.Version).Exec(ctx)
		if err != nil {
			return
		}
	}
}
