package changes

import (
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/cache"
)

// Memo remembers values of one kind that were loaded from the database of a Feed.
type Memo[K comparable, V any] struct {
	feed   *Feed
	values *cache.Map[K, memory[V]]
}

// memory is a value with what it depends on. It is small, and lies in the map itself: a
// pointer more is a wait for memory more in every request.
type memory[V any] struct {
	value V
	lives [maxSubjects]*Life
	until int64
}

// maxSubjects is how many subjects a value can depend on.
const maxSubjects = 3

func (m *memory[V]) over() bool {
	for _, l := range m.lives {
		if l != nil && l.Over() {
			return true
		}
	}
	return false
}

// NewMemo remembers at most most values. hash spreads their keys.
func NewMemo[K comparable, V any](feed *Feed, most int, hash func(K) uint64) *Memo[K, V] {
	return &Memo[K, V]{feed: feed, values: cache.New[K, memory[V]](most, hash, nil)}
}

// Get is what is remembered under k and still counts now.
func (m *Memo[K, V]) Get(db bun.IDB, now Instant, k K) (V, bool) {
	return m.get(db, m.feed.moment(now), k)
}

func (m *Memo[K, V]) get(db bun.IDB, now moment, k K) (V, bool) {
	if m.feed.fresh(db, now) {
		if got, ok := m.values.Get(k); ok && !got.over() && now.mono < got.until {
			return got.value, true
		}
	}
	var none V
	return none, false
}

// Len is how many values there are, those that count no more among them.
func (m *Memo[K, V]) Len() int { return m.values.Len() }

// Keep remembers under k what value makes, as long as none of the subjects changes. t
// is from before it was loaded. value is given the lives of the subjects, for what has
// a use for them, and is not called where nothing is remembered. There are at most
// three subjects.
func (m *Memo[K, V]) Keep(t Ticket, db bun.IDB, k K, value func(lives []*Life) V, subjects ...string) bool {
	return m.feed.keep(t, db, func(lives []*Life) {
		kept := memory[V]{value: value(lives), until: t.at + int64(MaxAge)}
		if copy(kept.lives[:], lives) == len(lives) {
			m.values.Put(k, kept)
		}
	}, subjects...)
}
