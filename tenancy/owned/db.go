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
	b, ok := t.of(db)
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

// write is what the three queries that write have in common.
type write struct {
	db    *DB
	names schema.NamedArgAppender // of the query: ?TableAlias, a column of the model's
	table *table
	model any
	err   error
}

func (w *write) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *write) setModel(model any) {
	if w.err != nil {
		return
	}
	w.model = model
	if typ := reflect.TypeOf(model); typ != nil && typ.Kind() != reflect.Pointer {
		w.fail(fmt.Errorf("owned: a model is a pointer, not %T", model))
		return
	}
	if w.table, w.err = w.db.table(model); w.err == nil && w.db.account != "" {
		w.err = w.table.stamp(reflect.ValueOf(model), w.db.account, true)
	}
}

var errModelFirst = errors.New("owned: call Model first")

// sets refuses an assignment to the account's column: a row never changes its
// account.
func (w *write) sets(expr string, args ...any) {
	if w.table == nil {
		w.fail(errModelFirst)
		return
	}
	w.whole(expr, args, w.assigns(true))
}

// assigns looks at the tokens of assignments, of which name says that they begin with
// a column's name and not with a value.
func (w *write) assigns(name bool) func(t, last token, depth int) {
	return func(t, last token, depth int) {
		switch {
		case t.kind == opaque, name && t.kind != other && equalFold(t.text, w.table.Account) && last.text != ".":
			w.fail(fmt.Errorf("%w: %s: a row never changes its account", ErrForeign, w.table.name))
		case depth > 0:
		case t.kind == word && equalFold(t.text, "where"):
			w.fail(errors.New("owned: a condition goes into Where"))
		case t.kind == other && (t.text == "=" || t.text == ","):
			name = t.text == ","
		}
	}
}

// whole refuses a piece of SQL that would reach out of its place in the statement:
// one that closes a parenthesis or begins a comment or a quote of its surroundings.
// It looks at what is sent, with the arguments in place. each sees its tokens.
func (w *write) whole(expr string, args []any, each func(t, last token, depth int)) {
	sent := w.db.scoped.QueryGen().WithArg(w.names).FormatQuery(expr, args...) // sqltext: to be looked at
	lex := lexer{sql: sent, postgres: w.db.isPostgres()}
	depth := 0
	for last, t := (token{}), lex.next(); t.kind != end; last, t = t, lex.next() {
		if t.kind == other {
			switch t.text {
			case "(":
				depth++
			case ")":
				depth--
			case ";":
				depth = -1
			}
			if depth < 0 {
				break
			}
		}
		if each != nil {
			each(t, last, depth)
		}
	}
	if depth != 0 || lex.comments || lex.unclosed {
		w.fail(fmt.Errorf("owned: %q is no whole expression", expr))
	}
}

// begin is the last thing before the query runs: the context that lets it pass.
func (w *write) begin(ctx context.Context, q bun.Query) (context.Context, error) {
	if w.err == nil && w.table == nil {
		w.fail(errors.New("owned: the query has no model"))
	}
	if w.err == nil {
		scope, entered := tenancy.Lookup(ctx)
		_, all := tenancy.AcrossAccounts(ctx)
		if !all && (!entered || scope.Account != w.db.account) {
			w.fail(fmt.Errorf("%w: the context has not entered the query's account", ErrUnscoped))
		}
	}
	if w.err != nil {
		return nil, w.err
	}
	return context.WithValue(ctx, passKey{}, &pass{query: q, table: w.table, account: w.db.account, model: w.model}), nil
}

// stamp puts the account into every row that names none, or refuses it where it is
// too late for that, and refuses a row that names another.
func (t *table) stamp(v reflect.Value, account tenancy.AccountID, early bool) error {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return t.stamp(v.Elem(), account, early)
	case reflect.Slice:
		for i := range v.Len() {
			if err := t.stamp(v.Index(i), account, early); err != nil {
				return err
			}
		}
		return nil
	case reflect.Struct:
		if early && t.account.HasZeroValue(v) {
			return t.account.ScanValue(v, string(account))
		}
		if got := t.accountOf(v); got != string(account) {
			return fmt.Errorf("%w: %s", ErrForeign, t.name)
		}
		return nil
	}
	return fmt.Errorf("%w: %s", ErrNotRegistered, v.Type())
}

// accountOf is the account that a row names, as its column's literal says it.
func (t *table) accountOf(v reflect.Value) string {
	b := t.account.AppendValue(schema.NewQueryGen(t.schema.Dialect()), nil, v)
	if n := len(b); n >= 2 && b[0] == '\'' {
		b = b[1 : n-1]
	}
	return string(b)
}
