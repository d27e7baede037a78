package retention

import (
	"archive/zip"
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// Export asks for everything that an account owns.
type Export struct {
	Account tenancy.AccountID
	// Actor is who gets it.
	Actor tenancy.Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// FormatVersion is Manifest.Version: it counts up when a reader has to change.
const FormatVersion = 1

// Manifest says what is in an export. It is the last file of it, manifest.json.
type Manifest struct {
	Version int               `json:"version"`
	Account tenancy.AccountID `json:"account"`
	// At is when the export was made: what was committed after it is not in it.
	At    time.Time `json:"at"`
	Files []File    `json:"files"`
}

// File is one table of an export.
type File struct {
	Name  string `json:"name"` // "sites.jsonl"
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
}

// Export writes a zip archive to w: a file of JSON lines for each registered table,
// in the registry's order, and the manifest. A line is a row with every column that
// is not Secret, soft-deleted rows among them; of a table of persons, the rows of the
// account's members. Integers are exact, times are RFC 3339 in UTC with microseconds,
// JSON columns are JSON, bytes are base64, and NULL is null.
//
// All of it is one snapshot, and memory does not grow with the rows. A slow reader
// holds the snapshot, and a connection, open: whoever writes to one sets a deadline,
// as with http.Server.WriteTimeout. An archive that an error cut short has no
// directory, and no program takes it for whole.
//
// It enters the account for tenancy.Export, so it returns what Accounts.Enter does,
// tenancy.ErrInvalid for a reason that is too long, and ErrIncomplete. Who exported is
// in the account's audit log, before the first byte.
func (k *Keeper) Export(ctx context.Context, db *bun.DB, w io.Writer, e Export) (Manifest, error) {
	line := tenancy.Audit{Account: e.Account, At: k.now(), Actor: e.Actor, Action: "retention.export", Reason: e.Reason}
	if err := line.Validate(); err != nil {
		return Manifest{}, err
	}
	ctx, err := k.accounts.Enter(ctx, db, e.Account, e.Actor, tenancy.Export)
	if err != nil {
		return Manifest{}, err
	}
	if err := k.Complete(ctx, db); err != nil {
		return Manifest{}, err
	}
	if err := tenancy.Record(ctx, db, line); err != nil {
		return Manifest{}, err
	}
	opts := &sql.TxOptions{ReadOnly: true}
	if isPostgres(db) {
		opts.Isolation = sql.LevelRepeatableRead
	}
	snapshot, err := db.BeginTx(ctx, opts)
	if err != nil {
		return Manifest{}, err
	}
	defer func() { _ = snapshot.Rollback() }()
	tables, err := k.resolve(ctx, snapshot)
	if err != nil {
		return Manifest{}, err
	}
	out := zip.NewWriter(w)
	x := exporter{rows: k.tables.For(ctx, snapshot), account: e.Account, at: line.At, zip: out}
	m := Manifest{Version: FormatVersion, Account: e.Account, At: line.At, Files: []File{}}
	for _, t := range tables {
		f := File{Name: t.name + ".jsonl", Table: t.name}
		if f.Rows, err = x.table(ctx, t, f.Name); err != nil {
			return Manifest{}, fmt.Errorf("retention: exporting %s: %w", t.name, err)
		}
		m.Files = append(m.Files, f)
	}
	if err := x.manifest(m); err != nil {
		return Manifest{}, err
	}
	return m, out.Close()
}

type exporter struct {
	rows    *owned.DB
	account tenancy.AccountID
	at      time.Time
	zip     *zip.Writer
}

func (x exporter) create(name string) (io.Writer, error) {
	return x.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: x.at})
}

func (x exporter) manifest(m Manifest) error {
	w, err := x.create("manifest.json")
	if err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(m)
}

// table writes one file, row by row as the database hands them over.
func (x exporter) table(ctx context.Context, t table, name string) (n int64, err error) {
	w, err := x.create(name)
	if err != nil {
		return 0, err
	}
	var (
		buf     = bufio.NewWriterSize(w, 1<<15)
		columns = slices.DeleteFunc(slices.Clone(t.columns), func(c column) bool {
			return slices.ContainsFunc(t.Secret, func(s string) bool { return strings.EqualFold(s, c.Name) })
		})
		fields = make([]field, len(columns))
		values = make([]any, len(columns))
		into   = make([]any, len(columns))
	)
	for i, c := range columns {
		fields[i], into[i] = newField(c), &values[i]
	}
	rows, err := x.query(t, columns).Rows(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	var b []byte
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return n, err
		}
		if b, err = appendRow(b[:0], fields, values); err != nil {
			return n, err
		}
		if _, err := buf.Write(b); err != nil {
			return n, err
		}
		n++
	}
	if err := rows.Err(); err != nil {
		return n, err
	}
	return n, buf.Flush()
}

// query reads the account's rows, in the order of their key, deleted ones too.
func (x exporter) query(t table, columns []column) *bun.SelectQuery {
	q := x.rows.NewSelect().ColumnExpr("?", selected(columns)).OrderExpr("?", keys(t.schema.PKs))
	switch {
	case t.User != "":
		return q.TableExpr("? AS t", bun.Ident(t.name)).
			Where("t.? IN (SELECT user_id FROM tenancy_members WHERE account_id = ?)", bun.Ident(t.User), x.account)
	case t.SelfGuarded:
		return q.TableExpr("? AS t", bun.Ident(t.name)).Where("t.? = ?", bun.Ident(t.Account), x.account)
	}
	return q.TableExpr("? AS t", x.rows.Table(t.Model))
}

type selected []column

// AppendQuery implements schema.QueryAppender.
func (s selected) AppendQuery(gen schema.QueryGen, b []byte) ([]byte, error) {
	for i, c := range s {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = gen.AppendQuery(b, "t.?", bun.Ident(c.Name))
	}
	return b, nil
}
