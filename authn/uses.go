package authn

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

const (
	// notedEvery is how exactly a last use is known: no key costs more than a write in
	// that time and process, however often it is used.
	notedEvery = time.Minute
	// writtenEvery is how long uses are gathered.
	writtenEvery = 10 * time.Second
	// maxUses bounds what is gathered.
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
}

// note gathers a use, unless one was noted a moment ago.
func (u *uses) note(o *opened, at time.Time) {
	seconds, noted := at.Unix(), o.used.Load()
	if seconds < noted+int64(notedEvery/time.Second) && seconds >= noted || !o.used.CompareAndSwap(noted, seconds) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last != nil && len(u.last) < maxUses {
		u.last[o.key] = at
	}
}

// take hands over what was gathered; more says whether to go on.
func (u *uses) take(more bool) map[useOf]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.last
	if u.last = nil; more {
		u.last = map[useOf]time.Time{}
	}
	return taken
}

// Run writes down when keys were last used, to the minute, until ctx ends; without it
// that is not known. Every process that serves runs it.
func (k *Keys) Run(ctx context.Context, db *bun.DB) error {
	k.uses.take(true)
	tick := time.NewTicker(writtenEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			k.write(ctx, db, k.uses.take(false))
			return nil
		case <-tick.C:
			k.write(ctx, db, k.uses.take(true))
		}
	}
}

// write keeps the later of what is there and what is new. What fails is lost: the next
// use says more. A secret that is gone has none.
func (k *Keys) write(ctx context.Context, db bun.IDB, last map[useOf]time.Time) {
	for of, at := range last {
		at = at.UTC().Truncate(time.Microsecond)
		_, err := db.NewRaw(`INSERT INTO authn_key_uses (account_id, key_id, secret_id, last_used_at)
			SELECT s.account_id, s.key_id, s.secret_id, ? FROM authn_key_secrets AS s WHERE s.account_id = ? AND s.key_id = ? AND s.secret_id = ?
			ON CONFLICT (account_id, key_id, secret_id) DO UPDATE SET last_used_at = excluded.last_used_at
			WHERE authn_key_uses.last_used_at < excluded.last_used_at`, at, of.account, of.key, of.secret).Exec(ctx)
		if err != nil {
			slog.WarnContext(ctx, "authn: the last uses of keys are not written down", "err", err)
			return
		}
	}
}
