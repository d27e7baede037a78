package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
)

// sums are what our deductions add up to.
type sums struct{ Entries, Numbers int64 }

func (k *books) sums(ctx context.Context) (s sums, err error) {
	err = k.db.NewRaw(`SELECT COUNT(*), CAST(COALESCE(SUM(number), 0) AS BIGINT) FROM credits_entries WHERE kind = 'deduct' AND amount = -1`).
		Scan(ctx, &s.Entries, &s.Numbers)
	return s, err
}

// check finds out whether both ledgers agree to the credit with what callers were told.
func (k *books) check(ctx context.Context, b *bench) error {
	for _, c := range []func(context.Context) error{k.checkOurs, k.checkSample, k.checkAccounts, k.checkGuarded} {
		if err := c(ctx); err != nil {
			return err
		}
	}
	return k.verify(ctx, b)
}

// checkOurs compares how many calls were told that they took a credit, and their
// entries' numbers, with the entries that came, and these with what is gone.
func (k *books) checkOurs(ctx context.Context) error {
	after, err := k.sums(ctx)
	if err != nil {
		return err
	}
	told := sums{k.told.taken.Load(), k.told.numbers.Load()}
	if came := (sums{after.Entries - k.before.Entries, after.Numbers - k.before.Numbers}); came != told {
		return fmt.Errorf("callers were told of %+v, the ledger has %+v", told, came)
	}
	var booked int64
	if err := k.db.NewRaw(`SELECT CAST(SUM(booked) AS BIGINT) FROM credits_accounts`).Scan(ctx, &booked); err != nil {
		return err
	}
	if gone := funded()*int64(k.accounts) - booked; gone != told.Entries {
		return fmt.Errorf("%d credits are gone and callers were told of %d", gone, told.Entries)
	}
	return nil
}

// checkSample looks up what some callers were told.
func (k *books) checkSample(ctx context.Context) error {
	for _, told := range k.told.sample {
		is, err := k.ledger.Entry(ctx, k.db, told.Account, told.Number)
		if err != nil {
			return err
		}
		if !same(is, told) {
			return fmt.Errorf("a caller was told of %+v, the ledger has %+v", told, is)
		}
	}
	return nil
}

// checkAccounts adds up every account's entries, splits, grants and keys. Each entry of
// these books has a key.
func (k *books) checkAccounts(ctx context.Context) error {
	var wrong int
	err := k.db.NewRaw(`SELECT COUNT(*) FROM credits_accounts AS a
		LEFT JOIN (SELECT account_id, COUNT(*) AS n, SUM(amount) AS total, MAX(number) AS last FROM credits_entries GROUP BY account_id) AS e
			ON e.account_id = a.account_id
		LEFT JOIN (SELECT account_id, COUNT(DISTINCT number) AS n, SUM(amount) AS total FROM (
				SELECT account_id, number, amount FROM credits_splits
				UNION ALL SELECT account_id, number, amount FROM credits_entries WHERE grant_id <> '') AS p GROUP BY account_id) AS s
			ON s.account_id = a.account_id
		LEFT JOIN (SELECT account_id, SUM(CASE grant_id WHEN head THEN head_free + g.held ELSE remaining END) AS total FROM credits_grants AS g JOIN credits_accounts AS c USING (account_id, unit) GROUP BY account_id) AS g
			ON g.account_id = a.account_id
		LEFT JOIN (SELECT account_id, COUNT(*) AS n FROM credits_entries WHERE key <> '' AND hash <> '' GROUP BY account_id) AS q
			ON q.account_id = a.account_id
		WHERE NOT COALESCE(e.n = a.number AND e.last = a.number AND s.n = a.number AND q.n = a.number
			AND e.total = a.booked AND s.total = a.booked AND g.total = a.booked, FALSE)`).Scan(ctx, &wrong)
	if err == nil && wrong > 0 {
		err = fmt.Errorf("%d accounts do not add up", wrong)
	}
	return err
}

func (k *books) checkGuarded(ctx context.Context) error {
	var n, balance int64
	err := k.db.NewRaw(`SELECT (SELECT COUNT(*) FROM guarded_entries), (SELECT CAST(SUM(balance) AS BIGINT) FROM guarded_accounts)`).
		Scan(ctx, &n, &balance)
	told := k.takenGuarded.Load()
	if gone := funded()*int64(k.accounts) - balance; err == nil && (n != told || gone != told) {
		err = fmt.Errorf("the baseline: callers were told of %d, %d entries, %d credits are gone", told, n, gone)
	}
	return err
}

// verify has the ledger check itself: all of it where that is done in seconds, and some
// accounts of those that checkAccounts has added up where not.
func (k *books) verify(ctx context.Context, b *bench) error {
	accounts := []int{0}
	switch {
	case b.tiny:
		for a := 1; a < k.accounts; a++ {
			accounts = append(accounts, a)
		}
	case k.accounts > 1:
		accounts = rand.Perm(k.accounts - 1)[:100]
		for i := range accounts {
			accounts[i]++
		}
	}
	for _, a := range accounts {
		found, err := k.ledger.Verify(ctx, k.db, accountID(a))
		if err != nil {
			return err
		}
		if len(found) > 0 {
			return errors.Join(errors.New("the ledger is wrong"), fmt.Errorf("%+v", found[0]))
		}
	}
	return nil
}
