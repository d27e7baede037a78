package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/id"
)

// connections of a process to PostgreSQL, for both sides.
const connections = 32

// books are a database of its own in which two ledgers are kept of the same accounts:
// ours, and the guarded one.
type books struct {
	database
	shape
	pool           *pgxpool.Pool // none on SQLite
	update, insert *sql.Stmt     // of the baseline on SQLite
	ledger         *credits.Ledger

	told         tally
	takenGuarded atomic.Int64
	before       sums // of our deductions, before any was asked for
	end          func() error
}

// shape is what is in the books before anything is measured: accounts, the first of
// which is the hot one, and how many deductions each has behind it.
type shape struct {
	accounts  int
	hot, each int
}

// newLedger is ours.
func newLedger(combining bool) *credits.Ledger {
	if !combining {
		return credits.New(credits.Config{Combine: credits.CombineOff})
	}
	return credits.New(credits.Config{})
}

// withBooks runs fn on books of that shape, and then checks that they agree to the
// credit with what fn's callers were told.
func withBooks(ctx context.Context, b *bench, open func(context.Context) (*books, error), s shape, fn func(k *books) error) error {
	k, err := open(ctx)
	if err != nil {
		return err
	}
	k.shape = s
	if err = k.begin(ctx); err == nil {
		if err = fn(k); err == nil {
			err = k.check(ctx, b)
		}
	}
	return errors.Join(err, k.end())
}

// onPostgres makes a database on the server.
func onPostgres(server string) func(context.Context) (*books, error) {
	return func(ctx context.Context) (*books, error) {
		name := id.New("books")
		if err := administer(ctx, server, "CREATE DATABASE "+name); err != nil {
			return nil, err
		}
		u, err := url.Parse(server)
		if err != nil {
			return nil, err
		}
		u.Path = "/" + name
		k, err := dial(ctx, u.String())
		if err != nil {
			return nil, err
		}
		ending := context.WithoutCancel(ctx)
		k.end = func() error {
			k.hangUp()
			return administer(ending, server, "DROP DATABASE "+name+" WITH (FORCE)")
		}
		return k, nil
	}
}

func administer(ctx context.Context, server, statement string) error {
	c, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	_, err = c.Exec(ctx, statement)
	return err
}

// dial is a pool as dbtest.Open makes it, but larger, and open to the baseline, which
// needs no more than pgx.
func dial(ctx context.Context, dsn string) (*books, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = connections
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDBFromPool(pool)
	db.SetMaxIdleConns(0)
	return &books{
		database: database{name: "postgres", dsn: dsn, db: bun.NewDB(db, pgdialect.New())},
		pool:     pool, ledger: newLedger(true),
	}, nil
}

func (k *books) hangUp() {
	_ = k.db.Close()
	k.pool.Close()
}

// onSQLite makes a file, in WAL mode and with synchronous=FULL, for one writer.
func onSQLite(context.Context) (*books, error) {
	dir, err := os.MkdirTemp("", "quitrent-bench-")
	if err != nil {
		return nil, err
	}
	k := &books{database: database{name: "sqlite", dsn: "file:" + filepath.Join(dir, "books.db")}, ledger: newLedger(true)}
	if k.db, err = dbtest.Open(k.dsn); err != nil {
		return nil, err
	}
	k.db.SetMaxOpenConns(1)
	k.end = func() error {
		dbtest.Close(k.db)
		return os.RemoveAll(dir)
	}
	return k, nil
}

// funds are the grants of every account, the first of which a run uses up.
var funds = []int64{10, 100, 1_000, 10_000, 100_000, 1 << 40}

// funded is what they are together.
func funded() (sum int64) {
	for _, f := range funds {
		sum += f
	}
	return sum
}

func (k *books) begin(ctx context.Context) error {
	if err := credits.Migrate(ctx, k.db); err != nil {
		return err
	}
	if err := k.openGuarded(ctx); err != nil {
		return err
	}
	if err := k.open(ctx, 0, k.hot); err != nil {
		return err
	}
	if k.accounts > 1 {
		if err := k.open(ctx, 1, k.each); err != nil {
			return err
		}
		if err := k.copies(ctx, 1, 2, k.accounts-1); err != nil {
			return err
		}
	}
	if err := k.settle(ctx); err != nil {
		return err
	}
	var err error
	k.before, err = k.sums(ctx)
	return err
}

// open gives an account so many deductions that it has behind it, and its grants.
func (k *books) open(ctx context.Context, account, past int) error {
	if past > 0 {
		if err := k.past(ctx, account, past); err != nil {
			return err
		}
	}
	for i, amount := range funds {
		g := credits.Grant{Account: accountID(account), Amount: amount, Key: fmt.Sprintf("fund:%d", i), Category: credits.CategoryPaid}
		if i < len(funds)-1 {
			g.ExpiresAt = time.Now().AddDate(0, i+1, 0)
		}
		if _, err := k.ledger.Grant(ctx, k.db, g); err != nil {
			return err
		}
	}
	return nil
}

// settle does what the database would else do in the middle of a figure.
func (k *books) settle(ctx context.Context) error {
	if k.name == "sqlite" {
		return nil
	}
	for _, q := range []string{"VACUUM ANALYZE", "CHECKPOINT"} {
		if _, err := k.pool.Exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}
