package credits

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is done under the lock may be done again: it begins with what was there before it.
func TestVerification_AClonesWalkIsItsOwn(t *testing.T) {
	v := verification{counts: map[string]int64{}, walk: newWalk()}
	v.walk.grants["g"] = walkedGrant{number: 1}
	v.finding("before", 0, "x")
	for range 2 {
		c := v.clone()
		c.entry(walkedEntry{Number: 1, Amount: 5, Balance: 5, Spendable: 5})
		c.split(1, "g", 5)
		c.finding("after", 0, "x")
		want := walkedGrant{number: 1, begun: true, given: 5, left: 5}
		if d := cmp.Diff(want, c.walk.grants["g"], cmp.AllowUnexported(walkedGrant{})); d != "" || c.walk.total != 5 || len(c.findings()) != 3 {
			t.Errorf("%s, %d in all, findings %v", d, c.walk.total, c.findings())
		}
	}
	if d := cmp.Diff([]Finding{{Rule: "before", Detail: "x"}}, v.findings()); d != "" {
		t.Error(d)
	}
}
