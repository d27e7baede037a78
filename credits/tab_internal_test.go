package credits

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/quitrent/quitrent/tenancy"
)

// What a tab takes in is plain deductions of what is in the head for certain, and replays
// of entries that are there. Whatever else there is, is for the way by locks.
func TestTab_TakesDrawsAndReplays(t *testing.T) {
	l := New(Config{})
	draw := func(n int64, key string) request { return l.deduction(Deduct{Account: accA, Amount: n, Key: key}) }
	hash := draw(2, "").hash
	made := []*entryRow{
		{Key: "entry", Number: 7, Amount: -2, Hash: hash}, {Key: "hold", Number: 8, Amount: -2, Hash: hash, Hold: "hld_1"},
		{Key: "another", Number: 9, Amount: -2, Hash: "other"},
	}
	for name, c := range map[string]struct {
		asked []request
		void  bool // the last of them is not taken
		taken int64
		again int64
	}{
		"a draw":                       {[]request{draw(2, "new")}, false, 2, 0},
		"draws without keys":           {[]request{draw(1, ""), draw(2, ""), draw(3, "")}, false, 6, 0},
		"draws with keys of their own": {[]request{draw(1, "a"), draw(2, "b")}, false, 3, 0},
		"all that there is":            {[]request{draw(4, ""), draw(6, "")}, false, 10, 0},
		"more than there is":           {[]request{draw(11, "")}, true, 0, 0},
		"more than is left":            {[]request{draw(4, ""), draw(7, "")}, true, 0, 0},
		"a copy":                       {[]request{draw(1, "a"), draw(1, "a")}, true, 0, 0},
		"a replay":                     {[]request{draw(2, "entry")}, false, 0, 1},
		"replays, and a draw":          {[]request{draw(2, "entry"), draw(10, ""), draw(2, "entry")}, false, 10, 2},
		"a key of another content":     {[]request{draw(2, "another")}, true, 0, 0},
		"a key of a hold":              {[]request{draw(2, "hold")}, true, 0, 0},
		"another verb":                 {[]request{{account: accA}}, true, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tab := &tab{account: accA, known: standing{free: 10}, callers: len(c.asked)}
			for _, e := range made {
				tab.know(e)
			}
			for i, r := range c.asked {
				m := &caller{request: r}
				if took, want := tab.take(m), !c.void || i < len(c.asked)-1; took != want {
					t.Fatalf("%d: %v", i, took)
				}
				if r.key == "entry" {
					if d := cmp.Diff(Entry{Number: 7, Amount: -2, Key: "entry", Replayed: true}, m.out.entry); d != "" {
						t.Error(d)
					}
				}
			}
			if !c.void && (tab.taken != c.taken || tab.replays != c.again) {
				t.Errorf("%d taken, %d replays", tab.taken, tab.replays)
			}
			tab.void = true
			if tab.take(&caller{request: draw(1, "")}) {
				t.Error("it goes another way already")
			}
		})
	}
}

// An account is gone by from memory until something happens by itself.
func TestTab_IsOfWhatIsRememberedAndNotDue(t *testing.T) {
	l, db := New(Config{}), bun.NewDB(nil, pgdialect.New())
	for account, until := range map[tenancy.AccountID]time.Time{accA: {}, accB: day} {
		l.shelf.put(shelved{db.DB, account}, standing{epoch: 3, until: until})
	}
	for _, c := range []struct {
		account tenancy.AccountID
		at      time.Time
		want    bool
	}{
		{accA, day, true}, {accB, day.Add(-time.Microsecond), true}, {accB, day, false}, {accB, day.Add(time.Microsecond), false}, {accC, day, false},
	} {
		if tab := l.tab(db, c.account, c.at); (tab != nil) != c.want {
			t.Errorf("%s at %s: %+v", c.account, c.at, tab)
		}
	}
}
