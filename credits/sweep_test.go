package credits_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// Four accounts have a period that is due; the first and the third are in a time zone that
// this machine does not know.
func TestSweep_GoesOnPastAnAccountThatFails(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		accounts := []tenancy.AccountID{"a", "b", "c", "d"}
		for _, id := range accounts {
			allot(t, l, db, credits.SetAllotment{Account: id, Name: "plan", Amount: 100, Zone: "Europe/Vienna"})
		}
		exec(t, db, "UPDATE credits_allotments SET zone = 'Europe/Atlantis' WHERE account_id IN ('a', 'c')")
		clock.Set(at(4, 2))
		for run, want := range []int{2, 0} {
			n, err := l.Sweep(t.Context(), db)
			if n != want || err == nil {
				t.Fatalf("run %d: %d swept, %v", run, n, err)
			}
			for _, id := range accounts {
				if named := strings.Contains(err.Error(), "account "+string(id)+": "); named != (id == "a" || id == "c") {
					t.Errorf("run %d: account %s is named: %t, in %q", run, id, named, err)
				}
			}
		}
		for _, id := range []tenancy.AccountID{"b", "d"} {
			if n := scan[int](t, db, "SELECT COUNT(*) FROM credits_entries WHERE account_id = ?", id); n != 3 {
				t.Errorf("account %s has %d entries", id, n)
			}
		}
		exec(t, db, "UPDATE credits_allotments SET zone = 'Europe/Vienna'")
		if n, err := l.Sweep(t.Context(), db); n != 2 || err != nil {
			t.Errorf("put right: %d swept, %v", n, err)
		}
		creditstest.RequireSound(t, l, db, "")
	})
}

func TestSweep_EndsWithItsContextAndNamesWhatFailedBefore(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		for _, id := range []tenancy.AccountID{"a", "b", "c", "d"} {
			allot(t, l, db, credits.SetAllotment{Account: id, Name: "plan", Amount: 100})
		}
		exec(t, db, "UPDATE credits_allotments SET zone = 'Europe/Atlantis' WHERE account_id = 'a'")
		clock.Set(at(4, 2))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n, err := l.Sweep(ctx, db.WithQueryHook(onQuery(func(q string) {
			if strings.Contains(q, "SELECT next_at") && strings.Contains(q, "'c'") {
				cancel()
			}
		})))
		if n != 1 || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "account a: ") || strings.Contains(err.Error(), "account c") {
			t.Errorf("%d swept, %v", n, err)
		}
	})
}
