package dbtest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
)

func TestMain(m *testing.M) {
	dbtest.Main(m, map[string]dbtest.ChildFunc{
		"add": func(ctx context.Context, db *bun.DB, args []string) error {
			_, err := db.NewRaw("UPDATE counter SET n = n + 1").Exec(ctx)
			fmt.Print(os.Getpid(), " ", strings.Join(args, ","))
			return err
		},
		"hold": func(ctx context.Context, db *bun.DB, _ []string) error {
			t, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			if _, err := t.NewRaw("UPDATE counter SET n = 100").Exec(ctx); err != nil {
				return err
			}
			fmt.Println("holding")
			select {}
		},
		"fail": func(context.Context, *bun.DB, []string) error { return errors.New("boom") },
	})
}

func counter(ctx context.Context, db *bun.DB) error {
	for _, q := range []string{"CREATE TABLE counter (n BIGINT NOT NULL)", "INSERT INTO counter VALUES (0)"} {
		if _, err := db.NewRaw(q).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

func count(t *testing.T, db *bun.DB) (n int) {
	t.Helper()
	if err := db.NewRaw("SELECT n FROM counter").Scan(t.Context(), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestProcesses_RunOnTheSameDatabaseInProcessesOfTheirOwn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		pids := map[string]bool{fmt.Sprint(os.Getpid()): true}
		for _, out := range dbtest.Processes(t, 3, "add", dbtest.DSN(db), "x", "-y") {
			pid, args, _ := strings.Cut(out, " ")
			if pids[pid] || args != "x,-y" {
				t.Errorf("output %q, earlier processes %v", out, pids)
			}
			pids[pid] = true
		}
		if n := count(t, db); n != 3 {
			t.Errorf("three children counted to %d", n)
		}
	}, counter)
}

func TestProcess_KilledInItsTransactionLeavesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		p := dbtest.Spawn(t, "hold", dbtest.DSN(db))
		p.Go()
		if line := p.Line(); line != "holding" {
			t.Fatalf("line %q", line)
		}
		p.Kill()
		dbtest.Child(t, "add", dbtest.DSN(db))
		if n := count(t, db); n != 1 {
			t.Errorf("counter is %d", n)
		}
	}, counter)
}

// recorder is a test that may fail without failing this one.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func failure(t *testing.T, fn func(t testing.TB)) string {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() { defer close(done); fn(r) }()
	<-done
	return r.said
}

func TestChild_FailsItsTestWithWhatItSaid(t *testing.T) {
	dsn := dbtest.DSN(dbtest.SQLite(t))
	if said := failure(t, func(t testing.TB) { dbtest.Child(t, "fail", dsn) }); !strings.Contains(said, "boom") {
		t.Errorf("a child that failed: %q", said)
	}
	if said := failure(t, func(t testing.TB) { dbtest.Child(t, "fail", "file:/nowhere/at/all.db") }); !strings.Contains(said, "ready") {
		t.Errorf("a child without its database: %q", said)
	}
	if said := failure(t, func(t testing.TB) { dbtest.Child(t, "stranger", dsn) }); !strings.Contains(said, "TestMain") {
		t.Errorf("a child that nobody registered: %q", said)
	}
}
