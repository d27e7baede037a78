package credits

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
)

// sheetRow is a row of each kind of value.
type sheetRow struct {
	Text   string
	Int    int64
	Number sql.Null[int64] // 0 is NULL
	At     sql.Null[int64] // seconds after day; NULL is the zero time
}

func known(n int64) sql.Null[int64] { return sql.Null[int64]{V: n, Valid: true} }

// Whatever the values of a sheet are, the same in all rows or not, the database reads them
// as they were put in: as a part of a statement, and as the arguments of a prepared one.
func TestSheet_IsReadAsItWasWritten(t *testing.T) {
	var none sql.Null[int64]
	one := sheetRow{"a", 1, known(2), known(3)}
	cases := map[string][]sheetRow{
		"no row":                nil,
		"one row":               {one},
		"one of NULLs":          {{"", 0, none, none}},
		"the same rows":         {one, one, one},
		"the same NULLs":        {{"", 0, none, none}, {"", 0, none, none}},
		"a text differs":        {one, {"b", 1, known(2), known(3)}, one},
		"the last text differs": {one, one, {"b", 1, known(2), known(3)}},
		"a number differs":      {one, {"a", -1, known(2), known(3)}},
		"a number is NULL":      {one, {"a", 1, none, known(3)}, one},
		"the first is NULL":     {{"a", 1, none, known(3)}, one},
		"a time is NULL":        {one, {"a", 1, known(2), none}},
		"all differ":            {one, {"b", 2, none, known(4)}, {"c", 3, known(5), none}},
		"NULLs between":         {{"a", 1, none, none}, one, {"a", 1, none, none}, one},
		"texts":                 {{"'", 1, none, none}, {`"`, 1, none, none}, {`\`, 1, none, none}, {"NULL", 1, none, none}, {"", 1, none, none}, {"{,}", 1, none, none}},
		"one text":              {{`'"\{},$1NULL`, 1, none, none}},
		"one text in all":       {{`'"\{},$1NULL`, 1, none, none}, {`'"\{},$1NULL`, 2, none, none}},
	}
	fill := func(s *sheet, rows []sheetRow) *sheet {
		for _, r := range rows {
			at := time.Time{}
			if r.At.Valid {
				at = day.Add(time.Duration(r.At.V) * time.Second)
			}
			s.text(r.Text)
			s.int(r.Int)
			s.number(r.Number.V)
			s.time(at)
		}
		return s
	}
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		seconds := "strftime('%s', at) - strftime('%s', '2026-03-01')"
		if isPostgres(db) {
			seconds = "CAST(EXTRACT(EPOCH FROM at - '2026-03-01 00:00:00+00') AS BIGINT)"
		}
		query := "WITH d (text, n, number, at) AS (?) SELECT text, n, number, " + seconds + " FROM d"
		read := func(rows *sql.Rows, err error) (got []sheetRow) {
			if err := each(rows, err, func(scan func(...any) error) error {
				var r sheetRow
				err := scan(&r.Text, &r.Int, &r.Number, &r.At)
				got = append(got, r)
				return err
			}); err != nil {
				t.Error(err)
			}
			return got
		}
		for name, want := range cases {
			if len(want) == 0 && !isPostgres(db) {
				continue // nothing is asked of it there
			}
			for _, kind := range []func(bun.IDB, ...string) *sheet{newSheet, newLookup} {
				s := fill(kind(db, "text", "bigint", "bigint", "timestamptz"), want)
				if d := cmp.Diff(want, read(db.QueryContext(t.Context(), query, s))); d != "" || s.rows != len(want) {
					t.Errorf("%s: %s", name, d)
				}
				if !isPostgres(db) {
					continue
				}
				for _, one := range []bool{false, true} {
					if one && len(want) != 1 {
						continue
					}
					err := db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
						if _, err := tx.ExecContext(ctx, "PREPARE sheet AS "+numbered(query, []*sheet{s}, one)); err != nil {
							return err
						}
						got := read(tx.QueryContext(ctx, "EXECUTE sheet("+string(s.appendArguments(nil, one))+")"))
						if d := cmp.Diff(want, got); d != "" {
							t.Errorf("%s, prepared: %s", name, d)
						}
						_, err := tx.ExecContext(ctx, "DEALLOCATE sheet")
						return err
					})
					if err != nil {
						t.Errorf("%s, prepared: %v", name, err)
					}
				}
			}
		}
	}, Migrate)
}

// What is the same in all rows is written once, however many there are; rows of a table are
// found by one of the texts that differ.
func TestSheet_WritesOnceWhatIsTheSame(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	s := newLookup(db, "bigint", "text", "text")
	for i := range int64(3) {
		s.int(i)
		s.text("same")
		s.text("differs" + strconv.FormatInt(i, 10))
	}
	b, err := s.AppendQuery(db.QueryGen(), nil)
	query := string(b)
	if err != nil || strings.Count(query, "same") != 1 || !strings.Contains(query, "WHERE c2 = c2 || ''") {
		t.Error(query, err)
	}
	b, err = s.AppendQuery(db.QueryGen(), nil)
	if d := cmp.Diff(query, string(b)); d != "" || err != nil {
		t.Error(d, err)
	}
	one := newSheet(db, "text")
	one.text("a")
	if b, err = one.AppendQuery(db.QueryGen(), nil); string(b) != "SELECT 'a'::text" || err != nil {
		t.Errorf("%s, %v", b, err)
	}
}
