package billing

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/tenancy"
)

// SubscriptionStatus is where a subscription stands.
type SubscriptionStatus string

// The statuses, and what each makes of the account.
const (
	SubscriptionIncomplete SubscriptionStatus = "incomplete" // pending_payment
	SubscriptionTrialing   SubscriptionStatus = "trialing"   // trial
	SubscriptionActive     SubscriptionStatus = "active"     // active
	SubscriptionPastDue    SubscriptionStatus = "past_due"   // past_due
	SubscriptionSuspended  SubscriptionStatus = "suspended"  // suspended
	SubscriptionCancelled  SubscriptionStatus = "cancelled"  // cancelled; ends the subscription
)

// AccountStatus is the status that a subscription gives its account; false for a
// status that nothing is known of.
func (s SubscriptionStatus) AccountStatus() (tenancy.Status, bool) {
	switch s {
	case SubscriptionIncomplete:
		return tenancy.StatusPendingPayment, true
	case SubscriptionTrialing:
		return tenancy.StatusTrial, true
	case SubscriptionActive:
		return tenancy.StatusActive, true
	case SubscriptionPastDue:
		return tenancy.StatusPastDue, true
	case SubscriptionSuspended:
		return tenancy.StatusSuspended, true
	case SubscriptionCancelled:
		return tenancy.StatusCancelled, true
	}
	return "", false
}

// Subscription is what an account pays for, period by period. An account has one at
// a time, or none.
type Subscription struct {
	Account  tenancy.AccountID  `json:"-"`
	ID       string             `json:"id"`
	Status   SubscriptionStatus `json:"status"`
	Plan     string             `json:"plan"`
	Currency string             `json:"currency"`
	Interval string             `json:"interval"`
	// PeriodStart is when the period paid last begins, PeriodEnd how far everything
	// paid reaches.
	PeriodStart time.Time `json:"period_start"`
	PeriodEnd   time.Time `json:"period_end"`
	// CancelAtPeriodEnd: it ends then, and is as it was until then.
	CancelAtPeriodEnd bool `json:"cancel_at_period_end"`
	// Method is how it is paid, ExternalPaymentID how the payer's side names the
	// latest payment: a reference, a provider's id.
	Method            PaymentMethod `json:"payment_method"`
	ExternalPaymentID string        `json:"external_payment_id"`
	EndedAt           time.Time     `json:"ended_at,omitzero"`
	CreatedAt         time.Time     `json:"created_at"`
}

type subscriptionRow struct {
	bun.BaseModel `bun:"table:billing_subscriptions,alias:sub"`

	Account           tenancy.AccountID  `bun:"account_id,pk"`
	ID                string             `bun:"subscription_id,pk"`
	Status            SubscriptionStatus `bun:"status"`
	Plan              string             `bun:"plan"`
	Currency          string             `bun:"currency"`
	Interval          string             `bun:"interval"`
	AnchorAt          time.Time          `bun:"anchor_at"`
	Periods           int                `bun:"periods"`
	PeriodStart       time.Time          `bun:"period_start"`
	PeriodEnd         time.Time          `bun:"period_end"`
	CancelAtPeriodEnd bool               `bun:"cancel_at_period_end"`
	Method            PaymentMethod      `bun:"payment_method"`
	ExternalPaymentID string             `bun:"external_payment_id"`
	EndedAt           time.Time          `bun:"ended_at,nullzero"`
	CreatedAt         time.Time          `bun:"created_at"`
	UpdatedAt         time.Time          `bun:"updated_at"`
}

func (r subscriptionRow) subscription() Subscription {
	return Subscription{
		Account: r.Account, ID: r.ID, Status: r.Status, Plan: r.Plan, Currency: r.Currency, Interval: r.Interval,
		PeriodStart: r.PeriodStart.UTC(), PeriodEnd: r.PeriodEnd.UTC(), CancelAtPeriodEnd: r.CancelAtPeriodEnd,
		Method: r.Method, ExternalPaymentID: r.ExternalPaymentID, EndedAt: utc(r.EndedAt), CreatedAt: r.CreatedAt.UTC(),
	}
}

// Subscription reads the account's current subscription. ErrNoSubscription: it has
// none, and stays as it is without.
func (s *Subscriptions) Subscription(ctx context.Context, db bun.IDB, account tenancy.AccountID) (Subscription, error) {
	row, err := current(ctx, db, account)
	if err != nil {
		return Subscription{}, err
	}
	return row.subscription(), nil
}

func current(ctx context.Context, db bun.IDB, account tenancy.AccountID) (subscriptionRow, error) {
	var row subscriptionRow
	if !known(account) {
		return row, ErrNoSubscription
	}
	err := db.NewSelect().Model(&row).Where("account_id = ? AND ended_at IS NULL", account).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return subscriptionRow{}, ErrNoSubscription
	}
	return row, err
}

// payment is one interval of a plan that has been paid for.
type payment struct {
	plan, currency, interval string
	method                   PaymentMethod
	externalID               string
}

// extend books a payment on the account's subscription, which it starts if need be,
// and returns it with the period that was bought. The account is locked.
//
// A payment for the same plan goes on where the last period ends, unless that and
// its grace are over; one for another plan starts now.
func (s *Subscriptions) extend(ctx context.Context, db bun.IDB, account tenancy.Account, p payment, now time.Time) (subscriptionRow, error) {
	row, err := current(ctx, db, account.ID)
	isNew := errors.Is(err, ErrNoSubscription)
	if err != nil && !isNew {
		return subscriptionRow{}, err
	}
	old, ending := row.Status, row.CancelAtPeriodEnd
	open := row.PeriodEnd.Add(s.cfg.Grace)
	if row.CancelAtPeriodEnd {
		open = row.PeriodEnd // an end that was asked for has no grace
	}
	goesOn := !isNew && row.Plan == p.plan && row.Interval == p.interval && now.Before(open)
	if isNew {
		row = subscriptionRow{Account: account.ID, ID: id.New("sub"), CreatedAt: now}
	}
	if goesOn {
		row.Periods, row.PeriodStart = row.Periods+1, row.PeriodEnd
	} else {
		row.Periods, row.PeriodStart, row.AnchorAt = 1, now, now
	}
	row.PeriodEnd, err = periodEnd(row.AnchorAt, p.interval, row.Periods, account.Zone)
	if err != nil {
		return subscriptionRow{}, err
	}
	row.Status, row.Plan, row.Currency, row.Interval = SubscriptionActive, p.plan, p.currency, p.interval
	row.Method, row.ExternalPaymentID, row.CancelAtPeriodEnd, row.UpdatedAt = p.method, p.externalID, false, now
	if isNew {
		_, err = db.NewInsert().Model(&row).Exec(ctx)
	} else {
		_, err = db.NewUpdate().Model(&row).WherePK().Exec(ctx)
	}
	if err != nil || old == SubscriptionActive && !ending {
		return row, err
	}
	return row, tenancy.Publish(ctx, db, account.ID, now, SubscriptionChanged{Subscription: row.ID, From: old, To: row.Status})
}

// save writes a subscription and gives the account the status that goes with it. An
// account that went further by other ways stays there; its plan is not touched, since
// an operator may have changed it.
func (s *Subscriptions) save(ctx context.Context, db bun.IDB, row *subscriptionRow, now time.Time, c tenancy.Change) error {
	status, ok := row.Status.AccountStatus()
	if !ok {
		return fmt.Errorf("billing: subscription %s has the unknown status %q", row.ID, row.Status)
	}
	row.UpdatedAt = now
	if row.Status == SubscriptionCancelled {
		row.EndedAt = now
	}
	if _, err := db.NewUpdate().Model(row).WherePK().Exec(ctx); err != nil {
		return err
	}
	c.Account, c.Status = row.Account, status
	if _, err := s.accounts.Change(ctx, db, c); !errors.Is(err, tenancy.ErrTransition) {
		return err
	}
	return nil
}
