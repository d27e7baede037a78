package authn

import (
	"context"
	"errors"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// mayHandOn refuses whoever would get more by a key than it holds itself, and says whose
// rights the key acts on from now on.
func (k *Keys) mayHandOn(ctx context.Context, db bun.IDB, key keyRow, actor tenancy.Actor) (maker tenancy.UserID, err error) {
	d := tenancy.Delegation{User: key.Maker}
	if err := unmarshal(key.Scopes, &d.Scopes); err != nil {
		return "", err
	}
	if err := k.accounts.Covers(ctx, db, key.Account, actor, d); err != nil {
		return "", err
	}
	if actor.Kind != tenancy.ActorUser {
		return key.Maker, nil
	}
	return tenancy.UserID(actor.ID), k.member(ctx, db, key.Account, tenancy.UserID(actor.ID))
}

// setMaker makes a key act on a user's rights.
func (k *Keys) setMaker(ctx context.Context, db bun.IDB, key keyRow, maker tenancy.UserID) error {
	if maker == key.Maker {
		return nil
	}
	_, err := db.NewUpdate().Model((*keyRow)(nil)).Set("maker_id = ?", maker).
		Where("account_id = ? AND key_id = ?", key.Account, key.ID).Exec(ctx)
	return err
}

// member refuses who is no member. Of a Loader's accounts the MemberLoader knows them,
// or nobody: there Can says what the key may do.
func (k *Keys) member(ctx context.Context, db bun.IDB, account tenancy.AccountID, user tenancy.UserID) error {
	if k.accounts.IsMember(tenancy.Found{}) {
		member, _, err := k.accounts.StillMember(ctx, db, account, user)
		if err == nil && !member {
			err = tenancy.ErrForbidden
		}
		return err
	}
	_, err := k.accounts.AccountOf(ctx, db, user, account)
	if errors.Is(err, tenancy.ErrNoAccount) {
		return tenancy.ErrForbidden
	}
	return err
}
