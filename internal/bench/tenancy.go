package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/schema"

	"github.com/quitrent/quitrent/internal/pgtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// tenancyArea is what it costs that a query of bun's shows one account's rows by
// itself, against the same query with the account in a condition written by hand.
func tenancyArea(ctx context.Context, b *bench) error {
	return onEach(ctx, pgtest.Start, func(name string, db *bun.DB) error {
		return scopedReads(ctx, b, name, db)
	})
}

func scopedReads(ctx context.Context, b *bench, name string, db *bun.DB) error {
	d := &documents{accounts: b.pick(1000, 3), each: b.pick(1000, 25)}
	if err := d.fill(ctx, db); err != nil {
		return err
	}
	if err := d.open(ctx, db); err != nil {
		return err
	}
	for _, at := range []place{pool, transaction, requests} {
		if err := compare(ctx, b, pair[[]document]{
			name: name + ": page of 20 rows, " + at.name, bar: 1.1,
			ours:     d.scoped(at, pageOf),
			baseline: d.byHand(at, pageOf),
			right:    d.rightPage,
			same:     slices.Equal[[]document],
		}); err != nil {
			return err
		}
		if err := compare(ctx, b, pair[[]document]{
			name: name + ": row by key, " + at.name, bar: 1.3,
			ours:     d.scoped(at, rowOf),
			baseline: d.byHand(at, rowOf),
			right:    d.rightRow,
			same:     slices.Equal[[]document],
		}); err != nil {
			return err
		}
	}
	return nil
}

// place is where both sides of a figure read.
type place struct {
	name string
	// open is where the calls of a block run.
	open func(ctx context.Context, db *bun.DB) (idb bun.IDB, end func() error, err error)
	// each says that a call has a transaction of its own.
	each bool
}

var (
	pool = place{name: "on the pool", open: onPool}

	transaction = place{name: "in one transaction", open: func(ctx context.Context, db *bun.DB) (bun.IDB, func() error, error) {
		tx, err := db.BeginTx(ctx, nil)
		return tx, tx.Rollback, err
	}}

	requests = place{name: "in a transaction each", open: onPool, each: true}
)

func onPool(_ context.Context, db *bun.DB) (bun.IDB, func() error, error) {
	return db, func() error { return nil }, nil
}

// query completes a select of documents for one call: what a host writes, but for
// the account.
type query func(q *bun.SelectQuery, id string) *bun.SelectQuery

func pageOf(q *bun.SelectQuery, id string) *bun.SelectQuery {
	return q.Where("id < ?", id).Order("id DESC").Limit(page)
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

// byHand is the baseline, on the same connections.
func (d *documents) byHand(at place, complete query) side[[]document] {
	return func(ctx context.Context) (func(int) ([]document, error), func() error, error) {
		idb, end, err := at.open(ctx, d.plain)
		return func(i int) (rows []document, err error) {
			account, n := d.input(i)
			ctx := d.entered[account]
			read := func(ctx context.Context, db bun.IDB) error {
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

// open makes the two databases of the two sides: on one pool, but each with a dialect
// of its own, since Bind changes what bun knows of the models in one.
func (d *documents) open(ctx context.Context, db *bun.DB) error {
	fresh := func() schema.Dialect { return pgdialect.New() }
	if isSQLite(db) {
		fresh = func() schema.Dialect { return sqlitedialect.New() }
	}
	d.bound, d.plain = bun.NewDB(db.DB, fresh()), bun.NewDB(db.DB, fresh())
	d.tables = owned.New(owned.Config{Tables: []owned.Table{{Model: (*document)(nil)}}})
	if err := d.tables.Bind(ctx, d.bound); err != nil {
		return err
	}
	accounts := tenancy.New(tenancy.Config{Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
		return tenancy.State{Status: tenancy.StatusActive}, tenancy.Plan{Slug: "bench", Active: true}, nil
	}})
	for a := range d.accounts {
		in, err := accounts.Enter(ctx, db, accountID(a), tenancy.Actor{Kind: tenancy.ActorSystem, ID: "bench"}, 0)
		if err != nil {
			return err
		}
		d.entered = append(d.entered, in)
	}
	random := rand.New(rand.NewPCG(1, 2))
	d.inputs = make([][2]int, 1<<14)
	for i := range d.inputs {
		d.inputs[i] = [2]int{random.IntN(d.accounts), random.IntN(d.each)}
	}
	return nil
}

// input is the account and the document of call i.
func (d *documents) input(i int) (account, n int) {
	in := d.inputs[i%len(d.inputs)]
	return in[0], in[1]
}

func (d *documents) rightPage(i int, rows []document) error {
	account, n := d.input(i)
	var want []document
	for k := n - 1; k >= max(0, n-page); k-- {
		want = append(want, written(account, k))
	}
	return equal(rows, want)
}

func (d *documents) rightRow(i int, rows []document) error {
	account, n := d.input(i)
	return equal(rows, []document{written(account, n)})
}

func equal(got, want []document) error {
	if !slices.EqualFunc(got, want, document.equal) {
		return fmt.Errorf("%v instead of %v", got, want)
	}
	return nil
}
