package credits

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var day = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func TestBurnOrder_EachTieIsBrokenByTheNextRule(t *testing.T) {
	// Each grant loses to the one before it by one rule, and every later rule
	// speaks for it.
	order := []grantRow{
		{Priority: -1, Category: CategoryPaid, EffectiveAt: day.AddDate(0, 0, 9), ID: "9"},
		{Priority: 0, ExpiresAt: day.AddDate(0, 0, 1), Category: CategoryPaid, EffectiveAt: day.AddDate(0, 0, 8), ID: "8"},
		{Priority: 0, ExpiresAt: day.AddDate(0, 0, 2), Category: CategoryPaid, EffectiveAt: day.AddDate(0, 0, 7), ID: "7"},
		{Priority: 0, Category: CategoryAllowance, EffectiveAt: day.AddDate(0, 0, 6), ID: "6"},
		{Priority: 0, Category: CategoryPromo, EffectiveAt: day.AddDate(0, 0, 5), ID: "5"},
		{Priority: 0, Category: CategoryAdjustment, EffectiveAt: day.AddDate(0, 0, 4), ID: "4"},
		{Priority: 0, Category: CategoryPaid, EffectiveAt: day.AddDate(0, 0, 1), ID: "3"},
		{Priority: 0, Category: CategoryPaid, EffectiveAt: day.AddDate(0, 0, 2), ID: "1"},
		{Priority: 0, Category: CategoryPaid, EffectiveAt: day.AddDate(0, 0, 2), ID: "2"},
		{Priority: 1, ExpiresAt: day.AddDate(0, 0, 1), Category: CategoryAllowance, EffectiveAt: day, ID: "0"},
	}
	for i, a := range order {
		for j, b := range order {
			if got, want := burnOrder(a, b), compareInts(i, j); got != want {
				t.Errorf("burnOrder(%s, %s) = %d, want %d", a.ID, b.ID, got, want)
			}
		}
	}
}

func compareInts(a, b int) int { return min(1, max(-1, a-b)) }

func TestInEffect_FromTheFirstInstantToBeforeTheLast(t *testing.T) {
	g := grantRow{EffectiveAt: day, ExpiresAt: day.Add(time.Hour)}
	for _, c := range []struct {
		at   time.Time
		want bool
	}{
		{day.Add(-time.Microsecond), false},
		{day, true},
		{day.Add(time.Hour - time.Microsecond), true},
		{day.Add(time.Hour), false},
	} {
		if got := g.inEffect(c.at); got != c.want {
			t.Errorf("at %s: %v", c.at, got)
		}
	}
	if g.ExpiresAt = (time.Time{}); !g.inEffect(day.AddDate(5000, 0, 0)) {
		t.Error("a grant that never expires did")
	}
}

func TestTake_ConservesAndNeverTakesMoreThanRemains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		grants, total := drawGrants(t)
		n := rapid.Int64Range(1, total).Draw(t, "n")
		b := &book{now: day}
		for i := range grants {
			b.live = append(b.live, &grants[i])
		}
		got := b.take("", n)
		var sum int64
		for i, s := range got {
			if s.grant.ID != grants[i].ID {
				t.Fatalf("part %d is from %s, not from %s", i, s.grant.ID, grants[i].ID)
			}
			if s.amount >= 0 || -s.amount > grants[i].Remaining {
				t.Fatalf("took %d of %d", -s.amount, grants[i].Remaining)
			}
			if i < len(got)-1 && -s.amount != grants[i].Remaining {
				t.Fatalf("went on from %s before it was empty", s.grant.ID)
			}
			sum -= s.amount
		}
		if sum != n {
			t.Fatalf("took %d, not %d", sum, n)
		}
	})
}

func TestGiveBack_ConservesInTheOrderOfWhatIsOwed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		grants, total := drawGrants(t)
		owed := make([]share, len(grants))
		for i, g := range grants {
			owed[i] = share{g.ID, g.Remaining}
		}
		n := rapid.Int64Range(0, total).Draw(t, "n")
		want := n
		if n == 0 {
			want = total
		}
		left, i := want, 0
		for _, s := range giveBack(owed, n) {
			for owed[i].grant != s.grant {
				if owed[i].amount != 0 {
					t.Fatalf("%s was passed over", owed[i].grant)
				}
				i++
			}
			if s.amount != min(left, owed[i].amount) || s.amount == 0 {
				t.Fatalf("gave %d back to %s, which is owed %d of %d", s.amount, s.grant, owed[i].amount, left)
			}
			left -= s.amount
			owed[i].amount -= s.amount
		}
		if left != 0 {
			t.Fatalf("%d of %d were not given back", left, want)
		}
		if total < math.MaxInt64 {
			if got := giveBack(owed, total+1); got != nil {
				t.Fatalf("more than is owed: %v", got)
			}
		}
	})
}

func TestGiveBack_NothingOwedGivesNothing(t *testing.T) {
	for _, n := range []int64{0, 1, math.MaxInt64} {
		if got := giveBack([]share{{"a", 0}, {"b", 0}}, n); got != nil {
			t.Errorf("%d: %v", n, got)
		}
	}
}

// drawGrants is one grant or more with something in them, and their sum.
func drawGrants(t *rapid.T) (grants []grantRow, total int64) {
	ids := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{3}`), 1, 8, rapid.ID[string]).Draw(t, "ids")
	for _, id := range ids {
		n := rapid.Int64Range(1, math.MaxInt64/8).Draw(t, id)
		grants, total = append(grants, grantRow{ID: id, Remaining: n}), total+n
	}
	return grants, total
}

func TestAdd_RefusesBothEndsOfInt64(t *testing.T) {
	for _, c := range []struct {
		a, b int64
		ok   bool
	}{
		{math.MaxInt64, 0, true},
		{math.MaxInt64 - 1, 1, true},
		{math.MaxInt64, 1, false},
		{1, math.MaxInt64, false},
		{math.MaxInt64, math.MaxInt64, false},
		{math.MinInt64, -1, false},
		{math.MinInt64, math.MinInt64, false},
		{math.MinInt64, math.MaxInt64, true},
		{math.MinInt64, 0, true},
	} {
		got, err := add(c.a, c.b)
		if (err == nil) != c.ok || c.ok && got != c.a+c.b {
			t.Errorf("%d + %d: %d, %v", c.a, c.b, got, err)
		}
	}
}

func TestCategories_AreAllOrdered(t *testing.T) {
	want := []Category{CategoryAllowance, CategoryPromo, CategoryAdjustment, CategoryPaid}
	if d := cmp.Diff(want, categories); d != "" || slices.Index(categories, "") >= 0 {
		t.Error(d)
	}
}
