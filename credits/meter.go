package credits

import (
	"context"
	"fmt"
	"sync"
)

// Meter counts what a request uses, where MiddlewareFor charges for it. A handler that says
// nothing to it is charged the cost of its route: say 0 first where work that fails on the
// way is to cost nothing. More than what is held is charged too, as Settle does.
//
// It serves any number of goroutines.
type Meter struct {
	mu     sync.Mutex
	used   Priced
	said   bool
	closed bool
}

type meterKey struct{}

func (m *Meter) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, meterKey{}, m)
}

// MeterFrom is the meter of the request that ctx belongs to. It panics when there is none:
// the handler runs outside the middleware, which is a programming error and would be work
// for nothing.
func MeterFrom(ctx context.Context) *Meter {
	m, ok := ctx.Value(meterKey{}).(*Meter)
	if !ok {
		panic("credits: nothing charges for this request: mount the handler behind Ledger.MiddlewareFor")
	}
	return m
}

// Add counts n more credits, and forgets the basis of what was Set before.
//
// It returns ErrHoldEnded when the request is charged already or free, ErrInvalid when n is
// below zero, and ErrOverflow.
func (m *Meter) Add(n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n < 0 {
		return fmt.Errorf("%w: what was used is below zero", ErrInvalid)
	}
	sum, err := add(m.used.Amount, n)
	if err != nil {
		return err
	}
	return m.say(Priced{Amount: sum})
}

// Set says what the request has used until now, all in all. It returns ErrHoldEnded when
// the request is charged already or free, and ErrInvalid.
func (m *Meter) Set(p Priced) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.Amount < 0 {
		return fmt.Errorf("%w: what was used is below zero", ErrInvalid)
	}
	if err := checkBasis(p.Basis); err != nil {
		return err
	}
	return m.say(p)
}

func (m *Meter) say(p Priced) error {
	if m.closed {
		return ErrHoldEnded
	}
	m.used, m.said = p, true
	return nil
}

// close ends the counting: what was used, or cost where nobody said.
func (m *Meter) close(cost Priced) Priced {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if !m.said {
		return cost
	}
	return m.used
}
