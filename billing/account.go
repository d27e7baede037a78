package billing

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// PaymentMethod is how an account or a subscription is paid.
type PaymentMethod string

// The payment methods.
const (
	MethodStripe       PaymentMethod = "stripe"
	MethodPayPal       PaymentMethod = "paypal"
	MethodBankTransfer PaymentMethod = "bank_transfer"
	MethodManual       PaymentMethod = "manual" // an operator's word
)

var methods = []PaymentMethod{MethodStripe, MethodPayPal, MethodBankTransfer, MethodManual}

// Account is how an account pays.
type Account struct {
	ID tenancy.AccountID
	// PaymentMethod is the account's own choice; "" when it made none.
	PaymentMethod PaymentMethod
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

type accountRow struct {
	bun.BaseModel `bun:"table:billing_accounts,alias:ba"`

	ID            tenancy.AccountID `bun:"account_id,pk"`
	PaymentMethod PaymentMethod     `bun:"payment_method"`
	CreatedAt     time.Time         `bun:"created_at"`
	UpdatedAt     time.Time         `bun:"updated_at"`
}

// Account reads how an account pays. One that never said has no method.
func (s *Subscriptions) Account(ctx context.Context, db bun.IDB, id tenancy.AccountID) (Account, error) {
	if !known(id) {
		return Account{ID: id}, nil
	}
	var row accountRow
	err := db.NewSelect().Model(&row).Where("account_id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Account{ID: id}, nil
	}
	if err != nil {
		return Account{}, err
	}
	return Account{ID: row.ID, PaymentMethod: row.PaymentMethod, CreatedAt: row.CreatedAt.UTC(), UpdatedAt: row.UpdatedAt.UTC()}, nil
}

// SetPaymentMethod chooses how an account pays.
type SetPaymentMethod struct {
	Account tenancy.AccountID
	Method  PaymentMethod
	Actor   tenancy.Actor
}

// SetPaymentMethod chooses how an account pays. A subscription that is running keeps
// its own method. It returns ErrInvalid and tenancy.ErrNoAccount.
func (s *Subscriptions) SetPaymentMethod(ctx context.Context, db bun.IDB, m SetPaymentMethod) error {
	if !slices.Contains(methods, m.Method) {
		return fmt.Errorf("%w: a payment method is one of %v", ErrInvalid, methods)
	}
	line := tenancy.Audit{Account: m.Account, Actor: m.Actor, Action: "billing.set_payment_method", Target: string(m.Method)}
	if err := signed(line); err != nil {
		return err
	}
	return tx.Join(ctx, db, func(db bun.IDB) error {
		if _, err := s.accounts.Lock(ctx, db, m.Account); err != nil {
			return err
		}
		line.At = s.now()
		old, err := s.Account(ctx, db, m.Account)
		if err != nil || old.PaymentMethod == m.Method {
			return err
		}
		if err := s.putMethod(ctx, db, m.Account, m.Method, line.At); err != nil {
			return err
		}
		return tenancy.Note(ctx, db, line, PaymentMethodChanged{Method: m.Method})
	})
}

func (s *Subscriptions) putMethod(ctx context.Context, db bun.IDB, id tenancy.AccountID, method PaymentMethod, now time.Time) error {
	_, err := db.NewInsert().Model(&accountRow{ID: id, PaymentMethod: method, CreatedAt: now, UpdatedAt: now}).
		On("CONFLICT (account_id) DO UPDATE").
		Set("payment_method = excluded.payment_method").Set("updated_at = excluded.updated_at").Exec(ctx)
	return err
}

// known reports whether id can name an account at all. The database is not asked for
// what cannot: an odd byte would end a host's transaction.
func known(id tenancy.AccountID) bool {
	_, err := tenancy.ParseAccountID(string(id))
	return err == nil
}

// signed checks a line of the audit log before anything is written: a host may commit
// in spite of a refusal.
func signed(line tenancy.Audit) error {
	if err := line.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}
