package authn_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/tenancy"
)

func (h *house) verify(t *testing.T, key string) error {
	t.Helper()
	_, err := h.keys.Verify(t.Context(), h.db, key, 0)
	return err
}

func TestVerify_TellsApartNothingBeforeTheSecretMatches(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		issued := h.issue(t, r)
		if _, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: r.Account.ID, Key: issued.Key.ID, Actor: userOf(r)}); err != nil {
			t.Fatal(err)
		}
		other, _, _ := authn.Rekey(h.keys, issued.Key.ID)
		unknown, _, _ := authn.Rekey(h.keys, "000000000000")
		sums := authn.CountSums(h.keys)
		for what, key := range map[string]string{"a wrong secret": other, "an unknown id": unknown} {
			before := sums()
			err := h.verify(t, key)
			if err == nil || err.Error() != authn.ErrBadCredential.Error() {
				t.Errorf("%s: %v", what, err)
			}
			if n := sums() - before; n != 1 {
				t.Errorf("%s cost %d HMACs", what, n)
			}
		}
		if err := h.verify(t, issued.Secret); !errors.Is(err, authn.ErrBadCredential) || !strings.Contains(err.Error(), "revoked") {
			t.Errorf("who holds the secret: %v", err)
		}
	})
}

func TestVerify_RefusesWhatIsNoKeyWithoutTheDatabase(t *testing.T) {
	accounts := tenancy.New(tenancy.Config{})
	keys, err := authn.New(accounts, authn.Config{Peppers: []authn.Pepper{pepper("a")}})
	if err != nil {
		t.Fatal(err)
	}
	good := authn.Sum("qr_live_" + strings.Repeat("0", 42))
	for _, key := range []string{"", "x", good[:len(good)-1], good + "0", strings.Replace(good, "live", "test", 1), strings.Replace(good, "000", "001", 1)} {
		_, err := keys.Verify(t.Context(), nil, key, 0) // a nil database panics when it is asked
		wantErr(t, key, err, authn.ErrBadCredential)
	}
}

func TestVerify_IsOneStatementForTheKeyAndItsAccount(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued := h.issue(t, h.register(t, "ada@example.com"))
		asked := &queries{}
		if _, err := h.keys.Verify(t.Context(), h.db.WithQueryHook(asked), issued.Secret, 0); err != nil {
			t.Fatal(err)
		}
		if len(asked.said) != 1 {
			t.Errorf("%d statements: %q", len(asked.said), asked.said)
		}
	})
}

func TestVerify_ExpiryCountsToTheMicrosecond(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		issued, err := h.keys.Issue(t.Context(), h.db, authn.Issue{Account: r.Account.ID, Name: "short", Actor: userOf(r), ExpiresAt: t0.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		h.clock.Set(t0.Add(time.Hour - time.Microsecond))
		wantErr(t, "just before its end", h.verify(t, issued.Secret), nil)
		h.clock.Set(t0.Add(time.Hour))
		err = h.verify(t, issued.Secret)
		wantErr(t, "at its end", err, authn.ErrBadCredential)
		if err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("it says %v", err)
		}
	})
}

func TestVerify_AKeyNeverGetsMoreThanUse(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued := h.issue(t, h.register(t, "ada@example.com"))
		for _, need := range []tenancy.Capability{tenancy.SignIn, tenancy.MintKeys, tenancy.Pay, tenancy.Export, tenancy.Use | tenancy.Pay} {
			_, err := h.keys.Verify(t.Context(), h.db, issued.Secret, need)
			wantErr(t, need.String(), err, tenancy.ErrForbidden)
		}
		for _, need := range []tenancy.Capability{0, tenancy.Read, tenancy.Write, tenancy.Spend, tenancy.Use} {
			ctx, err := h.keys.Verify(t.Context(), h.db, issued.Secret, need)
			if err != nil {
				t.Fatal(err)
			}
			if s := tenancy.From(ctx); s.Account != issued.Key.Account || s.Actor != (tenancy.Actor{Kind: tenancy.ActorKey, ID: string(issued.Key.ID)}) {
				t.Errorf("entered %+v", s)
			}
		}
	})
}

// A key is hashed with the new pepper when it is used: only one that nobody uses goes
// with the old pepper.
func TestVerify_PepperRing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		old, unused := h.issue(t, r), h.issue(t, r)
		turned := h.newKeys(t, pepper("b"), pepper("a"))
		fresh, err := turned.Issue(t.Context(), h.db, authn.Issue{Account: r.Account.ID, Name: "a key", Actor: userOf(r)})
		if err != nil {
			t.Fatal(err)
		}
		after := h.newKeys(t, pepper("b"))
		for _, c := range []struct {
			what string
			keys *authn.Keys
			key  string
			want error
		}{
			{"the old key before its use, its pepper removed", after, old.Secret, authn.ErrBadCredential},
			{"the old key, the pepper turned", turned, old.Secret, nil},
			{"the old key, again", turned, old.Secret, nil},
			{"the new key, the pepper turned", turned, fresh.Secret, nil},
			{"the old key, its pepper removed", after, old.Secret, nil},
			{"an unused key, its pepper removed", after, unused.Secret, authn.ErrBadCredential},
			{"the new key, only its pepper", after, fresh.Secret, nil},
			{"the new key, only the old one", h.keys, fresh.Secret, authn.ErrBadCredential},
		} {
			_, err := c.keys.Verify(t.Context(), h.db, c.key, 0)
			wantErr(t, c.what, err, c.want)
		}
	})
}

func TestVerify_AnEnvironmentOrAnIDCannotBeExchanged(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		issued, other := h.issue(t, r), h.issue(t, r)
		test, err := authn.New(h.accounts, authn.Config{Envs: []string{"test"}, Peppers: []authn.Pepper{pepper("a")}, Now: h.clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		relabelled := authn.Sum(strings.Replace(issued.Secret[:50], "live", "test", 1))
		_, err = test.Verify(t.Context(), h.db, relabelled, 0)
		wantErr(t, "a live key as a test key", err, authn.ErrBadCredential)
		// Nor does one key's hash open another, for whoever can write the database.
		h.exec(t, `UPDATE authn_key_secrets SET hash = (SELECT s.hash FROM authn_key_secrets AS s WHERE s.key_id = ?) WHERE key_id = ?`,
			issued.Key.ID, other.Key.ID)
		moved := authn.Sum("qr_live_" + string(other.Key.ID) + issued.Secret[20:50])
		wantErr(t, "a hash moved to another key", h.verify(t, moved), authn.ErrBadCredential)
	})
}

func TestVerify_AKeyMayHaveSeveralSecrets(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		issued := h.issue(t, r)
		second, pepper, hash := authn.Rekey(h.keys, issued.Key.ID)
		h.exec(t, `INSERT INTO authn_key_secrets (account_id, key_id, secret_id, pepper_id, hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			r.Account.ID, issued.Key.ID, id.New("sec"), pepper, hash, t0, t0.Add(time.Hour))
		wantErr(t, "the first secret", h.verify(t, issued.Secret), nil)
		wantErr(t, "the second secret", h.verify(t, second), nil)
		third, _, _ := authn.Rekey(h.keys, issued.Key.ID)
		wantErr(t, "a third one", h.verify(t, third), authn.ErrBadCredential)

		h.clock.Advance(time.Hour)
		wantErr(t, "the second secret, expired", h.verify(t, second), authn.ErrBadCredential)
		wantErr(t, "the first secret", h.verify(t, issued.Secret), nil)
		h.exec(t, "UPDATE authn_key_secrets SET expires_at = NULL, revoked_at = ? WHERE pepper_id = ? AND hash = ?", t0, pepper, hash)
		wantErr(t, "the second secret, revoked", h.verify(t, second), authn.ErrBadCredential)
		h.exec(t, "UPDATE authn_key_secrets SET revoked_at = NULL WHERE pepper_id = ? AND hash = ?", pepper, hash)
		wantErr(t, "the second secret, restored", h.verify(t, second), nil)
		if _, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: r.Account.ID, Key: issued.Key.ID, Actor: userOf(r)}); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "the first secret of a revoked key", h.verify(t, issued.Secret), authn.ErrBadCredential)
		wantErr(t, "the second secret of a revoked key", h.verify(t, second), authn.ErrBadCredential)
	})
}
