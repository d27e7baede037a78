package credits

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/tenancy"
)

// Hold sets credits aside for work whose cost is known afterwards.
type Hold struct {
	Account tenancy.AccountID
	// Amount is in credits, above zero: what the work may cost.
	Amount int64
	// Key makes the hold happen once, whatever is retried. "" takes every call for a new
	// one. 200 bytes at most; "quitrent:" is a prefix of this library's own.
	Key string
	// For is how long the hold lasts unless it is settled, released or extended; up to
	// 30 days. Default: 15 minutes.
	For time.Duration
	// AtEnd is what becomes of a hold that nobody settled or released by then. Default:
	// AtEndRelease.
	AtEnd AtEnd
	// Operation is what the credits are for: "ideas". 500 bytes at most.
	Operation string
	// Note is for the statement, 500 bytes at most.
	Note string
	// Actor is who spends: a key, a member. Default: it is not said.
	Actor tenancy.Actor
	// OnBehalf is on whose behalf the actor spends: the member who made the key. The budgets
	// of both count. Default: nobody's.
	OnBehalf tenancy.Actor
}

// AtEnd is what becomes of a hold whose time is over.
type AtEnd string

// What can become of a hold whose time is over.
const (
	AtEndRelease AtEnd = "release" // the credits go back
	AtEndCharge  AtEnd = "charge"  // what is left of it is charged
	AtEndReview  AtEnd = "review"  // it stays held until somebody settles or releases it
)

var atEnds = []AtEnd{AtEndRelease, AtEndCharge, AtEndReview}

// HoldState is how far a hold has come.
type HoldState string

// The states of a hold.
const (
	HoldOpen     HoldState = "open"
	HoldSettled  HoldState = "settled"
	HoldReleased HoldState = "released" // with nothing charged, or nothing more
	HoldReview   HoldState = "review"   // its time is over and somebody has to decide
)

// Held is a hold as it is.
type Held struct {
	Account tenancy.AccountID `json:"-"`
	ID      string            `json:"id"`
	State   HoldState         `json:"state"`
	// Amount is what was set aside, Left what still is, Settled what was charged so far;
	// in credits.
	Amount    int64         `json:"amount"`
	Left      int64         `json:"left"`
	Settled   int64         `json:"settled"`
	Operation string        `json:"operation,omitempty"`
	Note      string        `json:"note,omitempty"`
	Actor     tenancy.Actor `json:"actor,omitzero"`
	OnBehalf  tenancy.Actor `json:"on_behalf,omitzero"`
	AtEnd     AtEnd         `json:"at_end"`
	ExpiresAt time.Time     `json:"expires_at"`
	CreatedAt time.Time     `json:"created_at"`
	// Spendable is what was left to spend when the hold was taken, settled or released;
	// it is not stored, and zero in what Held reads.
	Spendable int64 `json:"-"`
	// Replayed says that the key had been used before with the same content.
	Replayed bool `json:"-"`
}

// How long a hold lasts.
const (
	defaultHold = 15 * time.Minute
	maxHold     = 30 * 24 * time.Hour
)

// Hold sets credits aside: all of them or none. They are taken from the grants in burn
// order at once, so that work which is under way is paid for even when a grant expires
// meanwhile, and nothing else can spend them. The balance stays: nothing is charged
// before Settle.
//
// Called again with the same key and content it returns the first hold, as it is by
// now, with Replayed set. The content is Amount, Operation, For and AtEnd, with their
// defaults.
//
// It returns an *InsufficientError (errors.Is ErrInsufficient) and a *BudgetError
// (errors.Is ErrBudget), as Deduct does, which write nothing but the key, ErrKeyReused and
// ErrInvalid.
func (l *Ledger) Hold(ctx context.Context, db bun.IDB, h Hold) (Held, error) {
	if h.For == 0 {
		h.For = defaultHold
	}
	if h.AtEnd == "" {
		h.AtEnd = AtEndRelease
	}
	if err := h.validate(); err != nil {
		return Held{}, err
	}
	out, err := l.ask(ctx, db, request{
		account: h.Account, key: h.Key, takes: h.Amount, spenders: spenders{h.Actor, h.OnBehalf},
		hash: l.digest([]any{"hold", h.Amount, h.Operation, h.For, h.AtEnd}),
		do:   func(ctx context.Context, b *book) (outcome, error) { return b.holdNew(ctx, h) },
	})
	return out.held(), err
}

func (h Hold) validate() error {
	if err := checkSpending(h.Account, h.Amount, h.Key, h.Operation, h.Note, h.Actor, h.OnBehalf); err != nil {
		return err
	}
	if !slices.Contains(atEnds, h.AtEnd) {
		return fmt.Errorf("%w: what becomes of a hold at its end is none of %v", ErrInvalid, atEnds)
	}
	return checkFor(h.For)
}

func checkFor(d time.Duration) error {
	if d < time.Second || d > maxHold {
		return fmt.Errorf("%w: a hold lasts between a second and %d days", ErrInvalid, maxHold/(24*time.Hour))
	}
	return nil
}

func (b *book) holdNew(ctx context.Context, h Hold) (outcome, error) {
	budgets, err := b.budgetsOf(ctx, spenders{h.Actor, h.OnBehalf})
	if err != nil {
		return outcome{}, err
	}
	if err := within(budgets, h.Amount); err != nil {
		return outcome{}, err
	}
	have := b.spendable(h.Operation)
	if h.Amount > have {
		return outcome{}, b.ledger.insufficient(h.Amount, have)
	}
	row := &holdRow{
		Account: b.account, ID: id.New("hld"), Unit: b.ledger.cfg.Unit, State: HoldOpen, Amount: h.Amount,
		AtEnd: h.AtEnd, Operation: h.Operation, Note: h.Note, ActorKind: h.Actor.Kind, ActorID: h.Actor.ID,
		OnBehalfKind: h.OnBehalf.Kind, OnBehalfID: h.OnBehalf.ID,
		ExpiresAt: micro(b.now.Add(h.For)), CreatedAt: b.now, made: true,
	}
	for _, p := range b.take(h.Operation, h.Amount) {
		b.move(p.grant, 0, -p.amount)
		row.parts = append(row.parts, share{p.grant.ID, -p.amount})
	}
	row.Parts = formatParts(row.parts)
	count(budgets, 0, h.Amount)
	b.keep(row)
	b.due(row.ExpiresAt)
	return outcome{hold: new(b.held(row))}, nil
}

func (b *book) held(h *holdRow) Held {
	held := h.held()
	held.Spendable = b.spendable("")
	return held
}

// Held reads a hold. What has become due meanwhile – its time is over – is booked first,
// as Balance does, which writes. ErrNoHold: the account has none of that id. ErrInvalid:
// account is no account id, or id is empty, longer than 64 bytes or does not print.
func (l *Ledger) Held(ctx context.Context, db bun.IDB, account tenancy.AccountID, id string) (Held, error) {
	if err := checkHold(account, id); err != nil {
		return Held{}, err
	}
	if err := l.bookDue(ctx, db, account); err != nil {
		return Held{}, err
	}
	return l.readHeld(ctx, db, account, id)
}

// readHeld is Held for whoever has the account's book open, in which what is due is booked.
func (l *Ledger) readHeld(ctx context.Context, db bun.IDB, account tenancy.AccountID, id string) (Held, error) {
	var found *holdRow
	rows, err := db.QueryContext(ctx, `SELECT `+holdColumns+` FROM credits_holds AS h
		WHERE h.account_id = ? AND h.hold_id = ? AND h.unit = ?`, account, id, l.cfg.Unit) // sqltext: constant
	err = each(rows, err, func(scan func(...any) error) (err error) {
		found, err = scanHold(scan)
		return err
	})
	if err != nil {
		return Held{}, err
	}
	if found == nil {
		return Held{}, ErrNoHold
	}
	return found.held(), nil
}
