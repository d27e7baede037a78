package main

import (
	"fmt"
	"io"
)

// bench is one run of figures.
type bench struct {
	out   io.Writer
	tiny  bool // just enough to see that the results are right
	short int  // figures that do not reach their bar
}

// figure is one promise with what was measured.
type figure struct {
	name           string
	ours, baseline string // with their units
	ratio, bar     float64
	// atLeast is for a ratio that says how many times better ours is, which must
	// reach the bar; otherwise it says how much more ours costs, and must not pass it.
	atLeast bool
}

func (f figure) ok() bool {
	if f.atLeast {
		return f.ratio >= f.bar
	}
	return f.ratio <= f.bar
}

const columns = "%-69s %12s %12s %8s %8s  %s\n"

func (b *bench) head() {
	fmt.Fprintf(b.out, columns, "figure", "ours", "baseline", "ratio", "bar", "")
}

// report prints a figure as soon as it is known, since a run takes minutes.
func (b *bench) report(f figure) {
	sign, verdict := "≤", "ok"
	if f.atLeast {
		sign = "≥"
	}
	if !f.ok() {
		verdict = "short"
		b.short++
	}
	fmt.Fprintf(b.out, columns, f.name, f.ours, f.baseline, fmt.Sprintf("%.3f", f.ratio), fmt.Sprintf("%s %.2f", sign, f.bar), verdict)
}

// pick is how much of something is measured.
func (b *bench) pick(full, tiny int) int {
	if b.tiny {
		return tiny
	}
	return full
}
