package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quitrent/quitrent/internal/pgtest"
)

// creditsArea measures what it costs to take credits out of accounts, one a call, each
// from grants that expire at different times, under a key of its own, and committed to
// a disk when the caller hears of it. Both sides run on the same pool of connections.
func creditsArea(ctx context.Context, b *bench) error {
	server, stop, err := pgtest.StartDurable(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if err := durable(ctx, b, server); err != nil {
		return err
	}
	return deductions(ctx, b, server)
}

// durable says what a run stands on, and is an error where COMMIT waits for no disk.
func durable(ctx context.Context, b *bench, server string) error {
	c, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	var version, fsync, commit, method, pages, buffers string
	err = c.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit'),
		current_setting('wal_sync_method'), current_setting('full_page_writes'), current_setting('shared_buffers')`).
		Scan(&version, &fsync, &commit, &method, &pages, &buffers)
	if err != nil {
		return err
	}
	if fsync != "on" || commit != "on" {
		return fmt.Errorf("fsync is %s and synchronous_commit is %s: nothing here would be durable", fsync, commit)
	}
	syncs, err := syncs()
	if err != nil {
		return err
	}
	if syncs > 200_000 {
		return errors.New("the folder for temporary files is kept in memory: name one on a disk in TMPDIR")
	}
	fmt.Fprintf(b.out, "credits: PostgreSQL %s, fsync %s (%s), synchronous_commit %s, full_page_writes %s, shared_buffers %s; "+
		"%d connections a process; SQLite in WAL mode with synchronous=FULL; a disk that syncs %.0f times a second; %d CPUs.\n"+
		"credits: in parentheses, how long callers waited: p50/p99 of ours, and of the baseline\n",
		version, fsync, method, commit, pages, buffers, connections, syncs, runtime.GOMAXPROCS(0))
	return nil
}

// syncs is how often a second the disk takes 8 KB for good.
func syncs() (perSecond float64, err error) {
	f, err := os.CreateTemp("", "quitrent-bench-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	page := make([]byte, 8192)
	start, n := elapsed(), 0
	for elapsed()-start < 300*time.Millisecond {
		if _, err := f.WriteAt(page, 0); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		n++
	}
	return float64(n) / (elapsed() - start).Seconds(), nil
}

// deductions measures all figures, each on books of its own.
func deductions(ctx context.Context, b *bench, server string) error {
	var errs []error
	for _, figures := range []func(context.Context, *bench, string) error{
		hotAccount, manyAccounts, oneCaller, repeats, inOneFile, twoProcesses, grown,
	} {
		errs = append(errs, figures(ctx, b, server))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func hotAccount(ctx context.Context, b *bench, server string) error {
	return withBooks(ctx, b, onPostgres(server), shape{accounts: 1}, func(k *books) error {
		return k.against(ctx, b, "hot account", 128, 25)
	})
}

func manyAccounts(ctx context.Context, b *bench, server string) error {
	return withBooks(ctx, b, onPostgres(server), shape{accounts: b.pick(10_000, 5)}, func(k *books) error {
		if err := k.against(ctx, b, "10,000 accounts", 128, 5); err != nil {
			return err
		}
		return k.against(ctx, b, "10,000 accounts", 1024, 8)
	})
}

func inOneFile(ctx context.Context, b *bench, _ string) error {
	return withBooks(ctx, b, onSQLite, shape{accounts: 1}, func(k *books) error {
		return k.against(ctx, b, "hot account on SQLite", 128, 5)
	})
}

// against is the figure of n callers on all accounts against the baseline.
func (k *books) against(ctx context.Context, b *bench, name string, n int, bar float64) error {
	n = b.pick(n, 8)
	return compete(ctx, b, contest{
		name: fmt.Sprintf("credits: %s, %s", name, number(n)), faster: true, bar: bar,
		ours:     crowdOf(n, "ours", k.deduct(k.ledger, k.accounts)),
		baseline: crowdOf(n, "baseline", k.guarded(k.accounts)),
	})
}

func number(callers int) string {
	if callers == 1 {
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", callers)
}

// oneCaller has nobody to share a commit with, and must not pay for what could be.
func oneCaller(ctx context.Context, b *bench, server string) error {
	return withBooks(ctx, b, onPostgres(server), shape{accounts: 1}, func(k *books) error {
		ours := crowdOf(1, "ours", k.deduct(k.ledger, 1))
		err := compete(ctx, b, contest{
			name: "credits: 1 caller, against combining off", bar: 1.1, short: true,
			ours: ours, baseline: crowdOf(1, "baseline", k.deduct(newLedger(false), 1)),
		})
		if err != nil {
			return err
		}
		return compete(ctx, b, contest{
			name: "credits: 1 caller, against guarded", bar: 2, short: true,
			ours: ours, baseline: crowdOf(1, "baseline", k.guarded(1)),
		})
	})
}

// repeats are calls that ask again what was asked before, as clients do that heard
// nothing.
func repeats(ctx context.Context, b *bench, server string) error {
	return withBooks(ctx, b, onPostgres(server), shape{accounts: 1}, func(k *books) error {
		n := b.pick(128, 8)
		return compete(ctx, b, contest{
			name: "credits: 1 % of keys repeated, against none", faster: true, bar: 0.6,
			ours:     crowdOf(n, "ours", k.repeating(n, b.pick(100, 3))),
			baseline: crowdOf(n, "baseline", k.deduct(k.ledger, 1)),
		})
	})
}
