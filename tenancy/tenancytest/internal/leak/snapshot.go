package leak

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/uptrace/bun"
)

// snapshot is every row of every subject, of all accounts: by table and by account
// the lines, in order.
type snapshot map[string]map[string][]string

// snapshot reads past the guard, on conn.
func (k *kit) snapshot(conn bun.IConn) (out snapshot, err error) {
	err = k.past(conn, func(conn bun.IConn) error {
		out, err = k.read(conn)
		return err
	})
	return out, err
}

func (k *kit) read(conn bun.IConn) (snapshot, error) {
	out := snapshot{}
	for _, s := range k.subjects {
		lines, err := s.lines(k.plain.NewSelect().ColumnExpr("*").TableExpr("?", bun.Ident(s.schema.Name)).Conn(conn).Rows(k.ctx))
		if err != nil {
			return nil, err
		}
		out[s.schema.Name] = lines
	}
	return out, nil
}

// lines are rows as text, by account.
func (s *subject) lines(rows *sql.Rows, err error) (map[string][]string, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	values, ptrs := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		ptrs[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(ptrs...); err != nil {
			return nil, err
		}
		var account string
		fields := make([]string, len(columns))
		for i, v := range values {
			if b, ok := v.([]byte); ok {
				v = string(b)
			}
			fields[i] = fmt.Sprintf("%s=%v", columns[i], v)
			if columns[i] == s.account.Name {
				account = fmt.Sprint(v)
			}
		}
		out[account] = append(out[account], strings.Join(fields, " "))
	}
	for _, lines := range out {
		slices.Sort(lines)
	}
	return out, rows.Err()
}

// changes says what became of the rows of all accounts but one, or "".
func (before snapshot) changes(after snapshot, except string) string {
	var out []string
	for _, table := range slices.Sorted(maps.Keys(before)) {
		accounts := maps.Clone(before[table])
		maps.Copy(accounts, after[table])
		for _, account := range slices.Sorted(maps.Keys(accounts)) {
			if account == except {
				continue
			}
			was, is := before[table][account], after[table][account]
			out = append(out, lack("- ", was, is)...)
			out = append(out, lack("+ ", is, was)...)
		}
	}
	return strings.Join(out, "\n")
}

// lack are the lines that are not in the others.
func lack(prefix string, lines, in []string) (out []string) {
	for _, line := range lines {
		if !slices.Contains(in, line) {
			out = append(out, prefix+line)
		}
	}
	return out
}
