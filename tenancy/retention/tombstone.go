package retention

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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

// buried are the persons of an account's tombstone.
func buried(ctx context.Context, db bun.IDB, account tenancy.AccountID) ([]tenancy.UserID, error) {
	var rows []tombstoneRow
	if err := db.NewSelect().Model(&rows).Where("account_id = ?", account).Scan(ctx); err != nil || len(rows) == 0 {
		return []tenancy.UserID{}, err
	}
	stone, err := rows[0].tombstone()
	return stone.Persons, err
}

func (r tombstoneRow) tombstone() (Tombstone, error) {
	t := Tombstone{Account: r.Account, ErasedAt: r.ErasedAt.UTC()}
	if err := json.Unmarshal([]byte(r.Persons), &t.Persons); err != nil {
		return t, fmt.Errorf("retention: the tombstone of %s: %w", r.Account, err)
	}
	return t, nil
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
		var err error
		if stones[i], err = r.tombstone(); err != nil {
			return nil, err
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
// legal hold that it brought back counts for nothing. The persons are those of the
// tombstone and no others: who had left the account by then and lives elsewhere is
// one of its members in the backup. It writes the tombstones that the backup does not
// know, and of an account that it does not know it erases the persons alone. Run
// again, it finds nothing to do; interrupted, it goes on.
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
	if err := bury(ctx, db, stone); err != nil {
		return Report{}, err
	}
	if err != nil { // the backup is older than the account, and may know its persons
		return k.forget(ctx, db, r, stone)
	}
	if account.Status != tenancy.StatusClosed && account.Status != tenancy.StatusErased {
		if _, err := k.accounts.Close(ctx, db, tenancy.Close{Account: stone.Account, Actor: r.Actor, Reason: r.Reason}); err != nil {
			return Report{}, err
		}
	}
	return k.erase(ctx, db, Erase{Account: stone.Account, Actor: r.Actor, Reason: r.Reason}, occasion{again: &stone})
}

// forget erases the persons of a tombstone whose account is not there.
func (k *Keeper) forget(ctx context.Context, db bun.IDB, r Replay, stone Tombstone) (Report, error) {
	tables, err := k.resolve(ctx, db)
	if err != nil {
		return Report{}, err
	}
	across, err := k.accounts.System(ctx, db, r.Actor, r.Reason)
	if err != nil {
		return Report{}, err
	}
	run := erasure{keeper: k, rows: k.tables.For(across, db), postgres: isPostgres(db)}
	report := Report{Account: stone.Account, At: k.now(), Persons: stone.Persons, Tables: []TableReport{}}
	for _, t := range slices.Backward(tables) {
		if t.User == "" && t.name != invited {
			continue
		}
		done, err := run.one(across, t, stone.Persons)
		if err != nil {
			return Report{}, fmt.Errorf("retention: erasing %s: %w", t.name, err)
		}
		report.Tables = append(report.Tables, done)
	}
	if !report.changed() {
		return report, nil
	}
	line := tenancy.Audit{Account: stone.Account, At: report.At, Actor: r.Actor, Action: "retention.erase", Reason: r.Reason}
	if line.Data, err = json.Marshal(report); err != nil {
		return Report{}, err
	}
	return report, tenancy.Record(ctx, db, line)
}
