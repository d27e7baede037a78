package leak

import (
	"slices"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
)

// catalog is what the database itself says of a table.
type catalog struct {
	columns  []column
	uniques  []unique
	foreigns []foreign
}

type column struct {
	Name    string
	Type    string
	NotNull bool
	Filled  bool // by the database, when a row leaves it out
}

// unique is a unique key. An expression in it has the column "".
type unique struct {
	name    string
	columns []string
	partial bool
	where   string // of a partial one, on PostgreSQL
}

type foreign struct {
	name     string
	parent   string
	from, to []string
}

// target is a unique key as ON CONFLICT names it.
func (u unique) target() (bun.Safe, bool) {
	if contains(u.columns, "") {
		return "", false
	}
	quoted := make([]string, len(u.columns))
	for i, c := range u.columns {
		quoted[i] = `"` + c + `"`
	}
	t := "(" + strings.Join(quoted, ", ") + ")"
	switch {
	case u.partial && u.where == "":
		return "", true // SQLite takes the conflict without its key
	case u.partial:
		t += " WHERE " + u.where
	}
	return bun.Safe(t), true
}

func (c *catalog) column(name string) column {
	for _, col := range c.columns {
		if strings.EqualFold(col.Name, name) {
			return col
		}
	}
	return column{Name: name}
}

func (c *catalog) isUnique(name string) bool {
	return slices.ContainsFunc(c.uniques, func(u unique) bool { return contains(u.columns, name) })
}

func (c *catalog) isForeign(name string) bool {
	return slices.ContainsFunc(c.foreigns, func(f foreign) bool { return contains(f.from, name) })
}

func contains(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

func (k *kit) postgres() bool { return k.db.Dialect().Name() == dialect.PG }

func (k *kit) readCatalog(table string) (c catalog, err error) {
	var (
		keys []struct {
			Name    string
			Column  string
			Partial bool
			Where   string
		}
		refs []struct {
			Name   string
			Parent string
			From   string
			To     string
		}
	)
	if k.postgres() {
		regclass := string(k.plain.QueryGen().AppendIdent(nil, table))
		err = k.plain.NewRaw(`SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
			(a.atthasdef OR a.attidentity <> '') AS filled
			FROM pg_attribute AS a WHERE a.attrelid = to_regclass(?) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
			regclass).Scan(k.ctx, &c.columns)
		if err == nil {
			err = k.plain.NewRaw(`SELECT c.relname AS name, COALESCE(a.attname, '') AS "column", i.indpred IS NOT NULL AS partial,
				COALESCE(pg_get_expr(i.indpred, i.indrelid), '') AS "where"
				FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
				CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS u (n, pos)
				LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.n AND u.n > 0
				WHERE i.indrelid = to_regclass(?) AND i.indisunique AND u.pos <= i.indnkeyatts ORDER BY c.relname, u.pos`,
				regclass).Scan(k.ctx, &keys)
		}
		if err == nil {
			err = k.plain.NewRaw(`SELECT k.conname AS name, p.relname AS parent, fa.attname AS "from", ta.attname AS "to"
				FROM pg_constraint AS k JOIN pg_class AS p ON p.oid = k.confrelid
				CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS u (f, t, pos)
				JOIN pg_attribute AS fa ON fa.attrelid = k.conrelid AND fa.attnum = u.f
				JOIN pg_attribute AS ta ON ta.attrelid = k.confrelid AND ta.attnum = u.t
				WHERE k.conrelid = to_regclass(?) AND k.contype = 'f' AND k.conparentid = 0 ORDER BY k.conname, u.pos`,
				regclass).Scan(k.ctx, &refs)
		}
	} else {
		err = k.plain.NewRaw(`SELECT name, type, "notnull" <> 0 OR pk > 0 AS not_null, dflt_value IS NOT NULL OR hidden <> 0 AS filled
			FROM pragma_table_xinfo(?)`, table).Scan(k.ctx, &c.columns)
		if err == nil {
			err = k.plain.NewRaw(`SELECT l.name AS name, COALESCE(i.name, '') AS "column", l.partial <> 0 AS partial, '' AS "where"
				FROM pragma_index_list(?) AS l JOIN pragma_index_info(l.name) AS i WHERE l."unique" = 1
				UNION ALL SELECT '', name, 0, '' FROM pragma_table_xinfo(?) WHERE pk > 0
					AND NOT EXISTS (SELECT 1 FROM pragma_index_list(?) WHERE origin = 'pk')`, table, table, table).Scan(k.ctx, &keys)
		}
		if err == nil {
			err = k.plain.NewRaw(`SELECT CAST(id AS TEXT) AS name, "table" AS parent, "from", COALESCE("to", '') AS "to"
				FROM pragma_foreign_key_list(?) ORDER BY id, seq`, table).Scan(k.ctx, &refs)
		}
	}
	if err != nil {
		return c, err
	}
	for _, row := range keys {
		if n := len(c.uniques); n == 0 || c.uniques[n-1].name != row.Name {
			c.uniques = append(c.uniques, unique{name: row.Name, partial: row.Partial, where: row.Where})
		}
		u := &c.uniques[len(c.uniques)-1]
		u.columns = append(u.columns, row.Column)
	}
	for _, row := range refs {
		if n := len(c.foreigns); n == 0 || c.foreigns[n-1].name != row.Name {
			c.foreigns = append(c.foreigns, foreign{name: row.Name, parent: row.Parent})
		}
		f := &c.foreigns[len(c.foreigns)-1]
		f.from = append(f.from, row.From)
		if row.To != "" {
			f.to = append(f.to, row.To)
		}
	}
	for i := range c.foreigns {
		if f := &c.foreigns[i]; len(f.to) == 0 { // the parent's primary key, in SQLite
			err = k.plain.NewRaw(`SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk`, f.parent).Scan(k.ctx, &f.to)
			if err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

type tableWith struct {
	Table  string
	Column string
}

// tablesWith are the tables that have one of the columns, where search_path finds
// them or in one of the schemas.
func (k *kit) tablesWith(columns, schemas []string) (found []tableWith, err error) {
	if k.postgres() {
		err = k.plain.NewRaw(`SELECT c.relname AS "table", a.attname AS "column"
			FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid JOIN pg_namespace AS n ON n.oid = c.relnamespace
			WHERE c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition AND (pg_table_is_visible(c.oid) OR n.nspname IN (?))
				AND n.nspname NOT IN ('pg_catalog', 'information_schema')
				AND NOT a.attisdropped AND lower(a.attname) IN (?) ORDER BY 1, 2`, bun.List(schemas), bun.List(columns)).Scan(k.ctx, &found)
		return found, err
	}
	err = k.plain.NewRaw(`SELECT m.name AS "table", p.name AS "column"
		FROM sqlite_master AS m JOIN pragma_table_xinfo(m.name) AS p
		WHERE m.type = 'table' AND lower(p.name) IN (?) ORDER BY 1, 2`, bun.List(columns)).Scan(k.ctx, &found)
	return found, err
}

type view struct {
	Name  string
	Table string
}

// viewsOn are the views that read one of the tables, whose names are in lower case.
func (k *kit) viewsOn(tables []string) (found []view, err error) {
	if len(tables) == 0 {
		return nil, nil
	}
	if k.postgres() {
		err = k.plain.NewRaw(`SELECT DISTINCT v.relname AS name, t.relname AS "table"
			FROM pg_rewrite AS r JOIN pg_class AS v ON v.oid = r.ev_class
			JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
			JOIN pg_class AS t ON t.oid = d.refobjid
			WHERE v.relkind IN ('v', 'm') AND t.oid <> v.oid AND lower(t.relname) IN (?) ORDER BY 1, 2`, bun.List(tables)).Scan(k.ctx, &found)
		return found, err
	}
	var views []struct {
		Name string
		SQL  string `bun:"sql"`
	}
	if err = k.plain.NewRaw(`SELECT name, sql FROM sqlite_master WHERE type = 'view' ORDER BY name`).Scan(k.ctx, &views); err != nil {
		return nil, err
	}
	slices.Sort(tables)
	for _, v := range views {
		words := strings.FieldsFunc(strings.ToLower(v.SQL), func(r rune) bool {
			return r != '_' && r < 0x80 && (r < '0' || r > '9') && (r < 'a' || r > 'z')
		})
		for _, name := range tables {
			if slices.Contains(words, name) {
				found = append(found, view{v.Name, name})
			}
		}
	}
	return found, nil
}
