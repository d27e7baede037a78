package retention

import (
	"slices"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// blanks are the personal columns of a table whose rows are kept.
type blanks struct {
	columns  []column
	postgres bool
}

// assignments put a neutral value into each of them.
type assignments struct{ blanks }

// AppendQuery implements schema.QueryAppender.
func (a assignments) AppendQuery(gen schema.QueryGen, b []byte) ([]byte, error) {
	for i, c := range a.columns {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = gen.AppendQuery(b, "? = ?", bun.Ident(c.Name), bun.Safe(c.blank(a.postgres)))
	}
	return b, nil
}

// remains is the condition that one of them holds something else, so that a second
// erasure counts nothing. JSON has no equality on PostgreSQL: text is compared.
type remains struct{ blanks }

// AppendQuery implements schema.QueryAppender.
func (r remains) AppendQuery(gen schema.QueryGen, b []byte) ([]byte, error) {
	for i, c := range r.columns {
		if i > 0 {
			b = append(b, " OR "...)
		}
		if c.Nullable {
			b = gen.AppendQuery(b, "? IS NOT NULL", bun.Ident(c.Name))
			continue
		}
		b = gen.AppendQuery(b, "CAST(? AS TEXT) <> CAST(? AS TEXT)", bun.Ident(c.Name), bun.Safe(c.blank(r.postgres)))
	}
	return b, nil
}

// blank is the SQL of what stands in a column once it holds nothing personal, or "".
func (c column) blank(postgres bool) string {
	if c.Nullable {
		return "NULL"
	}
	value := c.neutral(postgres)
	if value != "" && postgres {
		return "CAST(" + value + " AS " + c.Type + ")"
	}
	return value
}

func (c column) neutral(postgres bool) string {
	is := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(c.Type, p) })
	}
	switch {
	case postgres && c.Category == "A":
		return "'{}'"
	case c.JSON:
		return "'null'"
	case is("uuid"):
		return "'00000000-0000-0000-0000-000000000000'"
	case is("bytea"):
		return "''"
	case is("blob"):
		return "x''"
	case is("bool"):
		return "FALSE"
	case is("timestamp", "datetime"):
		return "'1970-01-01 00:00:00+00:00'"
	case c.Type == "date":
		return "'1970-01-01'"
	case postgres && c.Category == "N", !postgres && is("int", "real", "doub", "floa", "num", "dec"):
		return "0"
	case postgres && c.Category == "S", !postgres && is("char", "text", "clob"):
		return "''"
	}
	return ""
}
