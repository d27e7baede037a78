package credits

import "fmt"

// Rollover is what is left of an allotment's credits when their period ends and can be
// spent later. One of the fields is set at most. What is held at that moment is never
// left: if the hold gives it back, it has expired. The zero value rolls nothing over.
type Rollover struct {
	// Cap rolls up to so many credits over to the next period, those that were rolled
	// over before among them.
	Cap int64 `json:"cap,omitzero"`
	// Percent rolls so many of a hundred credits over to the next period, rounded down, 1
	// to 100. What was rolled over before has been, and counts no more.
	Percent int `json:"percent,omitzero"`
	// Periods is how many periods longer than its own what a period was granted can be
	// spent; up to 120.
	Periods int `json:"periods,omitzero"`
}

// maxPeriods is the most that Rollover.Periods may be.
const maxPeriods = 120

func (r Rollover) validate() error {
	set := 0
	for _, n := range []int64{r.Cap, int64(r.Percent), int64(r.Periods)} {
		if n < 0 {
			return fmt.Errorf("%w: a rollover is below zero", ErrInvalid)
		}
		if n > 0 {
			set++
		}
	}
	if set > 1 || r.Percent > 100 || r.Periods > maxPeriods {
		return fmt.Errorf("%w: a rollover has a cap, or up to 100 percent, or up to %d periods", ErrInvalid, maxPeriods)
	}
	return nil
}

// left is what of the newest period's credits rolls over when the next one begins. It is
// asked for before they expire.
func (b *book) left(r *allotmentRow) int64 {
	switch {
	case r.Cap > 0:
		return min(r.Cap, b.unspent(r, r.Grant)+b.unspent(r, r.Rolled))
	case r.Percent > 0:
		n := b.unspent(r, r.Grant)
		return n/100*r.Percent + n%100*r.Percent/100 // without passing the end of int64
	}
	return 0
}

// unspent is what is free in a grant that ends when the rule's next period begins.
func (b *book) unspent(r *allotmentRow, grant string) int64 {
	for _, g := range b.grants {
		if g.ID == grant && g.ExpiresAt.Equal(r.NextAt) {
			return g.free()
		}
	}
	return 0
}
