package prices

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// must is the normal form of a price that makes sense.
func must(t interface{ Fatalf(string, ...any) }, p Price) Price {
	n, err := p.normal()
	if err != nil {
		t.Fatalf("%+v: %v", p, err)
	}
	return n
}

func TestRounding_OfEveryRule(t *testing.T) {
	for _, c := range []struct {
		n                            int64 // of a credit per thousand
		up, down, halfUp, halfToEven int64
	}{
		{0, 0, 0, 0, 0},
		{1, 1, 0, 0, 0},
		{499, 1, 0, 0, 0},
		{500, 1, 0, 1, 0},
		{501, 1, 0, 1, 1},
		{999, 1, 0, 1, 1},
		{1000, 1, 1, 1, 1},
		{1001, 2, 1, 1, 1},
		{1499, 2, 1, 1, 1},
		{1500, 2, 1, 2, 2},
		{1501, 2, 1, 2, 2},
		{2500, 3, 2, 3, 2},
		{3500, 4, 3, 4, 4},
		{math.MaxInt64, 9223372036854776, 9223372036854775, 9223372036854776, 9223372036854776},
	} {
		for rule, want := range map[Rounding]int64{RoundUp: c.up, RoundDown: c.down, RoundHalfUp: c.halfUp, RoundHalfEven: c.halfToEven} {
			p := must(t, Price{Components: []Component{{Input: "n", Credits: 1, Per: 1000}}, Rounding: rule})
			if got, err := total(p, map[string]int64{"n": c.n}); got != want || err != nil {
				t.Errorf("%d per 1000 %s: %d, %v, want %d", c.n, rule, got, err, want)
			}
		}
	}
}

// total is what Quote computes.
func total(p Price, inputs map[string]int64) (int64, error) {
	sum, err := p.sum(inputs)
	if err != nil {
		return 0, err
	}
	return p.cost(sum)
}

func TestCost_OfEveryForm(t *testing.T) {
	thirds := []Component{{Input: "a", Credits: 1, Per: 3}, {Input: "b", Credits: 1, Per: 6}, {Input: "c", Credits: 1, Per: 2}}
	in := func(n ...int64) map[string]int64 {
		m := map[string]int64{}
		for i, v := range n {
			m[string(rune('a'+i))] = v
		}
		return m
	}
	for _, c := range []struct {
		what   string
		price  Price
		inputs map[string]int64
		want   int64
	}{
		{"free", Price{Free: true}, nil, 0},
		{"fixed", Price{Fixed: 5}, nil, 5},
		{"fixed, whatever was counted", Price{Fixed: 5}, in(9), 5},
		{"a minimum alone", Price{Minimum: 5}, nil, 5},
		{"each", Price{Components: []Component{{Input: "a", Credits: 7}}}, in(3), 21},
		{"none", Price{Components: []Component{{Input: "a", Credits: 7}}}, in(0), 0},
		{"none, with a minimum", Price{Components: []Component{{Input: "a", Credits: 7}}, Minimum: 2}, in(0), 2},
		{"the minimum after rounding", Price{Components: []Component{{Input: "a", Credits: 1, Per: 1000}}, Minimum: 1, Rounding: RoundDown}, in(999), 1},
		{"above the minimum", Price{Components: []Component{{Input: "a", Credits: 1, Per: 1000}}, Minimum: 1}, in(1001), 2},
		{"a third, a sixth and a half are one", Price{Components: thirds}, in(1, 1, 1), 1},
		{"rounded once", Price{Components: []Component{{Input: "a", Credits: 1, Per: 10}, {Input: "b", Credits: 1, Per: 10}}}, in(1, 1), 1},
		{"on top of the fixed part", Price{Fixed: 2, Components: thirds}, in(1, 0, 0), 3},
		{"half to even of the whole sum", Price{Fixed: 1, Components: thirds, Rounding: RoundHalfEven}, in(0, 0, 1), 2},
		{"half to even, down", Price{Fixed: 2, Components: thirds, Rounding: RoundHalfEven}, in(0, 0, 1), 2},
		{"what is not priced costs nothing", Price{Components: []Component{{Input: "a", Credits: 7}}}, in(1, 99, -1), 7},
		{"the largest", Price{Components: []Component{{Input: "a", Credits: math.MaxInt64}}}, in(1), math.MaxInt64},
		{"the largest, in parts", Price{Fixed: 1, Components: []Component{{Input: "a", Credits: 1}, {Input: "b", Credits: 1}}}, in(math.MaxInt64-2, 1), math.MaxInt64},
		{"more than 64 bits on the way", Price{Components: []Component{{Input: "a", Credits: math.MaxInt64, Per: maxPer}}}, in(maxPer), math.MaxInt64},
	} {
		got, err := total(must(t, c.price), c.inputs)
		if got != c.want || err != nil {
			t.Errorf("%s: %d, %v, want %d", c.what, got, err, c.want)
		}
	}
	for _, c := range []struct {
		what   string
		price  Price
		inputs map[string]int64
		want   error
	}{
		{"one too many", Price{Fixed: 1, Components: []Component{{Input: "a", Credits: 1}}}, in(math.MaxInt64), ErrOverflow},
		{"two of the largest", Price{Components: []Component{{Input: "a", Credits: 1}, {Input: "b", Credits: 1}}}, in(math.MaxInt64, math.MaxInt64), ErrOverflow},
		{"three of the largest", Price{Components: []Component{{Input: "a", Credits: 1}, {Input: "b", Credits: 1}, {Input: "c", Credits: 1}}},
			in(math.MaxInt64, math.MaxInt64, math.MaxInt64), ErrOverflow},
		{"past 64 bits", Price{Fixed: 10, Components: []Component{{Input: "a", Credits: 4}}}, in(1<<62 - 1), ErrOverflow},
		{"64 bits", Price{Components: []Component{{Input: "a", Credits: 2}}}, in(1 << 62), ErrOverflow},
		{"128 bits", Price{Components: []Component{{Input: "a", Credits: math.MaxInt64}}}, in(math.MaxInt64), ErrOverflow},
		{"by rounding", Price{Fixed: math.MaxInt64, Components: []Component{{Input: "a", Credits: 1, Per: 2}}}, in(1), ErrOverflow},
		{"by the fractions", Price{Fixed: math.MaxInt64, Components: thirds}, in(1, 1, 1), ErrOverflow},
		{"an input that is missing", Price{Components: thirds}, in(1, 1), ErrInvalid},
		{"no input", Price{Components: thirds}, nil, ErrInvalid},
		{"below zero", Price{Components: thirds}, in(1, 1, -1), ErrInvalid},
	} {
		if got, err := total(must(t, c.price), c.inputs); !errors.Is(err, c.want) {
			t.Errorf("%s: %d, %v, want %v", c.what, got, err, c.want)
		}
	}
	down := must(t, Price{Fixed: math.MaxInt64, Components: []Component{{Input: "a", Credits: 1, Per: 2}}, Rounding: RoundDown})
	if got, err := total(down, in(1)); got != math.MaxInt64 || err != nil {
		t.Errorf("rounded down to the largest: %d, %v", got, err)
	}
}

// Any int64, small ones and both ends more often.
func amounts(least int64) *rapid.Generator[int64] {
	return rapid.OneOf(rapid.Int64Range(least, 10_000), rapid.Int64Range(least, math.MaxInt64), rapid.Int64Range(math.MaxInt64-2, math.MaxInt64))
}

var anyPer = rapid.OneOf(rapid.SampledFrom([]int64{1, 2, 3, 7, 10, 60, 1000, 3600, 1_000_000, 1_000_000_007, maxPer - 1, maxPer}), rapid.Int64Range(1, 2000))

func anyPrice(t *rapid.T) Price {
	p := Price{Rounding: rapid.SampledFrom(roundings).Draw(t, "rounding")}
	for i := range rapid.IntRange(0, maxComponents).Draw(t, "components") {
		p.Components = append(p.Components, Component{
			Input: fmt.Sprint("in", i), Credits: amounts(1).Draw(t, "credits"), Per: anyPer.Draw(t, "per"),
		})
	}
	if rapid.Bool().Draw(t, "more") {
		p.Fixed, p.Minimum = amounts(0).Draw(t, "fixed"), amounts(0).Draw(t, "minimum")
	}
	p.Free = len(p.Components) == 0 && p.Fixed == 0 && p.Minimum == 0
	return p
}

func anyInputs(t *rapid.T, p Price) map[string]int64 {
	m := map[string]int64{}
	for _, c := range p.Components {
		m[c.Input] = amounts(0).Draw(t, c.Input)
	}
	return m
}

func TestCost_IsThatOfRationalNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPrice(t)
		inputs := anyInputs(t, p)
		lcm := big.NewInt(1)
		want := new(big.Rat).SetInt64(p.Fixed)
		for _, c := range p.Components {
			term := new(big.Rat).SetFrac64(c.Credits, c.Per)
			want.Add(want, term.Mul(term, new(big.Rat).SetInt64(inputs[c.Input])))
			per := big.NewInt(c.Per)
			gcd := new(big.Int).GCD(nil, nil, lcm, per)
			lcm.Mul(lcm, per.Div(per, gcd))
		}
		n, err := p.normal()
		if fits := lcm.Cmp(big.NewInt(maxPer)) <= 0; (err == nil) != fits {
			t.Fatalf("normal: %v, the common multiple is %v", err, lcm)
		}
		if err != nil {
			return
		}
		// Rounded: the floor, and what is left of it against a half.
		whole, rest := new(big.Int).DivMod(want.Num(), want.Denom(), new(big.Int))
		half := new(big.Int).Lsh(rest, 1).Cmp(want.Denom())
		switch {
		case rest.Sign() == 0, p.Rounding == RoundDown:
		case p.Rounding == RoundUp, half > 0, half == 0 && (p.Rounding == RoundHalfUp || whole.Bit(0) == 1):
			whole.Add(whole, big.NewInt(1))
		}
		got, err := total(n, inputs)
		if !whole.IsInt64() {
			if !errors.Is(err, ErrOverflow) {
				t.Fatalf("%d, %v, want an overflow by %v", got, err, whole)
			}
			return
		}
		if least := max(whole.Int64(), p.Minimum); err != nil || got != least {
			t.Fatalf("%d, %v, want %d", got, err, least)
		}
		sum, err := n.sum(inputs)
		exactly := new(big.Rat).Add(new(big.Rat).SetInt64(sum.whole), new(big.Rat).SetFrac(new(big.Int).SetUint64(sum.rest), new(big.Int).SetUint64(sum.of)))
		if err != nil || exactly.Cmp(want) != 0 || sum.rest >= sum.of {
			t.Fatalf("the sum is %+v, %v, want %v", sum, err, want)
		}
	})
}

func TestCost_DoesNotDependOnTheOrderOfTheComponents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPrice(t)
		inputs := anyInputs(t, p)
		q := p
		q.Components = rapid.Permutation(p.Components).Draw(t, "order")
		a, err1 := p.normal()
		b, err2 := q.normal()
		if (err1 == nil) != (err2 == nil) {
			t.Fatal(err1, err2)
		}
		if err1 != nil {
			return
		}
		x, err1 := total(a, inputs)
		y, err2 := total(b, inputs)
		if !a.equal(b) || x != y || (err1 == nil) != (err2 == nil) {
			t.Fatalf("%d %v, %d %v", x, err1, y, err2)
		}
	})
}

func TestExact_IsWrittenInDecimals(t *testing.T) {
	for want, e := range map[string]exact{
		"0": {0, 0, 1}, "7": {7, 0, 1000}, "4.65": {4, 650, 1000}, "0.001": {0, 1, 1000}, "0.5": {0, 3, 6},
		"1.333333…": {1, 1, 3}, "0.999999…": {0, maxPer - 2, maxPer - 1}, "0.000000000001": {0, 1, maxPer},
		"0.000000000001818989403545856475830078125": {0, 1, 1 << 39},
	} {
		if got := e.String(); got != want {
			t.Errorf("%+v: %s, want %s", e, got, want)
		}
	}
}
