package authn

import (
	"context"
	"slices"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// RevokeMadeBy ends every API key that a user made or has taken over.
type RevokeMadeBy struct {
	User  tenancy.UserID
	Actor tenancy.Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// RevokeMadeBy ends the live keys that a user made, whoever has taken them over, and
// those that the user has taken over, which act on the user's rights: in all accounts,
// also those the user has left. It writes each to its account's audit log and outbox, and
// returns how many. It is for a user who turns out to be another person than was thought:
// package emails calls it. All accounts are locked first, in the order of their ids,
// those too in which the user could be making a key just now.
//
// It returns tenancy.ErrInvalid when the actor is missing or the reason is no text.
func (k *Keys) RevokeMadeBy(ctx context.Context, db bun.IDB, r RevokeMadeBy) (int, error) {
	line := tenancy.Audit{Actor: r.Actor, Action: "authn.revoke_key", Reason: r.Reason}
	if err := line.Validate(); err != nil {
		return 0, err
	}
	if _, err := tenancy.ParseAccountID(string(r.User)); err != nil {
		return 0, nil // nobody's id: not for the database
	}
	revoked := 0
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		revoked = 0
		accounts, err := k.whereMade(ctx, db, r.User)
		if err != nil {
			return err
		}
		for _, account := range accounts {
			if err := k.lock(ctx, db, account); err != nil {
				return err
			}
		}
		for _, account := range accounts {
			line.Account = account
			n, err := k.revokeMade(ctx, db, r.User, line)
			if err != nil {
				return err
			}
			revoked += n
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return revoked, nil
}

// whereMade are the accounts that the user made or took over keys in or belongs to, in
// order.
func (k *Keys) whereMade(ctx context.Context, db bun.IDB, user tenancy.UserID) ([]tenancy.AccountID, error) {
	var accounts []tenancy.AccountID
	err := db.NewRaw(`SELECT account_id FROM authn_keys WHERE created_by_id = ? AND created_by_kind = ? AND revoked_at IS NULL
		UNION SELECT account_id FROM authn_keys WHERE maker_id = ? AND revoked_at IS NULL
		UNION SELECT account_id FROM tenancy_members WHERE user_id = ?`, user, tenancy.ActorUser, user, user).Scan(ctx, &accounts)
	slices.Sort(accounts) // byte by byte: a database may have an order of its own
	return accounts, err
}

// revokeMade ends the user's live keys in one account, which is locked.
func (k *Keys) revokeMade(ctx context.Context, db bun.IDB, user tenancy.UserID, line tenancy.Audit) (int, error) {
	line.At = k.now()
	var keys []KeyID
	err := db.NewRaw(`UPDATE authn_keys SET revoked_at = ? WHERE account_id = ?
		AND (created_by_id = ? AND created_by_kind = ? OR maker_id = ?)
		AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?) RETURNING key_id`,
		line.At, line.Account, user, tenancy.ActorUser, user, line.At).Scan(ctx, &keys)
	if err != nil || len(keys) == 0 {
		return 0, err
	}
	for _, key := range slices.Sorted(slices.Values(keys)) {
		line.Target = string(key)
		if err := tenancy.Note(ctx, db, line, KeyRevoked{Key: key}); err != nil {
			return 0, err
		}
	}
	return len(keys), k.accounts.Changed(ctx, db, line.Account.Subject())
}
