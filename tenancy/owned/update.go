package owned

import (
	"context"
	"database/sql"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/feature"
)

// UpdateQuery is bun's, kept to the account: whatever the conditions say, it changes
// rows of that account alone, and never the account of a row.
type UpdateQuery struct {
	write
	q          *bun.UpdateQuery
	conditions conditions
	kept       bool // by a condition that bun has
}

// NewUpdate begins a query that changes rows of a registered model.
func (d *DB) NewUpdate() *UpdateQuery {
	q := d.scoped.NewUpdate()
	if conn := d.conn(); conn != nil {
		q = q.Conn(conn)
	}
	return &UpdateQuery{write: write{db: d, names: q, err: d.err}, q: q}
}

// Model is a pointer to one row, to a slice of them with Bulk, or a nil pointer.
func (q *UpdateQuery) Model(model any) *UpdateQuery {
	q.setModel(model)
	q.q = q.q.Model(model)
	return q
}

// Column names the columns to write; the account's is refused.
func (q *UpdateQuery) Column(columns ...string) *UpdateQuery {
	for _, c := range columns {
		q.sets(c)
	}
	q.q = q.q.Column(columns...)
	return q
}

// ExcludeColumn names columns that stay as they are.
func (q *UpdateQuery) ExcludeColumn(columns ...string) *UpdateQuery {
	q.q = q.q.ExcludeColumn(columns...)
	return q
}

// Set is an assignment.
func (q *UpdateQuery) Set(expr string, args ...any) *UpdateQuery {
	q.sets(expr, args...)
	q.q = q.q.Set(expr, args...) // sqltext: the caller's
	return q
}

// SetColumn is an assignment to one column.
func (q *UpdateQuery) SetColumn(column, expr string, args ...any) *UpdateQuery {
	q.sets(column+" = "+expr, args...)
	q.q = q.q.SetColumn(column, expr, args...) // sqltext: the caller's
	return q
}

// Value overwrites a column's value by an expression.
func (q *UpdateQuery) Value(column, expr string, args ...any) *UpdateQuery {
	q.sets(column)
	if q.table != nil {
		q.whole(expr, args, q.assigns(false))
	}
	q.q = q.q.Value(column, expr, args...) // sqltext: the caller's
	return q
}

// OmitZero leaves columns alone whose new value is zero.
func (q *UpdateQuery) OmitZero() *UpdateQuery {
	q.q = q.q.OmitZero()
	return q
}

// Bulk changes every row of the model's slice, found by its primary key.
func (q *UpdateQuery) Bulk() *UpdateQuery {
	if q.err == nil {
		q.q, q.kept = q.q.Bulk(), true
	}
	return q
}

// WherePK finds the model's rows by primary key, or by other columns of the model.
func (q *UpdateQuery) WherePK(cols ...string) *UpdateQuery {
	q.q, q.kept = q.q.WherePK(cols...), true
	return q
}

// Where adds a condition with AND.
func (q *UpdateQuery) Where(query string, args ...any) *UpdateQuery {
	q.whole(query, args, nil)
	q.conditions.add(" AND ", query, args)
	return q
}

// WhereOr adds a condition with OR.
func (q *UpdateQuery) WhereOr(query string, args ...any) *UpdateQuery {
	q.whole(query, args, nil)
	q.conditions.add(" OR ", query, args)
	return q
}

// WhereGroup adds conditions in parentheses. sep is " AND " or " OR ".
func (q *UpdateQuery) WhereGroup(sep string, fn func(Where) Where) *UpdateQuery {
	Where{&q.conditions, &q.write}.WhereGroup(sep, fn)
	return q
}

// WhereDeleted finds soft-deleted rows alone: to restore them, say.
func (q *UpdateQuery) WhereDeleted() *UpdateQuery {
	q.q = q.q.WhereDeleted()
	return q
}

// WhereAllWithDeleted finds soft-deleted rows as well.
func (q *UpdateQuery) WhereAllWithDeleted() *UpdateQuery {
	q.q = q.q.WhereAllWithDeleted()
	return q
}

// Returning is what to read back.
func (q *UpdateQuery) Returning(query string, args ...any) *UpdateQuery {
	q.whole(query, args, nil)
	q.q = q.q.Returning(query, args...) // sqltext: the caller's
	return q
}

// Apply runs fns on the query, in order.
func (q *UpdateQuery) Apply(fns ...func(*UpdateQuery) *UpdateQuery) *UpdateQuery {
	for _, fn := range fns {
		if fn != nil {
			q = fn(q)
		}
	}
	return q
}

// Exec runs the query.
func (q *UpdateQuery) Exec(ctx context.Context, dest ...any) (sql.Result, error) {
	ctx, err := q.ready(ctx)
	if err != nil {
		return nil, err
	}
	return q.q.Exec(ctx, dest...)
}

// Scan runs the query and reads what Returning names.
func (q *UpdateQuery) Scan(ctx context.Context, dest ...any) error {
	ctx, err := q.ready(ctx)
	if err != nil {
		return err
	}
	return q.q.Scan(ctx, dest...)
}

func (q *UpdateQuery) ready(ctx context.Context) (context.Context, error) {
	ctx, where, err := q.within(ctx, q.q, q.kept, q.conditions, feature.UpdateTableAlias)
	if err != nil {
		return nil, err
	}
	q.q = q.q.Where("?", where)
	q.conditions, q.kept = nil, true
	return ctx, nil
}
