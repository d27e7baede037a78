package prices_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/quitrent/quitrent/credits/prices"
	"github.com/quitrent/quitrent/tenancy"
)

func TestPrices_AreThoseInEffect(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		june := t0.AddDate(0, 3, 0)
		for i, s := range []prices.Set{
			{Operation: "video", Price: fixed(1)},
			{Operation: "chat", Price: fixed(2)},
			{Operation: "Zebra", Price: fixed(3)},
			{Operation: "chat", Price: fixed(4), EffectiveAt: june},
			{Operation: "chat", Price: fixed(5), EffectiveAt: june},
			{Operation: "later", Price: fixed(6), EffectiveAt: june},
			{Operation: "chat", Price: fixed(7), Account: acc},
			{Operation: "own", Price: fixed(8), Account: acc},
			{Operation: "video", Price: fixed(9), Account: other},
		} {
			if v := w.set(t, s); v.Unchanged {
				t.Fatal(i, v)
			}
		}
		w.end(t, prices.End{Operation: "chat", Account: acc, EffectiveAt: june})
		w.end(t, prices.End{Operation: "video", EffectiveAt: june})
		for _, c := range []struct {
			account tenancy.AccountID
			at      time.Time
			want    string
		}{
			{"", t0.Add(-time.Microsecond), ""},
			{"", time.Time{}, "Zebra 3, chat 2, video 1, "},
			{"", june, "Zebra 3, chat 5, later 6, "},
			{acc, t0, "Zebra 3, chat 7 of its own, own 8 of its own, video 1, "},
			{acc, june, "Zebra 3, chat 5, later 6, own 8 of its own, "},
			{other, t0, "Zebra 3, chat 2, video 9 of its own, "},
		} {
			found, err := w.list.Prices(t.Context(), w.db, prices.Prices{Account: c.account, At: c.at})
			wantErr(t, "prices", err, nil)
			got := ""
			for _, v := range found {
				got += fmt.Sprintf("%s %d", v.Operation, v.Price.Fixed)
				if v.Account != "" {
					got += " of its own"
				}
				got += ", "
				// The list and a quote say the same.
				q := w.quote(t, prices.Quote{Account: c.account, Operation: v.Operation, At: c.at})
				same(t, "quote", v, q.Version)
			}
			same(t, fmt.Sprintf("%s at %v", c.account, c.at), c.want, got)
		}
		for _, p := range []prices.Prices{{Account: "a b"}, {At: t0.AddDate(9000, 0, 0)}} {
			_, err := w.list.Prices(t.Context(), w.db, p)
			wantErr(t, "prices", err, prices.ErrInvalid)
		}
	})
}

func TestHistory_IsAllThatWasSetInItsOrder(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		june := t0.AddDate(0, 3, 0)
		want := []prices.Version{
			w.set(t, prices.Set{Operation: "chat", Price: prices.Price{
				Components: []prices.Component{{Input: "b", Credits: 2, Per: 1000}, {Input: "a", Credits: 1}}, Minimum: 3, Rounding: prices.RoundHalfEven,
			}}),
			w.set(t, prices.Set{Operation: "chat", Price: fixed(5), EffectiveAt: june.In(time.FixedZone("", 3600))}),
			w.end(t, prices.End{Operation: "chat", EffectiveAt: t0.AddDate(0, 1, 0)}),
			w.set(t, prices.Set{Operation: "chat", Price: prices.Price{Free: true}}),
		}
		w.set(t, prices.Set{Operation: "chat", Account: acc, Price: fixed(9)})
		w.set(t, prices.Set{Operation: "chats", Price: fixed(9)})
		same(t, "the first", prices.Version{
			Operation: "chat", Number: 1, EffectiveAt: t0, SetAt: t0,
			Price: prices.Price{
				Components: []prices.Component{{Input: "a", Credits: 1, Per: 1}, {Input: "b", Credits: 2, Per: 1000}}, Minimum: 3, Rounding: prices.RoundHalfEven,
			},
		}, want[0])
		page := func(h prices.History) []prices.Version {
			t.Helper()
			got, err := w.list.History(t.Context(), w.db, h)
			wantErr(t, "history", err, nil)
			return got
		}
		same(t, "all", []prices.Version{want[3], want[2], want[1], want[0]}, page(prices.History{Operation: "chat"}))
		same(t, "a page", []prices.Version{want[3], want[2]}, page(prices.History{Operation: "chat", Limit: 2}))
		same(t, "the next", []prices.Version{want[1]}, page(prices.History{Operation: "chat", Limit: 1, Before: 3}))
		same(t, "none left", []prices.Version{}, page(prices.History{Operation: "chat", Before: 1}))
		same(t, "of another", 1, len(page(prices.History{Operation: "chat", Account: acc})))
		same(t, "of what never was", []prices.Version{}, page(prices.History{Operation: "image"}))
		for _, h := range []prices.History{{}, {Operation: "chat", Account: "a b"}} {
			_, err := w.list.History(t.Context(), w.db, h)
			wantErr(t, "history", err, prices.ErrInvalid)
		}
	})
}
