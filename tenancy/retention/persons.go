package retention

import (
	"context"
	"slices"

	"github.com/quitrent/quitrent/tenancy"
)

// persons are the account's members who belong to no other account that is not
// erased, and those whom the tombstone of an earlier erasure names.
//
// Their rows are locked first, which whoever adds one of them to another account
// waits for: what the second statement sees stays as it is. SQLite's transaction has
// the whole file already.
func (e erasure) persons(ctx context.Context, again *Tombstone) ([]tenancy.UserID, error) {
	ids := []tenancy.UserID{}
	if e.postgres {
		err := e.rows.NewRaw(`SELECT user_id FROM tenancy_users WHERE user_id IN (SELECT user_id FROM tenancy_members WHERE account_id = ?)
			ORDER BY user_id FOR UPDATE`, e.account.ID).Scan(ctx, &ids)
		if err != nil {
			return nil, err
		}
		ids = ids[:0]
	}
	err := e.rows.NewRaw(`SELECT m.user_id FROM tenancy_members AS m WHERE m.account_id = ? AND NOT EXISTS (
			SELECT 1 FROM tenancy_members AS o JOIN tenancy_accounts AS a ON a.account_id = o.account_id
			WHERE o.user_id = m.user_id AND o.account_id <> m.account_id AND a.status <> 'erased')
		ORDER BY m.user_id`, e.account.ID).Scan(ctx, &ids)
	if err != nil {
		return nil, err
	}
	if again != nil {
		ids = append(ids, again.Persons...)
		slices.Sort(ids)
		ids = slices.Compact(ids)
	}
	return ids, nil
}
