package credits

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

func TestBook_SpendsOnAnOperationWhatIsForIt(t *testing.T) {
	b := &book{now: day, grants: []*grantRow{
		{ID: "any", Priority: 2, Remaining: 5, Held: 1},
		{ID: "image", Priority: 1, Remaining: 7, Held: 2, Operations: "image\n"},
		{ID: "both", Priority: 3, Remaining: 10, Operations: "image\ntext\n"},
		{ID: "held", Priority: 0, Remaining: 3, Held: 3},
		{ID: "used up", Priority: -1, Operations: "image\n"},
		{ID: "expired", Priority: -2, Remaining: 9, ExpiresAt: day},
		{ID: "later", Priority: -3, Remaining: 9, EffectiveAt: day.Add(time.Microsecond)},
	}}
	b.sort()
	var live []string
	for _, g := range b.live {
		live = append(live, g.ID)
	}
	if d := cmp.Diff([]string{"held", "image", "any", "both"}, live); d != "" {
		t.Error(d)
	}
	for _, c := range []struct {
		operation string
		debt      int64
		want      int64
	}{{"", 0, 4}, {"video", 0, 4}, {"text", 0, 14}, {"image", 0, 19}, {"", 3, 1}, {"image", 3, 16}, {"", 4, 0}, {"", 5, 0}, {"image", 20, 0}} {
		b.row.debt = c.debt
		if got := b.spendable(c.operation); got != c.want {
			t.Errorf("%d on %q with a debt of %d, want %d", got, c.operation, c.debt, c.want)
		}
	}
	type taken struct {
		Grant  string
		Amount int64
	}
	for _, c := range []struct {
		operation string
		n         int64
		want      []taken
	}{
		{"", 4, []taken{{"any", -4}}},
		{"image", 5, []taken{{"image", -5}}},
		{"image", 12, []taken{{"image", -5}, {"any", -4}, {"both", -3}}},
		{"text", 12, []taken{{"any", -4}, {"both", -8}}},
		{"image", 0, nil},
	} {
		var got []taken
		for _, p := range b.take(c.operation, c.n) {
			got = append(got, taken{p.grant.ID, p.amount})
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%d of %q: %s", c.n, c.operation, d)
		}
	}
}

// A grant that gets something in it ends, and so does one that a hold lets go of; taking
// something out makes nothing due.
func TestBook_WhatIsPutIntoAGrantEnds(t *testing.T) {
	end := day.Add(time.Hour)
	for name, c := range map[string]struct {
		amount, held int64
		ends, due    time.Time // due before
		want         time.Time
	}{
		"put in":                  {5, 0, end, time.Time{}, end},
		"taken out":               {-1, 0, end, time.Time{}, time.Time{}},
		"held":                    {0, 1, end, time.Time{}, time.Time{}},
		"let go":                  {0, -1, end, time.Time{}, end},
		"charged":                 {-1, -1, end, time.Time{}, end},
		"has ended":               {5, 0, day, time.Time{}, time.Time{}},
		"never ends":              {5, 0, time.Time{}, time.Time{}, time.Time{}},
		"something is due before": {5, 0, end, end.Add(-1), end.Add(-1)},
		"something is due after":  {5, 0, end, end.Add(1), end},
	} {
		b := &book{now: day, row: accountRow{nextAt: c.due}}
		g := &grantRow{Remaining: 9, Held: 2, ExpiresAt: c.ends}
		b.move(g, c.amount, c.held)
		if !b.row.nextAt.Equal(c.want) || g.Remaining != 9+c.amount || g.Held != 2+c.held || b.row.held != c.held {
			t.Errorf("%s: %+v, %d held, due at %s", name, g, b.row.held, b.row.nextAt)
		}
	}
}

// What is free follows what moves, without being added up again.
func TestBook_CountsWhatIsFree(t *testing.T) {
	for name, c := range map[string]struct {
		grant grantRow
		want  int64
	}{
		"in effect":          {grantRow{Remaining: 9, Held: 2}, 3},
		"for an operation":   {grantRow{Remaining: 9, Held: 2, Operations: "image\n"}, 0},
		"not in effect yet":  {grantRow{Remaining: 9, Held: 2, EffectiveAt: day.Add(1)}, 0},
		"not in effect more": {grantRow{Remaining: 9, Held: 2, ExpiresAt: day}, 0},
	} {
		b := &book{now: day}
		if b.move(&c.grant, 4, 1); b.free != c.want {
			t.Errorf("%s: %d are free", name, b.free)
		}
	}
}

// An entry of one grant has it itself; one of several, or of a debt, has splits.
func TestBook_EntriesHaveTheirParts(t *testing.T) {
	g, h := &grantRow{ID: "g", Remaining: 9}, &grantRow{ID: "h", Remaining: 9}
	for name, c := range map[string]struct {
		parts  []part
		grant  string
		splits []splitRow
		debt   int64
	}{
		"one grant": {[]part{{g, -4}}, "g", nil, 6},
		"two": {[]part{{g, -3}, {h, -2}}, "", []splitRow{
			{Account: accA, Unit: "credit", Number: 8, Position: 1, Grant: "g", Amount: -3},
			{Account: accA, Unit: "credit", Number: 8, Position: 2, Grant: "h", Amount: -2},
		}, 6},
		"a debt": {[]part{{nil, -4}}, "", []splitRow{{Account: accA, Unit: "credit", Number: 8, Position: 1, Amount: -4}}, 10},
		"repaid": {[]part{{nil, 4}}, "", []splitRow{{Account: accA, Unit: "credit", Number: 8, Position: 1, Amount: 4}}, 2},
	} {
		for _, at := range []time.Time{day.Add(-time.Hour), day.Add(time.Hour)} {
			b := &book{ledger: New(Config{}), account: accA, now: day, row: accountRow{number: 7, booked: 20, debt: 6, enteredAt: day}, free: 30}
			var amount int64
			for _, p := range c.parts {
				amount += p.amount
			}
			e := b.enter(entryRow{Kind: KindDeduct}, c.parts, at)
			free := 30 - c.debt
			for _, p := range c.parts {
				if p.grant != nil {
					free += p.amount
				}
			}
			want := &entryRow{Account: accA, Unit: "credit", Number: 8, Kind: KindDeduct, Amount: amount, Balance: 20 + amount, Spendable: free, Grant: c.grant, At: latest(day, at)}
			if d := cmp.Diff(want, e) + cmp.Diff(c.splits, b.splits); d != "" {
				t.Errorf("%s: %s", name, d)
			}
			if b.row.number != 8 || b.row.booked != 20+amount || b.row.debt != c.debt || !b.row.enteredAt.Equal(e.At) || at.After(day) != e.At.After(day) {
				t.Errorf("%s: %+v", name, b.row)
			}
		}
	}
}

func TestBook_IsChangedByWhateverIsToBeWritten(t *testing.T) {
	for name, do := range map[string]func(b *book){
		"the row":      func(b *book) { b.row.replays++ },
		"an entry":     func(b *book) { b.lines = []*entryRow{{}} },
		"a key":        func(b *book) { b.keys["new"] = &keyRow{made: true} },
		"a hold":       func(b *book) { b.holds["new"] = &holdRow{made: true} },
		"a hold's end": func(b *book) { b.holds["old"].changed = true },
		"a grant":      func(b *book) { b.grants = append(b.grants, &grantRow{made: true}) },
		"what is held": func(b *book) { b.grants[0].Held++ },
	} {
		b := &book{keys: map[string]*keyRow{"old": {}}, holds: map[string]*holdRow{"old": {}}, grants: []*grantRow{{Held: 2, row: inGrant{5, 2}}}}
		if b.changed() {
			t.Error("nothing has changed")
		}
		if do(b); !b.changed() {
			t.Errorf("%s has changed", name)
		}
	}
}

// A book that was written has nothing more to write, and nothing twice.
func TestBook_GoesOnAsItWasWritten(t *testing.T) {
	spender, nobody := tenancy.Actor{Kind: tenancy.ActorUser, ID: "usr_1"}, tenancy.Actor{Kind: tenancy.ActorUser, ID: "usr_2"}
	b := &book{
		was: accountRow{number: 1, booked: 9}, row: accountRow{number: 2, booked: 12, held: 1, head: "old", headFree: 3},
		grants: []*grantRow{
			{ID: "new", Remaining: 5, made: true}, {ID: "moved", Remaining: 4, Held: 1, row: inGrant{7, 0}},
			{ID: "old", Remaining: 3, row: inGrant{8, 0}}, // the account's row has what is in it
		},
		holds:      map[string]*holdRow{"new": {made: true}, "old": {changed: true}},
		budgets:    map[tenancy.Actor]*budgetRow{spender: {made: true, changed: true}, nobody: nil},
		thresholds: []*thresholdRow{{made: true, changed: true}},
		rules:      []*allotmentRow{{changed: true}},
		lines:      []*entryRow{{}}, splits: []splitRow{{}}, notes: []func(context.Context, bun.IDB) error{nil},
	}
	b.written()
	if b.changed() || len(b.splits)+len(b.notes) > 0 {
		t.Errorf("%+v", b)
	}
	for i, want := range []inGrant{{5, 0}, {4, 1}, {8, 0}} {
		if b.grants[i].row != want {
			t.Errorf("%s is %+v", b.grants[i].ID, b.grants[i].row)
		}
	}
	if r := b.budgets[spender]; r.made || r.changed || b.thresholds[0].made || b.thresholds[0].changed || b.rules[0].changed {
		t.Errorf("%+v, %+v, %+v", r, b.thresholds[0], b.rules[0])
	}
}

// An account's grants hold no more together than an int64 counts, whatever of it is owed.
func TestBook_HasRoomUpToTheEndOfInt64(t *testing.T) {
	for _, c := range []struct {
		booked, debt, n int64
		fits            bool
	}{
		{0, 0, math.MaxInt64, true}, {1, 0, math.MaxInt64, false}, {math.MaxInt64 - 5, 0, 5, true}, {math.MaxInt64 - 5, 0, 6, false},
		{-5, 5, math.MaxInt64, true}, {-4, 5, math.MaxInt64, false}, {math.MaxInt64, 0, 0, true}, {math.MaxInt64, 1, 0, false},
	} {
		b := &book{row: accountRow{booked: c.booked, debt: c.debt}}
		if err := b.room(c.n); (err == nil) != c.fits || err != nil && !errors.Is(err, ErrOverflow) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := add(math.MinInt64, -1); !errors.Is(err, ErrOverflow) {
		t.Error(err)
	}
	if n, err := add(math.MinInt64, 0); n != math.MinInt64 || err != nil {
		t.Error(n, err)
	}
}
