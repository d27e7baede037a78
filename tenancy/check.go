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

// UnmarshalText reads what ParseCapability does: 0 is left out instead. ErrInvalid.
func (c *Capability) UnmarshalText(text []byte) error {
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
	s := standingOf(&state, &plan)
	return s.check(at, c)
}

// standing is Check for a state and a plan at every instant: worked out once for an
// account that is remembered.
type standing struct {
	before allowance
	end    time.Time // of before; zero: it has none
	after  allowance
}

// allowance is what may be done, and what else is answered.
type allowance struct {
	may       Capability
	otherwise error
}

const (
	toPay   = SignIn | Read | Pay | Export
	toLeave = SignIn | Pay | Export
)

func standingOf(state *State, plan *Plan) standing {
	s := standing{before: allowance{may: all}}
	switch state.Status {
	case StatusTrial:
		s.end, s.after = state.TrialEndsAt, allowance{toPay, ErrTrialOver}
	case StatusActive:
		s.end, s.after = state.PaidUntil, allowance{toPay, ErrPastDue}
	case StatusPastDue:
		s.end, s.after = state.GraceEndsAt, allowance{toPay, ErrPastDue}
		if s.end.IsZero() {
			s.before = s.after
		}
	case StatusPendingPayment:
		s.before = allowance{toPay, ErrPaymentPending}
	case StatusSuspended:
		s.before = allowance{toLeave, ErrSuspended}
	case StatusCancelled:
		s.before = allowance{toLeave, ErrCancelled}
	case StatusClosed, StatusErased:
		s.before = allowance{0, ErrNoAccount}
	default:
		s.before = allowance{0, ErrUnknownStatus}
	}
	if s.before.may == all && (plan.Slug == "" || !plan.Active) {
		s.before = allowance{toPay, ErrPlanInactive}
	}
	return s
}

func (s *standing) check(at time.Time, c Capability) error {
	if c == 0 || c&^all != 0 {
		return ErrForbidden // a capability nobody knows is one nobody has
	}
	a := &s.before
	if !s.end.IsZero() && !at.Before(s.end) {
		a = &s.after
	}
	if c&^a.may != 0 {
		return a.otherwise
	}
	return nil
}
