package prices

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
)

// Price says what an operation costs: Fixed and all Components together, rounded
// once, and no less than Minimum.
type Price struct {
	// Fixed is in credits, each time. Default: 0.
	Fixed int64 `json:"fixed,omitempty"`
	// Components are what is counted, 8 at most. Default: nothing is.
	Components []Component `json:"components,omitempty"`
	// Minimum is the least that the operation costs, in credits, whatever was counted.
	// Default: 0.
	Minimum int64 `json:"minimum,omitempty"`
	// Rounding makes whole credits of the sum. Default: RoundUp.
	Rounding Rounding `json:"rounding,omitempty"`
	// Free says that the operation costs nothing. A price that says nothing else has to
	// say so: what was forgotten is not given away.
	Free bool `json:"free,omitempty"`
}

// Component is the price of one thing that is counted.
type Component struct {
	// Input names what is counted: "input_tokens", "seconds". 32 bytes at most, of
	// letters, digits and "_.-".
	Input string `json:"input"`
	// Credits is the price of Per of them, above zero.
	Credits int64 `json:"credits"`
	// Per is how many Credits pay for: 1000 for a price per thousand. 1,000,000,000,000
	// at most, and so is the least common multiple of those of one price. Default: 1.
	Per int64 `json:"per"`
}

// Rounding is how a sum that is no whole number of credits becomes one. Half a credit
// is the tie of the last two.
type Rounding string

// The rounding rules.
const (
	RoundUp       Rounding = "up"        // to the next credit: nothing is given away
	RoundDown     Rounding = "down"      // what is begun is free
	RoundHalfUp   Rounding = "half_up"   // to the nearest, a tie up
	RoundHalfEven Rounding = "half_even" // to the nearest, a tie to the even one
)

var roundings = []Rounding{RoundUp, RoundDown, RoundHalfUp, RoundHalfEven}

const (
	maxComponents = 8
	// maxPer keeps the sum of 8 remainders, over one denominator, within 64 bits.
	maxPer = 1_000_000_000_000
)

var inputForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,32}$`)

// normal is p with its defaults filled in and its components in the order of their
// inputs: one form for everything that costs the same by the same words. ErrInvalid.
func (p Price) normal() (Price, error) {
	bad := func(format string, args ...any) (Price, error) {
		return Price{}, fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	p.Rounding = cmp.Or(p.Rounding, RoundUp)
	p.Components = slices.SortedFunc(slices.Values(p.Components), func(a, b Component) int { return cmp.Compare(a.Input, b.Input) })
	switch {
	case p.Fixed < 0 || p.Minimum < 0:
		return bad("a price is not below zero")
	case len(p.Components) > maxComponents:
		return bad("a price has at most %d components", maxComponents)
	case !slices.Contains(roundings, p.Rounding):
		return bad("the rounding is none of %v", roundings)
	case p.Free != (p.Fixed == 0 && p.Minimum == 0 && len(p.Components) == 0):
		return bad("a price is fixed, has components or a minimum, or is free and nothing else")
	}
	for i := range p.Components {
		c := &p.Components[i]
		c.Per = cmp.Or(c.Per, 1)
		switch {
		case !inputForm.MatchString(c.Input):
			return bad("an input is 1 to 32 letters, digits and _.-")
		case i > 0 && c.Input == p.Components[i-1].Input:
			return bad("the input %s is priced twice", c.Input)
		case c.Credits <= 0:
			return bad("the credits for %s must be above zero", c.Input)
		case c.Per < 1 || c.Per > maxPer:
			return bad("the credits for %s are per 1 to %d", c.Input, int64(maxPer))
		}
	}
	if p.denominator() > maxPer {
		return bad("the components are per numbers that have too little in common: choose multiples of one another")
	}
	return p, nil
}

// denominator is the least common multiple of what the components are per, or
// something above maxPer where it is larger.
func (p Price) denominator() uint64 {
	den := uint64(1)
	for _, c := range p.Components {
		a, b := den, uint64(c.Per)
		for b != 0 {
			a, b = b, a%b
		}
		step := uint64(c.Per) / a
		if den > maxPer/step {
			return math.MaxUint64
		}
		den *= step
	}
	return den
}

// equal compares normal forms.
func (p Price) equal(q Price) bool {
	return p.Fixed == q.Fixed && p.Minimum == q.Minimum && p.Rounding == q.Rounding && p.Free == q.Free &&
		slices.Equal(p.Components, q.Components)
}
