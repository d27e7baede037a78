package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"
)

// The baseline is one guarded statement a call: it takes the credit where there is one
// and writes it down under a key that can't be used twice. There is no faster way that
// commits each call by itself: one round trip, prepared, one index a table.
const guardedPostgres = `WITH account AS (
		UPDATE guarded_accounts SET balance = balance - $2 WHERE account_id = $1 AND balance >= $2 RETURNING balance)
	INSERT INTO guarded_entries (account_id, key, amount, balance, operation, at)
	SELECT $1, $3, -$2, balance, $4, $5 FROM account RETURNING balance`

// On SQLite it takes two, in a transaction.
const (
	guardedUpdate = `UPDATE guarded_accounts SET balance = balance - ?2 WHERE account_id = ?1 AND balance >= ?2 RETURNING balance`
	guardedInsert = `INSERT INTO guarded_entries (account_id, key, amount, balance, operation, at) VALUES (?, ?, ?, ?, ?, ?)`
)

// openGuarded makes the baseline's tables, and as many accounts as there are of ours.
func (k *books) openGuarded(ctx context.Context) error {
	timestamp, options := "TIMESTAMPTZ", ""
	if k.name == "sqlite" {
		timestamp, options = "TIMESTAMP", "WITHOUT ROWID"
	}
	_, err := k.db.NewRaw(`CREATE TABLE guarded_accounts (account_id TEXT NOT NULL PRIMARY KEY, balance BIGINT NOT NULL CHECK (balance >= 0)) ?`,
		bun.Safe(options)).Exec(ctx)
	if err != nil {
		return err
	}
	_, err = k.db.NewRaw(`CREATE TABLE guarded_entries (account_id TEXT NOT NULL, key TEXT NOT NULL, amount BIGINT NOT NULL,
		balance BIGINT NOT NULL, operation TEXT NOT NULL, at ?0 NOT NULL, PRIMARY KEY (account_id, key)) ?1`,
		bun.Safe(timestamp), bun.Safe(options)).Exec(ctx)
	if err != nil {
		return err
	}
	_, err = k.db.NewRaw(`WITH RECURSIVE a (a) AS (SELECT 0 UNION ALL SELECT a + 1 FROM a WHERE a < ?0)
		INSERT INTO guarded_accounts (account_id, balance)
		SELECT 'acc_06h1qz7k3m9v8x2c4b5n' || substr(CAST(1000000 + a AS TEXT), 2), ?1 FROM a`, k.accounts-1, funded()).Exec(ctx)
	if err != nil || k.name != "sqlite" {
		return err
	}
	if k.update, err = k.db.DB.PrepareContext(ctx, guardedUpdate); err != nil {
		return err
	}
	k.insert, err = k.db.DB.PrepareContext(ctx, guardedInsert)
	return err
}

// guarded is a call of the baseline that takes a credit out of one of the first accounts.
func (k *books) guarded(accounts int) func(ctx context.Context, caller int) error {
	take := k.guardedOnPostgres
	if k.name == "sqlite" {
		take = k.guardedOnSQLite
	}
	return func(ctx context.Context, _ int) error {
		_, err := take(ctx, string(accountID(rand.IntN(accounts))), newKey(), time.Now().UTC().Truncate(time.Microsecond))
		if err == nil {
			k.takenGuarded.Add(1)
		}
		return err
	}
}

// It comes prepared, which ours does not ask of a host.
func (k *books) guardedOnPostgres(ctx context.Context, account, key string, at time.Time) (balance int64, err error) {
	err = k.pool.QueryRow(ctx, guardedPostgres, pgx.QueryExecModeCacheStatement, account, int64(1), key, operation, at).Scan(&balance)
	return balance, err
}

func (k *books) guardedOnSQLite(ctx context.Context, account, key string, at time.Time) (balance int64, err error) {
	tx, err := k.db.DB.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }()
	update, insert := tx.StmtContext(ctx, k.update), tx.StmtContext(ctx, k.insert)
	defer func() { _, _ = update.Close(), insert.Close() }()
	if err := update.QueryRowContext(ctx, account, 1).Scan(&balance); err != nil { // sqltext: prepared, and these are values
		return 0, err
	}
	if _, err := insert.ExecContext(ctx, account, key, -1, balance, operation, at); err != nil { // sqltext: prepared, and these are values
		return 0, err
	}
	return balance, tx.Commit()
}
