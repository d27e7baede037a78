package authn_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
)

func (h *house) made(t *testing.T, account tenancy.AccountID, actor tenancy.Actor) authn.Issued {
	t.Helper()
	issued, err := h.keys.Issue(t.Context(), h.db, authn.Issue{Account: account, Name: "a key", Actor: actor, ExpiresAt: h.clock.Now().Add(48 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func TestRevokeMadeBy_EndsTheUsersKeysEverywhereAndNobodyElses(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		eve, bob, cleo := h.register(t, "eve@example.com"), h.register(t, "bob@example.com"), h.register(t, "cleo@example.com")
		over := h.made(t, bob.Account.ID, userOf(eve))
		h.clock.Advance(48 * time.Hour)
		inHers, left, alsoLeft := h.made(t, eve.Account.ID, userOf(eve)), h.made(t, bob.Account.ID, userOf(eve)), h.made(t, bob.Account.ID, userOf(eve))
		bobs, operators := h.made(t, bob.Account.ID, userOf(bob)), h.made(t, eve.Account.ID, tenancy.Actor{Kind: tenancy.ActorOperator, ID: string(eve.User.ID)})
		before := map[tenancy.AccountID]int64{}
		for _, r := range []tenancy.Registered{eve, bob, cleo} {
			before[r.Account.ID] = h.epoch(t, r.Account.ID.Subject())
		}

		revoke := authn.RevokeMadeBy{User: eve.User.ID, Actor: operator, Reason: "was not eve"}
		n, err := h.keys.RevokeMadeBy(t.Context(), h.db, revoke)
		if n != 3 || err != nil {
			t.Errorf("%d revoked, %v", n, err)
		}
		for _, k := range []authn.Issued{inHers, left, alsoLeft} {
			wantErr(t, "eve's", h.verify(t, k.Secret), authn.ErrBadCredential)
			lines, err := h.accounts.Audits(t.Context(), h.db, tenancy.AuditLog{Account: k.Key.Account})
			if i := slices.IndexFunc(lines, func(l tenancy.Audit) bool { return l.Target == string(k.Key.ID) && l.Action == "authn.revoke_key" }); i < 0 ||
				lines[i].Actor != operator || lines[i].Reason != "was not eve" || err != nil {
				t.Errorf("audit of %s: %+v, %v", k.Key.ID, lines, err)
			}
		}
		for _, k := range []authn.Issued{bobs, operators} {
			wantErr(t, "another's", h.verify(t, k.Secret), nil)
		}
		if k, err := h.keys.Get(t.Context(), h.db, bob.Account.ID, over.Key.ID); !k.RevokedAt.IsZero() || err != nil {
			t.Errorf("one that was over: %+v, %v", k, err)
		}
		for _, r := range []tenancy.Registered{eve, bob, cleo} {
			if changed := h.epoch(t, r.Account.ID.Subject()) > before[r.Account.ID]; changed != (r.User.ID != cleo.User.ID) {
				t.Errorf("%s changed: %v", r.User.Email, changed)
			}
		}
		h.unchanged(t, "again", func() {
			for _, user := range []tenancy.UserID{eve.User.ID, "usr_none", "usr_\x00", ""} {
				revoke.User = user
				if n, err := h.keys.RevokeMadeBy(t.Context(), h.db, revoke); n != 0 || err != nil {
					t.Errorf("%q: %d revoked, %v", user, n, err)
				}
			}
			err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
				_, err := h.keys.RevokeMadeBy(ctx, tx, authn.RevokeMadeBy{User: bob.User.ID})
				wantErr(t, "no actor", err, tenancy.ErrInvalid)
				_, err = h.keys.RevokeMadeBy(ctx, tx, authn.RevokeMadeBy{User: bob.User.ID, Actor: operator, Reason: "\x00"})
				wantErr(t, "a reason of NULs", err, tenancy.ErrInvalid)
				return nil
			})
			wantErr(t, "the commit", err, nil)
		})
		wantErr(t, "bob's", h.verify(t, bobs.Secret), nil)
	})
}

// A key that the user has taken over acts on the user's rights, and its secret is known
// to whoever made it: it ends as if the user had made it. One that a user made ends too,
// whoever has taken it over, since the user knows its secret.
func TestRevokeMadeBy_EndsWhatWasTakenOver(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		squat, evil, bob := h.register(t, "victim@example.com"), h.register(t, "evil@example.com"), h.register(t, "bob@example.com")
		for _, account := range []tenancy.AccountID{squat.Account.ID, bob.Account.ID} {
			owner := userOf(squat)
			if account == bob.Account.ID {
				owner = userOf(bob)
			}
			if _, err := h.accounts.AddMember(t.Context(), h.db, tenancy.AddMember{Account: account, User: evil.User.ID, Roles: []tenancy.Role{tenancy.RoleDeveloper}, Actor: owner}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := h.accounts.AddMember(t.Context(), h.db, tenancy.AddMember{Account: bob.Account.ID, User: squat.User.ID, Roles: []tenancy.Role{tenancy.RoleDeveloper}, Actor: userOf(bob)}); err != nil {
			t.Fatal(err)
		}
		takeOver := func(k authn.Issued, by tenancy.Registered) {
			if _, err := h.keys.TakeOver(t.Context(), h.db, authn.TakeOver{Account: k.Key.Account, Key: k.Key.ID, Actor: userOf(by)}); err != nil {
				t.Fatal(err)
			}
		}
		taken, elsewhere := h.made(t, squat.Account.ID, userOf(evil)), h.made(t, bob.Account.ID, userOf(evil))
		made, others := h.made(t, squat.Account.ID, userOf(squat)), h.made(t, bob.Account.ID, userOf(evil))
		takeOver(taken, squat)
		takeOver(elsewhere, squat)
		takeOver(made, evil)
		takeOver(others, bob)
		// One that the user has left is found by its keys alone.
		if err := h.accounts.RemoveMember(t.Context(), h.db, tenancy.RemoveMember{Account: bob.Account.ID, User: squat.User.ID, Actor: userOf(squat)}); err != nil {
			t.Fatal(err)
		}

		n, err := h.keys.RevokeMadeBy(t.Context(), h.db, authn.RevokeMadeBy{User: squat.User.ID, Actor: operator})
		if n != 3 || err != nil {
			t.Errorf("%d revoked, %v", n, err)
		}
		for what, k := range map[string]authn.Issued{"taken over": taken, "taken over in an account that was left": elsewhere, "made, and another has it": made} {
			if got, err := h.keys.Get(t.Context(), h.db, k.Key.Account, k.Key.ID); got.RevokedAt.IsZero() || err != nil {
				t.Errorf("%s: %+v, %v", what, got, err)
			}
			wantErr(t, what, h.verify(t, k.Secret), authn.ErrBadCredential)
		}
		wantErr(t, "another's of another", h.verify(t, others.Secret), nil)
	})
}

func (h *house) epoch(t *testing.T, of tenancy.Subject) int64 {
	t.Helper()
	n, err := h.accounts.Epoch(t.Context(), h.db, of)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A key that is being made while the user's keys end is found: it is waited for.
func TestRevokeMadeBy_WaitsForAKeyThatIsBeingMade(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		eve := h.register(t, "eve@example.com")
		waiting := asks{`UPDATE "tenancy_accounts"`, make(chan struct{}, 1)}
		if h.db.Dialect().Name().String() != "pg" {
			waiting.what = "BEGIN" // where SQLite waits
		}
		hooked := h.db.WithQueryHook(waiting)
		done := make(chan error, 1)
		var issued authn.Issued
		err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) (err error) {
			if issued, err = h.keys.Issue(ctx, tx, authn.Issue{Account: eve.Account.ID, Name: "a key", Actor: userOf(eve)}); err != nil {
				return err
			}
			go func() {
				_, err := h.keys.RevokeMadeBy(t.Context(), hooked, authn.RevokeMadeBy{User: eve.User.ID, Actor: operator})
				done <- err
			}()
			select {
			case <-waiting.seen:
			case err := <-done:
				t.Error("it did not wait")
				done <- err
			}
			return nil
		})
		wantErr(t, "issuing", err, nil)
		wantErr(t, "revoking", <-done, nil)
		wantErr(t, "the key", h.verify(t, issued.Secret), authn.ErrBadCredential)
	})
}

func TestSet_EndsTheOpenLinksForAReset(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada, bob := h.register(t, "ada@example.com"), h.register(t, "bob@example.com")
		for i, r := range []tenancy.Registered{ada, bob} {
			for _, kind := range []string{"password_reset", "email_verification"} {
				h.exec(t, `INSERT INTO authn_email_tokens (user_id, kind, token_hash, email_key, expires_at, since, issued) VALUES (?, ?, ?, 'x', ?, ?, 1)`,
					r.User.ID, kind, kind+string(rune('0'+i)), t0, t0)
			}
		}
		if err := h.passwords.Set(t.Context(), h.db, authn.SetPassword{User: ada.User.ID, Actor: userOf(ada), Password: "short blue elephants"}); err != nil {
			t.Fatal(err)
		}
		var open []string
		if err := h.db.NewRaw("SELECT token_hash FROM authn_email_tokens WHERE token_hash IS NOT NULL ORDER BY 1").Scan(t.Context(), &open); err != nil {
			t.Fatal(err)
		}
		if want := []string{"email_verification0", "email_verification1", "password_reset1"}; !slices.Equal(open, want) {
			t.Errorf("open: %v", open)
		}
	})
}
