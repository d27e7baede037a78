package throttle

import (
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/time/rate"
	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/tenancy"
)

func TestTake_DecidesAsXTimeRateDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newClock()
		// Room for every key, little enough that full buckets are dropped.
		l := New(Config{Now: c.now, MaxKeys: 16})
		limits := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Limit {
			return Limit{
				Rate:  rate.Limit(rapid.SampledFrom([]float64{0.01, 0.3, 1, 7, 10, 1000, 40_000, 3e6, 5e9}).Draw(t, "rate")),
				Burst: rapid.IntRange(1, 40).Draw(t, "burst"),
			}
		}), 3, 3).Draw(t, "limits")
		var nano float64 // tokens a nanosecond, at most
		for _, l := range limits {
			nano = max(nano, float64(l.Rate)/1e9)
		}
		oracle := map[string]*rate.Limiter{}
		for range rapid.IntRange(1, 60).Draw(t, "calls") {
			c.pass(time.Duration(rapid.OneOf(rapid.Int64Range(0, 1000), rapid.Int64Range(0, 1e9), rapid.Just[int64](0)).Draw(t, "passed")))
			now := c.now()
			key := string('a' + rune(rapid.IntRange(0, 11).Draw(t, "key")))
			limit := rapid.SampledFrom(limits).Draw(t, "limit")
			n := rapid.IntRange(-1, 45).Draw(t, "n")

			o := oracle[key]
			if o == nil || o.TokensAt(now) >= float64(o.Burst()) { // full is the same as new
				o = rate.NewLimiter(limit.Rate, limit.Burst)
				oracle[key] = o
			}
			o.SetLimitAt(now, limit.Rate)
			o.SetBurstAt(now, limit.Burst)

			d := l.Take(key, limit, n)
			if want := n > 0 && o.AllowN(now, n); n > 0 && d.Allowed != want {
				t.Fatalf("Take(%s, %v, %d).Allowed = %t, x/time/rate says %t", key, limit, n, d.Allowed, want)
			}
			if d.Limit != limit {
				t.Fatalf("decided under %v, asked under %v", d.Limit, limit)
			}
			// It lets pass what would have to wait for less than a nanosecond, so that
			// it goes below zero at a high rate.
			if tokens := o.TokensAt(now); math.Abs(float64(d.Remaining)-tokens) > 1+nano {
				t.Fatalf("%d left, x/time/rate has %g", d.Remaining, tokens)
			}
			if n <= 0 && d.Allowed != (d.Remaining > 0) {
				t.Fatalf("a look allows %t with %d left", d.Allowed, d.Remaining)
			}
		}
	})
}

// A decision's numbers are promises: what is Remaining can be taken and no more,
// more comes after Reset and not before, the call passes after RetryAfter.
func TestTake_KeepsWhatItPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := Limit{
			Rate:  rate.Limit(rapid.Float64Range(0.001, 1e6).Draw(t, "rate")),
			Burst: rapid.IntRange(1, 1000).Draw(t, "burst"),
		}
		const slack = 10 * time.Nanosecond // floating point
		spent := rapid.SliceOfN(rapid.IntRange(0, limit.Burst), 1, 5).Draw(t, "spent")
		waits := rapid.SliceOfN(rapid.Int64Range(0, 3e9), 5, 5).Draw(t, "waits")
		n := rapid.IntRange(1, limit.Burst).Draw(t, "n")
		// at is the limiter after that history and some time more, with what it
		// decides then.
		at := func(more time.Duration, n int) Decision {
			c := newClock()
			l := New(Config{Now: c.now})
			for i, s := range spent {
				l.Take("k", limit, s)
				c.pass(time.Duration(waits[i]))
			}
			c.pass(more)
			return l.Take("k", limit, n)
		}

		d := at(0, 0)
		if d.Remaining < 0 || d.Remaining > limit.Burst {
			t.Fatalf("%d left of %d", d.Remaining, limit.Burst)
		}
		if d.Remaining > 0 && !at(0, d.Remaining).Allowed {
			t.Fatalf("%d left cannot be taken", d.Remaining)
		}
		if at(0, d.Remaining+1).Allowed {
			t.Fatalf("more than the %d left was taken", d.Remaining)
		}
		if full := d.Remaining == limit.Burst; full != (d.Reset == 0) {
			t.Fatalf("%d of %d left, more in %v", d.Remaining, limit.Burst, d.Reset)
		}
		if d.Reset > 0 {
			if got := at(d.Reset, 0).Remaining; got <= d.Remaining {
				t.Fatalf("%d left after Reset, %d before", got, d.Remaining)
			}
			if early := d.Reset - slack; early > 0 {
				if got := at(early, 0).Remaining; got > d.Remaining {
					t.Fatalf("%d left before Reset, promised %d", got, d.Remaining)
				}
			}
		}
		if d := at(0, n); d.Allowed != (d.RetryAfter == 0) {
			t.Fatalf("allowed %t, retry after %v", d.Allowed, d.RetryAfter)
		} else if !d.Allowed {
			if !at(d.RetryAfter, n).Allowed {
				t.Fatalf("refused again after the %v it was told to wait", d.RetryAfter)
			}
			if early := d.RetryAfter - slack; early > 0 && at(early, n).Allowed {
				t.Fatalf("told to wait %v, which is longer than it takes", d.RetryAfter)
			}
			if d.RetryAfter < d.Reset {
				t.Fatalf("retry after %v, before there is more in %v", d.RetryAfter, d.Reset)
			}
		}
	})
}

func TestTake_WeightsPeeksAndTheImpossible(t *testing.T) {
	l := New(Config{Now: newClock().now})
	limit := Limit{Rate: 2, Burst: 10}
	for _, tc := range []struct {
		n    int
		want Decision
	}{
		{0, Decision{Allowed: true, Limit: limit, Remaining: 10}},
		{11, Decision{Limit: limit, Remaining: 10, RetryAfter: rate.InfDuration}},
		{7, Decision{Allowed: true, Limit: limit, Remaining: 3, Reset: time.Second / 2}},
		{-1, Decision{Allowed: true, Limit: limit, Remaining: 3, Reset: time.Second / 2}},
		{7, Decision{Limit: limit, Remaining: 3, Reset: time.Second / 2, RetryAfter: 2 * time.Second}},
		{11, Decision{Limit: limit, Remaining: 3, Reset: time.Second / 2, RetryAfter: rate.InfDuration}},
		{3, Decision{Allowed: true, Limit: limit, Reset: time.Second / 2}},
		{0, Decision{Limit: limit, Reset: time.Second / 2, RetryAfter: time.Second / 2}},
	} {
		if diff := cmp.Diff(tc.want, l.Take("k", limit, tc.n)); diff != "" {
			t.Errorf("n = %d (-want +got):\n%s", tc.n, diff)
		}
	}
}

func TestTake_CountsWhatTheEngineLetsPassBeforeItsTime(t *testing.T) {
	c := newClock()
	l := New(Config{Now: c.now})
	third := Limit{Rate: 3e6, Burst: 1} // a token every 333 ns and a third
	l.Take("third", third, 1)
	c.pass(333 * time.Nanosecond)
	if left := l.Take("third", third, 0).Remaining; left != 1 || !l.Take("third", third, 1).Allowed {
		t.Errorf("%d left, want 1 and that it can be taken", left)
	}
	quick := Limit{Rate: 5e9, Burst: 2} // five a nanosecond
	for range 2 {
		if d := l.Take("quick", quick, 2); !d.Allowed || d.Remaining != 2 {
			t.Errorf("%+v", d)
		}
	}
}

func TestTakeAccount_AndMiddlewareShareABucket(t *testing.T) {
	l := New(Config{Now: newClock().now})
	s := newSite(l)
	s.plans["a"] = plan(1, 5)
	scope := tenancy.Scope{Account: "a", Plan: plan(1, 5)}
	if !l.TakeAccount(scope, 3).Allowed {
		t.Fatal("refused")
	}
	l.Take("a", Limit{Rate: 1, Burst: 5}, 2) // a key of the host's is another thing
	wantPasses(t, s, 2, 5, "192.0.2.1:1", "X-API-Key", "a")
}

func TestLimit_ThatIsNoneIsTheDefault(t *testing.T) {
	def := Limit{Rate: 3, Burst: 4}
	l := New(Config{Now: newClock().now, Default: def})
	for _, p := range []tenancy.Plan{
		plan(0, 0), plan(0, 50), plan(-1, 10), plan(math.NaN(), 10), plan(math.Inf(1), 10), plan(math.Inf(-1), 10),
		plan(10, 0), plan(10, -1), plan(math.Inf(1), 0),
	} {
		if d := l.TakeAccount(tenancy.Scope{Account: "a", Plan: p}, 0); d.Limit != def {
			t.Errorf("plan of %g, %d: limit %v", p.Rate, p.Burst, d.Limit)
		}
		if d := l.Take("k", Limit{Rate: rate.Limit(p.Rate), Burst: p.Burst}, 0); d.Limit != def {
			t.Errorf("Take under %g, %d: limit %v", p.Rate, p.Burst, d.Limit)
		}
		l := New(Config{Default: Limit{rate.Limit(p.Rate), p.Burst}, Address: Limit{rate.Limit(p.Rate), p.Burst}})
		if l.cfg.Default != (Limit{10, 20}) || l.cfg.Address != (Limit{1, 20}) {
			t.Errorf("New with %g, %d: %v, %v", p.Rate, p.Burst, l.cfg.Default, l.cfg.Address)
		}
	}
}

func TestLimit_OfAnySizeGivesSaneNumbers(t *testing.T) {
	for _, limit := range []Limit{
		{math.SmallestNonzeroFloat64, 1}, {1e-9, 1}, {math.MaxFloat64, 1}, {1, math.MaxInt},
		{math.MaxFloat64, math.MaxInt}, {math.SmallestNonzeroFloat64, math.MaxInt},
	} {
		l := New(Config{Now: newClock().now})
		for _, n := range []int{0, 1, 1, math.MaxInt, limit.Burst} {
			d := l.Take("k", limit, n)
			if d.Remaining < 0 || d.Remaining > limit.Burst || d.RetryAfter < 0 || d.Reset < 0 {
				t.Errorf("%v: %+v", limit, d)
			}
			if n > 0 && d.Allowed != (d.RetryAfter == 0) {
				t.Errorf("%v: allowed %t, retry after %v", limit, d.Allowed, d.RetryAfter)
			}
			if d.Limit != limit {
				t.Errorf("%v was replaced by %v", limit, d.Limit)
			}
		}
	}
	most := strconv.FormatInt(min(int64(math.MaxInt), 999_999_999_999_999), 10) // int may have 32 bits
	for _, tc := range []struct {
		limit Limit
		want  string
	}{
		{Limit{10, 20}, `"p";q=20;w=2`},
		{Limit{10, 21}, `"p";q=21;w=3`},
		{Limit{1000, 1}, `"p";q=1;w=1`},
		{Limit{rate.Every(time.Hour), 5}, `"p";q=5;w=18000`},
		{Limit{math.SmallestNonzeroFloat64, math.MaxInt}, `"p";q=` + most + `;w=2147483647`},
	} {
		if got := policyField("p", tc.limit); got != tc.want {
			t.Errorf("%v: %s, want %s", tc.limit, got, tc.want)
		}
	}
	if got, want := stateField("p", Decision{Remaining: math.MaxInt, Reset: math.MaxInt64}), `"p";r=`+most+`;t=2147483647`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestTake_NeverLetsMoreThanTheBurstThroughAtOnce(t *testing.T) {
	const burst, goroutines, calls = 500, 8, 400
	l := New(Config{Now: newClock().now, MaxKeys: 128})
	scope := tenancy.Scope{Account: "a", Plan: plan(1, burst)}
	var keys, accounts atomic.Int64
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range calls {
				if l.Take("k", Limit{Rate: 1, Burst: burst}, 1).Allowed {
					keys.Add(1)
				}
				if l.TakeAccount(scope, 1).Allowed {
					accounts.Add(1)
				}
				l.Take(string([]byte{byte(g), byte(i)}), Limit{Rate: 1, Burst: 2}, 1) // and others come and go
			}
		})
	}
	wg.Wait()
	if keys.Load() != burst || accounts.Load() != burst {
		t.Errorf("%d and %d passed, want %d", keys.Load(), accounts.Load(), burst)
	}
}

func BenchmarkTake(b *testing.B) {
	l := New(Config{})
	limit := Limit{Rate: 1e6, Burst: 1e9}
	b.ReportAllocs()
	passed := 0
	for b.Loop() {
		if l.Take("acc_01jbqk3x5p0000000000", limit, 1).Allowed {
			passed++
		}
	}
	if passed != b.N {
		b.Fatalf("%d of %d passed", passed, b.N)
	}
}
