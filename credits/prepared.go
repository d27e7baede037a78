package credits

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"sync"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
)

// prepared keeps the statements of swift deductions, so that PostgreSQL parses and plans
// them once: one for those that come alone, one for any number.
type prepared struct {
	mu         sync.Mutex
	statements map[shape]*sql.Stmt
	lost       map[*sql.DB]bool // a pooler loses them there
}

type shape struct {
	db  *sql.DB
	one bool
}

func (p *prepared) statement(ctx context.Context, s shape, query func() string) (*sql.Stmt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.statements[s]; known != nil {
		return known, nil
	}
	made, err := s.db.PrepareContext(ctx, query())
	if err != nil {
		return nil, err
	}
	if p.statements == nil {
		p.statements = map[shape]*sql.Stmt{}
	}
	p.statements[s] = made
	return made, nil
}

// usable reports that there can be prepared statements on db.
func (p *prepared) usable(db *sql.DB) bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.lost[db]
}

// failed forgets the statements of db, which may have grown old, and does without where
// one was not there or was there already: a pooler that gives every transaction another
// connection loses them so.
func (p *prepared) failed(db *sql.DB, err error) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for s, statement := range p.statements {
		if s.db == db {
			_ = statement.Close()
			delete(p.statements, s)
		}
	}
	switch tx.State(err) {
	case "26000", "42P05":
		if p.lost == nil {
			p.lost = map[*sql.DB]bool{}
		}
		p.lost[db] = true
	}
}

// query runs swiftly.
func (w writing) query(ctx context.Context, db *bun.DB, p *prepared) (*sql.Rows, error) {
	if p == nil {
		return db.QueryContext(ctx, swiftly, w.accounts, w.grants, w.entries) // sqltext: constant
	}
	sheets := []*sheet{w.accounts, w.grants, w.entries}
	one := true
	for _, s := range sheets {
		one = one && s.rows == 1
	}
	statement, err := p.statement(ctx, shape{db.DB, one}, func() string { return numbered(swiftly, sheets, one) })
	if err != nil {
		return nil, err
	}
	var args []any
	for _, s := range sheets {
		args = s.args(args, one)
	}
	return statement.QueryContext(ctx, args...)
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

// args appends the values of a sheet, of one row or as arrays.
func (s *sheet) args(to []any, one bool) []any {
	s.tell()
	for _, c := range s.columns {
		switch {
		case one && c.null:
			to = append(to, nil)
		case one:
			to = append(to, string(c.raw))
		case s.rows == 0:
			to = append(to, "{}")
		case c.varied:
			to = append(to, "{"+string(c.array[:len(c.array)-1])+"}")
		default:
			to = append(to, "{"+string(appendElement(nil, c.raw, c.null, true))+"}")
		}
	}
	return to
}
