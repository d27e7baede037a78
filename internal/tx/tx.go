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
//
// A context that ends before COMMIT undoes a new transaction; COMMIT itself runs
// to its end. An implementation of bun.IDB that is none of bun's is taken for a
// transaction.
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

// Single is the error of a statement that was its own transaction: as it is where the
// database has undone the statement, and ErrOutcomeUnknown where that is open.
func Single(err error) error {
	if err == nil {
		return nil
	}
	switch s := State(err); {
	case len(s) != 5, s == "40003", s[:2] == "08", s[:2] == "57" && s != "57014": // 57014: it was cancelled
		return fmt.Errorf("%w (%w)", ErrOutcomeUnknown, err)
	}
	return err
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
	// The wait for a connection and BEGIN are the caller's to cancel, COMMIT is
	// not: database/sql and the drivers hand the context of the one to the other.
	// So that context is cut loose from the caller's once the transaction runs.
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	cutLoose := context.AfterFunc(ctx, cancel)
	t, err := db.BeginTx(own, nil)
	if !cutLoose() {
		if err == nil {
			_ = t.Rollback()
		}
		return ctx.Err()
	}
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
	if errors.Is(err, ErrOutcomeUnknown) {
		return false
	}
	switch State(err) {
	case "40001", "40P01":
		return true
	}
	return liteCode(err) == sqliteBusy
}

// definite reports that a failed COMMIT certainly did not take effect: the
// database rolled it back (class 40 but 40003) or refused it (class 23; on
// SQLite a foreign key that is checked at the end, or a reader in the way).
func definite(err error) bool {
	if c := liteCode(err); c == sqliteBusy || c == sqliteConstraint {
		return true
	}
	s := State(err)
	if len(s) != 5 || s == "40003" {
		return false
	}
	return s[:2] == "40" || s[:2] == "23"
}

// SQLite's primary result codes.
const (
	sqliteBusy       = 5
	sqliteConstraint = 19
)

// liteCode is the primary result code that SQLite's driver reports, or 0. Its
// error has this method; so the library imports no driver.
func liteCode(err error) int {
	var lite interface {
		Code() int
		Error() string
	}
	if !errors.As(err, &lite) || State(err) != "" {
		return 0
	}
	return lite.Code() & 0xff
}

// State is the SQLSTATE that the driver's error carries, if it does. pgx's has
// this method.
func State(err error) string {
	var s interface{ SQLState() string }
	if errors.As(err, &s) {
		return s.SQLState()
	}
	return ""
}
