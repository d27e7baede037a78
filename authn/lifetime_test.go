package authn_test

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

const day = 24 * time.Hour

// days gives the trial's plan a limit on how old a secret may be; -1 takes it away.
func (h *house) days(t *testing.T, days int64) {
	t.Helper()
	plan := tenancytest.Plans()[0]
	if days >= 0 {
		plan.Limits = map[string]int64{authn.LimitKeyDays: days}
	}
	plan.TrialDays = 0 // accounts without end
	if _, err := h.accounts.Ensure(t.Context(), h.db, plan); err != nil {
		t.Fatal(err)
	}
}

func (h *house) override(t *testing.T, o tenancy.Override) {
	t.Helper()
	o.Actor = operator
	if _, err := h.accounts.Override(t.Context(), h.db, o); err != nil {
		t.Fatal(err)
	}
}

// expired fails unless the key is told that it is expired.
func (h *house) expired(t *testing.T, what, key string) {
	t.Helper()
	if err := h.verify(t, key); !errors.Is(err, authn.ErrBadCredential) || !strings.Contains(err.Error(), "expired") {
		t.Errorf("%s: %v", what, err)
	}
}

func TestLimitKeyDays_EndsSecretsByTheirAge(t *testing.T) {
	modes(t, func(t *testing.T, h *house, read func()) {
		h.days(t, 30)
		ada := h.register(t, "ada@example.com")
		key := h.issue(t, ada)
		read()
		if got := h.secrets(t, key.Key)[0].ExpiresAt; !got.Equal(t0.Add(30 * day)) {
			t.Errorf("the secret ends %s", got)
		}
		wantErr(t, "new", h.verify(t, key.Secret), nil)
		h.clock.Set(t0.Add(30*day - time.Microsecond))
		wantErr(t, "on its last day", h.verify(t, key.Secret), nil)
		h.clock.Set(t0.Add(30 * day))
		h.expired(t, "30 days old", key.Secret)

		// A key that is due is rotated, and the age begins anew.
		fresh := h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(ada), Overlap: day})
		wantErr(t, "rotated", h.verify(t, fresh.Secret), nil)
		h.expired(t, "the old one, whatever the overlap", key.Secret)
		h.clock.Set(t0.Add(60 * day))
		h.expired(t, "30 days after the rotation", fresh.Secret)
	})
}

// What the plan or an override says now counts for the secrets that are there.
func TestLimitKeyDays_CountsForWhatIsThere(t *testing.T) {
	modes(t, func(t *testing.T, h *house, read func()) {
		h.days(t, -1)
		ada := h.register(t, "ada@example.com")
		key := h.issue(t, ada)
		h.clock.Advance(10 * day)
		read()
		for range 2 {
			wantErr(t, "without a limit", h.verify(t, key.Secret), nil)
		}
		h.days(t, 10)
		h.expired(t, "a limit of its age", key.Secret)
		h.days(t, 11)
		wantErr(t, "a limit above", h.verify(t, key.Secret), nil)
		read()
		wantErr(t, "a limit above", h.verify(t, key.Secret), nil)
		h.override(t, tenancy.Override{Account: ada.Account.ID, Limits: map[string]int64{authn.LimitKeyDays: 5}})
		h.expired(t, "the account's own limit", key.Secret)
		h.override(t, tenancy.Override{Account: ada.Account.ID, Clear: []string{authn.LimitKeyDays}, Unlimited: nil})
		wantErr(t, "the plan's again", h.verify(t, key.Secret), nil)
		h.days(t, 1)
		h.expired(t, "a shorter one", key.Secret)
		h.override(t, tenancy.Override{Account: ada.Account.ID, Unlimited: []string{authn.LimitKeyDays}})
		wantErr(t, "none for the account", h.verify(t, key.Secret), nil)
		// One made under a limit ends by it also where the limit is gone since.
		h.override(t, tenancy.Override{Account: ada.Account.ID, Clear: []string{authn.LimitKeyDays}})
		short := h.issue(t, ada)
		h.days(t, -1)
		wantErr(t, "before its end", h.verify(t, short.Secret), nil)
		h.clock.Advance(day)
		h.expired(t, "made under a limit", short.Secret)
	})
}

func TestLimitKeyDays_TakesAnyNumber(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.register(t, "ada@example.com")
		for _, days := range []int64{0, 1, 36_500, 106_751, 106_752, 213_504, 365_000, 365_001, math.MaxInt32 + 1, math.MaxInt64} {
			h.days(t, days)
			h.clock.Set(t0)
			key := h.issue(t, ada)
			end := h.secrets(t, key.Key)[0].ExpiresAt
			switch {
			case days > 365_000:
				if !end.IsZero() {
					t.Errorf("%d days: it ends %s", days, end)
				}
			case end.Unix()-t0.Unix() != days*86_400 || end.Nanosecond() != t0.Nanosecond():
				t.Errorf("%d days: it ends %s", days, end)
			}
			if days == 0 {
				h.expired(t, "no age at all", key.Secret)
				continue
			}
			wantErr(t, "new", h.verify(t, key.Secret), nil)
			h.clock.Advance(day - time.Microsecond)
			wantErr(t, "a day old", h.verify(t, key.Secret), nil)
			h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(ada), Overlap: time.Hour})
		}
	})
}

// The secrets that a limit has ended are none of the five.
func TestLimitKeyDays_LeavesRoomForARotation(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.days(t, -1)
		ada := h.register(t, "ada@example.com")
		key := h.issue(t, ada)
		rotate := authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(ada), Overlap: authn.MaxOverlap}
		for range 4 {
			h.rotate(t, rotate)
		}
		_, err := h.keys.Rotate(t.Context(), h.db, rotate)
		wantErr(t, "a sixth secret", err, authn.ErrManySecrets)
		h.days(t, 2)
		_, err = h.keys.Rotate(t.Context(), h.db, rotate)
		wantErr(t, "a sixth secret", err, authn.ErrManySecrets)
		h.clock.Advance(2 * day)
		wantErr(t, "the ended secrets are none", h.verify(t, h.rotate(t, rotate).Secret), nil)
	})
}

func TestIssue_RefusesWhatNoKeyHas(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.register(t, "ada@example.com")
		many := make([]tenancy.Permission, 101)
		for i := range many {
			many[i] = tenancy.Permission("p" + strings.Repeat("x", i%50) + string(rune('a'+i/50)))
		}
		for what, i := range map[string]authn.Issue{
			"another environment":  {Env: "test"},
			"an odd environment":   {Env: "live_"},
			"more than Use":        {May: tenancy.Read | tenancy.Pay},
			"a capability of none": {May: 1 << 7},
			"a scope without name": {Scopes: []tenancy.Permission{""}},
			"a long scope":         {Scopes: []tenancy.Permission{tenancy.Permission(strings.Repeat("x", 65))}},
			"an odd scope":         {Scopes: []tenancy.Permission{"content.*"}},
			"a scope, no text":     {Scopes: []tenancy.Permission{"\x00\xff"}},
			"many scopes":          {Scopes: many},
			"no address":           {Addresses: []netip.Prefix{{}}},
			"a wide address":       {Addresses: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("192.0.2.1"), 33)}},
			"many addresses":       {Addresses: make([]netip.Prefix, 101)},
		} {
			i.Account, i.Name, i.Actor = ada.Account.ID, "a key", userOf(ada)
			h.unchanged(t, what, func() {
				err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
					_, err := h.keys.Issue(ctx, tx, i)
					wantErr(t, what, err, tenancy.ErrInvalid)
					return nil
				})
				wantErr(t, what+": the transaction", err, nil)
			})
		}
		// The most that there can be, in order and once each; the caller's stay as they are.
		scopes := append(slices.Repeat([]tenancy.Permission{"b", tenancy.AllScopes, "a"}, 10), many[:97]...)
		given := slices.Clone(scopes)
		key := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(ada), Scopes: scopes, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.77/24")}})
		if !slices.Equal(scopes, given) || len(key.Key.Scopes) != 100 || !slices.IsSorted(key.Key.Scopes) || key.Key.Scopes[0] != tenancy.AllScopes {
			t.Errorf("scopes %v", key.Key.Scopes)
		}
		if got := key.Key.Addresses[0].String(); got != "192.0.2.0/24" {
			t.Errorf("address %s", got)
		}
	})
}
