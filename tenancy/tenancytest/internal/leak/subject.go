package leak

import (
	"errors"
	"reflect"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// subject is a registered table under attack, with a few rows in both accounts: the
// first and the second, two that Ada alone has, and one that is soft-deleted.
type subject struct {
	model   any // a nil pointer
	schema  *schema.Table
	account *schema.Field
	example reflect.Value
	catalog catalog
	rows    map[tenancy.AccountID]map[int]any // that are there
	drafts  map[tenancy.AccountID]map[int]any // that are not
	free    []int                             // the drafts of Eve's that there is room for

	payload   *schema.Field // what an update can change; nil: nothing but keys
	value     bun.Safe      // what it is changed to
	targets   []bun.Safe    // the unique keys that an upsert of Eve's first row meets
	updatable bool
	deletable bool
}

const (
	first, second, third, fourth = 1, 2, 3, 4 // Eve lacks the last two
	deleted                      = 5
	unborn                       = 7 // is nowhere
)

func (s *subject) String() string { return s.schema.Type.Name() + " (" + s.schema.Name + ")" }

// open finds the subjects, the two accounts and rows for both.
func (k *kit) open() bool {
	k.t.Helper()
	fail := func(format string, args ...any) bool {
		k.t.Helper()
		k.t.Errorf(format, args...)
		return false
	}
	var types []string
	var goTypes []reflect.Type
	for _, tab := range k.tables.Registered() {
		if tab.SelfGuarded || tab.User != "" {
			continue
		}
		s := &subject{
			model:  tab.Model,
			schema: k.db.Table(reflect.TypeOf(tab.Model).Elem()),
			rows:   map[tenancy.AccountID]map[int]any{},
			drafts: map[tenancy.AccountID]map[int]any{},
		}
		if k.subject(unqualified(s.schema.Name)) != nil {
			k.t.Logf("%s is another model of a table, which is attacked through the first", s)
			continue
		}
		s.account, s.example = s.schema.PKs[0], k.examples[s.schema.Type]
		var err error
		if s.catalog, err = k.readCatalog(s.schema.Name); err != nil {
			return fail("the catalog of the database can't be read: %v", err)
		}
		types = append(types, s.catalog.column(s.account.Name).Type)
		goTypes = append(goTypes, s.account.IndirectType)
		k.subjects = append(k.subjects, s)
	}
	if len(k.subjects) == 0 {
		return fail("no table is registered, so nothing is kept apart: name the models in owned.Config")
	}
	k.sort()
	ada, eve, ok := accountIDs(types, goTypes)
	if !ok {
		return fail("some accounts' columns hold a UUID and others a number: no account id fits both")
	}
	k.ada = side{id: ada, mark: adaMark, ctx: k.enter(ada)}
	k.eve = side{id: eve, mark: eveMark, ctx: k.enter(eve)}
	k.guests, k.restoring = map[string]*guest{}, true
	_, err := k.tables.For(k.eve.ctx, k.db).NewSelect().Model(k.subjects[0].model).Exists(k.eve.ctx)
	k.secured = errors.Is(err, owned.ErrNeedsTransaction)
	for _, s := range k.subjects {
		if err := k.seed(s); err != nil {
			k.remove()
			return fail("%s: no row can be made up: %v; give Run an example row, &%s{…}, with values that the table accepts", s, err, s.schema.Type.Name())
		}
	}
	for _, s := range k.subjects {
		k.probe(s)
		k.restoring = k.restoring && s.deletable
	}
	start, err := k.snapshot(k.plain)
	if err != nil {
		return fail("the rows can't be read: %v", err)
	}
	k.start = start
	return true
}

// sort puts parents before their children.
func (k *kit) sort() {
	var sorted []*subject
	seen := map[*subject]bool{}
	var visit func(s *subject)
	visit = func(s *subject) {
		if seen[s] {
			return
		}
		seen[s] = true
		for _, f := range s.catalog.foreigns {
			if p := k.subject(f.parent); p != nil {
				visit(p)
			}
		}
		sorted = append(sorted, s)
	}
	for _, s := range k.subjects {
		visit(s)
	}
	k.subjects = sorted
}

// unqualified is the name of a table without its schema.
func unqualified(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

func (k *kit) subject(table string) *subject {
	for _, s := range k.subjects {
		if strings.EqualFold(unqualified(s.schema.Name), table) {
			return s
		}
	}
	return nil
}
