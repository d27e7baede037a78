package billing

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// instructions is a transfer as its customer sees it: with all that goes into the
// form of a bank.
type instructions struct {
	Transfer
	// Pay is what to type while there is something to pay.
	Pay *form `json:"pay,omitempty"`
}

// form is what goes into a transfer: "89.00 USD", the reference and the IBAN in
// groups of four.
type form struct {
	Amount    string `json:"amount"`
	Reference string `json:"reference"`
	Bank
}

func (s *Subscriptions) instructions(t Transfer) instructions {
	if t.Status != StatusRequested {
		return instructions{Transfer: t}
	}
	pay := &form{Amount: FormatAmount(t.Amount, t.Currency), Reference: grouped(t.Reference), Bank: s.cfg.Bank}
	pay.IBAN = grouped(pay.IBAN)
	return instructions{Transfer: t, Pay: pay}
}

// transferPage is a page of transfers; Next is the before of the following one.
type transferPage struct {
	Transfers any    `json:"transfers"`
	Next      string `json:"next,omitempty"`
}

// Handler serves an account's billing to the people in it, behind a middleware that
// enters it for tenancy.Pay – which an account may whose trial is over. To read takes
// tenancy.PermBillingRead and to order tenancy.PermBillingManage, which the owner and
// admins hold; whoever holds it not, and every API key, gets tenancy.ErrForbidden:
//
//	GET  /billing/subscription
//	GET  /billing/transfers?before=ID&limit=N
//	POST /billing/transfers              {"plan": "starter", "interval": "month", "currency": "USD"}
//
// The last one answers tenancy.ErrForbidden where tenancy.Pay was not asked for, so
// that a route which is mounted wrongly lets no API key order a plan.
func (s *Subscriptions) Handler(db *bun.DB) http.Handler {
	type request struct {
		Plan     string `json:"plan"`
		Interval string `json:"interval"`
		Currency string `json:"currency"`
	}
	mux := problem.NewMux(s.cfg.OnError)
	mux.Route("GET /billing/subscription", func(w http.ResponseWriter, r *http.Request) error {
		if err := s.accounts.Can(r.Context(), db, tenancy.PermBillingRead); err != nil {
			return err
		}
		sub, err := s.Subscription(r.Context(), db, tenancy.From(r.Context()).Account)
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, sub)
		return nil
	})
	mux.Route("GET /billing/transfers", func(w http.ResponseWriter, r *http.Request) error {
		if err := s.accounts.Can(r.Context(), db, tenancy.PermBillingRead); err != nil {
			return err
		}
		what, err := page(r)
		if err != nil {
			return err
		}
		what.Account = tenancy.From(r.Context()).Account
		found, err := s.Transfers(r.Context(), db, what)
		if err != nil {
			return err
		}
		list := make([]instructions, len(found))
		for i, t := range found {
			list[i] = s.instructions(t)
		}
		problem.JSON(w, http.StatusOK, transferPage{list, what.next(found)})
		return nil
	})
	mux.Route("POST /billing/transfers", func(w http.ResponseWriter, r *http.Request) error {
		var body request
		if err := problem.Decode(w, r, &body); err != nil {
			return err
		}
		scope := tenancy.From(r.Context())
		if scope.Capability&tenancy.Pay == 0 {
			return tenancy.ErrForbidden
		}
		if err := s.accounts.Can(r.Context(), db, tenancy.PermBillingManage); err != nil {
			return err
		}
		t, err := s.RequestTransfer(r.Context(), db, RequestTransfer{
			Account: scope.Account, Plan: body.Plan, Interval: body.Interval, Currency: body.Currency, Actor: scope.Actor,
		})
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusCreated, s.instructions(t))
		return nil
	})
	return mux
}

// Operator serves everybody's transfers to those who run the service, as check
// allows:
//
//	GET  /transfers?status=requested&before=ID&limit=N
//	GET  /transfers/{reference}
//	POST /transfers/{reference}/confirm  {"reason": "…"}
//	POST /transfers/{reference}/reject   {"reason": "…"}
func (s *Subscriptions) Operator(db *bun.DB, check tenancy.Authorizer) http.Handler {
	mux := problem.NewMux(s.cfg.OnError)
	handle := func(pattern string, do func(r *http.Request, actor tenancy.Actor, reason string) (any, error)) {
		mux.Route(pattern, func(w http.ResponseWriter, r *http.Request) error {
			actor, err := check.Authorize(r)
			if err != nil {
				return err
			}
			var body struct {
				Reason string `json:"reason"`
			}
			if r.Method == http.MethodPost {
				if err := problem.Decode(w, r, &body); err != nil {
					return err
				}
			}
			answer, err := do(r, actor, body.Reason)
			if err != nil {
				return err
			}
			problem.JSON(w, http.StatusOK, answer)
			return nil
		})
	}
	handle("GET /transfers", func(r *http.Request, _ tenancy.Actor, _ string) (any, error) {
		what, err := page(r)
		if err != nil {
			return nil, err
		}
		what.Everybody, what.Status = true, TransferStatus(r.URL.Query().Get("status"))
		found, err := s.Transfers(r.Context(), db, what)
		return transferPage{found, what.next(found)}, err
	})
	handle("GET /transfers/{reference}", func(r *http.Request, _ tenancy.Actor, _ string) (any, error) {
		return s.Transfer(r.Context(), db, r.PathValue("reference"))
	})
	handle("POST /transfers/{reference}/confirm", func(r *http.Request, actor tenancy.Actor, reason string) (any, error) {
		return s.ConfirmTransfer(r.Context(), db, ConfirmTransfer{Reference: r.PathValue("reference"), Actor: actor, Reason: reason})
	})
	handle("POST /transfers/{reference}/reject", func(r *http.Request, actor tenancy.Actor, reason string) (any, error) {
		return s.RejectTransfer(r.Context(), db, RejectTransfer{Reference: r.PathValue("reference"), Actor: actor, Reason: reason})
	})
	return mux
}

// page reads where a list starts and how long it is.
func page(r *http.Request) (Transfers, error) {
	q := r.URL.Query()
	what := Transfers{Before: q.Get("before")}
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return Transfers{}, fmt.Errorf("%w: limit is a number above zero", ErrInvalid)
		}
		what.Limit = n
	}
	return what, nil
}
