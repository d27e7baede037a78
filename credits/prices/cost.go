package prices

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
)

// exact is a sum of credits before it is rounded: whole + rest/of, where rest < of.
type exact struct {
	whole    int64
	rest, of uint64
}

// sum is what a price in its normal form makes of inputs, to the last fraction. What
// the price does not name is not counted. ErrInvalid: an input that the price names is
// missing or below zero. ErrOverflow.
func (p Price) sum(inputs map[string]int64) (exact, error) {
	of := p.denominator()
	whole, rest := uint64(p.Fixed), uint64(0)
	for _, c := range p.Components {
		n, ok := inputs[c.Input]
		switch {
		case !ok:
			return exact{}, fmt.Errorf("%w: the price asks for the input %s: give 0 where there was none", ErrInvalid, c.Input)
		case n < 0:
			return exact{}, fmt.Errorf("%w: the input %s is below zero", ErrInvalid, c.Input)
		}
		per := uint64(c.Per)
		hi, lo := bits.Mul64(uint64(c.Credits), uint64(n))
		if hi >= per {
			return exact{}, ErrOverflow // the quotient has more than 64 bits
		}
		quo, rem := bits.Div64(hi, lo, per)
		// Neither is above MaxInt64 before it is added, so the sum has no carry.
		if quo > math.MaxInt64 || whole+quo > math.MaxInt64 {
			return exact{}, ErrOverflow
		}
		whole += quo
		rest += rem * (of / per) // each below of
	}
	whole += rest / of
	if whole > math.MaxInt64 {
		return exact{}, ErrOverflow
	}
	return exact{int64(whole), rest % of, of}, nil
}

// cost is the sum in whole credits, and no less than the minimum.
func (p Price) cost(e exact) (int64, error) {
	n, err := p.round(e)
	return max(n, p.Minimum), err
}

// round is the sum in whole credits.
func (p Price) round(e exact) (int64, error) {
	twice := 2 * e.rest
	up := false
	switch p.Rounding {
	case RoundDown:
	case RoundHalfUp:
		up = twice >= e.of
	case RoundHalfEven:
		up = twice > e.of || twice == e.of && e.whole%2 == 1
	default:
		up = e.rest > 0
	}
	switch {
	case !up:
		return e.whole, nil
	case e.whole == math.MaxInt64:
		return 0, ErrOverflow
	}
	return e.whole + 1, nil
}

// String is the sum in decimals: all of them where they end, else six.
func (e exact) String() string {
	s := strconv.FormatInt(e.whole, 10)
	if e.rest == 0 {
		return s
	}
	var digits []byte
	for rest := e.rest; rest > 0; {
		rest *= 10
		digits = append(digits, byte('0'+rest/e.of))
		rest %= e.of
		if len(digits) > 40 { // of is at most 10^12, whose decimals end before if they do
			return s + "." + string(digits[:6]) + "…"
		}
	}
	return s + "." + string(digits)
}
