package main

import (
	"context"
	"errors"
	"slices"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/pgtest"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// tenancyArea is what it costs that a query of bun's shows one account's rows by
// itself, against the same query with the account in a condition written by hand.
func tenancyArea(ctx context.Context, b *bench) error {
	return onEach(ctx, pgtest.Start, func(on database) error { return scopedReads(ctx, b, on) })
}

func scopedReads(ctx context.Context, b *bench, on database) error {
	d, err := newDocuments(ctx, on, b.pick(1000, 3), b.pick(1000, 25))
	if err != nil {
		return err
	}
	for _, at := range []place{pool, transaction, requests} {
		if err := compare(ctx, b, d.page(at, 1.1)); err != nil {
			return err
		}
		if err := compare(ctx, b, d.row(at, 1.3)); err != nil {
			return err
		}
	}
	if on.name == "sqlite" {
		return nil
	}
	d, end, err := d.secured(ctx)
	if err != nil {
		return err
	}
	figure := d.page(settings, 1.3)
	figure.name += ", RLS"
	return errors.Join(compare(ctx, b, figure), end(ctx))
}

func (d *documents) page(at place, bar float64) pair[[]document] {
	return pair[[]document]{
		name: d.on.name + ": page of 20 rows, " + at.name, bar: bar,
		ours:     d.scoped(at, pageOf),
		baseline: d.byHand(at, pageOf),
		right:    d.rightPage,
		same:     slices.Equal[[]document],
	}
}

func (d *documents) row(at place, bar float64) pair[[]document] {
	return pair[[]document]{
		name: d.on.name + ": row by key, " + at.name, bar: bar,
		ours:     d.scoped(at, rowOf),
		baseline: d.byHand(at, rowOf),
		right:    d.rightRow,
		same:     slices.Equal[[]document],
	}
}

// place is where both sides of a figure read.
type place struct {
	name string
	// open is where the calls of a block run.
	open func(ctx context.Context, db *bun.DB) (idb bun.IDB, end func() error, err error)
	// each says that a call has a transaction of its own.
	each bool
	// sets says that the transaction by hand begins with a setting, as one does that
	// row-level security holds: what is compared is then the policies.
	sets bool
}

var (
	pool = place{name: "on the pool", open: onPool}

	transaction = place{name: "in one transaction", open: func(ctx context.Context, db *bun.DB) (bun.IDB, func() error, error) {
		tx, err := db.BeginTx(ctx, nil)
		return tx, tx.Rollback, err
	}}

	requests = place{name: "in a transaction each", open: onPool, each: true}

	settings = place{name: "in a transaction with a setting", open: onPool, each: true, sets: true}
)

func onPool(_ context.Context, db *bun.DB) (bun.IDB, func() error, error) {
	return db, func() error { return nil }, nil
}

// query completes a select of documents for one call: what a host writes, but for
// the account.
type query func(q *bun.SelectQuery, id string) *bun.SelectQuery

func pageOf(q *bun.SelectQuery, id string) *bun.SelectQuery {
	return q.Where("id < ?", id).Order("id DESC").Limit(pageSize)
}

func rowOf(q *bun.SelectQuery, id string) *bun.SelectQuery { return q.Where("id = ?", id) }

// scoped is ours: For is called once a call, as a host calls it once a request.
func (d *documents) scoped(at place, complete query) side[[]document] {
	return func(ctx context.Context) (func(int) ([]document, error), func() error, error) {
		idb, end, err := at.open(ctx, d.bound)
		return func(i int) (rows []document, err error) {
			account, n := d.input(i)
			ctx := d.entered[account]
			db := d.tables.For(ctx, idb)
			read := func(ctx context.Context, db *owned.DB) error {
				rows = nil
				return complete(db.NewSelect().Model(&rows), documentID(n)).Scan(ctx)
			}
			if at.each {
				err = db.RunInTx(ctx, read)
			} else {
				err = read(ctx, db)
			}
			return rows, err
		}, end, err
	}
}

// byHand is the baseline.
func (d *documents) byHand(at place, complete query) side[[]document] {
	return func(ctx context.Context) (func(int) ([]document, error), func() error, error) {
		idb, end, err := at.open(ctx, d.plain)
		return func(i int) (rows []document, err error) {
			account, n := d.input(i)
			ctx := d.entered[account]
			read := func(ctx context.Context, db bun.IDB) error {
				if at.sets {
					if _, err := db.NewRaw("SET LOCAL bench.account = ?", string(accountID(account))).Exec(ctx); err != nil {
						return err
					}
				}
				rows = nil
				return complete(db.NewSelect().Model(&rows).Where("account_id = ?", accountID(account)), documentID(n)).Scan(ctx)
			}
			if at.each {
				err = idb.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return read(ctx, tx) })
			} else {
				err = read(ctx, idb)
			}
			return rows, err
		}, end, err
	}
}
