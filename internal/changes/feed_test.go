package changes

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"

	"github.com/quitrent/quitrent/internal/cache"
)

const bound = time.Second

// clock is the clock of one process and of its machine.
type clock struct{ at moment }

func newClock() *clock { return &clock{moment{mono: 1, wall: 1e18}} }

func (c *clock) now() moment { return c.at }

func (c *clock) pass(d time.Duration) {
	c.at.mono += int64(d)
	c.at.wall += int64(d)
}

// sleep is the machine's: only the wall clock goes on.
func (c *clock) sleep(d time.Duration) { c.at.wall += int64(d) }

// nowhere is a database that nobody reaches.
type nowhere struct{}

func (nowhere) Connect(context.Context) (driver.Conn, error) { return nil, errors.New("nowhere") }
func (nowhere) Driver() driver.Driver                        { return nil }

func noDB(t interface{ Cleanup(func()) }) *bun.DB {
	db := bun.NewDB(sql.OpenDB(nowhere{}), sqlitedialect.New())
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// process is one process as its feed sees the world: what is read is said by the test.
type process struct {
	*Feed
	t     *testing.T
	clock *clock
	db    *bun.DB
	memo  *Memo[string, int]
}

// newProcess has read once, that nothing has changed.
func newProcess(t *testing.T) *process {
	t.Helper()
	p := newReader(t)
	p.read()
	return p
}

// newReader has read nothing yet.
func newReader(t *testing.T) *process {
	t.Helper()
	p := &process{Feed: New("changes", bound, 1000), t: t, clock: newClock(), db: noDB(t)}
	p.now = p.clock.now
	p.pool.Store(p.db.DB)
	p.memo = NewMemo[string, int](p.Feed, 1000, func(s string) uint64 { return uint64(s[0]) })
	return p
}

// read is a reading without duration.
func (p *process) read(rows ...row) []row { return p.apply(rows, p.clock.now()) }

func (p *process) keep(t Ticket, key string, value int, subjects ...string) bool {
	return p.memo.Keep(t, p.db, key, func([]*Life) int { return value }, subjects...)
}

// load is a load without duration of a value that depends on the subject of its name.
func (p *process) load(key string, value int) bool { return p.keep(p.Begin(), key, value, key) }

// want is what is remembered under key now; 0 is nothing.
func (p *process) want(what, key string, value int) {
	p.t.Helper()
	if got, ok := p.memo.get(p.db, p.clock.now(), key); got != value || ok != (value != 0) {
		p.t.Errorf("%s: %s is remembered as %d, %v; want %d", what, key, got, ok, value)
	}
}

func (p *process) wantKept(what string, got, want bool) {
	p.t.Helper()
	if got != want {
		p.t.Errorf("%s: it is remembered: %v, want %v", what, got, want)
	}
}

func TestFeed_CountsFromTheBeginningOfAReadingUntilTheBound(t *testing.T) {
	p := newProcess(t)
	began := p.clock.now()
	p.clock.pass(bound / 2)
	p.apply(nil, began)
	p.load("a", 1)
	p.want("after a slow reading", "a", 1)
	p.clock.pass(bound/2 - 1)
	p.want("just before the bound", "a", 1)
	p.clock.pass(1)
	p.want("at the bound", "a", 0)
	p.read()
	p.want("after the next reading", "a", 1)
	began = p.clock.now()
	p.clock.pass(bound)
	p.apply(nil, began)
	p.want("after a reading that took as long as the bound", "a", 0)
}

func TestFeed_AChangeEndsWhatDependsOnIt(t *testing.T) {
	p := newProcess(t)
	p.keep(p.Begin(), "x", 1, "a", "b")
	p.keep(p.Begin(), "y", 2, "b", "c")
	p.keep(p.Begin(), "z", 3)
	p.read(row{"a", 1})
	p.want("one of its subjects has changed", "x", 0)
	p.want("none of its subjects has changed", "y", 2)
	p.want("it depends on nothing", "z", 3)
	p.keep(p.Begin(), "x", 4, "a", "b")
	p.read(row{"a", 1})
	p.want("the same change is read again", "x", 4)
	p.read(row{"a", 2}, row{"c", 1})
	p.want("it has changed again", "x", 0)
	p.want("the other one has changed", "y", 0)
}

// Where there is room for few subjects, one may push out another on which the same value
// depends: that value counts no more, or its subject's change would not end it.
func TestFeed_AValueWhoseSubjectIsPushedOutCountsNoMore(t *testing.T) {
	p := newProcess(t)
	p.lives = cache.New(1, func(s string) uint64 { return uint64(len(s)) }, p.end)
	p.keep(p.Begin(), "x", 1, "a", "b") // of one length, and so in one place
	p.want("its second subject has pushed out the first", "x", 0)
	p.keep(p.Begin(), "y", 2, "a")
	p.want("its only subject is there", "y", 2)
	p.keep(p.Begin(), "z", 3, "b")
	p.want("its subject was pushed out by another value's", "y", 0)
	p.want("the other value", "z", 3)
}

// A value that was looked at when something else had ended is looked at again.
func TestFeed_EveryEndIsNoticed(t *testing.T) {
	p := newProcess(t)
	p.keep(p.Begin(), "x", 1, "a", "b", "c")
	for i, subject := range []string{"d", "e", "b"} {
		p.load(subject, 2) // so that it has a life
		p.want("nothing of it has changed", "x", 1)
		p.read(row{subject, int64(i + 1)})
	}
	p.want("its second subject has changed", "x", 0)
}

func TestFeed_ASlowLoadBringsNothingBack(t *testing.T) {
	p := newProcess(t)
	slow := p.Begin()
	p.read(row{"a", 1})
	p.wantKept("the change was read while it loaded", p.keep(slow, "x", 1, "b", "a"), false)
	p.want("the change was read while it loaded", "x", 0)
	p.wantKept("what has not changed", p.keep(slow, "y", 2, "b"), true)

	slow = p.Begin()
	p.wantKept("the change is older than the load", p.keep(slow, "x", 3, "a"), true)
	p.read(row{"a", 1})
	p.want("the change is older than the load", "x", 3)

	p.keep(p.Begin(), "x", 4, "a")
	p.read(row{"a", 2})
	p.want("the change is read after it was loaded", "x", 0)
}

func TestFeed_ALoadThatLastsTooLongIsForgotten(t *testing.T) {
	p := newProcess(t)
	begin := p.Begin()
	p.clock.pass(maxLoad)
	p.wantKept("a load of a minute", p.keep(begin, "x", 1, "a"), true)
	p.clock.pass(1)
	p.wantKept("a load that lasts longer", p.keep(begin, "x", 1, "a"), false)
}

// A value is as old as the beginning of its load: what was changed by hand, without a
// word, counts after MaxAge.
func TestMemo_NothingIsOlderThanMaxAge(t *testing.T) {
	p := newProcess(t)
	begin := p.Begin()
	p.clock.pass(maxLoad)
	p.read()
	p.keep(begin, "x", 1, "a")
	for left := MaxAge - maxLoad - 1; left > 0; left -= time.Minute {
		p.clock.pass(min(left, time.Minute))
		p.read()
	}
	p.want("before MaxAge", "x", 1)
	p.clock.pass(1)
	p.want("at MaxAge", "x", 0)
}

func TestFeed_OwnChangesCountUntilTheyAreSeen(t *testing.T) {
	p := newProcess(t)
	p.load("a", 1)
	before := p.Begin()
	p.change("a", 0)
	p.want("before it is written", "a", 0)
	p.wantKept("before it is written", p.load("a", 1), false)
	p.change("a", 7)
	p.wantKept("before it is committed", p.load("a", 1), false)
	p.wantKept("another subject", p.load("b", 1), true)
	p.clock.pass(bound)
	p.read(row{"a", 6})
	p.wantKept("another process has committed the change before", p.load("a", 1), false)
	p.read(row{"a", 6}, row{"a", 7})
	p.wantKept("a load from before it was committed", p.keep(before, "a", 1, "a"), false)
	p.wantKept("it is seen committed", p.load("a", 2), true)
	p.want("it is seen committed", "a", 2)
}

// Two transactions of this process change one subject, the second waits for the first.
func TestFeed_OwnChangesOfTwoTransactions(t *testing.T) {
	p := newProcess(t)
	p.change("a", 0)
	p.change("a", 1)
	p.change("a", 0)
	p.read(row{"a", 1})
	p.wantKept("the second has not written", p.load("a", 1), false)
	p.change("a", 2)
	p.read(row{"a", 1})
	p.wantKept("the second has not committed", p.load("a", 1), false)
	p.read(row{"a", 2})
	p.wantKept("both have committed", p.load("a", 2), true)
}

func TestFeed_AChangeThatIsNeverCommittedLetsGo(t *testing.T) {
	p := newProcess(t)
	p.change("a", 0)
	p.clock.pass(bound / 2)
	p.change("a", 1)
	p.clock.pass(ownFor - 1)
	p.read()
	p.wantKept("a moment before", p.load("a", 1), false)
	p.clock.pass(1)
	p.wantKept("when the time is over", p.load("a", 1), true)
	p.read()
	p.want("when the time is over", "a", 1)
}

// A host's transaction lasts longer than its process waits for it.
func TestFeed_AChangeThatIsCommittedLateIsLearntLikeAnothers(t *testing.T) {
	p := newProcess(t)
	p.change("a", 0)
	p.change("a", 1)
	p.clock.pass(2 * ownFor)
	p.read()
	p.load("a", 1)
	p.want("it is not committed", "a", 1)
	p.clock.pass(bound / 4)
	p.read(row{"a", 1})
	p.want("it is committed", "a", 0)
	p.wantKept("what is loaded now", p.load("a", 2), true)
}

// What this process is changing counts at once also where the reading begins, begins
// again or has stood still while the transaction lasts.
func TestFeed_OwnChangesOutliveTheReading(t *testing.T) {
	for what, then := range map[string]func(p *process){
		"nothing": func(*process) {},
		"the reading ended and began again": func(p *process) {
			p.stop()
			p.pool.Store(p.db.DB)
		},
		"nobody has read for long": func(p *process) { p.sleep(recentFor) },
	} {
		p := newReader(t)
		if what != "nothing" {
			p.read()
		}
		db := p.pool.Swap(nil)
		if what != "nothing" {
			p.pool.Store(db)
		}
		p.change("a", 1)
		p.pool.Store(db)
		then(p)
		p.read()
		p.read()
		p.wantKept(what, p.load("a", 1), false)
		p.wantKept(what+", another subject", p.load("b", 1), true)
		p.read(row{"a", 1})
		p.wantKept(what+", it is seen", p.load("a", 2), true)
	}
}

func (p *process) sleep(d time.Duration) { p.clock.sleep(d) }

// Without a reader nobody sees the own changes committed.
func TestFeed_OwnChangesAreBounded(t *testing.T) {
	p := newReader(t)
	p.pool.Store(nil)
	name := func(i int) string { return string([]byte{byte(i), byte(i >> 8), byte(i >> 16)}) }
	const aMinute = 1000
	for i := range 100 * aMinute {
		p.change(name(i), 1)
		p.clock.pass(ownFor / aMinute)
		if n := len(p.own); n > 2*aMinute+100 {
			t.Fatalf("%d changes are kept of %d in the last minute", n, aMinute)
		}
	}
}

func TestFeed_AChangeIsReadUntilItIsOld(t *testing.T) {
	p := newProcess(t)
	every := func(d, step time.Duration, rows ...row) (old []row) {
		for ; d > 0; d -= step {
			p.clock.pass(min(d, step))
			old = p.read(rows...)
		}
		return old
	}
	began := p.clock.now()
	p.clock.pass(bound / 2) // it may have been committed as late as that
	p.apply([]row{{"a", 1}}, began)
	if old := every(recentFor, time.Minute, row{"a", 1}); old != nil {
		t.Errorf("after %v it is old: %v", recentFor, old)
	}
	if old := every(1, 1, row{"a", 1}, row{"b", 1}); len(old) != 1 || old[0] != (row{"a", 1}) {
		t.Errorf("after more than %v these are old: %v", recentFor, old)
	}
	if old := p.read(row{"a", 2}, row{"b", 1}); old != nil {
		t.Errorf("it has changed again, and these are old: %v", old)
	}
}

func TestFeed_WhoHasNotReadForLongForgets(t *testing.T) {
	for _, c := range []struct {
		what           string
		pause, reading time.Duration
		want           int
	}{
		{"half the time", recentFor / 2, 0, 1},
		{"longer", recentFor/2 + 1, 0, 0},
		{"a reading that ends too late", recentFor/2 - bound, bound + 1, 0},
	} {
		p := newProcess(t)
		p.clock.pass(c.pause)
		p.load("a", 1) // what nobody reads of does not count; it is remembered for what may be read
		slow := p.Begin()
		began := p.clock.now()
		p.clock.pass(c.reading)
		p.apply(nil, began)
		p.read()
		p.want(c.what, "a", c.want)
		p.wantKept(c.what+": a load from before the reading", p.keep(slow, "b", 1, "b"), c.want != 0)
		p.wantKept(c.what+": a load from after it", p.load("b", 1), true)
	}
}

// The machine slept, others changed something and took it out of what is read.
func TestFeed_WhoSleptForgets(t *testing.T) {
	for _, d := range []time.Duration{bound + 1, time.Minute, recentFor, 30 * 24 * time.Hour} {
		p := newProcess(t)
		p.load("a", 1)
		slow := p.Begin()
		p.sleep(d)
		p.want("awake", "a", 0)
		p.load("b", 1) // by whoever read it before the sleep
		p.read()
		p.want("awake, and has read", "a", 0)
		p.want("remembered before the first reading", "b", 0)
		p.wantKept("a load from before the sleep", p.keep(slow, "a", 1, "a"), false)
		p.wantKept("a load from after it", p.load("a", 2), true)
		p.read()
		p.want("it goes on", "a", 2)
	}
}

func TestFeed_TheWallClockGivesNobodyMore(t *testing.T) {
	p := newProcess(t)
	p.load("a", 1)
	p.clock.at.wall -= int64(10 * time.Hour)
	p.want("it went back", "a", 1)
	p.clock.pass(bound - 1)
	p.want("it went back, before the bound", "a", 1)
	p.clock.pass(1)
	p.want("it went back, at the bound", "a", 0)
	p.read()
	p.want("it went back, after a reading", "a", 1)
	p.clock.at.wall += int64(20 * time.Hour) // which looks like a sleep
	p.want("it went forth", "a", 0)
	p.read()
	p.load("a", 2)
	p.clock.pass(bound - 1)
	p.want("it went forth, after a reading", "a", 2)
	p.clock.pass(1)
	p.want("it went forth, at the bound", "a", 0)
}

func TestFeed_ANewReaderBeginsWithNothing(t *testing.T) {
	p := newReader(t)
	slow := p.Begin()
	p.wantKept("before the first reading", p.load("a", 1), false)
	p.read(row{"a", 3})
	p.wantKept("a load from before the first reading", p.keep(slow, "b", 1, "b"), false)
	p.want("before the first load", "a", 0)
	p.wantKept("after the first reading", p.load("a", 2), true)
	p.want("after the first reading", "a", 2)
}

// Where a database is restored from a copy, versions go back and changes are missing.
func TestFeed_AnotherHistoryIsAChange(t *testing.T) {
	p := newProcess(t)
	p.read(row{"a", 5}, row{"b", 5}, row{"c", 5})
	for _, s := range []string{"a", "b", "c"} {
		p.load(s, 1)
	}
	p.read(row{"a", 4}, row{"c", 5})
	p.want("the version went back", "a", 0)
	p.want("the change is missing", "b", 0)
	p.want("nothing has happened", "c", 1)
}

func TestFeed_OnlyThePoolThatIsReadCounts(t *testing.T) {
	p := newProcess(t)
	p.load("a", 1)
	clone := p.db.WithNamedArg("x", 1)
	if _, ok := p.memo.get(clone, p.clock.now(), "a"); !ok {
		t.Error("another handle of the same pool is not the pool that is read")
	}
	for what, db := range map[string]bun.IDB{
		"another pool": noDB(t), "a transaction": bun.Tx{}, "a connection": bun.Conn{}, "a pointer to one": &bun.Conn{}, "nil": nil,
	} {
		if v, ok := p.memo.get(db, p.clock.now(), "a"); ok {
			t.Errorf("%s is told %d", what, v)
		}
		p.wantKept(what, p.memo.Keep(p.Begin(), db, "b", func([]*Life) int { return 1 }, "b"), false)
	}
	p.stop()
	p.want("nothing reads any more", "a", 0)
	p.wantKept("nothing reads any more", p.load("a", 1), false)
	other := noDB(t)
	p.pool.Store(other.DB)
	p.read()
	p.want("another pool is read", "a", 0)
	if v, ok := p.memo.get(other, p.clock.now(), "a"); ok {
		t.Errorf("the other pool is told %d", v)
	}
}

func TestFeed_StopForgets(t *testing.T) {
	p := newProcess(t)
	p.load("a", 1)
	slow := p.Begin()
	p.stop()
	p.pool.Store(p.db.DB)
	p.want("before it reads again", "a", 0)
	p.read()
	p.want("it reads again", "a", 0)
	p.wantKept("a load from before", p.keep(slow, "a", 1, "a"), false)
	p.wantKept("a load from after", p.load("a", 1), true)
}

// As many subjects as there may be: the one that is pushed out takes with it what
// depends on it.
func TestFeed_WhatIsPushedOutIsNotTrusted(t *testing.T) {
	p := newProcess(t)
	p.lives = New("changes", bound, 0).lives // one a shard
	kept := map[string][]*Life{}
	for i := range 2000 {
		s := string([]byte{byte(i), byte(i >> 8)})
		p.Feed.keep(p.Begin(), p.db, func(lives []*Life) { kept[s] = lives }, s)
	}
	alive := 0
	for s, lives := range kept {
		if Over(lives) {
			continue
		}
		alive++
		if l, ok := p.lives.Get(s); !ok || l != lives[0] {
			t.Errorf("%q is trusted, and nobody would hear of its end", s)
		}
	}
	if alive != p.lives.Len() || alive > 64 {
		t.Errorf("%d are trusted, of %d", alive, p.lives.Len())
	}
}

// What much depends on is not pushed out by the many others.
func TestShare_FewAreKeptApartFromMany(t *testing.T) {
	p := newProcess(t)
	p.lives = New("changes", bound, 0).lives // one a shard
	p.Share("plan:")
	p.keep(p.Begin(), "x", 1, "plan:a")
	for i := range 1000 {
		p.keep(p.Begin(), "y", i, "account:"+strconv.Itoa(i))
	}
	p.want("beside a thousand others", "x", 1)
	p.read(row{"plan:a", 1})
	p.want("when it changes", "x", 0)
}
