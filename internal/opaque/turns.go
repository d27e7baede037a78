package opaque

import (
	"context"
	"sync"
)

// Turns lets one at a time do something with a token in this process: what a token is
// used for costs a password's hash, and of many requests with one token all but one are
// in vain. The zero value works, for any number of goroutines.
type Turns struct {
	mu    sync.Mutex
	queue map[string]*queue
}

type queue struct {
	turn chan struct{} // holds an element while somebody has the turn
	in   int           // how many have it or wait for it
}

// Take waits for its turn with the token that has this hash, and no longer than ctx.
// Whoever gets it asks the database afterwards, and calls done at the end.
func (t *Turns) Take(ctx context.Context, hash string) (done func(), err error) {
	t.mu.Lock()
	q, ok := t.queue[hash]
	if !ok {
		if t.queue == nil {
			t.queue = map[string]*queue{}
		}
		q = &queue{turn: make(chan struct{}, 1)}
		t.queue[hash] = q
	}
	q.in++
	t.mu.Unlock()
	select {
	case q.turn <- struct{}{}:
		return func() { <-q.turn; t.leave(hash, q) }, nil
	case <-ctx.Done():
		t.leave(hash, q)
		return nil, ctx.Err()
	}
}

func (t *Turns) leave(hash string, q *queue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q.in--; q.in == 0 {
		delete(t.queue, hash)
	}
}
