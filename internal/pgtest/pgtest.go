// Package pgtest starts a throw-away PostgreSQL cluster from the binaries that
// are installed, as root too, where initdb refuses.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/quitrent/quitrent/internal/daemon"
)

// ErrNoBinaries says that no initdb was found.
var ErrNoBinaries = errors.New("no PostgreSQL binaries found (Debian: apt-get install postgresql)")

// Installed reports whether Start finds binaries.
func Installed() bool {
	_, err := binaries()
	return err == nil
}

// Start makes a cluster in a folder of its own, listening on loopback, and
// returns the URL of its superuser's database. The server dies with this
// process; stop ends it earlier and removes the folder. ctx bounds the start
// only.
//
// It is made to be quick: it keeps its files in memory where there is room (a
// database of a test's own then takes 20 ms instead of 300) and does not wait for
// any disk. Nothing that it measures holds elsewhere.
func Start(ctx context.Context) (url string, stop func(), err error) {
	return start(ctx, quickRoot(), "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_wal_size=128MB")
}

// StartDurable is Start for what measures or loses power: the files are on disk
// and COMMIT waits for them.
func StartDurable(ctx context.Context) (url string, stop func(), err error) {
	return start(ctx, os.TempDir())
}

func start(ctx context.Context, root string, settings ...string) (url string, stop func(), err error) {
	bin, err := binaries()
	if err != nil {
		return "", nil, err
	}
	dir, as, err := daemon.Folder(root, "postgres", filepath.Join("data", "postmaster.pid"))
	if err != nil {
		return "", nil, err
	}
	fail := func(err error) (string, func(), error) {
		_ = os.RemoveAll(dir)
		return "", nil, err
	}
	command := func(ctx context.Context, name string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
		return cmd
	}
	data := filepath.Join(dir, "data")
	if out, err := command(ctx, "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync").CombinedOutput(); err != nil {
		return fail(fmt.Errorf("initdb: %w\n%s", err, out))
	}
	for range 5 { // a free port may be taken again before the server binds it
		port, err := daemon.FreePort()
		if err != nil {
			return fail(err)
		}
		args := append([]string{"-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1",
			"-c", "unix_socket_directories=", "-c", "max_connections=300", "-c", "log_min_messages=fatal"}, settings...)
		stop, err := serve(ctx, command(context.WithoutCancel(ctx), "postgres", args...), data)
		if err == nil {
			return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port),
				func() { stop(); _ = os.RemoveAll(dir) }, nil
		}
		if ctx.Err() != nil {
			return fail(ctx.Err())
		}
	}
	return fail(errors.New("postgres does not start"))
}

// quickRoot is where files are kept in memory, if there is room for a run.
func quickRoot() string {
	const shm, room = "/dev/shm", 2 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(shm, &fs); err != nil || uint64(fs.Bavail)*uint64(fs.Bsize) < room {
		return os.TempDir()
	}
	if probe, err := os.MkdirTemp(shm, "quitrent-"); err != nil || os.Remove(probe) != nil {
		return os.TempDir()
	}
	return shm
}

// serve runs cmd until its server takes connections. That is read from the
// server's own file: a port that answers may be somebody else's, or the server's
// before it is ready.
func serve(ctx context.Context, cmd *exec.Cmd, data string) (stop func(), err error) {
	// SIGQUIT: at once, and the server takes its children along.
	server, err := daemon.Start(cmd, syscall.SIGQUIT)
	if err != nil {
		return nil, err
	}
	stop = func() { server.Stop(syscall.SIGQUIT) }
	for range 600 {
		select {
		case <-server.Exited():
			return nil, errors.New("postgres ended at once")
		case <-ctx.Done():
			stop()
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		if b, err := os.ReadFile(filepath.Join(data, "postmaster.pid")); err == nil {
			lines := strings.Split(string(b), "\n")
			if len(lines) > 7 && lines[0] == strconv.Itoa(server.Pid()) && strings.TrimSpace(lines[7]) == "ready" {
				return stop, nil
			}
		}
	}
	stop()
	return nil, errors.New("postgres does not get ready")
}

// binaries is the folder of the newest initdb.
func binaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		slices.SortFunc(found, func(a, b string) int { return major(a) - major(b) })
		return filepath.Dir(found[len(found)-1]), nil
	}
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p), nil
	}
	return "", ErrNoBinaries
}

func major(initdb string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
	return n
}
