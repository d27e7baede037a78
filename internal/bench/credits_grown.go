package main

import (
	"context"
	"fmt"

	"github.com/quitrent/quitrent/credits"
)

// grown is what a ledger costs that has been in use for years, against an empty one on
// the same server.
func grown(ctx context.Context, b *bench, server string) error {
	old := shape{accounts: b.pick(10_001, 4), hot: b.pick(2_000_000, 60), each: b.pick(300, 5)}
	return withBooks(ctx, b, onPostgres(server), old, func(old *books) error {
		return withBooks(ctx, b, onPostgres(server), shape{accounts: old.accounts}, func(empty *books) error {
			// First, since what deductions leave to clean up is not the same in both.
			if err := compare(ctx, b, pair[bool]{
				name: "credits: balance with 5 M rows behind it, against none", bar: 1.1,
				ours: old.balance(), baseline: empty.balance(), right: yes, same: alike,
			}); err != nil {
				return err
			}
			size, deep := b.pick(50, 5), b.pick(9_999, 9)
			if err := compare(ctx, b, pair[bool]{
				name: "credits: statement of 2 M entries, page 10,000 against page 1", bar: 1.5,
				ours: old.page(size, deep), baseline: old.page(size, 0), right: yes, same: alike,
			}); err != nil {
				return err
			}
			for _, n := range []int{128, 1} {
				n = b.pick(n, min(n, 8))
				err := compete(ctx, b, contest{
					name: fmt.Sprintf("credits: 5 M rows behind it, %s", number(n)), bar: 1.1, short: n == 1,
					ours:     crowdOf(n, "ours", old.deduct(old.ledger, 1)),
					baseline: crowdOf(n, "baseline", empty.deduct(empty.ledger, 1)),
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func yes(_ int, r bool) error {
	if !r {
		return fmt.Errorf("not what is there")
	}
	return nil
}

func alike(a, b bool) bool { return a == b }

// balance is the side that reads the hot account's.
func (k *books) balance() side[bool] {
	return func(ctx context.Context) (func(int) (bool, error), func() error, error) {
		left := funded() - k.told.taken.Load()
		want := credits.Balance{Booked: left, Spendable: left}
		return func(int) (bool, error) {
			b, err := k.ledger.Balance(ctx, k.db, accountID(0))
			return b == want, err
		}, nothing, nil
	}
}

// page is the side that reads a page of the hot account's statement, so many after the
// first.
func (k *books) page(size, after int) side[bool] {
	return func(ctx context.Context) (func(int) (bool, error), func() error, error) {
		newest, err := k.ledger.Entries(ctx, k.db, credits.Entries{Account: accountID(0), Limit: 1})
		if err != nil {
			return nil, nil, err
		}
		top := newest.Entries[0].Number - int64(after*size)
		what := credits.Entries{Account: accountID(0), Limit: size}
		if after > 0 {
			what.Before = top + 1
		}
		return func(int) (bool, error) {
			p, err := k.ledger.Entries(ctx, k.db, what)
			ok := len(p.Entries) == size
			for i, e := range p.Entries {
				ok = ok && e.Number == top-int64(i) && (i == 0 || e.Balance == p.Entries[i-1].Balance-p.Entries[i-1].Amount)
			}
			return ok, err
		}, nothing, nil
	}
}
