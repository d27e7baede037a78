package credits_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// drawConfig draws a policy, for a model and for ledgers.
func drawConfig(t *rapid.T, m *model, clock *tenancytest.Clock) credits.Config {
	m.grace = rapid.SampledFrom([]time.Duration{0, 2 * time.Hour}).Draw(t, "grace")
	m.overdraft = rapid.SampledFrom([]int64{0, 7}).Draw(t, "overdraft")
	m.periodic = rapid.Bool().Draw(t, "periodic")
	return credits.Config{
		Now: clock.Now, RefundGrace: m.grace, Overdraft: m.overdraft,
		Combine: rapid.SampledFrom([]credits.Combining{credits.CombineAll, credits.CombineAll, credits.CombineAccount, credits.CombineOff}).Draw(t, "combine"),
	}
}

// TestModel_AgreesWithTheLedgerAfterEveryStep runs random histories, each on an account
// of its own, on the model and on two ledgers that share a database as two processes do,
// neither of which sees what the other or a host's transaction changes.
func TestModel_AgreesWithTheLedgerAfterEveryStep(t *testing.T) {
	t.Parallel()
	const steps = 60
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		accounts := 0
		check(t, db, shares{sqlite: 15, postgres: 100}, func(t *rapid.T) {
			accounts++
			clock := tenancytest.NewClock(start)
			m := newModel(tenancy.AccountID(fmt.Sprint("acc_", accounts)))
			cfg := drawConfig(t, m, clock)
			ledgers := []*credits.Ledger{credits.New(cfg), credits.New(cfg)}
			for range rapid.IntRange(1, steps).Draw(t, "steps") {
				l := rapid.SampledFrom(ledgers).Draw(t, "ledger")
				switch rapid.SampledFrom([]string{"pool", "pool", "pool", "pool", "host", "clock"}).Draw(t, "way") {
				case "pool":
					both(t, m, l, db)
				case "host":
					inHost(t, m, l, db)
				default:
					clock.Advance(drawPause(t))
					m.pass(clock.Now())
				}
				if rapid.IntRange(0, 3).Draw(t, "look") > 0 { // which books what is due
					agree(t, m, l, db)
				}
			}
			m.agreed = 0
			agree(t, m, ledgers[0], db)
			if found, err := ledgers[0].Verify(context.Background(), db, m.account); err != nil || len(found) > 0 {
				t.Fatalf("verify: %v, %v", found, err)
			}
		})
	}, credits.Migrate)
}

// both does one operation on the ledger and on the model.
func both(t *rapid.T, m *model, l *credits.Ledger, db bun.IDB) {
	o := drawOperation(t, m)
	got := o.ask(context.Background(), l, db)
	want := m.do(o, got)
	if want.Hold.Replayed { // it is not stored
		want.Hold.Spendable, got.Hold.Spendable = 0, 0
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Fatalf("%s: %s", o, d)
	}
}

// inHost does some operations in a transaction of the host's, which commits or does not.
func inHost(t *rapid.T, m *model, l *credits.Ledger, db *bun.DB) {
	undo := errors.New("undo")
	before := m.clone()
	err := db.RunInTx(context.Background(), nil, func(_ context.Context, tx bun.Tx) error {
		for range rapid.IntRange(1, 3).Draw(t, "operations") {
			both(t, m, l, tx)
		}
		if rapid.Bool().Draw(t, "undone") {
			return undo
		}
		return nil
	})
	switch {
	case errors.Is(err, undo):
		*m = *before
	case err != nil:
		t.Fatal(err)
	}
}

func agree(t *rapid.T, m *model, l *credits.Ledger, db bun.IDB) {
	ctx := context.Background()
	b, err := l.Balance(ctx, db, m.account)
	if d := gocmp.Diff(m.balance(), b); d != "" || err != nil {
		t.Fatalf("balance: %s %v", d, err)
	}
	// Those that agreed before are left out, but for the last of them.
	want, got := m.entries[max(0, m.agreed-1):], newest(t, l, db, m.account, len(m.entries)-m.agreed+1)
	if d := gocmp.Diff(want, got); d != "" {
		t.Fatalf("entries: %s", d)
	}
	m.agreed = len(m.entries)
	if len(m.rules) > 0 {
		all, err := l.Allotments(ctx, db, m.account)
		if d := gocmp.Diff(m.allotments(), inWords(all...)); d != "" || err != nil {
			t.Fatalf("allotments: %s %v", d, err)
		}
	}
	for _, want := range m.holds {
		got, err := l.Held(ctx, db, m.account, want.ID)
		if d := gocmp.Diff(want.Held, got); d != "" || err != nil {
			t.Fatalf("hold: %s %v", d, err)
		}
	}
}

// newest are the last n entries of an account, or all, in their order.
func newest(t *rapid.T, l *credits.Ledger, db bun.IDB, account tenancy.AccountID, n int) (all []credits.Entry) {
	for page := (credits.Page{}); len(all) < n; {
		var err error
		page, err = l.Entries(context.Background(), db, credits.Entries{Account: account, Limit: min(500, n-len(all)), Before: page.Next})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Entries...)
		if page.Next == 0 {
			break
		}
	}
	slices.Reverse(all)
	return all
}

func sameRefusal(want, got error) bool {
	var a, b *credits.InsufficientError
	if errors.As(want, &a) && errors.As(got, &b) {
		return *a == *b
	}
	return errors.Is(got, want)
}
