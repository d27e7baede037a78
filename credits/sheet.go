package credits

import (
	"strconv"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/schema"
)

// sheet is any number of rows as one part of a statement: INSERT INTO … SHEET, or WITH
// d (…) AS (SHEET) UPDATE …. On PostgreSQL it is an array a column, which it reads
// several times as fast as rows of values; SQLite has no arrays.
type sheet struct {
	arrays  bool
	types   []string // of the columns, in PostgreSQL's words
	columns [][]byte
	values  []byte
	column  int
	rows    int
}

func newSheet(db bun.IDB, types ...string) *sheet {
	s := &sheet{arrays: isPostgres(db), types: types}
	if s.arrays {
		s.columns = make([][]byte, len(types))
	}
	return s
}

func isPostgres(db bun.IDB) bool { return db.Dialect().Name() == dialect.PG }

// begin opens the next value and returns where to append it.
func (s *sheet) begin() []byte {
	if s.arrays {
		b := s.columns[s.column]
		if s.rows > 0 {
			b = append(b, ',')
		}
		return b
	}
	b := s.values
	switch {
	case s.column > 0:
		return append(b, ',')
	case s.rows > 0:
		b = append(b, ',')
	}
	return append(b, '(')
}

func (s *sheet) end(b []byte) {
	last := s.column == len(s.types)-1
	if s.arrays {
		s.columns[s.column] = b
	} else {
		if last {
			b = append(b, ')')
		}
		s.values = b
	}
	s.column++
	if last {
		s.column = 0
		s.rows++
	}
}

func (s *sheet) text(v string) {
	b := s.begin()
	if !s.arrays {
		b = append(b, '\'')
		b = appendQuoted(b, v)
		s.end(append(b, '\''))
		return
	}
	b = append(b, '"')
	for i := range len(v) {
		switch c := v[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\'':
			b = append(b, '\'', '\'')
		default:
			b = append(b, c)
		}
	}
	s.end(append(b, '"'))
}

// appendQuoted appends what goes between the quotes of a text literal.
func appendQuoted(b []byte, v string) []byte {
	for i := range len(v) {
		if v[i] == '\'' {
			b = append(b, '\'')
		}
		b = append(b, v[i])
	}
	return b
}

func (s *sheet) int(v int64) { s.end(strconv.AppendInt(s.begin(), v, 10)) }

// number is int, with NULL for zero.
func (s *sheet) number(v int64) {
	if v == 0 {
		s.null()
		return
	}
	s.int(v)
}

func (s *sheet) null() { s.end(append(s.begin(), "NULL"...)) }

// time is the time in the form that bun gives it; NULL when it is zero.
func (s *sheet) time(v time.Time) {
	if v.IsZero() {
		s.null()
		return
	}
	quote := byte('\'')
	if s.arrays {
		quote = '"'
	}
	b := append(s.begin(), quote)
	b = v.UTC().AppendFormat(b, "2006-01-02 15:04:05.999999-07:00")
	s.end(append(b, quote))
}

// AppendQuery implements schema.QueryAppender.
func (s *sheet) AppendQuery(_ schema.QueryGen, b []byte) ([]byte, error) {
	if !s.arrays {
		b = append(b, "VALUES "...)
		return append(b, s.values...), nil
	}
	b = append(b, "SELECT * FROM unnest("...)
	for i, c := range s.columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, "'{"...)
		b = append(b, c...)
		b = append(b, "}'::"...)
		b = append(b, s.types[i]...)
		b = append(b, "[]"...)
	}
	return append(b, ')'), nil
}
