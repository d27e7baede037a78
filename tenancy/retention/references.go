package retention

import (
	"context"
	"fmt"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// reference is one pair of columns of a foreign key.
type reference struct {
	Name    string
	Child   string
	Parent  string
	Ordinal int
	From    string
	To      string // "" for the parent's primary key, on SQLite
	// Cascades says that the row goes with its parent's, which else it keeps.
	Cascades bool
}

// references are the foreign keys that do not set anything, by the parent's name in
// lower case.
func references(ctx context.Context, db bun.IDB) (map[string][]reference, error) {
	var (
		rows []reference
		err  error
	)
	if isPostgres(db) {
		err = db.NewRaw(`SELECT k.oid::text AS name, c.relname AS child, p.relname AS parent, u.n - 1 AS ordinal, fa.attname AS "from", ta.attname AS "to", k.confdeltype = 'c' AS cascades
			FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_class AS p ON p.oid = k.confrelid
			CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS u (f, t, n)
			JOIN pg_attribute AS fa ON fa.attrelid = k.conrelid AND fa.attnum = u.f
			JOIN pg_attribute AS ta ON ta.attrelid = k.confrelid AND ta.attnum = u.t
			WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confdeltype IN ('a', 'r', 'c')
			AND pg_table_is_visible(c.oid) AND pg_table_is_visible(p.oid)
			ORDER BY k.oid, u.n`).Scan(ctx, &rows)
	} else {
		err = db.NewRaw(`SELECT CAST(f.id AS TEXT) AS name, m.name AS child, f."table" AS parent, f.seq AS ordinal, f."from", COALESCE(f."to", '') AS "to", f.on_delete = 'CASCADE' AS cascades
			FROM sqlite_master AS m JOIN pragma_foreign_key_list(m.name) AS f
			WHERE m.type = 'table' AND f.on_delete IN ('NO ACTION', 'RESTRICT', 'CASCADE') ORDER BY m.name, f.id, f.seq`).Scan(ctx, &rows)
	}
	if err != nil {
		return nil, err
	}
	out := map[string][]reference{}
	for _, r := range rows {
		out[strings.ToLower(r.Parent)] = append(out[strings.ToLower(r.Parent)], r)
	}
	return out, nil
}

// referrers is the condition that no other row refers to the row t, of another table
// or of its own.
type referrers struct {
	table table
	refs  []reference
}

// AppendQuery implements schema.QueryAppender.
func (r referrers) AppendQuery(gen schema.QueryGen, b []byte) ([]byte, error) {
	for _, same := range r.keys() {
		b = gen.AppendQuery(b, " AND NOT EXISTS (SELECT 1 FROM ? AS c WHERE ", bun.Ident(same[0].Child))
		for i, ref := range same {
			if i > 0 {
				b = append(b, " AND "...)
			}
			to := ref.To
			if to == "" && ref.Ordinal < len(r.table.schema.PKs) {
				to = r.table.schema.PKs[ref.Ordinal].Name
			}
			b = gen.AppendQuery(b, "c.? = t.?", bun.Ident(ref.From), bun.Ident(to))
		}
		if strings.EqualFold(same[0].Child, r.table.name) { // a row that refers to itself goes with itself
			b = gen.AppendQuery(b, " AND NOT (?)", itself(r.table.schema.PKs))
		}
		b = append(b, ')')
	}
	return b, nil
}

// keys are the foreign keys that keep the row, each with its columns.
func (r referrers) keys() (out [][]reference) {
	for _, ref := range r.refs {
		if ref.Cascades {
			continue
		}
		n := len(out)
		if n > 0 && out[n-1][0].Name == ref.Name && out[n-1][0].Child == ref.Child {
			out[n-1] = append(out[n-1], ref)
			continue
		}
		out = append(out, []reference{ref})
	}
	return out
}

// astray says which foreign keys an erasure could not get past, or, worse, would take
// what is to be kept along.
func astray(tables []table, refs map[string][]reference) (wrong []string) {
	order := map[string]int{}
	for i, t := range tables {
		order[strings.ToLower(t.name)] = i
	}
	for _, parent := range tables {
		for _, ref := range refs[strings.ToLower(parent.name)] {
			i, registered := order[strings.ToLower(ref.Child)]
			if !registered || ref.Ordinal > 0 || parent.Keep {
				continue
			}
			switch child := tables[i]; {
			case child.Keep:
				wrong = append(wrong, fmt.Sprintf("%s is kept and refers to %s, which is not: keep both, or refer to it by no foreign key", child.name, parent.name))
			case !ref.Cascades && i < order[strings.ToLower(parent.name)]:
				wrong = append(wrong, fmt.Sprintf("%s refers to %s and is registered before it", child.name, parent.name))
			}
		}
	}
	return wrong
}
