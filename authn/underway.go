package authn

import (
	"sync"

	"github.com/quitrent/quitrent/internal/clientaddr"
)

// underway counts what is tried from each network address and has not ended, so that
// none of them has all the places in which passwords wait to be hashed.
type underway struct {
	most int
	mu   sync.Mutex
	n    map[clientaddr.Key]int
}

// enter reports that there is room, which leave makes again.
func (u *underway) enter(addr clientaddr.Key) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.n[addr] >= u.most {
		return false
	}
	u.n[addr]++
	return true
}

func (u *underway) leave(addr clientaddr.Key) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.n[addr]--; u.n[addr] <= 0 {
		delete(u.n, addr)
	}
}
