package leak

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

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

func copyOf(row any) any {
	v := reflect.New(reflect.TypeOf(row).Elem())
	v.Elem().Set(reflect.ValueOf(row).Elem())
	for i := range v.Elem().NumField() { // an embedded *owned.Row is the copy's own
		if f := v.Elem().Field(i); v.Elem().Type().Field(i).Anonymous && f.Kind() == reflect.Pointer && f.CanSet() && !f.IsNil() {
			embedded := reflect.New(f.Type().Elem())
			embedded.Elem().Set(f.Elem())
			f.Set(embedded)
		}
	}
	return v.Interface()
}
