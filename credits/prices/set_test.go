package prices_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits/prices"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestSet_TakesEffectAtTheInstant(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		june := t0.AddDate(0, 3, 0)
		w.set(t, prices.Set{Operation: "chat", Price: fixed(5)})
		w.set(t, prices.Set{Operation: "chat", Price: fixed(6), EffectiveAt: june})
		w.set(t, prices.Set{Operation: "image", Price: fixed(9)})
		for _, c := range []struct {
			at   time.Time
			want string
		}{
			{t0.Add(-time.Microsecond), "none"},
			{t0, "1 for 5"},
			{june.Add(-time.Microsecond), "1 for 5"},
			{june, "2 for 6"},
			{june.Add(time.Microsecond), "2 for 6"},
			{june.In(time.FixedZone("", -5*3600)), "2 for 6"},
			{june.Add(-time.Microsecond).In(time.FixedZone("", 14*3600)), "1 for 5"},
			{time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), "2 for 6"},
		} {
			same(t, c.at.String(), c.want, w.costs(t, "", c.at))
		}
		// Without an instant it is now.
		same(t, "now", "1 for 5", w.costs(t, "", time.Time{}))
		w.clock.Set(june)
		same(t, "in June", "2 for 6", w.costs(t, "", time.Time{}))
	})
}

// The one fraction of a second that begins with the other sorts before it as text too.
func TestSet_TellsInstantsApartWithinASecond(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.clock.Set(t0.Truncate(time.Second))
		base := w.clock.Now()
		dates := []time.Duration{0, 10, 100, 120, 100_000, 120_000, 120_001, 999_999}
		for i, d := range dates {
			w.set(t, prices.Set{Operation: "chat", Price: fixed(int64(i + 1)), EffectiveAt: base.Add(d * time.Microsecond)})
		}
		for i, d := range dates {
			at := base.Add(d * time.Microsecond)
			want := w.quote(t, prices.Quote{Operation: "chat", At: at})
			if want.Version.Number != int64(i+1) || !want.Version.EffectiveAt.Equal(at) {
				t.Errorf("%v: %+v", d, want.Version)
			}
			if i > 0 {
				if before := w.quote(t, prices.Quote{Operation: "chat", At: at.Add(-time.Microsecond)}); before.Version.Number != int64(i) {
					t.Errorf("before %v: version %d", d, before.Version.Number)
				}
			}
		}
	})
}

func TestSet_ALaterOneForTheSameDateCallsOffThePlannedOne(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		april, june := t0.AddDate(0, 1, 0), t0.AddDate(0, 3, 0)
		w.set(t, prices.Set{Operation: "chat", Price: fixed(5)})
		w.set(t, prices.Set{Operation: "chat", Price: fixed(6), EffectiveAt: june})
		w.set(t, prices.Set{Operation: "chat", Price: fixed(5), EffectiveAt: june})
		same(t, "in June", "3 for 5", w.costs(t, "", june))
		// What is set for an earlier date leaves a later one as it was planned.
		w.set(t, prices.Set{Operation: "chat", Price: fixed(4), EffectiveAt: april})
		same(t, "in April", "4 for 4", w.costs(t, "", april))
		same(t, "still in June", "3 for 5", w.costs(t, "", june))
		same(t, "now", "1 for 5", w.costs(t, "", t0))
	})
}

func TestSet_ForADateIsKeptWhateverHoldsBefore(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		april, june := t0.AddDate(0, 1, 0), t0.AddDate(0, 3, 0)
		w.set(t, prices.Set{Operation: "chat", Price: fixed(5)})
		w.set(t, prices.Set{Operation: "chat", Price: fixed(5), EffectiveAt: june})
		w.set(t, prices.Set{Operation: "chat", Price: fixed(4), EffectiveAt: april})
		same(t, "in April", "3 for 4", w.costs(t, "", april))
		same(t, "in June", "2 for 5", w.costs(t, "", june))
	})
}

func TestSet_WhatWasOnceInEffectStaysAsItWas(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set(t, prices.Set{Operation: "chat", Price: fixed(5)})
		w.clock.Advance(time.Hour)
		w.unchanged(t, "a date in the past", func() {
			for _, at := range []time.Time{t0, t0.Add(-time.Hour), w.clock.Now().Add(-time.Microsecond)} {
				_, err := w.list.Set(t.Context(), w.db, prices.Set{Operation: "chat", Price: fixed(6), EffectiveAt: at})
				wantErr(t, "set", err, prices.ErrInvalid)
				_, err = w.list.End(t.Context(), w.db, prices.End{Operation: "chat", EffectiveAt: at})
				wantErr(t, "end", err, prices.ErrInvalid)
				_, err = w.list.Set(t.Context(), w.db, prices.Set{Operation: "image", Price: fixed(6), EffectiveAt: at})
				wantErr(t, "the first of its operation", err, prices.ErrInvalid)
			}
		})
		w.set(t, prices.Set{Operation: "chat", Price: fixed(6), EffectiveAt: w.clock.Now()})
		w.clock.Advance(time.Hour)
		w.set(t, prices.Set{Operation: "chat", Price: fixed(7)})
		same(t, "the first hour", "1 for 5", w.costs(t, "", t0.Add(time.Hour-time.Microsecond)))
		same(t, "the second hour", "2 for 6", w.costs(t, "", t0.Add(2*time.Hour-time.Microsecond)))
	})
}

func TestSet_WritesNothingThatTheListSaysAlready(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		june := t0.AddDate(0, 3, 0)
		a, b := prices.Component{Input: "a", Credits: 1, Per: 10}, prices.Component{Input: "b", Credits: 2}
		ab := prices.Price{Components: []prices.Component{a, b}, Minimum: 3}
		first := w.set(t, prices.Set{Operation: "chat", Price: ab})
		planned := w.set(t, prices.Set{Operation: "chat", Price: fixed(6), EffectiveAt: june})
		if first.Unchanged || planned.Unchanged {
			t.Error(first, planned)
		}
		w.unchanged(t, "the same again", func() {
			w.clock.Advance(time.Hour)
			b.Per = 1
			again := w.set(t, prices.Set{Operation: "chat", Price: prices.Price{Components: []prices.Component{b, a}, Minimum: 3, Rounding: prices.RoundUp}})
			first.Unchanged, planned.Unchanged = true, true
			same(t, "in other words", first, again)
			same(t, "by its date", first, w.set(t, prices.Set{Operation: "chat", Price: ab, EffectiveAt: t0}))
			same(t, "planned", planned, w.set(t, prices.Set{Operation: "chat", Price: fixed(6), EffectiveAt: june}))
			w.clock.Set(june.Add(time.Hour))
			same(t, "planned, afterwards", planned, w.set(t, prices.Set{Operation: "chat", Price: fixed(6), EffectiveAt: june}))
			same(t, "in effect now", planned, w.set(t, prices.Set{Operation: "chat", Price: fixed(6)}))
		})
		w.end(t, prices.End{Operation: "chat"})
		w.unchanged(t, "ending again", func() {
			if v := w.end(t, prices.End{Operation: "chat"}); !v.Unchanged || !v.Ended || v.Number != 3 {
				t.Errorf("%+v", v)
			}
		})
		for i, p := range []prices.Price{
			{Fixed: 1}, {Minimum: 1}, {Free: true}, {Fixed: 1, Minimum: 1}, {Fixed: 1, Minimum: 1, Rounding: prices.RoundDown},
			{Fixed: 1, Components: []prices.Component{a}}, {Fixed: 1, Components: []prices.Component{b}}, {Fixed: 1, Components: []prices.Component{a, b}},
		} {
			if v := w.set(t, prices.Set{Operation: "chat", Price: p}); v.Unchanged || v.Number != int64(4+i) {
				t.Errorf("%+v: %+v", p, v)
			}
		}
	})
}

func TestEnd_LeavesNoPriceAndNotAFreeOne(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.unchanged(t, "what never was", func() {
			_, err := w.list.End(t.Context(), w.db, prices.End{Operation: "chat"})
			wantErr(t, "end", err, prices.ErrNoPrice)
		})
		june := t0.AddDate(0, 3, 0)
		w.set(t, prices.Set{Operation: "chat", Price: fixed(5)})
		w.end(t, prices.End{Operation: "chat", EffectiveAt: june})
		same(t, "before", "1 for 5", w.costs(t, "", june.Add(-time.Microsecond)))
		same(t, "from then on", "none", w.costs(t, "", june))
		w.clock.Set(june.AddDate(0, 1, 0))
		w.set(t, prices.Set{Operation: "chat", Price: prices.Price{Free: true}})
		same(t, "free again", "3 for 0", w.costs(t, "", time.Time{}))
	})
}

func TestAccount_ItsOwnPriceGoesBeforeTheGeneralOneWhileItIsThere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		april, june := t0.AddDate(0, 1, 0), t0.AddDate(0, 3, 0)
		w.set(t, prices.Set{Operation: "chat", Price: fixed(5)})
		w.set(t, prices.Set{Operation: "chat", Price: fixed(6), EffectiveAt: april})
		own := w.set(t, prices.Set{Account: acc, Operation: "chat", Price: fixed(3), EffectiveAt: april})
		w.end(t, prices.End{Account: acc, Operation: "chat", EffectiveAt: june})
		if own.Number != 1 || own.Account != acc {
			t.Errorf("its versions are not counted by themselves: %+v", own)
		}
		for _, c := range []struct {
			account tenancy.AccountID
			at      time.Time
			want    string
		}{
			{acc, t0, "1 for 5"}, {acc, april, "1 for 3"}, {acc, june, "2 for 6"},
			{other, t0, "1 for 5"}, {other, april, "2 for 6"}, {other, june, "2 for 6"},
			{"", april, "2 for 6"},
		} {
			same(t, string(c.account)+" at "+c.at.String(), c.want, w.costs(t, c.account, c.at))
		}
		// One whose operation has no general price.
		w.set(t, prices.Set{Account: acc, Operation: "video", Price: fixed(50)})
		if q := w.quote(t, prices.Quote{Account: acc, Operation: "video"}); q.Amount != 50 {
			t.Error(q)
		}
		for _, account := range []tenancy.AccountID{other, ""} {
			_, err := w.list.Quote(t.Context(), w.db, prices.Quote{Account: account, Operation: "video"})
			wantErr(t, "of another", err, prices.ErrNoPrice)
		}
	})
}

func TestSet_IsAudited(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set(t, prices.Set{Operation: "chat", Price: fixed(5), Actor: operator, Reason: "to begin with"})
		w.set(t, prices.Set{Account: acc, Operation: "chat", Price: fixed(3)})
		w.end(t, prices.End{Account: acc, Operation: "chat", Actor: operator})
		system := tenancy.Actor{Kind: tenancy.ActorSystem, ID: "credits"}
		for _, c := range []struct {
			account tenancy.AccountID
			action  string
			actor   tenancy.Actor
			reason  string
			data    string
		}{
			{"", "credits.set_price", operator, "to begin with",
				`{"operation":"chat","number":1,"price":{"fixed":5,"rounding":"up"},"effective_at":"2026-03-01T09:00:00.123456Z","set_at":"2026-03-01T09:00:00.123456Z"}`},
			{acc, "credits.set_price", system, "",
				`{"account":"acc_1","operation":"chat","number":1,"price":{"fixed":3,"rounding":"up"},"effective_at":"2026-03-01T09:00:00.123456Z","set_at":"2026-03-01T09:00:00.123456Z"}`},
			{acc, "credits.end_price", operator, "",
				`{"account":"acc_1","operation":"chat","number":2,"ended":true,"effective_at":"2026-03-01T09:00:00.123456Z","set_at":"2026-03-01T09:00:00.123456Z"}`},
		} {
			line := tenancytest.RequireAudit(t, w.db, c.account, c.action)
			line.ID = ""
			same(t, c.action, tenancy.Audit{
				Account: c.account, At: t0, Actor: c.actor, Action: c.action, Target: "chat", Reason: c.reason, Data: json.RawMessage(c.data),
			}, line)
		}
	})
}

func TestSet_RefusesAndWritesNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		long := strings.Repeat("x", 201)
		for what, s := range map[string]prices.Set{
			"no operation":            {Price: fixed(1)},
			"a long operation":        {Operation: long, Price: fixed(1)},
			"a quote":                 {Operation: `ch"at`, Price: fixed(1)},
			"a backslash":             {Operation: `ch\at`, Price: fixed(1)},
			"a control character":     {Operation: "ch\nat", Price: fixed(1)},
			"a line separator":        {Operation: "ch\u2028at", Price: fixed(1)},
			"an invisible character":  {Operation: "ch\u200bat", Price: fixed(1)},
			"no UTF-8":                {Operation: "ch\xffat", Price: fixed(1)},
			"no account id":           {Account: "a b", Operation: "chat", Price: fixed(1)},
			"no price":                {Operation: "chat"},
			"free and not":            {Operation: "chat", Price: prices.Price{Free: true, Fixed: 1}},
			"below zero":              {Operation: "chat", Price: fixed(-1)},
			"a minimum below zero":    {Operation: "chat", Price: prices.Price{Fixed: 1, Minimum: -1}},
			"an unknown rounding":     {Operation: "chat", Price: prices.Price{Fixed: 1, Rounding: "floor"}},
			"nine components":         {Operation: "chat", Price: prices.Price{Components: components("abcdefghi")}},
			"a component twice":       {Operation: "chat", Price: prices.Price{Components: components("aba")}},
			"an input without a name": {Operation: "chat", Price: prices.Price{Components: []prices.Component{{Credits: 1}}}},
			"an input with a colon":   {Operation: "chat", Price: prices.Price{Components: []prices.Component{{Input: "a:b", Credits: 1}}}},
			"a long input":            {Operation: "chat", Price: prices.Price{Components: []prices.Component{{Input: long[:33], Credits: 1}}}},
			"a component for nothing": {Operation: "chat", Price: prices.Price{Components: []prices.Component{{Input: "a"}}}},
			"a credit to the counter": {Operation: "chat", Price: prices.Price{Components: []prices.Component{{Input: "a", Credits: -1}}}},
			"per less than nothing":   {Operation: "chat", Price: prices.Price{Components: []prices.Component{{Input: "a", Credits: 1, Per: -1}}}},
			"per too many":            {Operation: "chat", Price: prices.Price{Components: []prices.Component{{Input: "a", Credits: 1, Per: 1e12 + 1}}}},
			"per primes":              {Operation: "chat", Price: prices.Price{Components: []prices.Component{{Input: "a", Credits: 1, Per: 999983}, {Input: "b", Credits: 1, Per: 1000003}, {Input: "c", Credits: 1, Per: 2}}}},
			"no year":                 {Operation: "chat", Price: fixed(1), EffectiveAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
			"a long reason":           {Operation: "chat", Price: fixed(1), Reason: strings.Repeat(long, 5)},
			"half an actor":           {Operation: "chat", Price: fixed(1), Actor: tenancy.Actor{Kind: tenancy.ActorOperator}},
		} {
			w.unchanged(t, what, func() {
				_, err := w.list.Set(t.Context(), w.db, s)
				wantErr(t, what, err, prices.ErrInvalid)
			})
		}
		w.set(t, prices.Set{Operation: strings.Repeat("é", 100), Price: prices.Price{Components: components("abcdefgh")}, Reason: strings.Repeat("x", 1000)})
	})
}

// components are one for each letter, at a credit.
func components(letters string) (out []prices.Component) {
	for _, c := range letters {
		out = append(out, prices.Component{Input: string(c), Credits: 1})
	}
	return out
}

func TestSet_JoinsTheHostsTransaction(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		rolledBack := errors.New("the host changed its mind")
		err := w.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			if _, err := w.list.Set(ctx, tx, prices.Set{Operation: "chat", Price: fixed(5)}); err != nil {
				return err
			}
			q, err := w.list.Quote(ctx, tx, prices.Quote{Operation: "chat"})
			if err != nil || q.Amount != 5 {
				t.Error("inside:", q, err)
			}
			return rolledBack
		})
		wantErr(t, "host", err, rolledBack)
		same(t, "afterwards", "none", w.costs(t, "", t0))

		// Every refusal leaves the transaction as good as it was.
		err = w.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			_, err := w.list.Quote(ctx, tx, prices.Quote{Operation: "chat"})
			wantErr(t, "quote", err, prices.ErrNoPrice)
			_, err = w.list.End(ctx, tx, prices.End{Operation: "chat"})
			wantErr(t, "end", err, prices.ErrNoPrice)
			_, err = w.list.Set(ctx, tx, prices.Set{Operation: "chat", Price: fixed(5), EffectiveAt: t0.Add(-1)})
			wantErr(t, "set", err, prices.ErrInvalid)
			_, err = w.list.Explain(ctx, tx, prices.Explain{Basis: `{"amount":5,"operation":"chat","version":1}`})
			wantErr(t, "explain", err, prices.ErrNoPrice)
			_, err = w.list.Set(ctx, tx, prices.Set{Operation: "chat", Price: prices.Price{Components: []prices.Component{{Input: "n", Credits: 1 << 62}}}})
			wantErr(t, "set", err, nil)
			_, err = w.list.Quote(ctx, tx, prices.Quote{Operation: "chat", Inputs: map[string]int64{"n": 2}})
			wantErr(t, "quote", err, prices.ErrOverflow)
			_, err = w.list.Set(ctx, tx, prices.Set{Operation: "chat", Price: fixed(5)})
			return err
		})
		wantErr(t, "host", err, nil)
		same(t, "committed", "2 for 5", w.costs(t, "", t0))
	})
}
