package authn

import "sync"

// known are the pairs by which somebody has signed in, as many as remembered: when half
// as many new ones have come, those that were not seen since are forgotten.
type known struct {
	mu       sync.Mutex
	now, old map[pair]struct{}
}

func (k *known) has(p pair) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.now[p]; ok {
		return true
	}
	_, ok := k.old[p]
	return ok
}

// add is for every right password: it keeps a pair that is known from being forgotten.
func (k *known) add(p pair) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.now[p]; !ok && len(k.now) >= remembered/2 {
		k.now, k.old = nil, k.now
	}
	if k.now == nil {
		k.now = map[pair]struct{}{}
	}
	k.now[p] = struct{}{}
}
