package tenancy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

var viewer = []tenancy.Role{tenancy.RoleViewer}

func TestAddMember_AddsRolesAuditAndEvent(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		bob := createUser(t, db, accounts, "bob@example.com")
		clock.Advance(time.Hour)
		got, err := accounts.AddMember(t.Context(), db, tenancy.AddMember{
			Account: ada.Account.ID, User: bob, Actor: self(ada), Reason: "new colleague",
			Roles: []tenancy.Role{tenancy.RoleDeveloper, tenancy.RoleAdmin},
		})
		want := tenancy.Member{Account: ada.Account.ID, User: bob, Roles: []tenancy.Role{tenancy.RoleAdmin, tenancy.RoleDeveloper}, CreatedAt: clock.Now()}
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("added (-want +got):\n%s%v", d, err)
		}
		owner := tenancy.Member{Account: ada.Account.ID, User: ada.User.ID, Roles: []tenancy.Role{tenancy.RoleOwner}, CreatedAt: t0}
		members, err := accounts.Members(t.Context(), db, ada.Account.ID)
		if d := cmp.Diff([]tenancy.Member{owner, want}, members); d != "" || err != nil {
			t.Errorf("members (-want +got):\n%s%v", d, err)
		}
		fact := tenancytest.RequireEvent[tenancy.MemberAdded](t, db, ada.Account.ID)
		if d := cmp.Diff(tenancy.MemberAdded{User: bob, Roles: want.Roles}, fact); d != "" {
			t.Errorf("event (-want +got):\n%s", d)
		}
		line := tenancytest.RequireAudit(t, db, ada.Account.ID, "tenancy.add_member")
		if line.Actor != self(ada) || line.Target != string(bob) || line.Reason != "new colleague" || !line.At.Equal(clock.Now()) {
			t.Errorf("audit %+v", line)
		}

		clock.Advance(time.Hour)
		if err := accounts.RemoveMember(t.Context(), db, tenancy.RemoveMember{Account: ada.Account.ID, User: bob, Actor: operator, Reason: "left"}); err != nil {
			t.Fatal(err)
		}
		members, err = accounts.Members(t.Context(), db, ada.Account.ID)
		if d := cmp.Diff([]tenancy.Member{owner}, members); d != "" || err != nil {
			t.Errorf("members after the removal (-want +got):\n%s%v", d, err)
		}
		if f := tenancytest.RequireEvent[tenancy.MemberRemoved](t, db, ada.Account.ID); f.User != bob {
			t.Errorf("event %+v", f)
		}
		line = tenancytest.RequireAudit(t, db, ada.Account.ID, "tenancy.remove_member")
		if line.Actor != operator || line.Target != string(bob) || line.Reason != "left" || !line.At.Equal(clock.Now()) {
			t.Errorf("audit %+v", line)
		}
	})
}

func TestAddMember_Refusals(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		eve := tenancytest.Register(t, db, accounts, "eve@example.com")
		bob := createUser(t, db, accounts, "bob@example.com")
		good := tenancy.AddMember{Account: ada.Account.ID, User: bob, Roles: viewer, Actor: self(ada)}
		for _, c := range []struct {
			what   string
			change func(m *tenancy.AddMember)
			want   error
		}{
			{"no role", func(m *tenancy.AddMember) { m.Roles = nil }, tenancy.ErrInvalid},
			{"unknown role", func(m *tenancy.AddMember) { m.Roles = []tenancy.Role{"root"} }, tenancy.ErrInvalid},
			{"one known, one not", func(m *tenancy.AddMember) { m.Roles = []tenancy.Role{tenancy.RoleViewer, "root"} }, tenancy.ErrInvalid},
			{"a role twice", func(m *tenancy.AddMember) { m.Roles = []tenancy.Role{tenancy.RoleViewer, tenancy.RoleViewer} }, tenancy.ErrInvalid},
			{"a second owner", func(m *tenancy.AddMember) { m.Roles = []tenancy.Role{tenancy.RoleOwner} }, tenancy.ErrInvalid},
			{"owner among others", func(m *tenancy.AddMember) { m.Roles = []tenancy.Role{tenancy.RoleOwner, tenancy.RoleAdmin} }, tenancy.ErrInvalid},
			{"a stranger", func(m *tenancy.AddMember) { m.Actor = person }, tenancy.ErrForbidden},
			{"no actor", func(m *tenancy.AddMember) { m.Actor = tenancy.Actor{} }, tenancy.ErrInvalid},
			{"no account", func(m *tenancy.AddMember) { m.Account = "acc_none" }, tenancy.ErrNoAccount},
			{"no account's id", func(m *tenancy.AddMember) { m.Account = "" }, tenancy.ErrNoAccount},
			{"somebody of another account", func(m *tenancy.AddMember) { m.Actor = self(eve) }, tenancy.ErrForbidden},
			{"a key", func(m *tenancy.AddMember) { m.Actor = key }, tenancy.ErrForbidden},
			{"somebody of a kind nobody knows", func(m *tenancy.AddMember) { m.Actor = tenancy.Actor{Kind: "god", ID: "1"} }, tenancy.ErrForbidden},
			{"no user", func(m *tenancy.AddMember) { m.User = "usr_none" }, tenancy.ErrNoUser},
			{"no user's id", func(m *tenancy.AddMember) { m.User = "" }, tenancy.ErrNoUser},
			{"the owner again", func(m *tenancy.AddMember) { m.User = ada.User.ID }, tenancy.ErrMemberThere},
		} {
			unchanged(t, db, c.what, func() {
				m := good
				c.change(&m)
				got, err := accounts.AddMember(t.Context(), db, m)
				wantErr(t, c.what, err, c.want)
				if d := cmp.Diff(tenancy.Member{}, got); d != "" {
					t.Errorf("%s returns a member", c.what)
				}
			})
		}
	})
}

func TestAddMember_TheLastSeatIsTakenOnce(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		r, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: "ada@example.com", Plan: "starter"}) // 2 users
		if err != nil {
			t.Fatal(err)
		}
		users := make([]tenancy.UserID, 8)
		for i := range users {
			users[i] = createUser(t, db, accounts, fmt.Sprintf("user%d@example.com", i))
		}
		errs := dbtest.Together(len(users), func(i int) error {
			_, err := accounts.AddMember(t.Context(), db, tenancy.AddMember{Account: r.Account.ID, User: users[i], Roles: viewer, Actor: operator})
			return err
		})
		if n := tally(t, errs, tenancy.ErrLimit); n != 1 {
			t.Errorf("%d took the last seat", n)
		}
		members, err := accounts.Members(t.Context(), db, r.Account.ID)
		if len(members) != 2 || err != nil {
			t.Errorf("%d members, %v", len(members), err)
		}
		// One who is in already is told so, full or not.
		_, err = accounts.AddMember(t.Context(), db, tenancy.AddMember{Account: r.Account.ID, User: members[1].User, Roles: viewer, Actor: operator})
		wantErr(t, "a member again", err, tenancy.ErrMemberThere)
		// A seat that is given back can be taken.
		if err := accounts.RemoveMember(t.Context(), db, tenancy.RemoveMember{Account: r.Account.ID, User: members[1].User, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		if _, err := accounts.AddMember(t.Context(), db, tenancy.AddMember{Account: r.Account.ID, User: users[0], Roles: viewer, Actor: operator}); err != nil {
			t.Error(err)
		}
	})
}

func TestAddMember_OneUserAtOnceIsAddedOnce(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		bob := createUser(t, db, accounts, "bob@example.com")
		errs := dbtest.Together(8, func(i int) error {
			_, err := accounts.AddMember(t.Context(), db, tenancy.AddMember{Account: ada.Account.ID, User: bob, Roles: viewer, Actor: self(ada)})
			return err
		})
		if n := tally(t, errs, tenancy.ErrMemberThere); n != 1 {
			t.Errorf("%d of 8 succeeded", n)
		}
		if n := len(tenancytest.Events(t, db, ada.Account.ID)); n != 2 {
			t.Errorf("%d events", n)
		}
	})
}

func TestRemoveMember_Refusals(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	accounts, _ := newAccounts(t, db, tenancy.Config{})
	ada := tenancytest.Register(t, db, accounts, "ada@example.com")
	eve := tenancytest.Register(t, db, accounts, "eve@example.com")
	bob := createUser(t, db, accounts, "bob@example.com")
	if _, err := accounts.AddMember(t.Context(), db, tenancy.AddMember{Account: eve.Account.ID, User: bob, Roles: viewer, Actor: self(eve)}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		m    tenancy.RemoveMember
		want error
	}{
		{"the owner", tenancy.RemoveMember{Account: ada.Account.ID, User: ada.User.ID, Actor: operator}, tenancy.ErrLastOwner},
		{"another account's owner", tenancy.RemoveMember{Account: ada.Account.ID, User: eve.User.ID, Actor: self(ada)}, tenancy.ErrNoUser},
		{"another account's member", tenancy.RemoveMember{Account: ada.Account.ID, User: bob, Actor: self(ada)}, tenancy.ErrNoUser},
		{"nobody", tenancy.RemoveMember{Account: ada.Account.ID, User: "", Actor: self(ada)}, tenancy.ErrNoUser},
		{"the owner, by itself", tenancy.RemoveMember{Account: ada.Account.ID, User: ada.User.ID, Actor: self(ada)}, tenancy.ErrLastOwner},
		{"no text, by an operator", tenancy.RemoveMember{Account: ada.Account.ID, User: "\xff", Actor: operator}, tenancy.ErrInvalid},
		{"by a stranger", tenancy.RemoveMember{Account: eve.Account.ID, User: bob, Actor: self(ada)}, tenancy.ErrForbidden},
		{"a stranger by a stranger", tenancy.RemoveMember{Account: eve.Account.ID, User: ada.User.ID, Actor: person}, tenancy.ErrForbidden},
		{"a stranger by itself", tenancy.RemoveMember{Account: eve.Account.ID, User: ada.User.ID, Actor: self(ada)}, tenancy.ErrNoUser},
		{"by a key", tenancy.RemoveMember{Account: eve.Account.ID, User: bob, Actor: key}, tenancy.ErrForbidden},
		{"no account", tenancy.RemoveMember{Account: "acc_none", User: bob, Actor: self(ada)}, tenancy.ErrNoAccount},
		{"no actor", tenancy.RemoveMember{Account: eve.Account.ID, User: bob}, tenancy.ErrInvalid},
	} {
		unchanged(t, db, c.what, func() { wantErr(t, c.what, accounts.RemoveMember(t.Context(), db, c.m), c.want) })
	}
}

func TestAccountOf(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		eve := tenancytest.Register(t, db, accounts, "eve@example.com")
		sol := tenancytest.Register(t, db, accounts, "sol@example.com")
		none := createUser(t, db, accounts, "none@example.com")
		// Eve belongs to Ada's account too.
		if _, err := accounts.AddMember(t.Context(), db, tenancy.AddMember{Account: ada.Account.ID, User: eve.User.ID, Roles: viewer, Actor: self(ada)}); err != nil {
			t.Fatal(err)
		}
		a, e, s := ada.Account.ID, eve.Account.ID, sol.Account.ID
		for _, c := range []struct {
			what   string
			user   tenancy.UserID
			wanted tenancy.AccountID
			got    tenancy.AccountID
			err    error
		}{
			{"her only one", ada.User.ID, "", a, nil},
			{"her only one, named", ada.User.ID, a, a, nil},
			{"somebody else's", ada.User.ID, s, "", tenancy.ErrNoAccount},
			{"one of two", eve.User.ID, "", "", tenancy.ErrWhichAccount},
			{"the first of two", eve.User.ID, a, a, nil},
			{"the second of two", eve.User.ID, e, e, nil},
			{"a third", eve.User.ID, s, "", tenancy.ErrNoAccount},
			{"of one who has none", none, "", "", tenancy.ErrNoAccount},
			{"of one who has none, named", none, a, "", tenancy.ErrNoAccount},
			{"of nobody", "", "", "", tenancy.ErrNoAccount},
			{"of nobody, named", "", a, "", tenancy.ErrNoAccount},
			{"one that is not there", eve.User.ID, "acc_none", "", tenancy.ErrNoAccount},
			{"one with a NUL", eve.User.ID, a + "\x00", "", tenancy.ErrNoAccount},
			{"of a user with a NUL", ada.User.ID + "\x00", "", "", tenancy.ErrNoAccount},
		} {
			got, err := accounts.AccountOf(t.Context(), db, c.user, c.wanted)
			wantErr(t, c.what, err, c.err)
			if got != c.got {
				t.Errorf("%s: %q, want %q", c.what, got, c.got)
			}
		}
	})
}

// PostgreSQL ends a transaction over a byte that it does not take.
func TestOddIDs_LeaveTheHostsTransactionUsable(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		for _, odd := range []tenancy.AccountID{"acc_1\x00", "\xff", "a b", "ü"} {
			what := fmt.Sprintf("%q", odd)
			if members, err := accounts.Members(t.Context(), tx, odd); len(members) != 0 || err != nil {
				t.Errorf("%s has members %v, %v", what, members, err)
			}
			if lines, err := accounts.Audits(t.Context(), tx, tenancy.AuditLog{Account: odd}); len(lines) != 0 || err != nil {
				t.Errorf("%s has a log %v, %v", what, lines, err)
			}
			line := tenancy.Audit{Account: odd, At: t0, Actor: person, Action: "host.note"}
			wantErr(t, what, tenancy.Record(t.Context(), tx, line), tenancy.ErrInvalid)
			wantErr(t, what, tenancy.Publish(t.Context(), tx, odd, t0, note{"never"}), tenancy.ErrInvalid)
			wantErr(t, what, tenancy.Note(t.Context(), tx, line, note{"never"}), tenancy.ErrInvalid)
			_, err := accounts.Resume(t.Context(), tx, tenancy.Resume{Account: odd, Actor: person})
			wantErr(t, what, err, tenancy.ErrNoAccount)
		}
		wantErr(t, "the installation has no outbox", tenancy.Publish(t.Context(), tx, "", t0, note{"never"}), tenancy.ErrInvalid)
		if _, err := accounts.Plan(t.Context(), tx, "starter"); err != nil {
			t.Errorf("the transaction is spoilt: %v", err)
		}
	})
}
