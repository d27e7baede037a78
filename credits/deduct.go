package credits

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Deduct takes credits out of an account.
type Deduct struct {
	Account tenancy.AccountID
	// Amount is in credits, above zero.
	Amount int64
	// Key makes the deduction happen once, whatever is retried. A key that comes
	// from a client wants a prefix of yours ("ideas:"), so that it can't meet the
	// keys of other operations; "quitrent:" is this library's own and refused. ""
	// takes every call for a new one. 200 bytes at most.
	Key string
	// Operation is what the credits pay for: "ideas". 500 bytes at most.
	Operation string
	// Note is for the statement, 500 bytes at most.
	Note string
	// Basis says how the amount came about, 1,000 bytes at most: prices.Quoted has it.
	// It is no part of what makes two requests with one key the same.
	Basis string
	// Actor is who spends: a key, a member. Default: it is not said.
	Actor tenancy.Actor
	// OnBehalf is on whose behalf the actor spends: the member who made the key. The budgets
	// of both count. Default: nobody's.
	OnBehalf tenancy.Actor
}

// Deduct takes credits out of an account: all of them or none, never more than is
// spendable, from however many processes at once. It takes from grants in their
// burn order (see the package comment) and writes down how much from which.
//
// Called again with the same key and content it returns the first outcome, with
// Replayed set: the entry, or the refusal, even if there are credits by now. The content
// is Amount and Operation.
//
// It returns an *InsufficientError (errors.Is ErrInsufficient) and a *BudgetError
// (errors.Is ErrBudget), which write nothing but the key, ErrKeyReused and ErrInvalid.
// Where both credits and budget are short it is the budget: buying credits would not
// help whoever asks, who need not learn either what the account has. The refusals leave
// a joined transaction usable; commit it, or a refusal's key is forgotten.
func (l *Ledger) Deduct(ctx context.Context, db bun.IDB, d Deduct) (Entry, error) {
	if err := d.validate(); err != nil {
		return Entry{}, err
	}
	out, err := l.ask(ctx, db, l.deduction(d))
	return out.entry, err
}

func (d Deduct) validate() error {
	if err := checkSpending(d.Account, d.Amount, d.Key, d.Operation, d.Note, d.Actor, d.OnBehalf); err != nil {
		return err
	}
	return checkBasis(d.Basis)
}

func checkSpending(account tenancy.AccountID, amount int64, key, operation, note string, by ...tenancy.Actor) error {
	if err := checkAccount(account); err != nil {
		return err
	}
	if err := checkAmount(amount); err != nil {
		return err
	}
	if err := checkKey(key, false); err != nil {
		return err
	}
	if err := checkForeign(key); err != nil {
		return err
	}
	for _, actor := range by {
		if err := checkActor(actor); err != nil {
			return err
		}
	}
	if err := checkText("operation", operation); err != nil {
		return err
	}
	return checkText("note", note)
}

func (l *Ledger) deduction(d Deduct) request {
	return request{
		account: d.Account, key: d.Key, takes: d.Amount, spenders: spenders{d.Actor, d.OnBehalf},
		hash: l.digest([]any{KindDeduct, d.Amount, d.Operation}), draw: &d,
		do: func(ctx context.Context, b *book) (outcome, error) { return b.deduct(ctx, &d) },
	}
}

func (b *book) deduct(ctx context.Context, d *Deduct) (outcome, error) {
	budgets, err := b.budgetsOf(ctx, spenders{d.Actor, d.OnBehalf})
	if err != nil {
		return outcome{}, err
	}
	if err := within(budgets, d.Amount); err != nil {
		return outcome{}, err
	}
	have := b.spendable(d.Operation)
	if d.Amount > have {
		return outcome{}, b.ledger.insufficient(d.Amount, have)
	}
	line := entryRow{
		Kind: KindDeduct, Key: d.Key, Operation: d.Operation, Note: d.Note, Basis: d.Basis,
		ActorKind: d.Actor.Kind, ActorID: d.Actor.ID, OnBehalfKind: d.OnBehalf.Kind, OnBehalfID: d.OnBehalf.ID,
	}
	count(budgets, d.Amount, 0)
	return outcome{entry: b.enter(line, b.take(d.Operation, d.Amount), b.now).entry()}, nil
}
