package owned

import (
	"context"
	"database/sql"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/feature"
)

// DeleteQuery is bun's, kept to the account. A model with a soft_delete column is
// marked as deleted, unless ForceDelete says otherwise.
type DeleteQuery struct {
	write
	q          *bun.DeleteQuery
	conditions conditions
	kept       bool // by a condition that bun has
	force      bool
}

// NewDelete begins a query that deletes rows of a registered model.
func (d *DB) NewDelete() *DeleteQuery {
	q := d.scoped.NewDelete()
	if conn := d.conn(); conn != nil {
		q = q.Conn(conn)
	}
	return &DeleteQuery{write: write{db: d, names: q, err: d.err}, q: q}
}

// Model is a pointer to one row, to a slice of them, or a nil pointer.
func (q *DeleteQuery) Model(model any) *DeleteQuery {
	q.setModel(model)
	q.q = q.q.Model(model)
	return q
}

// WherePK finds the model's rows by primary key, or by other columns of the model.
func (q *DeleteQuery) WherePK(cols ...string) *DeleteQuery {
	q.q, q.kept = q.q.WherePK(cols...), true
	return q
}

// Where adds a condition with AND.
func (q *DeleteQuery) Where(query string, args ...any) *DeleteQuery {
	q.whole(query, args, nil)
	q.conditions.add(" AND ", query, args)
	return q
}

// WhereOr adds a condition with OR.
func (q *DeleteQuery) WhereOr(query string, args ...any) *DeleteQuery {
	q.whole(query, args, nil)
	q.conditions.add(" OR ", query, args)
	return q
}

// WhereGroup adds conditions in parentheses. sep is " AND " or " OR ".
func (q *DeleteQuery) WhereGroup(sep string, fn func(Where) Where) *DeleteQuery {
	Where{&q.conditions, &q.write}.WhereGroup(sep, fn)
	return q
}

// WhereDeleted finds soft-deleted rows alone.
func (q *DeleteQuery) WhereDeleted() *DeleteQuery {
	q.q = q.q.WhereDeleted()
	return q
}

// WhereAllWithDeleted finds soft-deleted rows as well.
func (q *DeleteQuery) WhereAllWithDeleted() *DeleteQuery {
	q.q = q.q.WhereAllWithDeleted()
	return q
}

// ForceDelete removes rows that would otherwise be marked as deleted.
func (q *DeleteQuery) ForceDelete() *DeleteQuery {
	q.q, q.force = q.q.ForceDelete(), true
	return q
}

// Returning is what to read back.
func (q *DeleteQuery) Returning(query string, args ...any) *DeleteQuery {
	q.whole(query, args, nil)
	q.q = q.q.Returning(query, args...) // sqltext: the caller's
	return q
}

// Apply runs fns on the query, in order.
func (q *DeleteQuery) Apply(fns ...func(*DeleteQuery) *DeleteQuery) *DeleteQuery {
	for _, fn := range fns {
		if fn != nil {
			q = fn(q)
		}
	}
	return q
}

// Exec runs the query.
func (q *DeleteQuery) Exec(ctx context.Context, dest ...any) (sql.Result, error) {
	ctx, err := q.ready(ctx)
	if err != nil {
		return nil, err
	}
	return q.q.Exec(ctx, dest...)
}

// Scan runs the query and reads what Returning names.
func (q *DeleteQuery) Scan(ctx context.Context, dest ...any) error {
	ctx, err := q.ready(ctx)
	if err != nil {
		return err
	}
	return q.q.Scan(ctx, dest...)
}

func (q *DeleteQuery) ready(ctx context.Context) (context.Context, error) {
	alias := feature.Feature(feature.DeleteTableAlias)
	if q.table != nil && q.table.schema.SoftDeleteField != nil && !q.force {
		alias = feature.UpdateTableAlias // bun writes it as an update
	}
	ctx, where, err := q.within(ctx, q.q, q.kept, q.conditions, alias)
	if err != nil {
		return nil, err
	}
	q.q = q.q.Where("?", where)
	q.conditions, q.kept = nil, true
	return ctx, nil
}
