package credits

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Kind is what an entry did.
type Kind string

// The kinds of entries.
const (
	KindGrant  Kind = "grant"
	KindDeduct Kind = "deduct"
	KindRefund Kind = "refund"
	KindSettle Kind = "settle" // of a hold
	KindExpire Kind = "expire" // of what was left in a grant
	KindRevoke Kind = "revoke" // of what was left in a grant
)

// Entry is one line of an account's ledger. Entries are never changed or deleted.
type Entry struct {
	Account tenancy.AccountID `json:"-"`
	// Number counts the account's entries: 1, 2, 3, without gaps.
	Number int64 `json:"number"`
	Kind   Kind  `json:"kind"`
	// Amount is in credits: positive when it came in, negative when it went out.
	Amount int64 `json:"amount"`
	// Balance is the sum of all entries up to this one. Spendable is what could be
	// spent right after it: without what is expired, held or not in effect yet.
	Balance   int64 `json:"balance"`
	Spendable int64 `json:"spendable"`
	// RefundOf is the number of the entry that a refund gives back from.
	RefundOf int64 `json:"refund_of,omitzero"`
	// Hold is the one that a settlement settles.
	Hold string `json:"hold,omitempty"`
	// Key is the caller's idempotency key.
	Key string `json:"key,omitempty"`
	// Actor is who did it, as far as the caller said.
	Actor tenancy.Actor `json:"actor,omitzero"`
	// OnBehalf is on whose behalf the actor spent.
	OnBehalf tenancy.Actor `json:"on_behalf,omitzero"`
	// Operation and Note are the caller's words.
	Operation string `json:"operation,omitempty"`
	Note      string `json:"note,omitempty"`
	// Basis says how the amount came about, as the caller of Deduct or Settle gave it.
	Basis string `json:"basis,omitempty"`
	// At is when it happened: for what was left in a grant, when that expired. It never
	// falls from one entry to the next.
	At time.Time `json:"at"`
	// Replayed says that the key had been used before with the same content, and
	// that this is what it did then. It is not stored.
	Replayed bool `json:"-"`
}

// parts is the FROM of what entries put into grants and took from them, wherever that is.
const parts = `(SELECT account_id, unit, number, position, grant_id, amount FROM credits_splits
	UNION ALL SELECT account_id, unit, number, 1, grant_id, amount FROM credits_entries WHERE grant_id <> '')`

// splitRow is what an entry puts into a grant or, below zero, takes from it. Without a
// grant it is what the entry repays of a debt or, below zero, adds to it.
type splitRow struct {
	bun.BaseModel `bun:"table:credits_splits,alias:s"`

	Account  tenancy.AccountID `bun:"account_id,pk"`
	Unit     string            `bun:"unit,pk"`
	Number   int64             `bun:"number,pk"`
	Position int64             `bun:"position,pk"`
	Grant    string            `bun:"grant_id"`
	Amount   int64             `bun:"amount"`
}

type entryRow struct {
	bun.BaseModel `bun:"table:credits_entries,alias:e"`

	Account   tenancy.AccountID `bun:"account_id,pk"`
	Unit      string            `bun:"unit,pk"`
	Number    int64             `bun:"number,pk"`
	Kind      Kind              `bun:"kind"`
	Amount    int64             `bun:"amount"`
	Balance   int64             `bun:"balance"`
	Spendable int64             `bun:"spendable"`
	RefundOf  int64             `bun:"refund_of,nullzero"`
	Key       string            `bun:"key"`
	ActorKind tenancy.ActorKind `bun:"actor_kind"`
	ActorID   string            `bun:"actor_id"`
	Operation string            `bun:"operation"`
	Note      string            `bun:"note"`
	At        time.Time         `bun:"at"`
	Basis     string            `bun:"basis"`
	Hold      string            `bun:"hold_id"`
	Grant     string            `bun:"grant_id"` // of its only split, if it has one only
	Hash      string            `bun:"hash"`     // of the request that had the key

	OnBehalfKind tenancy.ActorKind `bun:"on_behalf_kind"`
	OnBehalfID   string            `bun:"on_behalf_id"`
}

const entryColumns = `e.account_id, e.unit, e.number, e.kind, e.amount, e.balance, e.spendable, COALESCE(e.refund_of, 0), e.key,
	e.actor_kind, e.actor_id, e.operation, e.note, e.at, e.basis, e.hold_id, e.on_behalf_kind, e.on_behalf_id`

func scanEntry(scan func(...any) error) (e entryRow, err error) {
	err = scan(&e.Account, &e.Unit, &e.Number, &e.Kind, &e.Amount, &e.Balance, &e.Spendable, &e.RefundOf, &e.Key,
		&e.ActorKind, &e.ActorID, &e.Operation, &e.Note, &e.At, &e.Basis, &e.Hold, &e.OnBehalfKind, &e.OnBehalfID)
	return e, err
}

func (r entryRow) entry() Entry {
	return Entry{
		Account: r.Account, Number: r.Number, Kind: r.Kind, Amount: r.Amount, Balance: r.Balance, Spendable: r.Spendable,
		RefundOf: r.RefundOf, Key: r.Key, Actor: tenancy.Actor{Kind: r.ActorKind, ID: r.ActorID}, Operation: r.Operation, Note: r.Note, At: r.At.UTC(),
		Basis: r.Basis, Hold: r.Hold, OnBehalf: tenancy.Actor{Kind: r.OnBehalfKind, ID: r.OnBehalfID},
	}
}

// Entry reads one entry. ErrNoEntry: the account has none of that number.
// ErrInvalid: account is no account id.
func (l *Ledger) Entry(ctx context.Context, db bun.IDB, account tenancy.AccountID, number int64) (Entry, error) {
	if err := checkAccount(account); err != nil {
		return Entry{}, err
	}
	var row entryRow
	err := db.NewSelect().Model(&row).Where("account_id = ? AND unit = ? AND number = ?", account, l.cfg.Unit, number).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Entry{}, ErrNoEntry
	}
	if err != nil {
		return Entry{}, err
	}
	return row.entry(), nil
}

// Entries asks for a page of an account's ledger, newest first.
type Entries struct {
	Account tenancy.AccountID
	// Before continues a page: its Next. 0 starts with the newest entry.
	Before int64
	// Limit is 1 to 500. Default: 50.
	Limit int
}

// Page is what Entries found.
type Page struct {
	Entries []Entry `json:"entries"`
	// Next is the Before of the following page; 0 when this is the last.
	Next int64 `json:"next,omitzero"`
}

// Entries reads a page. Pages are found by number, so page 10,000 costs what the
// first one does, and entries that come meanwhile move nothing. Before the first one what
// has become due meanwhile is booked, as Balance does, which writes. ErrInvalid: the
// account is no account id.
func (l *Ledger) Entries(ctx context.Context, db bun.IDB, what Entries) (Page, error) {
	if err := checkAccount(what.Account); err != nil {
		return Page{}, err
	}
	if what.Before <= 0 {
		if err := l.bookDue(ctx, db, what.Account); err != nil {
			return Page{}, err
		}
	}
	limit := min(what.Limit, 500)
	if limit <= 0 {
		limit = 50
	}
	var rows []entryRow
	q := db.NewSelect().Model(&rows).Where("account_id = ? AND unit = ?", what.Account, l.cfg.Unit).
		OrderExpr("number DESC").Limit(int64(limit))
	if what.Before > 0 {
		q = q.Where("number < ?", what.Before)
	}
	if err := q.Scan(ctx); err != nil {
		return Page{}, err
	}
	page := Page{Entries: make([]Entry, len(rows))}
	for i, r := range rows {
		page.Entries[i] = r.entry()
	}
	// Numbers have no gaps: entry 1 is the last there is.
	if n := len(rows); n == limit && rows[n-1].Number > 1 {
		page.Next = rows[n-1].Number
	}
	return page, nil
}
