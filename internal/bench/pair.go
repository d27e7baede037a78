package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime/pprof"
	"slices"
	"time"
)

// pair is a figure of two ways to the same result, called one at a time.
type pair[R any] struct {
	name           string
	bar            float64 // ours may take so many times as long
	faster         bool    // it is the baseline that must take so many times as long
	alone          bool    // nothing but this process works: what counts is its CPU time
	ours, baseline side[R]
	// right is an error where r is not the result of call i.
	right func(i int, r R) error
	same  func(a, b R) bool
}

// side is one of the two. It makes ready what a block of calls shares, a transaction
// say, which is not measured, and neither is end. call i gives the same on both sides.
type side[R any] func(ctx context.Context) (call func(i int) (R, error), end func() error, err error)

const (
	rounds     = 200
	most       = 800
	blockTakes = 3 * time.Millisecond
)

// compare measures p in rounds of four blocks: ours and the baseline on some calls,
// then the baseline and ours on others, or the other way round by chance. So each goes
// first as often as second, a machine that slows down in a round slows both, what
// comes at fixed times hits neither more, and each meets data that the other has just
// warmed as often as it warms it. The ratio is the median of the rounds', of which
// there are more where it might as well lie beyond the bar.
func compare[R any](ctx context.Context, b *bench, p pair[R]) error {
	n, err := p.calls(ctx, b)
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	var ours, base, ratios []float64
	next := 0
	for len(ratios) < b.pick(rounds, 1) || len(ratios) < b.pick(most, 1) && !decided(ratios, p.bar) {
		order := rand.IntN(2) == 0
		o1, b1, err1 := p.half(ctx, next, n, order)
		o2, b2, err2 := p.half(ctx, next+n, n, !order)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		next += 2 * n
		ours = append(ours, float64(o1+o2)/float64(2*n))
		base = append(base, float64(b1+b2)/float64(2*n))
		ratio := float64(o1+o2) / float64(b1+b2)
		if p.faster {
			ratio = 1 / ratio
		}
		ratios = append(ratios, ratio)
	}
	b.report(figure{
		name: p.name, ours: perCall(ours), baseline: perCall(base), ratio: median(ratios), bar: p.bar, atLeast: p.faster,
	})
	return nil
}

// calls is how many of them make a block, after a warm-up of both sides.
func (p pair[R]) calls(ctx context.Context, b *bench) (int, error) {
	if b.tiny {
		return 8, nil
	}
	for n := 8; ; n *= 2 {
		ours, base, err := p.half(ctx, 0, n, false)
		if err != nil || min(ours, base) >= blockTakes {
			return n, err
		}
	}
}

// half runs the same n calls on either side, compares the results and says how long
// each side took.
func (p pair[R]) half(ctx context.Context, from, n int, baselineFirst bool) (ours, base time.Duration, err error) {
	a, z := make([]R, n), make([]R, n)
	first := func() (err error) { ours, err = p.ours.block(ctx, "ours", p.clock(), from, a); return err }
	second := func() (err error) { base, err = p.baseline.block(ctx, "baseline", p.clock(), from, z); return err }
	if baselineFirst {
		first, second = second, first
	}
	if err := first(); err != nil {
		return 0, 0, err
	}
	if err := second(); err != nil {
		return 0, 0, err
	}
	for i := range n {
		if err := p.right(from+i, z[i]); err != nil {
			return 0, 0, fmt.Errorf("the baseline is wrong: %w", err)
		}
		if err := p.right(from+i, a[i]); err != nil {
			return 0, 0, fmt.Errorf("ours is wrong: %w", err)
		}
		if !p.same(a[i], z[i]) {
			return 0, 0, fmt.Errorf("ours gave %v and the baseline %v", a[i], z[i])
		}
	}
	return ours, base, nil
}

// clock is what a block is measured by. On a busy machine others work for most of the
// time that passes.
func (p pair[R]) clock() func() time.Duration {
	if p.alone {
		return spent
	}
	return elapsed
}

var begin = time.Now()

func elapsed() time.Duration { return time.Since(begin) }

func (s side[R]) block(ctx context.Context, name string, clock func() time.Duration, from int, results []R) (took time.Duration, err error) {
	pprof.Do(ctx, pprof.Labels("side", name), func(ctx context.Context) {
		call, end, fail := s(ctx)
		if fail != nil {
			err = fail
			return
		}
		start := clock()
		for i := range results {
			if results[i], err = call(from + i); err != nil {
				break
			}
		}
		took = clock() - start
		err = errors.Join(err, end())
	})
	return took, err
}

// decided reports that the median of what v was drawn from lies on one side of the bar,
// as sure as can be with 19 of 20: so many of v do.
func decided(v []float64, bar float64) bool {
	below := 0
	for _, x := range v {
		if x <= bar {
			below++
		}
	}
	return math.Abs(float64(2*below-len(v))) > 2*math.Sqrt(float64(len(v)))
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

func perCall(nanoseconds []float64) string {
	n := median(nanoseconds)
	if n < 1e4 {
		return fmt.Sprintf("%.0f ns", n)
	}
	return fmt.Sprintf("%.1f µs", n/1e3)
}
