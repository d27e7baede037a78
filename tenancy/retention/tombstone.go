package retention

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Tombstone says that an account was erased, and which persons with it. It holds
// ids, never personal data, and is to be kept outside of the database, where a
// restored backup does not take it away.
type Tombstone struct {
	Account  tenancy.AccountID `json:"account"`
	ErasedAt time.Time         `json:"erased_at"`
	Persons  []tenancy.UserID  `json:"persons"`
}

type tombstoneRow struct {
	bun.BaseModel `bun:"table:tenancy_tombstones,alias:ts"`

	Account  tenancy.AccountID `bun:"account_id,pk"`
	ErasedAt time.Time         `bun:"erased_at"`
	Persons  string            `bun:"persons"`
}

func bury(ctx context.Context, db bun.IDB, t Tombstone) error {
	persons, err := json.Marshal(t.Persons)
	if err != nil {
		return err
	}
	row := tombstoneRow{Account: t.Account, ErasedAt: t.ErasedAt, Persons: string(persons)}
	_, err = db.NewInsert().Model(&row).On("CONFLICT (account_id) DO NOTHING").Exec(ctx)
	return err
}

// Tombstones asks for a page of the tombstones, in the order of the accounts' ids.
type Tombstones struct {
	// After continues a page: the Account of its last tombstone.
	After tenancy.AccountID
	// Limit is 1 to 500. Default: 50.
	Limit int
}

// Tombstones reads a page of the tombstones. tenancy.ErrInvalid: After is no
// account's id.
func (k *Keeper) Tombstones(ctx context.Context, db bun.IDB, page Tombstones) ([]Tombstone, error) {
	limit := min(page.Limit, 500)
	if limit <= 0 {
		limit = 50
	}
	var rows []tombstoneRow
	q := db.NewSelect().Model(&rows).OrderExpr("account_id").Limit(int64(limit))
	if page.After != "" {
		if _, err := tenancy.ParseAccountID(string(page.After)); err != nil {
			return nil, err
		}
		q = q.Where("account_id > ?", page.After)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, err
	}
	stones := make([]Tombstone, len(rows))
	for i, r := range rows {
		stones[i] = Tombstone{Account: r.Account, ErasedAt: r.ErasedAt.UTC()}
		if err := json.Unmarshal([]byte(r.Persons), &stones[i].Persons); err != nil {
			return nil, fmt.Errorf("retention: the tombstone of %s: %w", r.Account, err)
		}
	}
	return stones, nil
}

// Replay erases again what a restored backup brought back.
type Replay struct {
	Tombstones []Tombstone
	// Actor is an operator: who restored the backup.
	Actor  tenancy.Actor
	Reason string
}

// Replay erases the accounts and the persons of the tombstones again, each account in
// a transaction of its own: one that the backup has as active is closed first, and a
// legal hold that it brought back counts for nothing. It writes the tombstones that
// the backup does not know, also of accounts that it does not know. Run again, it
// finds nothing to do; interrupted, it goes on.
//
// Before it is done nobody should serve from the restored database. It returns what
// was erased, and what Erase returns; tenancy.ErrForbidden for an actor that is no
// operator.
func (k *Keeper) Replay(ctx context.Context, db bun.IDB, r Replay) ([]Report, error) {
	if r.Actor.Kind != tenancy.ActorOperator {
		return nil, tenancy.ErrForbidden
	}
	if err := validate(tenancy.Audit{Actor: r.Actor, Action: "retention.replay", Reason: r.Reason}); err != nil {
		return nil, err
	}
	var reports []Report
	for _, stone := range r.Tombstones {
		if _, err := tenancy.ParseAccountID(string(stone.Account)); err != nil {
			return reports, err
		}
		var report Report
		err := tx.Join(ctx, db, func(db bun.IDB) (err error) {
			report, err = k.replay(ctx, db, r, stone)
			return err
		})
		if err != nil {
			return reports, fmt.Errorf("account %s: %w", stone.Account, err)
		}
		if report.changed() {
			reports = append(reports, report)
		}
	}
	return reports, nil
}

func (k *Keeper) replay(ctx context.Context, db bun.IDB, r Replay, stone Tombstone) (Report, error) {
	account, err := k.accounts.Lock(ctx, db, stone.Account)
	if err != nil && !errors.Is(err, tenancy.ErrNoAccount) {
		return Report{}, err
	}
	if buried := bury(ctx, db, stone); buried != nil || err != nil {
		return Report{}, buried // the backup is older than the account
	}
	if account.Status != tenancy.StatusClosed && account.Status != tenancy.StatusErased {
		if _, err := k.accounts.Close(ctx, db, tenancy.Close{Account: stone.Account, Actor: r.Actor, Reason: r.Reason}); err != nil {
			return Report{}, err
		}
	}
	return k.erase(ctx, db, Erase{Account: stone.Account, Actor: r.Actor, Reason: r.Reason}, occasion{again: &stone})
}
