package retention

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy/owned"
)

// Complete compares the registry with the database: every table with a column named
// like that of an account or a person is registered, a lookup or exempt, and every
// column that the registry names is there; and that no foreign key stands in the way
// of an erasure, or lets it take rows along that are kept. It returns ErrIncomplete
// with all that is wrong. Export and Erase ask the same first. For a host's tests, and
// for its start: a table that was added and not registered is found before it is
// missed.
func (k *Keeper) Complete(ctx context.Context, db bun.IDB) error {
	_, err := k.resolve(ctx, db)
	return err
}

// names is what the registry says, by name: the tables with rows of accounts or
// persons, and the columns by which such rows are recognised.
type names struct {
	tables  map[string]bool
	columns map[string]bool
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
		for i, c := range r.columns {
			f := st.FieldMap[c.Name]
			r.columns[i].JSON = strings.HasPrefix(c.Type, "json") || f != nil && isJSON(f)
		}
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
	refs, err := references(ctx, db)
	if err != nil {
		return nil, err
	}
	wrong = append(wrong, astray(tables, refs)...)
	if len(wrong) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrIncomplete, strings.Join(wrong, "; "))
	}
	return tables, nil
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
				wrong = append(wrong, fmt.Sprintf("the table %s has a column %s and is not registered: name it in owned.Config.Tables, where those of this library come from Tables of each package, or in Config.Exempt if nothing in it is an account's or a person's", c.TableName, c.Name))
				break
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}
