package owned

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/schema"

	"github.com/quitrent/quitrent/tenancy"
)

// binding is what Tables knows of one database.
type binding struct {
	postgres    bool
	rowSecurity bool
	owner       bool // see BindOwner
	tables      []*table
	byType      map[reflect.Type]*table
	guarded     map[string]*table // by bare name; of several models of a table, the first
	columns     []string          // the accounts' columns, each once
	dbs         []*bun.DB
}

// table is a Table in one database.
type table struct {
	Table
	name        string
	schema      *schema.Table
	account     *schema.Field
	scopeGoesOn string // of the sub-select, behind scopeBegins and before the account
}

// The sub-select that stands for an owned table wherever it is read:
//
//	(SELECT * FROM "sites" WHERE "account_id" = 'acc_…')
const scopeBegins = "(SELECT * FROM "

// argument is the named argument that For binds, one for each column's name, so that
// work across accounts can compare the column with itself.
func argument(column string) string { return "quitrent_" + column }

func (b *binding) named(name string) *table { return b.guarded[bare(name)] }

// bare is a table's name without its schema, in lower case: what the guard knows it
// by, since search_path may leave the schema out.
func bare(name string) string { return strings.ToLower(name[strings.LastIndexByte(name, '.')+1:]) }

// Bind makes db keep the accounts apart: from then on every statement on it, and in
// every transaction begun on it, is refused where it names a registered table other
// than through For. Call it once for each *bun.DB, after the migrations and before
// the first request; it is not safe beside queries.
//
// It returns one error for everything it finds wrong: a model without its account's
// column, a key that does not begin with it in the model or in the database, a
// foreign key to a registered table that leaves the account out, and with
// Config.RowSecurity what Verify says about roles and policies.
func (t *Tables) Bind(ctx context.Context, db *bun.DB) error { return t.bindAs(ctx, db, false) }

// BindOwner is Bind for the role that owns the tables, which Config.RowSecurity asks
// to be another one than serves: for erasure, reports and whatever else goes across
// accounts. Without RowSecurity it is Bind.
func (t *Tables) BindOwner(ctx context.Context, db *bun.DB) error { return t.bindAs(ctx, db, true) }

func (t *Tables) bindAs(ctx context.Context, db *bun.DB, owner bool) error {
	owner = owner && t.cfg.RowSecurity
	b, _ := t.of(db)
	known := b != nil
	if !known {
		var err error
		if b, err = t.bind(db); err != nil {
			return err
		}
		b.owner = owner
	}
	if b.owner != owner {
		return errors.New("owned: the owner's database and the serving one share a dialect: give each pgdialect.New()")
	}
	if err := t.verify(ctx, db, b); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !known {
		for _, tab := range b.guarded {
			if strings.HasPrefix(string(tab.schema.SQLNameForSelects), scopeBegins) {
				return fmt.Errorf("owned: %s is bound already, by other Tables: one registry for a database, or each would stop the other's statements", tab.name)
			}
		}
		b.scope()
		t.bound[db.Dialect()] = b
	}
	if !slices.Contains(b.dbs, db) {
		b.dbs = append(b.dbs, db)
		db.AddQueryHook(guard{b}) //nolint:staticcheck // WithQueryHook leaves the handles unguarded that are around already
	}
	return nil
}

func (t *Tables) bind(db *bun.DB) (*binding, error) {
	b := &binding{
		rowSecurity: t.cfg.RowSecurity,
		byType:      map[reflect.Type]*table{},
		guarded:     map[string]*table{},
	}
	switch db.Dialect().Name() {
	case dialect.PG:
		b.postgres = true
	case dialect.SQLite:
		if t.cfg.RowSecurity {
			return nil, errors.New("owned: SQLite has no row-level security: leave Config.RowSecurity off")
		}
	default:
		return nil, fmt.Errorf("owned: %s is neither PostgreSQL nor SQLite", db.Dialect().Name())
	}
	var errs []error
	for _, tab := range slices.Backward(t.cfg.Tables) { // bun wants to see a link table before what it links
		if isModel(tab.Model) {
			db.RegisterModel(tab.Model)
		}
	}
	for _, tab := range t.cfg.Tables {
		bound, err := newTable(db, tab)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if b.byType[bound.schema.Type] != nil {
			errs = append(errs, fmt.Errorf("owned: %s is registered twice", bound.name))
			continue
		}
		b.tables = append(b.tables, bound)
		b.byType[bound.schema.Type] = bound
		if !bound.SelfGuarded && b.named(bound.name) == nil {
			b.guarded[bare(bound.name)] = bound
		}
		if !bound.SelfGuarded && !slices.Contains(b.columns, tab.Account) {
			b.columns = append(b.columns, tab.Account)
		}
	}
	return b, errors.Join(errs...)
}

func isModel(model any) bool {
	typ := reflect.TypeOf(model)
	return typ != nil && typ.Kind() == reflect.Pointer && typ.Elem().Kind() == reflect.Struct
}

func newTable(db *bun.DB, tab Table) (*table, error) {
	if !isModel(tab.Model) {
		return nil, fmt.Errorf("owned: a model is a nil pointer to a struct: (*Site)(nil), not %T", tab.Model)
	}
	st := db.Table(reflect.TypeOf(tab.Model).Elem())
	out := &table{Table: tab, name: st.Name, schema: st}
	if tab.User != "" {
		out.SelfGuarded = true
		if !st.HasField(tab.User) {
			return nil, fmt.Errorf("owned: %s has no column %s", st.Name, tab.User)
		}
		return out, nil
	}
	bad := func(what string) error {
		return fmt.Errorf("owned: %s: %s must begin with the account's column %s, so that no key reaches into another account", st.Name, what, tab.Account)
	}
	switch {
	case strings.Trim(tab.Account, "abcdefghijklmnopqrstuvwxyz0123456789_") != "":
		return nil, fmt.Errorf("owned: %s: the name of the account's column is made of a-z, 0-9 and _, not %q", st.Name, tab.Account)
	case !st.HasField(tab.Account):
		return nil, fmt.Errorf("owned: %s has no column %s: embed owned.Row first, or name it in Table.Account", st.Name, tab.Account)
	case len(st.PKs) == 0 || st.PKs[0].Name != tab.Account:
		return nil, bad("the primary key of the model")
	}
	for group, fields := range st.Unique {
		for i, f := range fields {
			if f.Name != tab.Account && (i == 0 || group == "") {
				return nil, bad("the unique key over " + f.Name + " in the model")
			}
		}
	}
	out.account = st.PKs[0]
	out.scopeGoesOn = string(st.SQLName) + " WHERE " + string(out.account.SQLName) + " = "
	return out, nil
}

// scope makes bun write the sub-select wherever it would write the table's name to
// read it: in Scan, Count, Exists, Rows, joins of relations and sub-queries.
func (b *binding) scope() {
	for _, t := range b.tables {
		if !t.SelfGuarded {
			t.schema.SQLNameForSelects = schema.Safe(t.subselect("?" + argument(t.Account)))
		}
	}
	// bun reads the link table of a many-to-many relation by the name it writes to.
	for _, t := range b.tables {
		for _, rel := range t.schema.Relations {
			if rel.M2MTable == nil {
				continue
			}
			if link := b.named(rel.M2MTable.Name); link != nil {
				rel.M2MTable = &schema.Table{Name: link.name, SQLName: link.schema.SQLNameForSelects, SQLAlias: link.schema.SQLAlias}
			}
		}
	}
}

func (t *table) subselect(account string) string {
	return scopeBegins + t.scopeGoesOn + account + ")"
}

// quote is an account's id as SQL: it is made of characters that need no escape.
func quote(id tenancy.AccountID) string { return "'" + string(id) + "'" }
