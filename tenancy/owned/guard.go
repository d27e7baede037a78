package owned

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// guard is the hook on a database that stops every statement which names an owned
// table other than through the account that its context has entered.
type guard struct{ b *binding }

var _ bun.QueryHook = guard{}

type passKey struct{}

// pass says that query writes to table and was made by this package, with the
// account in its condition. It is good for that query and that table, once.
type pass struct {
	query   bun.Query
	table   *table
	account tenancy.AccountID // "" across accounts
	model   any
}

// probing is the pass of a look at a table as a whole, which has to be empty, and of
// the statements that secure it.
var probing = &pass{}

// BeforeQuery implements bun.QueryHook. A hook can't refuse, but a context that
// has ended stops the statement, and database/sql returns the context's error.
func (g guard) BeforeQuery(ctx context.Context, event *bun.QueryEvent) context.Context {
	if _, all := tenancy.AcrossAccounts(ctx); all {
		return ctx
	}
	p, _ := ctx.Value(passKey{}).(*pass)
	if p == probing {
		return ctx
	}
	c := check{b: g.b}
	if scope, ok := tenancy.Lookup(ctx); ok {
		c.account = scope.Account
	}
	passes := p != nil && p.query == event.IQuery
	if passes {
		c.target = p.table
	}
	err := c.run(event.Query)
	if err == nil && passes && p.account != "" {
		err = p.kept(event.Query, g.b.postgres)
	}
	if err != nil {
		return refused{ctx, err}
	}
	return ctx
}

// kept looks at a write as it is sent, since the model's hooks may have changed the
// rows or the query after this package saw them.
func (p *pass) kept(sql string, postgres bool) error {
	if _, ok := p.query.(*bun.InsertQuery); ok {
		if err := p.table.stamp(reflect.ValueOf(p.model), p.account, false); err != nil {
			return err
		}
	}
	lex := lexer{sql: sql, postgres: postgres}
	depth, clause := 0, ""
	for last, t := (token{}), lex.next(); t.kind != end; last, t = t, lex.next() {
		switch {
		case t.kind == other && t.text == "(":
			depth++
		case t.kind == other && t.text == ")":
			depth--
		case depth > 0 || t.kind == other:
		case clause == "set" && strings.EqualFold(t.text, p.table.Account) && (last.text == "," || strings.EqualFold(last.text, "set")):
			return fmt.Errorf("%w: a row never changes its account, not in a hook", ErrForeign)
		case t.kind == word:
			kw := keyword(t.text)
			switch {
			case kw == "or" && clause == "where":
				return fmt.Errorf("%w: a hook of %s adds an OR beside the account's condition", ErrUnscoped, p.table.name)
			case clause == "on" && kw != "do": // the key of a conflict may have a condition
			case kw == "on", kw == "do", kw == "set", kw == "where", kw == "returning":
				clause = kw
			}
		}
	}
	return nil
}

// AfterQuery implements bun.QueryHook.
func (guard) AfterQuery(context.Context, *bun.QueryEvent) {}

// refused is a context that ended with err.
type refused struct {
	context.Context
	err error
}

var over = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (r refused) Done() <-chan struct{} { return over }
func (r refused) Err() error            { return r.err }

// Deadline is long ago. On a *sql.Conn it is the driver alone that looks at the context,
// and bun's pgdriver looks at nothing else.
func (r refused) Deadline() (time.Time, bool) { return time.Unix(1, 0), true }
