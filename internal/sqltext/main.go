// Sqltext is the linter's rule that the text of a statement is constant: values go
// through placeholders, names through bun.Ident. It reads the Go files under the
// folder it is run in, tests aside, and exits 1 where a call builds its text.
//
// What must be built says why in a comment on its line: // sqltext: the reason.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// textAt is which argument of a method is SQL.
var textAt = map[string]int{
	"NewRaw": 0, "Where": 0, "WhereOr": 0, "Having": 0, "ColumnExpr": 0, "TableExpr": 0, "ModelTableExpr": 0,
	"OrderExpr": 0, "GroupExpr": 0, "DistinctOn": 0, "JoinOn": 0, "JoinOnOr": 0, "Returning": 0,
	"ExecContext": 1, "QueryContext": 1, "QueryRowContext": 1,
}

// queryOnly are methods whose names others have too: they count in a chain that
// makes a query.
var queryOnly = map[string]bool{"Set": true, "On": true, "Join": true}

func main() {
	found, err := check(".")
	for _, f := range found {
		fmt.Println(f)
	}
	if err != nil {
		fmt.Println(err)
	}
	if err != nil || len(found) > 0 {
		os.Exit(1)
	}
}

// check reads every folder under root as a package and lists what breaks the rule.
func check(root string) (found []string, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		f, err := folder(path)
		found = append(found, f...)
		return err
	})
	return found, err
}

func folder(dir string) (found []string, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	var files []*ast.File
	constants := map[string]bool{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
		collect(f, constants)
	}
	for _, f := range files {
		reasons := map[int]bool{}
		for _, group := range f.Comments {
			for _, c := range group.List {
				if reason, ok := strings.CutPrefix(c.Text, "// sqltext: "); ok && strings.TrimSpace(reason) != "" {
					reasons[set.Position(c.Pos()).Line] = true
				}
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if text := built(n, constants); text != nil {
				if at := set.Position(text.Pos()); !reasons[at.Line] {
					found = append(found, fmt.Sprintf("%s: the text of a statement is built here: use placeholders and bun.Ident", at))
				}
			}
			return true
		})
	}
	return found, nil
}

// collect notes the names of a file's constants, those inside functions too.
func collect(f *ast.File, constants map[string]bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if d, ok := n.(*ast.GenDecl); ok && d.Tok == token.CONST {
			for _, s := range d.Specs {
				for _, name := range s.(*ast.ValueSpec).Names {
					constants[name.Name] = true
				}
			}
		}
		return true
	})
}

// built is the text that n gives to a query, if that is not constant.
func built(n ast.Node, constants map[string]bool) ast.Expr {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return nil
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	at, ok := textAt[method.Sel.Name]
	if !ok && !(queryOnly[method.Sel.Name] && makesQuery(method.X)) || len(call.Args) <= at {
		return nil
	}
	if text := call.Args[at]; !constant(text, constants) {
		return text
	}
	return nil
}

func constant(e ast.Expr, constants map[string]bool) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.ParenExpr:
		return constant(e.X, constants)
	case *ast.BinaryExpr:
		return constant(e.X, constants) && constant(e.Y, constants)
	case *ast.Ident:
		return constants[e.Name]
	}
	return false
}

// makesQuery reports that a chain of calls starts with bun's NewSelect, NewUpdate
// and the like.
func makesQuery(e ast.Expr) bool {
	for {
		call, ok := e.(*ast.CallExpr)
		if !ok {
			return false
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		if strings.HasPrefix(method.Sel.Name, "New") {
			return true
		}
		e = method.X
	}
}
