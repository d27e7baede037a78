package credits

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// Who goes on in another lane takes those of its account along who wait behind it, in
// their order, and nobody else. Who does not wait for an answer of others serves itself
// there, unless somebody is at work already.
func TestCombine_AnAccountMovesToAnotherLaneAsAWhole(t *testing.T) {
	db := bun.NewDB(nil, pgdialect.New())
	from := lane{db: db.DB, way: bySwift}
	to := lane{db: db.DB, way: byLocks}
	type state struct {
		First    bool
		From, To []string
		Waiting  int
		At       way  // of the account
		Answered bool // by others, who moves
	}
	for name, c := range map[string]struct {
		moves, behind int  // callers of the account
		waits         bool // those who move were in a queue
		atWork        bool // somebody is in the other lane
		want          state
	}{
		"alone":                      {1, 0, false, false, state{true, []string{"b"}, nil, 1, byLocks, false}},
		"with others behind":         {1, 2, false, false, state{true, []string{"b"}, []string{"a1", "a2"}, 3, byLocks, false}},
		"to a lane at work":          {1, 2, false, true, state{false, []string{"b"}, []string{"c", "a0", "a1", "a2"}, 5, byLocks, true}},
		"several":                    {2, 1, true, false, state{true, []string{"b"}, []string{"a0", "a1", "a2"}, 4, byLocks, true}},
		"several to a lane at work":  {2, 1, true, true, state{false, []string{"b"}, []string{"c", "a0", "a1", "a2"}, 5, byLocks, true}},
		"several, and nobody behind": {2, 0, true, false, state{true, []string{"b"}, []string{"a0", "a1"}, 3, byLocks, true}},
	} {
		t.Run(name, func(t *testing.T) {
			co := &combiner{places: map[shelved]*place{}}
			names := map[*caller]string{}
			come := func(name string, account tenancy.AccountID, at lane) *caller {
				m := &caller{db: db, at: at, request: request{account: account}}
				names[m] = name
				if co.places[m.who()] == nil {
					co.places[m.who()] = &place{at: at}
				}
				co.places[m.who()].n++
				return m
			}
			co.start(from)
			if c.atWork {
				co.start(to)
				co.enqueue(come("c", accC, to))
			}
			var moving []*caller
			for i := range c.moves {
				m := come(fmt.Sprint("a", i), accA, from)
				if c.waits {
					m.done = make(chan struct{})
				}
				moving = append(moving, m)
			}
			for i := range c.behind {
				co.enqueue(come(fmt.Sprint("a", i+c.moves), accA, from))
				if i == 0 {
					co.enqueue(come("b", accB, from))
				}
			}
			if c.behind == 0 {
				co.enqueue(come("b", accB, from))
			}
			got := state{First: co.move(to, moving...), Waiting: co.waiting, At: co.places[moving[0].who()].at.way, Answered: moving[0].done != nil}
			for _, m := range co.lanes[from].callers {
				got.From = append(got.From, names[m])
			}
			for _, m := range co.lanes[to].callers {
				if got.To = append(got.To, names[m]); m.at != to {
					t.Errorf("%s is at %+v", names[m], m.at)
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// Who leaves when its lane has gone home takes nothing back: it was served, or is alone.
func TestCombine_WhoLeavesALaneThatIsGoneTakesNothingBack(t *testing.T) {
	db := bun.NewDB(nil, pgdialect.New())
	for _, alone := range []bool{false, true} {
		c := &combiner{}
		if left, is := c.leave(&caller{db: db, alone: alone}); left || is != alone || c.waiting != 0 {
			t.Errorf("alone %v: left %v, alone %v, %d wait", alone, left, is, c.waiting)
		}
	}
}

// Who is about to ask comes along, and those whom these bring.
func TestCombine_GathersWhoIsAboutToAsk(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that a goroutine runs when another one yields
	at := lane{way: byLocks}
	const n = 20
	c := &combiner{}
	c.start(at)
	var come func(int)
	come = func(left int) {
		c.mu.Lock()
		c.enqueue(&caller{at: at})
		c.mu.Unlock()
		if left > 1 {
			go come(left - 1)
		}
	}
	go come(n)
	c.gather(at)
	c.mu.Lock()
	defer c.mu.Unlock()
	if got := len(c.lanes[at].callers); got != n {
		t.Errorf("%d of %d have come", got, n)
	}
}

// Accounts and lanes come and go without end, so nothing is kept of them.
func TestCombine_KeepsNothingOfWhoWasServed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		l := funded(t, db, Config{}, accA, accB, accC)
		accounts := []tenancy.AccountID{accA, accB, accC}
		for i, err := range dbtest.Together(24, func(i int) error {
			_, err := l.Deduct(t.Context(), db, Deduct{Account: accounts[i%3], Amount: 1, Key: fmt.Sprint(i)})
			return err
		}) {
			if err != nil {
				t.Error(i, err)
			}
		}
		idle := func() {
			t.Helper()
			await(t, "nobody is at work", func() bool {
				c := &l.combiner
				c.mu.Lock()
				defer c.mu.Unlock()
				return len(c.lanes) == 0
			})
			if c := &l.combiner; len(c.places) != 0 || c.waiting != 0 {
				t.Errorf("%d places, %d wait", len(c.places), c.waiting)
			}
		}
		idle()
		release := lockedElsewhere(t, db, accA)
		waits := []<-chan asked{
			ahead(t.Context(), t, l, db, Deduct{Account: accA, Amount: 1}, 0),
			ahead(t.Context(), t, l, db, Deduct{Account: accA, Amount: 1}, 1),
		}
		release()
		for _, w := range waits {
			if a := <-w; a.err != nil {
				t.Error(a.err)
			}
		}
		idle()
	}, Migrate)
}
