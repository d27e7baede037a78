package tenancytest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/quitrent/quitrent/tenancy/owned"
)

// kind is what an attack must come to.
type kind int

const (
	reads   kind = iota // succeeds and shows Eve's own rows
	refused             // is refused by package owned, and nothing is written
	writes              // succeeds and changes rows of Eve's alone
)

// attack is one way of asking for the rows of another account.
type attack struct {
	verb    string
	kind    kind
	on      func(s *shot) bool // the tables that it can be tried on; nil: all
	prepare func(s *shot) error
	// do returns what was wrong, or in a refused attack the refusal.
	do func(s *shot) error
	// perhaps says that the database may refuse what is asked for, of anybody.
	perhaps bool
}

func attacks() []attack {
	var all []attack
	for _, list := range [][]attack{readAttacks, relationAttacks, pageAttacks, insertAttacks, upsertAttacks, updateAttacks, moveAttacks, deleteAttacks, rawAttacks, plainAttacks, contextAttacks, pastAttacks} {
		all = append(all, list...)
	}
	return all
}

// shot is one attack on one table in one place.
type shot struct {
	*kit
	*subject
	ctx context.Context // Eve's
	db  *owned.DB       // Eve's
	idb bun.IDB         // what db was made of
}

// try runs an attack everywhere: on the pool, in a transaction of the host's and in
// one that RunInTx begins.
func (k *kit) try(s *subject, a attack) {
	k.t.Helper()
	rows := k.tables.For(k.eve.ctx, k.db)
	if !k.secured && (a.kind != writes || k.restoring) {
		k.fire(a, "on the pool", &shot{kit: k, subject: s, ctx: k.eve.ctx, db: rows, idb: k.db})
	}

	tx, err := k.db.BeginTx(k.eve.ctx, nil)
	if err != nil {
		k.t.Errorf("no transaction can be begun: %v", err)
		return
	}
	k.fire(a, "in a transaction of the host's", &shot{kit: k, subject: s, ctx: k.eve.ctx, db: k.tables.For(k.eve.ctx, tx), idb: tx})
	_ = tx.Rollback()

	err = rows.RunInTx(k.eve.ctx, func(ctx context.Context, db *owned.DB) error {
		k.t.Helper()
		k.fire(a, "in RunInTx", &shot{kit: k, subject: s, ctx: ctx, db: db, idb: db.IDB()})
		return errUndo
	})
	if !errors.Is(err, errUndo) {
		k.t.Errorf("RunInTx returned %v instead of its function's error", err)
	}
}

// fire runs an attack and looks at what it came to.
func (k *kit) fire(a attack, where string, s *shot) {
	k.t.Helper()
	if a.on != nil && !a.on(s) {
		return
	}
	fail := func(format string, args ...any) {
		k.t.Helper()
		k.t.Errorf("%s: %s, %s: %s", s.subject, a.verb, where, fmt.Sprintf(format, args...))
	}
	if a.prepare != nil {
		if err := a.prepare(s); err != nil {
			fail("it can't be prepared: %v", err)
			return
		}
	}
	before := k.start
	if a.prepare != nil {
		var err error
		if before, err = k.snapshot(s.idb); err != nil {
			fail("the rows can't be read: %v", err)
			return
		}
	}
	err := doing(a, s)
	switch {
	case a.kind == refused && err == nil:
		fail("it was not refused")
	case a.kind == refused && errors.As(err, new(hole)):
		fail("%v", err)
	case a.kind == refused && !isRefusal(err):
		fail("it was not refused, but failed with: %v", err)
	case a.kind != refused && err != nil && a.perhaps && !isRefusal(err) && !errors.As(err, new(hole)):
		k.t.Logf("%s: %s, %s, is not tried: %v", s.subject, a.verb, where, err)
		return
	case a.kind != refused && err != nil:
		fail("%v", err)
	}
	if a.kind == reads {
		return
	}
	after, err := k.snapshot(s.idb)
	if err != nil {
		fail("afterwards nothing can be read on the same transaction: %v", err)
		return
	}
	except := string(k.eve.id)
	if a.kind == refused {
		except = ""
	}
	if d := before.changes(after, except); d != "" {
		what := "rows of another account were changed"
		if a.kind == refused {
			what = "it wrote nevertheless"
		}
		fail("%s:\n%s", what, d)
	}
	if _, pool := s.idb.(*bun.DB); pool && k.start.changes(after, "") != "" {
		err := k.restore()
		if err == nil {
			k.start, err = k.snapshot(k.plain) // what was written into a third account stays
		}
		if err != nil {
			fail("the rows can't be restored: %v", err)
		}
	}
}

// doing runs an attack, which may panic as well as fail.
func doing(a attack, s *shot) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panicked: %v", p)
		}
	}()
	return a.do(s)
}

func isRefusal(err error) bool {
	for _, sentinel := range []error{owned.ErrUnscoped, owned.ErrForeign, owned.ErrNotRegistered} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

// hole is what was seen of another account, as opposed to a statement that failed.
type hole string

func (h hole) Error() string { return string(h) }

func holef(format string, args ...any) error { return hole(fmt.Sprintf(format, args...)) }

// slice is a pointer to an empty slice of the model.
func (s *shot) slice() any {
	return reflect.New(reflect.SliceOf(reflect.PointerTo(s.schema.Type))).Interface()
}

// sliceOf is a pointer to a slice of rows.
func (s *shot) sliceOf(rows ...any) any {
	v := reflect.New(reflect.SliceOf(reflect.PointerTo(s.schema.Type)))
	for _, row := range rows {
		v.Elem().Set(reflect.Append(v.Elem(), reflect.ValueOf(row)))
	}
	return v.Interface()
}

// hers is a copy of Ada's row n, as it is.
func (s *shot) hers(n int) any { return copyOf(s.rows[s.ada.id][n]) }

// mine is Eve's row with the number and the key of Ada's row n, without the account,
// there or not.
func (s *shot) mine(n int) any {
	if row := s.rows[s.eve.id][n]; row != nil {
		return s.unstamped(row)
	}
	return s.unstamped(s.drafts[s.eve.id][n])
}

// forged is a row of Ada's that is not there.
func (s *shot) forged() any { return copyOf(s.drafts[s.ada.id][unborn]) }

func (s *shot) unstamped(row any) any {
	row = copyOf(row)
	s.account.Value(reflect.ValueOf(row).Elem()).SetZero()
	return row
}

// accountIs is Ada's or Eve's id as a value of the account's column.
func (s *shot) accountIs(side side) bun.Safe { return s.literal(s.account, s.rows[side.id][first]) }

// live is how many rows Eve has that are not soft-deleted, all how many altogether.
func (s *shot) live() int64 {
	n := s.all()
	if s.rows[s.eve.id][deleted] != nil {
		n--
	}
	return n
}

func (s *shot) all() int64 { return int64(len(s.rows[s.eve.id])) }

// otherKeys are the columns of the primary key without the account.
func (s *shot) otherKeys() []*schema.Field { return s.schema.PKs[1:] }

// has reports whether Ada has row n and Eve lacks it.
func (s *shot) has(n int) bool { return s.rows[s.ada.id][n] != nil }

// saw checks the rows that a query returned.
func (s *shot) saw(dest any, err error, want int64) error {
	if err != nil {
		return err
	}
	if err := s.foreign(dest); err != nil {
		return err
	}
	if n := int64(reflect.Indirect(reflect.ValueOf(dest)).Len()); n != want {
		return holef("%d rows were seen, of %d that are the account's", n, want)
	}
	return nil
}

// counted checks a number that a query returned.
func counted(n int64, err error, want int64) error {
	if err != nil {
		return err
	}
	if n != want {
		return holef("%d rows were counted, of %d that are the account's", n, want)
	}
	return nil
}

// affected checks how many rows a statement wrote. Less than 0 is any number.
func affected(res sql.Result, err error, want int64) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if want >= 0 && n != want {
		return holef("%d rows were written, of %d that are the account's", n, want)
	}
	return nil
}

// foreign looks through what a query returned, relations and all, for rows of others.
func (k *kit) foreign(dest any) error {
	var found []string
	seen := map[any]bool{}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() && !seen[v.Interface()] {
				seen[v.Interface()] = true
				walk(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			for _, s := range k.subjects {
				if s.schema.Type != v.Type() {
					continue
				}
				row := v.Addr().Interface()
				if got, want := k.literal(s.account, row), k.literal(s.account, s.rows[k.eve.id][first]); got != want {
					found = append(found, fmt.Sprintf("a row of %s whose account is %s", s, got))
				}
			}
			if v.Type() == timeType {
				return
			}
			for i := range v.NumField() {
				if v.Type().Field(i).IsExported() {
					walk(v.Field(i))
				}
			}
		}
	}
	walk(reflect.ValueOf(dest))
	if len(found) > 0 {
		return hole("what belongs to another account was seen: " + strings.Join(found, "; "))
	}
	return nil
}

func (k *kit) schemaOf(model any) *schema.Table {
	return k.db.Table(reflect.TypeOf(model).Elem())
}

func (k *kit) structOf(row any) reflect.Value { return reflect.ValueOf(row).Elem() }
