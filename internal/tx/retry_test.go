package tx_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/tx"
)

// serializable is a Postgres database whose transactions are serializable.
func serializable(t *testing.T) *bun.DB {
	t.Helper()
	db, err := dbtest.Open(dbtest.DSN(dbtest.Postgres(t, box)) + "&default_transaction_isolation=serializable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dbtest.Close(db) })
	return db
}

// lite is a SQLite file opened as a host might that has not read our manual.
func lite(t *testing.T, settings string) *bun.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "x.db")+"?_pragma=busy_timeout(1)&"+settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	b := bun.NewDB(db, sqlitedialect.New())
	if err := box(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return b
}

// double reads the sum of the box and puts it in: two at once cannot both be
// right.
func double(ctx context.Context, db bun.IDB, between func()) error {
	var sum int
	if err := db.NewRaw("SELECT COALESCE(SUM(n), 0) FROM box").Scan(ctx, &sum); err != nil {
		return err
	}
	between()
	return put(ctx, db, sum+1)
}

func TestJoin_RunsAgainWhatLostAConflict(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *bun.DB{
		"postgres": serializable,
		"sqlite":   func(t *testing.T) *bun.DB { return lite(t, "_pragma=journal_mode(WAL)") },
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			db := open(t)
			for _, conn := range []bool{false, true} {
				var on bun.IDB = db
				if conn {
					c, err := db.Conn(ctx)
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = c.Close() }()
					on = c
				}
				tries := 0
				err := tx.Join(ctx, on, func(own bun.IDB) error {
					return double(ctx, own, func() {
						if tries++; tries == 1 { // another one is faster, once
							if err := tx.Join(ctx, db, func(other bun.IDB) error { return double(ctx, other, func() {}) }); err != nil {
								t.Error(err)
							}
						}
					})
				})
				if err != nil || tries != 2 {
					t.Errorf("connection %v: %v after %d tries", conn, err, tries)
				}
			}
			want(t, db, 1, 2, 4, 8)

			tries := 0
			err := tx.Join(ctx, db, func(own bun.IDB) error {
				return double(ctx, own, func() {
					tries++ // and now another one is faster every time
					if err := tx.Join(ctx, db, func(other bun.IDB) error { return double(ctx, other, func() {}) }); err != nil {
						t.Error(err)
					}
				})
			})
			if err == nil || tries != 8 || !strings.Contains(err.Error(), "8 attempts") || errors.Is(err, tx.ErrOutcomeUnknown) {
				t.Errorf("%v after %d tries", err, tries)
			}
		})
	}
}

func TestJoin_EndsTheRetriesWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	db := lite(t, "_txlock=immediate&_pragma=journal_mode(WAL)")
	writer, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = writer.Rollback() }()
	begun := 0
	hooked := db.WithQueryHook(on{"BEGIN", func() {
		if begun++; begun == 3 {
			cancel()
		}
	}})
	err = tx.Join(ctx, hooked, func(bun.IDB) error { t.Error("it began"); return nil })
	if !errors.Is(err, context.Canceled) || begun != 3 {
		t.Errorf("%v after %d tries", err, begun)
	}
}

// With a rollback journal, a reader keeps SQLite's COMMIT from taking effect.
func TestJoin_RunsAgainWhenAReaderStoodInTheWayOfCommit(t *testing.T) {
	ctx := t.Context()
	db := lite(t, "_txlock=immediate&_pragma=journal_mode(DELETE)")
	if err := put(ctx, db, 1); err != nil {
		t.Fatal(err)
	}
	var reader *sql.Rows
	tries := 0
	err := tx.Join(ctx, db, func(own bun.IDB) error {
		if tries++; tries == 1 {
			var err error
			if reader, err = db.QueryContext(ctx, "SELECT n FROM box"); err != nil {
				return err
			}
			if !reader.Next() {
				t.Error("nothing to read")
			}
		} else if err := reader.Close(); err != nil {
			return err
		}
		return put(ctx, own, 2)
	})
	if err != nil || tries != 2 {
		t.Errorf("%v after %d tries", err, tries)
	}
	want(t, db, 1, 2)
}

func TestJoin_WhatTheDatabaseRefusesAtCommitIsNotUnknown(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		db.SetMaxOpenConns(1) // the next transaction gets the refused one's connection
		ctx := t.Context()
		if _, err := db.NewRaw("CREATE TABLE part (n BIGINT NOT NULL REFERENCES box (n) DEFERRABLE INITIALLY DEFERRED)").Exec(ctx); err != nil {
			t.Fatal(err)
		}
		tries := 0
		err := tx.Join(ctx, db, func(db bun.IDB) error {
			tries++
			_, err := db.NewRaw("INSERT INTO part (n) VALUES (7)").Exec(ctx)
			return err
		})
		if err == nil || errors.Is(err, tx.ErrOutcomeUnknown) || tries != 1 {
			t.Errorf("%v after %d tries", err, tries)
		}
		if err := tx.Join(ctx, db, func(db bun.IDB) error { return put(ctx, db, 1) }); err != nil {
			t.Errorf("the transaction after it: %v", err)
		}
		want(t, db, 1)
	}, box)
}
