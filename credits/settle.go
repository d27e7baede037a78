package credits

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Settle charges for work that a hold was taken for.
type Settle struct {
	Account tenancy.AccountID
	// Hold is its ID.
	Hold string
	// Amount is in credits: what the work cost, more or less than is held. 0 charges
	// nothing.
	Amount int64
	// More says that more of the work is to be settled: what is left stays held.
	More bool
	// Key makes the settlement happen once. Required with More. Default: the hold's own,
	// since it is settled for the last time once.
	Key string
	// Note is for the statement, 500 bytes at most. Default: the hold's.
	Note string
	// Basis says how the amount came about, 1,000 bytes at most.
	Basis string
}

// Settled is what a settlement did.
type Settled struct {
	Hold Held `json:"hold"`
	// Entry is what it charged; its Number is 0 where that was nothing.
	Entry Entry `json:"entry"`
}

// Settle charges what the work cost: first what is held for it, then what can be spent,
// then, up to Config.Overdraft, as a debt which the next grant repays. Unless there is
// More to come, what is left of the hold goes back.
//
// It returns ErrNoHold, ErrHoldEnded when the hold is settled or released, an
// *InsufficientError when the work cost more than all that – the hold stays as it is, and
// its own key is free for another settlement – ErrKeyReused when the key was used with
// another Hold, Amount or More, and ErrInvalid.
func (l *Ledger) Settle(ctx context.Context, db bun.IDB, s Settle) (Settled, error) {
	own := s.Key == "" && !s.More
	if err := s.validate(own); err != nil {
		return Settled{}, err
	}
	if own {
		s.Key = ownKeys + "settle:" + s.Hold
	}
	out, err := l.ask(ctx, db, request{
		account: s.Account, key: s.Key, hold: s.Hold, takes: s.Amount, retries: own,
		hash: l.digest([]any{KindSettle, s.Hold, s.Amount, s.More}),
		do:   func(ctx context.Context, b *book) (outcome, error) { return b.settle(ctx, s) },
	})
	return Settled{Hold: out.held(), Entry: out.entry}, err
}

func (s Settle) validate(own bool) error {
	if err := checkHold(s.Account, s.Hold); err != nil {
		return err
	}
	if s.Amount < 0 {
		return fmt.Errorf("%w: the amount is below zero", ErrInvalid)
	}
	if s.More && s.Amount == 0 {
		return fmt.Errorf("%w: a part of the work that costs nothing needs no settlement", ErrInvalid)
	}
	if err := checkKey(s.Key, !own); err != nil {
		return err
	}
	if err := checkForeign(s.Key); err != nil {
		return err
	}
	if err := checkText("note", s.Note); err != nil {
		return err
	}
	return checkBasis(s.Basis)
}

func (b *book) settle(ctx context.Context, s Settle) (outcome, error) {
	h, err := b.holding(s.Hold)
	if err != nil {
		return outcome{}, err
	}
	if have := h.left() + b.spendable(h.Operation); s.Amount > have {
		room := max(0, b.ledger.cfg.Overdraft-b.row.debt)
		if s.Amount-have > room {
			return outcome{}, b.ledger.insufficient(s.Amount, have+min(room, math.MaxInt64-have))
		}
	}
	var out outcome
	if s.Amount > 0 {
		line := entryRow{Key: s.Key, Note: cmp.Or(s.Note, h.Note), Basis: s.Basis}
		if out.entry, err = b.charge(ctx, h, s.Amount, line); err != nil {
			return outcome{}, err
		}
	}
	if !s.More {
		if err := b.giveUp(ctx, h); err != nil {
			return outcome{}, err
		}
	}
	out.hold = new(b.held(h))
	return out, nil
}

// holding is a hold that still holds something.
func (b *book) holding(id string) (*holdRow, error) {
	switch h := b.holds[id]; {
	case h == nil:
		return nil, ErrNoHold
	case !h.holding():
		return nil, ErrHoldEnded
	default:
		return h, nil
	}
}

// charge enters n credits for the work of a hold: from what it holds, then from what
// can be spent, then as a debt.
func (b *book) charge(ctx context.Context, h *holdRow, n int64, line entryRow) (Entry, error) {
	held := min(n, h.left())
	more := b.take(h.Operation, min(n-held, b.spendable(h.Operation)))
	parts, err := b.letGo(ctx, h, held)
	if err != nil {
		return Entry{}, err
	}
	h.Used += held
	h.Settled += n
	h.changed = true
	rest := n - held
	for _, p := range more {
		rest += p.amount
		if i := slices.IndexFunc(parts, func(o part) bool { return o.grant == p.grant }); i >= 0 {
			parts[i].amount += p.amount
			continue
		}
		parts = append(parts, p)
	}
	if rest > 0 {
		parts = append(parts, part{nil, -rest})
	}
	line.Kind, line.Hold, line.Operation = KindSettle, h.ID, h.Operation
	line.ActorKind, line.ActorID = h.ActorKind, h.ActorID
	line.OnBehalfKind, line.OnBehalfID = h.OnBehalfKind, h.OnBehalfID
	budgets, err := b.budgetsOf(ctx, h.spenders())
	if err != nil {
		return Entry{}, err
	}
	count(budgets, n, 0)
	return b.enter(line, parts, b.now).entry(), nil
}

// giveUp ends a hold and gives back what is left of it.
func (b *book) giveUp(ctx context.Context, h *holdRow) error {
	if _, err := b.letGo(ctx, h, h.left()); err != nil {
		return err
	}
	h.State, h.changed = HoldReleased, true
	if h.Settled > 0 {
		h.State = HoldSettled
	}
	b.lapse(b.now) // what its grants held past their end
	return nil
}
