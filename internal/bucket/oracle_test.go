package bucket

import (
	"math"
	"testing"
	"time"

	"golang.org/x/time/rate"
	"pgregory.net/rapid"
)

// The bucket is that of x/time/rate, call by call: with tokens that are owed and given
// back, under limits that change, and when callers come late.
func TestTable_IsXTimeRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab := New[int](1 << 10)
		limits := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Limit {
			return Limit{
				Rate:  rate.Limit(rapid.SampledFrom([]float64{1e-4, 0.01, 0.3, 1, 7, 10, 999, 40_000, 3e6, 5e9}).Draw(t, "rate")),
				Burst: rapid.SampledFrom([]int{1, 2, 3, 7, 10, 50, 1000, 1e6}).Draw(t, "burst"),
			}
		}), 1, 2).Draw(t, "limits")
		limit := limits[0]
		now := t0
		oracle := rate.NewLimiter(limit.Rate, limit.Burst)
		last := now // that it was written
		tab.Charge(now, 1, limit)
		oracle.ReserveN(now, 1)
		for range rapid.IntRange(1, 80).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.OneOf(
				rapid.Just[int64](0), rapid.Int64Range(0, 1000), rapid.Int64Range(0, 1e9), rapid.Int64Range(0, 1e14),
			).Draw(t, "passed")))
			late := now.Add(-time.Duration(rapid.SampledFrom([]int64{0, 0, 0, 1, 1e6, 1e10}).Draw(t, "late")))
			at := late // for x/time/rate, which does not keep late ones from filling it twice
			if at.Before(last) {
				at = last
			}
			if next := rapid.SampledFrom(limits).Draw(t, "limit"); next != limit {
				if limit = next; oracle.TokensAt(at) >= float64(oracle.Burst()) { // full is the same as new
					oracle = rate.NewLimiter(limit.Rate, limit.Burst)
				} else {
					oracle.SetLimitAt(at, limit.Rate)
					oracle.SetBurstAt(at, limit.Burst)
				}
				last = at
			}
			switch rapid.SampledFrom([]string{"take", "take", "take", "charge", "give back"}).Draw(t, "op") {
			case "charge":
				tab.Charge(late, 1, limit)
				oracle.ReserveN(at, 1)
				last = at
			case "give back":
				tab.GiveBack(late, 1, limit)
				oracle.ReserveN(at, -1)
				last = at
			default:
				n := rapid.OneOf(rapid.IntRange(-1, 12), rapid.IntRange(0, limit.Burst+1)).Draw(t, "n")
				d := tab.Take(late, 1, limit, n)
				if want := n > 0 && oracle.AllowN(at, n); n > 0 && d.Allowed != want {
					t.Fatalf("%d of %v: %t, x/time/rate says %t with %g", n, limit, d.Allowed, want, oracle.TokensAt(at))
				} else if want {
					last = at
				}
				if want := decide(limit, oracle.TokensAt(at), n, d.Allowed); d != want {
					t.Fatalf("%d of %v: %+v, want %+v", n, limit, d, want)
				}
			}
		}
	})
}

// A clock may show anything, from one call to the next: a bucket never holds more than
// its burst, and goes on.
func TestTable_OutlivesEveryClock(t *testing.T) {
	limit := Limit{Rate: 1, Burst: 3}
	for _, begin := range []time.Time{{}, time.Unix(0, 0), t0, time.Unix(math.MaxInt32, 0).AddDate(500, 0, 0)} {
		tab := New[string](8)
		tab.Take(begin, "k", limit, 3)
		if d := tab.Take(begin.Add(2*time.Second), "k", limit, 2); !d.Allowed || d.Remaining != 0 {
			t.Errorf("from %v: %+v", begin, d)
		}
		for _, years := range []int{1, 100, 1000, -5000, 9000, -20_000, 20_000} {
			if d := tab.Take(begin.AddDate(years, 0, 0), "k", limit, 0); d.Remaining < 0 || d.Remaining > 3 || d.RetryAfter < 0 || d.Reset < 0 {
				t.Errorf("from %v, %d years on: %+v", begin, years, d)
			}
		}
		tab.Take(begin.AddDate(-20_000, 0, 0), "early", limit, 3)
		for _, key := range []string{"k", "early"} {
			if d := tab.Take(begin.AddDate(20_000, 0, 0), key, limit, 3); !d.Allowed {
				t.Errorf("from %v, ages on: %s got %+v", begin, key, d)
			}
		}
	}
}
