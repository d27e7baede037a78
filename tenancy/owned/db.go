package owned

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// DB is the database as one account may see it: bun's queries on the rows of that
// account and no other. For makes one; it is good as long as the bun.IDB it came from.
type DB struct {
	b       *binding
	idb     bun.IDB
	scoped  *bun.DB
	account tenancy.AccountID // "" across accounts
	err     error
}

// For is db as the account that ctx has entered may see it: a *bun.DB, a connection
// or a transaction, the host's own included. In a context that Accounts.System made
// it sees the rows of all accounts.
//
// An error is kept and returned by every query: ErrUnscoped when ctx has entered no
// account, ErrUnbound when db was not bound, and with Config.RowSecurity
// ErrNeedsTransaction when db is no transaction.
func (t *Tables) For(ctx context.Context, db bun.IDB) *DB {
	d := &DB{idb: db}
	switch v := db.(type) {
	case *bun.DB:
		d.scoped = v
	case *bun.Tx: // bun would take it for a foreign connection, and not show the guard the query
		d.idb, d.scoped = *v, v.NewSelect().DB()
	case *bun.Conn:
		d.idb, d.scoped = *v, v.NewSelect().DB()
	default:
		d.scoped = db.NewSelect().DB()
	}
	b, ok := t.of(d.scoped)
	if !ok {
		d.err = ErrUnbound
		return d
	}
	d.b = b
	_, all := tenancy.AcrossAccounts(ctx)
	scope, entered := tenancy.Lookup(ctx)
	switch {
	case entered:
		d.account = scope.Account
		for _, column := range b.columns {
			d.scoped = d.scoped.WithNamedArg(argument(column), bun.Safe(quote(d.account)))
		}
	case all:
		for _, column := range b.columns {
			d.scoped = d.scoped.WithNamedArg(argument(column), bun.Ident(column)) // equals itself
		}
	default:
		d.err = fmt.Errorf("%w: the context has entered no account", ErrUnscoped)
		return d
	}
	if b.rowSecurity {
		d.err = b.enterRows(ctx, db, d.account)
	}
	return d
}

// Account is the one whose rows d shows, or "" across accounts.
func (d *DB) Account() tenancy.AccountID { return d.account }

// IDB is what For was given, for everything else that takes part in its
// transaction: Deduct, Publish, tables that belong to no account.
func (d *DB) IDB() bun.IDB { return d.idb }

// NewSelect begins a query that reads. Every registered table in it, by Model, by
// Relation or in a sub-query, shows the account's rows alone, whatever the conditions
// say. Tables that are not registered are read whole.
func (d *DB) NewSelect() *bun.SelectQuery {
	q := d.scoped.NewSelect().Err(d.err)
	if conn := d.conn(); conn != nil {
		q = q.Conn(conn)
	}
	return q
}

// NewRaw begins a statement in SQL of the caller's own, which names a registered
// table as Table:
//
//	rows.NewRaw("SELECT COUNT(*) FROM ? AS s WHERE s.slug LIKE ?", rows.Table((*Site)(nil)), "a%")
func (d *DB) NewRaw(query string, args ...any) *bun.RawQuery {
	q := d.scoped.NewRaw(query, args...) // sqltext: the caller's
	if d.err != nil {
		q = q.Err(d.err)
	}
	if conn := d.conn(); conn != nil {
		q = q.Conn(conn)
	}
	return q
}

// Table is the account's rows of a registered model, for SQL of the caller's own:
// in NewRaw, TableExpr, Join or Where, as the argument of a "?".
func (d *DB) Table(model any) schema.QueryAppender {
	if d.err != nil {
		return failed{d.err}
	}
	t, err := d.table(model)
	if err != nil {
		return failed{err}
	}
	if d.account == "" {
		return bun.Safe(t.subselect(string(t.account.SQLName)))
	}
	return bun.Safe(t.subselect(quote(d.account)))
}

type failed struct{ err error }

// AppendQuery implements schema.QueryAppender.
func (f failed) AppendQuery(schema.QueryGen, []byte) ([]byte, error) { return nil, f.err }

// RunInTx runs fn in a transaction, or in the one that d already is, which its owner
// ends. A transaction of its own commits when fn returns nil; it may be run again
// after a conflict, so fn sets its results afresh each time.
func (d *DB) RunInTx(ctx context.Context, fn func(ctx context.Context, db *DB) error) error {
	if d.err != nil && !errors.Is(d.err, ErrNeedsTransaction) {
		return d.err
	}
	return tx.Join(ctx, d.idb, func(db bun.IDB) error {
		in := &DB{b: d.b, idb: db, scoped: d.scoped, account: d.account}
		if d.b.rowSecurity {
			if err := d.b.enterRows(ctx, db, d.account); err != nil {
				return err
			}
		}
		return fn(ctx, in)
	})
}

func (d *DB) isPostgres() bool { return d.b != nil && d.b.postgres }

// conn is where queries run, or nil for the pool.
func (d *DB) conn() bun.IConn {
	if _, pool := d.idb.(*bun.DB); pool {
		return nil
	}
	return d.idb
}

// table finds the registered table of a model: a pointer to a struct, a slice of
// them, or a nil pointer of such a type.
func (d *DB) table(model any) (*table, error) {
	typ := reflect.TypeOf(model)
	for typ != nil && (typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice) {
		typ = typ.Elem()
	}
	if t := d.b.byType[typ]; t != nil && !t.SelfGuarded {
		return t, nil
	}
	return nil, fmt.Errorf("%w: %T", ErrNotRegistered, model)
}
