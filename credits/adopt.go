package credits

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Adopt takes over an account's credits from another system: what happened to them there,
// and what is left. Package adoption does it for many accounts, and says first what does
// not add up.
type Adopt struct {
	Account tenancy.AccountID
	// Lines are what happened, oldest first. An account whose history is not known has a
	// line for what it has.
	Lines []AdoptLine
	// Lots are what is left and until when, as the other system knows it; together what
	// the lines add up to. None if that is zero or, with a debt, below it.
	Lots []Lot
	// Category is that of what came in and was spent there: a refund puts it back. Default:
	// CategoryAdjustment.
	Category Category
	// DryRun checks everything and writes nothing.
	DryRun bool
	// Actor is who adopts, for the audit log. Default: the system.
	Actor tenancy.Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// AdoptLine is one line of another system's ledger.
type AdoptLine struct {
	// At is when it was. Zero, in the last lines only: at the adoption.
	At time.Time
	// Amount is in credits: positive what came in, negative what went out.
	Amount int64
	// Kind is KindGrant or KindRefund, KindDeduct, KindExpire or KindRevoke. Default:
	// KindGrant or KindDeduct, by the amount.
	Kind Kind
	// Reference is the line's id in the other system, of which no two are the same; 100
	// bytes at most. The entry's key is made of it. Default: none.
	Reference string
	// RefundOf is the Reference of the deduction before that a refund gave back from, so
	// that what was given back there is not given back once more. Default: it is not known.
	RefundOf string
	// Operation and Note are the other system's words, 500 bytes each at most.
	Operation string
	Note      string
}

// Lot is what is left of some credits.
type Lot struct {
	// Amount is in credits, above zero.
	Amount int64 `json:"amount"`
	// Category is where the credits came from. Default: CategoryAdjustment.
	Category Category `json:"category"`
	// Priority is spent in ascending order. Default: 0.
	Priority int `json:"priority,omitzero"`
	// ExpiresAt is from when on they can't be spent any more, still to come. Default: never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Source is what the other system knows them by, 200 bytes at most. It goes into the
	// audit log.
	Source string `json:"source,omitempty"`
}

// Adopted is what an adoption did, or a dry run would do.
type Adopted struct {
	// Entries is how many there are of it; Balance is the account's after them.
	Entries int64
	Balance int64
	// Replayed says that it was adopted before, from the same lines and lots.
	Replayed bool
}

// maxReference is the longest reference of a line, and maxSource the longest source of a
// lot, in bytes.
const (
	maxReference = 100
	maxSource    = 200
)

// outcomeAdopted is that of the key under which an account's adoption is remembered: how
// many entries there are of it is its number, the balance after them what it has.
const outcomeAdopted = "adopted"

// adoptedKey is that key, and the beginning of those of the entries.
func (l *Ledger) adoptedKey() string { return ownKeys + "adopted:" + l.cfg.Unit }

// Adopt makes the account's first entries out of what happened in another system, each as
// of its time, once: again it changes nothing and returns what it did, with Replayed set.
// An account without lines is remembered too. No event is published but those of
// thresholds, which are held against what is left in the end.
//
// What went out there was taken from what had come in first, and what is left is the last
// that came in, in its lots. Where more went out than had come in, the entry is a debt,
// and what came in next has repaid it. All can be refunded: into what never expires.
//
// It returns ErrInvalid, ErrOverflow, ErrNotEmpty when the account has entries already,
// and ErrAdopted when it was adopted from other lines. All leave a joined transaction
// usable.
func (l *Ledger) Adopt(ctx context.Context, db bun.IDB, a Adopt) (Adopted, error) {
	a = a.complete()
	if err := a.validate(); err != nil {
		return Adopted{}, err
	}
	hash := l.digestAdopt(a)
	out, err := l.adoptable(ctx, db, a, hash)
	if err != nil || a.DryRun {
		return out, err
	}
	_, err = l.ask(ctx, db, request{
		account: a.Account, opens: true, alone: true,
		do: func(ctx context.Context, b *book) (outcome, error) {
			var err error
			out, err = b.adopt(ctx, a, hash)
			return outcome{}, err
		},
	})
	if err != nil {
		return Adopted{}, err
	}
	return out, nil
}

// adoptable is what an adoption would do, without the account's lock.
func (l *Ledger) adoptable(ctx context.Context, db bun.IDB, a Adopt, hash string) (Adopted, error) {
	b := &book{ledger: l, db: db, account: a.Account, now: l.now()}
	err := db.NewRaw("SELECT number FROM credits_accounts WHERE account_id = ? AND unit = ?", a.Account, l.cfg.Unit).Scan(ctx, &b.row.number)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Adopted{}, err
	}
	if out, err := b.adoptedBefore(ctx, hash); err != nil || out.Replayed {
		return out, err
	}
	if err := a.validateAt(b.now); err != nil {
		return Adopted{}, err
	}
	return b.retell(a, hash, func() error {
		b.written() // as far as this book knows
		return nil
	})
}

func (b *book) adopt(ctx context.Context, a Adopt, hash string) (Adopted, error) {
	out, err := b.adoptedBefore(ctx, hash)
	if err != nil {
		return Adopted{}, err
	}
	if out.Replayed {
		b.row.replays++ // so that it waits for a synchronous standby too
		return out, nil
	}
	if err := a.validateAt(b.now); err != nil {
		return Adopted{}, err
	}
	now := b.now
	out, err = b.retell(a, hash, func() error {
		if err := flush(ctx, b.db, []*book{b}); err != nil {
			return err
		}
		b.written()
		return nil
	})
	if err != nil {
		return Adopted{}, err
	}
	b.at(now)
	b.know(&keyRow{
		Account: b.account, Key: b.ledger.adoptedKey(), Hash: hash, Unit: b.ledger.cfg.Unit, Outcome: outcomeAdopted,
		Number: out.Entries, Have: out.Balance, CreatedAt: now, made: true,
	})
	audit := a.audit()
	audit.At = now
	audit.Data, err = json.Marshal(struct {
		Unit    string `json:"unit"`
		Entries int64  `json:"entries"`
		Balance int64  `json:"balance"`
		Lots    []Lot  `json:"lots,omitempty"`
	}{b.ledger.cfg.Unit, out.Entries, out.Balance, a.Lots})
	b.note(func(ctx context.Context, db bun.IDB) error { return tenancy.Record(ctx, db, audit) })
	return out, err
}

// adoptedBefore is what an adoption did before, if it was of the same; an error if it was
// not, or if there is something else in the account.
func (b *book) adoptedBefore(ctx context.Context, hash string) (Adopted, error) {
	var k keyRow
	err := b.db.NewSelect().Model(&k).Where("account_id = ? AND unit = ? AND key = ?", b.account, b.ledger.cfg.Unit, b.ledger.adoptedKey()).Scan(ctx)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return Adopted{}, err
	case k.Hash != hash:
		return Adopted{}, ErrAdopted
	default:
		return Adopted{Entries: k.Number, Balance: k.Have, Replayed: true}, nil
	}
	if b.row.number > 0 {
		return Adopted{}, ErrNotEmpty
	}
	return Adopted{}, nil
}

func (a Adopt) audit() tenancy.Audit {
	return tenancy.Audit{Account: a.Account, Actor: a.Actor, Action: "credits.adopt", Reason: a.Reason}
}

func (l *Ledger) digestAdopt(a Adopt) string {
	content := []any{"adopt", a.Category, len(a.Lines)}
	for _, n := range a.Lines {
		content = append(content, n.At, n.Amount, n.Kind, n.Reference, n.RefundOf, n.Operation, n.Note)
	}
	for _, t := range a.Lots {
		content = append(content, t.Amount, t.Category, t.Priority, t.ExpiresAt, t.Source)
	}
	return l.digest(content)
}

// complete is a with its defaults.
func (a Adopt) complete() Adopt {
	if a.Category == "" {
		a.Category = CategoryAdjustment
	}
	if a.Actor == (tenancy.Actor{}) {
		a.Actor = ownActor
	}
	lines, lots := make([]AdoptLine, len(a.Lines)), make([]Lot, len(a.Lots))
	for i, n := range a.Lines {
		n.At = micro(n.At)
		n.Kind = n.kind()
		lines[i] = n
	}
	for i, t := range a.Lots {
		t.ExpiresAt = micro(t.ExpiresAt)
		if t.Category == "" {
			t.Category = CategoryAdjustment
		}
		lots[i] = t
	}
	a.Lines, a.Lots = lines, lots
	return a
}

func (n AdoptLine) kind() Kind {
	switch {
	case n.Kind != "":
		return n.Kind
	case n.Amount > 0:
		return KindGrant
	}
	return KindDeduct
}

// validateAt checks what depends on when it is asked.
func (a Adopt) validateAt(now time.Time) error {
	if n := len(a.Lines); n > 0 && lastAt(a.Lines).After(now) {
		return fmt.Errorf("%w: a line is of a time to come", ErrInvalid)
	}
	for i, t := range a.Lots {
		if !t.ExpiresAt.IsZero() && !t.ExpiresAt.After(now) {
			return fmt.Errorf("%w: lot %d has expired: what has is not left", ErrInvalid, i)
		}
	}
	return nil
}
