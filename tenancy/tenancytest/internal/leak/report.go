package leak

import (
	"reflect"
	"slices"
	"strings"

	"github.com/uptrace/bun/schema"

	"github.com/quitrent/quitrent/tenancy/owned"
)

// libraryPrefixes are those of this library's own tables, whose isolation is tested
// where they are.
var libraryPrefixes = []string{"tenancy_", "credits_", "authn_", "billing_", "throttle_", "quitrent_"}

// take sorts the models and reports those that should have been registered.
func (k *kit) take(models []any) (ok bool) {
	k.t.Helper()
	k.exempt, k.examples = map[string]bool{}, map[reflect.Type]reflect.Value{}
	registered := map[reflect.Type]owned.Table{}
	for _, tab := range k.tables.Registered() {
		if typ := reflect.TypeOf(tab.Model); typ != nil && typ.Kind() == reflect.Pointer {
			registered[typ.Elem()] = tab
		}
	}
	for _, m := range models {
		if name, is := m.(Exempt); is {
			k.exempt[strings.ToLower(string(name))] = true
		}
	}
	ok = true
	for _, m := range models {
		if _, is := m.(Exempt); is {
			continue
		}
		v := reflect.ValueOf(m)
		if !v.IsValid() || v.Kind() != reflect.Pointer || v.Type().Elem().Kind() != reflect.Struct {
			k.t.Errorf("%T is no model: give a nil pointer, (*Site)(nil), or an example row, &Site{…}", m)
			ok = false
			continue
		}
		typ := v.Type().Elem()
		if !v.IsNil() {
			k.examples[typ] = v.Elem()
		}
		if _, is := registered[typ]; is {
			continue
		}
		st := k.db.Table(typ)
		if column := accountColumn(st, k.columns()); column != "" && !k.exempt[strings.ToLower(st.Name)] {
			k.t.Errorf("the model %s (table %s) has the account's column %s and is not registered, so every account would see all of its rows: "+
				"name it in the Tables of owned.Config, {Model: (*%s)(nil)}; or, if its rows belong to no account, pass tenancytest.Exempt(%q) to Run",
				typ, st.Name, column, typ.Name(), st.Name)
			continue
		}
		k.others = append(k.others, m)
	}
	return ok
}

// columns are the names by which an account's column is known.
func (k *kit) columns() []string {
	names := []string{owned.DefaultColumn}
	for _, tab := range k.tables.Registered() {
		if tab.User == "" && !slices.Contains(names, tab.Account) {
			names = append(names, tab.Account)
		}
	}
	return names
}

func accountColumn(st *schema.Table, names []string) string {
	for _, f := range st.Fields {
		if slices.Contains(names, strings.ToLower(f.Name)) || f.GoName == "AccountID" {
			return f.Name
		}
	}
	return ""
}

// report looks in the database for what the models do not tell.
func (k *kit) report() {
	k.t.Helper()
	registered, schemas := map[string]bool{}, []string{}
	for _, tab := range k.tables.Registered() {
		if typ := reflect.TypeOf(tab.Model); typ != nil && typ.Kind() == reflect.Pointer && typ.Elem().Kind() == reflect.Struct {
			name := k.db.Table(typ.Elem()).Name
			if schema, _, ok := strings.Cut(name, "."); ok {
				schemas = append(schemas, schema)
			}
			name = strings.ToLower(unqualified(name))
			registered[name] = true
			if !tab.SelfGuarded && tab.User == "" { // the library tests its own
				k.prefixes = slices.DeleteFunc(k.prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
			}
		}
	}
	with, err := k.tablesWith(k.columns(), schemas)
	if err != nil {
		k.t.Errorf("the catalog of the database can't be read: %v", err)
		return
	}
	for _, w := range with {
		if registered[strings.ToLower(w.Table)] || k.ignored(w.Table) {
			continue
		}
		k.t.Errorf("the table %s has the account's column %s and no registered model, so nothing keeps its rows to their account: "+
			"register a model of it in owned.Config; or, if its rows belong to no account, pass tenancytest.Exempt(%q) to Run", w.Table, w.Column, w.Table)
	}
	var names []string
	for name := range registered {
		names = append(names, name)
	}
	views, err := k.viewsOn(names)
	if err != nil {
		k.t.Errorf("the catalog of the database can't be read: %v", err)
		return
	}
	for _, v := range views {
		if !k.ignored(v.Name) {
			k.t.Errorf("the view %s shows the rows of %s of every account: read the table through Tables.For instead; "+
				"or, if nothing reads the view for an account, pass tenancytest.Exempt(%q) to Run", v.Name, v.Table, v.Name)
		}
	}
}

func (k *kit) ignored(name string) bool {
	name = strings.ToLower(name)
	return k.exempt[name] || slices.ContainsFunc(k.prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}
