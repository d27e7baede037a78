// Package tx runs a function inside the caller's transaction, or inside a new
// one that it commits without letting the caller's deadline cut the COMMIT.
package tx

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/uptrace/bun"
)

// ErrOutcomeUnknown says that COMMIT failed in a way that leaves open whether
// the transaction took effect: a lost connection, a server that went away.
// Whoever gets it asks again with the same idempotency key.
var ErrOutcomeUnknown = errors.New("the outcome of the commit is unknown: ask again with the same key")

// attempts bounds how often a transaction of ours is run again after the
// database asked for it.
const attempts = 8

// Join runs fn inside the transaction that db already is, or inside a new one
// when db is a pool or a connection.
//
// In a joined transaction fn's error goes back to the owner, who decides. In a
// new one it rolls back. A new transaction is run again, with jitter, when the
// database says that it lost a conflict (SQLSTATE 40001, 40P01, SQLITE_BUSY), so
// fn must set what it returns through its closure afresh each time.
func Join(ctx context.Context, db bun.IDB, fn func(db bun.IDB) error) error {
	if !Owns(db) {
		return fn(db)
	}
	var err error
	for i := range attempts {
		if i > 0 {
			wait := time.Duration(rand.Int64N(int64(time.Millisecond) << i))
			select {
			case <-ctx.Done():
				return errors.Join(ctx.Err(), err)
			case <-time.After(wait):
			}
		}
		if err = once(ctx, db, fn); !conflict(err) {
			return err
		}
	}
	return fmt.Errorf("gave up after %d attempts: %w", attempts, err)
}

// Owns reports whether Join would open a transaction of its own on db.
func Owns(db bun.IDB) bool {
	switch db.(type) {
	case *bun.DB, bun.Conn, *bun.Conn:
		return true
	}
	return false
}

func once(ctx context.Context, db bun.IDB, fn func(db bun.IDB) error) (err error) {
	conn := db
	if pool, ok := db.(*bun.DB); ok {
		// The wait for a connection is the caller's to cancel, the
		// transaction is not: database/sql and pgx both hand the context of
		// BEGIN to COMMIT.
		c, err := pool.Conn(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		conn = c
	}
	t, err := conn.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return err
	}
	done := false
	defer func() {
		if !done { // also on panic
			_ = t.Rollback()
		}
	}()
	if err := fn(t); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err // nobody waits for the answer: undo rather than surprise
	}
	done = true
	if err := t.Commit(); err != nil {
		if definite(err) {
			return err
		}
		return fmt.Errorf("%w (%w)", ErrOutcomeUnknown, err)
	}
	return nil
}

// conflict reports that the database undid the transaction and asks for it to
// be run again.
func conflict(err error) bool {
	switch state(err) {
	case "40001", "40P01":
		return true
	}
	var lite interface{ Code() int }
	return errors.As(err, &lite) && lite.Code()&0xff == sqliteBusy && !errors.Is(err, ErrOutcomeUnknown)
}

// definite reports that a failed COMMIT certainly did not take effect: the
// database rolled it back (class 40 but 40003) or refused it (class 23).
func definite(err error) bool {
	s := state(err)
	if len(s) != 5 || s == "40003" {
		return false
	}
	return s[:2] == "40" || s[:2] == "23"
}

const sqliteBusy = 5

// state is the SQLSTATE that the driver's error carries, if it does. pgx has
// this method; so the library imports no driver.
func state(err error) string {
	var s interface{ SQLState() string }
	if errors.As(err, &s) {
		return s.SQLState()
	}
	return ""
}
