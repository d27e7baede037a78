package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"

	"github.com/quitrent/quitrent/internal/dbtest"
)

// database is a pool on an empty database, set up as the README tells hosts to set
// theirs up.
type database struct {
	name string // "postgres" or "sqlite"
	dsn  string
	db   *bun.DB
}

// onEach runs fn on a database of each kind. start is pgtest.Start, or
// pgtest.StartDurable for a figure in which COMMIT has to wait for the disk; SQLite's
// always does.
func onEach(ctx context.Context, start func(context.Context) (string, func(), error), fn func(d database) error) error {
	dsn, stop, err := start(ctx)
	if err != nil {
		return err
	}
	defer stop()
	dir, err := os.MkdirTemp("", "quitrent-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, d := range []database{
		{name: "postgres", dsn: dsn},
		{name: "sqlite", dsn: "file:" + filepath.Join(dir, "bench.db")},
	} {
		if d.db, err = dbtest.Open(d.dsn); err != nil {
			return err
		}
		if d.name == "sqlite" {
			d.db.SetMaxOpenConns(1)
		}
		err = fn(d)
		dbtest.Close(d.db)
		if err != nil {
			return err
		}
	}
	return nil
}

// again is the same pool as another database to bun, since what is bound to one
// holds for all that share its dialect.
func (d database) again() *bun.DB {
	if d.name == "sqlite" {
		return bun.NewDB(d.db.DB, sqlitedialect.New())
	}
	return bun.NewDB(d.db.DB, pgdialect.New())
}
