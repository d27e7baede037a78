package changes

import (
	"context"
	"log/slog"
	"time"

	"github.com/uptrace/bun"
)

// Run reads the changes in db until ctx ends: several times within the bound while
// anything is asked for, and not at all while nothing is.
func (f *Feed) Run(ctx context.Context, db *bun.DB) {
	if f.bound <= 0 || !f.pool.CompareAndSwap(nil, db.DB) {
		return
	}
	defer f.stop()
	tick := time.NewTicker(f.bound / 4)
	defer tick.Stop()
	failing := false
	for f.wanted(ctx) {
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
		case <-tick.C:
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
		return true
	}
}

// stop forgets everything: nothing reads the news any more.
func (f *Feed) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mono.Store(0)
	f.pool.Store(nil)
	f.forget()
}

func (f *Feed) forget() {
	f.lives.Clear()
	clear(f.seen)
	clear(f.own)
	f.last = 0
}

type row struct {
	Subject string
	Version int64
}

// Poll is one reading.
func (f *Feed) Poll(ctx context.Context, db *bun.DB) error {
	ctx, cancel := context.WithTimeout(ctx, f.bound) // later it says nothing new
	defer cancel()
	began := time.Now()
	var rows []row
	err := db.NewRaw("SELECT subject, version FROM ? WHERE recent", bun.Ident(f.table)).Scan(ctx, &rows)
	if err != nil {
		return err
	}
	return f.settle(ctx, db, f.apply(rows, began))
}

// apply takes in what a reading says that began then, and returns what needs to be
// read no more.
func (f *Feed) apply(rows []row, began time.Time) (old []row) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := int64(began.Sub(f.base))
	if f.last != 0 && at-f.last > int64(recentFor/2) { // something may have come and gone meanwhile
		f.forget()
	}
	f.round++
	f.last = at
	there := make(map[string]bool, len(rows))
	for _, r := range rows {
		there[r.Subject] = true
		s, known := f.seen[r.Subject]
		if known && s.version == r.Version {
			if at-s.at > int64(recentFor) {
				old = append(old, r)
			}
			continue
		}
		f.seen[r.Subject] = sighting{version: r.Version, round: f.round, at: at}
		f.lives.Delete(r.Subject)
		if f.own[r.Subject].version == r.Version {
			delete(f.own, r.Subject)
		}
	}
	for subject := range f.seen {
		if !there[subject] {
			delete(f.seen, subject)
		}
	}
	for subject, o := range f.own {
		if o.until <= at {
			delete(f.own, subject)
		}
	}
	f.mono.Store(at + int64(f.bound))
	f.wall.Store(began.UnixNano() + int64(f.bound))
	return old
}

// perPoll bounds what one reading cleans up.
const perPoll = 100

// settle takes changes out of those that are read, unless they changed again. Every
// process has read them that remembers anything.
func (f *Feed) settle(ctx context.Context, db *bun.DB, old []row) error {
	for _, r := range old[:min(len(old), perPoll)] {
		_, err := db.NewRaw("UPDATE ? SET recent = FALSE WHERE subject = ? AND version = ?", bun.Ident(f.table), r.Subject, r.Version).Exec(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}
