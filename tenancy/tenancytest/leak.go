package tenancytest

import (
	"context"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
	"github.com/quitrent/quitrent/tenancy/tenancytest/internal/leak"
)

// Exempt is, among the models of Run, the name of a table or view that Run is not to
// report: a table that finds the account from outside, a view that only operators read.
type Exempt = leak.Exempt

// Run is the leak kit: it proves that no account reaches the rows of another, for
// every table that is registered in tables and not SelfGuarded. The test fails with
// a line for every hole, which names the model, the verb and what was seen.
//
// models are the host's models, registered or not, each a nil pointer or a pointer to
// an example row: Run makes up rows of its own and keeps the fields of the example
// that are not zero, which is how a CHECK or an enum gets a value that it accepts.
// A model or a table that has an account's column and is not registered is reported,
// and so is a view on a registered table. What is left alone: the tables of this
// library, partitions, and what an Exempt names. Of several models of one table the
// first that is registered is attacked.
//
// Run binds db to tables, if it is not bound yet, and reports what Bind finds wrong
// with keys and foreign keys. Then it makes up two accounts with the same keys in
// both, and the one asks for the rows of the other with every verb, on the pool, in a
// transaction of the host's and in DB.RunInTx: reads of every kind, relations, raw
// SQL and plain bun, forged and unstamped rows, upserts on every unique key of the
// database, rows that move, updates and deletes with OR, soft-deleted rows, pages.
// After each of them that may have written, the other's rows are compared with what
// they were.
//
// db is a migrated, throw-away database that nothing else uses meanwhile, at best an
// empty one. Rows that other tables have to hold, because a foreign key says so, are
// made up too. In the end Run deletes what it wrote; where the database refuses that,
// as an append-only table does, the rows stay, and writes are tried in transactions
// alone. A key that the database alone can assign (GENERATED ALWAYS) can't be the
// same in both accounts and is not supported.
//
// With Config.RowSecurity db is the database of the tables' owner, bound with
// BindOwner before: Run makes its rows up as the owner, and asks for those of the
// other account as row-level security lets it, past the guard too. The pool, on which
// package owned then refuses everything, is left out.
func Run(t testing.TB, db *bun.DB, tables *owned.Tables, models ...any) {
	t.Helper()
	enter := func(account tenancy.AccountID) context.Context { return Context(t, tenancy.Scope{Account: account}) }
	leak.Run(t, db, tables, enter, models...)
}
