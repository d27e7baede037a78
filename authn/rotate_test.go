package authn_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// Whoever rotates a key knows its secret: it goes with that one's rights from then on.
func TestM9_Rotate_TheSecretGoesWithWhoMadeIt(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.register(t, "ada@example.com")
		bob, eve := h.join(t, ada, "bob@example.com", developer), h.join(t, ada, "eve@example.com", developer)
		key := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(eve), Scopes: []tenancy.Permission{tenancy.PermContentRead}})
		mine := h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(bob), Overlap: authn.MaxOverlap})
		wantErr(t, "bob's rights", h.can(t, mine.Secret, tenancy.PermContentRead), nil)
		h.remove(t, ada, bob)
		wantErr(t, "after bob left", h.verify(t, mine.Secret), authn.ErrOrphaned)
		if _, err := h.keys.Rotate(t.Context(), h.db, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(bob)}); err == nil {
			t.Error("bob rotates it all the same")
		}
		again := h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(eve)})
		wantErr(t, "bob's secret", h.verify(t, mine.Secret), authn.ErrBadCredential)
		wantErr(t, "eve's", h.verify(t, again.Secret), nil)
	})
}

func TestRotate_TheKeyStaysAndGetsAnotherSecret(t *testing.T) {
	modes(t, func(t *testing.T, h *house, read func()) {
		ada := h.register(t, "ada@example.com")
		bob := h.join(t, ada, "bob@example.com", admin)
		key := h.make(t, authn.Issue{
			Account: ada.Account.ID, Actor: userOf(ada), Scopes: writes, May: tenancy.Read | tenancy.Spend,
			ExpiresAt: t0.AddDate(1, 0, 0),
		})
		h.clock.Advance(time.Hour)
		now, end := t0.Add(time.Hour), t0.Add(2*time.Hour)
		read()
		wantErr(t, "before", h.can(t, key.Secret, tenancy.PermContentWrite), tenancy.ErrForbidden) // for May
		again := h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(bob), Overlap: time.Hour, Reason: "quarterly"})
		key.Key.Maker = bob.User.ID // who knows the new secret
		if d := cmp.Diff(key.Key, again.Key); d != "" {
			t.Errorf("the key changed (-before +after):\n%s", d)
		}
		if again.Secret == key.Secret || again.Secret[:20] != key.Secret[:20] {
			t.Error("the secrets do not differ, or not in the secret alone")
		}
		secrets := h.secrets(t, key.Key)
		want := []authn.Secret{{ID: secrets[0].ID, CreatedAt: now}, {ID: secrets[1].ID, CreatedAt: t0, ExpiresAt: end}}
		if d := cmp.Diff(want, secrets); d != "" || secrets[0].ID == secrets[1].ID {
			t.Error(d)
		}
		line := tenancytest.RequireAudit(t, h.db, ada.Account.ID, "authn.rotate_key")
		if line.Actor != userOf(bob) || line.Target != string(key.Key.ID) || line.Reason != "quarterly" || !line.At.Equal(now) {
			t.Errorf("audit %+v", line)
		}
		if fact := tenancytest.RequireEvent[authn.KeyRotated](t, h.db, ada.Account.ID); fact.Key != key.Key.ID || !fact.OldUntil.Equal(end) {
			t.Errorf("event %+v", fact)
		}
		enters := func(what, secret string, want error) {
			t.Helper()
			for range 2 {
				ctx, err := h.keys.Verify(t.Context(), h.db, secret, tenancy.Read)
				wantErr(t, what, err, want)
				if err == nil && tenancy.From(ctx).Actor.ID != string(key.Key.ID) {
					t.Errorf("%s entered as %+v", what, tenancy.From(ctx).Actor)
				}
			}
		}
		read()
		enters("the old secret", key.Secret, nil)
		enters("the new secret", again.Secret, nil)
		h.clock.Set(end.Add(-time.Microsecond))
		enters("the old secret, a microsecond before its end", key.Secret, nil)
		h.clock.Set(end)
		enters("the old secret, at its end", key.Secret, authn.ErrBadCredential)
		h.expired(t, "the old secret, at its end", key.Secret)
		enters("the new secret, then", again.Secret, nil)
	})
}

// Without an overlap the old secret has ended when the rotation has, also where it was
// remembered a moment ago.
func TestRotate_WithoutOverlapEndsTheOldSecretAtOnce(t *testing.T) {
	modes(t, func(t *testing.T, h *house, read func()) {
		ada := h.register(t, "ada@example.com")
		key := h.issue(t, ada)
		for _, overlap := range []time.Duration{0, 999 * time.Nanosecond} { // which no database keeps
			old := h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: operator, Overlap: time.Hour})
			read()
			wantErr(t, "before", h.verify(t, old.Secret), nil)
			fresh := h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: operator, Overlap: overlap})
			h.expired(t, "the old secret", old.Secret)
			h.expired(t, "the first secret", key.Secret)
			wantErr(t, "the new secret", h.verify(t, fresh.Secret), nil)
			read()
			h.expired(t, "the old secret, later", old.Secret)
			if fact := tenancytest.RequireEvent[authn.KeyRotated](t, h.db, ada.Account.ID); !fact.OldUntil.Equal(t0) {
				t.Errorf("%s: event %+v", overlap, fact)
			}
		}
	})
}

// A shorter overlap ends what a longer one left; a longer one gives nothing back.
func TestRotate_AnOverlapOnlyShortens(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.register(t, "ada@example.com")
		key := h.issue(t, ada)
		ends := func(overlap time.Duration, want ...time.Duration) {
			t.Helper()
			h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: operator, Overlap: overlap})
			h.clock.Advance(time.Microsecond)
			var got []time.Duration
			for _, s := range h.secrets(t, key.Key)[1:] {
				got = append(got, s.ExpiresAt.Sub(t0))
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("overlap %s: %s", overlap, d)
			}
		}
		ends(time.Hour, time.Hour)
		ends(authn.MaxOverlap, authn.MaxOverlap+time.Microsecond, time.Hour)
		ends(time.Minute, time.Minute+2*time.Microsecond, time.Minute+2*time.Microsecond, time.Minute+2*time.Microsecond)
		ends(time.Hour, time.Hour+3*time.Microsecond, time.Minute+2*time.Microsecond, time.Minute+2*time.Microsecond, time.Minute+2*time.Microsecond)
		_, err := h.keys.Rotate(t.Context(), h.db, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: operator, Overlap: time.Hour})
		wantErr(t, "a sixth", err, authn.ErrManySecrets)
		// Refused, it has ended nothing sooner either.
		_, err = h.keys.Rotate(t.Context(), h.db, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: operator, Overlap: time.Second})
		wantErr(t, "a sixth", err, authn.ErrManySecrets)
		if got := h.secrets(t, key.Key)[1].ExpiresAt; !got.Equal(t0.Add(time.Hour + 3*time.Microsecond)) {
			t.Errorf("a refused rotation ended a secret: %s", got)
		}
		h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: operator})
	})
}

func TestRotate_RefusalsWriteNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada, eve := h.register(t, "ada@example.com"), h.register(t, "eve@example.com")
		dev := h.join(t, ada, "dev@example.com", developer)
		key := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(ada), Scopes: every})
		over := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(ada), ExpiresAt: t0.Add(time.Minute)})
		dead, full := h.issue(t, ada), h.issue(t, ada)
		if _, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: ada.Account.ID, Key: dead.Key.ID, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: full.Key.ID, Actor: userOf(dev), Overlap: time.Hour})
		}
		h.clock.Advance(time.Minute)
		before := append(h.secrets(t, key.Key), h.secrets(t, full.Key)...)
		good := authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(ada), Overlap: time.Minute}
		with := func(change func(*authn.Rotate)) authn.Rotate { r := good; change(&r); return r }
		for what, c := range map[string]struct {
			rotate authn.Rotate
			want   error
		}{
			"another's key":      {with(func(r *authn.Rotate) { r.Account, r.Actor = eve.Account.ID, userOf(eve) }), authn.ErrNoKey},
			"an unknown key":     {with(func(r *authn.Rotate) { r.Key = "000000000000" }), authn.ErrNoKey},
			"no key's id":        {with(func(r *authn.Rotate) { r.Key = "\x00\xff" }), authn.ErrNoKey},
			"no account's id":    {with(func(r *authn.Rotate) { r.Account = "a b" }), authn.ErrNoKey},
			"an unknown account": {with(func(r *authn.Rotate) { r.Account = "acc_none" }), authn.ErrNoKey},
			"a revoked key":      {with(func(r *authn.Rotate) { r.Key = dead.Key.ID }), authn.ErrKeyOver},
			"an expired key":     {with(func(r *authn.Rotate) { r.Key = over.Key.ID }), authn.ErrKeyOver},
			"a sixth secret":     {with(func(r *authn.Rotate) { r.Key = full.Key.ID }), authn.ErrManySecrets},
			"back in time":       {with(func(r *authn.Rotate) { r.Overlap = -1 }), tenancy.ErrInvalid},
			"too long":           {with(func(r *authn.Rotate) { r.Overlap = authn.MaxOverlap + 1 }), tenancy.ErrInvalid},
			"nobody":             {with(func(r *authn.Rotate) { r.Actor = tenancy.Actor{} }), tenancy.ErrInvalid},
			"a long reason":      {with(func(r *authn.Rotate) { r.Reason = strings.Repeat("x", 10_000) }), tenancy.ErrInvalid},
			"itself":             {with(func(r *authn.Rotate) { r.Actor = tenancy.Actor{Kind: tenancy.ActorKey, ID: string(key.Key.ID)} }), tenancy.ErrForbidden},
			"a developer":        {with(func(r *authn.Rotate) { r.Actor = userOf(dev) }), tenancy.ErrForbidden},
			"a stranger":         {with(func(r *authn.Rotate) { r.Actor = userOf(eve) }), tenancy.ErrForbidden},
		} {
			h.unchanged(t, what, func() {
				err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
					issued, err := h.keys.Rotate(ctx, tx, c.rotate)
					wantErr(t, what, err, c.want)
					if issued.Secret != "" {
						t.Errorf("%s: a secret with a refusal", what)
					}
					_, err = h.keys.Get(ctx, tx, ada.Account.ID, key.Key.ID)
					return err
				})
				wantErr(t, what+": the transaction", err, nil)
			})
		}
		// Nor has a host that committed after them ended a secret sooner.
		if d := cmp.Diff(before, append(h.secrets(t, key.Key), h.secrets(t, full.Key)...)); d != "" {
			t.Errorf("a refusal changed secrets:\n%s", d)
		}
	})
}
