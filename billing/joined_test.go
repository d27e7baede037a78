package billing_test

import (
	"context"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/problem"
)

func TestM8_Confirm_InAHostsTransaction(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		var ref string
		unchanged(t, w.db, "a transaction that is rolled back", func() {
			tx, err := w.db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			tr, err := w.billing.RequestTransfer(t.Context(), tx, billing.RequestTransfer{Account: id, Plan: "starter", Actor: customer})
			wantErr(t, "asking", err, nil)
			ref = tr.Reference
			tr, err = w.billing.ConfirmTransfer(t.Context(), tx, confirmation(ref))
			if err != nil || tr.Status != billing.StatusConfirmed || tr.Entry != 2 {
				t.Errorf("inside: %+v, %v", tr, err)
			}
			again, err := w.billing.ConfirmTransfer(t.Context(), tx, confirmation(ref))
			same(t, "again inside", tr, again)
			wantErr(t, "again inside", err, nil)
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
		})
		_, err := w.billing.ConfirmTransfer(t.Context(), w.db, confirmation(ref))
		wantErr(t, "after the rollback", err, billing.ErrNoTransfer)

		ref = w.request(t, id, "starter").Reference
		if err := w.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			_, err := w.billing.ConfirmTransfer(ctx, tx, confirmation(ref))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		w.spendable(t, id, 3000)
	})
}

func TestM8_Confirm_OnOneConnection(t *testing.T) {
	w := newWorld(t, dbtest.SQLiteOneConn(t, billing.Migrate), billing.Config{})
	id := w.account(t)
	w.pay(t, id, "starter")
	w.clock.Set(end1)
	w.lapse(t, 1)
	if _, err := w.billing.Cancel(t.Context(), w.db, billing.Cancel{Account: id, Actor: operator}); err != nil {
		t.Fatal(err)
	}
	w.spendable(t, id, 3000)
}

func TestM8_Confirm_KilledBeforeCommitLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		tr := w.request(t, id, "starter")
		unchanged(t, w.db, "a process that was killed", func() {
			p := dbtest.Spawn(t, "confirm and hang", dbtest.DSN(w.db), tr.Reference)
			p.Go()
			if line := p.Line(); line != "confirmed" {
				t.Fatal(line)
			}
			p.Kill()
		})
		got := w.confirm(t, tr.Reference)
		same(t, "again", got, w.confirm(t, tr.Reference))
		if n := w.grants(t, tr); n != 1 {
			t.Errorf("granted %d times", n)
		}
		w.spendable(t, id, 3000)
	})
}

// retiring takes the plan growth off the catalogue when a statement begins that holds
// the text, on a connection of its own.
type retiring struct {
	at string
	on *bun.DB
}

func (r *retiring) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if strings.Contains(e.Query, r.at) {
		if _, err := r.on.ExecContext(ctx, "UPDATE tenancy_plans SET active = FALSE WHERE slug = 'growth'"); err != nil {
			panic(err)
		}
	}
	return ctx
}

func (*retiring) AfterQuery(context.Context, *bun.QueryEvent) {}

// A plan that is retired while a transfer is being confirmed: nothing says that the
// half that is written may be committed.
func TestM8_Confirm_APlanRetiredMeanwhileIsNoRefusalToCommit(t *testing.T) {
	w := newWorld(t, dbtest.Postgres(t, billing.Migrate), billing.Config{})
	ref := w.request(t, w.account(t), "growth").Reference
	on, err := dbtest.Open(dbtest.DSN(w.db))
	if err != nil {
		t.Fatal(err)
	}
	defer dbtest.Close(on)
	hooked := w.db.WithQueryHook(&retiring{at: `INTO "billing_subscriptions"`, on: on})
	before := content(t, w.db, "billing_subscriptions", "billing_transfers", "credits_entries", "tenancy_accounts")
	_, err = w.billing.ConfirmTransfer(t.Context(), hooked, confirmation(ref))
	if _, code, _ := problem.Of(err); err == nil || code != "unavailable" {
		t.Errorf("got %v", err)
	}
	same(t, "what is left", before, content(t, w.db, "billing_subscriptions", "billing_transfers", "credits_entries", "tenancy_accounts"))
	_, err = w.billing.ConfirmTransfer(t.Context(), w.db, confirmation(ref))
	wantErr(t, "again", err, billing.ErrPlanGone)
}
