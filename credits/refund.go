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
	// Unit is the ledger's, where that is not "credit".
	Unit string `json:"unit,omitempty"`
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
// when the key was used with another Entry or Amount (0 is another than what it came to),
// and ErrInvalid.
func (l *Ledger) Refund(ctx context.Context, db bun.IDB, r Refund) (Entry, error) {
	if err := r.validate(); err != nil {
		return Entry{}, err
	}
	out, err := l.ask(ctx, db, request{
		account: r.Account, key: r.Key,
		hash:  l.digest([]any{KindRefund, r.Entry, r.Amount}),
		do:    func(ctx context.Context, b *book) (outcome, error) { return b.refund(ctx, r) },
		alone: true,
	})
	return out.entry, err
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

func (b *book) refund(ctx context.Context, r Refund) (outcome, error) {
	origin, err := b.ledger.Entry(ctx, b.db, b.account, r.Entry)
	if err != nil {
		return outcome{}, err
	}
	if origin.Kind != KindDeduct && origin.Kind != KindSettle {
		return outcome{}, ErrNotRefundable
	}
	owed, err := b.owed(ctx, r.Entry)
	if err != nil {
		return outcome{}, err
	}
	back := giveBack(owed, r.Amount)
	if len(back) == 0 {
		return outcome{}, ErrNotRefundable
	}
	var amount int64
	for _, s := range back {
		amount += s.amount
	}
	if err := b.room(amount); err != nil {
		return outcome{}, err
	}
	parts, err := b.origins(ctx, back)
	if err != nil {
		return outcome{}, err
	}
	budgets, err := b.budgetsOf(ctx, spenders{origin.Actor, origin.OnBehalf})
	if err != nil {
		return outcome{}, err
	}
	giveBackTo(budgets, origin, amount)
	line := entryRow{
		Kind: KindRefund, RefundOf: r.Entry, Key: r.Key, Operation: origin.Operation, Note: r.Note,
		ActorKind: r.Actor.Kind, ActorID: r.Actor.ID,
	}
	entry := b.enter(line, parts, b.now).entry()
	b.lapse(b.now)
	b.note(func(ctx context.Context, db bun.IDB) error {
		return tenancy.Publish(ctx, db, b.account, b.now, Refunded{
			Number: entry.Number, RefundOf: r.Entry, Amount: amount, Unit: b.ledger.otherUnit(),
		})
	})
	return outcome{entry: entry}, nil
}

// share is what an entry took from a grant, by its id; from none, what it left as debt.
type share struct {
	grant  string
	amount int64
}

// inDebt is the origin of a grant that stands for a debt which was repaid.
const inDebt = "debt"

// origins are the grants that shares go back to: those they came from, or others in
// their place.
func (b *book) origins(ctx context.Context, back []share) ([]part, error) {
	var parts []part
	debt := b.row.debt
	for _, s := range back {
		if s.grant == "" {
			n := min(debt, s.amount)
			if n > 0 {
				parts = append(parts, part{nil, n})
				debt -= n
			}
			if s.amount > n { // another grant has repaid it since
				g := &grantRow{Origin: inDebt, Category: CategoryAdjustment, Amount: s.amount - n, EffectiveAt: b.now}
				b.add(g)
				parts = append(parts, part{g, g.Amount})
			}
			continue
		}
		g, err := b.grant(ctx, s.grant)
		if err != nil {
			return nil, err
		}
		if grace := b.ledger.cfg.RefundGrace; grace > 0 && g.expired(b.now) {
			g = &grantRow{
				Origin: g.ID, Category: g.Category, Priority: g.Priority, Operations: g.Operations,
				Amount: s.amount, EffectiveAt: b.now, ExpiresAt: b.now.Add(grace),
			}
			b.add(g)
		}
		parts = append(parts, part{g, s.amount})
	}
	return parts, nil
}

// owed is what the entry took from each grant less what was given back, the last grant
// taken from first.
func (b *book) owed(ctx context.Context, number int64) ([]share, error) {
	var owed []share
	// The entry's own splits come first: its number is lower. What a refund put into a
	// grant that it made counts for that one's origin.
	rows, err := b.db.QueryContext(ctx, `SELECT COALESCE(g.origin, s.grant_id), s.amount FROM `+parts+` AS s
		LEFT JOIN credits_grants AS g ON g.account_id = s.account_id AND g.grant_id = s.grant_id AND g.number = s.number AND g.origin <> ''
		WHERE s.account_id = ? AND s.unit = ? AND s.number IN (SELECT CAST(? AS BIGINT) UNION ALL
			SELECT number FROM credits_entries WHERE account_id = ? AND unit = ? AND refund_of = ?)
		ORDER BY s.number, s.position`, b.account, b.ledger.cfg.Unit, number, b.account, b.ledger.cfg.Unit, number)
	err = each(rows, err, func(scan func(...any) error) error {
		var s share
		if err := scan(&s.grant, &s.amount); err != nil {
			return err
		}
		if s.grant == inDebt {
			s.grant = ""
		}
		i := slices.IndexFunc(owed, func(o share) bool { return o.grant == s.grant })
		if i < 0 {
			owed = append(owed, share{s.grant, 0})
			i = len(owed) - 1
		}
		owed[i].amount -= s.amount
		return nil
	})
	slices.Reverse(owed)
	return owed, err
}

// giveBack spreads n over what is owed; 0 is all of it. It returns nothing when n
// is more than is owed, or nothing is.
func giveBack(owed []share, n int64) []share {
	all := n == 0
	var out []share
	for _, o := range owed {
		part := o.amount
		if !all {
			part = min(n, part)
		}
		if part > 0 {
			out = append(out, share{o.grant, part})
			n -= part
		}
	}
	if !all && n > 0 {
		return nil
	}
	return out
}
