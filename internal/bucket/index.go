package bucket

import "math/bits"

// index finds buckets by key: a hash table with open addressing, at most half full, so
// that the first place looked at is the right one as a rule. It never shrinks: a shard
// that was full once will be again.
type index[K comparable] struct {
	places []*bucket[K] // a power of two
	n      int
}

// fewest is how many places there are at least. A power of two.
const fewest = 8

// first is where to look for a hash first. The lower bits are those of the shard.
func (x *index[K]) first(hash uint64) int {
	return int(hash * 0x9e3779b97f4a7c15 >> (64 - bits.TrailingZeros(uint(len(x.places)))))
}

func (x *index[K]) find(hash uint64, key K) *bucket[K] {
	if x.n == 0 {
		return nil
	}
	for at := x.first(hash); ; at++ {
		at &= len(x.places) - 1
		if b := x.places[at]; b == nil || b.hash == hash && b.key == key {
			return b
		}
	}
}

// add adds a bucket whose key is not there.
func (x *index[K]) add(b *bucket[K]) {
	if 2*(x.n+1) > len(x.places) {
		old := x.places
		*x = index[K]{places: make([]*bucket[K], max(fewest, 2*len(old)))}
		for _, b := range old {
			if b != nil {
				x.add(b)
			}
		}
	}
	at := x.first(b.hash)
	for x.places[at] != nil {
		at = (at + 1) & (len(x.places) - 1)
	}
	x.places[at] = b
	x.n++
}

// remove takes out a bucket that is there, and moves those behind it up: a search ends
// at the first empty place.
func (x *index[K]) remove(b *bucket[K]) {
	mask := len(x.places) - 1
	at := x.first(b.hash)
	for x.places[at] != b {
		at = (at + 1) & mask
	}
	x.places[at] = nil
	x.n--
	for next := (at + 1) & mask; x.places[next] != nil; next = (next + 1) & mask {
		// One whose search begins behind the gap must stay there.
		if b := x.places[next]; (next-x.first(b.hash))&mask >= (next-at)&mask {
			x.places[at], x.places[next] = b, nil
			at = next
		}
	}
}
