package owned

import (
	"fmt"
	"strings"

	"github.com/quitrent/quitrent/tenancy"
)

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
