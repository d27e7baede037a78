package credits

import (
	"bytes"
	"encoding/csv"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/quitrent/quitrent/tenancy"
)

// formula is what a spreadsheet would take for one, at a cell's beginning.
var formula = regexp.MustCompile(`^(?:[\t\r\n]|(?:["\s]|[^\pL\pM\pN\pP\pS])*[=+\-@＝＋－＠])`)

// ours is the apostrophe that csvText put there, with what comes after it.
var ours = regexp.MustCompile(`^'('*[\t\r\n]|(?:['"\s]|[^\pL\pM\pN\pP\pS])*[=+\-@＝＋－＠])`)

var divider = regexp.MustCompile(`[;\t\r\n]`)

// plainText is csvText the other way round, as a program would do it.
func plainText(cell string) string {
	var b strings.Builder
	begin := true
	for i := range len(cell) {
		if !begin || !ours.MatchString(cell[i:]) {
			b.WriteByte(cell[i])
		}
		begin = divider.MatchString(cell[i : i+1])
	}
	return b.String()
}

// A text that the ledger takes comes back from the file to the letter; and in no text
// is there a beginning of a cell that would be taken for a formula, whatever a
// spreadsheet divides lines at.
func FuzzCSV(f *testing.F) {
	for _, seed := range []string{
		"", "a note", "=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "'=1", "''=1", "'quoted'", "it's", ` "=1"`, " =1", "a;=1+1;b", "a;'=1", "a; -5 credits",
		"＝1", "＠x", "\ufeff=1", "\u200b-1", `say "yes", or no`, "a\r\n=1", "\t=1", "\t\t-1", ";", "=", "'", "'\tx", "-5", "ä;ö", `\.`, "x=1", "-\t", "\"\t=",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || len(text) > 2*maxText {
			return
		}
		safe := csvText(text)
		if got := plainText(safe); got != text {
			t.Fatalf("%q became %q, which is %q", text, safe, got)
		}
		for _, cell := range divider.Split(safe, -1) {
			if formula.MatchString(cell) {
				t.Fatalf("%q became %q, with the formula %q", text, safe, cell)
			}
		}
		if safe != "" && strings.Contains("=+-@\t\r\n", safe[:1]) {
			t.Fatalf("%q became %q", text, safe)
		}

		if checkText("note", text) != nil {
			return
		}
		e := Entry{Number: 7, Amount: -5, Balance: -9, At: time.Unix(0, 0), Note: text, Operation: text, Key: text, Actor: tenancy.Actor{ID: text}, Basis: text, Hold: text, OnBehalf: tenancy.Actor{ID: text}}
		var file bytes.Buffer
		out := csv.NewWriter(&file)
		out.UseCRLF = true
		if err := out.Write(csvLine(make([]string, len(csvColumns)), csvEntry{e, "image"})); err != nil {
			t.Fatal(err)
		}
		out.Flush()
		record, err := csv.NewReader(&file).Read()
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		want := map[string]string{"number": "7", "at": "1970-01-01T00:00:00.000000Z", "amount": "-5", "balance": "-9", "spendable": "0", "unit": "image"}
		for i, c := range csvColumns {
			switch c.name {
			case "operation", "note", "key", "actor_id", "basis", "hold", "on_behalf_id":
				if plainText(record[i]) != text {
					t.Errorf("%s: %q became %q", c.name, text, record[i])
				}
			default:
				if record[i] != want[c.name] {
					t.Errorf("%s is %q", c.name, record[i])
				}
			}
		}
	})
}
