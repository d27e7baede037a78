package credits

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A share that cannot be is damage: to go on would let go of other credits than are held.
func TestHold_OfPartsThatAreNoneIsDamage(t *testing.T) {
	parts := []share{{"grt_1", 1}, {"grt_2", 30}}
	got, err := parseParts(formatParts(parts))
	if d := cmp.Diff(parts, got, cmp.AllowUnexported(share{})); d != "" || err != nil {
		t.Error(d, err)
	}
	for _, text := range []string{"grt_1 0\n", "grt_1 -1\n", " 5\n", "grt_1\n", "grt_1 x\n", "grt_1 1 2\n", "\n", "grt_1 1\n 5\n"} {
		if got, err := parseParts(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}
