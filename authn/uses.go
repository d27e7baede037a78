package authn

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

const (
	// notedEvery is how exactly a last use is known: no key costs more than a write in
	// that time and process, however often it is used.
	notedEvery = time.Minute
	// writtenEvery is how long uses are gathered.
	writtenEvery = 10 * time.Second
	// maxUses bounds what is gathered, and what was written a moment ago.
	maxUses = 100_000
)

// useOf is a secret that was used.
type useOf struct {
	account tenancy.AccountID
	key     KeyID
	secret  string
}

// uses gathers when secrets were used, while Run runs.
type uses struct {
	mu   sync.Mutex
	last map[useOf]time.Time // nil: nobody writes them
	// written was handed over a moment ago: where nothing is remembered of a key, this
	// alone says so.
	written map[useOf]time.Time
}

// note gathers a use, unless one was noted a moment ago.
func (u *uses) note(o *opened, at time.Time) {
	noted := o.used.Load()
	if momentAgo(time.Unix(noted, 0), at) || !o.used.CompareAndSwap(noted, at.Unix()) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if written, ok := u.written[o.key]; u.last == nil || ok && momentAgo(written, at) {
		return
	}
	if last, ok := u.last[o.key]; at.After(last) && (ok || len(u.last) < maxUses) {
		u.last[o.key] = at
	}
}

// momentAgo reports that at is less than notedEvery after noted. A clock that was put
// back makes it false, so that the wrong time is soon out of use.
func momentAgo(noted, at time.Time) bool { return !at.Before(noted) && at.Sub(noted) < notedEvery }

// take hands over what was gathered; more says whether to go on.
func (u *uses) take(now time.Time, more bool) map[useOf]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.last
	if u.last = nil; more {
		u.last = map[useOf]time.Time{}
	}
	maps.DeleteFunc(u.written, func(_ useOf, at time.Time) bool { return !momentAgo(at, now) })
	if u.written == nil {
		u.written = map[useOf]time.Time{}
	}
	for of, at := range taken {
		if len(u.written) < maxUses {
			u.written[of] = at
		}
	}
	return taken
}

// Run writes down when keys were last used, to the minute, until ctx ends; without it
// that is not known. Every process that serves runs it.
func (k *Keys) Run(ctx context.Context, db *bun.DB) error {
	k.uses.take(k.clock(), true)
	tick := time.NewTicker(writtenEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			k.write(ctx, db, k.uses.take(k.clock(), false))
			return nil
		case <-tick.C:
			k.write(ctx, db, k.uses.take(k.clock(), true))
		}
	}
}

// perCommit bounds the uses that are written in one transaction.
const perCommit = 500

// write keeps the later of what is there and what is new, in one order, so that
// processes do not wait for each other in a circle. What fails is lost: the next use says
// more. A secret that is gone has none.
func (k *Keys) write(ctx context.Context, db bun.IDB, last map[useOf]time.Time) {
	used := slices.SortedFunc(maps.Keys(last), func(a, b useOf) int {
		return cmp.Or(cmp.Compare(a.account, b.account), cmp.Compare(a.key, b.key), cmp.Compare(a.secret, b.secret))
	})
	for chunk := range slices.Chunk(used, perCommit) {
		err := tx.Join(ctx, db, func(db bun.IDB) error {
			for _, of := range chunk {
				_, err := db.NewRaw(`INSERT INTO authn_key_uses (account_id, key_id, secret_id, last_used_at)
					SELECT s.account_id, s.key_id, s.secret_id, ? FROM authn_key_secrets AS s WHERE s.account_id = ? AND s.key_id = ? AND s.secret_id = ?
					ON CONFLICT (account_id, key_id, secret_id) DO UPDATE SET last_used_at = excluded.last_used_at
					WHERE authn_key_uses.last_used_at < excluded.last_used_at`,
					last[of].UTC().Truncate(time.Microsecond), of.account, of.key, of.secret).Exec(ctx)
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			slog.WarnContext(ctx, "authn: the last uses of some keys are not written down", "err", err)
		}
	}
}
