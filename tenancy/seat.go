package tenancy

import (
	"context"

	"github.com/uptrace/bun"
)

// Seat returns ErrLimit when the account's plan has no room for one more member. It
// is for those who write something else before they add one: under Lock the answer
// holds until the transaction ends. ErrNoAccount, ErrNoPlan.
func (a *Accounts) Seat(ctx context.Context, db bun.IDB, account AccountID) error {
	row, err := readAccount(ctx, db, account)
	if err != nil {
		return err
	}
	return a.seat(ctx, db, row)
}
