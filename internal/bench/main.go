// Bench measures what this library promises to cost, against a baseline in the same
// run on the same machine.
//
//	go run ./internal/bench [-profile FILE] [area …]
//
// The areas are those of the variable areas; without one all are measured. A line a
// figure says: its name, ours, the baseline, their ratio, the bar, and ok or short.
// The exit status is 1 when a figure is short, or when a result was wrong: every
// figure checks its results. Nothing but the ratios holds on another machine.
//
// The profile is of the CPU, and its samples say whose they are:
// go tool pprof -tagfocus side=ours FILE.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
)

// area is a part of the library whose figures are measured together.
type area struct {
	name string
	run  func(ctx context.Context, b *bench) error
}

// areas are in the order they run in. One has a file of its own.
var areas = []area{
	{"tenancy", tenancyArea},
	{"guard", guardArea},
	{"credits", creditsArea},
}

func main() {
	if isChild() || isServer() {
		return
	}
	profile := flag.String("profile", "", "write a profile of the CPU to this `file`")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := profiled(*profile, func() int { return run(ctx, os.Stdout, areas, flag.Args()) })
	cancel()
	os.Exit(code)
}

// run measures the areas that are named, or all, and returns the exit status.
func run(ctx context.Context, out io.Writer, areas []area, names []string) int {
	var all []string
	for _, a := range areas {
		all = append(all, a.name)
	}
	for _, name := range names {
		if !slices.Contains(all, name) {
			fmt.Fprintf(out, "%s is no area: %s\n", name, strings.Join(all, ", "))
			return 1
		}
	}
	b := &bench{out: out}
	b.head()
	failed := false
	for _, a := range areas {
		if len(names) > 0 && !slices.Contains(names, a.name) {
			continue
		}
		if err := a.run(ctx, b); err != nil {
			fmt.Fprintf(out, "%s: %v\n", a.name, err)
			failed = true
		}
	}
	if failed || b.short > 0 {
		return 1
	}
	return 0
}

func profiled(path string, fn func() int) int {
	if path == "" {
		return fn()
	}
	f, err := os.Create(path)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := fn()
	pprof.StopCPUProfile()
	if err := f.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
