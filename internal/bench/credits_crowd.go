package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// contest is a figure of two crowds that do the same in turn. Their rates are compared,
// not their times: what a caller waits for is mostly the other callers.
type contest struct {
	name           string
	bar            float64
	faster         bool // ours must be so many times as fast; otherwise it may take so many times as long
	ours, baseline crowd
	short          bool // few callers, so that short blocks tell as much and many of them more
}

// crowd runs for a stretch and says how fast it was.
type crowd func(ctx context.Context, s stretch) (pace, error)

// stretch is how long a crowd runs: for the ramp, of which nothing counts, and the
// window. Or, where Calls is set, for so many calls of each caller.
type stretch struct {
	Ramp, Window time.Duration
	Calls        int
}

// pace is what a crowd did in a stretch.
type pace struct {
	Rate float64         // calls a second that ended in the window
	Took []time.Duration // how long each of them took, in order
}

func (p pace) took(quantile float64) time.Duration {
	return p.Took[int(quantile*float64(len(p.Took)-1))]
}

func (b *bench) stretch(short bool) (s stretch, least, most int) {
	switch {
	case b.tiny:
		return stretch{Calls: 6}, 1, 1
	case short:
		return stretch{Calls: 16}, 60, 240
	}
	return stretch{Ramp: 250 * time.Millisecond, Window: time.Second}, 5, 9
}

// compete measures c in rounds of two blocks, one of ours and one of the baseline, in an
// order that chance decides. The ratio is the median of the rounds', and there are more
// of them where it might as well lie beyond the bar.
func compete(ctx context.Context, b *bench, c contest) error {
	s, least, most := b.stretch(c.short)
	sides := []crowd{c.ours, c.baseline}
	for _, side := range sides { // connections, plans, caches
		if _, err := side(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	var paces [2][]pace
	var ratios []float64
	for len(ratios) < least || len(ratios) < most && !decided(ratios, c.bar) {
		first := rand.IntN(2)
		for _, i := range []int{first, 1 - first} {
			p, err := sides[i](ctx, s)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if len(p.Took) == 0 {
				return fmt.Errorf("%s: no call ended in %v", c.name, s.Window)
			}
			paces[i] = append(paces[i], p)
		}
		n := len(ratios)
		ratio := paces[1][n].Rate / paces[0][n].Rate
		if c.faster {
			ratio = 1 / ratio
		}
		ratios = append(ratios, ratio)
	}
	b.report(figure{
		name: fmt.Sprintf("%s (%s, %s ms)", c.name, waits(paces[0]), waits(paces[1])),
		ours: perSecond(paces[0]), baseline: perSecond(paces[1]), ratio: median(ratios), bar: c.bar, atLeast: c.faster,
	})
	return nil
}

// of is the median of what fn says of each.
func of(paces []pace, fn func(p pace) float64) float64 {
	var v []float64
	for _, p := range paces {
		v = append(v, fn(p))
	}
	return median(v)
}

func perSecond(paces []pace) string {
	return fmt.Sprintf("%.0f/s", of(paces, func(p pace) float64 { return p.Rate }))
}

// waits are how long callers waited: half of them no longer than the first, and all but
// one of a hundred no longer than the second.
func waits(paces []pace) string {
	wait := func(quantile float64) string {
		ms := of(paces, func(p pace) float64 { return float64(p.took(quantile)) / 1e6 })
		if ms < 10 {
			return fmt.Sprintf("%.1f", ms)
		}
		return fmt.Sprintf("%.0f", ms)
	}
	return wait(0.5) + "/" + wait(0.99)
}

// crowdOf is a crowd of n callers in this process. Each has one call at a time.
func crowdOf(n int, side string, call func(ctx context.Context, caller int) error) crowd {
	return func(ctx context.Context, s stretch) (p pace, err error) {
		pprof.Do(ctx, pprof.Labels("side", side), func(ctx context.Context) { p, err = rush(ctx, s, n, call) })
		return p, err
	}
}

func rush(ctx context.Context, s stretch, n int, call func(ctx context.Context, caller int) error) (pace, error) {
	var (
		all    sync.WaitGroup
		took   = make([][]time.Duration, n)
		failed atomic.Pointer[error]
		from   = elapsed() + s.Ramp
		until  = from + s.Window
	)
	for caller := range n {
		all.Go(func() {
			for i := 0; failed.Load() == nil; i++ {
				start := elapsed()
				if s.Calls == 0 && start >= until || s.Calls > 0 && i == s.Calls {
					return
				}
				if err := call(ctx, caller); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				if end := elapsed(); s.Calls > 0 || end >= from && end < until {
					took[caller] = append(took[caller], end-start)
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return pace{}, *err
	}
	window := s.Window
	if s.Calls > 0 {
		window = elapsed() - from
	}
	p := pace{Took: slices.Concat(took...)}
	slices.Sort(p.Took)
	p.Rate = float64(len(p.Took)) / window.Seconds()
	return p, nil
}
