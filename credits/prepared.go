package credits

import (
	"context"
	"database/sql"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/quitrent/quitrent/internal/tx"
)

// prepared has PostgreSQL keep the statements of swift deductions, so that it parses and
// plans them once: one for those that come alone, one for any number. They are kept by
// PREPARE and not by the driver: a session that has none yet, in whatever pool or behind
// whatever pooler, says so, and gets them then.
type prepared struct {
	mu   sync.Mutex
	lost map[*sql.DB]bool // it cannot be had there
}

// usable reports that there can be prepared statements on db.
func (p *prepared) usable(db *sql.DB) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.lost[db]
}

func (p *prepared) unusable(db *sql.DB) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost == nil {
		p.lost = map[*sql.DB]bool{}
	}
	p.lost[db] = true
}

// What PostgreSQL says of a prepared statement.
const (
	notPrepared     = "26000"
	alreadyPrepared = "42P05"
)

// neverPrepared are the classes of what whoever has no prepared statements says: it is not
// supported, not understood, or forbidden. Anything else may pass.
var neverPrepared = []string{"0A", "08", "42"}

// run hands the rows of swiftly to fn.
func (p *prepared) run(ctx context.Context, db *sql.DB, conn bun.Conn, s *executed, fn func(scan func(...any) error) error) error {
	if !p.usable(db) {
		rows, err := conn.QueryContext(ctx, s.query(), s.sheets[0], s.sheets[1]) // sqltext: one of two constants
		return each(rows, err, fn)
	}
	rows, err := conn.QueryContext(ctx, "EXECUTE ?", s)
	if err = each(rows, err, fn); tx.State(err) != notPrepared {
		return err
	}
	_, err = conn.ExecContext(ctx, "PREPARE "+s.name()+" AS "+s.text()) // sqltext: swiftly, with numbered parameters
	if state := tx.State(err); err != nil && state != alreadyPrepared {
		if len(state) == 5 && slices.Contains(neverPrepared, state[:2]) {
			p.unusable(db)
		}
		return err
	}
	rows, err = conn.QueryContext(ctx, "EXECUTE ?", s)
	return each(rows, err, fn)
}

// executed is swiftly on sheets, as a prepared statement: its name, and their values or
// arrays.
type executed struct {
	sheets []*sheet
	one    bool // row in each
	wait   bool // for the lock of the one account
}

func (e *executed) query() string {
	if e.wait {
		return strings.Replace(swiftly, skipLocked, "", 1)
	}
	return swiftly
}

func (e *executed) name() string {
	name, _ := e.shape()
	return name
}

func (e *executed) text() string {
	_, text := e.shape()
	return text
}

// shape is the same whatever the values, so it is made once.
func (e *executed) shape() (name, text string) {
	type key struct{ one, wait bool }
	known, ok := shapes.Load(key{e.one, e.wait})
	if !ok {
		text := numbered(e.query(), e.sheets, e.one)
		// Another program on the same session may have another text of it.
		known, _ = shapes.LoadOrStore(key{e.one, e.wait}, [2]string{fmt.Sprintf("quitrent_deduct_%08x", crc32.ChecksumIEEE([]byte(text))), text})
	}
	shape := known.([2]string)
	return shape[0], shape[1]
}

var shapes sync.Map

// AppendQuery implements schema.QueryAppender.
func (e *executed) AppendQuery(_ schema.QueryGen, b []byte) ([]byte, error) {
	b = append(append(b, e.name()...), '(')
	for i, s := range e.sheets {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.appendArguments(b, e.one)
	}
	return append(b, ')'), nil
}

// numbered has numbered parameters for the sheets: values of one row, or arrays of as
// many as there are.
func numbered(query string, sheets []*sheet, one bool) string {
	var b strings.Builder
	n := 0
	for i, text := range strings.Split(query, "?") {
		b.WriteString(text)
		switch {
		case i == len(sheets):
		case one:
			b.WriteString(sheets[i].row(n))
		default:
			b.WriteString(sheets[i].table(n))
		}
		if i < len(sheets) {
			n += len(sheets[i].columns)
		}
	}
	return b.String()
}

// row is a row of parameters that come after n others.
func (s *sheet) row(n int) string {
	values := make([]string, len(s.columns))
	for i, c := range s.columns {
		values[i] = "$" + strconv.Itoa(n+i+1) + "::" + c.kind
	}
	return "SELECT " + strings.Join(values, ", ")
}

// table is the rows of arrays that come after n others. An array of one is of a column
// that has the same in all rows.
func (s *sheet) table(n int) string {
	var values, arrays, names []string
	for i, c := range s.columns {
		array, name := "$"+strconv.Itoa(n+i+1)+"::"+c.kind+"[]", "c"+strconv.Itoa(i)
		values = append(values, "CASE WHEN cardinality("+array+") = 1 THEN ("+array+")[1] ELSE u."+name+" END AS "+name)
		arrays, names = append(arrays, array), append(names, name)
	}
	table := "SELECT " + strings.Join(values, ", ") + " FROM unnest(" + strings.Join(arrays, ", ") + ") AS u (" + strings.Join(names, ", ") + ")"
	if s.found {
		table = "SELECT * FROM (" + table + ") AS t WHERE t.c0 = t.c0 || ''" // see appendArrays
	}
	return table
}

// appendArguments appends the values of a sheet of one row, or its columns as arrays.
func (s *sheet) appendArguments(b []byte, one bool) []byte {
	s.tell()
	for i, c := range s.columns {
		if i > 0 {
			b = append(b, ',')
		}
		if one {
			b = appendLiteral(b, c.raw, c.null, false)
			continue
		}
		b = append(b, "'{"...)
		switch {
		case s.rows == 0:
		case c.varied:
			b = append(b, c.array[:len(c.array)-1]...)
		default:
			b = appendElement(b, c.raw, c.null)
		}
		b = append(b, "}'"...)
	}
	return b
}
