package tenancy

import (
	"context"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
)

// Admit asks whether an account has room for more of something.
type Admit struct {
	Account AccountID
	// Limit is the name of the plan's limit: "sites", "sectors_per_site".
	Limit string
	// Adding is how many are to be added. Default: 1.
	Adding int64
	// Count says how many there are, by the connection that it gets: the account's
	// sites, or the sectors of the one site that gets another.
	Count func(ctx context.Context, db bun.IDB) (int64, error)
}

// Admit lets the caller's transaction add what the account's plan, and what the
// account has otherwise, still leave room for. It locks the account before it counts,
// until the transaction ends, so that two at once at the last place make one. The
// caller then inserts, and deducts credits if it does, in the same transaction, tx: in
// this order, or two transactions wait for each other (see Lock).
//
//	err := accounts.Admit(ctx, tx, tenancy.Admit{
//		Account: account, Limit: "sites",
//		Count: func(ctx context.Context, db bun.IDB) (int64, error) {
//			return db.NewSelect().Model((*Site)(nil)).Where("account_id = ?", account).Count(ctx)
//		},
//	})
//
// A table that package owned keeps is counted through its Tables.For, in a context
// that has entered the account, or the count is stopped as every other statement.
//
// What a plan does not limit is not counted. Adding to what is over its limit, as
// after a change to a smaller plan, is refused, and nothing is taken away.
//
// It returns ErrLimit with the limit in its text, ErrNoAccount (also for one that is
// closed), ErrNoPlan for an account whose plan is missing, and ErrInvalid for a
// negative Adding. A *bun.DB or a bun.Conn, on which the lock would be gone before
// the insert, is an error and no refusal.
func (a *Accounts) Admit(ctx context.Context, db bun.IDB, adm Admit) error {
	switch {
	case tx.Owns(db):
		return errors.New("tenancy: Admit needs the transaction that will add, or its lock is gone before: begin one")
	case adm.Limit == "" || adm.Count == nil:
		return errors.New("tenancy: Admit needs the name of a limit and a count")
	case adm.Adding < 0:
		return fmt.Errorf("%w: nobody adds less than nothing", ErrInvalid)
	case adm.Adding == 0:
		adm.Adding = 1
	}
	row, err := lockAccount(ctx, db, adm.Account)
	if err != nil {
		return err
	}
	if row.gone() {
		return ErrNoAccount
	}
	return room(ctx, db, row.ID, adm.Limit, adm.Adding, adm.Count)
}

// room refuses more than an account's plan allows. The account is locked: only then
// do the count and the plan show what the last holder of the lock made of them.
func room(ctx context.Context, db bun.IDB, id AccountID, name string, adding int64, count func(context.Context, bun.IDB) (int64, error)) error {
	k, err := load(ctx, db, id)
	if err != nil {
		return err
	}
	plan := *k.plan
	if plan.Slug == "" {
		return ErrNoPlan
	}
	limit, limited := plan.Limit(name)
	if !limited {
		return nil
	}
	n, err := count(ctx, db)
	if err != nil {
		return err
	}
	if n < 0 {
		return fmt.Errorf("tenancy: %d %s were counted", n, name)
	}
	if adding > limit-n { // neither is negative, so nothing overflows
		return fmt.Errorf("%w: %d %s", ErrLimit, limit, name)
	}
	return nil
}
