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

// Erase says goodbye to a closed account for good.
type Erase struct {
	Account tenancy.AccountID
	Actor   tenancy.Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
	// DryRun says what would be erased, and erases nothing.
	DryRun bool
}

// Report is what an erasure did, or would do: what an operator answers with who
// asked for it.
type Report struct {
	Account tenancy.AccountID `json:"account"`
	At      time.Time         `json:"at"`
	DryRun  bool              `json:"dry_run,omitzero"`
	// Tables are in the order in which they were erased, children before parents.
	Tables []TableReport `json:"tables"`
	// Persons are the account's members who belong to no other account and were
	// erased with it.
	Persons []tenancy.UserID `json:"persons"`
}

// TableReport counts rows.
type TableReport struct {
	Table   string `json:"table"`
	Deleted int64  `json:"deleted"`
	// Kept are those that stay.
	Kept int64 `json:"kept"`
	// Blanked are those of Kept that held something personal until now.
	Blanked int64 `json:"blanked"`
}

func (r Report) changed() bool {
	return slices.ContainsFunc(r.Tables, func(t TableReport) bool { return t.Deleted+t.Blanked > 0 })
}

// errUndo ends the transaction of a dry run.
var errUndo = errors.New("retention: a dry run is undone")

// Erase deletes everything that the registered tables hold of a closed account,
// blanks the personal columns of what the law wants kept, writes a tombstone and
// moves the account to tenancy.StatusErased, all in one transaction under the
// account's lock: whatever interrupts it, it is run again from the beginning.
// Nothing leads back. The lock lasts as long as the deletion does, and nobody but the
// eraser waits for an account that is closed; on SQLite every writer does, for about
// a second for 100,000 rows.
//
// Members who belong to no other account are erased with it: deleted where a table
// of persons is not kept, without name and address where it is. What processes remember
// of them, such as a session, is true no more (see tenancy's Changed). Members of another
// account stay what they are; a closed one counts until it is erased.
//
// An account that is erased already is gone through again, for tables that were
// registered since. A dry run is the same transaction, undone at its end, so that it
// counts what would be and fails on what would fail: it takes the locks too, and
// needs a *bun.DB or a bun.Conn.
//
// It returns tenancy.ErrTransition for an account that is not closed, or that the
// system may not erase before Account.PurgeAt; ErrLegalHold; tenancy.ErrForbidden
// for an actor that is neither operator nor system; tenancy.ErrInvalid without a
// reason; tenancy.ErrNoAccount; and ErrIncomplete before anything is deleted.
func (k *Keeper) Erase(ctx context.Context, db bun.IDB, e Erase) (Report, error) {
	return k.erase(ctx, db, e, occasion{})
}

// occasion is what makes an erasure other than the one that was asked for.
type occasion struct {
	// purge leaves alone what is erased already.
	purge bool
	// again is the tombstone of an earlier erasure, which a backup undid. The holds
	// that came back with it were lifted by then.
	again *Tombstone
}

func (k *Keeper) erase(ctx context.Context, db bun.IDB, e Erase, o occasion) (Report, error) {
	line := tenancy.Audit{Account: e.Account, Actor: e.Actor, Action: "retention.erase", Reason: e.Reason}
	if err := validate(line); err != nil {
		return Report{}, err
	}
	if e.DryRun && !tx.Owns(db) {
		return Report{}, errJoinedDryRun
	}
	var report Report
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		account, err := k.accounts.Lock(ctx, db, e.Account)
		if err != nil {
			return err
		}
		if err := k.mayErase(ctx, db, account, e.Actor, o); err != nil {
			return err
		}
		tables, err := k.resolve(ctx, db)
		if err != nil {
			return err
		}
		across, err := k.accounts.System(ctx, db, e.Actor, e.Reason)
		if err != nil {
			return err
		}
		run := erasure{keeper: k, rows: k.tables.For(across, db), account: account, postgres: isPostgres(db)}
		report = Report{Account: e.Account, At: k.now(), DryRun: e.DryRun}
		if report.Persons, err = run.persons(across, db, o.again); err != nil {
			return err
		}
		if report.Tables, err = run.all(across, tables, report.Persons); err != nil {
			return err
		}
		if err := k.finish(ctx, db, account, line, report); err != nil {
			return err
		}
		if e.DryRun {
			return errUndo
		}
		return nil
	})
	if err != nil && !errors.Is(err, errUndo) {
		return Report{}, err
	}
	return report, nil
}

// mayErase refuses before anything is touched; what is left to refuse, MarkErased
// does at the end.
func (k *Keeper) mayErase(ctx context.Context, db bun.IDB, account tenancy.Account, actor tenancy.Actor, o occasion) error {
	switch {
	case account.Status == tenancy.StatusErased && !o.purge:
		return nil
	case account.Status != tenancy.StatusClosed:
		return fmt.Errorf("%w: from %s to %s: close it first", tenancy.ErrTransition, account.Status, tenancy.StatusErased)
	}
	if actor.Kind != tenancy.ActorOperator && (account.PurgeAt.IsZero() || k.now().Before(account.PurgeAt)) {
		return fmt.Errorf("%w: it can still be restored: only an operator erases it now", tenancy.ErrTransition)
	}
	if o.again != nil {
		return nil
	}
	on, err := held(ctx, db, account.ID)
	if err == nil && on {
		err = ErrLegalHold
	}
	return err
}

// finish leaves the proof: the tombstone, the move to erased, and what was done in
// the audit log. The persons are announced after the account, as everywhere.
func (k *Keeper) finish(ctx context.Context, db bun.IDB, account tenancy.Account, line tenancy.Audit, report Report) error {
	if account.Status == tenancy.StatusErased && !report.changed() {
		return nil
	}
	if err := bury(ctx, db, Tombstone{Account: account.ID, ErasedAt: report.At, Persons: report.Persons}); err != nil {
		return err
	}
	_, err := k.accounts.MarkErased(ctx, db, tenancy.MarkErased{Account: account.ID, Actor: line.Actor, Reason: line.Reason})
	if err != nil {
		return err
	}
	persons := make([]tenancy.Subject, len(report.Persons))
	for i, p := range report.Persons {
		persons[i] = p.Subject()
	}
	if err := k.accounts.Changed(ctx, db, persons...); err != nil {
		return err
	}
	line.At = report.At
	if line.Data, err = json.Marshal(report); err != nil {
		return err
	}
	return tenancy.Record(ctx, db, line)
}
