package owned

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/quitrent/quitrent/tenancy"
)

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
		case t.kind == opaque, name && t.kind != other && strings.EqualFold(t.text, w.table.Account) && last.text != ".":
			w.fail(fmt.Errorf("%w: a row never changes its account", ErrForeign))
		case depth > 0:
		case t.kind == word && strings.EqualFold(t.text, "where"):
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
			return ErrForeign // it is answered to the client, who is told of no tables
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
