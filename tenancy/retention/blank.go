package retention

import "github.com/uptrace/bun"
import "github.com/uptrace/bun/schema"

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
