//go:build linux

package daemon

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// As a child of TestStart_DiesWithTheProcess this binary starts a server and is
// killed.
func TestMain(m *testing.M) {
	if os.Getenv("QUITRENT_TEST_DAEMON") == "" {
		os.Exit(m.Run())
	}
	cat := exec.Command("cat")
	cat.Stdin, cat.Stdout = os.Stdin, os.Stdout
	if _, err := Start(cat, syscall.SIGKILL); err != nil {
		fmt.Println(err)
	}
	fmt.Println("started")
	select {}
}

func TestStart_DiesWithTheProcess(t *testing.T) {
	in, stdin := pipe(t)
	stdout, out := pipe(t)
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "QUITRENT_TEST_DAEMON=1")
	parent.Stdin, parent.Stdout = in, out
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	_ = out.Close()
	r := bufio.NewReader(stdout)
	if line, err := r.ReadString('\n'); line != "started\n" {
		t.Fatal(line, err)
	}
	if _, err := stdin.WriteString("alive\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := r.ReadString('\n'); line != "alive\n" {
		t.Fatal(line, err)
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	// The pipe ends when nobody can write to it: with the server.
	if _, err := r.ReadByte(); err != io.EOF {
		t.Fatalf("the server outlived its parent: %v", err)
	}
}

func TestStart_OutlivesTheThreadThatCalls(t *testing.T) {
	in, stdin := pipe(t)
	stdout, out := pipe(t)
	var server *Process
	tid := onThreadThatEnds(func() {
		cat := exec.Command("cat")
		cat.Stdin, cat.Stdout = in, out
		var err error
		if server, err = Start(cat, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	})
	for start := time.Now(); !t.Failed(); runtime.Gosched() {
		if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid)); os.IsNotExist(err) {
			break
		}
		if time.Since(start) > 30*time.Second {
			t.Fatal("the thread does not end")
		}
	}
	if t.Failed() {
		return
	}
	_ = in.Close()
	_ = out.Close() // so that the pipe ends with the server
	if _, err := stdin.WriteString("alive\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "alive\n" {
		t.Fatalf("the server died with a thread: %q, %v", line, err)
	}
	server.Stop(syscall.SIGTERM)
	<-server.Exited()
}

// onThreadThatEnds runs fn on a thread that ends afterwards, and names it.
func onThreadThatEnds(fn func()) (tid int) {
	done := make(chan int)
	go func() {
		runtime.LockOSThread()
		if syscall.Gettid() == syscall.Getpid() { // the first thread never ends
			done <- onThreadThatEnds(fn) // while this one is taken
			runtime.UnlockOSThread()
			return
		}
		fn()
		done <- syscall.Gettid() // and never unlocked, so it ends with this goroutine
	}()
	return <-done
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	_ = r.SetReadDeadline(time.Now().Add(time.Minute))
	return r, w
}
