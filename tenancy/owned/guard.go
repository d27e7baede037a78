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
		case clause == "set" && equalFold(t.text, p.table.Account) && (last.text == "," || equalFold(last.text, "set")):
			return fmt.Errorf("%w: %s: a row never changes its account, not in a hook", ErrForeign, p.table.name)
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

// check is one reading of one statement.
type check struct {
	b       *binding
	account tenancy.AccountID // "" where the context has entered none
	target  *table            // may be written, once
}

// place is what may stand at a place of the statement, by depth of parentheses.
type place uint8

const (
	values place = iota
	tables
	joined // the condition of a join: values, and tables again behind a comma
)

// run reads sql word by word and refuses an owned table where a table may stand.
// In a statement of any other sort than the usual four it refuses its name anywhere.
func (c *check) run(sql string) error {
	var (
		lex               = lexer{sql: sql, postgres: c.b.postgres}
		last, prev, older token
		here              = values
		outer             []place
		head, any         = true, false
		name              bool // comes next, not a keyword
	)
	for t := lex.next(); t.kind != end; older, prev, last, t = prev, last, t, lex.next() {
		named := name
		name = t.kind == word && !named && strings.EqualFold(t.text, "as")
		switch t.kind {
		case opaque:
			return fmt.Errorf("%w: escapes that can't be followed", ErrUnscoped)
		case body:
			if err := c.run(t.text); err != nil {
				return err
			}
		case other:
			switch t.text {
			case "(":
				if n, err := c.scoped(sql[t.at:]); err != nil {
					return err
				} else if n > 0 {
					lex.pos = t.at + n
					continue
				}
				outer = append(outer, here)
				if here == joined || last.kind == quoted || last.kind == word && !isKeyword(last.text) {
					here = values // of a function, or the columns of a table
				}
			case ".":
				if name = last.kind == word || last.kind == quoted; name {
					t, last, prev = prev, older, token{} // it stands where its qualifier stood
				}
			case ",":
				if here == joined {
					here = tables
				}
			case ")":
				if n := len(outer); n > 0 {
					here, outer = outer[n-1], outer[:n-1]
				}
			case ";":
				head, any, here, outer = true, false, values, outer[:0]
			}
		case word:
			kw := ""
			if !named {
				kw = keyword(t.text)
			}
			if head && kw != "explain" {
				head, any = false, !usual(kw)
			}
			if kw != "" {
				here = c.place(here, kw, last)
				continue
			}
			fallthrough
		case quoted, text:
			if t.kind == text && !any && (c.b.postgres || here != tables) {
				continue // SQLite takes a string for a table where a table must stand
			}
			if tab := c.b.named(t.text); tab != nil && (any || here == tables) {
				if err := c.names(tab, prev, last, lex); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// place is what may stand after a keyword.
func (c *check) place(here place, kw string, last token) place {
	switch kw {
	case "from", "join", "into", "using", "table", "only":
		return tables
	case "update":
		switch strings.ToLower(last.text) {
		case "for", "do", "key":
			return here
		}
		return tables
	case "on":
		if here != values {
			return joined
		}
	case "as", "lateral", "or", "left", "right", "inner", "outer", "full", "cross", "natural",
		"ignore", "replace", "abort", "rollback", "fail", "delete", "insert", "with", "recursive", "explain",
		"begin", "commit", "savepoint", "release", "start", "end", "default":
		return here
	}
	return values // select, where, set, values, on, group, order, …
}

// names decides about an owned table that is named where one may stand.
func (c *check) names(tab *table, prev, last token, lex lexer) error {
	if last.kind == word && strings.EqualFold(last.text, "as") {
		return nil // another thing's name in this statement
	}
	if after := lex.next(); after.text == "." && after.kind == other {
		return nil // a schema, or the table of a column
	}
	if c.target != nil && bare(c.target.name) == bare(tab.name) && last.kind == word {
		switch strings.ToLower(last.text) {
		case "update", "into":
			c.target = nil
			return nil
		case "from":
			if strings.EqualFold(prev.text, "delete") {
				c.target = nil
				return nil
			}
		}
	}
	return fmt.Errorf("%w: it names %s itself: read it through Tables.For, in SQL of your own as DB.Table", ErrUnscoped, tab.name)
}

// scoped is the length of the sub-select of an owned table that sql begins with, or
// 0. It refuses one for another account than the context's.
func (c *check) scoped(sql string) (int, error) {
	rest, ok := strings.CutPrefix(sql, scopeBegins)
	if !ok {
		return 0, nil
	}
	for _, tab := range c.b.tables {
		tail, ok := strings.CutPrefix(rest, tab.scopeGoesOn)
		if !ok || tab.SelfGuarded {
			continue
		}
		literal := strings.IndexByte(tail, ')')
		switch {
		case literal < 0:
			continue
		case strings.HasPrefix(tail, "?"):
			return 0, fmt.Errorf("%w: %s is read through Tables.For", ErrUnscoped, tab.name)
		case c.account == "":
			return 0, fmt.Errorf("%w: the context has entered no account", ErrUnscoped)
		case tail[:literal] != quote(c.account):
			return 0, fmt.Errorf("%w: the context has entered another account than the query's", ErrUnscoped)
		}
		return len(sql) - len(tail) + literal + 1, nil
	}
	return 0, nil
}
