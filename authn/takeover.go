package authn

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// TakeOver makes a key act on other rights.
type TakeOver struct {
	Account tenancy.AccountID
	Key     KeyID
	// Actor is who takes it over: a user, whose rights count from then on, or an operator
	// or the system, with which the key holds its scopes whatever anybody's roles are.
	Actor  tenancy.Actor
	Reason string
}

// TakeOver puts the actor in the place of the key's Maker, so that the programs of
// somebody who leaves go on. Nothing else of the key changes, its secrets neither:
// whoever knows one has from then on what the actor has within the key's scopes, so
// Rotate comes before where that is somebody else.
//
// It returns ErrNoKey, ErrKeyOver, tenancy.ErrForbidden for a key and for a user who is
// no member of the account, and tenancy.ErrInvalid when the actor is missing.
func (k *Keys) TakeOver(ctx context.Context, db bun.IDB, t TakeOver) (Key, error) {
	if !t.Key.among(t.Account) {
		return Key{}, ErrNoKey
	}
	line := tenancy.Audit{Account: t.Account, Actor: t.Actor, Action: "authn.take_over_key", Target: string(t.Key), Reason: t.Reason}
	var out Key
	err := k.change(ctx, db, line, func(db bun.IDB, key keyRow, now time.Time) (tenancy.Fact, error) {
		var maker tenancy.UserID
		switch t.Actor.Kind {
		case tenancy.ActorUser:
			maker = tenancy.UserID(t.Actor.ID)
			if err := k.member(ctx, db, t.Account, maker); err != nil {
				return nil, err
			}
		case tenancy.ActorOperator, tenancy.ActorSystem:
		default:
			return nil, tenancy.ErrForbidden
		}
		if err := k.setMaker(ctx, db, key, maker); err != nil {
			return nil, err
		}
		var err error
		out, err = k.Get(ctx, db, t.Account, t.Key)
		return KeyTakenOver{Key: t.Key, From: key.Maker, To: maker}, err
	})
	return out, err
}
