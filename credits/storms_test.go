package credits_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

func fundMany(t *testing.T, db *bun.DB, n int, amount int64) {
	t.Helper()
	l := credits.New(credits.Config{Now: func() time.Time { return time.Now().Add(-10 * time.Minute) }})
	for i := range n {
		grant(t, l, db, credits.Grant{Account: tenancy.AccountID(fmt.Sprint("acc_", i)), Amount: amount, Key: "fund"})
	}
}

// killer ends the sessions of those who are at work, one after the other.
func killer(db *bun.DB) func(stop <-chan struct{}) {
	return func(stop <-chan struct{}) {
		for {
			select {
			case <-stop:
				return
			case <-time.After(7 * time.Millisecond):
			}
			var n int
			_ = db.NewRaw(`SELECT COUNT(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE '%credits_%'
				ORDER BY random() LIMIT 1) AS x`).Scan(context.Background(), &n)
		}
	}
}

// Several processes do what they can to a few accounts at once, while the database ends
// their sessions, runs out of patience, or their clocks disagree.
func TestStorm_WhatWasToldIsWhatIsThere(t *testing.T) {
	t.Parallel()
	const few, workers = 3, 8
	plain := stormArgs{Accounts: few, Workers: workers, Each: 20}
	verbs, host, cancelled, unkeyed, ordered, late := plain, plain, plain, plain, plain, plain
	verbs.Verbs, host.Host, cancelled.Cancel, unkeyed.Unkeyed = true, true, true, true
	host.Verbs, cancelled.Verbs = true, true
	ordered.Verbs, ordered.NoHolds = true, true
	late.Verbs, late.NoHolds, late.Skew = true, true, time.Second
	apart, single := plain, verbs
	apart.Combine, single.Combine = credits.CombineAccount, credits.CombineOff
	many := stormArgs{Accounts: 200, Workers: 60, Each: 5}
	for name, c := range map[string]struct {
		amount int64
		set    []string // of the database
		kill   bool
		procs  []stormArgs
	}{
		"deductions":               {amount: 20_000, procs: []stormArgs{plain, unkeyed}},
		"of the last credits":      {amount: 200, procs: []stormArgs{plain, host}},
		"everything":               {amount: 500, procs: []stormArgs{verbs, host, cancelled}},
		"in burn order":            {amount: 500, procs: []stormArgs{ordered, ordered}},
		"clocks that disagree":     {amount: 500, procs: []stormArgs{ordered, late}},
		"combined otherwise":       {amount: 500, procs: []stormArgs{apart, single}},
		"many accounts":            {amount: 30, procs: []stormArgs{many, many}},
		"sessions end":             {amount: 20_000, kill: true, procs: []stormArgs{plain, unkeyed}},
		"sessions end, everything": {amount: 20_000, kill: true, procs: []stormArgs{verbs, host}},
		"no patience":              {amount: 20_000, set: []string{"statement_timeout = '3ms'", "lock_timeout = '2ms'"}, procs: []stormArgs{host, plain}},
		"repeatable read":          {amount: 2000, set: []string{"default_transaction_isolation = 'repeatable read'"}, procs: []stormArgs{verbs, plain}},
	} {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Postgres(t, credits.Migrate)
			fundMany(t, db, c.procs[0].Accounts, c.amount)
			for _, s := range c.set {
				exec(t, db, "ALTER DATABASE "+scan[string](t, db, "SELECT current_database()")+" SET "+s)
			}
			procs := append([]stormArgs(nil), c.procs...)
			for i := range procs {
				procs[i].Who = string(rune('a' + i))
			}
			var during func(stop <-chan struct{})
			if c.kill {
				during = killer(db)
			}
			storm(t, db, procs, during)
		})
	}
}

func TestStorm_OnSQLiteToo(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t, credits.Migrate)
	fundMany(t, db, 3, 400)
	a := stormArgs{Who: "a", Accounts: 3, Workers: 6, Each: 20, Verbs: true, NoHolds: true}
	b := stormArgs{Who: "b", Accounts: 3, Workers: 6, Each: 20, Verbs: true, Cancel: true}
	storm(t, db, []stormArgs{a, b}, nil)
}
