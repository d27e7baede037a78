package tx_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/tx"
)

// held makes COMMIT of whatever was put into the box wait until release is
// called. waiting is the backend whose COMMIT does, or 0.
func held(t *testing.T, db *bun.DB) (waiting func() (backend int), release func()) {
	t.Helper()
	ctx := context.Background()
	for _, q := range []string{
		"CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$",
		"CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON box DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold()",
	} {
		if _, err := db.NewRaw(q).Exec(ctx); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Rollback() })
	if _, err := lock.NewRaw("SELECT pg_advisory_xact_lock(42)").Exec(ctx); err != nil {
		t.Fatal(err)
	}
	waiting = func() (backend int) {
		t.Helper()
		if err := db.NewRaw("SELECT COALESCE(MAX(pid), 0) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())").Scan(ctx, &backend); err != nil {
			t.Fatal(err)
		}
		return backend
	}
	return waiting, func() {
		if err := lock.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
}

// inCommit waits until a COMMIT waits.
func inCommit(t *testing.T, waiting func() int) (backend int) {
	t.Helper()
	for range 50_000 { // round trips, so some seconds
		if backend = waiting(); backend != 0 {
			return backend
		}
	}
	t.Fatal("no COMMIT waits")
	return 0
}

func TestJoin_AContextThatEndsDuringCommitDoesNotCutIt(t *testing.T) {
	db := dbtest.Postgres(t, box)
	waiting, release := held(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		result <- tx.Join(ctx, db, func(db bun.IDB) error { return put(ctx, db, 1) })
	}()
	backend := inCommit(t, waiting)
	cancel()
	for range 50 { // round trips: whatever the cancellation does, it has begun
		if waiting() != backend {
			t.Fatal("COMMIT was cut")
		}
	}
	release()
	if err := <-result; err != nil {
		t.Error(err)
	}
	want(t, db, 1)
}

func TestJoin_ACommitWithoutAnAnswerIsUnknownAndNotRunAgain(t *testing.T) {
	db := dbtest.Postgres(t, box)
	waiting, release := held(t, db)
	ctx := t.Context()
	tries := 0
	result := make(chan error, 1)
	go func() {
		result <- tx.Join(ctx, db, func(db bun.IDB) error {
			tries++
			return put(ctx, db, 1)
		})
	}()
	if _, err := db.NewRaw("SELECT pg_terminate_backend(?)", inCommit(t, waiting)).Exec(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, tx.ErrOutcomeUnknown) || tries != 1 {
		t.Errorf("%v after %d tries", err, tries)
	}
	release()
	if err := put(ctx, db, 2); err != nil {
		t.Error(err)
	}
	want(t, db, 2)
}

// Whether this one takes effect depends on what reaches the server first: the
// driver's request to cancel, or the lock.
func TestJoin_AConnectionLostDuringCommitIsUnknown(t *testing.T) {
	db := dbtest.Postgres(t, box)
	waiting, release := held(t, db)
	ctx := t.Context()
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var wire net.Conn
	if err := conn.Raw(func(c any) error {
		wire = c.(*stdlib.Conn).Conn().PgConn().Conn()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	tries := 0
	result := make(chan error, 1)
	go func() {
		result <- tx.Join(ctx, conn, func(db bun.IDB) error {
			tries++
			return put(ctx, db, 1)
		})
	}()
	inCommit(t, waiting)
	_ = wire.Close()
	if err := <-result; !errors.Is(err, tx.ErrOutcomeUnknown) || tries != 1 {
		t.Errorf("%v after %d tries", err, tries)
	}
	release()
}
