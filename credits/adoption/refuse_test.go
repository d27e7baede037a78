package adoption_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/adoption"
	"github.com/quitrent/quitrent/tenancy"
)

// row is one of so many days before t0.
func row(days int, amount int64, balance ...int64) adoption.Row {
	r := adoption.Row{At: t0.AddDate(0, 0, -days), Amount: amount}
	if len(balance) > 0 {
		r.Balance = &balance[0]
	}
	return r
}

func referenced(r adoption.Row, reference string) adoption.Row {
	r.Reference = reference
	return r
}

func TestM18_WhatStandsInTheWayIsFoundAndNothingIsWritten(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		if _, err := h.ledger.Grant(t.Context(), h.db, credits.Grant{Account: "8", Amount: 5, Key: "seed"}); err != nil {
			t.Fatal(err)
		}
		type (
			rows = []adoption.Row
			lots = []credits.Lot
		)
		for name, tt := range map[string]struct {
			account adoption.Account
			want    []string
		}{
			"an unknown account":         {adoption.Account{ID: "9", Balance: 5}, []string{"balance 9 0 account"}},
			"what is no account's id":    {adoption.Account{ID: "no id"}, []string{"balance no id 0 account"}},
			"an account with entries":    {adoption.Account{ID: "8", Balance: 5}, []string{"balance 8 0 account"}},
			"a balance below zero":       {adoption.Account{ID: "1", Balance: -5}, []string{"balance 1 0 balance"}},
			"a history below zero":       {adoption.Account{ID: "1", Balance: -5, History: rows{row(1, -5)}}, []string{"balance 1 0 balance"}},
			"a history that is not it":   {adoption.Account{ID: "1", Balance: 5, History: rows{row(1, 4)}}, []string{"balance 1 0 balance"}},
			"a history of more":          {adoption.Account{ID: "1", Balance: 5, History: rows{row(1, 6)}}, []string{"balance 1 0 balance"}},
			"a gap":                      {adoption.Account{ID: "1", Balance: 5, History: rows{row(3, 9, 9), row(2, -1, 6), row(1, -1, 5)}}, []string{"row 1 1 balance"}},
			"two gaps":                   {adoption.Account{ID: "1", Balance: 5, History: rows{row(3, 9, 9), row(2, -1, 6), row(1, -2, 5)}}, []string{"row 1 1 balance", "row 1 2 balance"}},
			"less than nothing before":   {adoption.Account{ID: "1", Balance: 5, History: rows{row(3, 9, 5)}}, []string{"row 1 0 balance"}},
			"rows out of order":          {adoption.Account{ID: "1", Balance: 5, History: rows{row(1, 4), row(2, 1), row(1, 0)}}, []string{"row 1 1 at"}},
			"a row without a time":       {adoption.Account{ID: "1", Balance: 5, History: rows{{Amount: 5}}}, []string{"row 1 0 at"}},
			"a row of tomorrow":          {adoption.Account{ID: "1", Balance: 5, History: rows{row(-1, 5)}}, []string{"row 1 0 at"}},
			"a row twice":                {adoption.Account{ID: "1", Balance: 8, History: rows{referenced(row(2, 4), "a"), referenced(row(1, 4), "a")}}, []string{"row 1 1 reference"}},
			"a row that cannot be one":   {adoption.Account{ID: "1", Balance: 5, History: rows{{At: t0, Amount: 5, Note: "a\nb"}}}, []string{"row 1 0 row"}},
			"the refund of nothing":      {adoption.Account{ID: "1", Balance: 5, History: rows{{At: t0, Amount: 5, Kind: credits.KindRefund, RefundOf: "a"}}}, []string{"balance 1 0 history"}},
			"lots that are not it":       {adoption.Account{ID: "1", Balance: 5, Lots: lots{{Amount: 4}}}, []string{"balance 1 0 lots"}},
			"lots of more":               {adoption.Account{ID: "1", Balance: 5, Lots: lots{{Amount: 4}, {Amount: math.MaxInt64}}}, []string{"balance 1 0 lots"}},
			"lots of far more":           {adoption.Account{ID: "1", Balance: 5, Lots: lots{{Amount: math.MaxInt64}, {Amount: math.MaxInt64}, {Amount: 7}}}, []string{"balance 1 0 lots"}},
			"lots of nothing":            {adoption.Account{ID: "1", Lots: lots{{Amount: 4}}}, []string{"balance 1 0 lots"}},
			"a lot that has expired":     {adoption.Account{ID: "1", Balance: 5, Lots: lots{{Amount: 5, ExpiresAt: t0}}}, []string{"balance 1 0 history"}},
			"more than can be counted":   {adoption.Account{ID: "1", Balance: 5, History: rows{row(2, math.MaxInt64), row(1, 5)}}, []string{"balance 1 0 history"}},
			"less than can be counted":   {adoption.Account{ID: "1", Balance: 5, History: rows{row(2, -math.MaxInt64), row(1, -5)}}, []string{"balance 1 0 history"}},
			"a balance out of the range": {adoption.Account{ID: "1", Balance: 5, History: rows{row(2, -9, math.MaxInt64)}}, nil},
		} {
			what := adoption.Adopt{Accounts: []adoption.Account{tt.account, {ID: "2", Balance: 5}}, Actor: operator}
			h.wantRows(t, name, nil, func() {
				report, err := h.adoption(adoption.Config{}).Adopt(t.Context(), h.db, what)
				got := []string{}
				for _, f := range report.Refused {
					got = append(got, fmt.Sprintf("%s %s %d %s", f.Kind, f.ID, f.Row, f.Field))
				}
				if !errors.Is(err, adoption.ErrRefused) || report.Accounts != (adoption.Counts{New: 1, Refused: 1}) {
					t.Errorf("%s: %v, %+v", name, err, report)
				}
				if tt.want == nil {
					return
				}
				if d := cmp.Diff(tt.want, got); d != "" {
					t.Errorf("%s: findings (-want +got):\n%s%v", name, d, report.Refused)
				}
			})
			what.DryRun = true
			if _, err := h.adoption(adoption.Config{}).Adopt(t.Context(), h.db, what); err != nil {
				t.Errorf("%s: a dry run returns %v", name, err)
			}
		}
	})
}

func TestM18_AnAccountTwiceIsRefused(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		report, err := h.adoption(adoption.Config{}).Adopt(t.Context(), h.db, adoption.Adopt{
			Accounts: []adoption.Account{{ID: "1", Balance: 5}, {ID: "1", Balance: 6}}, Actor: operator,
		})
		if !errors.Is(err, adoption.ErrRefused) || len(report.Refused) != 1 || report.Refused[0].Row != 1 {
			t.Errorf("%v, %+v", err, report)
		}
	})
}

func TestM18_BalancesThatCannotBeCountedTogetherAreRefused(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		report, err := h.adoption(adoption.Config{}).Adopt(t.Context(), h.db, adoption.Adopt{
			Accounts: []adoption.Account{{ID: "1", Balance: math.MaxInt64}, {ID: "2", Balance: 1}}, Actor: operator,
		})
		if !errors.Is(err, adoption.ErrRefused) || report.Credits != math.MaxInt64 || len(report.Refused) != 1 || report.Refused[0].ID != "2" {
			t.Errorf("%v, %+v", err, report)
		}
	})
}

// line is an entry as a test compares it.
type line struct {
	Kind            credits.Kind
	Amount, Balance int64
	Note            string
	At              time.Time
}

func (h *house) lines(t *testing.T, account tenancy.AccountID) []line {
	t.Helper()
	page, err := h.ledger.Entries(t.Context(), h.db, credits.Entries{Account: account, Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]line, len(page.Entries))
	for i, e := range page.Entries {
		out[len(out)-1-i] = line{e.Kind, e.Amount, e.Balance, e.Note, e.At}
	}
	return out
}

func TestM18_WhatDoesNotAddUpIsAnEntryOfItsOwn(t *testing.T) {
	const adjusted = "adjustment: the history does not add up"
	day := func(n int) time.Time { return t0.AddDate(0, 0, -n) }
	each(t, func(t *testing.T, h *house) {
		what := adoption.Adopt{Actor: operator, Accounts: []adoption.Account{
			// What there was before the first row that says a balance.
			{ID: "1", Balance: 17, History: []adoption.Row{row(3, -2), row(2, 5, 20), row(1, -3)}},
			// What is missing, and what is too much, where it shows.
			{ID: "2", Balance: 30, History: []adoption.Row{row(4, 10, 10), row(3, -2, 12), row(2, 0, 9), row(1, 1)}},
			// No row says a balance, and less was left than there should be.
			{ID: "3", Balance: 5, History: []adoption.Row{row(2, 10), row(1, -1)}},
			// No row says a balance, and more was left than there should be.
			{ID: "4", Balance: 50, History: []adoption.Row{row(2, 10), row(1, -1)}},
		}}
		report := h.adopt(t, h.adoption(adoption.Config{Adjust: true}), what)
		if report.Adjustments != 4 || report.Forward != 2 || report.Zero != 1 || report.Entries != 16 || len(report.Notes) != 6 {
			t.Errorf("%+v", report)
		}
		for account, want := range map[tenancy.AccountID][]line{
			"1": {{credits.KindGrant, 17, 17, "brought forward", day(3)}, {credits.KindDeduct, -2, 15, "", day(3)}, {credits.KindGrant, 5, 20, "", day(2)}, {credits.KindDeduct, -3, 17, "", day(1)}},
			"2": {
				{credits.KindGrant, 10, 10, "", day(4)},
				{credits.KindGrant, 4, 14, adjusted, day(3)}, {credits.KindDeduct, -2, 12, "", day(3)},
				{credits.KindRevoke, -3, 9, adjusted, day(2)},
				{credits.KindGrant, 1, 10, "", day(1)},
				{credits.KindGrant, 20, 30, adjusted, t0},
			},
			"3": {{credits.KindGrant, 10, 10, "", day(2)}, {credits.KindDeduct, -1, 9, "", day(1)}, {credits.KindRevoke, -4, 5, adjusted, t0}},
			"4": {{credits.KindGrant, 41, 41, "brought forward", day(2)}, {credits.KindGrant, 10, 51, "", day(2)}, {credits.KindDeduct, -1, 50, "", day(1)}},
		} {
			if d := cmp.Diff(want, h.lines(t, account)); d != "" {
				t.Errorf("account %s (-want +got):\n%s", account, d)
			}
		}
		h.sound(t)
	})
}

func TestM18_WhatARowSaysWasThereBeforeNeedsNoAdjustment(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		report := h.adopt(t, h.adoption(adoption.Config{}), adoption.Adopt{Actor: operator, Accounts: []adoption.Account{
			{ID: "1", Balance: 17, History: []adoption.Row{row(3, -2), row(2, 5, 20), row(1, -3)}},
		}})
		if report.Forward != 1 || report.Adjustments != 0 || len(report.Notes) != 1 {
			t.Errorf("%+v", report)
		}
	})
}

func TestM18_BelowZeroIsADebtThatComesBack(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		what := adoption.Adopt{Actor: operator, Accounts: []adoption.Account{
			{ID: "1", Balance: 15, History: []adoption.Row{row(4, 10), row(3, -15), row(2, 40), row(1, -20)}},
			{ID: "2", Balance: -5},
			{ID: "3", Balance: -7, History: []adoption.Row{row(3, 3), row(2, -9), row(1, -1)}},
		}}
		report := h.adopt(t, h.adoption(adoption.Config{Debts: true}), what)
		if report.Credits != 3 || len(report.Notes) != 2 {
			t.Errorf("%+v", report)
		}
		h.sound(t)
		for account, want := range map[tenancy.AccountID]int64{"1": 15, "2": -5, "3": -7} {
			if b := h.balance(t, account); b.Booked != want || b.Spendable != max(0, want) {
				t.Errorf("account %s has %+v, want %d", account, b, want)
			}
		}
		if _, err := h.ledger.Grant(t.Context(), h.db, credits.Grant{Account: "2", Amount: 8, Key: "bought"}); err != nil {
			t.Fatal(err)
		}
		if b := h.balance(t, "2"); b.Spendable != 3 {
			t.Errorf("after a grant of 8 there are %d of a debt of 5", b.Spendable)
		}
		h.sound(t)
	})
}

func TestM18_LotsAreSpentAndExpireAsTheyAre(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ends := t0.AddDate(0, 0, 5)
		h.adopt(t, h.adoption(adoption.Config{}), adoption.Adopt{Actor: operator, Accounts: []adoption.Account{{
			ID: "1", Balance: 50, History: []adoption.Row{row(3, 70), row(2, -50), row(1, 30)},
			Lots: []credits.Lot{{Amount: 15, Category: credits.CategoryPaid}, {Amount: 35, Category: credits.CategoryPromo, ExpiresAt: ends}},
		}}})
		if _, err := h.ledger.Deduct(t.Context(), h.db, credits.Deduct{Account: "1", Amount: 20}); err != nil {
			t.Fatal(err)
		}
		h.clock.Set(ends)
		if b := h.balance(t, "1"); b.Booked != 15 || b.Spendable != 15 {
			t.Errorf("%+v are left of 15 that do not expire", b)
		}
		h.sound(t)
	})
}
