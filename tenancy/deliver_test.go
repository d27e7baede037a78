package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// receiver is a host's Deliver that notes what it got and may fail.
type receiver struct {
	mu   sync.Mutex
	got  []string
	fail func(e tenancy.Event) error
}

func (r *receiver) deliver(_ context.Context, e tenancy.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, fmt.Sprintf("%s#%s", e.Account, text(e)))
	if r.fail != nil {
		return r.fail(e)
	}
	return nil
}

func (r *receiver) want(t *testing.T, what string, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := cmp.Diff(want, r.got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s: received (-want +got):\n%s", what, d)
	}
	r.got = nil
}

// text is what publish put into an event.
func text(e tenancy.Event) string {
	f, _ := tenancy.Decode[note](e)
	return f.Text
}

func node(clock *tenancytest.Clock, r *receiver) *tenancy.Accounts {
	return tenancy.New(tenancy.Config{Now: clock.Now, Deliver: r.deliver})
}

// publish appends n events that count the account's.
func publish(t *testing.T, db bun.IDB, account tenancy.AccountID, n int) {
	t.Helper()
	have := len(tenancytest.Events(t, db, account))
	for i := range n {
		if err := tenancy.Publish(t.Context(), db, account, t0, note{fmt.Sprint(have + i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
}

func deliverDue(t *testing.T, db *bun.DB, a *tenancy.Accounts, want int) {
	t.Helper()
	if n, err := a.DeliverDue(t.Context(), db); n != want || err != nil {
		t.Errorf("delivered %d, %v; want %d", n, err, want)
	}
}

func TestDeliverDue_HandsOverEachAccountsEventsInOrderOnce(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		clock, r := tenancytest.NewClock(t0), &receiver{}
		a := node(clock, r)
		publish(t, db, "acc_a", 2)
		publish(t, db, "acc_b", 1)
		publish(t, db, "acc_a", 1)
		deliverDue(t, db, a, 4)
		r.want(t, "first round", "acc_a#1", "acc_a#2", "acc_a#3", "acc_b#1")
		deliverDue(t, db, a, 0)
		publish(t, db, "acc_b", 2)
		deliverDue(t, db, a, 2)
		r.want(t, "second round", "acc_b#2", "acc_b#3")

		publish(t, db, "acc_many", 230) // more than one batch
		deliverDue(t, db, a, 230)
		var want []string
		for i := range 230 {
			want = append(want, fmt.Sprintf("acc_many#%d", i+1))
		}
		r.want(t, "many", want...)
	})
}

func TestDeliverDue_HandsOverWhatWasPublished(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		var got []tenancy.Event
		a := tenancy.New(tenancy.Config{Now: tenancytest.NewClock(t0).Now, Deliver: func(ctx context.Context, e tenancy.Event) error {
			if _, bounded := ctx.Deadline(); !bounded {
				t.Error("a delivery may last for ever, and its lease does not")
			}
			got = append(got, e)
			return nil
		}})
		if err := tenancy.Publish(t.Context(), db, "acc_1", t0.In(time.FixedZone("", 3600)), note{`"quoted" ? é`}); err != nil {
			t.Fatal(err)
		}
		deliverDue(t, db, a, 1)
		want := []tenancy.Event{{Account: "acc_1", ID: tenancytest.Events(t, db, "acc_1")[0].ID, Kind: "host.note", Data: []byte(`{"text":"\"quoted\" ? é"}`), At: t0}}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("received (-want +got):\n%s", d)
		}
	})
}

func TestDeliverDue_WithoutDeliverKeepsTheEvents(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	clock, r := tenancytest.NewClock(t0), &receiver{}
	publish(t, db, "acc_1", 1)
	deliverDue(t, db, tenancy.New(tenancy.Config{Now: clock.Now}), 0)
	deliverDue(t, db, node(clock, r), 1)
}

func TestDeliverDue_RetriesLaterAndLaterUpToTenMinutes(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		broken := errors.New("receiver is down")
		clock, r := tenancytest.NewClock(t0), &receiver{fail: func(e tenancy.Event) error { return broken }}
		a := node(clock, r)
		publish(t, db, "acc_1", 2)
		deliverDue(t, db, a, 0)
		r.want(t, "first try", "acc_1#1") // and not the second: it waits its turn
		for _, seconds := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600} {
			clock.Advance(time.Duration(seconds)*time.Second - time.Microsecond)
			deliverDue(t, db, a, 0)
			r.want(t, fmt.Sprintf("a microsecond before %d s", seconds))
			clock.Advance(time.Microsecond)
			deliverDue(t, db, a, 0)
			r.want(t, fmt.Sprintf("after %d s", seconds), "acc_1#1")
		}
		r.fail = nil
		clock.Advance(10 * time.Minute)
		deliverDue(t, db, a, 2)
		r.want(t, "mended", "acc_1#1", "acc_1#2")

		// A new failure starts from the shortest wait.
		publish(t, db, "acc_1", 1)
		r.fail = func(tenancy.Event) error { return broken }
		deliverDue(t, db, a, 0)
		clock.Advance(time.Second)
		r.fail = nil
		deliverDue(t, db, a, 1)
		r.want(t, "broken again", "acc_1#3", "acc_1#3")

		// Also one right behind an event that went through at last.
		publish(t, db, "acc_1", 2)
		r.fail = func(tenancy.Event) error { return broken }
		deliverDue(t, db, a, 0)
		clock.Advance(time.Second)
		deliverDue(t, db, a, 0)
		clock.Advance(2 * time.Second)
		r.fail = func(e tenancy.Event) error {
			if text(e) == "5" {
				return broken
			}
			return nil
		}
		deliverDue(t, db, a, 1)
		clock.Advance(time.Second)
		r.fail = nil
		deliverDue(t, db, a, 1)
		r.want(t, "one behind the other", "acc_1#4", "acc_1#4", "acc_1#4", "acc_1#5", "acc_1#5")
	})
}

func TestDeliverDue_AFailingAccountHoldsUpNoOther(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		r := &receiver{fail: func(e tenancy.Event) error {
			switch {
			case e.Account == "acc_bad":
				return errors.New("no")
			case e.Account == "acc_panic" && text(e) == "2":
				panic("no")
			}
			return nil
		}}
		a := node(tenancytest.NewClock(t0), r)
		publish(t, db, "acc_bad", 2)
		publish(t, db, "acc_good", 2)
		publish(t, db, "acc_panic", 3)
		deliverDue(t, db, a, 3)
		r.want(t, "all", "acc_bad#1", "acc_good#1", "acc_good#2", "acc_panic#1", "acc_panic#2")
	})
}

func TestDeliverDue_OneOfTwoNodesWorks(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		clock, second := tenancytest.NewClock(t0), &receiver{}
		b := node(clock, second)
		first := &receiver{fail: func(tenancy.Event) error {
			deliverDue(t, db, b, 0) // while the first delivers
			return nil
		}}
		publish(t, db, "acc_1", 3)
		deliverDue(t, db, node(clock, first), 3)
		first.want(t, "the first node", "acc_1#1", "acc_1#2", "acc_1#3")
		second.want(t, "the second node")
	})
}

func TestDeliverDue_AnotherNodeGoesOnForOneThatHangs(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		clock, second := tenancytest.NewClock(t0), &receiver{}
		b := node(clock, second)
		first := &receiver{fail: func(tenancy.Event) error {
			clock.Advance(30*time.Second - time.Microsecond)
			deliverDue(t, db, b, 0) // the lease still runs
			clock.Advance(time.Microsecond)
			deliverDue(t, db, b, 3) // it has ended
			publish(t, db, "acc_1", 1)
			return errors.New("timed out")
		}}
		publish(t, db, "acc_1", 3)
		deliverDue(t, db, node(clock, first), 0)
		first.want(t, "the first node", "acc_1#1")
		second.want(t, "the second node", "acc_1#1", "acc_1#2", "acc_1#3")

		// That the first one failed late delays nothing that is new.
		deliverDue(t, db, b, 1)
		second.want(t, "the second node", "acc_1#4")
	})
}

// A clock that was wrong must not stop the others until its time has come.
func TestDeliverDue_ALeaseFromTheFutureCountsForNothing(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		ahead := tenancytest.NewClock(t0.AddDate(0, 0, 15))
		wrong := &receiver{fail: func(tenancy.Event) error { return errors.New("killed") }}
		publish(t, db, "acc_1", 1)
		deliverDue(t, db, node(ahead, wrong), 0)
		clock, right := tenancytest.NewClock(t0), &receiver{}
		publish(t, db, "acc_2", 1)
		deliverDue(t, db, node(clock, right), 2) // also what the other one put off
		right.want(t, "the node whose clock is right", "acc_2#1", "acc_1#1")
	})
}

// It was slow and not broken: what comes next is no longer its turn.
func TestDeliverDue_ANodeThatLostItsLeaseStops(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		clock, second := tenancytest.NewClock(t0), &receiver{}
		b := node(clock, second)
		first := &receiver{}
		first.fail = func(tenancy.Event) error {
			clock.Advance(30 * time.Second)
			deliverDue(t, db, b, 3)
			publish(t, db, "acc_1", 1)
			first.fail = nil
			return nil
		}
		publish(t, db, "acc_1", 3)
		deliverDue(t, db, node(clock, first), 1)
		first.want(t, "the first node", "acc_1#1")
		deliverDue(t, db, b, 1)
		second.want(t, "the second node", "acc_1#1", "acc_1#2", "acc_1#3", "acc_1#4")
	})
}

func TestDeliverDue_ASlowNodeKeepsItsLeaseFromEventToEvent(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		clock, second := tenancytest.NewClock(t0), &receiver{}
		b := node(clock, second)
		first := &receiver{fail: func(tenancy.Event) error {
			clock.Advance(20 * time.Second)
			deliverDue(t, db, b, 0)
			return nil
		}}
		publish(t, db, "acc_1", 4)
		deliverDue(t, db, node(clock, first), 4)
		second.want(t, "the second node")
	})
}

func TestDeliverDue_EndsWhenItsContextDoesAndForgetsNothing(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		clock, r := tenancytest.NewClock(t0), &receiver{fail: func(tenancy.Event) error { cancel(); return context.Canceled }}
		a := node(clock, r)
		publish(t, db, "acc_1", 2)
		_, err := a.DeliverDue(ctx, db)
		wantErr(t, "cancelled", err, context.Canceled)
		r.want(t, "cancelled", "acc_1#1")
		r.fail = nil
		deliverDue(t, db, a, 2) // at once: the receiver was not at fault
		r.want(t, "after that", "acc_1#1", "acc_1#2")
	})
}

func TestDeliverDue_PassesOverEventsThatWereErased(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		r := &receiver{}
		a := node(tenancytest.NewClock(t0), r)
		publish(t, db, "acc_1", 2)
		if _, err := db.ExecContext(t.Context(), "DELETE FROM tenancy_events"); err != nil {
			t.Fatal(err)
		}
		deliverDue(t, db, a, 0)
		if n := rows(t, db)["tenancy_deliveries"]; n != 0 {
			t.Errorf("%d of them are still looked for", n)
		}
		publish(t, db, "acc_1", 1)
		deliverDue(t, db, a, 1)
		r.want(t, "the rest", "acc_1#1")
	})
}

func TestRun_DeliversUntilItsContextEndsAndLeavesTheLease(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		clock := tenancytest.NewClock(t0)
		received := make(chan tenancy.Event, 1)
		a := tenancy.New(tenancy.Config{Now: clock.Now, Deliver: func(_ context.Context, e tenancy.Event) error {
			received <- e
			return nil
		}})
		publish(t, db, "acc_1", 1)
		ended := make(chan error)
		go func() { ended <- a.Run(ctx, db) }()
		if e := <-received; text(e) != "1" {
			t.Errorf("received %+v", e)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
		if n := rows(t, db)["tenancy_leases"]; n != 0 {
			t.Error("the next process must wait for a lease that nobody holds")
		}
	})
}
