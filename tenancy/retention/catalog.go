package retention

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/schema"

	"github.com/quitrent/quitrent/tenancy/owned"
)

// column is one of a table, as the database describes it.
type column struct {
	TableName string
	Name      string
	Type      string // as declared, in lower case
	Category  string // of the type, on PostgreSQL
	Nullable  bool
	JSON      bool // also where it is kept as text
}

// table is a registered one with what the database says of it.
type table struct {
	owned.Table
	name    string
	schema  *schema.Table
	columns []column
}

func isPostgres(db bun.IDB) bool { return db.Dialect().Name() == dialect.PG }

// catalog reads the columns of every table that a statement finds without naming a
// schema, by the table's name in lower case.
func catalog(ctx context.Context, db bun.IDB) (map[string][]column, error) {
	var (
		rows []column
		err  error
	)
	if isPostgres(db) {
		err = db.NewRaw(`SELECT c.relname AS table_name, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
			t.typcategory::text AS category, NOT a.attnotnull AS nullable
			FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
			JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
			JOIN pg_type AS t ON t.oid = a.atttypid
			WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND pg_table_is_visible(c.oid)
			AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
			ORDER BY c.relname, a.attnum`).Scan(ctx, &rows)
	} else {
		err = db.NewRaw(`SELECT m.name AS table_name, p.name, p.type, '' AS category, p."notnull" = 0 AND p.pk = 0 AS nullable
			FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS p
			WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY m.name, p.cid`).Scan(ctx, &rows)
	}
	if err != nil {
		return nil, err
	}
	out := map[string][]column{}
	for _, c := range rows {
		c.Type = strings.ToLower(c.Type)
		name := strings.ToLower(c.TableName)
		out[name] = append(out[name], c)
	}
	return out, nil
}

// belongsBy is the column that says whose the rows are.
func (t table) belongsBy() string {
	if t.User != "" {
		return t.User
	}
	return t.Account
}

// check says what the registry has wrong about a table.
func (t table) check(postgres bool) (wrong []string) {
	for _, name := range slices.Concat([]string{t.belongsBy()}, t.Personal, t.Secret) {
		if !has(t.columns, name) {
			wrong = append(wrong, fmt.Sprintf("%s has no column %s", t.name, name))
		}
	}
	for _, c := range t.personal() {
		switch {
		case slices.ContainsFunc(t.schema.PKs, func(f *schema.Field) bool { return strings.EqualFold(f.Name, c.Name) }):
			wrong = append(wrong, fmt.Sprintf("%s.%s is part of the key and can't be blanked", t.name, c.Name))
		case c.blank(postgres) == "":
			wrong = append(wrong, fmt.Sprintf("%s.%s of type %s has no neutral value: let it be NULL", t.name, c.Name, c.Type))
		}
	}
	return wrong
}

// personal are the columns to blank.
func (t table) personal() (out []column) {
	for _, c := range t.columns {
		if slices.ContainsFunc(t.Personal, func(name string) bool { return strings.EqualFold(name, c.Name) }) {
			out = append(out, c)
		}
	}
	return out
}

func has(columns []column, name string) bool {
	return slices.ContainsFunc(columns, func(c column) bool { return strings.EqualFold(c.Name, name) })
}

var rawMessage = reflect.TypeFor[json.RawMessage]()

// isJSON reports that the model says of a column that it holds JSON.
func isJSON(f *schema.Field) bool {
	return f.IndirectType == rawMessage || strings.HasPrefix(strings.ToLower(f.CreateTableSQLType), "json")
}
