package seals

import (
	"bytes"
	"errors"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/chain"
	"github.com/quitrent/quitrent/internal/dbtest"
)

// lineOf makes an entry of any texts: the first are its columns, and every three of the
// others a split.
func lineOf(texts []string) *line {
	l := &line{}
	texts = texts[copy(l.columns[:], texts):]
	for len(texts) >= 3 {
		l.splits = append(l.splits, split{texts[0], texts[1], texts[2]})
		texts = texts[3:]
	}
	return l
}

// The text has every part in its place, and two entries that share one are one.
func FuzzCanonical(f *testing.F) {
	f.Add("", "acc_1|credit|1", "acc_1|credi|t1", "|")
	f.Add("00", strings.Repeat("|", 25)+"1|grt_1|-5", strings.Repeat("|", 22)+"1|grt_1|-5", "|")
	f.Add("", "5:acc_1,;6:credit,", "5:acc_1,6:credit,;", ";")
	f.Add("", "\x00-0:-1:a-\xff", "1:1,-,", "-")
	f.Fuzz(func(t *testing.T, previous, one, two, separator string) {
		a, b := lineOf(strings.Split(one, separator)), lineOf(strings.Split(two, separator))
		want := append([]string{"quitrent.credits.seal.1", previous}, a.columns[:]...)
		want = append(want, strconv.Itoa(len(a.splits)))
		for _, s := range a.splits {
			want = append(want, s.position, s.grant, s.amount)
		}
		if d := cmp.Diff(chain.Text(nil).Add(want...), a.canonical(previous)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		same := a.columns == b.columns && cmp.Equal(a.splits, b.splits, cmp.AllowUnexported(split{}))
		if same != bytes.Equal(a.canonical(previous), b.canonical(previous)) {
			t.Errorf("%+v and %+v: the same %v", a, b, same)
		}
	})
}

// The hashes in testdata were made by another program from the texts there, of which the
// package comment shows the first. Should they change, every chain in the world is broken.
func TestCanonical_IsTheDocumentedOne(t *testing.T) {
	golden, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(golden)), "\n")
	for _, text := range want[:2] {
		if !strings.Contains(string(doc), text) {
			t.Errorf("the package comment does not say %s", text)
		}
	}
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	rows := []values{
		{"acc_1", "credit", int64(1), "grant", int64(10), int64(10), int64(10), nil, "g1", "", "", "system", "credits",
			at, "", "", "grt_1", "00ff", "", ""},
		{"acc_1", "credit", int64(2), "settle", int64(-15), int64(-5), int64(0), nil, "k,:", "go", "3:ä,", "key", "key_a",
			at.Add(123456 * time.Microsecond).In(time.FixedZone("", 3600)), `{"a":1}`, "hld_1", "", want[1], "user", "usr_ada"},
		{"acc_1", "gpu_second", int64(math.MaxInt64), "refund", int64(math.MaxInt64), int64(math.MinInt64), int64(0), int64(2), "", "", "", "", "",
			time.Date(2026, 12, 31, 23, 59, 59, 999999999, time.UTC), "", "", "", []byte{}, "", ""},
	}
	splits := [][]split{nil, {{"1", "grt_1", "-10"}, {"2", "", "-5"}}, {{"1", "grt_2", "1"}}}
	var got []string
	previous := ""
	for i, row := range rows {
		l := row.line()
		l.splits = splits[i]
		if l.broken {
			t.Error("a column has no value")
		}
		text := l.canonical(previous)
		previous = l.hash(previous)
		got = append(got, string(text), previous)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Every column is sealed: one that a later version adds belongs into the form, as parts
// that follow the splits and are left out where the column says nothing.
func TestCanonical_HasEveryColumn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		var entry []string
		for c := range strings.SplitSeq(columns, ",") {
			entry = append(entry, strings.TrimPrefix(strings.TrimSpace(c), "e."))
		}
		if len(entry) != width || entry[placeNumber] != "number" || entry[placeRefund] != "refund_of" || entry[placeAt] != "at" {
			t.Errorf("%d columns: %v", len(entry), entry)
		}
		for table, want := range map[string][]string{
			"credits_entries": entry, "credits_splits": {"account_id", "unit", "number", "position", "grant_id", "amount"},
		} {
			rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table) // sqltext: one of two constants
			if err != nil {
				t.Fatal(err)
			}
			got, err := rows.Columns()
			if err := errors.Join(err, rows.Close()); err != nil {
				t.Fatal(err)
			}
			sorted := cmp.Transformer("sorted", func(s []string) map[string]bool {
				set := map[string]bool{}
				for _, c := range s {
					set[c] = true
				}
				return set
			})
			if d := cmp.Diff(want, got, sorted); d != "" {
				t.Errorf("%s (-sealed +there):\n%s", table, d)
			}
		}
	}, credits.Migrate)
}
