package billing

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// TransferStatus is where a bank transfer stands.
type TransferStatus string

// The statuses. A decision is never undone here.
const (
	StatusRequested TransferStatus = "requested" // the customer was told where to pay
	StatusConfirmed TransferStatus = "confirmed" // the money has come
	StatusRejected  TransferStatus = "rejected"  // the money is not taken
)

var transferStatuses = []TransferStatus{StatusRequested, StatusConfirmed, StatusRejected}

// maxOpen bounds the transfers that an account may have asked for and not paid.
const maxOpen = 10

// Transfer is a payment by bank transfer for one interval of a plan: asked for by the
// customer, confirmed or rejected by an operator.
type Transfer struct {
	Account tenancy.AccountID `json:"account"`
	ID      string            `json:"id"`
	// Reference is what the customer writes on the transfer, a creditor reference
	// (ISO 11649) in its electronic form.
	Reference string         `json:"reference"`
	Status    TransferStatus `json:"status"`
	Plan      string         `json:"plan"`
	Currency  string         `json:"currency"`
	Interval  string         `json:"interval"`
	// Amount is in minor units of the currency. It and Credits are those of the
	// plan when the transfer was asked for: what was offered is what is sold.
	Amount      int64         `json:"amount"`
	Credits     int64         `json:"credits"`
	RequestedBy tenancy.Actor `json:"-"`
	RequestedAt time.Time     `json:"requested_at"`
	// DecidedBy, DecidedAt and Reason are of whoever confirmed or rejected it.
	DecidedBy tenancy.Actor `json:"-"`
	DecidedAt time.Time     `json:"decided_at,omitzero"`
	Reason    string        `json:"-"`
	// What a confirmed transfer has bought: time, and credits by a ledger entry.
	Subscription string    `json:"subscription,omitempty"`
	PeriodStart  time.Time `json:"period_start,omitzero"`
	PeriodEnd    time.Time `json:"period_end,omitzero"`
	Entry        int64     `json:"entry,omitzero"`
}

type transferRow struct {
	bun.BaseModel `bun:"table:billing_transfers,alias:t"`

	Account         tenancy.AccountID `bun:"account_id,pk"`
	ID              string            `bun:"transfer_id,pk"`
	Reference       string            `bun:"reference"`
	Status          TransferStatus    `bun:"status"`
	Plan            string            `bun:"plan"`
	Currency        string            `bun:"currency"`
	Interval        string            `bun:"interval"`
	Amount          int64             `bun:"amount"`
	Credits         int64             `bun:"credits"`
	RequestedByKind tenancy.ActorKind `bun:"requested_by_kind"`
	RequestedByID   string            `bun:"requested_by_id"`
	RequestedAt     time.Time         `bun:"requested_at"`
	DecidedByKind   tenancy.ActorKind `bun:"decided_by_kind"`
	DecidedByID     string            `bun:"decided_by_id"`
	DecidedAt       time.Time         `bun:"decided_at,nullzero"`
	Reason          string            `bun:"reason"`
	Subscription    string            `bun:"subscription_id"`
	PeriodStart     time.Time         `bun:"period_start,nullzero"`
	PeriodEnd       time.Time         `bun:"period_end,nullzero"`
	Entry           int64             `bun:"entry,nullzero"`
}

func (r transferRow) transfer() Transfer {
	return Transfer{
		Account: r.Account, ID: r.ID, Reference: r.Reference, Status: r.Status, Plan: r.Plan, Currency: r.Currency,
		Interval: r.Interval, Amount: r.Amount, Credits: r.Credits,
		RequestedBy: tenancy.Actor{Kind: r.RequestedByKind, ID: r.RequestedByID}, RequestedAt: r.RequestedAt.UTC(),
		DecidedBy: tenancy.Actor{Kind: r.DecidedByKind, ID: r.DecidedByID}, DecidedAt: utc(r.DecidedAt), Reason: r.Reason,
		Subscription: r.Subscription, PeriodStart: utc(r.PeriodStart), PeriodEnd: utc(r.PeriodEnd), Entry: r.Entry,
	}
}

type referenceRow struct {
	bun.BaseModel `bun:"table:billing_references,alias:ref"`

	Reference string            `bun:"reference,pk"`
	Account   tenancy.AccountID `bun:"account_id"`
	Transfer  string            `bun:"transfer_id"`
}

// RequestTransfer asks for a plan by bank transfer.
type RequestTransfer struct {
	Account tenancy.AccountID
	// Plan is the plan's slug.
	Plan string
	// Interval is tenancy.Monthly or tenancy.Yearly. Default: tenancy.Monthly.
	Interval string
	// Currency is the price's. Default: Config.Currency.
	Currency string
	// Actor is who asks, for the audit log. Required.
	Actor tenancy.Actor
}

// RequestTransfer writes down that the account will pay for one interval of a plan,
// and returns the amount and the reference to pay it with. Nothing changes for the
// account before the transfer is confirmed. Asked again for the same offer while it
// is open, it returns the same transfer.
//
// It returns tenancy.ErrNoPlan, ErrNotForSale, ErrTooManyOpen (10), ErrInvalid and
// tenancy.ErrNoAccount, also for an account that is closed.
func (s *Subscriptions) RequestTransfer(ctx context.Context, db bun.IDB, r RequestTransfer) (Transfer, error) {
	if s.cfg.Bank == (Bank{}) {
		return Transfer{}, errors.New("billing: bank transfers need Config.Bank")
	}
	if r.Interval == "" {
		r.Interval = tenancy.Monthly
	}
	if r.Currency == "" {
		r.Currency = s.cfg.Currency
	}
	if err := r.validate(); err != nil {
		return Transfer{}, err
	}
	var out Transfer
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		account, err := s.accounts.Lock(ctx, db, r.Account)
		if err != nil {
			return err
		}
		if !payable(account.Status) {
			return tenancy.ErrNoAccount
		}
		row, err := s.offer(ctx, db, r)
		if err != nil {
			return err
		}
		var open []transferRow
		err = db.NewSelect().Model(&open).Where("account_id = ? AND status = ?", account.ID, StatusRequested).
			OrderExpr("transfer_id").Scan(ctx)
		if err != nil {
			return err
		}
		for _, o := range open {
			if o.Plan == row.Plan && o.Interval == row.Interval && o.Currency == row.Currency &&
				o.Amount == row.Amount && o.Credits == row.Credits {
				out = o.transfer()
				return nil
			}
		}
		if len(open) >= maxOpen {
			return ErrTooManyOpen
		}
		if row.Reference, err = s.reserveReference(ctx, db, row.Account, row.ID); err != nil {
			return err
		}
		if _, err := db.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		out = row.transfer()
		line := r.audit()
		line.At, line.Target = row.RequestedAt, row.ID
		line.Data = fmt.Appendf(nil, `{"plan":%q,"interval":%q,"amount":%d,"currency":%q}`, row.Plan, row.Interval, row.Amount, row.Currency)
		return note(ctx, db, line, TransferRequested{
			Transfer: row.ID, Reference: row.Reference, Plan: row.Plan, Amount: row.Amount, Currency: row.Currency,
		})
	})
	if err != nil {
		return Transfer{}, err
	}
	return out, nil
}

func (r RequestTransfer) audit() tenancy.Audit {
	return tenancy.Audit{Account: r.Account, Actor: r.Actor, Action: "billing.transfer_requested"}
}

func (r RequestTransfer) validate() error {
	if r.Interval != tenancy.Monthly && r.Interval != tenancy.Yearly {
		return fmt.Errorf("%w: the interval is month or year", ErrInvalid)
	}
	if !currencyForm.MatchString(r.Currency) {
		return fmt.Errorf("%w: the currency is a code of ISO 4217 in capitals, such as USD", ErrInvalid)
	}
	return signed(r.audit())
}

// offer is the transfer for what the catalogue says now.
func (s *Subscriptions) offer(ctx context.Context, db bun.IDB, r RequestTransfer) (transferRow, error) {
	plan, err := s.accounts.Plan(ctx, db, r.Plan)
	if err != nil {
		return transferRow{}, err
	}
	if !plan.Active {
		return transferRow{}, tenancy.ErrNoPlan
	}
	price, ok := plan.Price(r.Currency, r.Interval)
	if !ok || price.Amount == 0 {
		return transferRow{}, fmt.Errorf("%w: %s has no price in %s by the %s", ErrNotForSale, plan.Slug, r.Currency, r.Interval)
	}
	months := int64(1)
	if r.Interval == tenancy.Yearly {
		months = 12
	}
	if plan.MonthlyCredits > math.MaxInt64/months {
		return transferRow{}, fmt.Errorf("%w: the credits of a %s can't be counted", ErrInvalid, r.Interval)
	}
	return transferRow{
		Account: r.Account, ID: id.New("trf"), Status: StatusRequested, Plan: plan.Slug, Currency: price.Currency,
		Interval: price.Interval, Amount: price.Amount, Credits: plan.MonthlyCredits * months,
		RequestedByKind: r.Actor.Kind, RequestedByID: r.Actor.ID, RequestedAt: s.now(),
	}, nil
}

// reserveReference finds a reference that nobody has.
func (s *Subscriptions) reserveReference(ctx context.Context, db bun.IDB, account tenancy.AccountID, transfer string) (string, error) {
	for range 10 {
		ref, err := s.reference()
		if err != nil {
			return "", err
		}
		res, err := db.NewInsert().Model(&referenceRow{Reference: ref, Account: account, Transfer: transfer}).
			On("CONFLICT (reference) DO NOTHING").Exec(ctx)
		if err != nil {
			return "", err
		}
		if n, err := res.RowsAffected(); err != nil || n == 1 {
			return ref, err
		}
	}
	return "", errors.New("billing: no free reference in ten tries")
}

// Transfers asks for a page of transfers, newest first.
type Transfers struct {
	// Account is whose.
	Account tenancy.AccountID
	// Everybody asks for the transfers of all accounts, instead: an operator's list.
	Everybody bool
	// Status is which; "" is all.
	Status TransferStatus
	// Before continues a page: the ID of its last transfer.
	Before string
	// Limit is 1 to 500. Default: 50.
	Limit int
}

func (what Transfers) validate() error {
	switch {
	case what.Everybody && what.Account != "":
		return fmt.Errorf("%w: the transfers are one account's or everybody's", ErrInvalid)
	case !what.Everybody && !known(what.Account):
		return fmt.Errorf("%w: whose transfers? That is no account id", ErrInvalid)
	case what.Status != "" && !slices.Contains(transferStatuses, what.Status):
		return fmt.Errorf("%w: a transfer's status is one of %v", ErrInvalid, transferStatuses)
	}
	if err := tenancy.CheckText("page mark", what.Before, 64); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// Transfers reads a page of transfers. It returns ErrInvalid when neither an account
// nor Everybody is named, and for a status that there is not.
func (s *Subscriptions) Transfers(ctx context.Context, db bun.IDB, what Transfers) ([]Transfer, error) {
	if err := what.validate(); err != nil {
		return nil, err
	}
	limit := min(what.Limit, 500)
	if limit <= 0 {
		limit = 50
	}
	var rows []transferRow
	q := db.NewSelect().Model(&rows).OrderExpr("transfer_id DESC").Limit(int64(limit))
	if !what.Everybody {
		q = q.Where("account_id = ?", what.Account)
	}
	if what.Status != "" {
		q = q.Where("status = ?", what.Status)
	}
	if what.Before != "" {
		q = q.Where("transfer_id < ?", what.Before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, err
	}
	out := make([]Transfer, len(rows))
	for i, r := range rows {
		out[i] = r.transfer()
	}
	return out, nil
}

// Transfer finds a transfer by its reference as people type it. It returns
// ErrReference and ErrNoTransfer.
func (s *Subscriptions) Transfer(ctx context.Context, db bun.IDB, reference string) (Transfer, error) {
	row, err := findTransfer(ctx, db, reference)
	return row.transfer(), err
}

func findTransfer(ctx context.Context, db bun.IDB, reference string) (transferRow, error) {
	ref, err := ParseReference(reference)
	if err != nil {
		return transferRow{}, err
	}
	var at referenceRow
	err = db.NewSelect().Model(&at).Where("reference = ?", ref).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return transferRow{}, ErrNoTransfer
	}
	if err != nil {
		return transferRow{}, err
	}
	return readTransfer(ctx, db, at.Account, at.Transfer)
}

func readTransfer(ctx context.Context, db bun.IDB, account tenancy.AccountID, transfer string) (transferRow, error) {
	var row transferRow
	err := db.NewSelect().Model(&row).Where("account_id = ? AND transfer_id = ?", account, transfer).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return transferRow{}, ErrNoTransfer
	}
	return row, err
}
