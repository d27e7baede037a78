package tenancy_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// Every step of an account's life, and nothing else, is shown to the hooks, with what
// was written and in its transaction.
func TestM2_OnChange_SeesEveryChangeInItsTransaction(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		var seen []string
		accounts, _ := newAccounts(t, db, tenancy.Config{
			OnRegister: []tenancy.Hook{func(context.Context, bun.IDB, tenancy.Registered) error {
				seen = append(seen, "registered")
				return nil
			}},
			OnChange: []tenancy.ChangeHook{func(ctx context.Context, db bun.IDB, c tenancy.Changed) error {
				stored, err := tenancy.New(tenancy.Config{}).Get(ctx, db, c.To.ID)
				if d := cmp.Diff(c.To, stored); d != "" {
					t.Errorf("stored (-want +got):\n%s", d)
				}
				seen = append(seen, string(c.From.Status)+">"+string(c.To.Status)+" "+c.From.Plan+">"+c.Plan.Slug)
				return err
			}},
		})
		id := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		op := tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}
		for range 2 { // the second time nothing changes
			to := tenancy.Change{Account: id, Plan: "starter", Status: tenancy.StatusActive, Actor: op}
			wantErr(t, "changing", second(accounts.Change(t.Context(), db, to)), nil)
		}
		wantErr(t, "suspending", second(accounts.Suspend(t.Context(), db, tenancy.Suspend{Account: id, Actor: op})), nil)
		wantErr(t, "resuming", second(accounts.Resume(t.Context(), db, tenancy.Resume{Account: id, Actor: op})), nil)
		if _, err := db.Exec("DELETE FROM tenancy_plans WHERE slug = 'starter'"); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "closing", second(accounts.Close(t.Context(), db, tenancy.Close{Account: id, Actor: op})), nil)
		wantErr(t, "restoring", second(accounts.Restore(t.Context(), db, tenancy.Restore{Account: id, Actor: op})), nil)
		wantErr(t, "closing", second(accounts.Close(t.Context(), db, tenancy.Close{Account: id, Actor: op})), nil)
		wantErr(t, "erasing", second(accounts.MarkErased(t.Context(), db, tenancy.MarkErased{Account: id, Actor: op})), nil)
		want := []string{
			"registered", ">trial >free-trial", "trial>active free-trial>starter", "active>suspended starter>starter", "suspended>active starter>starter",
			"active>closed starter>", "closed>active starter>", "active>closed starter>", "closed>erased starter>",
		}
		if d := cmp.Diff(want, seen); d != "" {
			t.Errorf("seen (-want +got):\n%s", d)
		}
	})
}

func second(_ tenancy.Account, err error) error { return err }

func TestM2_OnChange_AFailingHookUndoesTheChange(t *testing.T) {
	boom := errors.New("boom")
	each(t, func(t *testing.T, db *bun.DB) {
		plain, _ := newAccounts(t, db, tenancy.Config{})
		id := tenancytest.Register(t, db, plain, "ada@example.com").Account.ID
		hooked, _ := newAccounts(t, db, tenancy.Config{OnChange: []tenancy.ChangeHook{
			func(context.Context, bun.IDB, tenancy.Changed) error { return boom },
		}})
		unchanged(t, db, "a change whose hook failed", func() {
			_, err := hooked.Suspend(t.Context(), db, tenancy.Suspend{Account: id, Actor: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}})
			wantErr(t, "suspending", err, boom)
			_, err = hooked.Register(t.Context(), db, tenancy.Register{Name: "Bob", Email: "bob@example.com"})
			wantErr(t, "registering", err, boom)
		})
	})
}
