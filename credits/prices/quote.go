package prices

import (
	"cmp"
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Quote asks what an operation costs.
type Quote struct {
	// Account is who would pay: its own price goes before the general one. Default:
	// nobody, so the general one.
	Account   tenancy.AccountID
	Operation string
	// Inputs are what was counted, none below zero: all that the price names, 0 where
	// there was none. Others cost nothing and may be there.
	Inputs map[string]int64
	// At is the instant whose price is asked for, a future one too. Default: now.
	At time.Time
}

// Quoted is what an operation costs, and why.
type Quoted struct {
	// Amount is in credits. It may be 0: then there is nothing to deduct.
	Amount int64 `json:"amount"`
	// Version is the price that it follows from.
	Version Version `json:"version"`
	// Basis is for the ledger's entry: one line of JSON, 1,000 bytes at most, that
	// Explain understands.
	Basis string `json:"basis"`
}

// Quote says what an operation costs and charges nothing. It reads one version; the
// price is the same however often it is asked for the same instant, once that is over.
//
// It returns ErrNoPrice, ErrInvalid for a missing input, and ErrOverflow.
func (l *List) Quote(ctx context.Context, db bun.IDB, q Quote) (Quoted, error) {
	if err := cmp.Or(checkAccount(q.Account), checkOperation(q.Operation), checkTime(q.At)); err != nil {
		return Quoted{}, err
	}
	v, err := inEffect(ctx, db, q.Account, q.Operation, l.at(q.At))
	if err != nil {
		return Quoted{}, err
	}
	sum, err := v.Price.sum(q.Inputs)
	if err != nil {
		return Quoted{}, err
	}
	amount, err := v.Price.cost(sum)
	if err != nil {
		return Quoted{}, err
	}
	return Quoted{Amount: amount, Version: v, Basis: v.basis(q.Inputs, amount).String()}, nil
}
