package retention

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// persons are the account's members who belong to no other account that is not
// erased; of an account that was erased before, those who went with it then.
//
// Their rows are locked first, which whoever adds one of them to another account
// waits for: what the second statement sees stays as it is. SQLite's transaction has
// the whole file already.
func (e erasure) persons(ctx context.Context, db bun.IDB, again *Tombstone) ([]tenancy.UserID, error) {
	if again != nil {
		return again.Persons, nil
	}
	if e.account.Status == tenancy.StatusErased { // its members are no longer there to be read
		return buried(ctx, db, e.account.ID)
	}
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
	return ids, err
}
