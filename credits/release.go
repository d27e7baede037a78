package credits

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Release gives back what is left of a hold.
type Release struct {
	Account tenancy.AccountID
	// Hold is its ID.
	Hold string
}

// Release ends a hold and gives back what is left of it to the grants it came from.
// What came from a grant that has expired since is as expired as the rest of it.
// Released again, the hold stays as it is.
//
// It returns ErrNoHold, ErrHoldEnded when the hold was settled, and ErrInvalid.
func (l *Ledger) Release(ctx context.Context, db bun.IDB, r Release) (Held, error) {
	if err := checkHold(r.Account, r.Hold); err != nil {
		return Held{}, err
	}
	out, err := l.ask(ctx, db, request{
		account: r.Account, hold: r.Hold,
		do: func(ctx context.Context, b *book) (outcome, error) {
			h := b.holds[r.Hold]
			if h != nil && h.State == HoldReleased {
				return outcome{hold: new(b.held(h))}, nil
			}
			h, err := b.holding(r.Hold)
			if err != nil {
				return outcome{}, err
			}
			if err := b.giveUp(ctx, h); err != nil {
				return outcome{}, err
			}
			return outcome{hold: new(b.held(h))}, nil
		},
	})
	return out.held(), err
}

// Extend gives a hold more time, or another end.
type Extend struct {
	Account tenancy.AccountID
	// Hold is its ID.
	Hold string
	// For is how long it lasts from now on, up to 30 days; it never becomes shorter.
	// Default: its end stays.
	For time.Duration
	// AtEnd is what becomes of it then: AtEndCharge, before an answer goes out that
	// somebody has to pay for even if this process dies. Default: as it was.
	AtEnd AtEnd
}

// Extend gives an open hold more time, or another end. It returns ErrNoHold,
// ErrHoldEnded and ErrInvalid.
func (l *Ledger) Extend(ctx context.Context, db bun.IDB, e Extend) (Held, error) {
	if err := e.validate(); err != nil {
		return Held{}, err
	}
	out, err := l.ask(ctx, db, request{
		account: e.Account, hold: e.Hold,
		do: func(_ context.Context, b *book) (outcome, error) {
			h, err := b.holding(e.Hold)
			if err != nil {
				return outcome{}, err
			}
			if e.For > 0 {
				h.ExpiresAt = latest(h.ExpiresAt, micro(b.now.Add(e.For)))
				h.State = HoldOpen
				b.due(h.ExpiresAt)
			}
			if e.AtEnd != "" {
				h.AtEnd = e.AtEnd
			}
			h.changed = true
			return outcome{hold: new(b.held(h))}, nil
		},
	})
	return out.held(), err
}

func (e Extend) validate() error {
	if err := checkHold(e.Account, e.Hold); err != nil {
		return err
	}
	if e.AtEnd != "" && !slices.Contains(atEnds, e.AtEnd) {
		return fmt.Errorf("%w: what becomes of a hold at its end is none of %v", ErrInvalid, atEnds)
	}
	if e.For == 0 {
		return nil
	}
	return checkFor(e.For)
}

func checkHold(account tenancy.AccountID, id string) error {
	if err := checkAccount(account); err != nil {
		return err
	}
	if id == "" || tenancy.CheckText("hold", id, 64) != nil {
		return fmt.Errorf("%w: that is no hold's id", ErrInvalid)
	}
	return nil
}
