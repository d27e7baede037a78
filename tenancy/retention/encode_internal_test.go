package retention

import (
	"math"
	"testing"
	"time"
)

func TestEncode_AsTheColumnIsDeclared(t *testing.T) {
	at := time.Date(2026, 3, 1, 1, 2, 3, 4000, time.FixedZone("", 2*3600))
	for _, c := range []struct {
		typ   string
		json  bool
		value any
		want  string
	}{
		{"text", false, nil, `null`},
		{"bigint", false, int64(math.MaxInt64), `9223372036854775807`},
		{"boolean", false, int64(1), `true`}, // SQLite has no other
		{"boolean", false, false, `false`},
		{"double precision", false, 1e300, `1e+300`},
		{"double precision", false, math.Inf(-1), `"-Inf"`},
		{"numeric(20,2)", false, "12345678901234567.80", `12345678901234567.80`},
		{"numeric", false, "NaN", `"NaN"`},
		{"numeric[]", false, "{1,2}", `"{1,2}"`},
		{"timestamp with time zone", false, at, `"2026-02-28T23:02:03.000004Z"`},
		{"timestamp", false, "2026-03-01 01:02:03.000004+02:00", `"2026-02-28T23:02:03.000004Z"`},
		{"timestamp", false, "2026-03-01 01:02:03", `"2026-03-01T01:02:03.000000Z"`},
		{"timestamp", false, "yesterday", `"yesterday"`},
		{"date", false, at, `"2026-03-01"`},
		{"bytea", false, []byte{0, 255}, `"AP8="`},
		{"text", false, []byte("a"), `"a"`},
		{"text", true, "{\"a\":\n 1}", `{"a":1}`},
		{"jsonb", true, []byte(`[]`), `[]`},
		{"text", true, "no JSON", `"no JSON"`},
		{"text", false, "<\"\\\u2028\n\x00\xff>", "\"<\\\"\\\\\\u2028\\n\\u0000\\ufffd>\""},
	} {
		got, err := newField(column{Name: "c", Type: c.typ, JSON: c.json}).append(nil, c.value)
		if string(got) != c.want || err != nil {
			t.Errorf("%s, %v: %s, %v; want %s", c.typ, c.value, got, err, c.want)
		}
	}
	if _, err := newField(column{Name: "c", Type: "point"}).append(nil, struct{}{}); err == nil {
		t.Error("it wrote what it does not know")
	}
}

func TestBlank_EveryTypeHasItsNeutralValue(t *testing.T) {
	for _, c := range []struct {
		column         column
		postgres, lite string
	}{
		{column{Type: "money?", Nullable: true}, "NULL", "NULL"},
		{column{Type: "text", Category: "S"}, "CAST('' AS text)", "''"},
		{column{Type: "text", Category: "S", JSON: true}, "CAST('null' AS text)", "'null'"},
		{column{Type: "integer", Category: "N"}, "CAST(0 AS integer)", "0"},
		{column{Type: "boolean", Category: "B"}, "CAST(FALSE AS boolean)", "FALSE"},
		{column{Type: "date", Category: "D"}, "CAST('1970-01-01' AS date)", "'1970-01-01'"},
		{column{Type: "text[]", Category: "A"}, "CAST('{}' AS text[])", "''"},
		{column{Type: "blob", Category: "U"}, "CAST(x'' AS blob)", "x''"},
		{column{Type: "mood", Category: "E"}, "", ""},
	} {
		if got := c.column.blank(true); got != c.postgres {
			t.Errorf("PostgreSQL, %s: %s", c.column.Type, got)
		}
		if got := c.column.blank(false); got != c.lite {
			t.Errorf("SQLite, %s: %s", c.column.Type, got)
		}
	}
}
