package bucket

import (
	"testing"

	"pgregory.net/rapid"
)

// An index finds what was added and not removed, whatever places their hashes share.
func TestIndex_IsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x index[int]
		model := map[int]*bucket[int]{}
		hashes := rapid.SliceOfN(rapid.Uint64(), 1, 5).Draw(t, "hashes")
		for range rapid.IntRange(1, 150).Draw(t, "operations") {
			key := rapid.IntRange(0, 40).Draw(t, "key")
			hash := hashes[key%len(hashes)]
			switch b := model[key]; {
			case b == nil:
				b = newBucket(key, hash, 0, Limit{1, 1})
				x.add(b)
				model[key] = b
			case rapid.Bool().Draw(t, "remove"):
				x.remove(b)
				delete(model, key)
			}
			for key := range 41 {
				if got := x.find(hashes[key%len(hashes)], key); got != model[key] {
					t.Fatalf("%d: %v, want %v", key, got, model[key])
				}
			}
			if x.n != len(model) {
				t.Fatalf("it holds %d, want %d", x.n, len(model))
			}
		}
	})
}
