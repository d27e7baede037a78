package dbtest

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/quitrent/quitrent/internal/id"
)

// To migrate a database takes half a second under the race detector, and a package has
// some hundred of them. So each list of migrations is applied once in a test binary, and
// the databases of its tests are copies.
var (
	files     sync.Map // list → func() ([]byte, error): a SQLite file
	databases sync.Map // list → func() (string, error): a PostgreSQL database's name

	cleans bool // the tests run in Main, which drops the databases
)

// list is what migrations are known by. ok is false where they must be applied again: the
// name of a closure or of a method says nothing of what it holds.
func list(migrations []Migrate) (name string, ok bool) {
	var names []string
	for _, m := range migrations {
		name := runtime.FuncForPC(reflect.ValueOf(m).Pointer()).Name()
		if base := path.Base(name); strings.Count(base, ".") != 1 || strings.Contains(base, "-") {
			return "", false
		}
		names = append(names, name)
	}
	return strings.Join(names, " "), len(names) > 0
}

// once is what get returns, asked for once for each name.
func once[T any](t testing.TB, in *sync.Map, name string, get func() (T, error)) T {
	t.Helper()
	f, _ := in.LoadOrStore(name, sync.OnceValues(get))
	v, err := f.(func() (T, error))()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// file is a SQLite file to which the migrations have been applied.
func file(t testing.TB, name string, migrations []Migrate) []byte {
	t.Helper()
	return once(t, &files, name, func() ([]byte, error) {
		dir, err := os.MkdirTemp("", "quitrent-")
		if err != nil {
			return nil, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		path := filepath.Join(dir, "template.db")
		if err := apply("file:"+path, migrations); err != nil {
			return nil, err
		}
		return os.ReadFile(path) // the last to close it has emptied its WAL
	})
}

// template is the name of a PostgreSQL database to which the migrations have been
// applied. Main drops it.
func template(t testing.TB, root, name string, migrations []Migrate) string {
	t.Helper()
	return once(t, &databases, name, func() (string, error) {
		name := id.New("template")
		dsn, err := createDatabase(root, name, "")
		if err != nil {
			return "", err
		}
		if err := apply(dsn, migrations); err != nil {
			drop(root, name)
			return "", err
		}
		return name, nil
	})
}

// apply applies them in a pool of their own, which it closes: nobody copies a database
// that somebody is connected to.
func apply(dsn string, migrations []Migrate) error {
	db, err := Open(dsn)
	if err != nil {
		return err
	}
	defer Close(db)
	for _, m := range migrations {
		if err := m(context.Background(), db); err != nil {
			return err
		}
	}
	return nil
}

func dropTemplates() {
	databases.Range(func(_, f any) bool {
		root, err1 := server()
		name, err2 := f.(func() (string, error))()
		if err1 == nil && err2 == nil {
			drop(root, name)
		}
		return true
	})
}
