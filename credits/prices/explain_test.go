package prices_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/quitrent/quitrent/credits/prices"
)

func TestExplain_SaysWhyInOneLine(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		tokens := []prices.Component{{Input: "input_tokens", Credits: 3, Per: 1000}, {Input: "output_tokens", Credits: 15, Per: 1000}}
		inputs := map[string]int64{"input_tokens": 1200, "output_tokens": 70, "cached_tokens": 9}
		for i, c := range []struct {
			price prices.Price
			want  string
		}{
			{fixed(5), "5 credits"},
			{fixed(1), "1 credit"},
			{prices.Price{Free: true}, "free"},
			{prices.Price{Minimum: 2}, "2 credits"},
			{prices.Price{Fixed: 1, Minimum: 2}, "1 credit, at least 2: 2 credits"},
			{prices.Price{Components: tokens}, "1200 input_tokens at 3 credits per 1000 + 70 output_tokens at 15 credits per 1000 = 4.65, rounded up: 5 credits"},
			{prices.Price{Components: tokens, Rounding: prices.RoundDown}, "1200 input_tokens at 3 credits per 1000 + 70 output_tokens at 15 credits per 1000 = 4.65, rounded down: 4 credits"},
			{prices.Price{Components: tokens[:1], Rounding: prices.RoundHalfUp}, "1200 input_tokens at 3 credits per 1000 = 3.6, rounded to the nearest, half up: 4 credits"},
			{prices.Price{Components: tokens[1:], Rounding: prices.RoundHalfEven, Minimum: 2}, "70 output_tokens at 15 credits per 1000 = 1.05, rounded to the nearest, half to even, at least 2: 2 credits"},
			{prices.Price{Fixed: 2, Components: []prices.Component{{Input: "input_tokens", Credits: 1}}}, "2 credits + 1200 input_tokens at 1 credit each = 1202: 1202 credits"},
			{prices.Price{Components: []prices.Component{{Input: "output_tokens", Credits: 1, Per: 3}}}, "70 output_tokens at 1 credit per 3 = 23.333333…, rounded up: 24 credits"},
		} {
			v := w.set(t, prices.Set{Operation: "chat", Price: c.price})
			q := w.quote(t, prices.Quote{Operation: "chat", Inputs: inputs})
			same(t, "what was quoted by", v, q.Version)
			if strings.Contains(q.Basis, "cached") {
				t.Errorf("the basis has what is not priced: %s", q.Basis)
			}
			got, err := w.list.Explain(t.Context(), w.db, prices.Explain{Account: acc, Basis: q.Basis})
			wantErr(t, c.want, err, nil)
			want := prices.Explained{
				Text:   fmt.Sprintf("chat, version %d of the price: %s", i+1, c.want),
				Amount: q.Amount, Agrees: true, Version: v,
			}
			same(t, c.want, want, got)
		}
	})
}

func TestExplain_SaysWhatDoesNotAgree(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set(t, prices.Set{Operation: "chat", Price: prices.Price{Components: components("ab")}})
		w.set(t, prices.Set{Operation: "chat", Price: fixed(5)})
		w.end(t, prices.End{Operation: "chat"})
		for basis, want := range map[string]string{
			`{"amount":5,"inputs":{"a":2,"b":3},"operation":"chat","version":1}`:       "",
			`{"amount":6,"inputs":{"a":2,"b":3},"operation":"chat","version":1}`:       "chat, version 1 of the price: 2 a at 1 credit each + 3 b at 1 credit each = 5: 5 credits. This does not agree with the 6 credits charged",
			`{"amount":5,"inputs":{"a":2,"b":3,"c":4},"operation":"chat","version":1}`: "chat, version 1 of the price: 2 a at 1 credit each + 3 b at 1 credit each = 5: 5 credits. This does not agree with what was counted",
			`{"amount":2,"inputs":{"a":2},"operation":"chat","version":1}`:             "chat, version 1 of the price: the 2 credits charged do not follow from it",
			`{"amount":1,"operation":"chat","version":2}`:                              "chat, version 2 of the price: 5 credits. This does not agree with the 1 credit charged",
			`{"amount":0,"operation":"chat","version":3}`:                              "chat, version 3 of the price: the 0 credits charged do not follow from it",
		} {
			got, err := w.list.Explain(t.Context(), w.db, prices.Explain{Account: acc, Basis: basis})
			wantErr(t, basis, err, nil)
			if got.Agrees != (want == "") || !got.Agrees && got.Text != want {
				t.Errorf("%s: agrees %t\n%s\nwant\n%s", basis, got.Agrees, got.Text, want)
			}
		}
	})
}

func TestExplain_ShowsNobodyTheOwnPriceOfAnother(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set(t, prices.Set{Account: acc, Operation: "chat", Price: fixed(3)})
		basis := w.quote(t, prices.Quote{Account: acc, Operation: "chat"}).Basis
		same(t, "basis", `{"account":"acc_1","amount":3,"operation":"chat","version":1}`, basis)
		got, err := w.list.Explain(t.Context(), w.db, prices.Explain{Account: acc, Basis: basis})
		if err != nil || !got.Agrees || got.Amount != 3 {
			t.Error(got, err)
		}
		for _, e := range []prices.Explain{{Account: other, Basis: basis}, {Basis: basis}} {
			_, err := w.list.Explain(t.Context(), w.db, e)
			wantErr(t, string(e.Account), err, prices.ErrNoPrice)
		}
		for _, basis := range []string{
			`{"amount":3,"operation":"chat","version":1}`, `{"account":"acc_1","amount":3,"operation":"chat","version":2}`, `{"account":"acc_1","amount":3,"operation":"chats","version":1}`,
		} {
			_, err := w.list.Explain(t.Context(), w.db, prices.Explain{Account: acc, Basis: basis})
			wantErr(t, "no such version: "+basis, err, prices.ErrNoPrice)
		}
		for _, e := range []prices.Explain{{Account: acc}, {Account: acc, Basis: basis + " "}, {Account: "a b", Basis: basis}} {
			_, err := w.list.Explain(t.Context(), w.db, e)
			wantErr(t, "no basis", err, prices.ErrInvalid)
		}
	})
}

func TestQuote_RefusesAndChargesNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set(t, prices.Set{Operation: "chat", Price: prices.Price{Components: components("ab")}})
		w.unchanged(t, "quoting", func() {
			same[int64](t, "amount", 5, w.quote(t, prices.Quote{Operation: "chat", Inputs: map[string]int64{"a": 5, "b": 0, "c": 7}}).Amount)
			for _, c := range []struct {
				what string
				q    prices.Quote
				want error
			}{
				{"a missing input", prices.Quote{Operation: "chat", Inputs: map[string]int64{"a": 5}}, prices.ErrInvalid},
				{"below zero", prices.Quote{Operation: "chat", Inputs: map[string]int64{"a": 5, "b": -1}}, prices.ErrInvalid},
				{"too much", prices.Quote{Operation: "chat", Inputs: map[string]int64{"a": 1 << 62, "b": 1 << 62}}, prices.ErrOverflow},
				{"another operation", prices.Quote{Operation: "Chat"}, prices.ErrNoPrice},
				{"no operation", prices.Quote{}, prices.ErrInvalid},
				{"no account id", prices.Quote{Account: "a b", Operation: "chat"}, prices.ErrInvalid},
				{"no year", prices.Quote{Operation: "chat", At: t0.AddDate(9000, 0, 0)}, prices.ErrInvalid},
			} {
				_, err := w.list.Quote(t.Context(), w.db, c.q)
				wantErr(t, c.what, err, c.want)
			}
		})
	})
}
