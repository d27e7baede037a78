package owned

import (
	"context"
	"errors"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// ErrNeedsTransaction says that row-level security is on, whose setting lives as
// long as a transaction: queries go through DB.RunInTx or a transaction of the host's.
var ErrNeedsTransaction = errors.New("owned: row-level security needs a transaction: use DB.RunInTx")

func (b *binding) enterRows(ctx context.Context, db bun.IDB, account tenancy.AccountID) error {
	_, _, _, _ = b, ctx, db, account
	return ErrNeedsTransaction
}

func (b *binding) verifyRows(ctx context.Context, db *bun.DB) error {
	_, _, _ = b, ctx, db
	return nil
}
