package tx_test

import (
	"context"
	"errors"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/tx"
)

type number struct {
	bun.BaseModel `bun:"table:box"`
	N             int `bun:"n,pk"`
}

func TestWrap_JoinsATransactionOfAnotherTool(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		ctx := t.Context()
		theirs, err := db.DB.BeginTx(ctx, nil) // database/sql's own
		if err != nil {
			t.Fatal(err)
		}
		in := tx.Wrap(db, theirs)
		if tx.Owns(in) {
			t.Error("Owns a wrapped transaction")
		}
		if err := tx.Join(ctx, in, func(db bun.IDB) error { return put(ctx, db, 1) }); err != nil {
			t.Fatal(err)
		}
		if _, err := in.NewInsert().Model(&number{N: 2}).Exec(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := in.ExecContext(ctx, "INSERT INTO box (n) VALUES (?)", 3); err != nil {
			t.Fatal(err)
		}
		if _, err := in.NewUpdate().Model((*number)(nil)).Set("n = n + ?", 10).Where("n = ?", 3).Exec(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := in.NewDelete().Model((*number)(nil)).Where("n = ?", 2).Exec(ctx); err != nil {
			t.Fatal(err)
		}
		want(t, in, 1, 13)

		var n int
		if err := in.QueryRowContext(ctx, "SELECT n FROM box WHERE n > ?", 5).Scan(&n); err != nil || n != 13 {
			t.Errorf("QueryRowContext: %d, %v", n, err)
		}
		rows, err := in.QueryContext(ctx, "SELECT n FROM box WHERE n < ?", 5)
		if err != nil || !rows.Next() || rows.Scan(&n) != nil || n != 1 {
			t.Errorf("QueryContext: %d, %v", n, err)
		}
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
		// With a limit bun asks twice, at once if it thinks it has a pool.
		var page []number
		total, err := in.NewSelect().Model(&page).Order("n").Limit(1).ScanAndCount(ctx)
		if err != nil || total != 2 || len(page) != 1 || page[0].N != 1 {
			t.Errorf("ScanAndCount: %v of %d, %v", page, total, err)
		}

		if err := theirs.Rollback(); err != nil {
			t.Fatal(err)
		}
		want(t, db)
	}, box)
}

func TestWrap_BeginsNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		ctx := t.Context()
		theirs, err := db.DB.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = theirs.Rollback() }()
		in := tx.Wrap(db, theirs)
		if _, err := in.BeginTx(ctx, nil); !errors.Is(err, tx.ErrNested) {
			t.Errorf("BeginTx: %v", err)
		}
		err = in.RunInTx(ctx, nil, func(context.Context, bun.Tx) error {
			t.Error("RunInTx ran")
			return nil
		})
		if !errors.Is(err, tx.ErrNested) {
			t.Errorf("RunInTx: %v", err)
		}
	})
}

func TestWrap_RefusesAPool(t *testing.T) {
	db := dbtest.SQLite(t)
	for _, pool := range []bun.IConn{db, db.DB} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%T is taken for a transaction", pool)
				}
			}()
			tx.Wrap(db, pool)
		}()
	}
}
