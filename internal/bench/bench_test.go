package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
)

func TestMain(m *testing.M) {
	if isChild() || isServer() {
		return
	}
	dbtest.Main(m, nil)
}

func tiny() (*bench, *bytes.Buffer) {
	var out bytes.Buffer
	return &bench{out: &out, tiny: true}, &out
}

// The figures themselves say nothing here: only that both sides give what is right.
func TestTenancy_EveryFigureGivesTheRowsOfTheBaseline(t *testing.T) {
	want := map[string]int{"postgres": 7, "sqlite": 6}
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		_, name, _ := strings.Cut(t.Name(), "/")
		b, out := tiny()
		if err := scopedReads(t.Context(), b, database{name: name, dsn: dbtest.DSN(db), db: db}); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), "\n"); n != want[name] {
			t.Errorf("%d figures instead of %d:\n%s", n, want[name], out)
		}
	})
}

func TestGuard_TheWholeServerGivesEachCallerItsPage(t *testing.T) {
	b, out := tiny()
	if err := whole(t.Context(), b); err != nil || strings.Count(out.String(), "\n") != 1 {
		t.Error(err, out)
	}
}

// steps is a side that gives the number of the call, but for one.
func steps(wrong int) side[int] {
	return func(context.Context) (func(int) (int, error), func() error, error) {
		return func(i int) (int, error) {
				if i == wrong {
					return -1, nil
				}
				return i, nil
			}, func() error { return nil },
			nil
	}
}

func fails(at string) side[int] {
	err := errors.New(at)
	return func(context.Context) (func(int) (int, error), func() error, error) {
		switch at {
		case "open":
			return nil, nil, err
		case "end":
			return func(i int) (int, error) { return i, nil }, func() error { return err }, nil
		}
		return func(int) (int, error) { return 0, err }, func() error { return nil }, nil
	}
}

func TestCompare_IsNoFigureWhenAResultIsWrong(t *testing.T) {
	right := func(i, r int) error {
		if r != i {
			return fmt.Errorf("%d", r)
		}
		return nil
	}
	anything := func(int, int) error { return nil }
	same := func(a, b int) bool { return a == b }
	good := steps(-1)
	for _, c := range []struct {
		want  string
		ours  side[int]
		base  side[int]
		right func(i, r int) error
	}{
		{"", good, good, right},
		{"ours is wrong", steps(3), good, right},
		{"ours is wrong", steps(11), good, right}, // in the second half
		{"the baseline is wrong", good, steps(3), right},
		{"ours gave -1 and the baseline 3", steps(3), good, anything},
		{"open", fails("open"), good, right},
		{"call", good, fails("call"), right},
		{"end", fails("end"), good, right},
	} {
		b, out := tiny()
		err := compare(t.Context(), b, pair[int]{name: "steps", bar: 1, ours: c.ours, baseline: c.base, right: c.right, same: same})
		switch {
		case c.want == "" && (err != nil || out.Len() == 0):
			t.Error(err, out)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || out.Len() > 0):
			t.Errorf("want %q: %v, %s", c.want, err, out)
		}
	}
}

func TestFigure_IsShortBeyondItsBar(t *testing.T) {
	for _, c := range []struct {
		ratio, bar float64
		atLeast    bool
		want       bool
	}{
		{1.1, 1.1, false, true},
		{1.11, 1.1, false, false},
		{25, 25, true, true},
		{24.9, 25, true, false},
	} {
		if got := (figure{ratio: c.ratio, bar: c.bar, atLeast: c.atLeast}).ok(); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestRun_ExitsWithOneForAShortFigureOrAnError(t *testing.T) {
	with := func(f figure, err error) func(context.Context, *bench) error {
		return func(_ context.Context, b *bench) error {
			if err == nil {
				b.report(f)
			}
			return err
		}
	}
	areas := []area{
		{"good", with(figure{name: "the good", ratio: 1, bar: 2}, nil)},
		{"slow", with(figure{name: "the slow", ratio: 3, bar: 2}, nil)},
		{"wrong", with(figure{}, errors.New("other rows"))},
	}
	for _, c := range []struct {
		names string
		code  int
		says  []string
	}{
		{"good", 0, []string{"the good", "1.000", "≤ 2.00", "ok"}},
		{"slow", 1, []string{"the slow", "short"}},
		{"slow good", 1, []string{"the good", "short"}},
		{"wrong good", 1, []string{"wrong: other rows", "the good"}},
		{"", 1, []string{"the good", "the slow", "other rows"}},
		{"good nothing", 1, []string{"nothing is no area: good, slow, wrong"}},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), &out, areas, strings.Fields(c.names)); code != c.code {
			t.Errorf("%q exits with %d", c.names, code)
		}
		for _, s := range c.says {
			if !strings.Contains(out.String(), s) {
				t.Errorf("%q does not say %q:\n%s", c.names, s, &out)
			}
		}
	}
}

func TestDecided_WantsMostRatiosOnOneSideOfTheBar(t *testing.T) {
	ratios := func(below, above int) (v []float64) {
		for range below {
			v = append(v, 1)
		}
		for range above {
			v = append(v, 2)
		}
		return v
	}
	for _, c := range []struct {
		below, above int
		want         bool
	}{
		{100, 100, false}, {110, 90, false}, {115, 85, true}, {85, 115, true}, {200, 0, true},
	} {
		if got := decided(ratios(c.below, c.above), 1.5); got != c.want {
			t.Errorf("%d below and %d above: %v", c.below, c.above, got)
		}
	}
}

func TestGuard_NoMoreKeysAreRememberedThanMay(t *testing.T) {
	b, out := tiny()
	if err := remembered(t.Context(), b); err != nil || strings.Count(out.String(), "\n") != 1 {
		t.Error(err, out)
	}
}
