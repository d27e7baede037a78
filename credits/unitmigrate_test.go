package credits_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestM15_KeysOfTwoUnitsHaveNoWayBackAndLoseNothing(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		seconds := credits.New(credits.Config{Unit: "gpu_second", Now: clock.Now})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "g"})
		grant(t, seconds, db, credits.Grant{Account: acc, Amount: 10, Key: "s"})
		for _, key := range []string{"refused", "held"} {
			_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 40, Key: key})
			requireError(t, err, credits.ErrInsufficient)
		}
		before := rows(t, db)
		if err := credits.Down(t.Context(), db, 8); err != nil {
			t.Fatal(err)
		}
		if err := credits.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Error(d)
		}
		hold(t, seconds, db, credits.Hold{Account: acc, Amount: 1, Key: "held"})
		grant(t, seconds, db, credits.Grant{Account: acc, Amount: 10, Key: "g"})
		before = rows(t, db)
		if err := credits.Down(t.Context(), db, 8); err == nil {
			t.Error("two keys became one")
		}
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Error(d)
		}
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "g"}) // as it was
		creditstest.RequireBalance(t, l, db, acc, 10)
	})
}

// A statement that reads keys locks credits_keys, then credits_entries. A migration that
// locks them the other way round meets it in a deadlock, again and again under load.
func TestM15_TheMigrationOfKeysMeetsNoDeductionInADeadlock(t *testing.T) {
	db := dbtest.Postgres(t, credits.Migrate)
	if err := credits.Down(t.Context(), db, 8); err != nil {
		t.Fatal(err)
	}
	joined(t, db, func(tx bun.Tx) { // as a statement does that is halfway
		exec(t, tx, "LOCK TABLE credits_keys IN ACCESS SHARE MODE")
		migrated := make(chan error)
		go func() { migrated <- credits.Migrate(context.WithoutCancel(t.Context()), db) }()
		t.Cleanup(func() {
			if err := <-migrated; err != nil {
				t.Error(err)
			}
		})
		for scan[int](t, db, "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") == 0 { // round trips, until it waits
		}
		if n := scan[int](t, db, `SELECT COUNT(*) FROM pg_locks WHERE granted AND relation = 'credits_entries'::regclass AND mode = 'AccessExclusiveLock'`); n > 0 {
			t.Error("the migration has credits_entries and waits for credits_keys")
		}
	})
}

// Adopted, allotted and moved in both units, down and up again.
func TestM15_TwoUnitsGoDownAndUpAgain(t *testing.T) {
	for _, to := range []int{8, 6, 5, 1} {
		t.Run(fmt.Sprint(to), func(t *testing.T) {
			each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
				seconds := credits.New(credits.Config{Unit: "gpu_second", Now: clock.Now})
				for i, l := range []*credits.Ledger{l, seconds} {
					p := fmt.Sprint(i)
					if _, err := l.Adopt(t.Context(), db, credits.Adopt{
						Account: acc, Lines: []credits.AdoptLine{{At: start.Add(-time.Hour), Amount: 10, Reference: "r"}}, Lots: []credits.Lot{{Amount: 10}},
					}); err != nil {
						t.Fatal(err)
					}
					allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 7, Rollover: credits.Rollover{Percent: 100}})
					deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1, Key: "d" + p})
					_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 100, Key: "r" + p})
					requireError(t, err, credits.ErrInsufficient)
				}
				clock.Advance(40 * 24 * time.Hour)
				var was []int64
				for _, l := range []*credits.Ledger{l, seconds} {
					b, err := l.Balance(t.Context(), db, acc)
					if err != nil {
						t.Fatal(err)
					}
					was = append(was, b.Spendable)
				}
				if err := credits.Down(t.Context(), db, to); err != nil {
					t.Fatal(err)
				}
				if err := credits.Migrate(t.Context(), db); err != nil {
					t.Fatal(err)
				}
				for i, l := range []*credits.Ledger{credits.New(credits.Config{Now: clock.Now}), credits.New(credits.Config{Now: clock.Now, Unit: "gpu_second"})} {
					p := fmt.Sprint(i)
					creditstest.RequireSound(t, l, db, acc)
					if e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1, Key: "d" + p}); !e.Replayed {
						t.Errorf("charged twice: %+v", e)
					}
					_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 100, Key: "r" + p})
					requireError(t, err, credits.ErrInsufficient)
					if a, err := l.Adopt(t.Context(), db, credits.Adopt{
						Account: acc, Lines: []credits.AdoptLine{{At: start.Add(-time.Hour), Amount: 10, Reference: "r"}}, Lots: []credits.Lot{{Amount: 10}},
					}); err != nil || !a.Replayed {
						t.Errorf("%+v, %v", a, err)
					}
					if to >= 6 {
						allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 7, Rollover: credits.Rollover{Percent: 100}})
					} else { // the rules are gone, not what they granted
						allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 7, Anchor: start, Rollover: credits.Rollover{Percent: 100}})
					}
					b, err := l.Balance(t.Context(), db, acc)
					if d := cmp.Diff(was[i], b.Spendable); d != "" || err != nil {
						t.Error(d, err)
					}
					creditstest.RequireSound(t, l, db, acc)
				}
			})
		})
	}
}

// A host's view of the refusals is one of credits_keys after the migrations too: SQLite has
// a view follow a table that is renamed.
func TestM15_AHostsViewOfTheKeysSurvivesTheMigration(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		if err := credits.Down(t.Context(), db, 8); err != nil {
			t.Fatal(err)
		}
		exec(t, db, "CREATE VIEW refused AS SELECT account_id, key FROM credits_keys WHERE outcome = 'insufficient'")
		if err := credits.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1, Key: "k"})
		requireError(t, err, credits.ErrInsufficient)
		if n := scan[int](t, db, "SELECT COUNT(*) FROM refused"); n != 1 {
			t.Errorf("%d refused", n)
		}
	})
}

// The first version seeded every unit under one key.
func TestM15_WhatTheFirstVersionSeededIsNotSeededAgain(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, _ *credits.Ledger) {
		seconds := credits.New(credits.Config{Unit: "gpu_second"})
		grant(t, seconds, db, credits.Grant{Account: acc, Amount: 2000, Key: "quitrent:seed", Category: credits.CategoryPromo})
		e, err := seconds.Seed(t.Context(), db, credits.Seed{Account: acc, Amount: 2000})
		if err != nil || !e.Replayed {
			t.Errorf("%+v, %v", e, err)
		}
	})
}
