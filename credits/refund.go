package credits

import (
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Refund gives back credits that a deduction took.
type Refund struct {
	Account tenancy.AccountID
	// Entry is the number of the deduction.
	Entry int64
	// Amount is in credits. 0: all that was not given back yet.
	Amount int64
	// Key makes the refund happen once. Required, 200 bytes at most; "quitrent:" is a
	// prefix of this library's own and refused.
	Key string
	// Note is for the statement, 500 bytes at most.
	Note string
	// Actor is who gives back. Default: it is not said.
	Actor tenancy.Actor
}

// Refunded says that credits were given back.
type Refunded struct {
	Number   int64 `json:"number"`
	RefundOf int64 `json:"refund_of"`
	Amount   int64 `json:"amount"`
}

// EventKind implements tenancy.Fact.
func (Refunded) EventKind() string { return "credits.refunded" }

// Refund gives credits back to the grants they came from, the last one taken from
// first: an allowance stays an allowance and what was paid for stays paid for. What
// came from a grant that has expired since goes back there and is as expired as the
// rest of it.
//
// It returns ErrNoEntry, ErrNotRefundable when the entry took nothing or less than
// that is left to give back (over any number of refunds), ErrOverflow, ErrKeyReused
// and ErrInvalid.
func (l *Ledger) Refund(ctx context.Context, db bun.IDB, r Refund) (Entry, error) {
	if err := r.validate(); err != nil {
		return Entry{}, err
	}
	req := request{account: r.Account, key: r.Key, actor: r.Actor, content: []any{KindRefund, r.Entry, r.Amount}}
	return l.post(ctx, db, req, func(p *posting) (Entry, error) { return p.refund(ctx, r) })
}

func (r Refund) validate() error {
	if err := checkAccount(r.Account); err != nil {
		return err
	}
	if r.Amount < 0 {
		return fmt.Errorf("%w: the amount is below zero", ErrInvalid)
	}
	if err := checkKey(r.Key, true); err != nil {
		return err
	}
	if err := checkForeign(r.Key); err != nil {
		return err
	}
	if err := checkActor(r.Actor); err != nil {
		return err
	}
	return checkText("note", r.Note)
}

func (p *posting) refund(ctx context.Context, r Refund) (Entry, error) {
	origin, err := p.ledger.Entry(ctx, p.db, p.account, r.Entry)
	if err != nil {
		return Entry{}, err
	}
	if origin.Kind != KindDeduct {
		return Entry{}, ErrNotRefundable
	}
	owed, err := p.owed(ctx, r.Entry)
	if err != nil {
		return Entry{}, err
	}
	splits := giveBack(owed, r.Amount)
	if len(splits) == 0 {
		return Entry{}, ErrNotRefundable
	}
	var amount int64
	for _, s := range splits {
		amount += s.amount
	}
	if err := p.room(amount); err != nil {
		return Entry{}, err
	}
	spendable, err := p.spendableWith(ctx, splits)
	if err != nil {
		return Entry{}, err
	}
	entry, err := p.write(ctx, entryRow{
		Kind: KindRefund, Amount: amount, Spendable: spendable, RefundOf: r.Entry, Operation: origin.Operation, Note: r.Note,
	}, splits, true)
	if err != nil {
		return Entry{}, err
	}
	return entry, tenancy.Publish(ctx, p.db, p.account, p.now, Refunded{Number: entry.Number, RefundOf: r.Entry, Amount: amount})
}

// spendableWith is what can be spent once the splits are back in their grants.
func (p *posting) spendableWith(ctx context.Context, splits []split) (int64, error) {
	_, live, err := liveGrants(ctx, p.db, p.account, p.now)
	if err != nil {
		return 0, err
	}
	ids := make([]string, len(splits))
	for i, s := range splits {
		ids[i] = s.grant
	}
	var rows []grantRow
	err = p.db.NewSelect().Model(&rows).Where("account_id = ? AND grant_id IN (?)", p.account, bun.List(ids)).Scan(ctx)
	if err != nil {
		return 0, err
	}
	for _, s := range splits {
		i := slices.IndexFunc(rows, func(g grantRow) bool { return g.ID == s.grant })
		if i >= 0 && rows[i].inEffect(p.now) {
			live += s.amount
		}
	}
	return max(0, live-p.held), nil
}

// owed is what the deduction took from each grant less what was given back, the
// last grant taken from first.
func (p *posting) owed(ctx context.Context, number int64) ([]split, error) {
	var rows []splitRow
	err := p.db.NewSelect().Model(&rows).
		Where("account_id = ? AND unit = ?", p.account, unit).
		Where(`number IN (SELECT CAST(? AS BIGINT) UNION ALL
			SELECT number FROM credits_entries WHERE account_id = ? AND unit = ? AND refund_of = ?)`,
			number, p.account, unit, number).
		OrderExpr("number, position").Scan(ctx)
	if err != nil {
		return nil, err
	}
	var owed []split
	for _, r := range rows { // the deduction's own splits come first: its number is lower
		i := slices.IndexFunc(owed, func(s split) bool { return s.grant == r.Grant })
		if i < 0 {
			owed = append(owed, split{r.Grant, -r.Amount})
			continue
		}
		owed[i].amount -= r.Amount
	}
	slices.Reverse(owed)
	return owed, nil
}

// giveBack spreads n over what is owed; 0 is all of it. It returns nothing when n
// is more than is owed, or nothing is.
func giveBack(owed []split, n int64) []split {
	all := n == 0
	var out []split
	for _, o := range owed {
		part := o.amount
		if !all {
			part = min(n, part)
		}
		if part > 0 {
			out = append(out, split{o.grant, part})
			n -= part
		}
	}
	if !all && n > 0 {
		return nil
	}
	return out
}
