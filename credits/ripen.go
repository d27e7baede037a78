package credits

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// ripen books what has happened by itself: holds that ended, what was left in grants
// when they expired, and allotments whose next period has begun. Each is entered as of
// the moment it happened, before anything that came after it; so the ledger is the same
// whether a sweep books it, the next request or nobody for a year.
//
// At one moment grants expire first, then allotments are granted, then holds end.
func (b *book) ripen(ctx context.Context) error {
	if b.row.nextAt.IsZero() || b.now.Before(b.row.nextAt) {
		return nil
	}
	now := b.now
	ended, err := b.endedHolds(ctx)
	if err != nil {
		return err
	}
	if err := b.readDue(ctx); err != nil {
		return err
	}
	moments := b.moments(ended)
	for {
		rules, at := b.dueRules(now)
		if len(ended) > 0 && (len(rules) == 0 || ended[0].ExpiresAt.Before(at)) {
			h := ended[0]
			ended = ended[1:]
			moments = b.watchBefore(h.ExpiresAt, moments)
			b.lapse(h.ExpiresAt)
			b.at(h.ExpiresAt)
			if err := b.runOut(ctx, h); err != nil {
				return err
			}
			continue
		}
		if len(rules) == 0 {
			break
		}
		moments = b.watchBefore(at, moments)
		b.at(at)
		if err := b.renew(rules); err != nil {
			return err
		}
	}
	b.watchBefore(now, moments)
	b.lapse(now)
	b.at(now)
	b.watch()
	return b.plan(ctx)
}

// at sees the grants as they are at a time.
func (b *book) at(t time.Time) {
	b.now = t
	b.sort()
}

// lapse takes out of the account what was left in grants when they expired, if that was
// by the given time.
func (b *book) lapse(by time.Time) {
	var over []*grantRow
	for _, g := range b.grants {
		if g.free() > 0 && g.expired(by) {
			over = append(over, g)
		}
	}
	if len(over) == 0 {
		return
	}
	slices.SortFunc(over, func(x, y *grantRow) int {
		return cmp.Or(x.ExpiresAt.Compare(y.ExpiresAt), burnOrder(*x, *y))
	})
	now := b.now
	for _, g := range over {
		b.at(latest(g.ExpiresAt, b.row.enteredAt))
		b.enter(entryRow{Kind: KindExpire}, []part{{g, -g.free()}}, g.ExpiresAt)
	}
	b.at(now)
}

// plan finds when something is due next.
func (b *book) plan(ctx context.Context) error {
	b.row.nextAt = time.Time{}
	for _, g := range b.grants {
		if g.Remaining > 0 && !g.expired(b.now) {
			b.due(g.ExpiresAt)
		}
		b.expect(g)
	}
	if b.rulesRead {
		b.replan()
	}
	b.due(b.row.renewsAt)
	next, err := b.nextHold(ctx)
	b.due(next)
	return err
}
