package prices

import (
	"net/http"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/internal/tx"
)

// The refusals of a List. Over HTTP they answer with the status named, as problem
// details (RFC 9457).
var (
	// ErrInvalid (422): a price that makes no sense or is dated in the past, an input
	// that is missing, a basis that no Quote wrote. The detail says which.
	ErrInvalid = problem.New(http.StatusUnprocessableEntity, "invalid_price", "the request about prices is not valid")

	// ErrNoPrice (404): the operation has no price at that time. To a basis it says
	// that there is no such version, or that it is another account's.
	ErrNoPrice = problem.New(http.StatusNotFound, "no_price", "there is no such price")

	// ErrOverflow (422): the price of this would pass the largest int64.
	ErrOverflow = problem.New(http.StatusUnprocessableEntity, "price_overflow", "the price of this would be larger than can be counted")

	// ErrOutcomeUnknown: COMMIT failed in a way that leaves open whether the change
	// took effect. Set or End it again: what is there already is not made twice.
	ErrOutcomeUnknown = tx.ErrOutcomeUnknown
)
