package credits

import (
	"fmt"
	"net/http"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/internal/tx"
)

// The refusals of a Ledger. Over HTTP they answer with the status named, as problem
// details (RFC 9457).
var (
	// ErrInsufficient: the account has too few spendable credits. The error that
	// carries it is an *InsufficientError.
	ErrInsufficient = problem.New(http.StatusPaymentRequired, "insufficient_credits", "not enough credits: buy more to go on")

	// ErrKeyReused: the key was used before, for something else.
	ErrKeyReused = problem.New(http.StatusConflict, "key_reused", "this idempotency key was used for another request: use a new one")

	// ErrInvalid: the amount is not positive, the key is missing or too long, and
	// the like. The detail says which.
	ErrInvalid = problem.New(http.StatusUnprocessableEntity, "invalid_credits", "the credits request is not valid")

	// ErrOverflow: the balance would pass the largest int64.
	ErrOverflow = problem.New(http.StatusUnprocessableEntity, "credits_overflow", "the balance would be larger than can be counted")

	// ErrNoEntry: the account has no entry of that number.
	ErrNoEntry = problem.New(http.StatusNotFound, "no_entry", "there is no such ledger entry")

	// ErrNothingLeft: the entry is no grant's, or nothing of it is left that could be
	// taken back.
	ErrNothingLeft = problem.New(http.StatusConflict, "nothing_left", "there is nothing left of that grant to take back")

	// ErrNotRefundable: the entry took nothing, or less than that is left of it.
	ErrNotRefundable = problem.New(http.StatusConflict, "not_refundable", "a refund gives back at most what the entry took and was not given back yet")

	// ErrNoHold: the account has no hold of that id.
	ErrNoHold = problem.New(http.StatusNotFound, "no_hold", "there is no such hold")

	// ErrHoldEnded: the hold was settled or released, or its time was over.
	ErrHoldEnded = problem.New(http.StatusConflict, "hold_ended", "the hold is settled or released: it holds nothing any more")

	// ErrBudget: whoever spends has spent its budget, whatever the account has. The error
	// that carries it is a *BudgetError.
	//
	// It answers 403 and not 402, since paying does not help, and not 429 with its
	// Retry-After, on which clients wait and try again by themselves: a budget may begin
	// anew in a month or never, and until then only who set it can help.
	ErrBudget = problem.New(http.StatusForbidden, "budget_exceeded", "the budget for this key or member does not allow it: ask whoever set it, or wait until it begins anew")

	// ErrNoBudget: nobody has set a budget for that subject.
	ErrNoBudget = problem.New(http.StatusNotFound, "no_budget", "there is no budget for that key or member")

	// ErrNoThreshold: the account has no threshold of that name.
	ErrNoThreshold = problem.New(http.StatusNotFound, "no_threshold", "there is no such threshold")

	// ErrNoAllotment: the account has no allotment of that name.
	ErrNoAllotment = problem.New(http.StatusNotFound, "no_allotment", "there is no such allotment")

	// ErrNotEmpty: the account has entries, and only one without any can be adopted.
	ErrNotEmpty = problem.New(http.StatusConflict, "credits_not_empty", "the account has ledger entries already: credits of another system are adopted before anything else happens to it, or granted")

	// ErrAdopted: the account's credits were adopted before, from other lines or lots.
	ErrAdopted = problem.New(http.StatusConflict, "credits_adopted", "the account's credits were adopted before, from something else: they are left as they are")

	// ErrBusy: as many requests as Config.Combine lets wait do. Ask again later.
	ErrBusy = problem.New(http.StatusServiceUnavailable, "credits_busy", "too many requests for credits are waiting: try again later")

	// ErrOutcomeUnknown: COMMIT failed in a way that leaves open whether the change
	// took effect. Ask again with the same key.
	ErrOutcomeUnknown = tx.ErrOutcomeUnknown
)

// InsufficientError is an ErrInsufficient with its numbers.
type InsufficientError struct {
	// Need is what was asked for, Have what was spendable then, in credits.
	Need, Have int64
	// Pay is Config.Pay.
	Pay string
}

// Error says what was needed and what there was.
func (e *InsufficientError) Error() string {
	return fmt.Sprintf("%v: this takes %d and %d are left", ErrInsufficient, e.Need, e.Have)
}

// Unwrap is ErrInsufficient.
func (e *InsufficientError) Unwrap() error { return ErrInsufficient }

// ProblemMembers adds the numbers and the way to pay to the HTTP answer.
func (e *InsufficientError) ProblemMembers() map[string]any {
	m := map[string]any{"credits_needed": e.Need, "credits_left": e.Have}
	if e.Pay != "" {
		m["pay"] = e.Pay
	}
	return m
}
