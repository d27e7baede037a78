package credits

import "testing"

func TestBudgetError_NothingIsLeftOfWhatIsUsedUp(t *testing.T) {
	for _, c := range []struct{ limit, used, want int64 }{{10, 8, 2}, {10, 10, 0}, {10, 12, 0}} {
		if got := (&BudgetError{Limit: c.limit, Used: c.used}).left(); got != c.want {
			t.Errorf("%d of %d: %d left", c.used, c.limit, got)
		}
	}
}
