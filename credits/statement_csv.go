package credits

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// csvPage is how many entries WriteCSV holds at a time.
const csvPage = 500

// csvTime is ISO 8601 in UTC, always as long, to the microsecond.
const csvTime = "2006-01-02T15:04:05.000000Z"

// csvColumns are the columns of a statement as CSV, in order. A later version may add
// some at the end.
var csvColumns = []struct {
	name string
	cell func(e csvEntry) string
}{
	{"number", func(e csvEntry) string { return strconv.FormatInt(e.Number, 10) }},
	{"at", func(e csvEntry) string { return e.At.UTC().Format(csvTime) }},
	{"kind", func(e csvEntry) string { return csvText(string(e.Kind)) }},
	{"amount", func(e csvEntry) string { return strconv.FormatInt(e.Amount, 10) }},
	{"balance", func(e csvEntry) string { return strconv.FormatInt(e.Balance, 10) }},
	{"spendable", func(e csvEntry) string { return strconv.FormatInt(e.Spendable, 10) }},
	{"refund_of", func(e csvEntry) string {
		if e.RefundOf == 0 {
			return ""
		}
		return strconv.FormatInt(e.RefundOf, 10)
	}},
	{"operation", func(e csvEntry) string { return csvText(e.Operation) }},
	{"note", func(e csvEntry) string { return csvText(e.Note) }},
	{"key", func(e csvEntry) string { return csvText(e.Key) }},
	{"actor_kind", func(e csvEntry) string { return csvText(string(e.Actor.Kind)) }},
	{"actor_id", func(e csvEntry) string { return csvText(e.Actor.ID) }},
	{"basis", func(e csvEntry) string { return csvText(e.Basis) }},
	{"hold", func(e csvEntry) string { return csvText(e.Hold) }},
	{"on_behalf_kind", func(e csvEntry) string { return csvText(string(e.OnBehalf.Kind)) }},
	{"on_behalf_id", func(e csvEntry) string { return csvText(e.OnBehalf.ID) }},
	{"unit", func(e csvEntry) string { return csvText(e.unit) }},
}

// csvEntry is an entry of the ledger of a unit.
type csvEntry struct {
	Entry
	unit string
}

// WriteCSV writes a statement as CSV (RFC 4180) in UTF-8, for the account's own people:
// of an operator it shows that it was one and not who. It holds 500 entries at a time,
// whatever the period, and no transaction or connection while w is slow.
//
// The first line names the columns. The second one is of kind "opening" and has the
// balance before the period at its beginning, the last one of kind "closing" the
// balance at its end; a file without it was cut short. Times are ISO 8601 in UTC. Amounts
// are whole numbers, of the unit that each line names: where Config.Exponent is 3, 1500
// are 1.5 of it.
//
// A spreadsheet takes a cell for a formula that begins with = + - @ or a control
// character, and in some countries begins a cell after a semicolon. Text that would be
// taken so has an apostrophe before it; amounts stay numbers. (OWASP, CSV injection.)
//
// ErrInvalid as from Ledger.Statement, or for Cursor, Limit or Totals: a file has no
// pages. Nothing has been written then. After any other error what has been written is
// not a whole statement.
func (l *Ledger) WriteCSV(ctx context.Context, db bun.IDB, w io.Writer, what Statement) error {
	p, err := l.whole(ctx, db, what)
	if err != nil {
		return err
	}
	return what.writeCSV(ctx, db, w, p)
}

// whole is the period of a statement without pages.
func (l *Ledger) whole(ctx context.Context, db bun.IDB, s Statement) (period, error) {
	if err := s.validate(); err != nil {
		return period{}, err
	}
	if s.Cursor != "" || s.Limit != 0 || s.Totals {
		return period{}, fmt.Errorf("%w: a statement as CSV has no cursor, limit or totals", ErrInvalid)
	}
	if err := l.bookDue(ctx, db, s.Account); err != nil {
		return period{}, err
	}
	p, _, err := s.find(ctx, db, l.cfg.Unit)
	return p, err
}

func (s Statement) writeCSV(ctx context.Context, db bun.IDB, w io.Writer, p period) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	record := make([]string, len(csvColumns))
	for i, c := range csvColumns {
		record[i] = c.name
	}
	_ = out.Write(record) // what fails is kept for out.Error
	_ = out.Write(csvBalance(record, "opening", s.From, p.opening.Balance, p.unit))
	for after := p.opening.Number; after < p.closing.Number; {
		entries, err := p.lines(ctx, db, after, csvPage)
		if err != nil {
			return err
		}
		hideOperators(entries)
		for _, e := range entries {
			_ = out.Write(csvLine(record, csvEntry{e, p.unit}))
		}
		out.Flush()
		if err := out.Error(); err != nil {
			return err
		}
		after += int64(len(entries))
	}
	_ = out.Write(csvBalance(record, "closing", s.To, p.closing.Balance, p.unit))
	out.Flush()
	return out.Error()
}

func csvLine(record []string, e csvEntry) []string {
	for i, c := range csvColumns {
		record[i] = c.cell(e)
	}
	return record
}

// csvBalance is the line of a balance at an end of the period.
func csvBalance(record []string, kind string, at time.Time, balance int64, unit string) []string {
	for i, c := range csvColumns {
		record[i] = ""
		switch {
		case c.name == "kind":
			record[i] = kind
		case c.name == "at" && !at.IsZero():
			record[i] = at.UTC().Format(csvTime)
		case c.name == "balance":
			record[i] = strconv.FormatInt(balance, 10)
		case c.name == "unit":
			record[i] = csvText(unit)
		}
	}
	return record
}

// csvText is text that no spreadsheet takes for a formula. Whoever reads it by program
// gets the text back by taking away the first of the apostrophes that stand before
// what looks like a formula.
func csvText(s string) string {
	var b strings.Builder
	done := 0
	for i := range len(s) {
		if (i == 0 || beginsCell(s[i-1])) && looksLikeFormula(s[i:]) {
			b.WriteString(s[done:i])
			b.WriteByte('\'')
			done = i
		}
	}
	b.WriteString(s[done:])
	return b.String()
}

// beginsCell is for what a spreadsheet may have been told to divide lines at.
func beginsCell(c byte) bool { return c == ';' || c == '\t' || c == '\r' || c == '\n' }

// looksLikeFormula says that a cell would be taken for a formula. Space and quotes
// before it help some readers over it, and an apostrophe may be ours.
func looksLikeFormula(cell string) bool {
	cell = strings.TrimLeft(cell, "'")
	if strings.IndexAny(cell, "\t\r\n") == 0 {
		return true
	}
	cell = strings.TrimLeftFunc(cell, func(r rune) bool {
		return r == '\'' || r == '"' || unicode.IsSpace(r) || !unicode.IsPrint(r)
	})
	return strings.IndexAny(cell, "=+-@＝＋－＠") == 0
}

// hideOperators leaves of an operator that it was one: who it was is not for the
// account.
func hideOperators(entries []Entry) {
	for i := range entries {
		if entries[i].Actor.Kind == tenancy.ActorOperator {
			entries[i].Actor.ID = ""
		}
		if entries[i].OnBehalf.Kind == tenancy.ActorOperator {
			entries[i].OnBehalf.ID = ""
		}
	}
}
