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
	// Actor is who spends: a key, a member. Default: it is not said.
	Actor tenancy.Actor
}

// Deduct takes credits out of an account: all of them or none, never more than is
// spendable, from however many processes at once. It takes from grants in their
// burn order (see the package comment) and writes down how much from which.
//
// Called again with the same key and content it returns the first outcome, with
// Replayed set: the entry, or the refusal, even if there are credits by now.
//
// It returns an *InsufficientError (errors.Is ErrInsufficient), which writes
// nothing but the key, ErrKeyReused and ErrInvalid. The refusals leave a joined
// transaction usable; commit it, or a refusal's key is forgotten.
func (l *Ledger) Deduct(ctx context.Context, db bun.IDB, d Deduct) (Entry, error) {
	if err := d.validate(); err != nil {
		return Entry{}, err
	}
	r := request{account: d.Account, key: d.Key, actor: d.Actor, content: []any{KindDeduct, d.Amount, d.Operation}}
	return l.post(ctx, db, r, func(p *posting) (Entry, error) { return p.deduct(ctx, d) })
}

func (d Deduct) validate() error {
	if err := checkAccount(d.Account); err != nil {
		return err
	}
	if err := checkAmount(d.Amount); err != nil {
		return err
	}
	if err := checkKey(d.Key, false); err != nil {
		return err
	}
	if err := checkForeign(d.Key); err != nil {
		return err
	}
	if err := checkActor(d.Actor); err != nil {
		return err
	}
	if err := checkText("operation", d.Operation); err != nil {
		return err
	}
	return checkText("note", d.Note)
}

func (p *posting) deduct(ctx context.Context, d Deduct) (Entry, error) {
	if p.absent {
		return Entry{}, p.insufficient(d.Amount, 0)
	}
	grants, live, err := liveGrants(ctx, p.db, p.account, p.now)
	if err != nil {
		return Entry{}, err
	}
	spendable := max(0, live-p.held)
	if d.Amount > spendable {
		return Entry{}, p.insufficient(d.Amount, spendable)
	}
	return p.write(ctx, entryRow{
		Kind: KindDeduct, Amount: -d.Amount, Spendable: spendable - d.Amount, Operation: d.Operation, Note: d.Note,
	}, take(grants, d.Amount), true)
}

// take spreads n over grants, which are in burn order and hold at least n.
func take(grants []grantRow, n int64) []split {
	var out []split
	for _, g := range grants {
		if n == 0 {
			break
		}
		part := min(n, g.Remaining)
		out = append(out, split{g.ID, -part})
		n -= part
	}
	return out
}
