package tenancy_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// useAll goes through every statement of the package.
func useAll(t *testing.T, db *bun.DB, email string) {
	t.Helper()
	r := &receiver{}
	accounts, _ := newAccounts(t, db, tenancy.Config{Deliver: r.deliver})
	ada := tenancytest.Register(t, db, accounts, email)
	id := ada.Account.ID
	user := createUser(t, db, accounts, "second-"+email)
	if _, err := accounts.AddMember(t.Context(), db, tenancy.AddMember{Account: id, User: user, Roles: viewer, Actor: self(ada)}); err != nil {
		t.Error(err)
	}
	if members, err := accounts.Members(t.Context(), db, id); len(members) != 2 || err != nil {
		t.Errorf("%d members, %v", len(members), err)
	}
	if err := accounts.RemoveMember(t.Context(), db, tenancy.RemoveMember{Account: id, User: user, Actor: self(ada)}); err != nil {
		t.Error(err)
	}
	if _, err := accounts.Change(t.Context(), db, tenancy.Change{Account: id, Status: tenancy.StatusActive, Plan: "starter", Actor: operator}); err != nil {
		t.Error(err)
	}
	ctx, err := accounts.Enter(t.Context(), db, id, person, tenancy.Use)
	if err != nil {
		t.Fatal(err)
	}
	want := tenancy.Scope{
		Account: id, State: tenancy.State{Status: tenancy.StatusActive, TrialEndsAt: t0.AddDate(0, 0, 14)}, Plan: tenancytest.Plans()[1],
		Actor: person, Capability: tenancy.Use, Epoch: 2,
	}
	if d := cmp.Diff(want, tenancy.From(ctx)); d != "" {
		t.Errorf("scope (-want +got):\n%s", d)
	}
	if plans, err := accounts.Plans(t.Context(), db); len(plans) != 2 || err != nil {
		t.Errorf("%d plans, %v", len(plans), err)
	}
	if lines := audits(t, db, id); len(lines) != 4 {
		t.Errorf("%d lines of audit", len(lines))
	}
	deliverDue(t, db, accounts, 4)
}

func TestM15_Migrations_UpDownAndUpAgainWithRows(t *testing.T) {
	run := func(t *testing.T, db *bun.DB) {
		status := func(what string, applied, pending []string) {
			t.Helper()
			a, p, err := tenancy.MigrationStatus(t.Context(), db)
			if d := cmp.Diff([][]string{applied, pending}, [][]string{a, p}, cmpopts.EquateEmpty()); d != "" || err != nil {
				t.Errorf("%s (-want +got):\n%s%v", what, d, err)
			}
		}
		all := []string{"0001_tenancy", "0002_people", "0003_invitations", "0004_lifecycle", "0005_audit_seals", "0006_retention", "0007_changes", "0008_verified", "0009_inviters", "0010_listing"}
		status("before", nil, all)
		for range 2 {
			for range 2 { // the second time there is nothing to do
				if err := tenancy.Migrate(t.Context(), db); err != nil {
					t.Fatal(err)
				}
			}
			status("up", all, nil)
			useAll(t, db, "ada@example.com")
			if err := tenancy.Down(t.Context(), db, 0); err != nil {
				t.Fatal(err)
			}
			status("down", nil, all)
			var left int
			for _, table := range tables {
				if err := db.NewRaw("SELECT COUNT(*) FROM ?", bun.Ident(table)).Scan(t.Context(), &left); err == nil {
					t.Errorf("%s is still there", table)
				}
			}
		}
	}
	dbtest.Each(t, run)
	t.Run("postgres, not in public", func(t *testing.T) {
		db := dbtest.PostgresSchema(t, "tenants")
		run(t, db)
		if err := tenancy.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		var schemas []string
		err := db.NewRaw("SELECT DISTINCT schemaname FROM pg_tables WHERE tablename LIKE 'tenancy\\_%'").Scan(t.Context(), &schemas)
		if d := cmp.Diff([]string{"tenants"}, schemas); d != "" || err != nil {
			t.Errorf("the tables are elsewhere (-want +got):\n%s%v", d, err)
		}
	})
}

// A deployment migrates first and replaces its binaries after that: for a while
// the old one reads tables that have columns it does not know.
func TestM15_ThePreviousBinaryRunsOnANewerSchema(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		for _, table := range tables {
			for _, column := range []string{"later TEXT", "later_still BIGINT NOT NULL DEFAULT 7"} {
				if _, err := db.NewRaw("ALTER TABLE ? ADD COLUMN ?", bun.Ident(table), bun.Safe(column)).Exec(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		useAll(t, db, "ada@example.com")
	})
}

// A plain foreign key takes another tenant's parent, so each one carries the
// account; and an index that does not begin with it finds other tenants' rows.
func TestMigrations_TenantTablesLeadWithTheAccount(t *testing.T) {
	for _, dialect := range []string{"postgres", "sqlite"} {
		files, err := fs.Glob(tenancy.Migrations, "migrations/"+dialect+"/*.up.sql")
		if len(files) == 0 || err != nil {
			t.Fatal(files, err)
		}
		var sql strings.Builder
		for _, name := range files {
			text, err := tenancy.Migrations.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			sql.Write(text)
			sql.WriteString("\n")
		}
		for statement := range strings.SplitSeq(sql.String(), ";\n\n") {
			_, definition, found := strings.Cut(statement, "CREATE TABLE ")
			name, _, _ := strings.Cut(definition, " ")
			switch name {
			case "tenancy_plans", "tenancy_users", "tenancy_leases", "tenancy_changes", "tenancy_invitation_tokens": // found from outside any account
				continue
			}
			if !found {
				continue
			}
			for line := range strings.SplitSeq(definition, "\n") {
				line = strings.TrimSpace(line)
				for _, key := range []string{"PRIMARY KEY (", "UNIQUE (", "FOREIGN KEY ("} {
					if rest, ok := strings.CutPrefix(line, key); ok && !strings.HasPrefix(rest, "account_id") {
						t.Errorf("%s: %s: %s", dialect, name, line)
					}
				}
				if strings.HasSuffix(line, "PRIMARY KEY,") && !strings.HasPrefix(line, "account_id ") {
					t.Errorf("%s: %s: %s", dialect, name, line)
				}
			}
		}
	}
}

// Danish sorts aa after z, Estonian z before t: ids are compared byte by byte.
func TestMigrations_IDsAreInTheirOrderUnderEveryCollation(t *testing.T) {
	db := dbtest.Postgres(t, tenancy.Migrate)
	var got []string
	err := db.NewRaw(`SELECT table_name || '.' || column_name FROM information_schema.columns
		WHERE table_schema = current_schema() AND collation_name = 'C' ORDER BY 1`).Scan(t.Context(), &got)
	want := []string{"tenancy_audit.audit_id", "tenancy_audit_seals.audit_id", "tenancy_deliveries.event_id", "tenancy_events.event_id", "tenancy_invitation_tokens.invitation_id", "tenancy_invitations.invitation_id", "tenancy_legal_holds.hold_id"}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("(-want +got):\n%s%v", d, err)
	}
}
