package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestM3_Register_TwentyAtOnceMakeOneAccount(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		before := rows(t, db)
		errs := dbtest.Together(20, func(i int) error {
			_, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: []string{"ada@example.com", "ADA@example.com"}[i%2]})
			return err
		})
		if n := tally(t, errs, tenancy.ErrEmailTaken); n != 1 {
			t.Errorf("%d of 20 succeeded", n)
		}
		after := rows(t, db)
		for _, table := range []string{"tenancy_accounts", "tenancy_users", "tenancy_members", "tenancy_member_roles", "tenancy_events", "tenancy_audit"} {
			if n := after[table] - before[table]; n != 1 {
				t.Errorf("%s has %d rows more", table, n)
			}
		}
	})
}

func TestM3_Register_TwoProcessesMakeOneAccount(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		newAccounts(t, db, tenancy.Config{})
		before := rows(t, db)["tenancy_accounts"]
		outs := dbtest.Processes(t, 2, "register", dbtest.DSN(db), "ada@example.com")
		if made := strings.Join(outs, ""); made != "10" && made != "01" {
			t.Errorf("the processes made %q", outs)
		}
		if n := rows(t, db)["tenancy_accounts"] - before; n != 1 {
			t.Errorf("%d accounts", n)
		}
	})
}

func TestM3_Register_HooksRunInOrderInItsTransaction(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		var order []string
		hook := func(name string) func(context.Context, bun.IDB, tenancy.Registered) error {
			return func(ctx context.Context, db bun.IDB, r tenancy.Registered) error {
				order = append(order, name)
				// What was registered is there, and only in here.
				account, err := tenancy.New(tenancy.Config{}).Get(ctx, db, r.Account.ID)
				if d := cmp.Diff(r.Account, account); d != "" {
					t.Errorf("%s sees (-want +got):\n%s", name, d)
				}
				return err
			}
		}
		accounts, _ := newAccounts(t, db, tenancy.Config{
			BeforeRegister: func(_ context.Context, r tenancy.Register) error {
				order = append(order, "before "+r.Email+" "+r.Zone)
				return nil
			},
			OnRegister: []func(context.Context, bun.IDB, tenancy.Registered) error{hook("one"), hook("two")},
		})
		if _, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: " ada@example.com", Then: hook("then")}); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"before ada@example.com UTC", "one", "two", "then"}, order); d != "" {
			t.Errorf("order (-want +got):\n%s", d)
		}
	})
}

func TestM3_Register_AFailingHookUndoesAll(t *testing.T) {
	boom := errors.New("boom")
	fail := func(ctx context.Context, db bun.IDB, r tenancy.Registered) error {
		if err := tenancy.Record(ctx, db, tenancy.Audit{Account: r.Account.ID, At: t0, Actor: person, Action: "host.note"}); err != nil {
			return err
		}
		return boom
	}
	each(t, func(t *testing.T, db *bun.DB) {
		hooked, _ := newAccounts(t, db, tenancy.Config{OnRegister: []func(context.Context, bun.IDB, tenancy.Registered) error{fail}})
		plain, _ := newAccounts(t, db, tenancy.Config{})
		unchanged(t, db, "a registration whose hook failed", func() {
			_, err := hooked.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
			wantErr(t, "OnRegister", err, boom)
			_, err = plain.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: "ada@example.com", Then: fail})
			wantErr(t, "Then", err, boom)
			func() {
				defer func() { _ = recover() }()
				_, _ = plain.Register(t.Context(), db, tenancy.Register{
					Name: "Ada", Email: "ada@example.com",
					Then: func(context.Context, bun.IDB, tenancy.Registered) error { panic("boom") },
				})
			}()
		})
		tenancytest.Register(t, db, plain, "ada@example.com") // the address is free
	})
}

func TestM3_Register_InTheHostsTransactionGoesWithIt(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		boom := errors.New("boom")
		var undone tenancy.Registered
		unchanged(t, db, "a host's transaction that was rolled back", func() {
			err := db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) (err error) {
				if undone, err = accounts.Register(ctx, tx, tenancy.Register{Name: "Ada", Email: "ada@example.com"}); err != nil {
					return err
				}
				if _, err := accounts.Get(ctx, tx, undone.Account.ID); err != nil {
					t.Error(err)
				}
				return boom
			})
			wantErr(t, "rolled back", err, boom)
		})
		_, err := accounts.Get(t.Context(), db, undone.Account.ID)
		wantErr(t, "after the rollback", err, tenancy.ErrNoAccount)
	})
}

// On PostgreSQL a failed statement would end the host's transaction: a refusal
// must not come from one.
func TestM3_Register_ARefusalLeavesTheHostsTransactionUsable(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		unchanged(t, tx, "refusals", func() {
			_, err = accounts.Register(t.Context(), tx, tenancy.Register{Name: "Ada", Email: "ADA@example.com"})
			wantErr(t, "taken", err, tenancy.ErrEmailTaken)
			_, err = accounts.Register(t.Context(), tx, tenancy.Register{Name: "Ada", Email: "bob@example.com", Plan: "gold"})
			wantErr(t, "no plan", err, tenancy.ErrNoPlan)
			_, err = accounts.Get(t.Context(), tx, "acc_\x00")
			wantErr(t, "NUL", err, tenancy.ErrNoAccount)
			_, err = accounts.User(t.Context(), tx, "usr_\xff")
			wantErr(t, "no encoding", err, tenancy.ErrNoUser)
			_, err = accounts.AddMember(t.Context(), tx, tenancy.AddMember{Account: ada.Account.ID, User: ada.User.ID, Roles: []tenancy.Role{tenancy.RoleAdmin}, Actor: self(ada)})
			wantErr(t, "member twice", err, tenancy.ErrMemberThere)
			_, err = accounts.Change(t.Context(), tx, tenancy.Change{Account: ada.Account.ID, Plan: "gold", Status: tenancy.StatusActive, Actor: operator})
			wantErr(t, "change to no plan", err, tenancy.ErrNoPlan)
			_, err = accounts.Change(t.Context(), tx, tenancy.Change{Account: ada.Account.ID, Status: tenancy.StatusActive})
			wantErr(t, "change without actor", err, tenancy.ErrInvalid)
			_, err = accounts.Suspend(t.Context(), tx, tenancy.Suspend{Account: ada.Account.ID, Actor: operator, Reason: strings.Repeat("a", 1001)})
			wantErr(t, "too much reason", err, tenancy.ErrInvalid)
			err = accounts.RemoveMember(t.Context(), tx, tenancy.RemoveMember{Account: ada.Account.ID, User: "usr_1"})
			wantErr(t, "removal without actor", err, tenancy.ErrInvalid)
		})
		bob, err := accounts.Register(t.Context(), tx, tenancy.Register{Name: "Bob", Email: "bob@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if _, err := accounts.Get(t.Context(), db, bob.Account.ID); err != nil {
			t.Error(err)
		}
		// A refused change that the host committed all the same has changed nothing.
		if a, err := accounts.Get(t.Context(), db, ada.Account.ID); err != nil || a.Status != tenancy.StatusTrial {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

func TestM3_Register_InATransactionOfAnotherTool(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		for _, commit := range []bool{false, true} {
			tx, err := db.DB.BeginTx(t.Context(), nil) // database/sql's own
			if err != nil {
				t.Fatal(err)
			}
			r, err := accounts.Register(t.Context(), tenancy.WrapTx(db, tx), tenancy.Register{Name: "Ada", Email: "ada@example.com"})
			if err != nil {
				t.Fatal(err)
			}
			_, err = accounts.Register(t.Context(), tenancy.WrapTx(db, tx), tenancy.Register{Name: "Ada", Email: "ada@example.com"})
			wantErr(t, "again", err, tenancy.ErrEmailTaken)
			if commit {
				err = tx.Commit()
			} else {
				err = tx.Rollback()
			}
			if err != nil {
				t.Fatal(err)
			}
			want := tenancy.ErrNoAccount
			if commit {
				want = nil
			}
			_, err = accounts.Get(t.Context(), db, r.Account.ID)
			wantErr(t, fmt.Sprintf("committed %t", commit), err, want)
		}
	})
}

func TestM3_Register_DoesNotWaitForAConnectionOfItsOwn(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	db := dbtest.SQLiteOneConn(t, tenancy.Migrate)
	accounts, _ := newAccounts(t, db, tenancy.Config{
		BeforeRegister: func(ctx context.Context, r tenancy.Register) error {
			_, err := tenancy.New(tenancy.Config{}).UserByEmail(ctx, db, r.Email)
			if errors.Is(err, tenancy.ErrNoUser) {
				return nil
			}
			return err
		},
		OnRegister: []func(context.Context, bun.IDB, tenancy.Registered) error{
			func(ctx context.Context, db bun.IDB, r tenancy.Registered) error {
				return tenancy.Publish(ctx, db, r.Account.ID, t0, note{"seeded"})
			},
		},
		Deliver: func(ctx context.Context, e tenancy.Event) error {
			_, err := tenancy.New(tenancy.Config{}).Get(ctx, db, e.Account)
			return err
		},
	})
	errs := dbtest.Together(5, func(i int) error {
		r, err := accounts.Register(ctx, db, tenancy.Register{Name: "Ada", Email: fmt.Sprintf("ada%d@example.com", i)})
		if err != nil {
			return err
		}
		_, err = accounts.Suspend(ctx, db, tenancy.Suspend{Account: r.Account.ID, Actor: operator})
		return err
	})
	if n := tally(t, errs, nil); n != 5 {
		t.Errorf("%d of 5 succeeded", n)
	}
	if n, err := accounts.DeliverDue(ctx, db); n != 15 || err != nil {
		t.Errorf("delivered %d, %v", n, err)
	}
}

// conflict is what a database answers that undid a transaction: run it again.
type conflict struct{}

func (conflict) Error() string    { return "could not serialize access" }
func (conflict) SQLState() string { return "40001" }

func TestM3_Register_RunAgainAfterAConflictMakesOneAccount(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		runs := 0
		accounts, _ := newAccounts(t, db, tenancy.Config{
			OnRegister: []func(context.Context, bun.IDB, tenancy.Registered) error{
				func(context.Context, bun.IDB, tenancy.Registered) error {
					if runs++; runs < 3 {
						return conflict{}
					}
					return nil
				},
			},
		})
		r, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
		if err != nil || runs != 3 {
			t.Fatalf("after %d runs: %v", runs, err)
		}
		if a, err := accounts.Get(t.Context(), db, r.Account.ID); err != nil || a.Owner != r.User.ID {
			t.Errorf("%+v, %v", a, err)
		}
		if n := rows(t, db)["tenancy_accounts"]; n != 1 {
			t.Errorf("%d accounts", n)
		}
	})
}
