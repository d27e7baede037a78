package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Folder makes a folder under root for the files of a server that refuses to run
// as root. It belongs to whom the server is to run as: the one who calls (as is
// nil), but as root the user that PostgreSQL's package made.
//
// It first removes the folders of name whose server ended without removing them:
// pidFile is where in its folder a server writes its process id, in a line.
func Folder(root, name, pidFile string) (dir string, as *syscall.Credential, err error) {
	name = "quitrent-" + name + "-"
	sweep(filepath.Join(root, name+"*"), pidFile)
	// Not t.TempDir: its parent is closed to the user that runs the server.
	dir, err = os.MkdirTemp(root, name)
	if err != nil {
		return "", nil, err
	}
	if as, err = owner(dir); err != nil {
		_ = os.RemoveAll(dir)
		return "", nil, err
	}
	return dir, as, nil
}

// Wrote reports whether it is this server that has written its process id into a
// file.
func (p *Process) Wrote(pidFile string) bool { return pidIn(pidFile) == p.Pid() }

// FreePort is a loopback port that was free just now.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func sweep(pattern, pidFile string) {
	dirs, _ := filepath.Glob(pattern)
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue // perhaps still being made
		}
		pid := pidIn(filepath.Join(dir, pidFile))
		if pid <= 0 || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir)
		}
	}
}

// pidIn is the number in the first line of a file, or 0.
func pidIn(file string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), "\n")
	pid, _ := strconv.Atoi(first)
	return pid
}

func owner(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("running as root, which the server refuses: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2, os.Chown(dir, int(uid), int(gid))); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
