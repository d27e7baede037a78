package credits

import (
	"bytes"
	"strconv"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/schema"
)

// sheet is any number of rows as one part of a statement: INSERT INTO … SHEET, or WITH
// d (…) AS (SHEET) UPDATE …. On PostgreSQL it is an array a column, which it reads
// several times as fast as rows of values, and a plain value where a column has the same
// in all rows. SQLite has no arrays.
type sheet struct {
	arrays  bool
	found   bool // rows of a table are found by it
	columns []column
	values  []byte
	at      int // the column that comes next
	rows    int

	raw []byte // of the value that is being put in
}

// column is one of a sheet on PostgreSQL.
type column struct {
	kind   string // in PostgreSQL's words
	raw    []byte // of its first value
	null   bool   // its first value is
	varied bool   // its values differ, and array has them
	array  []byte
}

func newSheet(db bun.IDB, kinds ...string) *sheet {
	s := &sheet{arrays: isPostgres(db), columns: make([]column, len(kinds))}
	for i, k := range kinds {
		s.columns[i].kind = k
	}
	return s
}

// newLookup is a sheet that finds rows of a table by their key. Its first column is a text
// of that key, and one that is differs where there are several rows.
func newLookup(db bun.IDB, kinds ...string) *sheet {
	s := newSheet(db, kinds...)
	s.found = true
	return s
}

func isPostgres(db bun.IDB) bool { return db.Dialect().Name() == dialect.PG }

func (s *sheet) text(v string) {
	s.raw = append(s.raw[:0], v...)
	s.put(false)
}

func (s *sheet) int(v int64) {
	s.raw = strconv.AppendInt(s.raw[:0], v, 10)
	s.put(false)
}

// number is int, with NULL for zero.
func (s *sheet) number(v int64) {
	s.raw = strconv.AppendInt(s.raw[:0], v, 10)
	s.put(v == 0)
}

// time is the time in the form that bun gives it; NULL when it is zero.
func (s *sheet) time(v time.Time) {
	s.raw = v.UTC().AppendFormat(s.raw[:0], "2006-01-02 15:04:05.999999-07:00")
	s.put(v.IsZero())
}

// put takes raw, or NULL, for the next value.
func (s *sheet) put(null bool) {
	if s.arrays {
		s.columns[s.at].put(s.raw, null, s.rows)
	} else {
		s.value(null)
	}
	if s.at++; s.at == len(s.columns) {
		s.at = 0
		s.rows++
	}
}

func (s *sheet) value(null bool) {
	switch {
	case s.at > 0:
		s.values = append(s.values, ',')
	case s.rows > 0:
		s.values = append(s.values, ",("...)
	default:
		s.values = append(s.values, '(')
	}
	s.values = appendLiteral(s.values, s.raw, null, s.columns[s.at].kind == "bigint")
	if s.at == len(s.columns)-1 {
		s.values = append(s.values, ')')
	}
}

func (c *column) put(raw []byte, null bool, before int) {
	switch {
	case before == 0:
		c.raw, c.null = append(c.raw[:0], raw...), null
		return
	case !c.varied && c.null == null && bytes.Equal(c.raw, raw):
		return
	case !c.varied:
		c.vary(before)
	}
	c.array = append(appendElement(c.array, raw, null), ',')
}

// vary writes the values that have been the same so far.
func (c *column) vary(n int) {
	c.varied = true
	for range n {
		c.array = append(appendElement(c.array, c.raw, c.null), ',')
	}
}

// AppendQuery implements schema.QueryAppender.
func (s *sheet) AppendQuery(_ schema.QueryGen, b []byte) ([]byte, error) {
	if !s.arrays {
		b = append(b, "VALUES "...)
		return append(b, s.values...), nil
	}
	s.tell()
	b = append(b, "SELECT "...)
	for i, c := range s.columns {
		if i > 0 {
			b = append(b, ',')
		}
		if c.varied {
			b = strconv.AppendInt(append(b, 'c'), int64(i), 10)
			continue
		}
		b = appendLiteral(b, c.raw, c.null || s.rows == 0, false)
		b = append(append(b, "::"...), c.kind...)
	}
	if s.rows == 0 {
		return append(b, " WHERE false"...), nil
	}
	if !s.varied() {
		return b, nil
	}
	return s.appendArrays(b), nil
}

// tell makes an array of a column where otherwise nothing would say how many rows there
// are.
func (s *sheet) tell() {
	if s.rows > 1 && !s.varied() {
		s.columns[0].vary(s.rows)
	}
}

func (s *sheet) varied() bool {
	for _, c := range s.columns {
		if c.varied {
			return true
		}
	}
	return false
}

func (s *sheet) appendArrays(b []byte) []byte {
	var names, text []byte
	b = append(b, " FROM unnest("...)
	for i, c := range s.columns {
		if !c.varied {
			continue
		}
		if names != nil {
			b, names = append(b, ','), append(names, ',')
		}
		b = append(b, "'{"...)
		b = append(b, c.array[:len(c.array)-1]...)
		b = append(b, "}'::"...)
		b = append(append(b, c.kind...), "[]"...)
		names = strconv.AppendInt(append(names, 'c'), int64(i), 10)
		if text == nil && c.kind == "text" {
			text = strconv.AppendInt([]byte{'c'}, int64(i), 10)
		}
	}
	b = append(append(append(b, ") AS u ("...), names...), ')')
	if s.found && text != nil {
		// PostgreSQL expects one row of this, so it looks every one of them up by the key
		// and never reads the table through for the sake of a hundred.
		b = append(append(append(append(b, " WHERE "...), text...), " = "...), text...)
		b = append(b, " || ''"...)
	}
	return b
}

// appendLiteral appends a value, as a number where it is bare.
func appendLiteral(b, raw []byte, null, bare bool) []byte {
	switch {
	case null:
		return append(b, "NULL"...)
	case bare:
		return append(b, raw...)
	}
	b = append(b, '\'')
	for _, c := range raw {
		if c == '\'' {
			b = append(b, '\'')
		}
		b = append(b, c)
	}
	return append(b, '\'')
}

// appendElement appends a value of an array that is within a text literal.
func appendElement(b, raw []byte, null bool) []byte {
	if null {
		return append(b, "NULL"...)
	}
	b = append(b, '"')
	for _, c := range raw {
		switch c {
		case '"', '\\':
			b = append(b, '\\')
		case '\'':
			b = append(b, '\'')
		}
		b = append(b, c)
	}
	return append(b, '"')
}
