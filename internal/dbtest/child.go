package dbtest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/uptrace/bun"
)

// ChildFunc is a part of a test that runs in a process of its own, with a pool
// of its own on the test's database. What it prints to standard output is what
// the test gets; an error fails the test.
type ChildFunc = func(ctx context.Context, db *bun.DB, args []string) error

// The environment of a child process.
const (
	childName = "QUITRENT_TEST_CHILD"
	childDSN  = "QUITRENT_TEST_CHILD_DSN"
)

var children map[string]ChildFunc

// Main is the body of a package's TestMain. It runs the tests, or, in a process
// that Spawn started, the child function of that name:
//
//	func TestMain(m *testing.M) {
//		dbtest.Main(m, map[string]dbtest.ChildFunc{"migrate": migrateChild})
//	}
func Main(m *testing.M, funcs map[string]ChildFunc) {
	children = funcs
	if name := os.Getenv(childName); name != "" {
		if err := runChild(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	cleans = true
	code := m.Run()
	dropTemplates()
	stopPooler()
	stopServer()
	os.Exit(code)
}

func runChild(name string) error {
	fn, ok := children[name]
	if !ok {
		return fmt.Errorf("no child function %q", name)
	}
	ctx := context.Background()
	db, err := Open(os.Getenv(childDSN))
	if err != nil {
		return err
	}
	if err := db.PingContext(ctx); err != nil {
		return err
	}
	fmt.Println("ready")
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil {
		return fmt.Errorf("the test ended before it said go: %w", err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		os.Exit(1) // the test has ended: leave no process behind
	}()
	return fn(ctx, db, os.Args[1:])
}

// Process is a child process.
type Process struct {
	t      testing.TB
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr bytes.Buffer
	reap   func() error
}

// Spawn starts a process that is connected to the database of dsn and waits for
// Go to run the child function that Main knows under name.
func Spawn(t testing.TB, name, dsn string, args ...string) *Process {
	t.Helper()
	p := start(t, name, dsn, args)
	p.ready()
	return p
}

func start(t testing.TB, name, dsn string, args []string) *Process {
	t.Helper()
	if _, ok := children[name]; !ok {
		t.Fatalf("no child function %q: TestMain must call dbtest.Main with it", name)
	}
	p := &Process{t: t, name: name, cmd: exec.Command(os.Args[0], args...)}
	p.cmd.Env = append(os.Environ(), childName+"="+name, childDSN+"="+dsn)
	p.cmd.Stderr = &p.stderr
	stdin, err1 := p.cmd.StdinPipe()
	stdout, err2 := p.cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	p.stdin, p.stdout = stdin, bufio.NewReader(stdout)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.reap = sync.OnceValue(p.cmd.Wait)
	t.Cleanup(p.Kill)
	return p
}

func (p *Process) ready() {
	p.t.Helper()
	if line, err := p.stdout.ReadString('\n'); line != "ready\n" {
		p.Kill()
		p.t.Fatalf("child %s: want ready, got %q (%v)\n%s", p.name, line, err, &p.stderr)
	}
}

// Go lets the child function run.
func (p *Process) Go() {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, "go\n"); err != nil {
		p.t.Fatalf("child %s: %v", p.name, err)
	}
}

// Line is the next line of the child's output, without its end. It waits for it.
func (p *Process) Line() string {
	p.t.Helper()
	line, err := p.stdout.ReadString('\n')
	if err != nil {
		_ = p.reap()
		p.t.Fatalf("child %s ended: %v\n%s", p.name, err, &p.stderr)
	}
	return strings.TrimSuffix(line, "\n")
}

// Wait is the rest of the child's output, once it has ended.
func (p *Process) Wait() string {
	p.t.Helper()
	out, err := io.ReadAll(p.stdout)
	if e := p.reap(); e != nil || err != nil {
		p.t.Fatalf("child %s: %v\n%s%s", p.name, e, out, &p.stderr)
	}
	return string(out)
}

// Kill ends the child as kill -9 does and waits until it has gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	_ = p.reap()
}

// Child runs one child function to its end and returns its output.
func Child(t testing.TB, name, dsn string, args ...string) string {
	t.Helper()
	p := Spawn(t, name, dsn, args...)
	p.Go()
	return p.Wait()
}

// Processes runs a child function in n processes at once: none begins before all
// are connected. It returns their outputs.
func Processes(t testing.TB, n int, name, dsn string, args ...string) []string {
	t.Helper()
	ps := make([]*Process, n)
	for i := range ps {
		ps[i] = start(t, name, dsn, args)
	}
	for _, p := range ps {
		p.ready()
	}
	for _, p := range ps {
		p.Go()
	}
	outs := make([]string, n)
	for i, p := range ps {
		outs[i] = p.Wait()
	}
	return outs
}
