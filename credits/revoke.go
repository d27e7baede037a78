package credits

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Revoke takes back what nobody has spent of a grant.
type Revoke struct {
	Account tenancy.AccountID
	// Entry is the number of the grant's entry.
	Entry int64
	// Key makes it happen once. Required, 200 bytes at most; "quitrent:" is a prefix of
	// this library's own and refused.
	Key string
	// Note is for the statement and the audit log, 500 bytes at most.
	Note string
	// Actor is who takes it back, for the audit log. Default: the system.
	Actor tenancy.Actor
}

// Revoked says that what was left of a grant was taken back.
type Revoked struct {
	Number int64 `json:"number"`
	Grant  int64 `json:"grant"` // the number of its entry
	Amount int64 `json:"amount"`
	// Unit is the ledger's, where that is not "credit".
	Unit string `json:"unit,omitempty"`
}

// EventKind implements tenancy.Fact.
func (Revoked) EventKind() string { return "credits.revoked" }

// Revoke takes out of an account what is left of a grant: what was spent stays spent, and
// what is held stays held, to be charged or to go back into the grant. It writes to the
// audit log and the outbox.
//
// It returns ErrNoEntry, ErrNothingLeft when the entry is no grant's or nothing of it can
// be taken back, ErrKeyReused when the key was used with another Entry, and ErrInvalid.
func (l *Ledger) Revoke(ctx context.Context, db bun.IDB, r Revoke) (Entry, error) {
	if r.Actor == (tenancy.Actor{}) {
		r.Actor = ownActor
	}
	if err := r.validate(); err != nil {
		return Entry{}, err
	}
	out, err := l.ask(ctx, db, request{
		account: r.Account, key: r.Key, none: ErrNoEntry,
		hash:  l.digest([]any{KindRevoke, r.Entry}),
		do:    func(ctx context.Context, b *book) (outcome, error) { return b.revoke(ctx, r) },
		alone: true,
	})
	return out.entry, err
}

func (r Revoke) validate() error {
	if err := checkAccount(r.Account); err != nil {
		return err
	}
	if err := checkKey(r.Key, true); err != nil {
		return err
	}
	if err := checkForeign(r.Key); err != nil {
		return err
	}
	if err := checkText("note", r.Note); err != nil {
		return err
	}
	if r.audit().Validate() != nil {
		return fmt.Errorf("%w: the actor has a kind and an id, in text that prints, 200 bytes each", ErrInvalid)
	}
	return nil
}

func (r Revoke) audit() tenancy.Audit {
	return tenancy.Audit{Account: r.Account, Actor: r.Actor, Action: "credits.revoke", Reason: r.Note}
}

func (b *book) revoke(ctx context.Context, r Revoke) (outcome, error) {
	if _, err := b.ledger.Entry(ctx, b.db, b.account, r.Entry); err != nil {
		return outcome{}, err
	}
	var id string
	rows, err := b.db.QueryContext(ctx, `SELECT grant_id FROM credits_grants WHERE account_id = ? AND unit = ? AND number = ? AND origin = ''`,
		b.account, b.ledger.cfg.Unit, r.Entry)
	err = each(rows, err, func(scan func(...any) error) error { return scan(&id) })
	if err != nil {
		return outcome{}, err
	}
	if id == "" {
		return outcome{}, ErrNothingLeft
	}
	g, err := b.grant(ctx, id)
	if err != nil {
		return outcome{}, err
	}
	amount := g.free()
	if amount == 0 {
		return outcome{}, ErrNothingLeft
	}
	line := entryRow{Kind: KindRevoke, Key: r.Key, Note: r.Note, ActorKind: r.Actor.Kind, ActorID: r.Actor.ID}
	entry := b.enter(line, []part{{g, -amount}}, b.now).entry()
	audit := r.audit()
	audit.At, audit.Target = b.now, g.ID
	audit.Data = fmt.Appendf(nil, `{"number":%d,"grant":%d,"amount":%d%s}`, entry.Number, r.Entry, amount, b.ledger.dataUnit())
	b.note(func(ctx context.Context, db bun.IDB) error {
		return tenancy.Note(ctx, db, audit, Revoked{Number: entry.Number, Grant: r.Entry, Amount: amount, Unit: b.ledger.otherUnit()})
	})
	return outcome{entry: entry}, nil
}
