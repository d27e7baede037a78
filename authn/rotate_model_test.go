package authn_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
)

// lock is one key as the documentation describes it.
type lock struct {
	key     authn.Key
	revoked bool
	secrets []*bolt // in the order they were made
}

// bolt is one secret.
type bolt struct {
	text      string
	made, end time.Time
	revoked   bool
	pepper    string // under which it is stored
}

// doors is one account's keys, in a model and in a house.
type doors struct {
	*house
	ada   tenancy.Registered
	ring  []string    // of peppers
	ours  *authn.Keys // with that ring, as a process has it from its start to its end
	days  int64       // the limit of a secret's age; -1: none
	locks []*lock
}

func (d *doors) open(end time.Time) bool { return end.IsZero() || d.clock.Now().Before(end) }

// young reports that a secret lives, whether its key does or not.
func (d *doors) young(b *bolt) bool {
	return !b.revoked && d.open(b.end) && (d.days < 0 || d.clock.Now().Sub(b.made) < time.Duration(d.days)*day)
}

func (d *doors) lives(l *lock) bool { return !l.revoked && d.open(l.key.ExpiresAt) }

// add puts a secret that was just made on a key.
func (d *doors) add(l *lock, text string) {
	b := &bolt{text: text, made: d.clock.Now(), pepper: d.ring[0]}
	if d.days >= 0 {
		b.end = b.made.Add(time.Duration(d.days) * day)
	}
	l.secrets = append(l.secrets, b)
}

func (d *doors) turn(t *testing.T, ring []string) {
	t.Helper()
	d.ring = ring
	var peppers []authn.Pepper
	for _, id := range ring {
		peppers = append(peppers, pepper(id))
	}
	d.ours = d.newKeys(t, peppers...)
}

// steps are what can be done. Each has a key to do it with.
var steps = map[string]func(t *testing.T, rt *rapid.T, d *doors, l *lock){
	"issue": func(_ *testing.T, rt *rapid.T, d *doors, _ *lock) {
		i := authn.Issue{Account: d.ada.Account.ID, Name: "k", Actor: userOf(d.ada)}
		if hours := rapid.IntRange(0, 72).Draw(rt, "hours"); hours > 0 {
			i.ExpiresAt = d.clock.Now().Add(time.Duration(hours) * time.Hour)
		}
		issued, err := d.ours.Issue(rt.Context(), d.db, i)
		if err != nil {
			rt.Fatal(err)
		}
		l := &lock{key: issued.Key}
		d.add(l, issued.Secret)
		d.locks = append(d.locks, l)
	},
	"rotate": func(_ *testing.T, rt *rapid.T, d *doors, l *lock) {
		overlap := time.Duration(rapid.SampledFrom([]int{0, 1, 24, 720}).Draw(rt, "overlap")) * time.Hour
		live := len(slices.DeleteFunc(slices.Clone(l.secrets), func(b *bolt) bool { return !d.young(b) }))
		issued, err := d.ours.Rotate(rt.Context(), d.db, authn.Rotate{Account: d.ada.Account.ID, Key: l.key.ID, Actor: userOf(d.ada), Overlap: overlap})
		switch {
		case !d.lives(l):
			drawn(rt, err, authn.ErrKeyOver)
			return
		case live >= 5 && overlap > 0:
			drawn(rt, err, authn.ErrManySecrets)
			return
		}
		drawn(rt, err, nil)
		for _, b := range l.secrets {
			if end := d.clock.Now().Add(overlap); !b.revoked && (b.end.IsZero() || b.end.After(end)) {
				b.end = end
			}
		}
		d.add(l, issued.Secret)
	},
	"revoke a secret": func(t *testing.T, rt *rapid.T, d *doors, l *lock) {
		n := rapid.IntRange(0, len(l.secrets)-1).Draw(rt, "secret")
		// Two of one instant have no order but their ids', which is that of their making.
		id := d.secrets(t, l.key)[len(l.secrets)-1-n].ID
		err := d.ours.RevokeSecret(rt.Context(), d.db, authn.RevokeSecret{Account: d.ada.Account.ID, Key: l.key.ID, Secret: id, Actor: operator})
		if !d.lives(l) {
			drawn(rt, err, authn.ErrKeyOver)
			return
		}
		drawn(rt, err, nil)
		l.secrets[n].revoked = true
	},
	"revoke": func(_ *testing.T, rt *rapid.T, d *doors, l *lock) {
		_, err := d.ours.Revoke(rt.Context(), d.db, authn.Revoke{Account: d.ada.Account.ID, Key: l.key.ID, Actor: operator})
		drawn(rt, err, nil)
		l.revoked = true
	},
	"wait": func(_ *testing.T, rt *rapid.T, d *doors, _ *lock) {
		d.clock.Advance(rapid.SampledFrom([]time.Duration{time.Microsecond, time.Hour - time.Microsecond, time.Hour, day, 10 * day}).Draw(rt, "for"))
	},
	"limit the age": func(t *testing.T, rt *rapid.T, d *doors, _ *lock) {
		d.days = rapid.SampledFrom([]int64{-1, 1, 2, 90}).Draw(rt, "days")
		d.house.days(t, d.days)
	},
	"turn the pepper": func(t *testing.T, rt *rapid.T, d *doors, _ *lock) {
		to := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "to")
		d.turn(t, append([]string{to}, slices.DeleteFunc(d.ring, func(id string) bool { return id == to })...))
	},
	"end a pepper": func(t *testing.T, _ *rapid.T, d *doors, _ *lock) { d.turn(t, d.ring[:max(1, len(d.ring)-1)]) },
}

func drawn(rt *rapid.T, err, want error) {
	rt.Helper()
	if (err == nil) != (want == nil) || err != nil && !strings.Contains(err.Error(), want.Error()) {
		rt.Fatalf("got %v, want %v", err, want)
	}
}

// Whatever is done in whatever order, each secret opens its key as long as Rotate,
// Revoke, RevokeSecret, LimitKeyDays and Config.Peppers say, and no longer.
func TestKeys_AgreeWithTheirModel(t *testing.T) {
	names := slices.Sorted(maps.Keys(steps))
	modes(t, func(t *testing.T, h *house, read func()) {
		longest := 12
		if strings.HasSuffix(t.Name(), "postgres") {
			longest = 5
		}
		run := 0
		rapid.Check(t, func(rt *rapid.T) {
			run++
			h.clock.Set(t0)
			h.days(t, -1)
			d := &doors{house: h, ada: h.register(t, fmt.Sprintf("ada%d@example.com", run)), days: -1}
			d.turn(t, []string{"a"})
			steps["issue"](t, rt, d, nil)
			for range rapid.IntRange(1, longest).Draw(rt, "steps") {
				if rapid.Bool().Draw(rt, "read the news") {
					read()
				}
				l := d.locks[rapid.IntRange(0, len(d.locks)-1).Draw(rt, "key")]
				steps[rapid.SampledFrom(names).Draw(rt, "step")](t, rt, d, l)
				d.agree(rt)
			}
		})
	})
}

func (d *doors) agree(rt *rapid.T) {
	rt.Helper()
	for _, l := range d.locks {
		for i, b := range l.secrets {
			known := slices.Contains(d.ring, b.pepper)
			want := known && d.lives(l) && d.young(b)
			if _, err := d.ours.Verify(rt.Context(), d.db, b.text, 0); want != (err == nil) {
				rt.Fatalf("key %s, secret %d under %s of %v, %d days: %v, and it should open: %v", l.key.ID, i, b.pepper, d.ring, d.days, err, want)
			}
			if known && !l.revoked && !b.revoked {
				b.pepper = d.ring[0] // its holder has shown it
			}
		}
	}
}
