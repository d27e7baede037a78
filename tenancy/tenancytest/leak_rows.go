package tenancytest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

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
	k.ada = side{id: ada, mark: adaMark, ctx: Context(k.t, tenancy.Scope{Account: ada})}
	k.eve = side{id: eve, mark: eveMark, ctx: Context(k.t, tenancy.Scope{Account: eve})}
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

// seed writes the rows of a subject. Those after the first may be refused: a table
// may hold one row an account.
func (k *kit) seed(s *subject) error {
	for _, side := range k.sides() {
		s.rows[side.id] = map[int]any{}
		for _, n := range []int{first, second, third, fourth, deleted} {
			if n == deleted && s.schema.SoftDeleteField == nil || side == &k.eve && (n == third || n == fourth) {
				continue
			}
			var (
				row  any
				err  error
				done bool
			)
			for _, varied := range []bool{true, false} {
				if row, err = k.row(s, side, n, varied); err == nil {
					done, err = k.insert(k.plain, row)
				}
				if done || n == first && varied && err == nil {
					break
				}
			}
			switch {
			case done:
				s.rows[side.id][n] = row
			case n == first && err == nil:
				return errors.New("a row is there already")
			case n == first:
				return err
			}
		}
	}
	for _, side := range k.sides() {
		s.drafts[side.id] = map[int]any{}
		for _, n := range []int{third, fourth, unborn} {
			if s.rows[side.id][n] != nil {
				continue
			}
			row, err := k.row(s, side, n, true)
			if err != nil {
				return err
			}
			// What the key of Ada's is made of may be an example's.
			for _, f := range s.schema.Fields {
				if theirs := s.rows[k.ada.id][n]; theirs != nil && s.catalog.isUnique(f.Name) && !s.catalog.isForeign(f.Name) && f != s.account {
					detached(f.Value(k.structOf(row)), f.Value(k.structOf(theirs)))
				}
			}
			s.drafts[side.id][n] = row
		}
	}
	return nil
}

// insert writes a row past the guard and reports whether it was new.
func (k *kit) insert(conn bun.IConn, row any) (bool, error) {
	var n int64
	err := k.past(conn, func(conn bun.IConn) error {
		res, err := k.plain.NewInsert().Model(row).On("CONFLICT DO NOTHING").Conn(conn).Exec(k.ctx)
		if err == nil {
			n, err = res.RowsAffected()
		}
		return err
	})
	return n == 1, err
}

// row makes row n of a side up. Without varied, the example's values stay even in
// keys.
func (k *kit) row(s *subject, side *side, n int, varied bool) (any, error) {
	ptr := reflect.New(s.schema.Type)
	row := ptr.Elem()
	for _, f := range s.schema.Fields {
		if f == s.account || f == s.schema.SoftDeleteField || f.AutoIncrement && !f.IsPK {
			continue
		}
		key := s.catalog.isUnique(f.Name)
		w := wanted{sql: s.catalog.column(f.Name).Type, n: n, mark: side.mark}
		if key {
			w.mark = keyMark
		}
		if s.example.IsValid() && !f.HasZeroValue(s.example) {
			detached(f.Value(row), f.Value(s.example))
			if key && varied && n > first {
				vary(f.Value(row), w)
			}
			continue
		}
		if (f.NullZero || f.IsPtr) && !key && !s.catalog.column(f.Name).NotNull {
			continue // "ended_at" and its like: the row is alive
		}
		w.fill(f.Value(row))
	}
	if n == deleted {
		f := s.schema.SoftDeleteField
		if err := s.schema.UpdateSoftDeleteField(f.Value(row), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
			return nil, err
		}
	}
	for _, ref := range s.catalog.foreigns {
		if err := k.refer(s, side, n, ref, row); err != nil {
			return nil, fmt.Errorf("the parent in %s: %w", ref.parent, err)
		}
	}
	if err := s.account.ScanValue(row, string(side.id)); err != nil {
		return nil, err
	}
	return ptr.Interface(), nil
}

// refer points the columns of a foreign key to a row of the parent.
func (k *kit) refer(s *subject, side *side, n int, ref foreign, row reflect.Value) error {
	set := func(i int, value any) error {
		f := s.schema.LookupField(ref.from[i])
		if f == nil || f == s.account || s.account.Name == ref.from[i] {
			return nil
		}
		return assign(f, row, value)
	}
	parent := k.subject(ref.parent)
	switch {
	case parent == s: // to itself
		for i := range ref.from {
			if f := s.schema.LookupField(ref.to[i]); f != nil {
				if err := set(i, f.Value(row).Interface()); err != nil {
					return err
				}
			}
		}
		return nil
	case parent != nil:
		theirs := parent.rows[side.id][n]
		if theirs == nil {
			theirs = parent.rows[side.id][first]
		}
		if theirs == nil {
			return errors.New("there is none")
		}
		for i := range ref.from {
			if f := parent.schema.LookupField(ref.to[i]); f != nil {
				if err := set(i, f.Value(reflect.ValueOf(theirs).Elem()).Interface()); err != nil {
					return err
				}
			}
		}
		return nil
	}
	fixed := map[string]string{}
	for i, from := range ref.from {
		if strings.EqualFold(from, s.account.Name) {
			fixed[ref.to[i]] = string(side.id)
		}
	}
	values, err := k.guestRow(ref.parent, ref.to, fixed, n)
	if err != nil {
		return err
	}
	for i := range ref.from {
		if err := set(i, values[i]); err != nil {
			return err
		}
	}
	return nil
}

// room finds out which drafts of Eve's the database would take beside her rows.
func (k *kit) room(s *subject) {
	for _, n := range []int{third, fourth} {
		_ = k.undone(func(tx bun.Tx) error {
			for _, free := range s.free {
				if _, err := k.insert(tx, copyOf(s.drafts[k.eve.id][free])); err != nil {
					return err
				}
			}
			done, err := k.insert(tx, copyOf(s.drafts[k.eve.id][n]))
			if done && err == nil && s.rows[k.ada.id][n] != nil {
				s.free = append(s.free, n)
			}
			return err
		})
	}
}

// probe finds out what the database lets anybody do to the subject's rows: what it
// refuses to all needs no attack.
func (k *kit) probe(s *subject) {
	k.room(s)
	for _, u := range s.catalog.uniques {
		target, ok := u.target()
		if !ok {
			continue
		}
		_ = k.undone(func(tx bun.Tx) error { // of one that leaves out this row, say
			return k.past(tx, func(conn bun.IConn) error {
				res, err := k.plain.NewInsert().Model(copyOf(s.rows[k.eve.id][first])).On("CONFLICT ? DO NOTHING", target).Conn(conn).Exec(k.ctx)
				if err == nil {
					if n, err := res.RowsAffected(); n == 0 && err == nil {
						s.targets = append(s.targets, target)
					}
				}
				return err
			})
		})
	}
	for _, f := range append([]*schema.Field{nil}, s.schema.DataFields...) {
		column, value := s.account.SQLName, s.account.SQLName
		if f != nil {
			col := s.catalog.column(f.Name)
			if f == s.schema.SoftDeleteField || s.catalog.isUnique(f.Name) || s.catalog.isForeign(f.Name) || f.SkipUpdate() {
				continue
			}
			probe := reflect.New(s.schema.Type)
			wanted{sql: col.Type, n: 8, mark: "c"}.fill(f.Value(probe.Elem()))
			column, value = f.SQLName, schema.Safe(k.literal(f, probe.Interface()))
			if mine := s.rows[k.ada.id][first]; value == schema.Safe(k.literal(f, mine)) {
				continue
			}
		}
		err := k.undone(func(tx bun.Tx) error {
			return k.past(tx, func(conn bun.IConn) error {
				_, err := k.plain.NewRaw("UPDATE ? SET ? = ? WHERE ? = ?", bun.Ident(s.schema.Name), column, value, s.account.SQLName,
					k.literal(s.account, s.rows[k.ada.id][first])).Conn(conn).Exec(k.ctx)
				return err
			})
		})
		if err != nil {
			continue
		}
		s.updatable = true
		if f != nil {
			s.payload, s.value = f, bun.Safe(value)
			break
		}
	}
	err := k.undone(func(tx bun.Tx) error { return k.clear(tx, s, &k.ada) })
	if s.deletable = err == nil; !s.deletable {
		k.t.Logf("%s: nobody can delete its rows (%v): deletes are not tried, writes in transactions alone", s, err)
	}
	if !s.updatable {
		k.t.Logf("%s: nobody can update its rows: updates and upserts are not tried", s)
	}
}

var errUndo = errors.New("undo")

// undone runs fn in a transaction past the guard that is rolled back.
func (k *kit) undone(fn func(tx bun.Tx) error) (err error) {
	end := k.plain.RunInTx(k.ctx, nil, func(_ context.Context, tx bun.Tx) error {
		err = fn(tx)
		return errUndo
	})
	if !errors.Is(end, errUndo) {
		return end
	}
	return err
}

// past runs fn on a connection that shows the rows of all accounts.
func (k *kit) past(conn bun.IConn, fn func(conn bun.IConn) error) error {
	if !k.secured {
		return fn(conn)
	}
	if _, pool := conn.(*bun.DB); pool {
		return k.plain.RunInTx(k.ctx, nil, func(_ context.Context, tx bun.Tx) error { return k.past(tx, fn) })
	}
	const set = "SELECT set_config('quitrent.across', ?, TRUE)"
	if _, err := k.plain.NewRaw(set, "on").Conn(conn).Exec(k.ctx); err != nil {
		return err
	}
	if err := fn(conn); err != nil {
		return err
	}
	_, err := k.plain.NewRaw(set, "").Conn(conn).Exec(k.ctx)
	return err
}

// clear deletes a side's rows of a subject, and those of its children first.
func (k *kit) clear(conn bun.IConn, s *subject, side *side) error {
	for i := len(k.subjects) - 1; k.subjects[i] != s; i-- {
		if k.descends(k.subjects[i], s) {
			if err := k.delete(conn, k.subjects[i], side); err != nil {
				return err
			}
		}
	}
	return k.delete(conn, s, side)
}

// clearChildren deletes the rows that hold those of a subject, of both sides.
func (k *kit) clearChildren(conn bun.IConn, s *subject) error {
	for i := len(k.subjects) - 1; k.subjects[i] != s; i-- {
		for _, side := range k.sides() {
			if k.descends(k.subjects[i], s) {
				if err := k.delete(conn, k.subjects[i], side); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (k *kit) descends(child, from *subject) bool {
	for _, f := range child.catalog.foreigns {
		if p := k.subject(f.parent); p != nil && p != child && (p == from || k.descends(p, from)) {
			return true
		}
	}
	return false
}

func (k *kit) delete(conn bun.IConn, s *subject, side *side) error {
	return k.past(conn, func(conn bun.IConn) error {
		_, err := k.plain.NewRaw("DELETE FROM ? WHERE ? = ?", bun.Ident(s.schema.Name), s.account.SQLName, bun.Safe("'"+string(side.id)+"'")).Conn(conn).Exec(k.ctx)
		return err
	})
}

// restore brings the rows back to what seed has written.
func (k *kit) restore() error {
	return k.plain.RunInTx(k.ctx, nil, func(_ context.Context, tx bun.Tx) error {
		if err := k.deleteAll(tx); err != nil {
			return err
		}
		for _, s := range k.subjects {
			for _, side := range k.sides() {
				for _, n := range []int{first, second, third, fourth, deleted} {
					if row := s.rows[side.id][n]; row != nil {
						if _, err := k.insert(tx, copyOf(row)); err != nil {
							return err
						}
					}
				}
			}
		}
		return nil
	})
}

func (k *kit) deleteAll(conn bun.IConn) error {
	for i := len(k.subjects) - 1; i >= 0; i-- {
		for _, side := range k.sides() {
			if err := k.delete(conn, k.subjects[i], side); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove deletes what the kit wrote, table by table, as far as the database lets it.
func (k *kit) remove() {
	for i := len(k.subjects) - 1; i >= 0; i-- {
		for _, side := range k.sides() {
			if side.id == "" {
				continue
			}
			if err := k.delete(k.plain, k.subjects[i], side); err != nil {
				k.t.Logf("%s: the rows made up stay: %v", k.subjects[i], err)
			}
		}
	}
	k.removeGuests()
}

func copyOf(row any) any {
	v := reflect.New(reflect.TypeOf(row).Elem())
	v.Elem().Set(reflect.ValueOf(row).Elem())
	return v.Interface()
}
