package tx_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/tx"
)

func TestMain(m *testing.M) { dbtest.Main(m, nil) }

// box is a table of numbers.
func box(ctx context.Context, db *bun.DB) error {
	_, err := db.NewRaw("CREATE TABLE box (n BIGINT PRIMARY KEY)").Exec(ctx)
	return err
}

func put(ctx context.Context, db bun.IDB, n int) error {
	_, err := db.NewRaw("INSERT INTO box (n) VALUES (?)", n).Exec(ctx)
	return err
}

func want(t *testing.T, db bun.IDB, ns ...int) {
	t.Helper()
	var got []int
	if err := db.NewRaw("SELECT n FROM box ORDER BY n").Scan(context.Background(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(ns) {
		t.Fatalf("the box holds %v, want %v", got, ns)
	}
	for i := range ns {
		if got[i] != ns[i] {
			t.Fatalf("the box holds %v, want %v", got, ns)
		}
	}
}

func TestJoin_InTheCallersTransaction(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		ctx := t.Context()
		boom := errors.New("boom")
		outer, err := db.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range []bun.IDB{outer, &outer} {
			if tx.Owns(in) {
				t.Errorf("Owns(%T)", in)
			}
			err := tx.Join(ctx, in, func(db bun.IDB) error {
				if db != in {
					t.Errorf("fn got %T, not the caller's", db)
				}
				return boom
			})
			if !errors.Is(err, boom) {
				t.Errorf("Join answered %v", err)
			}
		}
		// The error has undone nothing: that is for the owner to decide.
		if err := tx.Join(ctx, outer, func(db bun.IDB) error { return put(ctx, db, 1) }); err != nil {
			t.Fatal(err)
		}
		want(t, outer, 1)
		if err := outer.Rollback(); err != nil {
			t.Fatal(err)
		}
		want(t, db)
	}, box)
}

func TestJoin_OpensItsOwnOnAPoolAndOnAConnection(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		ctx := t.Context()
		conn, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i, on := range []bun.IDB{conn, &conn, db} {
			if !tx.Owns(on) {
				t.Errorf("not Owns(%T)", on)
			}
			if on == bun.IDB(db) {
				_ = conn.Close()
			}
			boom := errors.New("boom")
			if err := tx.Join(ctx, on, func(db bun.IDB) error {
				return errors.Join(put(ctx, db, 100+i), boom)
			}); !errors.Is(err, boom) {
				t.Errorf("%T: %v", on, err)
			}
			if err := tx.Join(ctx, on, func(db bun.IDB) error { return put(ctx, db, i) }); err != nil {
				t.Errorf("%T: %v", on, err)
			}
		}
		want(t, db, 0, 1, 2)
	}, box)
}

func TestJoin_APanicRollsBackAndFreesTheConnection(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		db.SetMaxOpenConns(1)
		ctx := t.Context()
		func() {
			defer func() {
				if r := recover(); r != "boom" {
					t.Errorf("recovered %v", r)
				}
			}()
			_ = tx.Join(ctx, db, func(db bun.IDB) error {
				if err := put(ctx, db, 1); err != nil {
					t.Error(err)
				}
				panic("boom")
			})
		}()
		want(t, db)
	}, box)
}

func TestJoin_AContextThatEndsInsideRollsBack(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		err := tx.Join(ctx, db, func(db bun.IDB) error {
			err := put(ctx, db, 1)
			cancel()
			return err
		})
		if !errors.Is(err, context.Canceled) || errors.Is(err, tx.ErrOutcomeUnknown) {
			t.Errorf("Join answered %v", err)
		}
		want(t, db)
	}, box)
}

// on calls the function just before the named statement is sent.
type on struct {
	statement string
	do        func()
}

func (h on) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if e.Query == h.statement {
		h.do()
	}
	return ctx
}
func (h on) AfterQuery(context.Context, *bun.QueryEvent) {}

func TestJoin_AContextThatEndsAtCommitDoesNotCutIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		hooked := db.WithQueryHook(on{"COMMIT", cancel})
		if err := tx.Join(ctx, hooked, func(db bun.IDB) error { return put(ctx, db, 1) }); err != nil {
			t.Error(err)
		}
		if ctx.Err() == nil {
			t.Error("the context did not end at COMMIT")
		}
		want(t, db, 1)
	}, box)
}

func TestJoin_AContextThatEndsAtBeginEndsTheWait(t *testing.T) {
	db := dbtest.SQLite(t, box)
	writer, err := db.BeginTx(t.Context(), nil) // holds the lock that BEGIN waits for
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = writer.Rollback() }()
	ctx, cancel := context.WithCancel(t.Context())
	hooked := db.WithQueryHook(on{"BEGIN", cancel})
	err = tx.Join(ctx, hooked, func(bun.IDB) error { t.Error("it began"); return nil })
	if err == nil || err.Error() != context.Canceled.Error() { // alone: without a busy database's error
		t.Errorf("Join answered %v", err)
	}
}

func TestJoin_AWaitForAConnectionEndsWithTheContext(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		db.SetMaxOpenConns(1)
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		ctx, cancel := context.WithCancel(t.Context())
		hooked := db.WithQueryHook(on{"BEGIN", cancel})
		err = tx.Join(ctx, hooked, func(bun.IDB) error { t.Error("it began"); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Join answered %v", err)
		}
	}, box)
}

func TestJoin_OnAPoolOfOneConnection(t *testing.T) {
	db := dbtest.SQLiteOneConn(t, box)
	ctx := t.Context()
	if err := put(ctx, db, 0); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			err := tx.Join(ctx, db, func(db bun.IDB) error {
				_, err := db.NewRaw("UPDATE box SET n = n + 1").Exec(ctx)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	want(t, db, 20)
}
