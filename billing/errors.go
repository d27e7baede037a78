package billing

import (
	"net/http"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/internal/tx"
)

// The refusals of Subscriptions. Over HTTP they answer with the status named, as
// problem details (RFC 9457).
var (
	// ErrInvalid: something of the request makes no sense. The detail says what.
	ErrInvalid = problem.New(http.StatusUnprocessableEntity, "invalid_billing", "the billing request is not valid")

	// ErrNotForSale: the plan has no price above zero in that currency and interval.
	ErrNotForSale = problem.New(http.StatusUnprocessableEntity, "not_for_sale", "the plan is not for sale like this")

	// ErrReference: the check digits of a reference do not match: it is mistyped.
	ErrReference = problem.New(http.StatusUnprocessableEntity, "invalid_reference", "this is not a payment reference: check for a typing error")

	// ErrNoTransfer: there is no transfer of that reference.
	ErrNoTransfer = problem.New(http.StatusNotFound, "no_transfer", "there is no transfer with this reference")

	// ErrNoSubscription: the account has none.
	ErrNoSubscription = problem.New(http.StatusNotFound, "no_subscription", "the account has no subscription")

	// ErrDecided: the transfer was decided the other way.
	ErrDecided = problem.New(http.StatusConflict, "transfer_decided", "the transfer was decided before, the other way")

	// ErrTooManyOpen: the account has asked for many transfers and paid none.
	ErrTooManyOpen = problem.New(http.StatusConflict, "too_many_open_transfers", "there are many open transfers already: pay one of them")

	// ErrPlanGone: the plan was taken off the catalogue after the transfer was asked
	// for. Activate it again, or reject the transfer and send the money back.
	ErrPlanGone = problem.New(http.StatusConflict, "plan_gone", "the transfer's plan is no longer offered: activate it, or reject the transfer")

	// ErrOutcomeUnknown: COMMIT failed in a way that leaves open whether the change
	// took effect. Ask again: everything here may be asked for twice.
	ErrOutcomeUnknown = tx.ErrOutcomeUnknown
)
