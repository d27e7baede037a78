package retention

import (
	"context"
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
}

// table is a registered one with what the database says of it.
type table struct {
	owned.Table
	name    string
	schema  *schema.Table
	columns []column
}

// names is what the registry says, by name: the tables with rows of accounts or
// persons, and the columns by which such rows are recognised.
type names struct {
	tables  map[string]bool
	columns map[string]bool
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

// resolve is the registry with the database's columns, parents before their children.
// It returns ErrIncomplete with everything that is wrong: nobody exports or erases a
// part and calls it the whole.
func (k *Keeper) resolve(ctx context.Context, db bun.IDB) ([]table, error) {
	all, err := catalog(ctx, db)
	if err != nil {
		return nil, err
	}
	var (
		tables []table
		wrong  []string
		known  = names{tables: map[string]bool{}, columns: map[string]bool{owned.DefaultColumn: true, "user_id": true}}
	)
	for _, t := range k.tables.Registered() {
		typ := reflect.TypeOf(t.Model)
		if typ == nil || typ.Kind() != reflect.Pointer || typ.Elem().Kind() != reflect.Struct {
			return nil, owned.ErrUnbound // Bind would have said what is wrong
		}
		st := db.Dialect().Tables().Get(typ.Elem())
		r := table{Table: t, name: st.Name, schema: st, columns: all[strings.ToLower(st.Name)]}
		tables = append(tables, r)
		known.tables[strings.ToLower(r.name)] = true
		known.columns[strings.ToLower(r.belongsBy())] = true
		wrong = append(wrong, r.check(isPostgres(db))...)
	}
	for _, l := range k.cfg.Lookups {
		known.tables[strings.ToLower(l.Name)] = true
		known.columns[strings.ToLower(l.Account)] = true
		if !has(all[strings.ToLower(l.Name)], l.Account) {
			wrong = append(wrong, fmt.Sprintf("the lookup table %s has no column %s", l.Name, l.Account))
		}
	}
	for _, name := range slices.Concat(exempt, k.cfg.Exempt) {
		known.tables[strings.ToLower(name)] = true
	}
	wrong = append(wrong, known.forgotten(all)...)
	if len(wrong) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrIncomplete, strings.Join(wrong, "; "))
	}
	return tables, nil
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

// forgotten are the tables that have a column of an account or a person and that the
// registry does not name.
func (n names) forgotten(all map[string][]column) (wrong []string) {
	for name, columns := range all {
		if n.tables[name] {
			continue
		}
		for _, c := range columns {
			if n.columns[strings.ToLower(c.Name)] {
				wrong = append(wrong, fmt.Sprintf("the table %s has a column %s and is not registered: name it in owned.Config.Tables, or in Config.Exempt if nothing in it is an account's or a person's", c.TableName, c.Name))
				break
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

func has(columns []column, name string) bool {
	return slices.ContainsFunc(columns, func(c column) bool { return strings.EqualFold(c.Name, name) })
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
	case is("json"):
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

// Complete compares the registry with the database: every table with a column named
// like that of an account or a person is registered, a lookup or exempt, and every
// column that the registry names is there. It returns ErrIncomplete with all that is
// missing. Export and Erase ask the same first. For a host's tests, and for its start:
// a table that was added and not registered is found before it is missed.
func (k *Keeper) Complete(ctx context.Context, db bun.IDB) error {
	_, err := k.resolve(ctx, db)
	return err
}
