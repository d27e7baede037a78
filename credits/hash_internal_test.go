package credits

import (
	"testing"
	"time"
)

func TestHash_TellsPartsApart(t *testing.T) {
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	forms := [][]any{
		{}, {""}, {"", ""}, {"ab"}, {"a", "b"}, {"", "ab"}, {"ab", ""}, {"a\x00b"},
		{KindDeduct, int64(1), "1"}, {KindDeduct, int64(11), ""}, {KindRefund, int64(1), "1"},
		{time.Time{}, at}, {at, time.Time{}}, {at, at.Add(time.Microsecond)},
	}
	seen := map[string][]any{}
	for _, f := range forms {
		h := hashOf(f)
		if twin, ok := seen[h]; ok {
			t.Errorf("%q and %q have one digest", twin, f)
		}
		seen[h] = f
	}
}

func TestHash_IsOfTheInstantWhateverItsZone(t *testing.T) {
	at := time.Date(2026, 3, 1, 9, 0, 0, 1000, time.UTC)
	if hashOf([]any{at}) != hashOf([]any{at.In(time.FixedZone("", 3600))}) {
		t.Error("one instant has two digests")
	}
}

// A digest that is stored today must be found again by the program of tomorrow.
func TestHash_OfADeductionStaysWhatItIs(t *testing.T) {
	const want = "497de301170393be6d8ff9ce441c99828ee936d749b3af7706e2ae61e56e10cc"
	if got := hashOf([]any{KindDeduct, int64(5), "ideas"}); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func FuzzHash(f *testing.F) {
	f.Add("deduct", int64(1), "ideas", "deduct", int64(1), "ideas")
	f.Add("a", int64(1), "b", "a1", int64(0), "b")
	f.Add("", int64(-1), "\x00", "", int64(-1), "")
	f.Fuzz(func(t *testing.T, k1 string, n1 int64, o1, k2 string, n2 int64, o2 string) {
		same := k1 == k2 && n1 == n2 && o1 == o2
		if got := hashOf([]any{k1, n1, o1}) == hashOf([]any{k2, n2, o2}); got != same {
			t.Errorf("(%q %d %q) and (%q %d %q): one digest: %v", k1, n1, o1, k2, n2, o2, got)
		}
		if hashOf([]any{k1, o1}) == hashOf([]any{k1 + o1}) {
			t.Errorf("%q and %q run together", k1, o1)
		}
	})
}
