package credits_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestM15_MigrationsGoUpDownAndUpAgainWithRows(t *testing.T) {
	check := func(t *testing.T, db *bun.DB) {
		l := credits.New(credits.Config{})
		all := []string{"0001_credits", "0002_book", "0003_holds", "0004_prices", "0005_budgets", "0006_allotments", "0007_seals", "0008_head", "0009_keys"}
		status := func(wantApplied, wantPending []string) {
			t.Helper()
			applied, pending, err := credits.MigrationStatus(t.Context(), db)
			if d := cmp.Diff([][]string{wantApplied, wantPending}, [][]string{applied, pending}); d != "" || err != nil {
				t.Error(d, err)
			}
		}
		status(nil, all)
		for range 2 {
			if err := credits.Migrate(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			if err := credits.Migrate(t.Context(), db); err != nil {
				t.Fatal("again:", err)
			}
			status(all, nil)
			history(t, l, db, acc)
			allot(t, l, db, credits.SetAllotment{Account: other, Name: "plan", Amount: 5})
			if err := credits.Down(t.Context(), db, len(all)); err != nil { // takes nothing back
				t.Fatal(err)
			}
			creditstest.RequireSound(t, l, db, acc)
			creditstest.RequireBalance(t, l, db, acc, 6)
			if err := credits.Down(t.Context(), db, 0); err != nil {
				t.Fatal(err)
			}
			status(nil, all)
			// tenancy's tables stay, with what they hold.
			tenancytest.RequireEvent[credits.Refunded](t, db, acc)
			tenancytest.RequireAudit(t, db, acc, "credits.grant")
			if _, err := l.Balance(t.Context(), db, acc); err == nil {
				t.Error("the tables are still there")
			}
		}
		if err := tenancy.Down(t.Context(), db, 0); err != nil {
			t.Error(err)
		}
		query := "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_name LIKE 'credits%'"
		if db.Dialect().Name() == dialect.SQLite {
			query = "SELECT name FROM sqlite_master WHERE name LIKE '%credits%'"
		}
		var left []string
		if err := db.NewRaw(query).Scan(t.Context(), &left); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
	dbtest.Each(t, check)
	t.Run("schema", func(t *testing.T) {
		db := dbtest.PostgresSchema(t, "quitrent")
		check(t, db)
		if err := credits.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if n := scan[int](t, db, "SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'quitrent' AND tablename LIKE 'credits%'"); n != 11 {
			t.Errorf("%d tables in the schema", n)
		}
	})
}

// What deductions took of the head is in its own row when the version goes that knows of
// heads.
func TestM15_WhatIsInTheHeadSurvivesTheWayDownAndUp(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "first", Priority: -1})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 20, Key: "second"})
		hold(t, l, db, credits.Hold{Account: acc, Amount: 3})
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 4})
		grant(t, l, db, credits.Grant{Account: other, Amount: 5, Key: "g"})
		deduct(t, l, db, credits.Deduct{Account: other, Amount: 5})
		for range 2 {
			if err := credits.Down(t.Context(), db, 7); err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(scan[int](t, db, "SELECT remaining FROM credits_grants WHERE account_id = 'acc_1' AND number = 1"), " ",
				scan[int](t, db, "SELECT remaining FROM credits_grants WHERE account_id = 'acc_1' AND number = 2"), " ",
				scan[int](t, db, "SELECT remaining FROM credits_grants WHERE account_id = 'acc_2'"))
			if got != "6 20 0" {
				t.Errorf("%s remain", got)
			}
			if _, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1, Key: "too new"}); err == nil {
				t.Error("a program that knows of heads deducts without them")
			}
			if err := credits.Migrate(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			creditstest.RequireSound(t, l, db, "")
		}
		if d := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 4}); d.Spendable != 19 {
			t.Errorf("%+v", d)
		}
		creditstest.RequireSound(t, l, db, "")
	})
}

// A later version may add columns while this one still runs.
func TestM15_ThisProgramRunsOnASchemaWithMoreColumns(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		grant(t, l, db, credits.Grant{Account: "acc_3", Amount: 100, Key: "k"})
		for _, table := range tables {
			exec(t, db, "ALTER TABLE "+table+" ADD COLUMN later BIGINT NOT NULL DEFAULT 7")
			exec(t, db, "ALTER TABLE "+table+" ADD COLUMN later_still TEXT")
		}
		history(t, l, db, acc)
		history(t, l, db, other)
		creditstest.RequireSound(t, l, db, "")
		if _, err := l.Entries(t.Context(), db, credits.Entries{Account: acc}); err != nil {
			t.Error(err)
		}
		if n := scan[int](t, db, "SELECT MIN(later) FROM credits_entries"); n != 7 {
			t.Errorf("later is %d", n)
		}
	})
}

// The rules of the schema that other packages and other engines lean on.
func TestMigrations_PutTheAccountFirst(t *testing.T) {
	found := 0
	for _, dir := range []string{"sqlite", "postgres"} {
		sql, err := fs.ReadFile(credits.Migrations, "migrations/"+dir+"/0001_credits.up.sql")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(sql)) {
			line = strings.TrimSpace(line)
			for _, key := range []string{"PRIMARY KEY (", "FOREIGN KEY (", "UNIQUE ("} {
				if rest, ok := strings.CutPrefix(line, key); ok {
					found++
					if !strings.HasPrefix(rest, "account_id,") {
						t.Errorf("%s: %s", dir, line)
					}
				}
			}
		}
	}
	if found != 14 {
		t.Errorf("%d keys", found)
	}
}
