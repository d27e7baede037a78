package retention

import (
	"errors"
	"net/http"

	"github.com/quitrent/quitrent/internal/problem"
)

// What erasing and its holds can answer.
var (
	// ErrLegalHold says that the account must not be erased while a legal hold is on
	// it.
	ErrLegalHold = problem.New(http.StatusConflict, "legal_hold", "the account is under a legal hold: it is erased when that is lifted")
	// ErrNoLegalHold says that the account has no such hold.
	ErrNoLegalHold = problem.New(http.StatusNotFound, "no_legal_hold", "there is no such legal hold on this account")
)

// ErrIncomplete says that the registry does not name every table with rows of
// accounts or persons, or names a column that is not there: what is wrong with a
// program, not with a request. Over HTTP a 503.
var ErrIncomplete = errors.New("retention: the registry and the database do not fit together")

// errJoinedDryRun is for a dry run in the host's transaction: what is undone at its
// end would be undone with everything else in it.
var errJoinedDryRun = errors.New("retention: a dry run needs a transaction of its own: give it the *bun.DB")
