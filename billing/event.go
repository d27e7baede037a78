package billing

import "time"

// TransferRequested says that a customer wants to pay by bank transfer.
type TransferRequested struct {
	Transfer  string `json:"transfer"`
	Reference string `json:"reference"`
	Plan      string `json:"plan"`
	Amount    int64  `json:"amount"` // in minor units
	Currency  string `json:"currency"`
}

// EventKind implements tenancy.Fact.
func (TransferRequested) EventKind() string { return "billing.transfer_requested" }

// TransferConfirmed says that the money has come and what it bought.
type TransferConfirmed struct {
	Transfer    string    `json:"transfer"`
	Reference   string    `json:"reference"`
	Plan        string    `json:"plan"`
	PeriodStart time.Time `json:"period_start"`
	PeriodEnd   time.Time `json:"period_end"`
	// Credits are those of the whole interval; those of a year come month by month.
	Credits int64 `json:"credits"`
}

// EventKind implements tenancy.Fact.
func (TransferConfirmed) EventKind() string { return "billing.transfer_confirmed" }

// TransferRejected says that the money is not taken.
type TransferRejected struct {
	Transfer  string `json:"transfer"`
	Reference string `json:"reference"`
}

// EventKind implements tenancy.Fact.
func (TransferRejected) EventKind() string { return "billing.transfer_rejected" }

// SubscriptionChanged says that a subscription has another status, or that it is to
// end with its period.
type SubscriptionChanged struct {
	Subscription      string             `json:"subscription"`
	From              SubscriptionStatus `json:"from"` // "" for a new one
	To                SubscriptionStatus `json:"to"`
	CancelAtPeriodEnd bool               `json:"cancel_at_period_end"`
}

// EventKind implements tenancy.Fact.
func (SubscriptionChanged) EventKind() string { return "billing.subscription_changed" }

// PaymentMethodChanged says how the account pays from now on.
type PaymentMethodChanged struct {
	Method PaymentMethod `json:"method"`
}

// EventKind implements tenancy.Fact.
func (PaymentMethodChanged) EventKind() string { return "billing.payment_method_changed" }
