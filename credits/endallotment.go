package credits

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// EndAllotment ends an allotment.
type EndAllotment struct {
	Account tenancy.AccountID
	Name    string
	// Actor is who ends it, for the audit log. Default: the system.
	Actor tenancy.Actor
}

// EndAllotment ends an allotment: nothing more is granted by it. What the running period
// was granted stays until that ends. Ended again it stays as it is; SetAllotment lets it
// go on, without what would have been granted meanwhile: so an account is paused. It
// writes the audit log and the outbox.
//
// It returns ErrNoAllotment and ErrInvalid.
func (l *Ledger) EndAllotment(ctx context.Context, db bun.IDB, e EndAllotment) (Allotment, error) {
	if e.Actor == (tenancy.Actor{}) {
		e.Actor = ownActor
	}
	if err := checkAllotment(e.Account, e.Name, e.Actor); err != nil {
		return Allotment{}, err
	}
	var ended Allotment
	_, err := l.ask(ctx, db, request{
		account: e.Account, none: ErrNoAllotment, alone: true,
		do: func(ctx context.Context, b *book) (outcome, error) {
			r, err := b.rule(ctx, e.Name)
			if err != nil {
				return outcome{}, err
			}
			if r == nil {
				return outcome{}, ErrNoAllotment
			}
			ran := r.runs()
			r.next(0, time.Time{})
			ended = r.allotment()
			if !ran {
				return outcome{}, nil
			}
			r.changed = true
			b.replan()
			fact := AllotmentEnded{Name: e.Name, Unit: b.ledger.otherUnit()}
			return outcome{}, b.noteAllotment(e.Actor, "credits.end_allotment", e.Name, fact)
		},
	})
	if err != nil {
		return Allotment{}, err
	}
	return ended, nil
}
