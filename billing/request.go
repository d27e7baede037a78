package billing

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// maxOpen bounds the transfers that an account may have asked for and not paid.
const maxOpen = 10

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
		return tenancy.Note(ctx, db, line, TransferRequested{
			Transfer: row.ID, Reference: row.Reference, Plan: row.Plan, Amount: row.Amount, Currency: row.Currency,
		})
	})
	if err != nil {
		return Transfer{}, err
	}
	return out, nil
}

func (r RequestTransfer) audit() tenancy.Audit {
	return tenancy.Audit{Account: r.Account, Actor: r.Actor, Action: "billing.request_transfer"}
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
