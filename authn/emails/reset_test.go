package emails_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/emails"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/invitations"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestReset_SetsThePasswordAndEverythingThatFollows(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		token, changed := h.resetToken(t, "ada@example.com").Token, h.epoch(t, h.ada.User.ID.Subject())
		h.clock.Advance(time.Minute)
		got, err := h.mails.Reset(t.Context(), h.db, emails.Reset{Token: token, Password: newPassword})
		want := h.ada.User
		want.VerifiedAt = t0.Add(time.Minute)
		if got != want || err != nil {
			t.Errorf("%+v, %v", got, err)
		}
		wantErr(t, "the old password", h.signIn(t, "ada@example.com", oldPassword), authn.ErrBadCredential)
		wantErr(t, "the new password", h.signIn(t, "ada@example.com", newPassword), nil)
		if h.epoch(t, h.ada.User.ID.Subject()) == changed {
			t.Error("nobody learns that the user has changed")
		}
		for _, action := range []string{"authn.reset_password", "tenancy.verify_email"} {
			lines := h.lines(t, action)
			want := []tenancy.Audit{{At: t0.Add(time.Minute), Actor: userOf(h.ada), Action: action, Target: string(h.ada.User.ID), Data: []byte("{}")}}
			if d := cmp.Diff(want, lines, cmpopts.IgnoreFields(tenancy.Audit{}, "ID", "Reason")); d != "" {
				t.Errorf("audit (-want +got):\n%s", d)
			}
		}
	})
}

func TestReset_APasswordThatIsRefusedLeavesTheToken(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		token := h.resetToken(t, "ada@example.com").Token
		h.unchanged(t, "the refusals", func() {
			for _, password := range []string{"", "short", "ada@example.com", "password123"} {
				wantErr(t, password, h.reset(t, token, password), authn.ErrWeakPassword)
			}
			err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
				_, err := h.mails.Reset(ctx, tx, emails.Reset{Token: token, Password: newPassword})
				return err
			})
			if err == nil {
				t.Error("a password is hashed within a transaction")
			}
		})
		wantErr(t, "a better one", h.reset(t, token, newPassword), nil)
	})
}

// Any new password ends the links that are still open: they may have been asked for
// because the old one was known to others.
func TestReset_ANewPasswordEndsTheToken(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		token := h.resetToken(t, "ada@example.com").Token
		if err := h.passwords.Set(t.Context(), h.db, authn.SetPassword{User: h.ada.User.ID, Actor: userOf(h.ada), Password: newPassword}); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "the token", h.reset(t, token, oldPassword), emails.ErrNoToken)
	})
}

// Somebody signed up with an address that is not theirs. From the moment that its
// owner shows up, nothing that the stranger made opens anything.
func TestReset_TheFirstProofEndsWhatASquatterMade(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		var ran []string
		hook := func(name string) emails.Hook {
			return func(ctx context.Context, db bun.IDB, user tenancy.UserID) error {
				if _, pool := db.(*bun.DB); pool {
					t.Errorf("%s runs outside of the transaction", name)
				}
				ran = append(ran, name+" "+string(user))
				return nil
			}
		}
		h := newHouse(t, db, emails.Config{FirstProof: []emails.Hook{hook("first"), nil, hook("second")}, AfterReset: []emails.Hook{hook("sessions")}})
		bob := h.register(t, "bob@example.com")
		squatters, bobs := h.issue(t, h.ada), h.issue(t, bob)
		inBobs, err := h.keys.Issue(t.Context(), db, authn.Issue{Account: bob.Account.ID, Name: "x", Actor: userOf(h.ada)})
		if err != nil {
			t.Fatal(err)
		}

		wantErr(t, "the owner's reset", h.reset(t, h.resetToken(t, "ada@example.com").Token, newPassword), nil)
		wantErr(t, "the squatter's password", h.signIn(t, "ada@example.com", oldPassword), authn.ErrBadCredential)
		wantErr(t, "the squatter's key", h.verifyKey(t, squatters), authn.ErrBadCredential)
		wantErr(t, "the squatter's key elsewhere", h.verifyKey(t, inBobs), authn.ErrBadCredential)
		wantErr(t, "another's key", h.verifyKey(t, bobs), nil)
		id := string(h.ada.User.ID)
		if want := []string{"first " + id, "second " + id, "sessions " + id}; !slices.Equal(ran, want) {
			t.Errorf("%v", ran)
		}

		// From now on she is who she was: a forgotten password stops no program.
		own := h.issue(t, h.ada)
		ran = nil
		wantErr(t, "the next reset", h.reset(t, h.resetToken(t, "ada@example.com").Token, oldPassword), nil)
		wantErr(t, "her own key", h.verifyKey(t, own), nil)
		if want := []string{"sessions " + id}; !slices.Equal(ran, want) {
			t.Errorf("%v", ran)
		}
	}, authn.Migrate)
}

// Whom the stranger has invited does not come in after the owner has, and nobody becomes
// the owner by the stranger's word.
func TestReset_TheFirstProofTakesBackWhatASquatterSent(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		inv := invitations.New(h.accounts, invitations.Config{Now: h.clock.Now})
		bob, evil := h.register(t, "bob@example.com"), h.register(t, "evil@example.com")
		join := func(r tenancy.Registered, user tenancy.UserID, role tenancy.Role) {
			t.Helper()
			_, err := h.accounts.AddMember(t.Context(), h.db, tenancy.AddMember{Account: r.Account.ID, User: user, Roles: []tenancy.Role{role}, Actor: userOf(r)})
			wantErr(t, "joining", err, nil)
		}
		invite := func(account tenancy.AccountID, email string, by tenancy.Registered) invitations.Issued {
			t.Helper()
			i, err := inv.Invite(t.Context(), h.db, invitations.Invite{Account: account, Email: email, Roles: []tenancy.Role{tenancy.RoleEditor}, Actor: userOf(by)})
			wantErr(t, "inviting "+email, err, nil)
			return i
		}
		offer := func(r tenancy.Registered) {
			t.Helper()
			_, err := h.accounts.OfferOwnership(t.Context(), h.db, tenancy.OfferOwnership{Account: r.Account.ID, To: evil.User.ID, Actor: userOf(r)})
			wantErr(t, "offering", err, nil)
		}
		join(bob, h.ada.User.ID, tenancy.RoleAdmin)
		inHers, inBobs, bobs := invite(h.ada.Account.ID, "x@example.com", h.ada), invite(bob.Account.ID, "y@example.com", h.ada), invite(bob.Account.ID, "z@example.com", bob)
		join(h.ada, evil.User.ID, tenancy.RoleAdmin)
		join(bob, evil.User.ID, tenancy.RoleEditor)
		offer(h.ada)
		offer(bob)

		h.clock.Advance(time.Minute)
		wantErr(t, "the owner's reset", h.reset(t, h.resetToken(t, "ada@example.com").Token, newPassword), nil)
		accept := func(i invitations.Issued) error {
			_, err := inv.AcceptNew(t.Context(), h.db, invitations.AcceptNew{Token: i.Token, Name: "Somebody"})
			return err
		}
		wantErr(t, "into hers", accept(inHers), invitations.ErrNoInvitation)
		wantErr(t, "into bob's", accept(inBobs), invitations.ErrNoInvitation)
		wantErr(t, "by bob", accept(bobs), nil)
		owns := func(r tenancy.Registered) error {
			_, err := h.accounts.AcceptOwnership(t.Context(), h.db, tenancy.AcceptOwnership{Account: r.Account.ID, Actor: userOf(evil)})
			return err
		}
		wantErr(t, "hers to own", owns(h.ada), tenancy.ErrNoOffer)
		wantErr(t, "bob's to own", owns(bob), nil)
		tenancytest.RequireEvent[tenancy.OwnershipDeclined](t, h.db, h.ada.Account.ID)

		// From now on she is who she was.
		later := invite(h.ada.Account.ID, "later@example.com", h.ada)
		wantErr(t, "the next reset", h.reset(t, h.resetToken(t, "ada@example.com").Token, oldPassword), nil)
		wantErr(t, "whom she invites", accept(later), nil)
	})
}

// Signed in and with the mail at hand, it is nobody else.
func TestVerify_EndsNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		key := h.issue(t, h.ada)
		wantErr(t, "verifying", h.verify(t, h.verification(t, h.ada.User.ID).Token, h.ada.User.ID), nil)
		wantErr(t, "the reset after that", h.reset(t, h.resetToken(t, "ada@example.com").Token, newPassword), nil)
		wantErr(t, "the key", h.verifyKey(t, key), nil)
	})
}

func TestReset_AHookThatFailsUndoesItAll(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		boom, fails := errors.New("boom"), true
		failing := func(context.Context, bun.IDB, tenancy.UserID) error {
			if fails {
				return boom
			}
			return nil
		}
		for what, cfg := range map[string]emails.Config{"AfterReset": {AfterReset: []emails.Hook{failing}}, "FirstProof": {FirstProof: []emails.Hook{failing}}} {
			fails = true
			h := newHouse(t, db, cfg)
			key, token := h.issue(t, h.ada), h.resetToken(t, "ada@example.com").Token
			h.unchanged(t, what, func() { wantErr(t, what, h.reset(t, token, newPassword), boom) })
			wantErr(t, "the old password", h.signIn(t, "ada@example.com", oldPassword), nil)
			wantErr(t, "the key", h.verifyKey(t, key), nil)
			fails = false
			wantErr(t, "and then", h.reset(t, token, newPassword), nil)
			h.exec(t, "UPDATE tenancy_users SET email_key = user_id") // room for the next one
		}
	}, authn.Migrate)
}

// An address that changes while a reset is under way is not verified by it.
func TestReset_AnAddressThatChangesMeanwhileIsNotVerified(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		mails := emails.New(h.accounts, h.passwords, emails.Config{Now: h.clock.Now, AfterReset: []emails.Hook{
			func(ctx context.Context, db bun.IDB, user tenancy.UserID) error {
				_, err := db.NewRaw("UPDATE tenancy_users SET email = 'new@example.com', email_key = 'new@example.com' WHERE user_id = ?", user).Exec(ctx)
				return err
			},
		}})
		token := h.resetToken(t, "ada@example.com").Token
		h.unchanged(t, "the reset", func() {
			_, err := mails.Reset(t.Context(), h.db, emails.Reset{Token: token, Password: newPassword})
			wantErr(t, "the reset", err, emails.ErrNoToken)
		})
	})
}

// Who was invited under an address that a stranger has signed up with comes in after
// all, and the stranger does not.
func TestReset_AnInvitationToASquattedAddressReachesItsOwner(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob := h.register(t, "bob@example.com")
		inv := invitations.New(h.accounts, invitations.Config{Now: h.clock.Now})
		issued, err := inv.Invite(t.Context(), h.db, invitations.Invite{
			Account: bob.Account.ID, Email: "ada@example.com", Roles: []tenancy.Role{tenancy.RoleEditor}, Actor: userOf(bob),
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = inv.AcceptNew(t.Context(), h.db, invitations.AcceptNew{Token: issued.Token, Name: "Ada"})
		wantErr(t, "as a new user", err, tenancy.ErrEmailTaken)
		wantErr(t, "a reset", h.reset(t, h.resetToken(t, "ada@example.com").Token, newPassword), nil)
		user, err := h.passwords.SignIn(t.Context(), h.db, authn.SignIn{Email: "ada@example.com", Password: newPassword})
		wantErr(t, "signing in", err, nil)
		_, err = inv.Accept(t.Context(), h.db, invitations.Accept{Token: issued.Token, User: user.ID})
		wantErr(t, "accepting", err, nil)
		wantErr(t, "the stranger", h.signIn(t, "ada@example.com", oldPassword), authn.ErrBadCredential)
	})
}

// Of many at once with one token one hashes: the others would fill the queue in which
// everybody's sign-in waits.
func TestReset_OneTokenIsHashedForOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		computed := make(chan struct{}, 100)
		passwords := authn.NewPasswords(h.accounts, authn.PasswordConfig{Now: h.clock.Now})
		mails := emails.New(h.accounts, passwords, emails.Config{Now: h.clock.Now, AfterReset: []emails.Hook{
			func(context.Context, bun.IDB, tenancy.UserID) error { // comes after the hash
				computed <- struct{}{}
				return nil
			},
		}})
		token := h.resetToken(t, "ada@example.com").Token
		done := 0
		for _, err := range dbtest.Together(20, func(int) error {
			_, err := mails.Reset(t.Context(), h.db, emails.Reset{Token: token, Password: newPassword})
			return err
		}) {
			if err == nil {
				done++
			} else {
				wantErr(t, "one of the others", err, emails.ErrNoToken)
			}
		}
		if done != 1 || len(computed) != 1 {
			t.Errorf("%d were done, %d were hashed", done, len(computed))
		}
		wantErr(t, "what is no token", h.reset(t, "x", newPassword), emails.ErrNoToken)
		wantErr(t, "the new password", h.signIn(t, "ada@example.com", newPassword), nil)
	})
}
