package owned

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/feature"
)

// InsertQuery is bun's, kept to the account: a row that names no account gets the
// one that was entered, a row that names another is refused with ErrForeign, in a
// slice the whole of it.
type InsertQuery struct {
	write
	q       *bun.InsertQuery
	columns bool // were named, the account's among them
	upsert  bool
	where   conditions
}

// NewInsert begins a query that adds rows of a registered model.
func (d *DB) NewInsert() *InsertQuery {
	q := d.scoped.NewInsert()
	if conn := d.conn(); conn != nil {
		q = q.Conn(conn)
	}
	return &InsertQuery{write: write{db: d, names: q, err: d.err}, q: q}
}

// Model is a pointer to one row or to a slice of them.
func (q *InsertQuery) Model(model any) *InsertQuery {
	q.setModel(model)
	q.q = q.q.Model(model)
	return q
}

// Column names the columns to write; the account's is written besides.
func (q *InsertQuery) Column(columns ...string) *InsertQuery {
	if q.table == nil {
		q.fail(errModelFirst)
		return q
	}
	columns = without(columns, q.table.account.Name)
	if !q.columns {
		columns, q.columns = append([]string{q.table.account.Name}, columns...), true
	}
	q.q = q.q.Column(columns...)
	return q
}

// ExcludeColumn names the columns to leave to their defaults; never the account's.
func (q *InsertQuery) ExcludeColumn(columns ...string) *InsertQuery {
	if q.table != nil {
		columns = without(columns, q.table.account.Name)
	}
	if len(columns) > 0 {
		q.q = q.q.ExcludeColumn(columns...)
	}
	return q
}

// Value overwrites a column's value by an expression.
func (q *InsertQuery) Value(column, expr string, args ...any) *InsertQuery {
	q.sets(column)
	q.whole(expr, args, nil)
	q.q = q.q.Value(column, expr, args...) // sqltext: the caller's
	return q
}

// On is what happens to a row that is there already: "CONFLICT (account_id, id) DO
// UPDATE". An update that it makes is kept to rows of the account.
func (q *InsertQuery) On(s string, args ...any) *InsertQuery {
	var set func(t, last token, depth int)
	q.whole(s, args, func(t, last token, depth int) {
		q.upsert = q.upsert || t.kind == word && strings.EqualFold(t.text, "update")
		switch {
		case set != nil:
			set(t, last, depth)
		case t.kind == word && strings.EqualFold(t.text, "set") && q.table == nil:
			q.fail(errModelFirst)
		case t.kind == word && strings.EqualFold(t.text, "set"):
			set = q.assigns(true)
		}
	})
	q.q = q.q.On(s, args...) // sqltext: the caller's
	return q
}

// Set is an assignment of the update that On makes.
func (q *InsertQuery) Set(expr string, args ...any) *InsertQuery {
	q.sets(expr, args...)
	q.q = q.q.Set(expr, args...) // sqltext: the caller's
	return q
}

// Where adds a condition to the update that On makes.
func (q *InsertQuery) Where(query string, args ...any) *InsertQuery {
	q.whole(query, args, nil)
	q.where.add(" AND ", query, args)
	return q
}

// WhereOr adds a condition with OR to the update that On makes.
func (q *InsertQuery) WhereOr(query string, args ...any) *InsertQuery {
	q.whole(query, args, nil)
	q.where.add(" OR ", query, args)
	return q
}

// Returning is what to read back.
func (q *InsertQuery) Returning(query string, args ...any) *InsertQuery {
	q.whole(query, args, nil)
	q.q = q.q.Returning(query, args...) // sqltext: the caller's
	return q
}

// Apply runs fns on the query, in order.
func (q *InsertQuery) Apply(fns ...func(*InsertQuery) *InsertQuery) *InsertQuery {
	for _, fn := range fns {
		if fn != nil {
			q = fn(q)
		}
	}
	return q
}

// Exec runs the query.
func (q *InsertQuery) Exec(ctx context.Context, dest ...any) (sql.Result, error) {
	ctx, err := q.ready(ctx)
	if err != nil {
		return nil, err
	}
	return q.q.Exec(ctx, dest...)
}

// Scan runs the query and reads what Returning names.
func (q *InsertQuery) Scan(ctx context.Context, dest ...any) error {
	ctx, err := q.ready(ctx)
	if err != nil {
		return err
	}
	return q.q.Scan(ctx, dest...)
}

func (q *InsertQuery) ready(ctx context.Context) (context.Context, error) {
	if q.err == nil && q.table != nil {
		// Once more: the rows may have changed since Model.
		q.setModel(q.model)
	}
	if !q.upsert {
		return q.begin(ctx, q.q)
	}
	ctx, where, err := q.within(ctx, q.q, true, q.where, feature.InsertTableAlias)
	if err != nil {
		return nil, err
	}
	q.q = q.q.Where("?", where)
	q.where = nil
	return ctx, nil
}

func without(columns []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return c == name })
}
