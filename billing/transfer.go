package billing

import (
	"time"

	"github.com/uptrace/bun"

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
	// Amount is in minor units of the currency. It and Credits, those of the whole
	// interval, are the plan's when the transfer was asked for: what was offered is what
	// is sold.
	Amount      int64         `json:"amount"`
	Credits     int64         `json:"credits"`
	RequestedBy tenancy.Actor `json:"-"`
	RequestedAt time.Time     `json:"requested_at"`
	// DecidedBy, DecidedAt and Reason are of whoever confirmed or rejected it.
	DecidedBy tenancy.Actor `json:"-"`
	DecidedAt time.Time     `json:"decided_at,omitzero"`
	Reason    string        `json:"-"`
	// What a confirmed transfer has bought: time, and credits by a ledger entry, none
	// where no month of it had begun.
	Subscription string    `json:"subscription,omitempty"`
	PeriodStart  time.Time `json:"period_start,omitzero"`
	PeriodEnd    time.Time `json:"period_end,omitzero"`
	Entry        int64     `json:"entry,omitzero"`
	// Monthly is what each month is granted that begins later. Zero: all of Credits was
	// granted at once, or what was to come ended with a payment for another plan.
	Monthly int64 `json:"monthly,omitzero"`
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
	Monthly         int64             `bun:"monthly"`
}

func (r transferRow) transfer() Transfer {
	return Transfer{
		Account: r.Account, ID: r.ID, Reference: r.Reference, Status: r.Status, Plan: r.Plan, Currency: r.Currency,
		Interval: r.Interval, Amount: r.Amount, Credits: r.Credits,
		RequestedBy: tenancy.Actor{Kind: r.RequestedByKind, ID: r.RequestedByID}, RequestedAt: r.RequestedAt.UTC(),
		DecidedBy: tenancy.Actor{Kind: r.DecidedByKind, ID: r.DecidedByID}, DecidedAt: utc(r.DecidedAt), Reason: r.Reason,
		Subscription: r.Subscription, PeriodStart: utc(r.PeriodStart), PeriodEnd: utc(r.PeriodEnd), Entry: r.Entry, Monthly: r.Monthly,
	}
}
