package adoption_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/adoption"
)

func TestM18_AnAccountWithoutOwnerIsNamedAndNothingIsWritten(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts := newAccounts(t, db)
		a := newAdoption(t, accounts, words)
		what := running(false)
		wantRows(t, db, "ownerless", nil, func() {
			report, err := a.Adopt(t.Context(), db, what)
			wantErr(t, "ownerless", err, adoption.ErrRefused)
			wantCounts(t, "ownerless", report, adoption.Counts{New: 7, Refused: 1}, adoption.Counts{New: 8}, adoption.Counts{New: 7})
			if d := cmp.Diff([]string{"account 8 owner"}, found(report.Refused)); d != "" {
				t.Fatalf("refused (-want +got):\n%s", d)
			}
			if f := report.Refused[0]; f.Row != 7 || !strings.Contains(f.String(), "name the user") {
				t.Errorf("%d %s", f.Row, f)
			}
			// The developer, who belongs to no account, and the role that is in none.
			notes := found(report.Notes)
			if d := cmp.Diff([]string{"user 8 account", "member /8 account"}, []string{notes[0], notes[len(notes)-1]}); d != "" {
				t.Errorf("notes (-want +got):\n%s", d)
			}
		})
		what.Accounts = what.Accounts[:7]
		if _, err := a.Adopt(t.Context(), db, what); err != nil {
			t.Fatal(err)
		}
		_, err := accounts.AccountOf(t.Context(), db, "8", "")
		wantErr(t, "the developer's account", err, tenancy.ErrNoAccount)
	})
}

// spoilt is the fixture with everything wrong that can be.
func spoilt() adoption.Adopt {
	what := running(true)
	what.Accounts[0].Status = "FROZEN"
	what.Accounts[0].Zone = "Mars/Olympus"
	what.Accounts[1].Plan = "Gold"
	what.Accounts[2].Owner = "77"
	what.Accounts[3].Name = " "
	what.Accounts[4].Status = "closed"
	what.Accounts[5].SuspendedFrom = "ACTIVE"
	what.Accounts[6].CreatedAt = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	what.Users[1].Email = "USER1@EXAMPLE.COM"
	what.Users[2].Email = ""
	what.Users[3].Email = "nobody"
	what.Users[4].Name = "\x00"
	what.Users[5].ID, what.Users[5].Foreign = "not an id", "6"
	what.Members[6].Roles = []string{"BOSS"}
	what.Accounts = append(what.Accounts, adoption.Account{ID: "8", Foreign: "8b", Name: "Twin", Status: "active", Plan: "starter", Owner: "8"},
		adoption.Account{ID: "8"}, adoption.Account{})
	what.Users = append(what.Users, adoption.User{ID: "8", Foreign: "8b", Email: "twin@example.com"}, adoption.User{ID: "8"}, adoption.User{Foreign: "a\nb"})
	what.Members = append(what.Members,
		adoption.Member{Account: "1", User: "8", Roles: []string{"OWNER"}},
		adoption.Member{Account: "1", User: "7"},
		adoption.Member{Account: "78", User: "79", Roles: []string{"viewer"}},
	)
	return what
}

func TestM18_EveryProblemIsNamedAndNotOnlyTheFirst(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		a := newAdoption(t, newAccounts(t, db), words)
		want := []string{
			"user 2 email", "user 3 email", "user 4 email", "user 5 name", "user 6 id", "user 8b id", "user 8 foreign", `user "a\nb" foreign`,
			"account 1 zone", "account 1 status", "account 2 plan", "account 3 owner", "account 4 name", "account 5 status",
			"account 6 suspended_from", "account 7 created_at", "account 8b id", "account 8 foreign", "account  foreign",
			"member 7/7 roles", "member 1/8 roles", "member 1/7 roles", "member 78/79 account", "member 78/79 user",
		}
		for _, dry := range []bool{true, false} {
			what := spoilt()
			what.DryRun = dry
			wantRows(t, db, "spoilt", nil, func() {
				report, err := a.Adopt(t.Context(), db, what)
				if dry {
					wantErr(t, "dry run", err, nil)
				} else {
					wantErr(t, "real run", err, adoption.ErrRefused)
				}
				if d := cmp.Diff(want, found(report.Refused)); d != "" {
					t.Errorf("refused (-want +got):\n%s", d)
				}
				wantCounts(t, "spoilt", report, adoption.Counts{New: 1, Refused: 10}, adoption.Counts{New: 3, Refused: 8}, adoption.Counts{New: 1, Refused: 11})
				for _, f := range append(report.Refused, report.Notes...) {
					if strings.Contains(strings.ToLower(f.String()), "example.com") {
						t.Errorf("personal data in the report: %s", f)
					}
				}
			})
		}
	})
}

func TestM18_ARefusalLeavesTheHostsTransactionUsable(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		a := newAdoption(t, newAccounts(t, db), words)
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		_, err = a.Adopt(t.Context(), tx, spoilt())
		wantErr(t, "spoilt", err, adoption.ErrRefused)
		_, err = a.Adopt(t.Context(), tx, adoption.Adopt{})
		wantErr(t, "unsigned", err, tenancy.ErrInvalid)
		if _, err := a.Adopt(t.Context(), tx, running(true)); err != nil {
			t.Fatal(err)
		}
		wantRows(t, tx, "again in the same transaction", nil, func() {
			if r, err := a.Adopt(t.Context(), tx, running(true)); err != nil || r.Accounts.Same != 8 {
				t.Errorf("%+v, %v", r.Accounts, err)
			}
		})
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestM18_AnAddressOfTheNewSystemIsNotTakenOver(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts := newAccounts(t, db)
		a := newAdoption(t, accounts, words)
		// Typed with a combining accent there, and with one letter here.
		jose, err := accounts.CreateUser(t.Context(), db, tenancy.CreateUser{Email: "jose\u0301@example.com", Name: "José"})
		if err != nil {
			t.Fatal(err)
		}
		what := running(true)
		what.Users[0].Email = "JOS\u00c9@example.com"
		report, err := a.Adopt(t.Context(), db, what)
		wantErr(t, "an address in use", err, adoption.ErrRefused)
		if d := cmp.Diff([]string{"user 1 email"}, found(report.Refused)); d != "" || !strings.Contains(report.Refused[0].Text, string(jose.ID)) {
			t.Errorf("refused (-want +got):\n%s", d)
		}
		// Both are one person: the row says so, and is left as it is.
		what.Users[0].ID, what.Users[0].Foreign = jose.ID, "1"
		report, err = a.Adopt(t.Context(), db, what)
		if err != nil {
			t.Fatal(err)
		}
		wantCounts(t, "one person", report, adoption.Counts{New: 8}, adoption.Counts{New: 7, Different: 1}, adoption.Counts{New: 8})
		if acc, err := accounts.Get(t.Context(), db, "1"); acc.Owner != jose.ID || err != nil {
			t.Errorf("owner %s, %v", acc.Owner, err)
		}
	})
}

func TestM18_RowsWithoutIDsGetTheSameOnesInEveryRun(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	accounts := newAccounts(t, db)
	what := adoption.Adopt{
		Actor:    operator,
		Accounts: []adoption.Account{{Foreign: "Customer No. 7", Name: "Seven", Status: "trial", Plan: "starter"}},
		Users:    []adoption.User{{Foreign: "7", Email: "seven@example.com"}},
		Members:  []adoption.Member{{Account: "Customer No. 7", User: "7", Roles: []string{"owner"}}},
	}
	ids := map[tenancy.AccountID]bool{}
	for _, source := range []string{"", "", "other"} {
		if source != "" {
			what.Users[0].Email = "other@example.com"
		}
		report, err := newAdoption(t, accounts, adoption.Config{Source: source}).Adopt(t.Context(), db, what)
		if err != nil {
			t.Fatal(err)
		}
		id, user := report.AccountIDs["Customer No. 7"], report.UserIDs["7"]
		if acc, err := accounts.Get(t.Context(), db, id); err != nil || acc.Owner != user || !strings.HasPrefix(string(id), "acc_") || !strings.HasPrefix(string(user), "usr_") {
			t.Errorf("account %s of %s, %+v, %v", id, user, acc, err)
		}
		if u, err := accounts.User(t.Context(), db, user); err != nil || u.Name != u.Email {
			t.Errorf("user %+v, %v", u, err)
		}
		ids[id] = true
	}
	if len(ids) != 2 {
		t.Errorf("two systems and three runs made %d accounts", len(ids))
	}
}

func TestM18_WhatSuspendedAccountsAndTrialsWere(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts := newAccounts(t, db)
		end := t0.AddDate(0, 1, 0).Add(time.Nanosecond)
		own := t0.AddDate(0, 0, 3)
		a := newAdoption(t, accounts, adoption.Config{TrialsEndAt: end})
		row := func(id, status, from string) adoption.Account {
			return adoption.Account{ID: tenancy.AccountID(id), Name: id, Status: status, SuspendedFrom: from, Plan: "starter", Owner: "1"}
		}
		what := adoption.Adopt{
			Actor: operator,
			Users: []adoption.User{{ID: "1", Email: "one@example.com"}},
			Accounts: []adoption.Account{
				row("knows", "suspended", "trial"), row("forgot", "suspended", ""), row("trial", "trial", ""), row("ends", "trial", ""), row("paid", "active", ""), row("late", "past_due", ""),
			},
		}
		what.Accounts[3].TrialEndsAt, what.Accounts[4].PaidUntil, what.Accounts[5].GraceEndsAt = own, t0, t0.Add(time.Hour)
		report, err := a.Adopt(t.Context(), db, what)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"account knows trial_ends_at", "account forgot suspended_from", "account trial trial_ends_at"}, found(report.Notes)); d != "" {
			t.Errorf("notes (-want +got):\n%s", d)
		}
		for id, want := range map[tenancy.AccountID]error{"trial": nil, "ends": nil, "paid": tenancy.ErrPastDue, "late": nil, "knows": tenancy.ErrSuspended} {
			_, err := accounts.Enter(t.Context(), db, id, operator, tenancy.Use)
			wantErr(t, "entering "+string(id), err, want)
		}
		acc, err := accounts.Resume(t.Context(), db, tenancy.Resume{Account: "knows", Actor: operator})
		if err != nil || acc.Status != tenancy.StatusTrial || !acc.TrialEndsAt.Equal(end.Truncate(time.Microsecond)) {
			t.Errorf("resumed: %+v, %v", acc, err)
		}
		_, err = accounts.Resume(t.Context(), db, tenancy.Resume{Account: "forgot", Actor: operator})
		wantErr(t, "resuming what nothing is known of", err, tenancy.ErrTransition)
		if acc, err := accounts.Get(t.Context(), db, "ends"); err != nil || !acc.TrialEndsAt.Equal(own) {
			t.Errorf("a recorded end: %+v, %v", acc, err)
		}
	})
}

func TestM18_TheOwnerIsFoundAmongTheMembersOrAskedFor(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	a := newAdoption(t, newAccounts(t, db), words)
	what := running(true)
	what.DryRun = true
	what.Accounts[0].Owner = ""
	report, err := a.Adopt(t.Context(), db, what)
	if err != nil || len(report.Refused) != 0 {
		t.Errorf("the one member who owns it: %v, %v", report.Refused, err)
	}
	what.Members = append(what.Members, adoption.Member{Account: "1", User: "2", Roles: []string{"OWNER"}})
	report, err = a.Adopt(t.Context(), db, what)
	if d := cmp.Diff([]string{"account 1 owner"}, found(report.Refused)); d != "" || err != nil {
		t.Errorf("two owners (-want +got):\n%s%v", d, err)
	}
}

func TestNew_RefusesWordsThatMeanNothing(t *testing.T) {
	accounts := tenancy.New(tenancy.Config{})
	for what, cfg := range map[string]adoption.Config{
		"status":        {Statuses: map[string]tenancy.Status{"x": "frozen"}},
		"closed status": {Statuses: map[string]tenancy.Status{"x": tenancy.StatusClosed}},
		"role":          {Roles: map[string][]tenancy.Role{"x": {"boss"}}},
		"end":           {TrialsEndAt: time.Date(12_000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if _, err := adoption.New(accounts, cfg); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

func TestM18_TheHostsOwnRolesAreAdopted(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	newAccounts(t, db)
	accounts := tenancy.New(tenancy.Config{Roles: map[tenancy.Role][]tenancy.Permission{"bookkeeper": {tenancy.PermBillingRead}}})
	a := newAdoption(t, accounts, adoption.Config{Statuses: words.Statuses, Plans: words.Plans, Roles: map[string][]tenancy.Role{
		"OWNER": {tenancy.RoleOwner}, "DEVELOPER": {"bookkeeper", tenancy.RoleDeveloper},
	}})
	if _, err := a.Adopt(t.Context(), db, running(true)); err != nil {
		t.Fatal(err)
	}
	members, err := accounts.Members(t.Context(), db, "8")
	if d := cmp.Diff([]tenancy.Role{tenancy.RoleOwner, tenancy.RoleDeveloper, "bookkeeper"}, members[0].Roles); d != "" || err != nil {
		t.Errorf("roles (-want +got):\n%s%v", d, err)
	}
}
