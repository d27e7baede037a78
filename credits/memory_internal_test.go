package credits

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/tenancy"
)

// heap is what is on the heap, once the garbage is gone.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What the manual says an account that is remembered takes.
func TestMemory_ARememberedAccountTakesLessThan300Bytes(t *testing.T) {
	var s shelf
	before := heap()
	for range mostShelved {
		s.put(shelved{account: tenancy.AccountID(id.New("acc"))}, standing{epoch: 1, until: time.Unix(1, 0)})
	}
	each := (heap() - before) / mostShelved
	t.Logf("%d bytes each", each)
	if each > 300 {
		t.Errorf("%d bytes each", each)
	}
	runtime.KeepAlive(&s)
}

// What the manual says a request that waits takes, besides the goroutine that is there
// anyway.
func TestMemory_ARequestThatWaitsTakesLessThan2KiB(t *testing.T) {
	db := dbtest.SQLite(t, Migrate)
	l := funded(t, db, Config{}, accA)
	release := lockedElsewhere(t, db, accA)
	first := ahead(t.Context(), t, l, db, Deduct{Account: accA, Amount: 1}, 0)
	ctx, cancel := context.WithCancel(t.Context())
	const callers = 2000
	errs := make(chan error, callers)
	before := heap()
	for i := range callers {
		go func() {
			_, err := l.Deduct(ctx, db, Deduct{Account: accA, Amount: 1, Key: fmt.Sprint("req:", i)})
			errs <- err
		}()
	}
	await(t, "they wait", func() bool { return l.waiters() == callers })
	each := (heap() - before) / callers
	t.Logf("%d bytes each", each)
	if each > 2048 {
		t.Errorf("%d bytes each", each)
	}
	cancel()
	for range callers {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	release()
	if a := <-first; a.err != nil {
		t.Error(a.err)
	}
}
