package changes

import (
	"sync/atomic"

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
	until int64
	ended uint32 // as many lives had, when none of these had
	lives [maxSubjects]*Life
}

// maxSubjects is how many subjects a value can depend on.
const maxSubjects = 3

// over reports that one of the lives has ended. They are looked at where any has ended
// since they were looked at last. That nothing lasts longer than MaxAge keeps the number
// from coming round.
func (m *memory[V]) over(f *Feed) bool {
	ended := f.ended.Load() // before the lives
	if atomic.LoadUint32(&m.ended) == ended {
		return false
	}
	for _, l := range m.lives {
		if l != nil && l.Over() {
			return true
		}
	}
	atomic.StoreUint32(&m.ended, ended)
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
		if got := m.values.Find(k); got != nil && now.mono < got.until && !got.over(m.feed) {
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
		kept := memory[V]{value: value(lives), until: t.at + int64(MaxAge), ended: m.feed.ended.Load() - 1} // and so looked at
		if copy(kept.lives[:], lives) == len(lives) {
			m.values.Put(k, kept)
		}
	}, subjects...)
}
