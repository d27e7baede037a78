package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quitrent/quitrent/internal/dbtest"
)

// The figures themselves say nothing here: only that every call gave what is right, and
// that both ledgers agree to the credit in the end.
func TestCredits_EveryFigureEndsWithLedgersThatAgree(t *testing.T) {
	b, out := tiny()
	if err := deductions(t.Context(), b, dbtest.DSN(dbtest.Postgres(t))); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n != 12 {
		t.Errorf("%d figures instead of 12:\n%s", n, out)
	}
}

func TestCredits_IsNoFigureWhenTheLedgersDisagree(t *testing.T) {
	b, _ := tiny()
	run := func(t *testing.T, open func(context.Context) (*books, error), then func(k *books) error) error {
		return withBooks(t.Context(), b, open, shape{accounts: 1}, func(k *books) error {
			if err := k.against(t.Context(), b, "tiny", 128, 1); err != nil {
				t.Fatal(err)
			}
			return then(k)
		})
	}
	sql := func(q string) func(k *books) error {
		return func(k *books) error {
			_, err := k.db.NewRaw(q).Exec(t.Context())
			return err
		}
	}
	cases := []struct {
		name string
		then func(k *books) error
		says string
	}{
		{"nothing is wrong", func(*books) error { return nil }, ""},
		{"told of one that is not there", func(k *books) error { k.told.taken.Add(1); return nil }, "callers were told of"},
		{"told of another's number", func(k *books) error { k.told.numbers.Add(1); return nil }, "callers were told of"},
		{"told of another entry", func(k *books) error { k.told.sample[0].Key += "x"; return nil }, "a caller was told of"},
		{"a credit came back", sql("UPDATE credits_accounts SET booked = booked + 1"), "are gone and callers were told of"},
		{"a grant has more", sql("UPDATE credits_grants SET remaining = remaining + 1 WHERE remaining = 0"), "do not add up"},
		{"a key is lost", sql("DROP TRIGGER credits_entries_no_update; UPDATE credits_entries SET hash = '' WHERE number = 9"), "do not add up"},
		{"something is held by nobody", sql("UPDATE credits_accounts SET held = 1"), "the ledger is wrong"},
		{"the baseline wrote one less", sql("DELETE FROM guarded_entries WHERE key = (SELECT MAX(key) FROM guarded_entries)"), "the baseline"},
		{"the baseline took one less", sql("UPDATE guarded_accounts SET balance = balance + 1"), "the baseline"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := run(t, onSQLite, c.then)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("want %q: %v", c.says, err)
			}
		})
	}
}

func TestCredits_NothingIsMeasuredThatIsNotDurable(t *testing.T) {
	db := dbtest.Postgres(t)
	var fsync string
	if err := db.NewRaw("SHOW fsync").Scan(t.Context(), &fsync); err != nil {
		t.Fatal(err)
	}
	b, _ := tiny()
	if err := durable(t.Context(), b, dbtest.DSN(db)); fsync == "off" && err == nil {
		t.Error("fsync is off, and it is measured")
	}
}

func TestChild_SaysWhatWentWrong(t *testing.T) {
	c, err := newChild("postgres://nobody@127.0.0.1:1/nothing?sslmode=disable&connect_timeout=1")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.do(order{Callers: 1, Stretch: stretch{Calls: 1}}); err == nil || !strings.Contains(err.Error(), "a child: ") {
		t.Error(err)
	}
	if err := c.end(); err != nil {
		t.Error(err)
	}
}

func TestRush_CountsTheCallsOfAllCallersUntilOneFails(t *testing.T) {
	var calls [5]atomic.Int64
	p, err := rush(t.Context(), stretch{Calls: 7}, 5, func(_ context.Context, caller int) error {
		calls[caller].Add(1)
		return nil
	})
	if err != nil || len(p.Took) != 35 || p.Rate <= 0 {
		t.Error(p, err)
	}
	for i := range calls {
		if n := calls[i].Load(); n != 7 {
			t.Errorf("caller %d called %d times", i, n)
		}
	}
	boom, failed := errors.New("boom"), make(chan struct{})
	var more atomic.Int64
	const many = 1_000_000
	_, err = rush(t.Context(), stretch{Calls: many}, 5, func(_ context.Context, caller int) error {
		if caller == 3 {
			close(failed)
			return boom
		}
		<-failed
		more.Add(1)
		return nil
	})
	if n := more.Load(); !errors.Is(err, boom) || n == 4*many {
		t.Errorf("%v after %d calls", err, n)
	}
}

func TestCompete_TheRatioIsOfTheRates(t *testing.T) {
	at := func(rate float64, err error) crowd {
		return func(context.Context, stretch) (pace, error) {
			return pace{Rate: rate, Took: []time.Duration{1e6, 2e6}}, err
		}
	}
	for _, c := range []struct {
		contest contest
		says    string
	}{
		{contest{name: "a", bar: 3, faster: true, ours: at(300, nil), baseline: at(100, nil)}, "a (1.0/1.0, 1.0/1.0 ms) 300/s 100/s 3.000 ≥ 3.00 ok"},
		{contest{name: "a", bar: 2, ours: at(100, nil), baseline: at(300, nil)}, "a (1.0/1.0, 1.0/1.0 ms) 100/s 300/s 3.000 ≤ 2.00 short"},
		{contest{name: "a", ours: at(1, errors.New("boom")), baseline: at(1, nil)}, ""},
		{contest{name: "a", ours: at(1, nil), baseline: func(context.Context, stretch) (pace, error) { return pace{}, nil }}, ""},
	} {
		b, out := tiny()
		err := compete(t.Context(), b, c.contest)
		if said := strings.Join(strings.Fields(out.String()), " "); said != c.says || (err == nil) != (c.says != "") {
			t.Errorf("%q instead of %q, %v", said, c.says, err)
		}
	}
}
