package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for text, want := range map[string]int{
		`db.NewRaw("SELECT ?", n)`:                                          0,
		`db.NewRaw(("SELECT " + columns) + " FROM x")`:                      0,
		`db.NewRaw(inside)`:                                                 0,
		`db.NewSelect().Where("a = ?", a).Join("JOIN b")`:                   0,
		`db.NewUpdate().Model(m).Set("a = a + ?", n)`:                       0,
		`w.Header().Set(name, value)`:                                       0,
		`strings.Join(parts, ",")`:                                          0,
		`db.ExecContext(ctx, "DELETE FROM x")`:                              0,
		`db.NewRaw(text) // sqltext: a migration's own file`:                0,
		`db.NewRaw(fmt.Sprintf("SELECT %s", name))`:                         1,
		`db.NewRaw("SELECT " + name)`:                                       1,
		`db.NewRaw(text)`:                                                   1,
		`db.NewRaw(text) // sqltext:`:                                       1, // no reason
		`db.NewSelect().ColumnExpr("a").Where("a = " + a)`:                  1,
		`db.NewSelect().Where(fmt.Sprintf("a = %d", a)).OrderExpr(by(who))`: 2,
		`db.NewUpdate().Model(m).Set(column+" = ?", n)`:                     1,
		`db.NewInsert().Model(m).On(clause)`:                                1,
		`db.ExecContext(ctx, "DELETE FROM "+table)`:                         1,
		`tx.QueryRowContext(ctx, query)`:                                    1,
	} {
		dir := t.TempDir()
		for name, body := range map[string]string{
			"a.go":      "package x\n\nconst columns = \"a, b\"\n",
			"b.go":      "package x\n\nfunc f() {\n\tconst inside = \"SELECT 1\"\n\t" + text + "\n}\n",
			"b_test.go": "package x\n\nfunc g() { db.NewRaw(text) }\n",
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		found, err := check(dir)
		if err != nil || len(found) != want {
			t.Errorf("%s\nfound %v, %v; want %d", text, found, err, want)
		}
		for _, f := range found {
			if !strings.Contains(f, "b.go:5:") {
				t.Errorf("%s: found at %s", text, f)
			}
		}
	}
}
