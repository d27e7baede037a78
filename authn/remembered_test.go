package authn_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// asked is how many statements fn costs.
func (h *house) asked(fn func(db *bun.DB)) int {
	said := &queries{}
	fn(h.db.WithQueryHook(said))
	return len(said.said)
}

// costs fails unless showing the key costs so many statements and answers so.
func (h *house) costs(t *testing.T, what, key string, statements int, want error) {
	t.Helper()
	n := h.asked(func(db *bun.DB) {
		_, err := h.keys.Verify(t.Context(), db, key, 0)
		wantErr(t, what, err, want)
	})
	if n != statements {
		t.Errorf("%s: %d statements, want %d", what, n, statements)
	}
}

func TestRemembered_AKeyThatIsKnownAsksNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		read := h.remember(t, authn.Config{})
		ada := h.register(t, "ada@example.com")
		key, dead := h.issue(t, ada), h.issue(t, ada)
		bob := h.join(t, ada, "bob@example.com", developer)
		orphan := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(bob)})
		h.remove(t, ada, bob)
		if _, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: ada.Account.ID, Key: dead.Key.ID, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		read()
		wrong, _, _ := authn.Rekey(h.keys, key.Key.ID)
		unknown, _, _ := authn.Rekey(h.keys, "000000000000")
		for what, c := range map[string]struct {
			key  string
			want error
		}{
			"a key":          {key.Secret, nil},
			"a revoked key":  {dead.Secret, authn.ErrBadCredential},
			"a wrong secret": {wrong, authn.ErrBadCredential},
			"an unknown key": {unknown, authn.ErrBadCredential},
		} {
			h.costs(t, what, c.key, 1, c.want)
			for range 3 {
				h.costs(t, what+", again", c.key, 0, c.want)
			}
		}
		for range 2 { // its maker may come back without a word
			h.costs(t, "an orphan", orphan.Secret, 1, authn.ErrOrphaned)
		}
		for what, text := range map[string]string{
			"nothing": "", "a word": "x", "a mistyped key": key.Secret[:30] + "00" + key.Secret[32:], "one too long": key.Secret + "0",
			"one too short": key.Secret[:len(key.Secret)-1], "a book": strings.Repeat(key.Secret, 1000),
		} {
			h.costs(t, what, text, 0, authn.ErrBadCredential)
		}
		// What changed of the account or its plan is asked for again, and once.
		if _, err := h.accounts.Suspend(t.Context(), h.db, tenancy.Suspend{Account: ada.Account.ID, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		h.costs(t, "suspended, not yet read", key.Secret, 1, tenancy.ErrSuspended)
		h.costs(t, "suspended, not yet read", key.Secret, 1, tenancy.ErrSuspended)
		read()
		h.costs(t, "suspended", key.Secret, 1, tenancy.ErrSuspended)
		h.costs(t, "suspended, again", key.Secret, 0, tenancy.ErrSuspended)
	})
}

// Nothing that is remembered counts in a transaction, which may see what others do not.
func TestRemembered_ATransactionIsAsked(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		read := h.remember(t, authn.Config{})
		ada := h.register(t, "ada@example.com")
		key := h.issue(t, ada)
		wrong, _, _ := authn.Rekey(h.keys, key.Key.ID)
		read()
		h.costs(t, "remembered", key.Secret, 1, nil)
		h.costs(t, "remembered", key.Secret, 0, nil)
		tx, err := h.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		if _, err := h.keys.Revoke(t.Context(), tx, authn.Revoke{Account: ada.Account.ID, Key: key.Key.ID, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		_, err = h.keys.Verify(t.Context(), tx, key.Secret, 0)
		wantErr(t, "in the transaction that revoked it", err, authn.ErrBadCredential)
		_, err = h.keys.Verify(t.Context(), tx, wrong, 0)
		wantErr(t, "a wrong one in it", err, authn.ErrBadCredential)
		if n := authn.Unknown(h.keys); n != 0 {
			t.Errorf("%d texts remembered from a transaction", n)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		h.costs(t, "after it", key.Secret, 1, authn.ErrBadCredential)
	})
}

// A text that is no key costs the database one question in a minute, a bounded number
// of them is remembered, and none of it counts while no news are read.
func TestRemembered_WhatIsNoKeyIsBounded(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		read := h.remember(t, authn.Config{})
		key := h.issue(t, h.register(t, "ada@example.com"))
		wrong, _, _ := authn.Rekey(h.keys, key.Key.ID)
		read()
		h.costs(t, "a wrong secret", wrong, 1, authn.ErrBadCredential)
		now := time.Now()
		for after, want := range map[time.Duration]bool{0: true, authn.UnknownFor - time.Second: true, authn.UnknownFor + time.Second: false, time.Hour: false} {
			if got := authn.Refused(h.keys, h.db, now.Add(after), wrong); got != want {
				t.Errorf("%s later it is remembered: %v", after, got)
			}
		}
		if authn.Refused(h.keys, h.db, now, key.Secret) {
			t.Error("the right secret is remembered as none")
		}
		// Another pool, on which no news are read, is asked.
		other, err := dbtest.Open(dbtest.DSN(h.db))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dbtest.Close(other) })
		said := &queries{}
		_, err = h.keys.Verify(t.Context(), other.WithQueryHook(said), wrong, 0)
		wantErr(t, "on another pool", err, authn.ErrBadCredential)
		if len(said.said) != 1 {
			t.Errorf("on another pool: %q", said.said)
		}
		// It becomes no key by being remembered, nor does it hide the key.
		h.costs(t, "the right secret", key.Secret, 1, nil)
		h.costs(t, "the wrong secret", wrong, 0, authn.ErrBadCredential)
		h.costs(t, "the right secret", key.Secret, 0, nil)
	})
}

func TestRemembered_WhoTriesManyPushesNobodyOut(t *testing.T) {
	h := newHouse(t, dbtest.SQLite(t, authn.Migrate))
	read := h.remember(t, authn.Config{})
	key := h.issue(t, h.register(t, "ada@example.com"))
	read()
	h.costs(t, "a key", key.Secret, 1, nil)
	authn.FillUnknown(h.keys, 2*authn.MaxUnknown)
	if n := authn.Unknown(h.keys); n > authn.MaxUnknown || n < authn.MaxUnknown*9/10 {
		t.Errorf("%d of at most %d are remembered", n, authn.MaxUnknown)
	}
	h.costs(t, "a key, after many were tried", key.Secret, 0, nil)
}

func TestRemembered_AtMostAsManyAsConfigured(t *testing.T) {
	h := newHouse(t, dbtest.SQLite(t, authn.Migrate))
	read := h.remember(t, authn.Config{MaxCached: 64})
	ada := h.register(t, "ada@example.com")
	var keys []authn.Issued
	for range 100 {
		keys = append(keys, h.issue(t, ada))
	}
	read()
	for range 2 {
		for _, k := range keys {
			wantErr(t, "a key", h.verify(t, k.Secret), nil)
		}
	}
	if n := authn.Opened(h.keys); n > 64 {
		t.Errorf("%d of at most 64 are remembered", n)
	}
}

// In memory there is no key: what is remembered is found by a hash.
func TestRemembered_HoldsNoSecret(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		read := h.remember(t, authn.Config{})
		authn.Gather(h.keys)
		ada := h.register(t, "ada@example.com")
		key := h.issue(t, ada)
		again := h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: operator, Overlap: day})
		wrong, _, _ := authn.Rekey(h.keys, key.Key.ID)
		read()
		for _, text := range []string{key.Secret, again.Secret, wrong} {
			_ = h.verify(t, text)
		}
		if authn.Opened(h.keys) != 2 || authn.Unknown(h.keys) != 1 || authn.Gathered(h.keys) != 2 {
			t.Fatalf("%d keys, %d unknown and %d uses are remembered", authn.Opened(h.keys), authn.Unknown(h.keys), authn.Gathered(h.keys))
		}
		found := &texts{seen: map[uintptr]bool{}}
		found.walk(reflect.ValueOf(h.keys))
		if !strings.Contains(found.all.String(), string(key.Key.ID)) {
			t.Fatal("the walk did not come to what is remembered")
		}
		for what, secret := range map[string]string{"a key": key.Secret, "a rotated key": again.Secret, "a wrong one": wrong} {
			if strings.Contains(found.all.String(), secret[20:50]) || strings.Contains(fmt.Sprintf("%+v %#v", h.keys, *h.keys), secret[20:50]) {
				t.Errorf("%s is in memory", what)
			}
		}
	})
}

// texts gathers every string and every slice of bytes that a value leads to.
type texts struct {
	seen map[uintptr]bool
	all  strings.Builder
}

func (x *texts) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		x.all.WriteString(v.String() + "\n")
	case reflect.Pointer:
		if !v.IsNil() && !x.seen[v.Pointer()] {
			x.seen[v.Pointer()] = true
			x.walk(v.Elem())
		}
	case reflect.Interface:
		if !v.IsNil() {
			x.walk(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			x.walk(v.Field(i))
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			for i := range v.Len() {
				x.all.WriteByte(byte(v.Index(i).Uint()))
			}
			x.all.WriteByte('\n')
			return
		}
		for i := range v.Len() {
			x.walk(v.Index(i))
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			x.walk(entries.Key())
			x.walk(entries.Value())
		}
	}
}
