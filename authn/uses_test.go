package authn_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// lastUsed is what is known of a key's use, at the key and at each secret.
func (h *house) lastUsed(t *testing.T, key authn.Key) (of time.Time, secrets []time.Time) {
	t.Helper()
	got, err := h.keys.Get(t.Context(), h.db, key.Account, key.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range h.secrets(t, key) {
		secrets = append(secrets, s.LastUsedAt)
	}
	return got.LastUsedAt, secrets
}

func (h *house) flush(t *testing.T) (written int) {
	t.Helper()
	asked := &queries{}
	authn.Flush(t.Context(), h.keys, h.db.WithQueryHook(asked))
	for _, q := range asked.said {
		switch {
		case strings.Contains(q, "INTO authn_key_uses"):
			written++
		case q != "BEGIN" && q != "COMMIT":
			t.Errorf("asked %q", q)
		}
	}
	return written
}

func TestLastUsed_IsKnownToTheMinuteOfEachSecret(t *testing.T) {
	modes(t, func(t *testing.T, h *house, read func()) {
		ada := h.register(t, "ada@example.com")
		key, other := h.issue(t, ada), h.issue(t, ada)
		read()
		wantErr(t, "before anybody gathers", h.verify(t, other.Secret), nil)
		h.clock.Advance(time.Hour)
		authn.Gather(h.keys)
		at := func(d time.Duration) time.Time { return t0.Add(time.Hour + d) }
		use := func(d time.Duration, secret string) {
			t.Helper()
			h.clock.Set(at(d))
			wantErr(t, d.String(), h.verify(t, secret), nil)
		}
		known := func(want ...time.Time) {
			t.Helper()
			of, secrets := h.lastUsed(t, key.Key)
			if d := cmp.Diff(want, append([]time.Time{of}, secrets...)); d != "" {
				t.Errorf("known (-want +got):\n%s", d)
			}
		}
		for range 100 {
			use(0, key.Secret)
		}
		known(time.Time{}, time.Time{}) // nothing is written on the way of a request
		if n := h.flush(t); n != 1 {
			t.Errorf("%d writes for 100 uses", n)
		}
		known(at(0), at(0))

		// For a minute, and however often that is gathered, no other write.
		for d := time.Duration(0); d < time.Minute; d += 10 * time.Second {
			use(d, key.Secret)
			if n := h.flush(t); n != 0 {
				t.Errorf("%d writes after %s", n, d)
			}
		}
		use(time.Minute, key.Secret)
		if n := h.flush(t); n != 1 {
			t.Errorf("%d writes after a minute", n)
		}
		known(at(time.Minute), at(time.Minute))

		// Each secret has its own.
		second := h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: operator, Overlap: day})
		read()
		use(2*time.Minute, second.Secret)
		use(2*time.Minute+time.Second, second.Secret)
		if n := h.flush(t); n != 1 {
			t.Errorf("%d writes for another secret", n)
		}
		newest, secrets := h.lastUsed(t, key.Key)
		if newest.Before(at(2*time.Minute)) || !secrets[0].Equal(newest) || !secrets[1].Equal(at(time.Minute)) {
			t.Errorf("of the key %s, of its secrets %v", newest, secrets)
		}

		// What is refused is no use.
		wrong, _, _ := authn.Rekey(h.keys, key.Key.ID)
		h.clock.Set(at(2 * day))
		wantErr(t, "an ended secret", h.verify(t, key.Secret), authn.ErrBadCredential)
		wantErr(t, "a wrong one", h.verify(t, wrong), authn.ErrBadCredential)
		if n := h.flush(t); n != 0 {
			t.Errorf("%d writes for refusals", n)
		}
		// Nor does a clock that was put back take anything back.
		use(-time.Minute, second.Secret)
		h.flush(t)
		if again, _ := h.lastUsed(t, key.Key); !again.Equal(newest) {
			t.Errorf("the last use went back from %s to %s", newest, again)
		}
		if of, _ := h.lastUsed(t, other.Key); !of.IsZero() {
			t.Errorf("a use before anybody gathered: %s", of)
		}
	})
}

// A use that comes to be written when its account is erased brings nothing back and
// breaks nothing for the others.
func TestLastUsed_OfAKeyThatIsGoneIsNone(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada, eve := h.register(t, "ada@example.com"), h.register(t, "eve@example.com")
		gone, stays := h.issue(t, ada), h.issue(t, eve)
		authn.Gather(h.keys)
		wantErr(t, "the one", h.verify(t, gone.Secret), nil)
		wantErr(t, "the other", h.verify(t, stays.Secret), nil)
		h.exec(t, "DELETE FROM authn_key_secrets WHERE key_id = ?", gone.Key.ID)
		h.exec(t, "DELETE FROM authn_keys WHERE key_id = ?", gone.Key.ID)
		if n := h.flush(t); n != 2 {
			t.Errorf("%d writes", n)
		}
		if n := h.count(t, "authn_key_uses"); n != 1 {
			t.Errorf("%d uses", n)
		}
		if of, _ := h.lastUsed(t, stays.Key); !of.Equal(t0) {
			t.Errorf("the other was used %s", of)
		}
	})
}

// Run needs no connection that a request holds, and writes what is left when it ends.
func TestLastUsed_RunWritesInTheEnd(t *testing.T) {
	h := newHouse(t, dbtest.SQLiteOneConn(t, authn.Migrate))
	key := h.issue(t, h.register(t, "ada@example.com"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	authn.Gather(h.keys) // Run does so too, whenever it begins
	wantErr(t, "a use", h.verify(t, key.Secret), nil)
	done := make(chan error, 1)
	go func() { done <- h.keys.Run(ctx, h.db) }()
	for authn.Gathered(h.keys) != 0 { // until Run has begun
		wantErr(t, "another", h.verify(t, key.Secret), nil)
	}
	h.clock.Advance(time.Hour)
	wantErr(t, "the last use", h.verify(t, key.Secret), nil)
	cancel()
	wantErr(t, "Run", <-done, nil)
	if of, _ := h.lastUsed(t, key.Key); !of.Equal(t0.Add(time.Hour)) {
		t.Errorf("used %s", of)
	}
	wantErr(t, "after Run", h.verify(t, key.Secret), nil)
	if n := authn.Gathered(h.keys); n != 0 {
		t.Errorf("%d uses gathered for nobody", n)
	}
}

func TestList_UnusedSinceShowsWhatIsThereForNobody(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.register(t, "ada@example.com")
		make := func(i authn.Issue) authn.Issued {
			i.Account, i.Actor = ada.Account.ID, operator
			return h.make(t, i)
		}
		make(authn.Issue{Name: "never"})
		used, lately, dead := make(authn.Issue{Name: "used"}), make(authn.Issue{Name: "lately"}), make(authn.Issue{Name: "dead"})
		make(authn.Issue{Name: "over", ExpiresAt: t0.Add(time.Hour)})
		if _, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: ada.Account.ID, Key: dead.Key.ID, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		authn.Gather(h.keys)
		wantErr(t, "a use", h.verify(t, used.Secret), nil)
		wantErr(t, "a use", h.verify(t, lately.Secret), nil)
		again := h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: lately.Key.ID, Actor: operator, Overlap: day})
		h.clock.Advance(10 * time.Hour)
		wantErr(t, "a use of another secret", h.verify(t, again.Secret), nil)
		young := make(authn.Issue{Name: "young"})
		h.flush(t)
		for since, want := range map[time.Time][]string{
			t0:                       {},
			t0.Add(time.Microsecond): {"never", "used"},
			t0.Add(10 * time.Hour):   {"never", "used"},
			young.Key.CreatedAt.Add(time.Microsecond):                              {"lately", "never", "used", "young"},
			time.Date(9999, 12, 31, 23, 0, 0, 0, time.UTC):                         {"lately", "never", "used", "young"},
			time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC):                            {},
			t0.Add(time.Microsecond + 5*time.Hour).In(time.FixedZone("", 14*3600)): {"never", "used"},
		} {
			var names []string
			for page := (authn.List{Account: ada.Account.ID, UnusedSince: since, Limit: 1}); ; {
				keys, err := h.keys.List(t.Context(), h.db, page)
				if err != nil {
					t.Fatal(err)
				}
				if len(keys) == 0 {
					break
				}
				names, page.Before = append(names, keys[0].Name), keys[0].ID
			}
			slices.Sort(names)
			if !slices.Equal(names, want) {
				t.Errorf("since %s: %v, want %v", since, names, want)
			}
		}
		for _, since := range []time.Time{time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600))} {
			_, err := h.keys.List(t.Context(), h.db, authn.List{Account: ada.Account.ID, UnusedSince: since})
			wantErr(t, since.String(), err, tenancy.ErrInvalid)
		}
	})
}
