package credits_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// told draws what happened in another system, as it can have: what is refunded was taken,
// nothing is refunded while there is a debt.
func told(t *rapid.T) (lines []credits.AdoptLine, balance int64) {
	type taken struct {
		reference string
		left      int64
	}
	var deductions []*taken
	debt := int64(0) // at least
	at := start.AddDate(-1, 0, 0)
	for i := range rapid.IntRange(0, 40).Draw(t, "lines") {
		at = at.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "hours")) * time.Hour)
		n := credits.AdoptLine{At: at, Amount: rapid.Int64Range(1, 60).Draw(t, "amount"), Operation: "ideas"}
		if rapid.Bool().Draw(t, "referenced") {
			n.Reference = fmt.Sprint("row ", i)
		}
		var of *taken
		if len(deductions) > 0 {
			of = rapid.SampledFrom(deductions).Draw(t, "of")
		}
		switch rapid.SampledFrom([]string{"in", "out", "out", "back", "revoke"}).Draw(t, "kind") {
		case "out":
			n.Amount = -n.Amount
			if n.Reference != "" {
				deductions = append(deductions, &taken{n.Reference, -n.Amount})
			}
		case "revoke":
			n.Amount, n.Kind = -n.Amount, credits.KindRevoke
		case "back":
			if of == nil || of.left == 0 || debt > 0 {
				continue
			}
			n.Amount = min(n.Amount, of.left)
			of.left -= n.Amount
			n.Kind, n.RefundOf = credits.KindRefund, of.reference
		}
		lines = append(lines, n)
		balance += n.Amount
		debt = max(0, -balance)
	}
	return lines, balance
}

// parted draws lots of so many credits.
func parted(t *rapid.T, n int64) (lots []credits.Lot) {
	for n > 0 {
		lot := credits.Lot{Amount: rapid.Int64Range(1, n).Draw(t, "lot"), Priority: len(lots), Category: credits.CategoryPaid}
		if rapid.Bool().Draw(t, "ends") {
			lot.ExpiresAt = start.Add(time.Duration(1+len(lots)) * 24 * time.Hour)
		}
		n -= lot.Amount
		lots = append(lots, lot)
	}
	return lots
}

// lotsLeft are what the account's grants hold, by priority.
func lotsLeft(t testing.TB, db bun.IDB, account tenancy.AccountID) (lots []credits.Lot) {
	t.Helper()
	var rows []struct {
		Priority  int
		Amount    int64
		Category  credits.Category
		ExpiresAt time.Time `bun:",nullzero"`
	}
	err := db.NewRaw(`SELECT priority, CAST(SUM(remaining) AS BIGINT) AS amount, category, expires_at FROM credits_grants
		WHERE account_id = ? AND remaining > 0 GROUP BY priority, category, expires_at ORDER BY priority`, account).Scan(t.Context(), &rows)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		lot := credits.Lot{Amount: r.Amount, Priority: r.Priority, Category: r.Category}
		if !r.ExpiresAt.IsZero() {
			lot.ExpiresAt = r.ExpiresAt.UTC()
		}
		lots = append(lots, lot)
	}
	return lots
}

func sound(t testing.TB, l *credits.Ledger, db bun.IDB, account tenancy.AccountID) {
	t.Helper()
	found, err := l.Verify(t.Context(), db, account)
	if err != nil || len(found) > 0 {
		t.Fatalf("the ledger does not add up: %v, %v", found, err)
	}
}

func adopt(t testing.TB, l *credits.Ledger, db bun.IDB, a credits.Adopt) credits.Adopted {
	t.Helper()
	done, err := l.Adopt(t.Context(), db, a)
	if err != nil {
		t.Fatalf("adopt: %v", err)
	}
	return done
}

func TestM18_WhatHappenedElsewhereBecomesASoundLedger(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, _ *tenancytest.Clock) {
		n := 0
		check(t, db, shares{sqlite: 25, postgres: 100}, func(rt *rapid.T) {
			n++
			account := tenancy.AccountID(fmt.Sprint("acc_", n))
			lines, balance := told(rt)
			what := credits.Adopt{Account: account, Lines: lines, Lots: parted(rt, balance)}
			what.DryRun = true
			dry := adopt(t, l, db, what)
			what.DryRun = false
			done := adopt(t, l, db, what)
			if want := (credits.Adopted{Entries: int64(len(lines)), Balance: balance}); done != want || dry != want {
				rt.Fatalf("adopted %+v, in a dry run %+v, want %+v", done, dry, want)
			}
			page, err := l.Entries(t.Context(), db, credits.Entries{Account: account, Limit: 500})
			if err != nil {
				rt.Fatal(err)
			}
			sum := int64(0)
			for i, line := range lines {
				sum += line.Amount
				e := page.Entries[len(lines)-1-i]
				if !e.At.Equal(line.At) || e.Amount != line.Amount || e.Balance != sum || e.Spendable != max(0, sum) || (e.RefundOf > 0) != (line.RefundOf != "") {
					rt.Fatalf("line %d, %+v, is the entry %+v where the balance is %d", i, line, e, sum)
				}
			}
			if d := cmp.Diff(what.Lots, lotsLeft(t, db, account)); d != "" {
				rt.Fatalf("lots left (-want +got):\n%s", d)
			}
			sound(t, l, db, account)

			// Everything can be refunded that was not, and nothing twice.
			for i, line := range lines {
				given := int64(0)
				for _, other := range lines {
					if line.Reference != "" && other.RefundOf == line.Reference {
						given += other.Amount
					}
				}
				e, err := l.Refund(t.Context(), db, credits.Refund{Account: account, Entry: int64(i + 1), Key: fmt.Sprint("refund ", i)})
				switch {
				case line.Amount < 0 && line.Kind == "" && -line.Amount > given:
					if err != nil || e.Amount != -line.Amount-given {
						rt.Fatalf("line %d, %+v, of which %d were given back, gave %d, %v", i, line, given, e.Amount, err)
					}
				case !errors.Is(err, credits.ErrNotRefundable):
					rt.Fatalf("line %d, %+v, was refunded: %v", i, line, err)
				}
			}
			sound(t, l, db, account)

			// And spent, to the last credit.
			b, err := l.Balance(t.Context(), db, account)
			if err != nil {
				rt.Fatal(err)
			}
			if b.Spendable > 0 {
				deduct(t, l, db, credits.Deduct{Account: account, Amount: b.Spendable})
			}
			_, err = l.Deduct(t.Context(), db, credits.Deduct{Account: account, Amount: 1})
			if !errors.Is(err, credits.ErrInsufficient) {
				rt.Fatalf("one more credit: %v", err)
			}
			sound(t, l, db, account)
		})
	})
}

// oldLines are a grant, a deduction and its refund in part, in another system.
func oldLines() []credits.AdoptLine {
	at := start.AddDate(0, -1, 0)
	return []credits.AdoptLine{
		{At: at, Amount: 100, Reference: "1", Note: "to begin with"},
		{At: at.Add(time.Hour), Amount: -30, Reference: "2", Operation: "ideas"},
		{At: at.Add(2 * time.Hour), Amount: 10, Reference: "3", Kind: credits.KindRefund, RefundOf: "2"},
	}
}

func TestM18_AnAccountIsAdoptedOnce(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		what := credits.Adopt{Account: acc, Lines: oldLines(), Lots: []credits.Lot{{Amount: 80, ExpiresAt: start.AddDate(0, 0, 1)}}}
		first := adopt(t, l, db, what)
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 5})
		clock.Advance(48 * time.Hour) // by now the lot has expired
		if b, err := l.Balance(t.Context(), db, acc); err != nil || b.Booked != 0 {
			t.Fatalf("balance %+v, %v, want nothing", b, err)
		}
		before := rows(t, db)
		again := adopt(t, l, db, what)
		if first.Replayed || !again.Replayed || again.Entries != 3 || again.Balance != 80 {
			t.Errorf("adopted %+v, and again %+v", first, again)
		}
		if n := scan[int64](t, db, "SELECT replays FROM credits_accounts WHERE account_id = ?", acc); n != 1 {
			t.Errorf("%d replays were written, want 1", n)
		}
		changed := what
		changed.Lines = append(oldLines(), credits.AdoptLine{Amount: 7})
		changed.Lots = []credits.Lot{{Amount: 87}}
		joined(t, db, func(tx bun.Tx) {
			_, err := l.Adopt(t.Context(), tx, changed)
			requireError(t, err, credits.ErrAdopted)
		})
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Errorf("it was adopted again (-before +after):\n%s", d)
		}
		sound(t, l, db, acc)
	})
}

func TestM18_AnAccountWithoutCreditsIsRemembered(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		what := credits.Adopt{Account: acc}
		adopt(t, l, db, what)
		fund(t, l, db, 10)
		if again := adopt(t, l, db, what); !again.Replayed {
			t.Errorf("it was adopted again: %+v", again)
		}
		_, err := l.Adopt(t.Context(), db, credits.Adopt{Account: acc, Lines: []credits.AdoptLine{{Amount: 5}}, Lots: []credits.Lot{{Amount: 5}}})
		requireError(t, err, credits.ErrAdopted)
	})
}

func TestM18_OnlyAnEmptyAccountIsAdopted(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 10)
		before := rows(t, db)
		what := credits.Adopt{Account: acc, Lines: []credits.AdoptLine{{Amount: 5}}, Lots: []credits.Lot{{Amount: 5}}}
		joined(t, db, func(tx bun.Tx) {
			_, err := l.Adopt(t.Context(), tx, what)
			requireError(t, err, credits.ErrNotEmpty)
		})
		what.DryRun = true
		_, err := l.Adopt(t.Context(), db, what)
		requireError(t, err, credits.ErrNotEmpty)
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Errorf("a refusal wrote (-before +after):\n%s", d)
		}
		// The other units of the account are ledgers of their own.
		other := credits.New(credits.Config{Unit: "gpu_second", Now: func() time.Time { return start }})
		adopt(t, other, db, what)
		what.DryRun = false
		adopt(t, other, db, what)
		sound(t, other, db, acc)
		sound(t, l, db, acc)
	})
}

// What does not fit into one statement is written in several, in the same transaction.
func TestM18_ALongHistoryIsAdoptedWhole(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, _ *tenancytest.Clock) {
		var lines []credits.AdoptLine
		at := start.AddDate(-1, 0, 0)
		for i := range 1001 {
			n := credits.AdoptLine{At: at.Add(time.Duration(i) * time.Minute), Amount: 10, Reference: fmt.Sprint(i)}
			switch {
			case i%2 == 1:
				n.Amount = -8
			case i >= 100 && i%10 == 0: // of a deduction long ago
				n.Amount, n.Kind, n.RefundOf = 3, credits.KindRefund, fmt.Sprint(i-99)
			}
			lines = append(lines, n)
		}
		balance := int64(0)
		for _, n := range lines {
			balance += n.Amount
		}
		what := credits.Adopt{Account: acc, Lines: lines, Lots: []credits.Lot{{Amount: balance}}}
		written := 0
		hooked := db.WithQueryHook(onQuery(func(query string) {
			if strings.Contains(query, "INSERT INTO credits_entries") {
				written++
			}
		}))
		done := adopt(t, l, hooked, what)
		if written != 3 { // 500, 500 and the rest
			t.Errorf("written in %d pieces", written)
		}
		if done.Entries != 1001 || done.Balance != balance {
			t.Errorf("adopted %+v, want 1001 entries and %d credits", done, balance)
		}
		sound(t, l, db, acc)
		b, err := l.Balance(t.Context(), db, acc)
		if err != nil || b.Spendable != balance {
			t.Errorf("balance %+v, %v, want %d", b, err, balance)
		}
	})
}

func TestM18_WhatIsLeftExpiresWhenItsLotDoes(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		adopt(t, l, db, credits.Adopt{Account: acc, Lines: oldLines(), Lots: []credits.Lot{
			{Amount: 50, ExpiresAt: start.Add(time.Hour), Source: "plan"}, {Amount: 30},
		}})
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 20}) // of what ends first
		clock.Advance(time.Hour)
		if b, err := l.Balance(t.Context(), db, acc); err != nil || b.Booked != 30 || b.Spendable != 30 {
			t.Errorf("balance %+v, %v, want 30", b, err)
		}
		sound(t, l, db, acc)
	})
}

// Nobody hears now of what was low a year ago.
func TestM18_AThresholdIsHeldAgainstWhatIsLeft(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		setThreshold(t, l, db, credits.SetThreshold{Name: "low", Low: 20, Reset: 50})
		before := heard(t, db, acc)
		lines := append(oldLines(), credits.AdoptLine{At: start.Add(-time.Hour), Amount: -75}, credits.AdoptLine{At: start.Add(-time.Minute), Amount: 60})
		adopt(t, l, db, credits.Adopt{Account: acc, Lines: lines, Lots: []credits.Lot{{Amount: 65}}})
		requireHeard(t, db, append(before, "low: 65 0s")...)
		sound(t, l, db, acc)
	})
}

func TestM18_WhatNoLedgerCanBeIsRefused(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		in := func(n int64) credits.AdoptLine { return credits.AdoptLine{At: start.Add(-time.Hour), Amount: n} }
		named := func(n int64, reference, of string) credits.AdoptLine {
			line := in(n)
			line.Reference, line.RefundOf = reference, of
			if n > 0 {
				line.Kind = credits.KindRefund
			}
			return line
		}
		lot := func(n int64) []credits.Lot { return []credits.Lot{{Amount: n}} }
		before := rows(t, db)
		for name, a := range map[string]credits.Adopt{
			"lots that are not the balance": {Lines: []credits.AdoptLine{in(5)}, Lots: lot(4)},
			"lots of nothing":               {Lots: lot(4)},
			"lots of a debt":                {Lines: []credits.AdoptLine{in(-5)}, Lots: lot(4)},
			"a lot that has expired":        {Lines: []credits.AdoptLine{in(5)}, Lots: []credits.Lot{{Amount: 5, ExpiresAt: start}}},
			"a lot of no category":          {Lines: []credits.AdoptLine{in(5)}, Lots: []credits.Lot{{Amount: 5, Category: "gift"}}},
			"no category":                   {Category: "gift"},
			"an amount of zero":             {Lines: []credits.AdoptLine{in(0)}},
			"a time to come":                {Lines: []credits.AdoptLine{{At: start.Add(time.Second), Amount: 5}}, Lots: lot(5)},
			"a time before":                 {Lines: []credits.AdoptLine{in(5), {At: start.Add(-2 * time.Hour), Amount: 1}}, Lots: lot(6)},
			"a time after none":             {Lines: []credits.AdoptLine{{Amount: 5}, in(1)}, Lots: lot(6)},
			"a kind that is not its amount": {Lines: []credits.AdoptLine{{Amount: 5, Kind: credits.KindDeduct}}, Lots: lot(5)},
			"a kind that needs a hold":      {Lines: []credits.AdoptLine{in(5), {Amount: -5, Kind: credits.KindSettle}}},
			"a reference twice":             {Lines: []credits.AdoptLine{named(-5, "a", ""), named(-5, "a", "")}},
			"the refund of nothing":         {Lines: []credits.AdoptLine{named(5, "a", "b")}, Lots: lot(5)},
			"the refund of a grant":         {Lines: []credits.AdoptLine{{Amount: 5, Reference: "a"}, {Amount: 5, Kind: credits.KindRefund, RefundOf: "a"}}, Lots: lot(10)},
			"a refund of more":              {Lines: []credits.AdoptLine{in(9), named(-5, "a", ""), named(6, "b", "a")}, Lots: lot(10)},
			"a refund of more, in parts":    {Lines: []credits.AdoptLine{in(9), named(-5, "a", ""), named(3, "b", "a"), named(3, "c", "a")}, Lots: lot(10)},
			"a refund while in debt":        {Lines: []credits.AdoptLine{named(-5, "a", ""), named(5, "b", "a")}},
			"a deduction that is a refund":  {Lines: []credits.AdoptLine{in(9), named(-5, "a", ""), named(-3, "b", "a")}, Lots: lot(1)},
			"text that does not print":      {Lines: []credits.AdoptLine{{Amount: 5, Note: "a\nb"}}, Lots: lot(5)},
			"an actor without an id":        {Actor: tenancy.Actor{Kind: tenancy.ActorOperator}},
			"no account":                    {Account: "no account"},
		} {
			if a.Account == "" {
				a.Account = acc
			}
			if _, err := l.Adopt(t.Context(), db, a); !errors.Is(err, credits.ErrInvalid) {
				t.Errorf("%s: error %v, want ErrInvalid", name, err)
			}
		}
		_, err := l.Adopt(t.Context(), db, credits.Adopt{Account: acc, Lines: []credits.AdoptLine{in(1 << 62), in(-1 << 62), in(1 << 62)}, Lots: lot(1 << 62)})
		requireError(t, err, credits.ErrOverflow)
		_, err = l.Adopt(t.Context(), db, credits.Adopt{Account: acc, Lines: []credits.AdoptLine{in(-1 << 62), in(-1 << 62)}})
		requireError(t, err, credits.ErrOverflow)
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Errorf("a refusal wrote (-before +after):\n%s", d)
		}
	})
}
