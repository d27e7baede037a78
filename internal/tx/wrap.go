package tx

import (
	"context"
	"database/sql"
	"errors"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// ErrNested says that a wrapped transaction was asked to begin another one.
var ErrNested = errors.New("a wrapped transaction cannot begin another: its owner begins and commits")

// Wrap is the transaction conn, begun by the host with another tool, as a
// bun.IDB. The queries are built with db's dialect and run on conn. It panics on a
// pool, on which every statement would commit by itself.
func Wrap(db *bun.DB, conn bun.IConn) bun.IDB {
	switch conn.(type) {
	case *sql.DB, *bun.DB:
		panic("tx: a pool is no transaction: wrap what its Begin returned")
	}
	return wrapped{IConn: conn, db: db}
}

type wrapped struct {
	bun.IConn
	db *bun.DB
}

func (w wrapped) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return w.IConn.QueryContext(ctx, w.format(query, args)) // sqltext: the caller's
}

func (w wrapped) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return w.IConn.ExecContext(ctx, w.format(query, args)) // sqltext: the caller's
}

func (w wrapped) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return w.IConn.QueryRowContext(ctx, w.format(query, args)) // sqltext: the caller's
}

func (w wrapped) format(query string, args []any) string {
	return w.db.QueryGen().FormatQuery(query, args...)
}

func (w wrapped) Dialect() schema.Dialect { return w.db.Dialect() }

func (w wrapped) NewValues(model any) *bun.ValuesQuery {
	return w.db.NewValues(model).Conn(w.IConn)
}
func (w wrapped) NewSelect() *bun.SelectQuery { return w.db.NewSelect().Conn(w.IConn) }
func (w wrapped) NewInsert() *bun.InsertQuery { return w.db.NewInsert().Conn(w.IConn) }
func (w wrapped) NewUpdate() *bun.UpdateQuery { return w.db.NewUpdate().Conn(w.IConn) }
func (w wrapped) NewDelete() *bun.DeleteQuery { return w.db.NewDelete().Conn(w.IConn) }
func (w wrapped) NewMerge() *bun.MergeQuery   { return w.db.NewMerge().Conn(w.IConn) }
func (w wrapped) NewRaw(query string, args ...any) *bun.RawQuery {
	return w.db.NewRaw(query, args...).Conn(w.IConn) // sqltext: the caller's
}
func (w wrapped) NewCreateTable() *bun.CreateTableQuery {
	return w.db.NewCreateTable().Conn(w.IConn)
}
func (w wrapped) NewDropTable() *bun.DropTableQuery     { return w.db.NewDropTable().Conn(w.IConn) }
func (w wrapped) NewCreateIndex() *bun.CreateIndexQuery { return w.db.NewCreateIndex().Conn(w.IConn) }
func (w wrapped) NewDropIndex() *bun.DropIndexQuery     { return w.db.NewDropIndex().Conn(w.IConn) }
func (w wrapped) NewTruncateTable() *bun.TruncateTableQuery {
	return w.db.NewTruncateTable().Conn(w.IConn)
}
func (w wrapped) NewAddColumn() *bun.AddColumnQuery   { return w.db.NewAddColumn().Conn(w.IConn) }
func (w wrapped) NewDropColumn() *bun.DropColumnQuery { return w.db.NewDropColumn().Conn(w.IConn) }

func (w wrapped) BeginTx(context.Context, *sql.TxOptions) (bun.Tx, error) {
	return bun.Tx{}, ErrNested
}

func (w wrapped) RunInTx(context.Context, *sql.TxOptions, func(context.Context, bun.Tx) error) error {
	return ErrNested
}
