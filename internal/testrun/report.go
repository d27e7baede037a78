package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// event is a line of go test -json (go doc test2json).
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build-output and build-fail
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string
}

// counts are of tests that have no subtests.
type counts struct{ passed, failed, skipped int }

func (c *counts) add(d counts) {
	c.passed += d.passed
	c.failed += d.failed
	c.skipped += d.skipped
}

// String is the line that closes a run.
func (c counts) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c.passed, c.failed, c.skipped)
}

// exit is the status of the run: what was not tested is no success in CI.
func (c counts) exit(ci bool) int {
	if c.failed > 0 || c.passed == 0 || ci && c.skipped > 0 {
		return 1
	}
	return 0
}

// report turns the events of one go test into lines for a reader and counts.
type report struct {
	out io.Writer
	counts
	packages map[string]*pack
	builds   map[string][]string // output of failed builds, by import path
}

// pack is what is known of a package while its tests run.
type pack struct {
	tests  []*result // in order of their start
	byName map[string]*result
	output []string // what belongs to no test
}

type result struct {
	name   string
	action string // pass, fail or skip; empty while it runs
	parent bool
	output []string
}

func (r *report) read(in io.Reader) {
	r.packages, r.builds = map[string]*pack{}, map[string][]string{}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				// go test itself has something to say
				fmt.Fprint(r.out, r.secrets(&r.counts, "go test", []string{string(line)}))
			} else {
				r.event(e)
			}
		}
		if err != nil {
			return
		}
	}
}

func (r *report) event(e event) {
	switch e.Action {
	case "build-output":
		r.builds[e.ImportPath] = append(r.builds[e.ImportPath], e.Output)
		return
	case "build-fail":
		return // the packages that needed it fail by themselves
	}
	p := r.packages[e.Package]
	if p == nil {
		p = &pack{byName: map[string]*result{}}
		r.packages[e.Package] = p
	}
	if e.Test == "" {
		switch e.Action {
		case "output":
			p.output = append(p.output, e.Output)
		case "pass", "fail", "skip":
			r.finish(p, e)
			delete(r.packages, e.Package)
		}
		return
	}
	t := p.byName[e.Test]
	if t == nil {
		t = &result{name: e.Test}
		p.byName[e.Test] = t
		p.tests = append(p.tests, t)
		if above, _, ok := cutLast(e.Test); ok && p.byName[above] != nil {
			p.byName[above].parent = true
		}
	}
	switch e.Action {
	case "output":
		t.output = append(t.output, e.Output)
	case "pass", "fail", "skip":
		t.action = e.Action
	}
}

// finish reports a package: a line, above it whatever failed or was skipped.
func (r *report) finish(p *pack, e event) {
	var c counts
	failedBelow := map[string]bool{}
	for i := len(p.tests) - 1; i >= 0; i-- { // subtests start after their parents
		t := p.tests[i]
		failed := t.action == "fail" || t.action == "" // a test that never ended did not pass
		switch {
		case failed && !failedBelow[t.name]:
			c.failed++
		case t.parent:
		case t.action == "pass":
			c.passed++
		case t.action == "skip":
			c.skipped++
		}
		if above, _, ok := cutLast(t.name); ok && (failed || failedBelow[t.name]) {
			failedBelow[above] = true
		}
	}
	for _, t := range p.tests {
		_, name := canary(t.name) // its output has it, too
		said := r.secrets(&c, e.Package+" "+name, t.output)
		switch {
		case t.action == "skip" && !t.parent:
			fmt.Fprintf(r.out, "skip %s %s: %s\n", e.Package, name, reason(said))
		case t.action == "fail" || t.action == "":
			fmt.Fprintf(r.out, "FAIL %s %s\n%s", e.Package, name, said)
		}
	}
	said := r.secrets(&c, e.Package, p.output)
	if e.Action == "fail" {
		fmt.Fprint(r.out, strings.Join(r.builds[e.FailedBuild], ""), said)
		if c.failed == 0 {
			c.failed = 1 // it did not build, or its TestMain failed
		}
	}
	word := map[string]string{"pass": "ok  ", "fail": "FAIL", "skip": "none"}[e.Action]
	if c.failed > 0 {
		word = "FAIL"
	}
	fmt.Fprintf(r.out, "%s %s  %s  %.1fs\n", word, e.Package, c, e.Elapsed)
	r.add(c)
}

// secrets reports the lines of an output in which a secret shows, each a failure, and
// returns the output without the secrets.
func (r *report) secrets(c *counts, who string, output []string) (safe string) {
	found, safe := canary(strings.Join(output, "")) // a long line comes in several parts
	for _, line := range found {
		fmt.Fprintf(r.out, "FAIL %s prints a secret: %s\n", who, line)
		c.failed++
	}
	return safe
}

// reason is why a test was skipped: its output without the runner's own lines.
func reason(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}

// cutLast divides a subtest's name from that of the test it belongs to.
func cutLast(name string) (above, own string, ok bool) {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return "", name, false
	}
	return name[:i], name[i+1:], true
}
