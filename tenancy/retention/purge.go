package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// purger is who purges, in the audit log.
var purger = tenancy.Actor{Kind: tenancy.ActorSystem, ID: "retention"}

const batch = 500

// Purged is what Purge did.
type Purged struct {
	// Erased are the accounts whose time to be restored was over.
	Erased []tenancy.AccountID
	// Held are those that a legal hold kept.
	Held []tenancy.AccountID
	// Rows counts, by table, the soft-deleted rows that were removed.
	Rows map[string]int64
}

// Run purges until ctx ends, every Config.Every. Any number of processes may run it:
// what one has purged, another does not find. It returns when ctx is done, with nil.
func (k *Keeper) Run(ctx context.Context, db *bun.DB) error {
	tick := time.NewTicker(k.cfg.Every)
	defer tick.Stop()
	for {
		if _, err := k.Purge(ctx, db); err != nil && ctx.Err() == nil {
			slog.ErrorContext(ctx, "quitrent: purging", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Purge is one round of Run, for hosts with a scheduler of their own. It erases the
// accounts past their Account.PurgeAt, except those under a legal hold, and removes
// the soft-deleted rows of registered models (bun's soft_delete) that were deleted
// Config.RowRetention ago or earlier: children before parents, in small batches. A
// row stays while another one refers to it, until that is gone, as long as the
// foreign key neither cascades nor sets NULL; so do the rows of a table with Keep, of
// one that is SelfGuarded, and of an account under a legal hold.
//
// A closed account without Account.PurgeAt, which an older version closed, gets one.
//
// It goes on after a failure and returns every one; doing it late, twice or on
// several machines at once comes to the same.
func (k *Keeper) Purge(ctx context.Context, db *bun.DB) (Purged, error) {
	out := Purged{Rows: map[string]int64{}}
	failed := append(k.purgeAccounts(ctx, db, &out), k.date(ctx, db), k.purgeRows(ctx, db, out.Rows))
	return out, errors.Join(failed...)
}

func (k *Keeper) purgeAccounts(ctx context.Context, db *bun.DB, out *Purged) (failed []error) {
	for page := (tenancy.Closed{Due: true, Limit: 100}); ; {
		due, err := k.accounts.Closed(ctx, db, page)
		if err != nil || len(due) == 0 {
			return append(failed, err)
		}
		for _, account := range due {
			e := Erase{Account: account.ID, Actor: purger, Reason: "the time in which it could be restored is over"}
			_, err := k.erase(ctx, db, e, occasion{purge: true})
			switch {
			case err == nil:
				out.Erased = append(out.Erased, account.ID)
			case errors.Is(err, ErrLegalHold):
				out.Held = append(out.Held, account.ID)
			case errors.Is(err, tenancy.ErrTransition): // restored meanwhile, or erased by another process
			case ctx.Err() != nil:
				return append(failed, ctx.Err())
			default:
				failed = append(failed, fmt.Errorf("account %s: %w", account.ID, err))
			}
			page.After = account.ID
		}
	}
}

// date begins the retention of accounts that an older version closed.
func (k *Keeper) date(ctx context.Context, db *bun.DB) error {
	for page := (tenancy.Closed{Undated: true, Limit: 100}); ; {
		undated, err := k.accounts.Closed(ctx, db, page)
		if err != nil || len(undated) == 0 {
			return err
		}
		for _, account := range undated {
			_, err := k.accounts.Close(ctx, db, tenancy.Close{Account: account.ID, Actor: purger, Reason: "it was closed without a date"})
			if err != nil {
				return fmt.Errorf("account %s: %w", account.ID, err)
			}
			page.After = account.ID
		}
	}
}

func (k *Keeper) purgeRows(ctx context.Context, db *bun.DB, counts map[string]int64) error {
	tables, err := k.resolve(ctx, db)
	if err != nil {
		return err
	}
	tables = slices.DeleteFunc(tables, func(t table) bool { return t.schema.SoftDeleteField == nil || t.Keep || t.SelfGuarded })
	if len(tables) == 0 {
		return nil
	}
	refs, err := references(ctx, db)
	if err != nil {
		return err
	}
	across, err := k.accounts.System(ctx, db, purger, "rows are removed whose time to be restored is over")
	if err != nil {
		return err
	}
	before := k.now().Add(-k.cfg.RowRetention)
	var failed []error
	for _, t := range slices.Backward(tables) {
		for {
			n, err := k.purgeSome(across, db, t, before, referrers{t, refs[strings.ToLower(t.name)]})
			if n > 0 {
				counts[t.name] += n
			}
			if err != nil {
				failed = append(failed, fmt.Errorf("retention: purging %s: %w", t.name, err))
			}
			if err != nil || n == 0 {
				break
			}
		}
	}
	return errors.Join(failed...)
}

// purgeSome removes one batch. That the row is still deleted is asked twice: the
// inner condition may have been read before somebody restored it.
func (k *Keeper) purgeSome(ctx context.Context, db *bun.DB, t table, before time.Time, refs referrers) (n int64, err error) {
	err = tx.Join(ctx, db, func(db bun.IDB) error {
		n = 0
		deleted := bun.Ident(t.schema.SoftDeleteField.Name)
		from, to := any(time.Unix(0, 0).UTC()), any(before)
		if t.schema.SoftDeleteField.IndirectType.Kind() == reflect.Int64 {
			from, to = int64(0), before.UnixNano()
		}
		res, err := k.tables.For(ctx, db).NewRaw(`DELETE FROM ? WHERE ? > ? AND ? <= ? AND (?) IN (
				SELECT ? FROM ? AS t WHERE t.? > ? AND t.? <= ? AND NOT EXISTS (
					SELECT 1 FROM tenancy_legal_holds AS h WHERE h.account_id = CAST(t.? AS TEXT) AND h.lifted_at IS NULL)?
				LIMIT ?)`,
			bun.Ident(t.name), deleted, from, deleted, to, keys(t.schema.PKs),
			keys(t.schema.PKs), bun.Ident(t.name), deleted, from, deleted, to, bun.Ident(t.Account), refs, batch).Exec(ctx)
		return count(&n, res, err)
	})
	if err != nil {
		n = 0
	}
	return n, err
}

// keys are the columns of a primary key.
type keys []*schema.Field

// AppendQuery implements schema.QueryAppender.
func (k keys) AppendQuery(_ schema.QueryGen, b []byte) ([]byte, error) {
	for i, f := range k {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, f.SQLName...)
	}
	return b, nil
}

// itself is the condition that c and t are one row.
type itself []*schema.Field

// AppendQuery implements schema.QueryAppender.
func (i itself) AppendQuery(gen schema.QueryGen, b []byte) ([]byte, error) {
	for n, f := range i {
		if n > 0 {
			b = append(b, " AND "...)
		}
		b = gen.AppendQuery(b, "c.? = t.?", bun.Ident(f.Name), bun.Ident(f.Name))
	}
	return b, nil
}
