package owned

import (
	"context"
	"errors"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/feature"
	"github.com/uptrace/bun/schema"
)

// where is a caller's condition, which stands in parentheses of its own beside the
// account's: an OR in it cannot reach out.
type where struct {
	sep   string
	query string
	args  []any
	group *conditions
}

type conditions []where

func (c *conditions) add(sep, query string, args []any) {
	*c = append(*c, where{sep: sep, query: query, args: args})
}

// AppendQuery implements schema.QueryAppender.
func (c *conditions) AppendQuery(gen schema.QueryGen, b []byte) ([]byte, error) {
	for i, w := range *c {
		if i > 0 {
			b = append(b, w.sep...)
		}
		b = append(b, '(')
		if w.group != nil {
			var err error
			if b, err = w.group.AppendQuery(gen, b); err != nil {
				return nil, err
			}
		} else {
			b = gen.AppendQuery(b, w.query, w.args...)
		}
		b = append(b, ')')
	}
	return b, nil
}

var _ schema.QueryAppender = (*conditions)(nil)

// Where is the condition of an update or a delete, or a group of it.
type Where struct {
	c *conditions
	w *write
}

// Where adds a condition with AND.
func (w Where) Where(query string, args ...any) Where {
	w.w.whole(query, args, nil)
	w.c.add(" AND ", query, args)
	return w
}

// WhereOr adds a condition with OR.
func (w Where) WhereOr(query string, args ...any) Where {
	w.w.whole(query, args, nil)
	w.c.add(" OR ", query, args)
	return w
}

// WhereGroup adds conditions in parentheses. sep is " AND " or " OR ".
func (w Where) WhereGroup(sep string, fn func(Where) Where) Where {
	inner := Where{&conditions{}, w.w}
	fn(inner)
	if len(*inner.c) > 0 {
		w.w.whole(sep, nil, nil)
		*w.c = append(*w.c, where{sep: sep, group: inner.c})
	}
	return w
}

// errNoCondition is for a write to every row, which is hardly ever meant; Where("TRUE")
// says that it is.
var errNoCondition = errors.New("owned: an update or a delete needs a condition: Where or WherePK")

// within is the condition of an update or a delete: the account's, and beside it the
// caller's in parentheses. kept says that there is another one, by key. aliased is
// what lets the dialect call the table by its alias.
func (w *write) within(ctx context.Context, q bun.Query, kept bool, given conditions, aliased feature.Feature) (context.Context, *conditions, error) {
	ctx, err := w.begin(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	if !kept && len(given) == 0 {
		return nil, nil, errNoCondition
	}
	out := conditions{w.mine(aliased)}
	if len(given) > 0 {
		out = append(out, where{sep: " AND ", group: &given})
	}
	return ctx, &out, nil
}

// mine is the condition that keeps a statement to the account.
func (w *write) mine(aliased feature.Feature) where {
	if w.db.account == "" {
		return where{query: "TRUE"}
	}
	name := w.table.schema.SQLName
	if w.db.scoped.HasFeature(aliased) {
		name = w.table.schema.SQLAlias
	}
	return where{query: "?.? = ?", args: []any{name, w.table.account.SQLName, bun.Safe(quote(w.db.account))}}
}
