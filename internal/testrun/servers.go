package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"

	"github.com/quitrent/quitrent/internal/bouncertest"
	"github.com/quitrent/quitrent/internal/pgtest"
	"github.com/quitrent/quitrent/internal/redistest"
)

// A service is a server that the tests use where a variable names it.
type service struct {
	name     string
	variable string // of the environment
	pkg      string // Debian's
	there    func() bool
	start    func(ctx context.Context) (address string, stop func(), err error)
}

var services = []service{
	{name: "PostgreSQL", variable: "QUITRENT_TEST_POSTGRES", pkg: "postgresql", there: pgtest.Installed, start: pgtest.Start},
	{name: "PgBouncer", variable: "QUITRENT_TEST_PGBOUNCER", pkg: "pgbouncer", there: bouncertest.Installed, start: inFront},
	{name: "Redis", variable: "QUITRENT_TEST_REDIS", pkg: "redis-server", there: redistest.Installed, start: redistest.Start},
}

// inFront starts a pooler before the PostgreSQL of this run, which has been started.
func inFront(ctx context.Context) (address string, stop func(), err error) {
	url := os.Getenv("QUITRENT_TEST_POSTGRES")
	if url == "" {
		return "", nil, errors.New("no PostgreSQL to stand in front of")
	}
	return bouncertest.Start(ctx, url)
}

// servers installs and starts what is missing and exports where it is. What it
// cannot provide it says; the tests that need it are then skipped, and fail where
// CI is set.
func servers(ctx context.Context, out io.Writer) (stop func()) {
	var missing []service
	for _, s := range services {
		if os.Getenv(s.variable) == "" && !s.there() {
			missing = append(missing, s)
		}
	}
	if len(missing) > 0 {
		install(ctx, out, missing)
	}
	var stops []func()
	for _, s := range services {
		if at := os.Getenv(s.variable); at != "" {
			fmt.Fprintf(out, "%s: the server that %s names\n", s.name, s.variable)
			continue
		}
		at, stop, err := s.start(ctx)
		if err != nil {
			fmt.Fprintf(out, "%s: %v\n", s.name, err)
			continue
		}
		stops = append(stops, stop)
		_ = os.Setenv(s.variable, at)
		fmt.Fprintf(out, "%s: a server for this run, %s\n", s.name, at)
	}
	return func() {
		for _, stop := range slices.Backward(stops) {
			stop()
		}
	}
}

// install asks Debian's package manager for the missing servers, where it may.
func install(ctx context.Context, out io.Writer, missing []service) {
	var pkgs []string
	for _, s := range missing {
		pkgs = append(pkgs, s.pkg)
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Getuid() != 0 {
		for _, s := range missing {
			fmt.Fprintf(out, "%s is not installed. On Debian, as root: apt-get install %s. Or name a running server in %s.\n", s.name, s.pkg, s.variable)
		}
		return
	}
	defer keepStopped(out, policy)()
	for _, args := range [][]string{{"update", "-qq"}, append([]string{"install", "-y", "-qq", "--no-install-recommends"}, pkgs...)} {
		fmt.Fprintln(out, "installing: apt-get", args)
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if said, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(out, "%s%v\n", said, err)
			return
		}
	}
}

// policy is where Debian's packages ask whether they may start what they install.
const policy = "/usr/sbin/policy-rc.d"

// keepStopped forbids packages to start their services until the function it
// returns is called: this run starts its own, on other ports.
func keepStopped(out io.Writer, path string) (undo func()) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return func() {} // the machine has a policy of its own
	}
	_, err = f.WriteString("#!/bin/sh\nexit 101\n")
	if e := f.Close(); err != nil || e != nil {
		fmt.Fprintln(out, err, e)
	}
	return func() { _ = os.Remove(path) }
}
