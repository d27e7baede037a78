package authn_test

import (
	"context"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestRevokeSecret_EndsOneOfThem(t *testing.T) {
	modes(t, func(t *testing.T, h *house, read func()) {
		ada := h.register(t, "ada@example.com")
		key := h.issue(t, ada)
		first := h.secrets(t, key.Key)[0]
		h.clock.Advance(time.Second)
		second := h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(ada), Overlap: day})
		read()
		for range 2 {
			wantErr(t, "the first", h.verify(t, key.Secret), nil)
			wantErr(t, "the second", h.verify(t, second.Secret), nil)
		}
		revoke := authn.RevokeSecret{Account: ada.Account.ID, Key: key.Key.ID, Secret: first.ID, Actor: userOf(ada), Reason: "it leaked"}
		if err := h.keys.RevokeSecret(t.Context(), h.db, revoke); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			err := h.verify(t, key.Secret)
			wantErr(t, "the first, revoked", err, authn.ErrBadCredential)
			if err == nil || err.Error() == authn.ErrBadCredential.Error() {
				t.Errorf("who holds it is told %v", err)
			}
			wantErr(t, "the second", h.verify(t, second.Secret), nil)
			read()
		}
		line := tenancytest.RequireAudit(t, h.db, ada.Account.ID, "authn.revoke_secret")
		if line.Actor != userOf(ada) || line.Target != string(key.Key.ID) || line.Reason != "it leaked" || string(line.Data) != `{"secret":"`+first.ID+`"}` {
			t.Errorf("audit %+v %s", line, line.Data)
		}
		if fact := tenancytest.RequireEvent[authn.SecretRevoked](t, h.db, ada.Account.ID); fact.Key != key.Key.ID || fact.Secret != first.ID {
			t.Errorf("event %+v", fact)
		}
		at := t0.Add(time.Second)
		h.clock.Advance(time.Second)
		h.unchanged(t, "once more", func() {
			wantErr(t, "once more", h.keys.RevokeSecret(t.Context(), h.db, revoke), nil)
		})
		if got := h.secrets(t, key.Key)[1].RevokedAt; !got.Equal(at) {
			t.Errorf("revoked at %s", got)
		}
		// A key without a secret is a key still: another brings it back.
		revoke.Secret = h.secrets(t, key.Key)[0].ID
		wantErr(t, "the last", h.keys.RevokeSecret(t.Context(), h.db, revoke), nil)
		wantErr(t, "the second, revoked", h.verify(t, second.Secret), authn.ErrBadCredential)
		third := h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(ada), Overlap: day})
		wantErr(t, "a third", h.verify(t, third.Secret), nil)
		wantErr(t, "the second, revoked", h.verify(t, second.Secret), authn.ErrBadCredential)
	})
}

func TestRevokeSecret_Refusals(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada, eve := h.register(t, "ada@example.com"), h.register(t, "eve@example.com")
		key, other, dead := h.issue(t, ada), h.issue(t, ada), h.issue(t, ada)
		secret, deadSecret := h.secrets(t, key.Key)[0].ID, h.secrets(t, dead.Key)[0].ID
		if _, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: ada.Account.ID, Key: dead.Key.ID, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		for what, c := range map[string]struct {
			revoke authn.RevokeSecret
			want   error
		}{
			"another account's":     {authn.RevokeSecret{Account: eve.Account.ID, Key: key.Key.ID, Secret: secret, Actor: userOf(eve)}, authn.ErrNoKey},
			"another key's":         {authn.RevokeSecret{Account: ada.Account.ID, Key: other.Key.ID, Secret: secret, Actor: userOf(ada)}, authn.ErrNoKey},
			"unknown":               {authn.RevokeSecret{Account: ada.Account.ID, Key: key.Key.ID, Secret: "sec_0", Actor: userOf(ada)}, authn.ErrNoKey},
			"none":                  {authn.RevokeSecret{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(ada)}, authn.ErrNoKey},
			"what breaks JSON":      {authn.RevokeSecret{Account: ada.Account.ID, Key: key.Key.ID, Secret: `","x":"`, Actor: userOf(ada)}, authn.ErrNoKey},
			"no text":               {authn.RevokeSecret{Account: ada.Account.ID, Key: key.Key.ID, Secret: "\x00\xff", Actor: userOf(ada)}, authn.ErrNoKey},
			"the key's own text":    {authn.RevokeSecret{Account: ada.Account.ID, Key: key.Key.ID, Secret: key.Secret, Actor: userOf(ada)}, authn.ErrNoKey},
			"one of a dead key":     {authn.RevokeSecret{Account: ada.Account.ID, Key: dead.Key.ID, Secret: deadSecret, Actor: userOf(ada)}, authn.ErrKeyOver},
			"by nobody":             {authn.RevokeSecret{Account: ada.Account.ID, Key: key.Key.ID, Secret: secret}, tenancy.ErrInvalid},
			"of no account's id":    {authn.RevokeSecret{Account: "\x00", Key: key.Key.ID, Secret: secret, Actor: userOf(ada)}, authn.ErrNoKey},
			"for an odd reason":     {authn.RevokeSecret{Account: ada.Account.ID, Key: key.Key.ID, Secret: secret, Actor: userOf(ada), Reason: "\x00"}, tenancy.ErrInvalid},
			"of an unknown account": {authn.RevokeSecret{Account: "acc_none", Key: key.Key.ID, Secret: secret, Actor: userOf(ada)}, authn.ErrNoKey},
		} {
			h.unchanged(t, what, func() {
				err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
					wantErr(t, what, h.keys.RevokeSecret(ctx, tx, c.revoke), c.want)
					_, err := h.keys.Get(ctx, tx, ada.Account.ID, key.Key.ID)
					return err
				})
				wantErr(t, what+": the transaction", err, nil)
			})
		}
		wantErr(t, "the key", h.verify(t, key.Secret), nil)
		for what, account := range map[string]tenancy.AccountID{"another account": eve.Account.ID, "no account": "acc_none", "no id": "\x00"} {
			secrets, err := h.keys.Secrets(t.Context(), h.db, account, key.Key.ID)
			if err != nil || secrets == nil || len(secrets) != 0 {
				t.Errorf("%s lists %v, %v", what, secrets, err)
			}
		}
	})
}

// A secret that lives is found behind any number of those that have ended, also where
// their times say that they are younger.
func TestVerify_FindsTheSecretThatLives(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.register(t, "ada@example.com")
		key := h.issue(t, ada)
		var last authn.Issued
		for i := range 40 {
			h.clock.Set(t0.Add(time.Duration(40-i) * time.Second)) // each on a node whose clock is behind
			last = h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: operator})
		}
		wantErr(t, "the last of 40", h.verify(t, last.Secret), nil)
		wantErr(t, "the first of 40", h.verify(t, key.Secret), authn.ErrBadCredential)
		if n := len(h.secrets(t, key.Key)); n != 41 {
			t.Errorf("%d secrets", n)
		}
	})
}

// What a rotation gives is asked for under the account's lock: a right that is lost
// while it waits is lost, and one that is there when it has the lock is enough.
func TestM9_Rotate_ADemotionThatCameFirstCounts(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.register(t, "ada@example.com")
		bob := h.join(t, ada, "bob@example.com", admin)
		eve := h.join(t, ada, "eve@example.com", viewer)
		byAda := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(ada), Scopes: writes})
		byEve := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(eve), Scopes: writes})
		other, err := dbtest.Open(dbtest.DSN(h.db)) // another pool, as another process has
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dbtest.Close(other) })
		sign := "BEGIN" // which waits for the file
		if h.db.Dialect().Name().String() == "pg" {
			sign = `UPDATE "tenancy_accounts"`
		}
		for what, c := range map[string]struct {
			key    authn.Issued
			change tenancy.SetRoles
		}{
			"who rotates is demoted":  {byAda, tenancy.SetRoles{User: bob.User.ID, Roles: developer}},
			"who made it is promoted": {byEve, tenancy.SetRoles{User: eve.User.ID, Roles: admin}},
		} {
			h.setRoles(t, ada, bob, tenancy.RoleDeveloper, tenancy.RoleEditor)
			tx, err := h.db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback() }()
			c.change.Account, c.change.Actor = ada.Account.ID, userOf(ada)
			if what == "who made it is promoted" { // and the other is no editor, who would hold what it gives
				if _, err := h.accounts.SetRoles(t.Context(), tx, tenancy.SetRoles{Account: ada.Account.ID, User: bob.User.ID, Roles: developer, Actor: userOf(ada)}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := h.accounts.SetRoles(t.Context(), tx, c.change); err != nil {
				t.Fatal(err)
			}
			waits := asks{what: sign, seen: make(chan struct{}, 1)}
			writes := asks{what: "authn_key_secrets", seen: make(chan struct{}, 1)}
			done := make(chan error, 1)
			go func() {
				_, err := h.keys.Rotate(t.Context(), other.WithQueryHook(waits).WithQueryHook(writes), authn.Rotate{Account: ada.Account.ID, Key: c.key.Key.ID, Actor: userOf(bob)})
				done <- err
			}()
			select {
			case <-waits.seen:
			case <-writes.seen:
				t.Fatalf("%s: it did not wait", what)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			wantErr(t, what, <-done, tenancy.ErrForbidden)
			wantErr(t, what+": its secret", h.verify(t, c.key.Secret), nil)
		}
	})
}

func TestM9_Rotate_ByWhoHoldsWhatItGives(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.register(t, "ada@example.com")
		dev := h.join(t, ada, "dev@example.com", developer)
		boss := h.join(t, ada, "boss@example.com", admin)
		gone := h.join(t, ada, "gone@example.com", admin)
		for what, c := range map[string]struct {
			maker  tenancy.Actor
			scopes []tenancy.Permission
			by     tenancy.Actor
			want   error
		}{
			"an owner's all, a developer":      {userOf(ada), every, userOf(dev), tenancy.ErrForbidden},
			"an owner's billing, a developer":  {userOf(ada), []tenancy.Permission{tenancy.PermBillingManage}, userOf(dev), tenancy.ErrForbidden},
			"an owner's reading, a developer":  {userOf(ada), []tenancy.Permission{tenancy.PermContentRead}, userOf(dev), nil},
			"an owner's scopeless, developer":  {userOf(ada), nil, userOf(dev), nil},
			"an owner's billing, an admin":     {userOf(ada), []tenancy.Permission{tenancy.PermBillingManage}, userOf(boss), nil},
			"an owner's all, an admin":         {userOf(ada), every, userOf(boss), nil}, // the owner holds no more, without roles of a host's
			"an admin's all, the owner":        {userOf(boss), every, userOf(ada), nil},
			"an admin's all, another admin":    {userOf(boss), every, userOf(gone), nil},
			"a developer's all, the developer": {userOf(dev), every, userOf(dev), nil},
			"the service's, the owner":         {operator, writes, userOf(ada), nil},
			"the service's, an operator":       {operator, writes, operator, nil},
		} {
			key := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: c.maker, Scopes: c.scopes})
			_, err := h.keys.Rotate(t.Context(), h.db, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: c.by, Overlap: time.Hour})
			wantErr(t, what, err, c.want)
		}
	})
}
