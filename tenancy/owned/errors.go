package owned

import (
	"errors"
	"net/http"

	"github.com/quitrent/quitrent/internal/problem"
)

// What is wrong with a program, not with a request: over HTTP a 503.
var (
	// ErrUnscoped says that a statement would reach rows of every account: no
	// account was entered, or the statement goes past Tables.For.
	ErrUnscoped = errors.New("owned: this statement is not kept to one account")
	// ErrUnbound says that Tables.Bind was not called for the database.
	ErrUnbound = errors.New("owned: the database is not bound: call Tables.Bind when the program starts")
	// ErrNotRegistered says that a model is none of Config.Tables.
	ErrNotRegistered = errors.New("owned: the model is not registered: name it in Config.Tables, or write it through the plain database")
)

// ErrForeign says that a row to be written belongs to another account than the one
// that was entered. 404, as for everything that belongs to somebody else.
var ErrForeign = problem.New(http.StatusNotFound, "foreign_row", "there is no such thing in this account")
