package billing_test

import (
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestM4_SetPaymentMethod(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		for _, none := range []tenancy.AccountID{id, "acc_none", "", "\x00"} {
			got, err := w.billing.Account(t.Context(), w.db, none)
			same(t, "without a choice", billing.Account{ID: none}, got)
			wantErr(t, "without a choice", err, nil)
		}
		for i, method := range []billing.PaymentMethod{billing.MethodStripe, billing.MethodPayPal, billing.MethodBankTransfer, billing.MethodManual} {
			w.clock.Set(t0.Add(time.Duration(i) * time.Hour))
			set := billing.SetPaymentMethod{Account: id, Method: method, Actor: customer}
			wantErr(t, string(method), w.billing.SetPaymentMethod(t.Context(), w.db, set), nil)
			got, err := w.billing.Account(t.Context(), w.db, id)
			same(t, string(method), billing.Account{ID: id, PaymentMethod: method, CreatedAt: t0, UpdatedAt: w.clock.Now()}, got)
			wantErr(t, string(method), err, nil)
			same(t, "event", billing.PaymentMethodChanged{Method: method}, tenancytest.RequireEvent[billing.PaymentMethodChanged](t, w.db, id))
			if a := tenancytest.RequireAudit(t, w.db, id, "billing.set_payment_method"); a.Actor != customer || a.Target != string(method) {
				t.Errorf("audit %+v", a)
			}
			unchanged(t, w.db, "choosing it again", func() {
				wantErr(t, "again", w.billing.SetPaymentMethod(t.Context(), w.db, set), nil)
			})
		}
		w.pay(t, id, "starter")
		if got, err := w.billing.Account(t.Context(), w.db, id); got.PaymentMethod != billing.MethodManual || err != nil {
			t.Errorf("a transfer made the account's own choice %s (%v)", got.PaymentMethod, err)
		}
		if s := w.subscription(t, id); s.Method != billing.MethodBankTransfer {
			t.Errorf("subscription %+v", s)
		}
	})
}

func TestM4_SetPaymentMethod_RefusalsWriteNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		for what, c := range map[string]struct {
			set  billing.SetPaymentMethod
			want error
		}{
			"no method":      {billing.SetPaymentMethod{Account: id, Actor: customer}, billing.ErrInvalid},
			"another method": {billing.SetPaymentMethod{Account: id, Method: "gold", Actor: customer}, billing.ErrInvalid},
			"an endless one": {billing.SetPaymentMethod{Account: id, Method: billing.PaymentMethod(strings.Repeat("x", 1<<20)), Actor: customer}, billing.ErrInvalid},
			"nobody":         {billing.SetPaymentMethod{Account: id, Method: billing.MethodManual}, billing.ErrInvalid},
			"no account":     {billing.SetPaymentMethod{Method: billing.MethodManual, Actor: customer}, tenancy.ErrNoAccount},
			"an unknown one": {billing.SetPaymentMethod{Account: "acc_none", Method: billing.MethodManual, Actor: customer}, tenancy.ErrNoAccount},
		} {
			w.refused(t, what, c.want, func(tx bun.IDB) error {
				err := w.billing.SetPaymentMethod(t.Context(), tx, c.set)
				if err != nil && len(err.Error()) > 500 {
					t.Errorf("%s: the error has %d bytes", what, len(err.Error()))
				}
				return err
			})
		}
	})
}
