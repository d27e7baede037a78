package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/internal/dbtest"
)

// onEach runs fn with an empty database of each kind, named "postgres" and "sqlite",
// set up as the README tells hosts to set theirs up. start is pgtest.Start, or
// pgtest.StartDurable for a figure in which COMMIT has to wait for the disk; SQLite's
// always does.
func onEach(ctx context.Context, start func(context.Context) (string, func(), error), fn func(name string, db *bun.DB) error) error {
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
	for _, kind := range []struct{ name, dsn string }{
		{"postgres", dsn},
		{"sqlite", "file:" + filepath.Join(dir, "bench.db")},
	} {
		db, err := dbtest.Open(kind.dsn)
		if err != nil {
			return err
		}
		if kind.name == "sqlite" {
			db.SetMaxOpenConns(1)
		}
		err = fn(kind.name, db)
		dbtest.Close(db)
		if err != nil {
			return err
		}
	}
	return nil
}

func isSQLite(db *bun.DB) bool { return db.Dialect().Name() == dialect.SQLite }
