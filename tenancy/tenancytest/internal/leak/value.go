package leak

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/quitrent/quitrent/tenancy"
)

// wanted is what a made-up value has to be.
type wanted struct {
	sql  string // the column's type in the database
	n    int    // the number of the row
	mark string // begins a text: of the account, or "k" for a key that both have
}

func (w wanted) is(types ...string) bool {
	for _, t := range types {
		if strings.Contains(strings.ToLower(w.sql), t) {
			return true
		}
	}
	return false
}

// shift keeps the values of the two accounts apart where they may differ.
func (w wanted) shift() int {
	if w.mark == eveMark {
		return 10 + w.n
	}
	return w.n
}

func (w wanted) time() time.Time {
	return time.Date(2026, 1, 1, w.shift(), 0, 0, 0, time.UTC)
}

func (w wanted) uuid() string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", w.shift()) }

func (w wanted) text() string {
	switch {
	case w.is("uuid"):
		return w.uuid()
	case w.is("json"):
		return `{"leak": ` + strconv.Itoa(w.shift()) + `}`
	case w.is("bool"):
		return "true"
	case w.is("timestamp", "datetime"):
		return w.time().Format(time.RFC3339)
	case w.is("date"):
		return w.time().AddDate(0, 0, w.shift()).Format(time.DateOnly)
	case w.is("time"):
		return w.time().Format(time.TimeOnly)
	case w.is("int", "numeric", "decimal", "real", "double", "float"):
		return strconv.Itoa(w.shift())
	}
	return w.mark + strconv.Itoa(w.n)
}

var (
	timeType = reflect.TypeFor[time.Time]()
	rawJSON  = reflect.TypeFor[json.RawMessage]()
)

// fill gives v a made-up value, or leaves it as it is where none can be guessed.
func (w wanted) fill(v reflect.Value) {
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		w.fill(v.Elem())
		return
	case v.Type() == timeType:
		v.Set(reflect.ValueOf(w.time()))
		return
	case v.Type() == rawJSON:
		v.SetBytes([]byte(`{"leak": ` + strconv.Itoa(w.shift()) + `}`))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(w.text())
	case reflect.Bool:
		v.SetBool(w.shift()%2 == 1)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(w.shift()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(w.shift()))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(w.shift()))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(w.text()))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	case reflect.Array: // a UUID, perhaps
		for i := range v.Len() {
			if e := v.Index(i); e.Kind() == reflect.Uint8 && i == v.Len()-1 {
				e.SetUint(uint64(w.shift()))
			}
		}
	case reflect.Struct:
		w.fillNullable(v)
	}
}

// fillNullable fills what has the form of sql.NullString and its kin.
func (w wanted) fillNullable(v reflect.Value) {
	if valid := v.FieldByName("Valid"); valid.IsValid() && valid.Kind() == reflect.Bool && valid.CanSet() && v.NumField() == 2 {
		w.fill(v.Field(0))
		valid.SetBool(true)
	} else if v.NumField() == 1 && v.Type().Field(0).Anonymous && v.Field(0).Type() == timeType {
		v.Field(0).Set(reflect.ValueOf(w.time())) // bun.NullTime
	}
}

// vary makes an example's value the one of row n, in a key that rows must not share.
func vary(v reflect.Value, w wanted) {
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.String:
		if !w.is("uuid") {
			v.SetString(v.String() + strconv.Itoa(w.n))
			return
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(v.Int() + int64(w.n-1))
		return
	}
	w.fill(v)
}

// detached makes dst share nothing with src that a later change could reach.
func detached(dst, src reflect.Value) {
	if src.Kind() == reflect.Pointer && !src.IsNil() {
		dst.Set(reflect.New(src.Type().Elem()))
		dst.Elem().Set(src.Elem())
		return
	}
	dst.Set(src)
}

// assign gives the field of row a value that another column has.
func assign(f *schema.Field, row reflect.Value, value any) error {
	if valuer, ok := value.(driver.Valuer); ok {
		v, err := valuer.Value()
		if err != nil {
			return err
		}
		value = v
	}
	v := reflect.ValueOf(value)
	for v.IsValid() && v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if !v.IsValid() {
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		value = v.String()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		value = v.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		value = int64(v.Uint())
	case reflect.Array: // without a Valuer of its own
		if dst := f.Value(row); dst.Type() == v.Type() {
			dst.Set(v)
			return nil
		}
	}
	return f.ScanValue(row, value)
}

const (
	adaMark = "a"
	eveMark = "b"
	keyMark = "k"
)

// accountIDs are two ids that the accounts' columns can hold, of all the types.
func accountIDs(types []string, goTypes []reflect.Type) (ada, eve tenancy.AccountID, ok bool) {
	uuid, number := false, false
	for _, t := range types {
		w := wanted{sql: t}
		uuid = uuid || w.is("uuid")
		number = number || w.is("int", "numeric", "decimal")
	}
	for _, t := range goTypes {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch {
		case t.Kind() == reflect.Array && t.Len() == 16:
			uuid = true
		case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
			number = true
		}
	}
	switch {
	case uuid && number:
		return "", "", false
	case uuid:
		return "7e57ab1e-0000-4000-8000-00000000000a", "7e57ab1e-0000-4000-8000-00000000000b", true
	case number:
		return "2000000011", "2000000012", true
	}
	return "acc_leak_a", "acc_leak_b", true
}

// literal is a field of a row as SQL.
func (k *kit) literal(f *schema.Field, row any) bun.Safe {
	return bun.Safe(f.AppendValue(schema.NewQueryGen(k.db.Dialect()), nil, reflect.ValueOf(row).Elem()))
}
