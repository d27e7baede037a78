package credits_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// run is one way in which a timeline comes to pass, in a unit and on an account of its
// own.
type run struct {
	unit    string
	account tenancy.AccountID
	ledger  *credits.Ledger
	holds   map[string]string // the model's id of each hold → the account's
	ours    map[string]string // and back
}

// TestSplitRun_EndsTheSameWhereverTheTimelineIsCut lets one timeline come to pass in
// three ways: swept whenever the clock moves, never, and swept or looked at now and
// then. What has happened by itself is the same, to the entry.
func TestSplitRun_EndsTheSameWhereverTheTimelineIsCut(t *testing.T) {
	t.Parallel()
	const steps = 24
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		ctx, checks := context.Background(), 0
		check(t, db, shares{sqlite: 20, postgres: 100}, func(t *rapid.T) {
			checks++
			clock := tenancytest.NewClock(start)
			m := newModel("acc_model")
			cfg := drawConfig(t, m, clock)
			var runs []*run
			for _, cfg.Unit = range []string{"swept", "never", "sometimes"} {
				runs = append(runs, &run{
					unit: cfg.Unit, account: tenancy.AccountID(fmt.Sprint(cfg.Unit, checks)), ledger: credits.New(cfg),
					holds: map[string]string{"hld_none": "hld_none"}, ours: map[string]string{},
				})
			}
			for range rapid.IntRange(1, steps).Draw(t, "steps") {
				if rapid.IntRange(0, 3).Draw(t, "way") > 0 {
					inAll(t, m, runs, db)
					continue
				}
				for range rapid.IntRange(1, 3).Draw(t, "pauses") {
					clock.Advance(drawPause(t))
					m.pass(clock.Now())
					for _, r := range runs {
						if err := r.between(ctx, t, db); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			for _, r := range runs {
				r.agree(t, m, db)
				// The sweeps of what follows have this one's accounts to sweep too.
				for _, rule := range m.rules {
					if _, err := r.ledger.EndAllotment(ctx, db, credits.EndAllotment{Account: r.account, Name: rule.Name}); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}, credits.Migrate)
}

// between is what happens after the clock has moved.
func (r *run) between(ctx context.Context, t *rapid.T, db *bun.DB) error {
	what := map[string]string{"swept": "sweep", "never": "nothing"}[r.unit]
	if what == "" {
		what = rapid.SampledFrom([]string{"nothing", "sweep", "look"}).Draw(t, "between")
	}
	var err error
	switch what {
	case "sweep":
		_, err = r.ledger.Sweep(ctx, db)
	case "look":
		_, err = r.ledger.Balance(ctx, db, r.account)
	}
	return err
}

// inAll does one operation in all runs and on the model.
func inAll(t *rapid.T, m *model, runs []*run, db *bun.DB) {
	o := drawOperation(t, m)
	want := m.do(o, result{Hold: credits.Held{ID: fmt.Sprint("hold", len(m.holds))}})
	for _, r := range runs {
		got := o.elsewhere(r).ask(context.Background(), r.ledger, db)
		if id := got.Hold.ID; r.ours[id] == "" {
			r.holds[want.Hold.ID], r.ours[id] = id, want.Hold.ID
		}
		if want.Hold.Replayed { // it is not stored
			want.Hold.Spendable, got.Hold.Spendable = 0, 0
		}
		if d := gocmp.Diff(want, r.translated(got)); d != "" {
			t.Fatalf("%s: %s: %s", r.unit, o, d)
		}
	}
}

// translated is a result in the model's words: its account and its ids of holds.
func (r *run) translated(got result) result {
	if got.Entry.Number != 0 {
		got.Entry.Account = "acc_model"
	}
	if id, ok := strings.CutPrefix(got.Entry.Key, "quitrent:settle:"); ok {
		got.Entry.Key = "quitrent:settle:" + r.ours[id]
	}
	if strings.HasPrefix(got.Entry.Key, "quitrent:allotment:") || strings.HasPrefix(got.Entry.Key, "quitrent:rollover:") {
		got.Entry.Key = strings.TrimSuffix(got.Entry.Key, ":"+r.unit)
	}
	got.Allotment = strings.ReplaceAll(got.Allotment, string(r.account), "acc_model")
	got.Entry.Hold = r.ours[got.Entry.Hold]
	if got.Hold.ID != "" {
		got.Hold.Account, got.Hold.ID = "acc_model", r.ours[got.Hold.ID]
	}
	return got
}

func (r *run) agree(t *rapid.T, m *model, db *bun.DB) {
	ctx := context.Background()
	b, err := r.ledger.Balance(ctx, db, r.account)
	if d := gocmp.Diff(m.balance(), b); d != "" || err != nil {
		t.Fatalf("%s: balance: %s %v", r.unit, d, err)
	}
	var entries []credits.Entry
	for _, e := range newest(t, r.ledger, db, r.account, len(m.entries)+1) {
		entries = append(entries, r.translated(result{Entry: e}).Entry)
	}
	if d := gocmp.Diff(m.entries, entries); d != "" {
		t.Fatalf("%s: entries: %s", r.unit, d)
	}
	for _, h := range m.holds {
		got, err := r.ledger.Held(ctx, db, r.account, r.holds[h.ID])
		if d := gocmp.Diff(h.Held, r.translated(result{Hold: got}).Hold); d != "" || err != nil {
			t.Fatalf("%s: hold: %s %v", r.unit, d, err)
		}
	}
	all, err := r.ledger.Allotments(ctx, db, r.account)
	got := r.translated(result{Allotment: inWords(all...)}).Allotment
	if d := gocmp.Diff(m.allotments(), got); d != "" || err != nil {
		t.Fatalf("%s: allotments: %s %v", r.unit, d, err)
	}
	if found, err := r.ledger.Verify(ctx, db, r.account); err != nil || len(found) > 0 {
		t.Fatalf("%s: verify: %v, %v", r.unit, found, err)
	}
}
