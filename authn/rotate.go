package authn

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

const (
	// MaxOverlap is how long the old secrets of a key can go on after a rotation.
	MaxOverlap = 30 * 24 * time.Hour
	// maxSecrets bounds the secrets of a key that live at once.
	maxSecrets = 5
)

// Rotate gives a key another secret.
type Rotate struct {
	Account tenancy.AccountID
	Key     KeyID
	Actor   tenancy.Actor
	// Overlap is how long the secrets that the key has go on, unless they end before: 0
	// to MaxOverlap. 0: they end with the rotation.
	Overlap time.Duration
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// Rotate makes another secret of a key and lets those it has end. The key stays what it
// is: its id, and with it its limits, its scopes and its history. It works whatever the
// account's status. What it returns is the only copy of the secret.
//
// A user who rotates somebody else's key takes it over: the new secret is known to that
// user, and so goes with the user's rights and membership, not with the other's.
//
// It returns ErrNoKey, also for another account's key, ErrKeyOver for one that is
// revoked or expired, ErrManySecrets, tenancy.ErrForbidden when the actor is a key, or a
// user who is no member or does not hold all that the key's scopes name, and
// tenancy.ErrInvalid when the actor is missing, the overlap is out of bounds, or the
// key's environment is none of Config.Envs.
func (k *Keys) Rotate(ctx context.Context, db bun.IDB, r Rotate) (Issued, error) {
	if !r.Key.among(r.Account) {
		return Issued{}, ErrNoKey
	}
	if r.Overlap < 0 || r.Overlap > MaxOverlap {
		return Issued{}, fmt.Errorf("%w: secrets overlap for 0 to %d days", tenancy.ErrInvalid, MaxOverlap/(24*time.Hour))
	}
	line := tenancy.Audit{Account: r.Account, Actor: r.Actor, Action: "authn.rotate_key", Target: string(r.Key), Reason: r.Reason}
	var out Issued
	err := k.change(ctx, db, line, func(db bun.IDB, key keyRow, now time.Time) (tenancy.Fact, error) {
		if !slices.Contains(k.form.envs, key.Env) {
			return nil, fmt.Errorf("%w: the key is of the environment %q, which is not here", tenancy.ErrInvalid, key.Env)
		}
		maker, err := k.mayHandOn(ctx, db, key, r.Actor)
		if err != nil {
			return nil, err
		}
		_, plan, err := k.accounts.Load(ctx, db, r.Account)
		if err != nil {
			return nil, err
		}
		end := now.Add(r.Overlap).Truncate(time.Microsecond)
		if end.After(now) {
			if err := k.roomForSecret(ctx, db, key, plan, now); err != nil {
				return nil, err
			}
		}
		_, err = db.NewUpdate().Model((*secretRow)(nil)).Set("expires_at = ?", end).
			Where("account_id = ? AND key_id = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)", r.Account, r.Key, end).Exec(ctx)
		if err != nil {
			return nil, err
		}
		if out.Secret, err = k.newSecret(ctx, db, key, plan, now); err != nil {
			return nil, err
		}
		if err := k.setMaker(ctx, db, key, maker); err != nil {
			return nil, err
		}
		out.Key, err = k.Get(ctx, db, r.Account, r.Key)
		return KeyRotated{Key: r.Key, OldUntil: end, Maker: maker}, err
	})
	if err != nil {
		return Issued{}, err
	}
	return out, nil
}

// roomForSecret refuses one more where enough live that go on.
func (k *Keys) roomForSecret(ctx context.Context, db bun.IDB, key keyRow, plan tenancy.Plan, now time.Time) error {
	live := db.NewSelect().Model((*secretRow)(nil)).
		Where("account_id = ? AND key_id = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)", key.Account, key.ID, now)
	if days, limited := plan.Limit(LimitKeyDays); limited && days <= maxKeyDays {
		live = live.Where("created_at > ?", now.AddDate(0, 0, -int(days)))
	}
	n, err := live.Count(ctx)
	if err == nil && n >= maxSecrets {
		return ErrManySecrets
	}
	return err
}
