package authn_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quitrent/quitrent/authn"
)

// inUse are the secrets that programs have: the one before the last rotation may still
// be in their hands.
type inUse struct{ round, old, fresh string }

// Requests on their way with an old or a new secret are let in throughout 50 rotations,
// each of which comes when every program has the secret of the one before.
func TestRotate_LosesNoRequestInFlight(t *testing.T) {
	const (
		programs  = 2
		rotations = 50
		overlap   = 3 * time.Minute
	)
	modes(t, func(t *testing.T, h *house, read func()) {
		ada := h.register(t, "ada@example.com")
		key := h.issue(t, ada)
		read()
		var (
			secrets atomic.Pointer[inUse]
			saw     = make(chan struct{}, programs)
			stop    atomic.Bool
			running sync.WaitGroup
		)
		secrets.Store(&inUse{"the beginning", key.Secret, key.Secret})
		server := h.keys.Middleware(h.db, 0)(whoami)
		for range programs {
			running.Go(func() {
				var last *inUse
				for !stop.Load() {
					now := secrets.Load()
					for _, secret := range []string{now.old, now.fresh} {
						if w := over(server, secret); w.Code != 200 {
							t.Errorf("%s: %d %s", now.round, w.Code, w.Body)
						}
					}
					if now != last {
						last = now
						saw <- struct{}{}
					}
				}
			})
		}
		defer running.Wait()
		defer stop.Store(true)
		for i := range rotations {
			for range programs {
				<-saw
			}
			h.clock.Advance(overlap / 4) // so that five secrets live at a time, and not six
			again := h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: operator, Overlap: overlap})
			secrets.Store(&inUse{fmt.Sprintf("rotation %d", i), secrets.Load().fresh, again.Secret})
			if i%2 == 0 {
				read()
			}
		}
		wantErr(t, "the first secret, in the end", h.verify(t, key.Secret), authn.ErrBadCredential)
	})
}
