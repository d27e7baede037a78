package adoption_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/adoption"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

var wholeFixture = map[string]int{
	"tenancy_accounts": 8, "tenancy_users": 8, "tenancy_members": 8, "tenancy_member_roles": 9, "tenancy_audit": 9,
}

func TestM18_ADryRunSaysWhatTheRealOneDoesAndWritesNothing(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		a := newAdoption(t, newAccounts(t, db), words)
		what := running(true)
		what.DryRun = true
		var dry adoption.Report
		wantRows(t, db, "dry run", nil, func() {
			var err error
			if dry, err = a.Adopt(t.Context(), db, what); err != nil {
				t.Fatal(err)
			}
		})
		eight := adoption.Counts{New: 8}
		wantCounts(t, "dry run", dry, eight, eight, eight)
		if d := cmp.Diff(map[tenancy.Status]int{tenancy.StatusActive: 3, tenancy.StatusTrial: 5}, dry.Statuses); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(map[string]int{"enterprise": 4, tenancy.DefaultTrialPlan: 4}, dry.Plans); d != "" {
			t.Error(d)
		}
		noEnd := []string{"account 4 trial_ends_at", "account 5 trial_ends_at", "account 6 trial_ends_at", "account 7 trial_ends_at", "account 8 trial_ends_at"}
		if d := cmp.Diff(noEnd, found(dry.Notes)); d != "" {
			t.Errorf("notes (-want +got):\n%s", d)
		}

		what.DryRun = false
		wantRows(t, db, "real run", wholeFixture, func() {
			real, err := a.Adopt(t.Context(), db, what)
			if err != nil {
				t.Fatal(err)
			}
			dry.DryRun = false
			if d := cmp.Diff(dry, real); d != "" {
				t.Errorf("the dry run said something else (-dry +real):\n%s", d)
			}
		})
	})
}

func TestM18_AdoptedAccountsWorkLikeOthers(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts := newAccounts(t, db)
		report, err := newAdoption(t, accounts, words).Adopt(t.Context(), db, running(true))
		if err != nil {
			t.Fatal(err)
		}
		want := tenancy.Account{
			ID: "4", Name: "Account 4", State: tenancy.State{Status: tenancy.StatusTrial}, Plan: "enterprise", Owner: "4", Zone: "UTC",
			CreatedAt: opened.Add(4 * time.Hour), UpdatedAt: t0,
		}
		got, err := accounts.Get(t.Context(), db, "4")
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("account (-want +got):\n%s%v", d, err)
		}
		for foreign, id := range report.AccountIDs {
			user, err := accounts.UserByEmail(t.Context(), db, "uSER"+foreign+"@EXAMPLE.com")
			if err != nil || user.ID != report.UserIDs[foreign] {
				t.Fatalf("user %q of %s, %v", user.ID, foreign, err)
			}
			if of, err := accounts.AccountOf(t.Context(), db, user.ID, ""); of != id || err != nil {
				t.Errorf("user %s acts for %q, %v", user.ID, of, err)
			}
			ctx, err := accounts.Enter(t.Context(), db, id, tenancy.Actor{Kind: tenancy.ActorUser, ID: string(user.ID)}, tenancy.Use)
			if err != nil {
				t.Fatalf("entering %s: %v", id, err)
			}
			if err := tenancy.Check(tenancy.From(ctx).State, tenancy.From(ctx).Plan, t0, tenancy.Use); err != nil {
				t.Error(err)
			}
			if line := tenancytest.RequireAudit(t, db, id, "tenancy.adopt"); line.Actor != operator || line.Reason != "the move" || line.Target != string(user.ID) {
				t.Errorf("audit %+v", line)
			}
			if events := tenancytest.Events(t, db, id); len(events) != 0 {
				t.Errorf("account %s has %d events: somebody is greeted", id, len(events))
			}
		}
		members, err := accounts.Members(t.Context(), db, "8")
		if err != nil || len(members) != 1 {
			t.Fatalf("members %+v, %v", members, err)
		}
		if d := cmp.Diff([]tenancy.Role{tenancy.RoleOwner, tenancy.RoleDeveloper}, members[0].Roles); d != "" {
			t.Errorf("the developer who owns the eighth account (-want +got):\n%s", d)
		}
		line := tenancytest.RequireAudit(t, db, "", "tenancy.adopt")
		var counts map[string]adoption.Counts
		if err := json.Unmarshal(line.Data, &counts); err != nil || counts["account"].New != 8 {
			t.Errorf("the installation's log says %s, %v", line.Data, err)
		}

		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		if ada.Account.Status != tenancy.StatusTrial || ada.Account.TrialEndsAt.IsZero() {
			t.Errorf("a sign-up after it: %+v", ada.Account)
		}
		_, err = accounts.Register(t.Context(), db, tenancy.Register{Name: "Again", Email: "user1@example.com"})
		wantErr(t, "a sign-up with an adopted address", err, tenancy.ErrEmailTaken)
		if _, err := accounts.Suspend(t.Context(), db, tenancy.Suspend{Account: "1", Actor: operator}); err != nil {
			t.Error(err)
		}
		_, err = accounts.Enter(t.Context(), db, "1", operator, tenancy.Use)
		wantErr(t, "a suspended account", err, tenancy.ErrSuspended)
	})
}

func TestM18_AgainIsNothingNewAndTheNewSystemIsTheTruth(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts := newAccounts(t, db)
		a := newAdoption(t, accounts, words)
		what := running(true)
		what.Users = append(what.Users, adoption.User{ID: "9", Email: "nine@example.com"})
		what.Members = append(what.Members, adoption.Member{Account: "1", User: "9", Roles: []string{"viewer"}})
		first, err := a.Adopt(t.Context(), db, what)
		if err != nil {
			t.Fatal(err)
		}
		wantRows(t, db, "again", nil, func() {
			again, err := a.Adopt(t.Context(), db, what)
			if err != nil {
				t.Fatal(err)
			}
			wantCounts(t, "again", again, adoption.Counts{Same: 8}, adoption.Counts{Same: 9}, adoption.Counts{Same: 9})
			if d := cmp.Diff([]any{first.AccountIDs, first.UserIDs}, []any{again.AccountIDs, again.UserIDs}); d != "" {
				t.Errorf("ids (-first +again):\n%s", d)
			}
		})

		if _, err := accounts.Change(t.Context(), db, tenancy.Change{Account: "5", Status: tenancy.StatusActive, Plan: "starter", Actor: operator}); err != nil {
			t.Fatal(err)
		}
		if err := accounts.RemoveMember(t.Context(), db, tenancy.RemoveMember{Account: "1", User: "9", Actor: operator}); err != nil {
			t.Fatal(err)
		}
		what.Users[1].Name = "Somebody else"
		what.Accounts = append(what.Accounts, adoption.Account{ID: "10", Name: "Late", Status: "ACTIVE", Plan: "Free", Owner: "9"})
		late := map[string]int{"tenancy_accounts": 1, "tenancy_members": 1, "tenancy_member_roles": 1, "tenancy_audit": 2}
		wantRows(t, db, "a late one", late, func() {
			report, err := a.Adopt(t.Context(), db, what)
			if err != nil {
				t.Fatal(err)
			}
			wantCounts(t, "a late one", report, adoption.Counts{New: 1, Same: 7, Different: 1},
				adoption.Counts{Same: 8, Different: 1}, adoption.Counts{New: 1, Same: 8, Different: 1})
			var different []string
			for _, f := range report.Notes {
				if f.Field != "trial_ends_at" {
					different = append(different, fmt.Sprintf("%s %s %s", f.Kind, f.ID, f.Field))
				}
			}
			want := []string{"user 2 name", "account 5 status, plan", "member 1/9 roles"}
			if d := cmp.Diff(want, different); d != "" {
				t.Errorf("what differs (-want +got):\n%s", d)
			}
		})
		if acc, err := accounts.Get(t.Context(), db, "5"); acc.Status != tenancy.StatusActive || err != nil {
			t.Errorf("account 5 is %s again, %v", acc.Status, err)
		}
	})
}

// An account that retention has removed does not rise again from an old export.
func TestM18_WhatWasRemovedSinceDoesNotComeBack(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		a := newAdoption(t, newAccounts(t, db), words)
		what := running(true)
		if _, err := a.Adopt(t.Context(), db, what); err != nil {
			t.Fatal(err)
		}
		for _, q := range []string{
			"DELETE FROM tenancy_member_roles WHERE account_id = '3'", "DELETE FROM tenancy_members WHERE account_id = '3'",
			"DELETE FROM tenancy_accounts WHERE account_id = '3'",
		} {
			if _, err := db.ExecContext(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
		wantRows(t, db, "again", nil, func() {
			report, err := a.Adopt(t.Context(), db, what)
			if err != nil {
				t.Fatal(err)
			}
			wantCounts(t, "again", report, adoption.Counts{Same: 7, Different: 1}, adoption.Counts{Same: 8}, adoption.Counts{Same: 7, Different: 1})
		})
	})
}

func TestM18_TwoProcessesAtOnceAdoptOnce(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		newAccounts(t, db)
		wantRows(t, db, "two processes", wholeFixture, func() {
			var total [2]int // new, same
			for _, out := range dbtest.Processes(t, 2, "adopt", dbtest.DSN(db)) {
				var r adoption.Report
				if err := json.Unmarshal([]byte(out), &r); err != nil {
					t.Fatalf("%v in %s", err, out)
				}
				total[0] += r.Accounts.New
				total[1] += r.Accounts.Same
			}
			if total != [2]int{8, 8} {
				t.Errorf("new and same accounts of both: %v", total)
			}
		})
	})
}

func TestM18_HostsTransactionsAtOnceWaitForEachOther(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		a := newAdoption(t, newAccounts(t, db), words)
		wantRows(t, db, "four at once", wholeFixture, func() {
			for _, err := range dbtest.Together(4, func(int) error {
				return db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
					_, err := a.Adopt(ctx, tx, running(true))
					return err
				})
			}) {
				wantErr(t, "in a host's transaction", err, nil)
			}
		})
	})
}

func TestM18_ASignUpInBetweenIsFoundAndNamed(t *testing.T) {
	db := dbtest.Postgres(t, tenancy.Migrate) // SQLite lets nobody else write meanwhile
	accounts := newAccounts(t, db)
	a := newAdoption(t, accounts, words)
	newcomer := "USER5@example.com"
	hooked := db.WithQueryHook(before("INSERT INTO \"tenancy_users\"", func() {
		email := newcomer
		if newcomer = ""; email != "" {
			tenancytest.Register(t, db, accounts, email)
		}
	}))
	var report adoption.Report
	wantRows(t, db, "a sign-up in between", map[string]int{
		"tenancy_accounts": 1, "tenancy_users": 1, "tenancy_members": 1, "tenancy_member_roles": 1,
		"tenancy_events": 1, "tenancy_deliveries": 1, "tenancy_audit": 1,
	}, func() {
		var err error
		report, err = a.Adopt(t.Context(), hooked, running(true))
		wantErr(t, "adopting", err, adoption.ErrRefused)
	})
	if d := cmp.Diff([]string{"user 5 email"}, found(report.Refused)); d != "" {
		t.Errorf("refused (-want +got):\n%s", d)
	}
	// In the host's own transaction it is the host that rolls back.
	newcomer = "user5b@example.com"
	wantRows(t, db, "in the host's transaction", map[string]int{
		"tenancy_accounts": 1, "tenancy_users": 1, "tenancy_members": 1, "tenancy_member_roles": 1,
		"tenancy_events": 1, "tenancy_deliveries": 1, "tenancy_audit": 1,
	}, func() {
		err := hooked.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			what := running(true)
			what.Users[4].Email = "user5b@example.com"
			_, err := a.Adopt(ctx, tx, what)
			return err
		})
		wantErr(t, "in the host's transaction", err, tenancy.ErrAdoptTaken)
	})
}

func TestM18_TenThousandRowsInOneTransaction(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		a := newAdoption(t, newAccounts(t, db), words)
		what := adoption.Adopt{Actor: operator}
		const n = 10_000
		for i := range n {
			id := fmt.Sprint(i)
			what.Users = append(what.Users, adoption.User{Foreign: id, Email: id + "@example.com"})
			what.Accounts = append(what.Accounts, adoption.Account{Foreign: id, Name: "A " + id, Status: "ACTIVE", Plan: "Free", Owner: id})
		}
		all := adoption.Counts{New: n}
		wantRows(t, db, "ten thousand", map[string]int{
			"tenancy_accounts": n, "tenancy_users": n, "tenancy_members": n, "tenancy_member_roles": n, "tenancy_audit": n + 1,
		}, func() {
			report, err := a.Adopt(t.Context(), db, what)
			if err != nil {
				t.Fatal(err)
			}
			wantCounts(t, "ten thousand", report, all, all, all)
		})
		all = adoption.Counts{Same: n}
		report, err := a.Adopt(t.Context(), db, what)
		if err != nil {
			t.Fatal(err)
		}
		wantCounts(t, "again", report, all, all, all)
	})
}

func TestM18_MembersOverThePlansLimitAreKeptAndNobodyIsAdded(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts := newAccounts(t, db)
		what := running(true)
		what.Accounts[0].Plan = "starter" // 2 users
		for _, user := range []string{"2", "3"} {
			what.Members = append(what.Members, adoption.Member{Account: "1", User: user, Roles: []string{"viewer"}}, adoption.Member{Account: "1", User: user, Roles: []string{"editor"}})
		}
		report, err := newAdoption(t, accounts, words).Adopt(t.Context(), db, what)
		if err != nil {
			t.Fatal(err)
		}
		if notes := found(report.Notes); notes[0] != "account 1 plan" {
			t.Errorf("notes %q", notes)
		}
		members, err := accounts.Members(t.Context(), db, "1")
		if err != nil || len(members) != 3 || len(members[1].Roles) != 2 {
			t.Errorf("members %+v, %v", members, err)
		}
		_, err = accounts.AddMember(t.Context(), db, tenancy.AddMember{Account: "1", User: "4", Roles: []tenancy.Role{tenancy.RoleViewer}, Actor: operator})
		wantErr(t, "a fourth member", err, tenancy.ErrLimit)
		_, err = accounts.AccountOf(t.Context(), db, "2", "")
		wantErr(t, "the account of a user with two", err, tenancy.ErrWhichAccount)
	})
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || (want == nil) != (err == nil) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// A backup that is older than the first adoption knows nothing of an erasure since,
// but for its tombstone, which a replay writes.
func TestM18_WhatWasErasedIsNotAdoptedAgain(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		a := newAdoption(t, newAccounts(t, db), words)
		_, err := db.NewRaw("INSERT INTO tenancy_tombstones (account_id, erased_at, persons) VALUES ('3', ?, '[\"3\"]')", t0).Exec(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		what := running(true)
		report, err := a.Adopt(t.Context(), db, what)
		if d := cmp.Diff([]string{"user 3 id"}, found(report.Refused)); d != "" || !errors.Is(err, adoption.ErrRefused) {
			t.Errorf("%s%v", d, err)
		}
		what.Accounts, what.Users, what.Members = slices.Delete(what.Accounts, 2, 3), slices.Delete(what.Users, 2, 3), slices.Delete(what.Members, 2, 3)
		what.Accounts = append(what.Accounts, adoption.Account{ID: "3", Name: "Account 3", Status: "TRIAL", Plan: "Free", Owner: "1"})
		report, err = a.Adopt(t.Context(), db, what)
		if err != nil || report.Accounts.New != 7 || report.Accounts.Different != 1 || report.Users.New != 7 {
			t.Errorf("%+v, %v", report, err)
		}
	})
}
