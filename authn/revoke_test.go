package authn_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestRevoke_EndsTheKeyAtOnceAndOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		issued, stays := h.issue(t, r), h.issue(t, r)
		h.clock.Advance(time.Minute)
		revoke := authn.Revoke{Account: r.Account.ID, Key: issued.Key.ID, Actor: userOf(r), Reason: "it leaked"}
		before := h.count(t, "tenancy_audit") + h.count(t, "tenancy_events")
		if n := together(t, 8, nil, func(int) error {
			key, err := h.keys.Revoke(t.Context(), h.db, revoke)
			if err == nil && !key.RevokedAt.Equal(t0.Add(time.Minute)) {
				t.Errorf("revoked at %s", key.RevokedAt)
			}
			return err
		}); n != 8 {
			t.Errorf("%d of 8 succeeded", n)
		}
		if after := h.count(t, "tenancy_audit") + h.count(t, "tenancy_events"); after != before+2 {
			t.Errorf("%d lines and events for one revocation", after-before)
		}
		wantErr(t, "the revoked key", h.verify(t, issued.Secret), authn.ErrBadCredential)
		wantErr(t, "the other key", h.verify(t, stays.Secret), nil)
		if line := tenancytest.RequireAudit(t, h.db, r.Account.ID, "authn.revoke_key"); line.Reason != "it leaked" || line.Target != string(issued.Key.ID) || line.Actor != userOf(r) {
			t.Errorf("audit %+v", line)
		}
		if fact := tenancytest.RequireEvent[authn.KeyRevoked](t, h.db, r.Account.ID); fact.Key != issued.Key.ID {
			t.Errorf("event %+v", fact)
		}
		h.clock.Advance(time.Minute)
		key, err := h.keys.Revoke(t.Context(), h.db, revoke)
		if err != nil || !key.RevokedAt.Equal(t0.Add(time.Minute)) {
			t.Errorf("revoked again: %+v, %v", key, err)
		}
	})
}

func TestRevoke_AnotherAccountsKeyIsNotFound(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada, bob := h.register(t, "ada@example.com"), h.register(t, "bob@example.com")
		issued := h.issue(t, ada)
		h.unchanged(t, "the refusals", func() {
			for what, r := range map[string]authn.Revoke{
				"another's":       {Account: bob.Account.ID, Key: issued.Key.ID, Actor: userOf(bob)},
				"unknown":         {Account: ada.Account.ID, Key: "000000000000", Actor: userOf(ada)},
				"no id":           {Account: ada.Account.ID, Actor: userOf(ada)},
				"no text":         {Account: ada.Account.ID, Key: "\x00\xff", Actor: userOf(ada)},
				"the whole key":   {Account: ada.Account.ID, Key: authn.KeyID(issued.Secret), Actor: userOf(ada)},
				"in other letter": {Account: ada.Account.ID, Key: authn.KeyID(strings.ToUpper(string(issued.Key.ID)) + "x")[:12], Actor: userOf(ada)},
			} {
				if r.Key == issued.Key.ID && r.Account == ada.Account.ID {
					continue // an id without small letters
				}
				_, err := h.keys.Revoke(t.Context(), h.db, r)
				wantErr(t, what, err, authn.ErrNoKey)
				_, err = h.keys.Get(t.Context(), h.db, r.Account, r.Key)
				wantErr(t, "get "+what, err, authn.ErrNoKey)
			}
			_, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: ada.Account.ID, Key: issued.Key.ID})
			wantErr(t, "no actor", err, tenancy.ErrInvalid)
		})
		// A host that commits after the refusal has changed nothing.
		err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			_, err := h.keys.Revoke(ctx, tx, authn.Revoke{Account: bob.Account.ID, Key: issued.Key.ID, Actor: userOf(bob)})
			wantErr(t, "another's", err, authn.ErrNoKey)
			_, err = h.keys.Revoke(ctx, tx, authn.Revoke{Account: ada.Account.ID, Key: issued.Key.ID})
			wantErr(t, "no actor", err, tenancy.ErrInvalid)
			return nil
		})
		wantErr(t, "the commit", err, nil)
		wantErr(t, "the key", h.verify(t, issued.Secret), nil)
	})
}

func TestList_PagesAnAccountsOwnKeys(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada, bob := h.register(t, "ada@example.com"), h.register(t, "bob@example.com")
		foreign := h.issue(t, bob)
		want := map[authn.KeyID]bool{}
		for i := range 7 {
			if i%3 == 0 { // some share an instant
				h.clock.Advance(time.Microsecond)
			}
			want[h.issue(t, ada).Key.ID] = true
		}
		var last authn.Key
		for page := (authn.List{Account: ada.Account.ID, Limit: 3}); ; page.Before = last.ID {
			keys, err := h.keys.List(t.Context(), h.db, page)
			if err != nil {
				t.Fatal(err)
			}
			if len(keys) == 0 {
				break
			}
			for _, k := range keys {
				if !want[k.ID] || last.ID != "" && k.CreatedAt.After(last.CreatedAt) {
					t.Errorf("%+v after %+v", k, last)
				}
				delete(want, k.ID)
				last = k
			}
		}
		if len(want) != 0 {
			t.Errorf("not listed: %v", want)
		}
		for what, before := range map[string]authn.KeyID{"another's": foreign.Key.ID, "no text": "\x00\xff", "unknown": "000000000000"} {
			keys, err := h.keys.List(t.Context(), h.db, authn.List{Account: ada.Account.ID, Before: before})
			if err != nil || len(keys) != 0 {
				t.Errorf("before %s: %v, %v", what, keys, err)
			}
		}
	})
}

// Ids come out of URLs and messages. PostgreSQL refuses odd bytes, and with them the
// rest of a host's transaction.
func TestKeys_AskNotForAnAccountThatCannotBe(t *testing.T) {
	keys, err := authn.New(tenancy.New(tenancy.Config{}), authn.Config{Peppers: []authn.Pepper{pepper("a")}})
	if err != nil {
		t.Fatal(err)
	}
	const key = authn.KeyID("000000000000")
	for _, account := range []tenancy.AccountID{"", "\x00", "acc_\xff", "a b", tenancy.AccountID(strings.Repeat("a", 65))} {
		_, err := keys.Get(t.Context(), nil, account, key) // a nil database panics when it is asked
		wantErr(t, "get", err, authn.ErrNoKey)
		_, err = keys.Revoke(t.Context(), nil, authn.Revoke{Account: account, Key: key, Actor: operator})
		wantErr(t, "revoke", err, authn.ErrNoKey)
		for _, before := range []authn.KeyID{"", key} {
			list, err := keys.List(t.Context(), nil, authn.List{Account: account, Before: before})
			if err != nil || list == nil || len(list) != 0 {
				t.Errorf("list: %v, %v", list, err)
			}
		}
	}
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			const odd = tenancy.AccountID("acc_\x00\xff")
			_, err1 := h.keys.Get(ctx, tx, odd, key)
			_, err2 := h.keys.Revoke(ctx, tx, authn.Revoke{Account: odd, Key: key, Actor: operator})
			_, err3 := h.keys.List(ctx, tx, authn.List{Account: odd})
			_, err4 := h.keys.Issue(ctx, tx, authn.Issue{Account: odd, Name: "a key", Actor: operator})
			wantErr(t, "get", err1, authn.ErrNoKey)
			wantErr(t, "revoke", err2, authn.ErrNoKey)
			wantErr(t, "list", err3, nil)
			wantErr(t, "issue", err4, tenancy.ErrNoAccount)
			_, err := h.keys.Issue(ctx, tx, authn.Issue{Account: r.Account.ID, Name: "a key", Actor: userOf(r)})
			return err
		})
		wantErr(t, "the transaction after them", err, nil)
	})
}

// Transactions that change an account and its keys, in whatever order, wait for each
// other in turn and not in a circle: the account's row is locked before anything else.
func TestKeys_LockTheAccountFirst(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.register(t, "ada@example.com")
		issued, other := h.issue(t, ada), h.issue(t, ada)
		for what, do := range map[string]func(db bun.IDB) error{
			"issue": func(db bun.IDB) error {
				_, err := h.keys.Issue(t.Context(), db, authn.Issue{Account: ada.Account.ID, Name: "b", Actor: userOf(ada)})
				return err
			},
			"rotate": func(db bun.IDB) error {
				_, err := h.keys.Rotate(t.Context(), db, authn.Rotate{Account: ada.Account.ID, Key: other.Key.ID, Actor: userOf(ada)})
				return err
			},
			"take over": func(db bun.IDB) error {
				_, err := h.keys.TakeOver(t.Context(), db, authn.TakeOver{Account: ada.Account.ID, Key: other.Key.ID, Actor: userOf(ada)})
				return err
			},
			"revoke a secret": func(db bun.IDB) error {
				secret := h.secrets(t, other.Key)[0].ID
				return h.keys.RevokeSecret(t.Context(), db, authn.RevokeSecret{Account: ada.Account.ID, Key: other.Key.ID, Secret: secret, Actor: userOf(ada)})
			},
			"revoke": func(db bun.IDB) error {
				_, err := h.keys.Revoke(t.Context(), db, authn.Revoke{Account: ada.Account.ID, Key: issued.Key.ID, Actor: userOf(ada)})
				return err
			},
		} {
			said := &queries{}
			wantErr(t, what, do(h.db.WithQueryHook(said)), nil)
			first := slices.IndexFunc(said.said, func(q string) bool { return !strings.HasPrefix(q, "BEGIN") })
			if !strings.HasPrefix(said.said[first], `UPDATE "tenancy_accounts"`) {
				t.Errorf("%s begins with %s", what, said.said[first])
			}
		}
	})
}
