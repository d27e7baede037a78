package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// What lies behind an account is written by a few statements, as the library would have
// written it by millions: rows that it has written are copied, with what differs from
// one to the next.

// pastKey is the key of a deduction of the past, earlier and as long as those of newKey.
const pastKey = `'req:r_00' || lpad(CAST(g AS TEXT), 24, '0')`

// past gives an account n deductions that have used up a grant. It makes one, by the
// library, of a grant of one.
func (k *books) past(ctx context.Context, account, n int) error {
	at := accountID(account)
	_, err := k.ledger.Grant(ctx, k.db, credits.Grant{Account: at, Amount: 1, Key: "fund:past"})
	if err != nil {
		return err
	}
	first := credits.Deduct{Account: at, Amount: 1, Key: "req:r_00" + strings.Repeat("0", 23) + "2", Operation: operation}
	if _, err := k.ledger.Deduct(ctx, k.db, first); err != nil {
		return err
	}
	for _, q := range []string{
		`UPDATE credits_grants SET amount = ?1 WHERE account_id = ?0`,
		`UPDATE credits_entries SET amount = ?1, balance = ?1, spendable = ?1 WHERE account_id = ?0 AND number = 1`,
		`UPDATE credits_entries SET balance = ?1 - 1, spendable = ?1 - 1 WHERE account_id = ?0 AND number = 2`,
		`UPDATE credits_accounts SET number = ?1 + 1, epoch = epoch + 1 WHERE account_id = ?0`,
	} {
		if _, err := k.db.NewRaw(q, at, n).Exec(ctx); err != nil { // sqltext: one of those above
			return err
		}
	}
	// The entry of number g is deduction g-1 of n.
	return k.copyRows(ctx, "credits_entries", "t.number = 2", at, 3, n+1, map[string]string{
		"number": "g", "key": pastKey, "balance": "t.balance + 2 - g", "spendable": "t.spendable + 2 - g",
	})
}

// copies gives the accounts from first to last all that account has.
func (k *books) copies(ctx context.Context, account, first, last int) error {
	var copy []func() error
	for _, t := range []string{"credits_accounts", "credits_grants", "credits_entries"} {
		copy = append(copy, func() error {
			return k.copyRows(ctx, t, "TRUE", accountID(account), first, last, map[string]string{
				"account_id": `'acc_06h1qz7k3m9v8x2c4b5n' || substr(CAST(1000000 + g AS TEXT), 2)`,
			})
		})
	}
	return atOnce(copy...)
}

// copyRows copies an account's rows of a table, those of which a condition holds, once
// for each g from first to last, with the columns of set as these expressions of g and
// the row t, and all others as they are. Nothing checks that a parent is there.
func (k *books) copyRows(ctx context.Context, table, where string, from tenancy.AccountID, first, last int, set map[string]string) error {
	if last < first {
		return nil
	}
	return pgx.BeginFunc(ctx, k.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT attname FROM pg_attribute
			WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum`, table)
		if err != nil {
			return err
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		values := make([]string, len(names))
		for i, name := range names {
			if values[i] = set[name]; values[i] == "" {
				values[i] = "t." + name
			}
		}
		if _, err := tx.Exec(ctx, "SET LOCAL session_replication_role = replica"); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, fmt.Sprintf(`INSERT INTO %[1]s (%[2]s) SELECT %[3]s FROM generate_series($1::int, $2::int) AS g
			CROSS JOIN LATERAL (SELECT * FROM %[1]s WHERE account_id = $3 AND g > 0) AS t WHERE %[4]s`,
			table, strings.Join(names, ", "), strings.Join(values, ", "), where), first, last, from)
		return err
	})
}

func atOnce(do ...func() error) error {
	errs := dbtest.Together(len(do), func(i int) error { return do[i]() })
	return errors.Join(errs...)
}
