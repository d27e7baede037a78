package adoption_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/adoption"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

func TestM18_CreditsOfARunningSystem(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a, what := h.adoption(adoption.Config{}), running()
		rows, sum := 0, int64(0)
		for _, acc := range what.Accounts {
			rows += len(acc.History)
			sum += acc.Balance
		}
		if len(what.Accounts) != 8 || rows != 280 {
			t.Fatalf("the fixture has %d accounts and %d rows", len(what.Accounts), rows)
		}

		what.DryRun = true
		var dry adoption.Report
		h.wantRows(t, "a dry run", nil, func() { dry = h.adopt(t, a, what) })
		if len(dry.Refused) > 0 {
			t.Fatalf("refused: %v", dry.Refused)
		}
		if dry.Accounts != (adoption.Counts{New: 8}) || dry.Rows != (adoption.Counts{New: 280}) || dry.Credits != sum || dry.Adjustments != 0 {
			t.Errorf("a dry run: %+v", dry)
		}

		what.DryRun = false
		done := h.adopt(t, a, what)
		dry.DryRun = false
		if d := cmp.Diff(dry, done); d != "" {
			t.Errorf("the real run (-dry +real):\n%s", d)
		}
		h.sound(t)
		for _, acc := range what.Accounts {
			if b := h.balance(t, acc.ID); b.Booked != acc.Balance || b.Spendable != acc.Balance {
				t.Errorf("account %s has %+v, want %d", acc.ID, b, acc.Balance)
			}
			h.wantHistory(t, acc)
		}

		h.wantRows(t, "again", nil, func() {
			again := h.adopt(t, a, what)
			if again.Accounts != (adoption.Counts{Same: 8}) || again.Rows != (adoption.Counts{Same: 280}) || again.Credits != 0 {
				t.Errorf("again: %+v", again)
			}
		})

		h.refundAndSpend(t, what)
		h.wantRows(t, "after it was used", nil, func() {
			if again := h.adopt(t, a, what); again.Accounts != (adoption.Counts{Same: 8}) {
				t.Errorf("after it was used: %+v", again)
			}
		})
	})
}

// wantHistory fails unless the balance as of each row's time is what the old system had
// then.
func (h *house) wantHistory(t *testing.T, acc adoption.Account) {
	t.Helper()
	has := acc.Balance
	for i := len(acc.History) - 1; i >= 0; i-- {
		r := acc.History[i]
		got, err := h.ledger.BalanceAsOf(t.Context(), h.db, credits.AsOf{Account: acc.ID, At: r.At})
		if err != nil || got.Balance != has {
			t.Errorf("account %s has %+v, %v as of row %d, want %d", acc.ID, got, err, i, has)
		}
		has -= r.Amount
	}
	if len(acc.History) < 2 {
		return
	}
	first, last := acc.History[0].At, acc.History[len(acc.History)-1].At
	st, err := h.ledger.Statement(t.Context(), h.db, credits.Statement{Account: acc.ID, From: first, To: last})
	if err != nil {
		t.Fatal(err)
	}
	if st.Opening.Balance != 0 || st.Closing.Balance != acc.Balance-acc.History[len(acc.History)-1].Amount {
		t.Errorf("the statement of account %s goes from %d to %d", acc.ID, st.Opening.Balance, st.Closing.Balance)
	}
}

// refundAndSpend gives back what the old system took and did not give back, and spends
// everything.
func (h *house) refundAndSpend(t *testing.T, what adoption.Adopt) {
	t.Helper()
	for _, acc := range what.Accounts {
		want := acc.Balance
		back := map[string]bool{}
		for _, r := range acc.History {
			back[r.RefundOf] = true
		}
		page, err := h.ledger.Entries(t.Context(), h.db, credits.Entries{Account: acc.ID, Limit: 500})
		if err != nil {
			t.Fatal(err)
		}
		byKey := map[string]int64{}
		for _, e := range page.Entries {
			byKey[e.Key] = e.Number
		}
		for _, r := range acc.History {
			if r.Amount > 0 {
				continue
			}
			_, err := h.ledger.Refund(t.Context(), h.db, credits.Refund{
				Account: acc.ID, Entry: byKey["quitrent:adopted:credit:"+r.Reference], Key: "refund:" + r.Reference,
			})
			if back[r.Reference] {
				if !errors.Is(err, credits.ErrNotRefundable) {
					t.Errorf("%s was given back twice: %v", r.Reference, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("refund of %s: %v", r.Reference, err)
			}
			want -= r.Amount
		}
		if b := h.balance(t, acc.ID); b.Spendable != want {
			t.Errorf("account %s has %d after the refunds, want %d", acc.ID, b.Spendable, want)
		}
		if want > 0 {
			if _, err := h.ledger.Deduct(t.Context(), h.db, credits.Deduct{Account: acc.ID, Amount: want, Key: "all"}); err != nil {
				t.Errorf("account %s cannot spend all: %v", acc.ID, err)
			}
		}
		if _, err := h.ledger.Deduct(t.Context(), h.db, credits.Deduct{Account: acc.ID, Amount: 1}); !errors.Is(err, credits.ErrInsufficient) {
			t.Errorf("account %s spends more than all: %v", acc.ID, err)
		}
	}
	h.sound(t)
}

func TestM18_TwoAdoptionsAtOnceAdoptOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		var total adoption.Report
		for _, out := range dbtest.Processes(t, 2, "adopt", dbtest.DSN(h.db)) {
			var r adoption.Report
			if err := json.Unmarshal([]byte(out), &r); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			total.Accounts.New += r.Accounts.New
			total.Accounts.Same += r.Accounts.Same
			total.Rows.New += r.Rows.New
			total.Rows.Same += r.Rows.Same
			total.Credits += r.Credits
		}
		sum := int64(0)
		for _, acc := range running().Accounts {
			sum += acc.Balance
			if b := h.balance(t, acc.ID); b.Booked != acc.Balance {
				t.Errorf("account %s has %+v, want %d", acc.ID, b, acc.Balance)
			}
		}
		if total.Accounts != (adoption.Counts{New: 8, Same: 8}) || total.Rows != (adoption.Counts{New: 280, Same: 280}) || total.Credits != sum {
			t.Errorf("both: %+v, want each account new once", total)
		}
		h.sound(t)
	})
}

// What was interrupted goes on where it was.
func TestM18_AnAdoptionGoesOn(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a, what := h.adoption(adoption.Config{}), running()
		part := what
		part.Accounts = what.Accounts[:3]
		h.adopt(t, a, part)
		report := h.adopt(t, a, what)
		if report.Accounts != (adoption.Counts{New: 5, Same: 3}) {
			t.Errorf("the rest: %+v", report.Accounts)
		}
		h.sound(t)
	})
}

func TestM18_WhatChangedSinceIsLeftAlone(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a, what := h.adoption(adoption.Config{}), running()
		h.adopt(t, a, what)
		what.Accounts[3].Balance++     // it does not even add up any more
		what.Accounts[5].Balance += 10 // it does
		what.Accounts[5].History = append(what.Accounts[5].History, adoption.Row{At: t0, Amount: 10})
		what.Accounts[7].Balance = 7 // it does not, and there was nothing
		what.Accounts[7].History = []adoption.Row{{At: t0, Amount: 6}}
		h.wantRows(t, "again", nil, func() {
			report := h.adopt(t, a, what)
			if report.Accounts != (adoption.Counts{Same: 5, Different: 3}) || len(report.Notes) != 3 {
				t.Errorf("again: %+v", report)
			}
		})
	})
}

// Between the check and the writing somebody grants to one account, and others adopt one
// from the same rows and one from other rows.
func TestM18_WhatHappensMeanwhileIsLeftAsItIs(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		what, others := running(), h.adoption(adoption.Config{})
		h.accounts = tenancy.New(tenancy.Config{Now: h.clock.Now, Loader: func(ctx context.Context, db bun.IDB, id tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
			if id == "8" { // the last to be checked
				if _, err := h.ledger.Grant(ctx, h.db, credits.Grant{Account: "1", Amount: 5, Key: "early"}); err != nil {
					t.Error(err)
				}
				h.adopt(t, others, adoption.Adopt{Actor: operator, Accounts: []adoption.Account{what.Accounts[1], {ID: "3", Balance: 4}}})
			}
			return tenancy.New(tenancy.Config{Now: h.clock.Now}).Load(ctx, db, id)
		}})
		report, err := h.adoption(adoption.Config{}).Adopt(t.Context(), h.db, what)
		if !errors.Is(err, credits.ErrNotEmpty) || len(report.Refused) != 1 || report.Refused[0].ID != "1" {
			t.Errorf("%v, %+v", err, report.Refused)
		}
		if report.Accounts != (adoption.Counts{New: 5, Same: 1, Different: 1, Refused: 1}) || report.Rows != (adoption.Counts{New: 70, Same: 70, Different: 50, Refused: 90}) {
			t.Errorf("%+v, %+v", report.Accounts, report.Rows)
		}
		if want := int64(2000 + 740 + 12 + 1); report.Credits != want {
			t.Errorf("%d credits were adopted, want %d", report.Credits, want)
		}
		for account, want := range map[tenancy.AccountID]int64{"1": 5, "2": 5130, "3": 4, "4": 2000} {
			if b := h.balance(t, account); b.Booked != want {
				t.Errorf("account %s has %+v, want %d", account, b, want)
			}
		}
		h.sound(t)
	})
}

func TestAdopt_OnlyAnOperatorOrTheSystemMay(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		what := running()
		what.Actor = tenancy.Actor{}
		if _, err := h.adoption(adoption.Config{}).Adopt(t.Context(), h.db, what); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("nobody: %v", err)
		}
		what.Actor = tenancy.Actor{Kind: tenancy.ActorUser, ID: "1"}
		if _, err := h.adoption(adoption.Config{}).Adopt(t.Context(), h.db, what); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("a user: %v", err)
		}
	})
}

// All is written in a transaction of the host's, if that commits.
func TestM18_AdoptJoinsATransaction(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		tx, err := h.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.adoption(adoption.Config{}).Adopt(t.Context(), tx, running()); err != nil {
			t.Error(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		for _, acc := range running().Accounts {
			if b := h.balance(t, acc.ID); b.Booked != 0 {
				t.Errorf("account %s has %+v after a rollback", acc.ID, b)
			}
		}
	})
}

func TestAdopt_TheAuditLogSaysWhoAndWhat(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.wantRows(t, "one account", map[string]int{
			"credits_accounts": 1, "credits_entries": 2, "credits_grants": 2, "credits_keys": 1, "tenancy_audit": 2,
		}, func() {
			h.adopt(t, h.adoption(adoption.Config{}), adoption.Adopt{
				Accounts: []adoption.Account{{ID: "1", Balance: 30, Lots: []credits.Lot{{Amount: 10, Source: "plan"}, {Amount: 20, Source: "invoice 17"}}}},
				Actor:    operator, Reason: "the move",
			})
		})
		for account, want := range map[tenancy.AccountID]string{
			"1": `{"unit":"credit","entries":2,"balance":30,"lots":[{"amount":10,"category":"adjustment","source":"plan"},{"amount":20,"category":"adjustment","source":"invoice 17"}]}`,
			"":  `{"balance":{"new":1,"same":0,"different":0,"refused":0},"row":{"new":0,"same":0,"different":0,"refused":0}}`,
		} {
			log, err := h.accounts.Audits(t.Context(), h.db, tenancy.AuditLog{Account: account, Limit: 1})
			if err != nil || len(log) != 1 {
				t.Fatalf("%v, %v", log, err)
			}
			got := fmt.Sprint(log[0].Action, " ", log[0].Actor.ID, " ", log[0].Reason, " ", string(log[0].Data))
			if want := "credits.adopt op_1 the move " + want; got != want {
				t.Errorf("the log of %q says %s\nwant %s", account, got, want)
			}
		}
	})
}
