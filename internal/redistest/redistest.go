// Package redistest starts a throw-away Redis server from the binary that is
// installed.
package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quitrent/quitrent/internal/daemon"
)

// ErrNoBinary says that no redis-server was found.
var ErrNoBinary = errors.New("no redis-server found (Debian: apt-get install redis-server)")

// Installed reports whether Start finds a binary.
func Installed() bool {
	_, err := exec.LookPath("redis-server")
	return err == nil
}

// Start runs a server on a loopback port that keeps nothing. It dies with this
// process; stop ends it earlier. ctx bounds the start only.
func Start(ctx context.Context) (addr string, stop func(), err error) {
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		return "", nil, ErrNoBinary
	}
	for range 5 { // a free port may be taken again before the server binds it
		var port int
		if port, err = daemon.FreePort(); err != nil {
			return "", nil, err
		}
		addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if stop, err = serve(ctx, bin, addr, port); err == nil || ctx.Err() != nil {
			return addr, stop, err
		}
	}
	return "", nil, err
}

func serve(ctx context.Context, bin, addr string, port int) (stop func(), err error) {
	cmd := exec.Command(bin, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", os.TempDir(),
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning")
	server, err := daemon.Start(cmd, syscall.SIGKILL) // it has nothing to save
	if err != nil {
		return nil, err
	}
	stop = func() { server.Stop(syscall.SIGKILL) }
	for range 200 {
		if err = Ping(addr); err == nil {
			return stop, nil
		}
		select {
		case <-server.Exited():
			return nil, errors.New("redis-server ended at once")
		case <-ctx.Done():
			stop()
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	stop()
	return nil, fmt.Errorf("redis-server does not answer: %w", err)
}

// Ping asks the server at addr whether it is there.
func Ping(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write([]byte("*1\r\n$4\r\nPING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && line != "+PONG\r\n" {
		err = fmt.Errorf("answered %q to PING", line)
	}
	return err
}

var server = sync.OnceValues(func() (string, error) {
	if addr := os.Getenv("QUITRENT_TEST_REDIS"); addr != "" {
		return addr, nil
	}
	addr, _, err := Start(context.Background()) // ends with this process
	return addr, err
})

// Addr is the host and port of the test run's Redis: the one that
// QUITRENT_TEST_REDIS names, or one of this process. The server is shared, so a
// test prefixes its keys with something of its own. Where there is none the test
// is skipped, and fails where CI is set.
func Addr(t testing.TB) string {
	t.Helper()
	addr, err := server()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("Redis is not tested: %v", err)
		}
		t.Skipf("Redis is not tested: %v; make test installs it, QUITRENT_TEST_REDIS names a server", err)
	}
	return addr
}
