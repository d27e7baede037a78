// Package bouncertest starts a throw-away PgBouncer in transaction mode, from the
// binary that is installed, in front of a PostgreSQL server.
package bouncertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quitrent/quitrent/internal/daemon"
)

// ErrNoBinary says that no pgbouncer was found.
var ErrNoBinary = errors.New("no pgbouncer found (Debian: apt-get install pgbouncer)")

// PoolSize is how many connections to the server the clients of one database and
// role share.
const PoolSize = 2

// Installed reports whether Start finds a binary.
func Installed() bool {
	_, err := binary()
	return err == nil
}

// binary looks where Debian puts it too, which only root's PATH names.
func binary() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNoBinary
}

// Start runs a pooler on a loopback port and returns its host and port. It knows
// every database of the server that the superuser's URL names, and every role that
// the server lets in without a password. It dies with this process; stop ends it
// earlier and removes its folder. ctx bounds the start only.
func Start(ctx context.Context, url string) (addr string, stop func(), err error) {
	bin, err := binary()
	if err != nil {
		return "", nil, err
	}
	server, err := pgx.ParseConfig(url)
	if err != nil {
		return "", nil, err
	}
	dir, as, err := daemon.Folder(os.TempDir(), "pgbouncer", pidFile)
	if err != nil {
		return "", nil, err
	}
	for range 5 { // a free port may be taken again before the pooler binds it
		var port int
		if port, err = daemon.FreePort(); err != nil {
			break
		}
		if err = configure(dir, server, port); err != nil {
			break
		}
		cmd := exec.Command(bin, configFile)
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
		var end func()
		if end, err = serve(ctx, cmd); err == nil {
			return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), func() { end(); _ = os.RemoveAll(dir) }, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	_ = os.RemoveAll(dir)
	return "", nil, err
}

// The files in its folder.
const (
	configFile = "pgbouncer.ini"
	usersFile  = "users.txt"
	pidFile    = "pgbouncer.pid"
)

// configure writes the pooler's files. Roles that are not in the list of users are
// asked for at the server, as the superuser: a test may make one.
func configure(dir string, server *pgx.ConnConfig, port int) error {
	config := fmt.Sprintf(`[databases]
* = host=%s port=%d

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
pidfile = %s
pool_mode = transaction
default_pool_size = %d
max_client_conn = 1000
query_wait_timeout = 20
server_login_retry = 1
auth_type = trust
auth_file = %s
auth_user = %s
auth_query = SELECT usename, COALESCE(passwd, '') FROM pg_shadow WHERE usename = $1
`, quoted("'", server.Host), server.Port, port, filepath.Join(dir, pidFile), PoolSize, filepath.Join(dir, usersFile), server.User)
	users := quoted(`"`, server.User) + " " + quoted(`"`, server.Password) + "\n"
	// The folder is closed to others. The files are open, because whom the pooler
	// runs as is not always who writes them.
	return errors.Join(
		os.WriteFile(filepath.Join(dir, configFile), []byte(config), 0o644),
		os.WriteFile(filepath.Join(dir, usersFile), []byte(users), 0o644),
	)
}

func quoted(quote, s string) string {
	return quote + strings.ReplaceAll(s, quote, quote+quote) + quote
}

// serve runs cmd until its pooler listens: then it writes its process id. A port
// that answers may be somebody else's.
func serve(ctx context.Context, cmd *exec.Cmd) (stop func(), err error) {
	pooler, err := daemon.Start(cmd, syscall.SIGKILL) // it has nothing to save
	if err != nil {
		return nil, err
	}
	stop = func() { pooler.Stop(syscall.SIGKILL) }
	for range 200 {
		if pooler.Wrote(filepath.Join(cmd.Dir, pidFile)) {
			return stop, nil
		}
		select {
		case <-pooler.Exited():
			return nil, errors.New("pgbouncer ended at once")
		case <-ctx.Done():
			stop()
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	stop()
	return nil, errors.New("pgbouncer does not get ready")
}
