package leak

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// guest is a table that is not under attack and has to hold rows for the subjects'
// foreign keys: the accounts themselves, people, what belongs to nobody.
type guest struct {
	table   string
	catalog catalog
	model   *schema.Table // of an example, if there is one
}

// madeRow is one row that was written into a guest.
type madeRow struct {
	table string
	where map[string]any
}

// guestRow returns the columns of a row of a table that holds what is fixed: the nth
// that is there, or else one that it writes.
func (k *kit) guestRow(table string, columns []string, fixed map[string]string, n int) ([]any, error) {
	g := k.guests[table]
	if g == nil {
		c, err := k.readCatalog(table)
		if err != nil {
			return nil, err
		}
		g = &guest{table: table, catalog: c}
		for _, m := range k.others {
			if st := k.schemaOf(m); strings.EqualFold(st.Name, table) {
				g.model = st
			}
		}
		k.guests[table] = g
	}
	rows, err := k.guestRows(g, columns, fixed)
	if err != nil {
		return nil, err
	}
	for i := len(rows) + 1; i <= n; i++ {
		if err := k.makeGuest(g, columns, fixed, i); err != nil {
			if len(rows) == 0 {
				return nil, err
			}
			break
		}
		if fixed := len(fixed); fixed == len(columns) {
			break // it is the only one
		}
	}
	if rows, err = k.guestRows(g, columns, fixed); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("no row of %s can be made up: pass an example of its model to Run", table)
	}
	return rows[(n-1)%len(rows)], nil
}

// guestRows are the first rows that hold what is fixed.
func (k *kit) guestRows(g *guest, columns []string, fixed map[string]string) ([][]any, error) {
	q := k.plain.NewSelect().TableExpr("?", bun.Ident(g.table)).Limit(deleted)
	for _, c := range columns {
		q = q.ColumnExpr("?", bun.Ident(c)).OrderExpr("?", bun.Ident(c))
	}
	for _, c := range slices.Sorted(maps.Keys(fixed)) {
		q = q.Where("? = ?", bun.Ident(c), bun.Safe("'"+fixed[c]+"'"))
	}
	rows, err := q.Rows(k.ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out [][]any
	for rows.Next() {
		row, ptrs := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			ptrs[i] = &row[i]
		}
		if err := rows.Scan(ptrs...); err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// makeGuest writes row n with the columns that it can't do without.
func (k *kit) makeGuest(g *guest, columns []string, fixed map[string]string, n int) error {
	values := map[string]any{}
	if g.model != nil {
		if err := k.modelValues(g, n, values); err != nil {
			return err
		}
	}
	for _, c := range g.catalog.columns {
		_, set := values[c.Name]
		if !set && (c.NotNull && !c.Filled || contains(columns, c.Name)) {
			values[c.Name] = wanted{sql: c.Type, n: n, mark: keyMark}.text()
		}
	}
	for c, v := range fixed {
		values[c] = v
	}
	for _, f := range g.catalog.foreigns {
		if _, needed := values[f.from[0]]; !needed || strings.EqualFold(f.parent, g.table) {
			continue
		}
		inner := map[string]string{}
		for i, from := range f.from {
			if v, ok := fixed[from]; ok {
				inner[f.to[i]] = v
			}
		}
		parent, err := k.guestRow(f.parent, f.to, inner, n)
		if err != nil {
			return err
		}
		for i, from := range f.from {
			values[from] = parent[i]
		}
	}
	names := slices.Sorted(maps.Keys(values))
	idents, literals := make([]bun.Ident, len(names)), make([]any, len(names))
	for i, name := range names {
		idents[i], literals[i] = bun.Ident(name), values[name]
	}
	const portable = "INSERT INTO ? (?) VALUES (?) ON CONFLICT DO NOTHING"
	const assigned = "INSERT INTO ? (?) OVERRIDING SYSTEM VALUE VALUES (?) ON CONFLICT DO NOTHING"
	q := k.plain.NewRaw(portable, bun.Ident(g.table), bun.List(idents), bun.List(literals))
	if k.postgres() {
		q = k.plain.NewRaw(assigned, bun.Ident(g.table), bun.List(idents), bun.List(literals))
	}
	res, err := q.Exec(k.ctx)
	if err != nil {
		return err
	}
	if made, _ := res.RowsAffected(); made == 1 {
		where := map[string]any{}
		for _, c := range columns {
			where[c] = values[c]
		}
		k.made = append(k.made, madeRow{g.table, where})
	}
	return nil
}

// modelValues are those of the example that the host gave for a guest.
func (k *kit) modelValues(g *guest, n int, values map[string]any) error {
	example, ok := k.examples[g.model.Type]
	if !ok {
		return nil
	}
	for _, f := range g.model.Fields {
		if f.HasZeroValue(example) {
			continue
		}
		row := copyOf(example.Addr().Interface())
		if n > first && g.catalog.isUnique(f.Name) {
			vary(f.Value(k.structOf(row)), wanted{sql: g.catalog.column(f.Name).Type, n: n, mark: keyMark})
		}
		values[f.Name] = k.literal(f, row)
	}
	return nil
}

func (k *kit) removeGuests() {
	for _, m := range slices.Backward(k.made) {
		q := k.plain.NewDelete().TableExpr("?", bun.Ident(m.table))
		for _, c := range slices.Sorted(maps.Keys(m.where)) {
			q = q.Where("? = ?", bun.Ident(c), m.where[c])
		}
		if _, err := q.Exec(k.ctx); err != nil {
			k.t.Logf("%s: a row made up stays: %v", m.table, err)
		}
	}
	k.made = nil
}
