package tenancy

import (
	"fmt"
	"strings"
	"time"
)

// Capability is something an account may do, or a set of such things.
type Capability uint8

// The capabilities.
const (
	SignIn Capability = 1 << iota
	Read
	Write
	Spend
	MintKeys
	Pay
	Export

	// Use is what a route needs when it names nothing, and all that an API key
	// can ever have.
	Use = Read | Write | Spend

	all = SignIn | Use | MintKeys | Pay | Export
)

var capabilityNames = []string{"sign_in", "read", "write", "spend", "mint_keys", "pay", "export"}

// String is the names joined by "+": "read+write".
func (c Capability) String() string {
	var names []string
	for i, n := range capabilityNames {
		if c&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, "+")
}

// MarshalText writes what String does.
func (c Capability) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what MarshalText writes: nothing is 0. ErrInvalid.
func (c *Capability) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*c = 0
		return nil
	}
	got, ok := ParseCapability(string(text))
	if !ok {
		return fmt.Errorf("%w: a capability is one or more of %s", ErrInvalid, strings.Join(capabilityNames, "+"))
	}
	*c = got
	return nil
}

// ParseCapability reads what String writes. It reports false for an unknown name
// and for nothing at all.
func ParseCapability(s string) (Capability, bool) {
	var c Capability
next:
	for name := range strings.SplitSeq(s, "+") {
		for i, n := range capabilityNames {
			if n == name {
				c |= 1 << i
				continue next
			}
		}
		return 0, false
	}
	return c, true
}

// Check is the one validation of an account: whether one in this state on this
// plan may do c, all of it, at the given instant. It is pure and denies by
// default; what a refusal means is in the sentinel it returns.
//
//	account                                        may                          else
//	trial that has not ended                       everything
//	active as far as it is paid, or without end    everything
//	past due within its grace                      everything
//	trial over, paid no further, past due          sign in, read, pay, export   402
//	payment pending                                sign in, read, pay, export   402
//	plan missing or inactive                       sign in, read, pay, export   403
//	cancelled, suspended                           sign in, pay, export         403
//	closed, erased                                 nothing                      404
//	any other status                               nothing                      403
func Check(state State, plan Plan, at time.Time, c Capability) error {
	const (
		toPay   = SignIn | Read | Pay | Export
		toLeave = SignIn | Pay | Export
	)
	if c == 0 || c&^all != 0 {
		return ErrForbidden // a capability nobody knows is one nobody has
	}
	may, otherwise := all, error(nil)
	switch state.Status {
	case StatusTrial:
		if !state.TrialEndsAt.IsZero() && !at.Before(state.TrialEndsAt) {
			may, otherwise = toPay, ErrTrialOver
		}
	case StatusActive:
		if !state.PaidUntil.IsZero() && !at.Before(state.PaidUntil) {
			may, otherwise = toPay, ErrPastDue
		}
	case StatusPastDue:
		if !at.Before(state.GraceEndsAt) {
			may, otherwise = toPay, ErrPastDue
		}
	case StatusPendingPayment:
		may, otherwise = toPay, ErrPaymentPending
	case StatusSuspended:
		may, otherwise = toLeave, ErrSuspended
	case StatusCancelled:
		may, otherwise = toLeave, ErrCancelled
	case StatusClosed, StatusErased:
		return ErrNoAccount
	default:
		return ErrUnknownStatus
	}
	if otherwise == nil && (plan.Slug == "" || !plan.Active) {
		may, otherwise = toPay, ErrPlanInactive
	}
	if c&^may != 0 {
		return otherwise
	}
	return nil
}
