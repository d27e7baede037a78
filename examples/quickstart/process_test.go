package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quitrent/quitrent/internal/daemon"
)

// patience is when a test gives up on what must happen sooner or later.
const patience = time.Minute

var folder string // of the program under test

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "quickstart"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

// program builds the program once.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(folder, "quickstart")
	if out, err := exec.Command("go", "build", raceFlag, "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func build(t *testing.T) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs the program to its end.
func run(t *testing.T, args ...string) (exit int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, build(t), args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// server is the program while it serves.
type server struct {
	t        *testing.T
	file     string
	cmd      *exec.Cmd
	process  *daemon.Process
	out, log output
	stopped  bool

	base, operator, lines string // as printed
}

// newFile is where a database can be made.
func newFile(t *testing.T) string { return filepath.Join(t.TempDir(), "quickstart.db") }

// start starts the program on the file and a free port, and reads what it prints.
// When the test ends it must stop as Ctrl-C stops it.
func start(t *testing.T, file string, args ...string) *server {
	t.Helper()
	s := &server{t: t, file: file}
	s.cmd = exec.Command(build(t), append([]string{"-addr", "127.0.0.1:0", "-db", file}, args...)...)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.log
	var err error
	if s.process, err = daemon.Start(s.cmd, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stop()
		for line := range strings.Lines(s.log.String()) {
			if !strings.Contains(line, " event ") {
				t.Errorf("the program complains: %s", line)
			}
		}
	})
	const last = "-X DELETE $BASE/v1/session\n"
	s.await("the lines to paste", func() bool { return strings.HasSuffix(s.out.String(), last) })
	_, lines, found := strings.Cut(s.out.String(), "in order:\n")
	if !found {
		t.Fatalf("printed\n%s", &s.out)
	}
	s.lines = lines
	for name, value := range map[string]*string{"BASE=": &s.base, "OPERATOR=": &s.operator} {
		for line := range strings.Lines(lines) {
			if text, ok := strings.CutPrefix(line, name); ok {
				*value = strings.TrimSpace(text)
			}
		}
		if *value == "" {
			t.Fatalf("no %s in\n%s", name, &s.out)
		}
	}
	return s
}

// await waits until the condition holds, which it looks at again whenever the
// program has said something and every few milliseconds.
func (s *server) await(what string, holds func() bool) {
	s.t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	late := time.After(patience)
	for !holds() {
		select {
		case <-look.C:
		case <-s.process.Exited():
			if !holds() {
				s.t.Fatalf("waiting for %s: the program ended with %v\n%s%s", what, s.cmd.ProcessState, &s.out, &s.log)
			}
		case <-late:
			s.t.Fatalf("waiting for %s in vain\n%s%s", what, &s.out, &s.log)
		}
	}
}

// interrupt is Ctrl-C.
func (s *server) interrupt() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		s.t.Fatal(err)
	}
}

// ended waits for the end and is the exit status.
func (s *server) ended() int {
	s.t.Helper()
	select {
	case <-s.process.Exited():
	case <-time.After(patience):
		s.process.Stop(syscall.SIGKILL)
		s.t.Fatalf("the program does not stop\n%s%s", &s.out, &s.log)
	}
	s.stopped = true
	return s.cmd.ProcessState.ExitCode()
}

// stop ends the program with Ctrl-C, which it must take well, unless it has ended.
func (s *server) stop() {
	s.t.Helper()
	if s.stopped {
		return
	}
	client.CloseIdleConnections() // the server waits for those on which nothing was asked yet
	s.interrupt()
	if code := s.ended(); code != 0 || !strings.HasSuffix(s.out.String(), "stopped; the data stays in "+s.file+"\n") {
		s.t.Errorf("Ctrl-C: exit %d\n%s%s", code, &s.out, &s.log)
	}
}

// kill is kill -9.
func (s *server) kill() {
	s.process.Stop(syscall.SIGKILL)
	s.stopped = true
}

// output is what a program has said so far.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
