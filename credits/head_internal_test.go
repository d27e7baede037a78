package credits

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
)

func TestHead_IsTheFirstGrantThatAnythingCanBeTakenFrom(t *testing.T) {
	b := &book{now: day, grants: []*grantRow{
		{ID: "of images", Priority: -9, Remaining: 5, Operations: "image\n"},
		{ID: "used up", Priority: -8},
		{ID: "held", Priority: -7, Remaining: 5, Held: 5},
		{ID: "later", Priority: -6, Remaining: 5, EffectiveAt: day.Add(time.Microsecond)},
		{ID: "expired", Priority: -5, Remaining: 5, ExpiresAt: day},
	}}
	b.lead()
	if b.row.head != "" || b.row.headFree != 0 {
		t.Errorf("%q has %d", b.row.head, b.row.headFree)
	}
	b.grants = append(b.grants, &grantRow{ID: "second", Priority: 1, Remaining: 7}, &grantRow{ID: "first", Remaining: 5, Held: 2, EffectiveAt: day},
		&grantRow{ID: "third", Priority: 2, Remaining: 8})
	b.lead()
	if b.row.head != "first" || b.row.headFree != 3 {
		t.Errorf("%q has %d", b.row.head, b.row.headFree)
	}
}

// A grant's own row is written where it says anything else than what is so; a head's not
// where it says that more is in it.
func TestHead_ARowIsStaleThatSaysSomethingElse(t *testing.T) {
	for name, c := range map[string]struct {
		grant       grantRow
		other, head bool // it is stale as another grant, and as the head
	}{
		"as it is":       {grantRow{Remaining: 5, Held: 2, row: inGrant{5, 2}}, false, false},
		"that more is":   {grantRow{Remaining: 4, Held: 2, row: inGrant{5, 2}}, true, false},
		"that less is":   {grantRow{Remaining: 6, Held: 2, row: inGrant{5, 2}}, true, true},
		"less is held":   {grantRow{Remaining: 5, Held: 3, row: inGrant{5, 2}}, true, true},
		"more is held":   {grantRow{Remaining: 5, Held: 1, row: inGrant{5, 2}}, true, true},
		"it has no row":  {grantRow{Remaining: 4, made: true}, false, false},
		"both are other": {grantRow{Remaining: 4, Held: 1, row: inGrant{5, 2}}, true, true},
	} {
		g := c.grant
		g.ID = "g"
		for head, want := range map[string]bool{"g": c.head, "another": c.other} {
			if got := (&book{row: accountRow{head: head}}).stale(&g); got != want {
				t.Errorf("%s, the head is %s: %v", name, head, got)
			}
		}
	}
}

// Whoever remembers an account need not forget it for deductions from its head, and for
// replays. For anything else the account's epoch moves, or it would be deducted from as if
// that had not happened.
func TestHead_OnlyDeductionsFromItAndReplaysLeaveTheEpoch(t *testing.T) {
	deducted := func() *book {
		line := &entryRow{Number: 8, Grant: "g", Key: "k"}
		was := accountRow{epoch: 1, replays: 2, booked: 9, held: 1, number: 7, enteredAt: day, nextAt: day.AddDate(1, 0, 0), renewsAt: day.AddDate(2, 0, 0), head: "g", headFree: 4}
		row := was
		row.replays, row.booked, row.number, row.enteredAt, row.headFree = 3, 8, 8, day.Add(time.Hour), 3
		return &book{
			now: day, was: was, row: row, lines: []*entryRow{line},
			grants: []*grantRow{
				{ID: "g", Remaining: 4, Held: 1, row: inGrant{9, 1}},
				{ID: "next", Priority: 1, Remaining: 5, row: inGrant{5, 0}},
			},
			holds: map[string]*holdRow{"h": {}},
			keys:  map[string]*keyRow{"k": {made: true, line: line}, "replayed": {}},
		}
	}
	for name, do := range map[string]func(b *book){
		"a grant": func(b *book) {
			b.grants = append(b.grants, &grantRow{ID: "new", Priority: 9, made: true, Remaining: 1})
		},
		"a grant moved":       func(b *book) { b.grants[1].Remaining-- },
		"a grant given back":  func(b *book) { b.grants[0].Remaining, b.grants[0].row = 4, inGrant{3, 1} },
		"another head":        func(b *book) { b.grants[1].Priority = -1 },
		"another's entry":     func(b *book) { b.lines = append(b.lines, &entryRow{Number: 9, Grant: "next"}) },
		"an entry of several": func(b *book) { b.splits = []splitRow{{Number: 8, Grant: "g"}} },
		"a note":              func(b *book) { b.note(func(context.Context, bun.IDB) error { return nil }) },
		"a refusal":           func(b *book) { b.keys["refused"] = &keyRow{made: true} },
		"a hold":              func(b *book) { b.holds["new"] = &holdRow{made: true} },
		"a hold changed":      func(b *book) { b.holds["h"].changed = true },
		"what is held":        func(b *book) { b.row.held++ },
		"a debt":              func(b *book) { b.row.debt++ },
		"a budget":            func(b *book) { b.row.budgets++ },
		"a threshold":         func(b *book) { b.row.thresholds++ },
		"what is due":         func(b *book) { b.row.nextAt = day },
		"an allotment":        func(b *book) { b.row.renewsAt = day },
	} {
		b := deducted()
		do(b)
		if b.close(); b.row.epoch <= 1 {
			t.Errorf("%s: the epoch is %d", name, b.row.epoch)
		}
	}
	b := deducted()
	b.close()
	want := b.was
	want.replays, want.booked, want.number, want.enteredAt, want.headFree = 3, 8, 8, day.Add(time.Hour), 3
	if d := cmp.Diff(want, b.row, cmp.AllowUnexported(accountRow{})); d != "" {
		t.Error(d)
	}
}

// An account is remembered where a deduction is all from its head, whatever it is for and
// whoever it is by, until the first moment at which another grant may come first.
func TestStanding_IsOfAccountsWithNothingButAHead(t *testing.T) {
	stands := func() *book {
		return &book{
			now: day, row: accountRow{epoch: 5, booked: 30, held: 2, head: "g", headFree: 8, nextAt: day.AddDate(0, 0, 9)},
			grants: []*grantRow{{ID: "g", Remaining: 10, Held: 2}, {ID: "next", Remaining: 7}, {ID: "expired", Remaining: 6, ExpiresAt: day}},
		}
	}
	// What is apart is held or expired, or not in effect yet.
	want := standing{epoch: 5, free: 8, apart: 15, until: day.AddDate(0, 0, 9)}
	for name, c := range map[string]struct {
		do    func(b *book)
		until time.Time
	}{
		"as it is":                        {func(*book) {}, want.until},
		"nothing is due":                  {func(b *book) { b.row.nextAt = time.Time{} }, time.Time{}},
		"of some operations, but used up": {func(b *book) { b.grants[2] = &grantRow{Operations: "image\n"} }, want.until},
		"of some operations, but expired": {func(b *book) { b.grants[2].Operations = "image\n" }, want.until},
		"of some operations, but later": {func(b *book) {
			b.grants[2] = &grantRow{Operations: "image\n", Remaining: 6, EffectiveAt: day.AddDate(0, 0, 3)}
		}, day.AddDate(0, 0, 3)},
		"in effect from this moment on":     {func(b *book) { b.grants[0].EffectiveAt, b.grants[1].EffectiveAt = day, day }, want.until},
		"in effect before anything is due":  {func(b *book) { b.grants[2].EffectiveAt = day.AddDate(0, 0, 2) }, day.AddDate(0, 0, 2)},
		"in effect after something is due":  {func(b *book) { b.grants[2].EffectiveAt = day.AddDate(0, 0, 10) }, want.until},
		"in effect later, nothing else due": {func(b *book) { b.grants[2].EffectiveAt, b.row.nextAt = day.AddDate(0, 0, 10), time.Time{} }, day.AddDate(0, 0, 10)},
	} {
		b := stands()
		c.do(b)
		want := want
		want.until = c.until
		got, ok := b.standing()
		if d := cmp.Diff(want, got, cmp.AllowUnexported(standing{})); !ok || d != "" {
			t.Errorf("%s: %v %s", name, ok, d)
		}
	}
	for name, do := range map[string]func(b *book){
		"no head":              func(b *book) { b.row.head = "" },
		"a budget":             func(b *book) { b.row.budgets = 1 },
		"a threshold":          func(b *book) { b.row.thresholds = 1 },
		"a debt":               func(b *book) { b.row.debt = 1 },
		"of some operations":   func(b *book) { b.grants[1].Operations = "image\n" },
		"of some, all is held": func(b *book) { b.grants[1].Operations, b.grants[1].Held = "image\n", 7 },
	} {
		b := stands()
		do(b)
		if s, ok := b.standing(); ok {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
