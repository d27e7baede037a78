package credits_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// keyA and keyB are keys of ada's.
var (
	keyA = tenancy.Actor{Kind: tenancy.ActorKey, ID: "key_a"}
	keyB = tenancy.Actor{Kind: tenancy.ActorKey, ID: "key_b"}
	ada  = tenancy.Actor{Kind: tenancy.ActorUser, ID: "usr_ada"}
)

func setBudget(t testing.TB, l *credits.Ledger, db bun.IDB, s credits.SetBudget) credits.Budget {
	t.Helper()
	s.Account = acc
	b, err := l.SetBudget(t.Context(), db, s)
	if err != nil {
		t.Fatalf("set %+v: %v", s, err)
	}
	return b
}

// requireUsed ends the test unless a subject has used so much of its budget, and holds
// so much of it.
func requireUsed(t testing.TB, l *credits.Ledger, db bun.IDB, subject tenancy.Actor, used, held int64) {
	t.Helper()
	budgets, err := l.Budgets(t.Context(), db, acc)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range budgets {
		if b.Subject == subject {
			if b.Used != used || b.Held != held {
				t.Fatalf("%s has used %d and holds %d, want %d and %d", subject.ID, b.Used, b.Held, used, held)
			}
			return
		}
	}
	t.Fatalf("%s has no budget", subject.ID)
}

func TestBudget_LimitsWhatAKeyAndItsMemberSpend(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 100)
		setBudget(t, l, db, credits.SetBudget{Subject: keyA, Limit: 10})
		setBudget(t, l, db, credits.SetBudget{Subject: ada, Limit: 12, Period: credits.BudgetMonth})
		e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 8, Actor: keyA, OnBehalf: ada})
		if e.OnBehalf != ada {
			t.Errorf("the entry does not say on whose behalf: %+v", e)
		}
		_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 3, Actor: keyA, OnBehalf: ada})
		var over *credits.BudgetError
		requireAs(t, err, &over)
		if d := cmp.Diff(&credits.BudgetError{Subject: keyA, Limit: 10, Used: 8, Need: 3}, over); d != "" {
			t.Error(d)
		}
		// Another of her keys has no budget, and she has.
		_, err = l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 5, Actor: keyB, OnBehalf: ada})
		requireAs(t, err, &over)
		want := &credits.BudgetError{Subject: ada, Limit: 12, Used: 8, Need: 5, Until: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)}
		if d := cmp.Diff(want, over); d != "" {
			t.Error(d)
		}
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 4, Actor: keyB, OnBehalf: ada})
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 50, Actor: keyB}) // on nobody's behalf
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 2, Actor: keyA})
		requireUsed(t, l, db, keyA, 10, 0)
		requireUsed(t, l, db, ada, 12, 0)
		creditstest.RequireBalance(t, l, db, acc, 36)
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestBudget_OfWhoeverIsBothCountsOnce(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 100)
		setBudget(t, l, db, credits.SetBudget{Subject: ada, Limit: 10})
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 6, Actor: ada, OnBehalf: ada})
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 4, Actor: ada, OnBehalf: ada})
		requireUsed(t, l, db, ada, 6, 4)
		settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 3})
		requireUsed(t, l, db, ada, 9, 0)
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestBudget_IsRefusedBeforeWantOfCreditsAndOtherwiseThan(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 5)
		setBudget(t, l, db, credits.SetBudget{Subject: keyA, Limit: 8, Period: credits.BudgetWeek})
		_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 9, Actor: keyA})
		requireError(t, err, credits.ErrBudget)
		if errors.Is(err, credits.ErrInsufficient) {
			t.Error("it is both")
		}
		_, err = l.Hold(t.Context(), db, credits.Hold{Account: acc, Amount: 6, Actor: keyA})
		requireError(t, err, credits.ErrInsufficient)
		requireUsed(t, l, db, keyA, 0, 0) // a refusal uses nothing
	})
}

func TestBudget_RefusalsSayOverHTTPWhenWaitingHelps(t *testing.T) {
	until := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		err   credits.BudgetError
		waits bool
	}{
		{credits.BudgetError{Subject: keyA, Limit: 10, Used: 8, Need: 3, Until: until}, true},
		{credits.BudgetError{Subject: keyA, Limit: 10, Used: 8, Need: 10, Until: until}, true},
		{credits.BudgetError{Subject: keyA, Limit: 10, Used: 8, Need: 11, Until: until}, false},
		{credits.BudgetError{Subject: keyA, Limit: 10, Used: 8, Need: 3}, false},
	} {
		body := string(problem.Body(&c.err))
		for _, part := range []string{
			`"status":403`, `"code":"budget_exceeded"`, `"budget_limit":10`, `"budget_used":8`, `"budget_subject":{"kind":"key","id":"key_a"}`,
			fmt.Sprintf(`"credits_needed":%d`, c.err.Need),
		} {
			if !strings.Contains(body, part) {
				t.Errorf("no %s in %s", part, body)
			}
		}
		if strings.Contains(body, `"budget_until":"2026-04-01T00:00:00Z"`) != c.waits || problem.Wait(&c.err) != 0 {
			t.Error(body)
		}
	}
}

// Of two budgets that do not allow it the one that ends later is named.
func TestBudget_NamesTheOneThatWaitingHelpsLast(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 100)
		for _, c := range []struct {
			key, member credits.BudgetPeriod
			want        tenancy.Actor
		}{
			{credits.BudgetDay, credits.BudgetMonth, ada}, {credits.BudgetMonth, credits.BudgetDay, keyA},
			{credits.BudgetLife, credits.BudgetMonth, keyA}, {credits.BudgetMonth, credits.BudgetLife, ada},
			{credits.BudgetWeek, credits.BudgetWeek, keyA}, {credits.BudgetLife, credits.BudgetLife, keyA},
		} {
			setBudget(t, l, db, credits.SetBudget{Subject: keyA, Limit: 1, Period: c.key})
			setBudget(t, l, db, credits.SetBudget{Subject: ada, Limit: 1, Period: c.member})
			_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 2, Actor: keyA, OnBehalf: ada})
			var over *credits.BudgetError
			if requireAs(t, err, &over); over.Subject != c.want {
				t.Errorf("%+v: %+v", c, over)
			}
		}
	})
}

func TestBudget_BeginsAnewWithItsPeriodWithoutAJob(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 1000)
		b := setBudget(t, l, db, credits.SetBudget{Subject: keyA, Limit: 10, Period: credits.BudgetDay, Zone: "Europe/Vienna"})
		midnight := time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC)
		if b.Until != midnight || b.Zone != "Europe/Vienna" || !b.Since.Equal(midnight.AddDate(0, 0, -1)) {
			t.Errorf("%+v", b)
		}
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 10, Actor: keyA})
		clock.Set(midnight.Add(-time.Microsecond))
		_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1, Actor: keyA})
		requireError(t, err, credits.ErrBudget)
		clock.Set(midnight)
		requireUsed(t, l, db, keyA, 0, 0)
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 10, Actor: keyA})
		clock.Advance(72 * time.Hour)
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 9, Actor: keyA})
		requireUsed(t, l, db, keyA, 9, 0)
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestBudget_HoldsCountUntilTheyEndAndSettlementsWithWhatTheyCost(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 1000)
		setBudget(t, l, db, credits.SetBudget{Subject: keyA, Limit: 20, Period: credits.BudgetDay})
		take := func(n int64, end credits.AtEnd) credits.Held {
			return hold(t, l, db, credits.Hold{Account: acc, Amount: n, Actor: keyA, AtEnd: end})
		}
		h := take(15, "")
		requireUsed(t, l, db, keyA, 0, 15)
		_, err := l.Hold(t.Context(), db, credits.Hold{Account: acc, Amount: 6, Actor: keyA})
		requireError(t, err, credits.ErrBudget)
		settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 4, More: true, Key: "part"})
		requireUsed(t, l, db, keyA, 4, 11)
		settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 20}) // past the limit: the work is done
		requireUsed(t, l, db, keyA, 24, 0)
		_, err = l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1, Actor: keyA})
		var over *credits.BudgetError
		if requireAs(t, err, &over); over.Used != 24 {
			t.Errorf("%+v", over)
		}

		clock.Set(time.Date(2026, 3, 2, 23, 50, 0, 0, time.UTC))
		released, settled, charged := take(3, ""), take(5, ""), take(2, credits.AtEndCharge)
		if _, err := l.Release(t.Context(), db, credits.Release{Account: acc, Hold: released.ID}); err != nil {
			t.Fatal(err)
		}
		requireUsed(t, l, db, keyA, 0, 7)
		clock.Advance(12 * time.Minute) // into the next day: they are held still
		requireUsed(t, l, db, keyA, 0, 7)
		settle(t, l, db, credits.Settle{Account: acc, Hold: settled.ID, Amount: 4})
		requireUsed(t, l, db, keyA, 4, 2)
		clock.Advance(3 * time.Minute)
		requireUsed(t, l, db, keyA, 6, 0)
		if h, err := l.Held(t.Context(), db, acc, charged.ID); err != nil || h.State != credits.HoldSettled {
			t.Errorf("%+v %v", h, err)
		}
		orphan := take(4, "")
		requireUsed(t, l, db, keyA, 6, 4)
		clock.Set(orphan.ExpiresAt)
		requireUsed(t, l, db, keyA, 6, 0)
		parked := take(4, credits.AtEndReview)
		clock.Set(parked.ExpiresAt)
		requireUsed(t, l, db, keyA, 6, 4) // it holds until somebody decides
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestBudget_ARefundGivesBackWhileThePeriodLasts(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 1000)
		before := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 7, Actor: keyA})
		setBudget(t, l, db, credits.SetBudget{Subject: keyA, Limit: 20, Period: credits.BudgetDay})
		setBudget(t, l, db, credits.SetBudget{Subject: ada, Limit: 20, Period: credits.BudgetMonth})
		e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 8, Actor: keyA, OnBehalf: ada})
		refund(t, l, db, credits.Refund{Account: acc, Entry: before.Number, Key: "before"}) // which never counted
		requireUsed(t, l, db, keyA, 8, 0)
		refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Amount: 3, Key: "some"})
		requireUsed(t, l, db, keyA, 5, 0)
		requireUsed(t, l, db, ada, 5, 0)
		clock.Advance(24 * time.Hour)
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 2, Actor: keyA, OnBehalf: ada})
		refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Key: "the rest"})
		requireUsed(t, l, db, keyA, 2, 0)
		requireUsed(t, l, db, ada, 2, 0)
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestBudget_ChangesTakeEffectAtOnce(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 1000)
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 5, Actor: keyA})
		ended := hold(t, l, db, credits.Hold{Account: acc, Amount: 3, Actor: keyA, For: time.Minute})
		clock.Set(ended.ExpiresAt)
		setBudget(t, l, db, credits.SetBudget{Subject: keyA, Limit: 10}) // books the end of the other first
		requireUsed(t, l, db, keyA, 0, 5)
		e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 4, Actor: keyA})
		setBudget(t, l, db, credits.SetBudget{Subject: keyA, Limit: 0})
		requireUsed(t, l, db, keyA, 4, 5)
		_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1, Actor: keyA})
		requireError(t, err, credits.ErrBudget)
		b := setBudget(t, l, db, credits.SetBudget{Subject: keyA, Limit: 10, Period: credits.BudgetMonth})
		if b.Used != 0 || b.Held != 5 || b.Since != time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) {
			t.Errorf("%+v", b)
		}
		refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Key: "r"}) // of what does not count
		requireUsed(t, l, db, keyA, 0, 5)
		creditstest.RequireSound(t, l, db, acc)

		if err := l.RemoveBudget(t.Context(), db, credits.RemoveBudget{Account: acc, Subject: keyA}); err != nil {
			t.Fatal(err)
		}
		for _, account := range []tenancy.AccountID{acc, other} { // the other has no row
			requireError(t, l.RemoveBudget(t.Context(), db, credits.RemoveBudget{Account: account, Subject: keyA}), credits.ErrNoBudget)
		}
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 100, Actor: keyA})
		settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 5})
		creditstest.RequireSound(t, l, db, acc)
		line := tenancytest.RequireAudit(t, db, acc, "credits.remove_budget")
		if line.Target != "key:key_a" || line.Actor.ID != "credits" {
			t.Errorf("%+v", line)
		}
		if line := tenancytest.RequireAudit(t, db, acc, "credits.set_budget"); string(line.Data) != `{"limit":10,"period":"month","zone":"UTC"}` {
			t.Errorf("%s", line.Data)
		}
	})
}

func TestBudget_OfOneAccountAndUnitIsNoOthers(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		seconds := credits.New(credits.Config{Unit: "gpu_second", Now: func() time.Time { return start }})
		fund(t, l, db, 100)
		grant(t, seconds, db, credits.Grant{Account: acc, Amount: 100, Key: "seconds"})
		grant(t, l, db, credits.Grant{Account: other, Amount: 100, Key: "fund"})
		setBudget(t, l, db, credits.SetBudget{Subject: keyA, Limit: 1})
		for _, d := range []struct {
			l       *credits.Ledger
			account tenancy.AccountID
		}{{seconds, acc}, {l, other}} {
			deduct(t, d.l, db, credits.Deduct{Account: d.account, Amount: 50, Actor: keyA})
			if budgets, err := d.l.Budgets(t.Context(), db, d.account); err != nil || len(budgets) > 0 {
				t.Errorf("%+v %v", budgets, err)
			}
		}
		_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 2, Actor: keyA})
		requireError(t, err, credits.ErrBudget)
	})
}

// A refusal under a key says the same for ever, whoever asks and whatever the budget is by
// then.
// Of two that share an id, or a kind, or an account, or a unit, each has a budget of its own.
func TestBudget_CountsWhatItsSubjectHoldsAndSpendsAndNobodyElse(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		seconds := credits.New(credits.Config{Unit: "gpu_second", Now: clock.Now})
		namesake := tenancy.Actor{Kind: tenancy.ActorUser, ID: keyA.ID}
		fund(t, l, db, 10_000)
		grant(t, l, db, credits.Grant{Account: other, Amount: 100, Key: "fund"})
		grant(t, seconds, db, credits.Grant{Account: acc, Amount: 100, Key: "seconds"})
		hold(t, l, db, credits.Hold{Account: acc, Amount: 1, Actor: keyA})
		hold(t, l, db, credits.Hold{Account: acc, Amount: 2, Actor: keyA, OnBehalf: ada})
		hold(t, l, db, credits.Hold{Account: acc, Amount: 4, Actor: keyB, OnBehalf: ada})
		hold(t, l, db, credits.Hold{Account: acc, Amount: 8, Actor: namesake})
		hold(t, l, db, credits.Hold{Account: acc, Amount: 16, Actor: keyB, OnBehalf: namesake})
		hold(t, l, db, credits.Hold{Account: other, Amount: 32, Actor: keyA, OnBehalf: ada})
		hold(t, seconds, db, credits.Hold{Account: acc, Amount: 64, Actor: keyA, OnBehalf: ada})
		h := hold(t, l, db, credits.Hold{Account: acc, Amount: 128, Actor: keyA, OnBehalf: ada})
		if _, err := l.Release(t.Context(), db, credits.Release{Account: acc, Hold: h.ID}); err != nil {
			t.Fatal(err)
		}
		h = hold(t, l, db, credits.Hold{Account: acc, Amount: 256, Actor: keyA, OnBehalf: ada})
		settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 100})
		hold(t, l, db, credits.Hold{Account: acc, Amount: 512, Actor: keyA, For: time.Minute, AtEnd: credits.AtEndReview})
		clock.Advance(time.Minute) // it waits for somebody to decide

		held := map[tenancy.Actor]int64{keyA: 1 + 2 + 512, keyB: 4 + 16, ada: 2 + 4, namesake: 8 + 16}
		for subject, want := range held {
			if b := setBudget(t, l, db, credits.SetBudget{Subject: subject, Limit: 5000}); b.Used != 0 || b.Held != want {
				t.Errorf("%+v holds %d, want %d", subject, b.Held, want)
			}
		}
		for _, c := range []struct {
			l       *credits.Ledger
			account tenancy.AccountID
			held    int64
		}{{l, other, 32}, {seconds, acc, 64}} {
			b, err := c.l.SetBudget(t.Context(), db, credits.SetBudget{Account: c.account, Subject: keyA, Limit: 90})
			if err != nil || b.Held != c.held {
				t.Errorf("%+v, %v", b, err)
			}
			if list, err := c.l.Budgets(t.Context(), db, c.account); err != nil || len(list) != 1 {
				t.Errorf("%+v, %v", list, err)
			}
		}
		e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 5, Actor: keyA, OnBehalf: ada})
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 7, Actor: keyB})
		refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Amount: 2, Key: "r"})
		if err := l.RemoveBudget(t.Context(), db, credits.RemoveBudget{Account: acc, Subject: namesake}); err != nil {
			t.Fatal(err)
		}
		requireError(t, l.RemoveBudget(t.Context(), db, credits.RemoveBudget{Account: acc, Subject: namesake}), credits.ErrNoBudget)
		for subject, used := range map[tenancy.Actor]int64{keyA: 3, keyB: 7, ada: 3} {
			requireUsed(t, l, db, subject, used, held[subject])
		}
		if list, err := l.Budgets(t.Context(), db, acc); err != nil || len(list) != 3 {
			t.Errorf("%+v, %v", list, err)
		}
		creditstest.RequireSound(t, l, db, "")
		creditstest.RequireSound(t, seconds, db, "")
	})
}

func TestBudget_RefusalsAreReplayedWithTheirNumbers(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 100)
		setBudget(t, l, db, credits.SetBudget{Subject: keyA, Limit: 10, Period: credits.BudgetDay})
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 4, Actor: keyA})
		ask := func(d credits.Deduct) *credits.BudgetError {
			t.Helper()
			d.Account, d.Amount, d.Key = acc, 7, "d"
			_, err := l.Deduct(t.Context(), db, d)
			var over *credits.BudgetError
			requireAs(t, err, &over)
			return over
		}
		first := ask(credits.Deduct{Actor: keyA})
		setBudget(t, l, db, credits.SetBudget{Subject: keyA, Limit: 50, Period: credits.BudgetDay})
		clock.Advance(48 * time.Hour)
		for range 2 {
			if d := cmp.Diff(first, ask(credits.Deduct{Actor: keyB})); d != "" {
				t.Error(d)
			}
		}
		want := &credits.BudgetError{Subject: keyA, Limit: 10, Used: 4, Need: 7, Until: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)}
		if d := cmp.Diff(want, first); d != "" {
			t.Error(d)
		}
		creditstest.RequireBalance(t, l, db, acc, 96)
	})
}

func TestBudget_OfAnAccountWithoutCreditsIsThereBeforeThem(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		setBudget(t, l, db, credits.SetBudget{Subject: keyA, Limit: 3})
		fund(t, l, db, 100)
		_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 4, Actor: keyA})
		requireError(t, err, credits.ErrBudget)
	})
}

func TestBudget_InvalidOnesAreRefusedBeforeAnythingIsWritten(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		before := rows(t, db)
		for name, s := range map[string]credits.SetBudget{
			"nobody":       {Account: acc, Limit: 1},
			"half":         {Account: acc, Subject: tenancy.Actor{ID: "x"}, Limit: 1},
			"long":         {Account: acc, Subject: tenancy.Actor{Kind: "key", ID: strings.Repeat("x", 198)}, Limit: 1},
			"below zero":   {Account: acc, Subject: keyA, Limit: -1},
			"no period":    {Account: acc, Subject: keyA, Limit: 1, Period: "year"},
			"no zone":      {Account: acc, Subject: keyA, Limit: 1, Zone: "Mars/Olympus"},
			"this machine": {Account: acc, Subject: keyA, Limit: 1, Zone: "Local"},
			"no account":   {Account: "a b", Subject: keyA, Limit: 1},
			"no actor":     {Account: acc, Subject: keyA, Limit: 1, Actor: tenancy.Actor{Kind: "user"}},
		} {
			if _, err := l.SetBudget(t.Context(), db, s); !isInvalid(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, r := range []credits.RemoveBudget{{Account: acc}, {Account: "a b", Subject: keyA}} {
			if err := l.RemoveBudget(t.Context(), db, r); !isInvalid(err) {
				t.Errorf("%+v: %v", r, err)
			}
		}
		if _, err := l.Budgets(t.Context(), db, "a b"); !isInvalid(err) {
			t.Error(err)
		}
		if _, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1, OnBehalf: tenancy.Actor{ID: "x"}}); !isInvalid(err) {
			t.Error(err)
		}
		if _, err := l.Hold(t.Context(), db, credits.Hold{Account: acc, Amount: 1, OnBehalf: tenancy.Actor{ID: "x"}}); !isInvalid(err) {
			t.Error(err)
		}
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Error(d)
		}
	})
}

// Budgets that nobody has cost nothing: the statements are those of a ledger without them.
func TestBudget_AccountsWithoutOneAskForNone(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 10)
		setBudget(t, l, db, credits.SetBudget{Subject: keyA, Limit: 10})
		grant(t, l, db, credits.Grant{Account: other, Amount: 10, Key: "fund"})
		var asked []string
		hooked := db.WithQueryHook(onQuery(func(query string) { asked = append(asked, query) }))
		count := func(account tenancy.AccountID) (n int) {
			asked = nil
			deduct(t, l, hooked, credits.Deduct{Account: account, Amount: 1, Actor: keyA, OnBehalf: ada})
			for _, q := range asked {
				if strings.Contains(q, "credits_budgets") || strings.Contains(q, "credits_thresholds") {
					n++
				}
			}
			return n
		}
		if with, without := count(acc), count(other); with != 2 || without != 0 {
			t.Errorf("%d statements about budgets with one, %d without", with, without)
		}
	})
}

func TestBudgetRace_TwoProcessesSpendExactlyABudget(t *testing.T) {
	t.Parallel()
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 1000)
		setBudget(t, l, db, credits.SetBudget{Subject: keyA, Limit: 50, Period: credits.BudgetMonth})
		total := 0
		for _, out := range dbtest.Processes(t, 2, "budget", dbtest.DSN(db)) {
			var n int
			if _, err := fmt.Sscan(out, &n); err != nil {
				t.Fatal(err)
			}
			total += n
		}
		if total != 50 {
			t.Errorf("%d deductions from a budget of 50", total)
		}
		requireUsed(t, l, db, keyA, 50, 0)
		creditstest.RequireBalance(t, l, db, acc, 950)
		creditstest.RequireSound(t, l, db, acc)
	})
}

// A key spends on behalf of the member on whose rights it acts.
func TestBudget_MiddlewareSaysOnWhoseBehalf(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 100)
		setBudget(t, l, db, credits.SetBudget{Subject: ada, Limit: 7})
		accounts := tenancy.New(tenancy.Config{
			Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
				return tenancy.State{Status: tenancy.StatusActive}, tenancytest.Plans()[1], nil
			},
		})
		ask := func(actor tenancy.Actor, delegation *tenancy.Delegation) *httptest.ResponseRecorder {
			ctx, err := accounts.EnterAs(t.Context(), db, tenancy.Principal{Account: acc, Actor: actor, Delegation: delegation}, tenancy.Use)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			h := l.Middleware(db, credits.Fixed(5))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", "/", nil))
			return w
		}
		hers := &tenancy.Delegation{User: "usr_ada", Scopes: []tenancy.Permission{tenancy.AllScopes}}
		for _, c := range []struct {
			actor      tenancy.Actor
			delegation *tenancy.Delegation
			want       int
		}{
			{keyA, hers, 200}, {keyA, hers, 403}, {ada, nil, 403},
			{keyA, nil, 200}, {keyA, &tenancy.Delegation{}, 200},
		} {
			if w := ask(c.actor, c.delegation); w.Code != c.want || c.want == 403 && (!strings.Contains(w.Body.String(), `"code":"budget_exceeded"`) || w.Header().Get("Retry-After") != "") {
				t.Errorf("%+v: %d %s", c, w.Code, w.Body)
			}
		}
		requireUsed(t, l, db, ada, 5, 0)
	})
}

func TestHandler_ServesBudgets(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		ask := func() string {
			w := httptest.NewRecorder()
			ctx := tenancytest.Context(t, tenancy.Scope{Account: acc})
			l.Handler(db).ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/credits/budgets", nil))
			if w.Code != 200 {
				t.Errorf("%d", w.Code)
			}
			return strings.TrimSpace(w.Body.String())
		}
		if got := ask(); got != `{"budgets":[],"unit":"credit","exponent":0}` {
			t.Error(got)
		}
		setBudget(t, l, db, credits.SetBudget{Subject: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_secret"}, Limit: 5})
		setBudget(t, l, db, credits.SetBudget{Subject: keyA, Limit: 7, Period: credits.BudgetDay})
		want := `{"budgets":[{"subject":{"kind":"key","id":"key_a"},"limit":7,"used":0,"held":0,"period":"day","zone":"UTC",` +
			`"since":"2026-03-01T00:00:00Z","until":"2026-03-02T00:00:00Z"},` +
			`{"subject":{"kind":"operator","id":""},"limit":5,"used":0,"held":0,"period":"life","zone":"UTC","since":"2026-03-01T09:00:00Z"}],"unit":"credit","exponent":0}`
		if d := cmp.Diff(want, ask()); d != "" {
			t.Error(d)
		}
	})
}

func TestVerify_FindsWhatABudgetCountsWrong(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 100)
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 7, Actor: keyA}) // at the same moment, and before
		setBudget(t, l, db, credits.SetBudget{Subject: keyA, Limit: 50})
		e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 9, Actor: keyA})
		refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Amount: 2, Key: "r"})
		hold(t, l, db, credits.Hold{Account: acc, Amount: 4, Actor: keyB, OnBehalf: keyA})
		creditstest.RequireSound(t, l, db, acc)
		for damage, want := range map[string]string{
			"UPDATE credits_budgets SET used = 8":     "a budget counts what was spent: key key_a used 8, its entries of the period took 9 and 2 came back",
			"UPDATE credits_budgets SET held = 5":     "a budget counts what is held: key key_a holds 5, its holds 4",
			"UPDATE credits_accounts SET budgets = 0": "the account counts its budgets and thresholds: it says 0 and 0, there are 1 and 0",
		} {
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			exec(t, tx, damage)
			found, err := l.Verify(t.Context(), tx, acc)
			if err != nil || len(found) != 1 || found[0].String() != "acc_1: "+want {
				t.Errorf("%s: %v %v", damage, found, err)
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
