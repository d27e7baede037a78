package leak

import (
	"database/sql"
	"fmt"
	"reflect"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

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
