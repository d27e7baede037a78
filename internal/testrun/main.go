// Testrun is the full test run: it provides PostgreSQL, PgBouncer and Redis, runs
// the tests of every module here under the race detector, shows what failed in full
// and closes with a line of counts.
//
//	go run ./internal/testrun [flags of go test] [packages]
//
// Without packages it tests all, those of the nested modules too. A test counts
// where it has no subtests, so that none counts twice; a package that does not
// build, or ends without its tests' word, counts as one failure, and so does each
// line that a test prints with something in it that is shaped like a secret of this
// library: the line is shown, the secret is not. The exit status is 1 when anything
// failed, when no test ran, and, where CI is set, when a test was skipped.
package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Stdout, os.Args[1:], os.Getenv("CI") != "")
	cancel()
	os.Exit(code)
}

func run(ctx context.Context, out io.Writer, args []string, ci bool) int {
	stop := servers(ctx, out)
	defer stop()

	modules := []string{"."}
	if !slices.ContainsFunc(args, isPackage) {
		args = append(args, "./...")
		nested, err := nestedModules(".")
		if err != nil {
			fmt.Fprintln(out, err)
			return 1
		}
		modules = append(modules, nested...)
	}
	var total counts
	for _, dir := range modules {
		total.add(test(ctx, out, dir, args))
	}
	fmt.Fprintln(out, total)
	return total.exit(ci)
}

// test runs go test in one module and reports as it goes.
func test(ctx context.Context, out io.Writer, dir string, args []string) counts {
	// -count=1 because the servers are new: nothing of an earlier run holds.
	args = append([]string{"test", "-C", dir, "-json", "-race", "-shuffle=on", "-count=1", "-timeout=20m"}, args...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = os.Stderr
	r := &report{out: out}
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		r.read(events)
		err = cmd.Wait()
	}
	if err != nil && r.failed == 0 {
		fmt.Fprintf(out, "FAIL go test in %s: %v\n", dir, err)
		r.failed++ // whatever it was, it is no success
	}
	return r.counts
}

func isPackage(arg string) bool {
	return arg == "." || strings.HasPrefix(arg, "./") || strings.HasPrefix(arg, "github.com/")
}

// nestedModules are the folders under root that hold a go.mod of their own.
func nestedModules(root string) (dirs []string, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.Name() == "go.mod" && filepath.Dir(path) != root:
			dirs = append(dirs, filepath.Dir(path))
		}
		return nil
	})
	return dirs, err
}
