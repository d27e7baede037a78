package retention

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// field is a column as an export writes it.
type field struct {
	name string // in quotes, with a colon
	sort sort
}

type sort uint8

const (
	plain sort = iota
	inJSON
	inBytes
	boolean
	number
	instant
	day
)

// newField goes by the column's type.
func newField(c column) field {
	f := field{name: string(appendText(nil, c.Name)) + ":"}
	typ := c.Type
	is := func(prefixes ...string) bool {
		for _, p := range prefixes {
			if strings.HasPrefix(typ, p) && !strings.HasSuffix(typ, "]") {
				return true
			}
		}
		return false
	}
	switch {
	case c.JSON:
		f.sort = inJSON
	case is("bytea", "blob") || typ == "":
		f.sort = inBytes
	case is("bool"):
		f.sort = boolean
	case is("numeric", "decimal"):
		f.sort = number
	case is("timestamp", "datetime"):
		f.sort = instant
	case typ == "date":
		f.sort = day
	}
	return f
}

// appendRow appends one line.
func appendRow(b []byte, fields []field, values []any) (_ []byte, err error) {
	b = append(b, '{')
	for i, f := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, f.name...)
		if b, err = f.append(b, values[i]); err != nil {
			return nil, err
		}
	}
	return append(b, '}', '\n'), nil
}

func (f field) append(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int64:
		if f.sort == boolean {
			return strconv.AppendBool(b, v != 0), nil
		}
		return strconv.AppendInt(b, v, 10), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return appendText(b, strconv.FormatFloat(v, 'g', -1, 64)), nil
		}
		return strconv.AppendFloat(b, v, 'g', -1, 64), nil
	case time.Time:
		return f.time(b, v), nil
	case []byte:
		if f.sort == inBytes {
			b = append(b, '"')
			b = base64.StdEncoding.AppendEncode(b, v)
			return append(b, '"'), nil
		}
		return f.text(b, string(v)), nil
	case string:
		return f.text(b, v), nil
	}
	return nil, fmt.Errorf("retention: the driver hands over a %T", v)
}

const micros = "2006-01-02T15:04:05.000000Z"

func (f field) time(b []byte, t time.Time) []byte {
	if f.sort == day {
		return t.AppendFormat(append(b, '"'), `2006-01-02"`)
	}
	return t.UTC().AppendFormat(append(b, '"'), micros+`"`)
}

// text is what a driver hands over as text, which need not be text.
func (f field) text(b []byte, s string) []byte {
	switch f.sort {
	case inJSON:
		var out bytes.Buffer
		if json.Compact(&out, []byte(s)) == nil {
			return append(b, out.Bytes()...)
		}
	case number:
		if json.Valid([]byte(s)) && strings.Trim(s, "0123456789.eE+-") == "" {
			return append(b, s...)
		}
	case instant:
		for _, layout := range []string{"2006-01-02 15:04:05.999999999-07:00", time.RFC3339Nano, "2006-01-02 15:04:05.999999999"} {
			if t, err := time.Parse(layout, s); err == nil {
				return f.time(b, t)
			}
		}
	}
	return appendText(b, s)
}

// appendText keeps <, > and & readable: an export is no web page.
func appendText(b []byte, s string) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always can be
	return append(b, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}
