package changes

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m, nil) }

func table(ctx context.Context, db *bun.DB) error {
	_, err := db.NewRaw("CREATE TABLE changes (subject TEXT PRIMARY KEY, version BIGINT NOT NULL, recent BOOLEAN NOT NULL)").Exec(ctx)
	return err
}

// reader is a process that reads db whenever the test says so.
func reader(t *testing.T, db *bun.DB) *process {
	t.Helper()
	p := newReader(t)
	p.db = db
	p.pool.Store(db.DB)
	return p
}

func (p *process) poll() {
	p.t.Helper()
	if err := p.Poll(p.t.Context(), p.db); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) announce(db bun.IDB, subjects ...string) {
	p.t.Helper()
	for _, s := range subjects {
		if err := p.Announce(p.t.Context(), db, s); err != nil {
			p.t.Fatal(err)
		}
	}
}

func begin(t *testing.T, db *bun.DB) bun.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type entry struct {
	Subject string
	Version int64
	Recent  bool
}

func entries(t *testing.T, db *bun.DB) (all []entry) {
	t.Helper()
	must(t, db.NewRaw("SELECT subject, version, recent FROM changes ORDER BY subject").Scan(t.Context(), &all))
	return all
}

func wantEntries(t *testing.T, what string, db *bun.DB, want ...entry) {
	t.Helper()
	if d := cmp.Diff(want, entries(t, db)); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func each(t *testing.T, fn func(t *testing.T, db *bun.DB)) { dbtest.Each(t, fn, table) }

func TestAnnounce_IsPartOfTheTransaction(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		here, there := reader(t, db), reader(t, db)
		both := func(what, subject string, ours, theirs bool) {
			t.Helper()
			here.poll()
			there.poll()
			here.wantKept(what+", here", here.load(subject, 1), ours)
			_, ok := there.memo.get(db, there.clock.now(), subject)
			there.wantKept(what+", there", ok, theirs)
			there.load(subject, 1)
		}
		both("nothing has happened", "a", true, false)
		tx := begin(t, db)
		here.announce(tx, "a", "b")
		both("it is not committed", "a", false, true)
		must(t, tx.Commit())
		both("it is committed", "a", true, false)
		wantEntries(t, "two first changes", db, entry{"a", 1, true}, entry{"b", 1, true})

		tx = begin(t, db)
		here.announce(tx, "a")
		must(t, tx.Rollback())
		both("it was rolled back", "a", false, true)
		here.clock.pass(ownFor)
		both("it was rolled back a while ago", "a", true, true)

		here.announce(db, "a")
		both("it had no transaction of its own", "a", true, false)
		wantEntries(t, "versions grow", db, entry{"a", 2, true}, entry{"b", 1, true})
	})
}

func TestAnnounce_ThatFailsIsAnErrorAndRemembersNothing(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		p := reader(t, db)
		p.poll()
		p.load("a", 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Announce(ctx, db, "a"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		p.want("nobody knows whether it was written", "a", 0)
		p.wantKept("nobody knows whether it was written", p.load("a", 1), false)
	})
}

func TestPoll_SettlesWhatIsOldAndHasNotChangedAgain(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		p, other := reader(t, db), reader(t, db)
		p.announce(db, "a", "b")
		p.poll()
		p.clock.pass(recentFor / 2)
		p.poll()
		p.announce(db, "b")
		p.poll()
		p.clock.pass(recentFor / 2)
		p.poll()
		wantEntries(t, "they are not old", db, entry{"a", 1, true}, entry{"b", 2, true})
		p.clock.pass(1)
		p.poll()
		wantEntries(t, "the first is old", db, entry{"a", 1, false}, entry{"b", 2, true})

		other.poll()
		other.wantKept("a process that begins now", other.load("a", 1), true)
		p.announce(db, "a")
		wantEntries(t, "it changes again", db, entry{"a", 2, true}, entry{"b", 2, true})
		other.poll()
		other.want("it changes again", "a", 0)

		p.poll()
		must(t, p.settle(t.Context(), db, []row{{"a", 1}, {"c", 1}}))
		wantEntries(t, "it changed after it was read", db, entry{"a", 2, true}, entry{"b", 2, true})
	})
}

func TestPoll_SettlesALittleAtATime(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		p := reader(t, db)
		p.Feed.bound = time.Hour // it is given time
		tx := begin(t, db)
		for i := range perPoll + 1 {
			p.announce(tx, strings.Repeat("x", i+1))
		}
		must(t, tx.Commit())
		old := make([]row, perPoll+1)
		for i := range old {
			old[i] = row{strings.Repeat("x", i+1), 1}
		}
		for _, want := range []int64{1, 0} {
			must(t, p.settle(t.Context(), db, old))
			recent, err := db.NewSelect().TableExpr("changes").Where("recent").Count(t.Context())
			if recent != want || err != nil {
				t.Errorf("%d are recent, %v; want %d", recent, err, want)
			}
			old = old[min(len(old), perPoll):]
		}
	})
}

// Somebody is changing what is old: that keeps nobody from reading.
func TestPoll_DoesNotWaitForWhoChangesWhatIsOld(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		p := reader(t, db)
		p.announce(db, "a")
		p.poll()
		p.clock.pass(recentFor/2 + 1)
		p.poll()
		p.clock.pass(recentFor/2 - 1)
		p.poll()
		tx := begin(t, db)
		p.announce(tx, "a")
		p.clock.pass(bound)
		p.poll()
		p.wantKept("after a reading that could not clean up", p.load("b", 1), true)
		p.want("after a reading that could not clean up", "b", 1)
		must(t, tx.Commit())
		wantEntries(t, "it was changed", db, entry{"a", 2, true})
	})
}

func TestPoll_ThatFailsSaysNothing(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		p := reader(t, db)
		p.announce(db, "a")
		p.poll()
		p.load("b", 1)
		rename := func(from, to string) {
			t.Helper()
			_, err := db.NewRaw("ALTER TABLE ? RENAME TO ?", bun.Ident(from), bun.Ident(to)).Exec(t.Context())
			must(t, err)
		}
		rename("changes", "gone")
		p.clock.pass(bound / 2)
		if err := p.Poll(t.Context(), db); err == nil {
			t.Error("a reading of no table did not fail")
		}
		p.clock.pass(bound/2 - 1)
		p.want("within the bound of the last good reading", "b", 1)
		p.clock.pass(1)
		p.want("at the bound of the last good reading", "b", 0)
		if err := p.Poll(t.Context(), db); err == nil {
			t.Error("a reading of no table did not fail")
		}
		p.want("after another bad one", "b", 0)
		rename("gone", "changes")
		p.poll()
		p.want("after a good one", "b", 1)
	})
}

// A lock that nobody gets past: the reading ends by itself, and was none.
func TestPoll_GivesUpAtTheBound(t *testing.T) {
	db := dbtest.Postgres(t, table)
	p := reader(t, db)
	p.Feed.bound = 20 * time.Millisecond
	p.poll()
	tx := begin(t, db)
	_, err := tx.NewRaw("LOCK TABLE changes IN ACCESS EXCLUSIVE MODE").Exec(t.Context())
	must(t, err)
	p.clock.pass(p.Feed.bound)
	if err := p.Poll(t.Context(), db); err == nil {
		t.Error("it read past a lock")
	}
	if p.fresh(db, p.clock.now()) {
		t.Error("it counts as a reading")
	}
	must(t, tx.Rollback())
	p.poll()
	if !p.fresh(db, p.clock.now()) {
		t.Error("the next one does not count")
	}
}

// asked counts the readings of a database, and may make them fail.
type asked struct {
	readings atomic.Int64
	away     atomic.Bool
}

func (a *asked) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if !strings.HasPrefix(e.Query, "SELECT subject, version FROM") {
		return ctx
	}
	a.readings.Add(1)
	if a.away.Load() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		cancel()
	}
	return ctx
}

func (a *asked) AfterQuery(context.Context, *bun.QueryEvent) {}

// running is a feed that Run reads, in a time of its own.
type running struct {
	*Feed
	t     *testing.T
	db    *bun.DB
	asked *asked
	stop  func()
}

// inBubble runs fn beside Run, in a time that passes when nobody has anything to do.
func inBubble(t *testing.T, bound time.Duration, fn func(r *running)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &running{Feed: New("changes", bound, 1000), t: t, asked: &asked{}}
		db := dbtest.SQLite(t, table)
		r.db = db.WithQueryHook(r.asked)
		r.stop = r.run()
		fn(r)
		r.stop()
		dbtest.Close(db)
	})
}

// run starts Run. What it returns ends it, and waits until it has ended.
func (r *running) run() func() {
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx, r.db)
	}()
	synctest.Wait()
	return func() {
		cancel()
		<-ended
	}
}

func (r *running) wants(what string, fresh bool) {
	r.t.Helper()
	if got := r.Fresh(r.db, Now()); got != fresh {
		r.t.Errorf("%s: it is fresh: %v", what, got)
	}
}

func (r *running) wantReadings(what string, want int64) {
	r.t.Helper()
	synctest.Wait()
	if got := r.asked.readings.Swap(0); got != want {
		r.t.Errorf("%s: %d readings, want %d", what, got, want)
	}
}

// wait lets the time pass in which Run does what it does.
func wait(d time.Duration) { <-time.After(d) }

func TestRun_ReadsOnlyWhileSomebodyAsks(t *testing.T) {
	inBubble(t, bound, func(r *running) {
		wait(time.Hour)
		r.wantReadings("nobody has asked", 0)
		r.wants("nobody has asked", false)
		r.wantReadings("the first question", 1)
		r.wants("after the first question", true)
		for range 40 {
			wait(bound/10 + 1) // never at the same moment as a reading
			r.wants("while somebody asks", true)
		}
		r.wantReadings("four times the bound, while somebody asks", 16)
		wait(bound)
		r.wantReadings("somebody has asked since the last reading", 1)
		wait(24 * time.Hour)
		r.wantReadings("nobody asks any more", 0)
		r.wants("nobody has asked for long", false)
		r.wantReadings("the first question after that", 1)
		r.wants("after that question", true)
	})
}

// A question for another database, or of a transaction, is none.
func TestRun_IsNotWokenByOthers(t *testing.T) {
	inBubble(t, bound, func(r *running) {
		other := dbtest.SQLite(r.t)
		for _, db := range []bun.IDB{other, bun.Tx{}, bun.Conn{}} {
			if r.Fresh(db, Now()) {
				r.t.Errorf("%T is fresh", db)
			}
		}
		wait(time.Hour)
		r.wantReadings("the questions of others", 0)
		dbtest.Close(other)
	})
}

func TestRun_FailsAndRecovers(t *testing.T) {
	inBubble(t, bound, func(r *running) {
		r.wants("the first question", false)
		synctest.Wait()
		r.asked.away.Store(true)
		for range 10 {
			wait(bound / 10)
			r.Fresh(r.db, Now())
		}
		r.wants("a bound after the last good reading", false)
		for range 100 {
			wait(bound / 10)
			r.wants("while the database is away", false)
		}
		r.asked.away.Store(false)
		wait(bound / 4)
		synctest.Wait()
		r.wants("it is back", true)
	})
}

func TestRun_ASecondOneDoesNothing(t *testing.T) {
	inBubble(t, bound, func(r *running) {
		r.Run(r.t.Context(), r.db) // it does not even stay
		r.wants("the first question", false)
		r.wantReadings("two of them", 1)
		other := dbtest.SQLite(r.t, table)
		r.Run(r.t.Context(), other)
		if r.Fresh(other, Now()) {
			r.t.Error("a second database is read")
		}
		r.wants("the first one goes on", true)
		r.stop()
		r.wants("the first one has ended", false)
		wait(time.Hour)
		r.wantReadings("the first one has ended", 0)
		r.stop = r.run()
		r.wants("another one begins", false)
		r.wantReadings("another one begins", 1)
		r.wants("another one has read", true)
		dbtest.Close(other)
	})
}

func TestRun_WhatItEndsWithIsForgotten(t *testing.T) {
	inBubble(t, bound, func(r *running) {
		memo := NewMemo[string, int](r.Feed, 100, func(string) uint64 { return 0 })
		r.wants("the first question", false)
		synctest.Wait()
		memo.Keep(r.Begin(), r.db, "a", func([]*Life) int { return 1 }, "a")
		if _, ok := memo.Get(r.db, Now(), "a"); !ok {
			r.t.Error("it is not remembered")
		}
		r.stop()
		r.stop = r.run()
		r.wants("the first question", false)
		synctest.Wait()
		if _, ok := memo.Get(r.db, Now(), "a"); ok {
			r.t.Error("it is remembered from before")
		}
	})
}

func TestRun_TakesAnyBound(t *testing.T) {
	for _, b := range []time.Duration{1, 3, 1 << 62} {
		inBubble(t, b, func(r *running) {
			r.wants("the first question", false)
			r.wantReadings("the first question", 1)
		})
	}
	for _, b := range []time.Duration{0, -1} {
		f := New("changes", b, 10)
		f.Run(t.Context(), noDB(t)) // returns, and asks nothing
		if f.pool.Load() != nil {
			t.Errorf("a bound of %v is read for", b)
		}
	}
}

// Readers, loads and changes of one process at once, for the race detector: what is
// loaded is never older than what this process had changed before.
func TestFeed_ManyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		f := New("changes", time.Minute, 100)
		f.pool.Store(db.DB)
		memo := NewMemo[string, int64](f, 100, func(string) uint64 { return 0 })
		must(t, f.Poll(t.Context(), db))
		var truth atomic.Int64
		for i, err := range dbtest.Together(6, func(i int) error {
			for range 60 {
				switch i {
				case 0:
					if err := f.Poll(t.Context(), db); err != nil {
						return err
					}
				case 1:
					if err := f.Announce(t.Context(), db, "a"); err != nil {
						return err
					}
					truth.Add(1) // it is committed
				default:
					least := truth.Load()
					if v, ok := memo.Get(db, Now(), "a"); ok && v < least {
						return errors.New("it answers with what this process has changed before")
					}
					ticket := f.Begin()
					var version int64
					if err := db.NewRaw("SELECT COALESCE(MAX(version), 0) FROM changes WHERE subject = 'a'").Scan(t.Context(), &version); err != nil {
						return err
					}
					memo.Keep(ticket, db, "a", func([]*Life) int64 { return version }, "a")
				}
			}
			return nil
		}) {
			if err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
	})
}
