package billing_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

func TestM8_Confirm_FiftyAtOnceGrantOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		tr := w.request(t, id, "starter")
		got := make([]billing.Transfer, 50)
		for _, err := range dbtest.Together(len(got), func(i int) (err error) {
			c := confirmation(tr.Reference)
			c.Actor.ID = fmt.Sprintf("op_%d", i)
			got[i], err = w.billing.ConfirmTransfer(t.Context(), w.db, c)
			return err
		}) {
			wantErr(t, "confirming", err, nil)
		}
		for _, g := range got {
			same(t, "transfer", got[0], g)
		}
		w.once(t, tr)
	})
}

func TestM8_Confirm_FromTwoProcessesGrantsOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		tr := w.request(t, w.account(t), "starter")
		for _, out := range dbtest.Processes(t, 2, "confirm", dbtest.DSN(w.db), tr.Reference) {
			if out != "25" {
				t.Errorf("a process confirmed %s times", out)
			}
		}
		w.once(t, tr)
	})
}

// once fails unless the transfer had its effect, once.
func (w *world) once(t *testing.T, tr billing.Transfer) {
	t.Helper()
	if n := w.grants(t, tr); n != 1 {
		t.Errorf("granted %d times", n)
	}
	w.spendable(t, tr.Account, 3000)
	rows := content(t, w.db, "billing_subscriptions", "billing_accounts")
	if len(rows["billing_subscriptions"]) != 1 || len(rows["billing_accounts"]) != 1 {
		t.Errorf("rows: %v", rows)
	}
	if s := w.subscription(t, tr.Account); s.PeriodStart != t0 || s.PeriodEnd != end1 {
		t.Errorf("subscription %+v", s)
	}
	var confirmed int
	for _, kind := range w.kinds(t, tr.Account) {
		if kind == "billing.transfer_confirmed" {
			confirmed++
		}
	}
	if confirmed != 1 {
		t.Errorf("%d events say that it was confirmed", confirmed)
	}
}

func TestM8_ConfirmAgainstReject_OneWins(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for range 50 {
			id := w.account(t)
			tr := w.request(t, id, "starter")
			errs := dbtest.Together(2, func(i int) (err error) {
				if i == 0 {
					_, err = w.billing.ConfirmTransfer(t.Context(), w.db, confirmation(tr.Reference))
				} else {
					_, err = w.billing.RejectTransfer(t.Context(), w.db, rejection(tr.Reference))
				}
				return err
			})
			got, err := w.billing.Transfer(t.Context(), w.db, tr.Reference)
			if err != nil {
				t.Fatal(err)
			}
			_, subErr := w.billing.Subscription(t.Context(), w.db, id)
			switch got.Status {
			case billing.StatusConfirmed:
				wantErr(t, "the confirmation that won", errs[0], nil)
				wantErr(t, "the rejection that lost", errs[1], billing.ErrDecided)
				w.effects(t, got, 1, tenancy.StatusActive)
				wantErr(t, "its subscription", subErr, nil)
			case billing.StatusRejected:
				wantErr(t, "the confirmation that lost", errs[0], billing.ErrDecided)
				wantErr(t, "the rejection that won", errs[1], nil)
				w.effects(t, got, 0, tenancy.StatusTrial)
				wantErr(t, "its subscription", subErr, billing.ErrNoSubscription)
			default:
				t.Errorf("it is %s", got.Status)
			}
		}
	})
}

func (w *world) effects(t *testing.T, tr billing.Transfer, grants int, status tenancy.Status) {
	t.Helper()
	if n := w.grants(t, tr); n != grants {
		t.Errorf("a transfer that is %s granted %d times", tr.Status, n)
	}
	w.status(t, tr.Account, status)
}

// Everything that locks an account or its ledger at once, on few accounts: nobody
// waits in a circle, and nothing is lost. Each step runs in a transaction of the
// host's, where nothing is tried again, so that a deadlock would show.
func TestM8_NoDeadlockBetweenWhatTouchesOneAccount(t *testing.T) {
	db := dbtest.Postgres(t, billing.Migrate)
	w := newWorld(t, db, billing.Config{})
	var mu sync.Mutex
	want := map[tenancy.AccountID]int64{}
	ids := []tenancy.AccountID{w.account(t), w.account(t)}
	count := func(id tenancy.AccountID, n int64) {
		mu.Lock()
		defer mu.Unlock()
		want[id] += n
	}
	in := func(fn func(tx bun.IDB) error) error {
		return db.RunInTx(t.Context(), nil, func(_ context.Context, tx bun.Tx) error { return fn(tx) })
	}
	work := []func(id tenancy.AccountID, i int) error{
		func(id tenancy.AccountID, i int) error {
			request := billing.RequestTransfer{Account: id, Plan: []string{"starter", "growth"}[i%2], Actor: customer}
			var tr billing.Transfer
			err := in(func(tx bun.IDB) (err error) {
				tr, err = w.billing.RequestTransfer(t.Context(), tx, request)
				return err
			})
			if err == nil {
				err = in(func(tx bun.IDB) error {
					_, err := w.billing.ConfirmTransfer(t.Context(), tx, confirmation(tr.Reference))
					return err
				})
			}
			return err
		},
		func(id tenancy.AccountID, i int) error {
			err := in(func(tx bun.IDB) error {
				_, err := w.ledger.Grant(t.Context(), tx, credits.Grant{Account: id, Amount: 2, Key: fmt.Sprint("gift:", i)})
				return err
			})
			if err == nil {
				count(id, 2)
			}
			return err
		},
		func(id tenancy.AccountID, i int) error { // two verbs that publish, in the order that doc.go names
			err := in(func(tx bun.IDB) error {
				method := []billing.PaymentMethod{billing.MethodManual, billing.MethodStripe}[i%2]
				if err := w.billing.SetPaymentMethod(t.Context(), tx, billing.SetPaymentMethod{Account: id, Method: method, Actor: customer}); err != nil {
					return err
				}
				_, err := w.ledger.Grant(t.Context(), tx, credits.Grant{Account: id, Amount: 3, Key: fmt.Sprint("both:", i)})
				return err
			})
			if err == nil {
				count(id, 3)
			}
			return err
		},
		func(id tenancy.AccountID, i int) error {
			err := in(func(tx bun.IDB) error {
				_, err := w.ledger.Deduct(t.Context(), tx, credits.Deduct{Account: id, Amount: 1, Key: fmt.Sprint("use:", i)})
				return err
			})
			if err == nil {
				count(id, -1)
			}
			return err
		},
		func(id tenancy.AccountID, i int) error {
			return in(func(tx bun.IDB) (err error) {
				if i%2 == 0 {
					_, err = w.accounts.Suspend(t.Context(), tx, tenancy.Suspend{Account: id, Actor: operator})
				} else {
					_, err = w.accounts.Resume(t.Context(), tx, tenancy.Resume{Account: id, Actor: operator})
				}
				return err
			})
		},
		func(id tenancy.AccountID, i int) error {
			err := in(func(tx bun.IDB) error {
				_, err := w.billing.Cancel(t.Context(), tx, billing.Cancel{Account: id, AtPeriodEnd: true, Actor: customer})
				return err
			})
			if errors.Is(err, billing.ErrNoSubscription) {
				return nil
			}
			return err
		},
		func(id tenancy.AccountID, i int) error {
			method := []billing.PaymentMethod{billing.MethodManual, billing.MethodBankTransfer}[i%2]
			return in(func(tx bun.IDB) error {
				return w.billing.SetPaymentMethod(t.Context(), tx, billing.SetPaymentMethod{Account: id, Method: method, Actor: customer})
			})
		},
	}
	var paying atomic.Int32 // the others go on until all have paid
	paying.Store(int32(2 * len(ids)))
	for _, err := range dbtest.Together(len(work)*len(ids)*2, func(n int) error {
		pays := n%len(work) == 0
		if pays {
			defer paying.Add(-1)
		}
		do, id := work[n%len(work)], ids[n/len(work)%len(ids)]
		for i := 0; pays && i < 25 || !pays && paying.Load() > 0; i++ {
			if err := do(id, n/(len(work)*len(ids))*1_000_000+i); err != nil {
				return fmt.Errorf("%d: %w", n%len(work), err)
			}
		}
		return nil
	}) {
		wantErr(t, "one of many", err, nil)
	}
	for _, id := range ids {
		var granted int64
		confirmed, err := w.billing.Transfers(t.Context(), db, billing.Transfers{Account: id, Status: billing.StatusConfirmed, Limit: 500})
		if err != nil {
			t.Fatal(err)
		}
		if len(confirmed) < 25 {
			t.Errorf("only %d payments", len(confirmed))
		}
		for _, tr := range confirmed {
			granted += tr.Credits
			if n := w.grants(t, tr); n != 1 {
				t.Errorf("transfer %s granted %d times", tr.ID, n)
			}
		}
		w.spendable(t, id, 2000+granted+want[id])
	}
	requireOneCurrent(t, db)
}

// requireOneCurrent: no account ever has two subscriptions at a time.
func requireOneCurrent(t *testing.T, db *bun.DB) {
	t.Helper()
	var n int
	err := db.NewRaw("SELECT COUNT(*) FROM (SELECT account_id FROM billing_subscriptions WHERE ended_at IS NULL GROUP BY account_id HAVING COUNT(*) > 1) AS two").Scan(t.Context(), &n)
	if err != nil || n != 0 {
		t.Errorf("%d accounts have two subscriptions (%v)", n, err)
	}
}
