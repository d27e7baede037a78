package credits

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/quitrent/quitrent/tenancy"
)

// Validate returns ErrInvalid for what no ledger's line can be, whatever stands before it.
func (n AdoptLine) Validate() error {
	into, out := []Kind{KindGrant, KindRefund}, []Kind{KindDeduct, KindExpire, KindRevoke}
	kind := n.kind()
	switch {
	case n.Amount == 0 || n.Amount == math.MinInt64:
		return fmt.Errorf("%w: a line has an amount", ErrInvalid)
	case n.Amount > 0 && !slices.Contains(into, kind), n.Amount < 0 && !slices.Contains(out, kind):
		return fmt.Errorf("%w: what came in is one of %v, what went out one of %v", ErrInvalid, into, out)
	case n.RefundOf != "" && kind != KindRefund:
		return fmt.Errorf("%w: only a refund is of another line", ErrInvalid)
	case tenancy.CheckText("reference", n.Reference, maxReference) != nil, tenancy.CheckText("reference", n.RefundOf, maxReference) != nil:
		return fmt.Errorf("%w: a reference is longer than %d bytes or has a character that does not print", ErrInvalid, maxReference)
	}
	if err := checkMoment(n.At); err != nil {
		return err
	}
	if err := checkText("operation", n.Operation); err != nil {
		return err
	}
	return checkText("note", n.Note)
}

// name is what a refusal calls the line.
func (n AdoptLine) name(i int) string {
	if n.Reference != "" {
		return fmt.Sprintf("the line %q", n.Reference)
	}
	return fmt.Sprintf("line %d", i)
}

func (t Lot) validate() error {
	if err := checkAmount(t.Amount); err != nil {
		return err
	}
	if !slices.Contains(categories, t.Category) {
		return fmt.Errorf("%w: the category is none of %v", ErrInvalid, categories)
	}
	if tenancy.CheckText("source", t.Source, maxSource) != nil {
		return fmt.Errorf("%w: a source is longer than %d bytes or has a character that does not print", ErrInvalid, maxSource)
	}
	return checkMoment(t.ExpiresAt)
}

func (a Adopt) validate() error {
	if err := checkAccount(a.Account); err != nil {
		return err
	}
	if !slices.Contains(categories, a.Category) {
		return fmt.Errorf("%w: the category is none of %v", ErrInvalid, categories)
	}
	if a.audit().Validate() != nil {
		return fmt.Errorf("%w: the actor has a kind and an id, in text that prints, 200 bytes each, and the reason has 1,000", ErrInvalid)
	}
	sum, err := a.validateLines()
	if err != nil {
		return err
	}
	var left int64
	for i, t := range a.Lots {
		err := t.validate()
		if err == nil {
			left, err = add(left, t.Amount)
		}
		if err != nil {
			return fmt.Errorf("%w: lot %d", err, i)
		}
	}
	if left != max(0, sum) {
		return fmt.Errorf("%w: the lines come to %d and the lots to %d", ErrInvalid, sum, left)
	}
	return nil
}

// validateLines returns what the lines add up to.
func (a Adopt) validateLines() (sum int64, err error) {
	var at time.Time
	var into int64
	spent := map[string]bool{} // of each reference, whether it is a deduction's
	for i, n := range a.Lines {
		if err := n.Validate(); err != nil {
			return 0, fmt.Errorf("%w: %s", err, n.name(i))
		}
		switch {
		case i > 0 && !n.At.IsZero() && (at.IsZero() || n.At.Before(at)):
			return 0, fmt.Errorf("%w: %s is of a time before the line before it", ErrInvalid, n.name(i))
		case n.RefundOf != "" && !spent[n.RefundOf]:
			return 0, fmt.Errorf("%w: %s is the refund of no deduction before it", ErrInvalid, n.name(i))
		}
		at = n.At
		if _, twice := spent[n.Reference]; twice && n.Reference != "" {
			return 0, fmt.Errorf("%w: %s is there twice", ErrInvalid, n.name(i))
		}
		spent[n.Reference] = n.kind() == KindDeduct && n.Reference != ""
		// What came in, all of it, is counted too: it is divided by what of it is left.
		if into, err = add(into, max(0, n.Amount)); err == nil {
			sum, err = add(sum, n.Amount)
		}
		if sum == math.MinInt64 {
			err = ErrOverflow
		}
		if err != nil {
			return 0, fmt.Errorf("%w: %s", err, n.name(i))
		}
	}
	return sum, nil
}

// lastAt is the time of the last line that has one.
func lastAt(lines []AdoptLine) (at time.Time) {
	for _, n := range lines {
		at = latest(n.At, at)
	}
	return at
}
