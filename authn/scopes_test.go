package authn_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
)

var (
	editor    = []tenancy.Role{tenancy.RoleEditor}
	developer = []tenancy.Role{tenancy.RoleDeveloper}
	admin     = []tenancy.Role{tenancy.RoleAdmin}
	viewer    = []tenancy.Role{tenancy.RoleViewer}

	writes = []tenancy.Permission{tenancy.PermContentWrite}
	every  = []tenancy.Permission{tenancy.AllScopes}
)

// M9: who is demoted has keys that can less, from the commit on.
func TestM9_AKeyShrinksWithItsMaker(t *testing.T) {
	modes(t, func(t *testing.T, h *house, read func()) {
		ada := h.register(t, "ada@example.com")
		bob := h.join(t, ada, "bob@example.com", editor)
		read()
		narrow := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(bob), Scopes: writes})
		wide := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(bob), Scopes: every})
		none := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(bob)})
		beyond := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(bob), Scopes: []tenancy.Permission{tenancy.PermBillingManage, "sites.publish"}})
		read()
		says := func(when string, key authn.Issued, p tenancy.Permission, want error) {
			t.Helper()
			for range 2 { // the second time it is remembered
				wantErr(t, when+": "+string(p), h.can(t, key.Secret, p), want)
			}
		}
		says("an editor's key", narrow, tenancy.PermContentWrite, nil)
		says("an editor's key, outside of its scopes", narrow, tenancy.PermContentRead, tenancy.ErrForbidden)
		says("an editor's key with all scopes", wide, tenancy.PermContentRead, nil)
		says("an editor's key with all scopes", wide, tenancy.PermKeysManage, tenancy.ErrForbidden)
		says("an editor's key with all scopes", wide, tenancy.AllScopes, tenancy.ErrForbidden)
		says("a key without scopes", none, tenancy.PermContentRead, tenancy.ErrForbidden)
		says("a scope that its maker does not hold", beyond, tenancy.PermBillingManage, tenancy.ErrForbidden)
		says("a scope that no role holds", beyond, "sites.publish", tenancy.ErrForbidden)

		h.setRoles(t, ada, bob, tenancy.RoleViewer)
		says("demoted", narrow, tenancy.PermContentWrite, tenancy.ErrForbidden)
		says("demoted", wide, tenancy.PermContentWrite, tenancy.ErrForbidden)
		says("demoted", wide, tenancy.PermContentRead, nil)

		h.setRoles(t, ada, bob, tenancy.RoleAdmin)
		says("promoted", narrow, tenancy.PermContentWrite, nil)
		says("promoted", narrow, tenancy.PermBillingManage, tenancy.ErrForbidden)
		says("promoted to what a scope waited for", beyond, tenancy.PermBillingManage, nil)
		says("promoted", none, tenancy.PermContentRead, tenancy.ErrForbidden)
	})
}

// M6 and M9: a key whose maker has left opens nothing, until somebody takes it over.
func TestM6_AKeyWithoutItsMakerIsOrphaned(t *testing.T) {
	modes(t, func(t *testing.T, h *house, read func()) {
		ada := h.register(t, "ada@example.com")
		bob := h.join(t, ada, "bob@example.com", admin)
		eve := h.join(t, ada, "eve@example.com", viewer)
		key := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(bob), Scopes: every})
		read()
		server := h.keys.Middleware(h.db, 0)(whoami)
		if w := over(server, key.Secret); w.Code != 200 {
			t.Errorf("its maker a member: %d %s", w.Code, w.Body)
		}
		h.remove(t, ada, bob)
		read()
		for range 2 {
			if w := over(server, key.Secret); w.Code != 403 || code(t, w) != "key_orphaned" || w.Header().Get("WWW-Authenticate") != "" {
				t.Errorf("its maker gone: %d %s %v", w.Code, w.Body, w.Header())
			}
		}
		wrong, _, _ := authn.Rekey(h.keys, key.Key.ID)
		wantErr(t, "who does not know the secret", h.verify(t, wrong), authn.ErrBadCredential)

		// Who comes back brings the keys back, as far as the new roles reach.
		epoch := h.epoch(t, ada.Account.ID.Subject())
		h.admit(t, ada, bob, viewer)
		if got := h.epoch(t, ada.Account.ID.Subject()); got != epoch {
			t.Errorf("a member more ends the account's tokens: epoch %d after %d", got, epoch)
		}
		wantErr(t, "its maker back", h.verify(t, key.Secret), nil)
		wantErr(t, "its maker back as less", h.can(t, key.Secret, tenancy.PermBillingManage), tenancy.ErrForbidden)
		h.remove(t, ada, bob)
		wantErr(t, "its maker gone again", h.verify(t, key.Secret), authn.ErrOrphaned)

		taken, err := h.keys.TakeOver(t.Context(), h.db, authn.TakeOver{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(eve), Reason: "bob left"})
		if err != nil {
			t.Fatal(err)
		}
		want := key.Key
		want.Maker = eve.User.ID
		if d := cmp.Diff(want, taken); d != "" {
			t.Error(d)
		}
		read()
		wantErr(t, "taken over by a viewer", h.can(t, key.Secret, tenancy.PermContentRead), nil)
		wantErr(t, "taken over by a viewer", h.can(t, key.Secret, tenancy.PermContentWrite), tenancy.ErrForbidden)
		if _, err := h.keys.TakeOver(t.Context(), h.db, authn.TakeOver{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(ada)}); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "taken over by the owner", h.can(t, key.Secret, tenancy.PermBillingManage), nil)
		h.remove(t, ada, eve)
		wantErr(t, "who had it before gone", h.verify(t, key.Secret), nil)
	})
}

func TestTakeOver_Refusals(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada, eve := h.register(t, "ada@example.com"), h.register(t, "eve@example.com")
		key, over, dead := h.issue(t, ada), h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(ada), ExpiresAt: t0.Add(time.Minute)}), h.issue(t, ada)
		if _, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: ada.Account.ID, Key: dead.Key.ID, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		h.clock.Advance(time.Minute)
		for what, c := range map[string]struct {
			take authn.TakeOver
			want error
		}{
			"a stranger":        {authn.TakeOver{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(eve)}, tenancy.ErrForbidden},
			"an odd user":       {authn.TakeOver{Account: ada.Account.ID, Key: key.Key.ID, Actor: tenancy.Actor{Kind: tenancy.ActorUser, ID: "usr_none"}}, tenancy.ErrForbidden},
			"a key":             {authn.TakeOver{Account: ada.Account.ID, Key: key.Key.ID, Actor: tenancy.Actor{Kind: tenancy.ActorKey, ID: "k"}}, tenancy.ErrForbidden},
			"nobody":            {authn.TakeOver{Account: ada.Account.ID, Key: key.Key.ID}, tenancy.ErrInvalid},
			"another's key":     {authn.TakeOver{Account: eve.Account.ID, Key: key.Key.ID, Actor: userOf(eve)}, authn.ErrNoKey},
			"an unknown key":    {authn.TakeOver{Account: ada.Account.ID, Key: "000000000000", Actor: userOf(ada)}, authn.ErrNoKey},
			"no key's id":       {authn.TakeOver{Account: ada.Account.ID, Key: "\x00", Actor: userOf(ada)}, authn.ErrNoKey},
			"an expired key":    {authn.TakeOver{Account: ada.Account.ID, Key: over.Key.ID, Actor: userOf(ada)}, authn.ErrKeyOver},
			"a revoked key":     {authn.TakeOver{Account: ada.Account.ID, Key: dead.Key.ID, Actor: userOf(ada)}, authn.ErrKeyOver},
			"a reason, no text": {authn.TakeOver{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(ada), Reason: "\x00"}, tenancy.ErrInvalid},
		} {
			h.unchanged(t, what, func() {
				// The host's transaction goes on after each of them.
				err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
					_, err := h.keys.TakeOver(ctx, tx, c.take)
					wantErr(t, what, err, c.want)
					_, err = h.keys.Get(ctx, tx, ada.Account.ID, key.Key.ID)
					return err
				})
				wantErr(t, what+": the transaction", err, nil)
			})
		}
	})
}

// What cannot be read is no refusal: that would say that the host's transaction is
// usable.
func TestTakeOver_SaysWhatFailed(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.register(t, "ada@example.com")
		key := h.issue(t, ada)
		h.exec(t, "ALTER TABLE tenancy_members RENAME TO gone")
		_, err := h.keys.TakeOver(t.Context(), h.db, authn.TakeOver{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(ada)})
		if err == nil || errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("got %v", err)
		}
	})
}

// Who is a member of a host's own account is the host's to know: Can asks it.
func TestM9_AKeyOfAHostsOwnAccountActsForItsMaker(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		roles := map[tenancy.UserID][]tenancy.Role{"7": editor, "8": viewer}
		h.accounts = tenancy.New(tenancy.Config{
			Now: h.clock.Now,
			Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
				return tenancy.State{Status: tenancy.StatusActive}, tenancy.Plan{Slug: "x", Active: true}, nil
			},
			MemberLoader: func(_ context.Context, _ bun.IDB, _ tenancy.AccountID, user tenancy.UserID) ([]tenancy.Role, error) {
				return roles[user], nil
			},
		})
		h.keys = h.newKeys(t, pepper("a"))
		user := func(id string) tenancy.Actor { return tenancy.Actor{Kind: tenancy.ActorUser, ID: id} }
		key := h.make(t, authn.Issue{Account: "elsewhere", Actor: user("7"), Scopes: every})
		wantErr(t, "an editor's", h.can(t, key.Secret, tenancy.PermContentWrite), nil)
		_, err := h.keys.Rotate(t.Context(), h.db, authn.Rotate{Account: "elsewhere", Key: key.Key.ID, Actor: user("8")})
		wantErr(t, "a viewer rotates an editor's", err, tenancy.ErrForbidden)
		if _, err := h.keys.TakeOver(t.Context(), h.db, authn.TakeOver{Account: "elsewhere", Key: key.Key.ID, Actor: user("8")}); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "a viewer's", h.can(t, key.Secret, tenancy.PermContentWrite), tenancy.ErrForbidden)
		wantErr(t, "a viewer's", h.can(t, key.Secret, tenancy.PermContentRead), nil)
		delete(roles, "8")
		wantErr(t, "nobody's", h.verify(t, key.Secret), authn.ErrOrphaned)
	})
}

// M9: a key ends with its maker's last role in a host's own tables too: at once where the
// MemberLoader is asked each time, and from the announcement on where the host makes one.
func TestM9_AKeyOfAHostsOwnAccountEndsWithItsMakersRoles(t *testing.T) {
	for _, announces := range []bool{false, true} {
		each(t, func(t *testing.T, h *house) {
			var (
				roles = map[tenancy.UserID][]tenancy.Role{"7": editor, "8": viewer}
				fails error
				asked int
			)
			read := h.rememberOf(t, tenancy.Config{
				LoaderAnnounces: announces,
				Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
					return tenancy.State{Status: tenancy.StatusActive}, tenancy.Plan{Slug: "x", Active: true}, nil
				},
				MemberLoader: func(_ context.Context, _ bun.IDB, account tenancy.AccountID, user tenancy.UserID) ([]tenancy.Role, error) {
					asked++
					if account != "elsewhere" {
						t.Errorf("asked for %s in %s", user, account)
					}
					return roles[user], fails
				},
			}, authn.Config{})
			user := func(id string) tenancy.Actor { return tenancy.Actor{Kind: tenancy.ActorUser, ID: id} }
			key := h.make(t, authn.Issue{Account: "elsewhere", Actor: user("7"), Scopes: every})
			service := h.make(t, authn.Issue{Account: "elsewhere", Actor: operator, Scopes: every})
			shows := func(what, key string, asks int, want error) {
				t.Helper()
				asked = 0
				wantErr(t, what, h.verify(t, key), want)
				if asked != asks {
					t.Errorf("%s: asked %d times, want %d; it announces: %v", what, asked, asks, announces)
				}
			}
			changed := func() {
				t.Helper()
				if !announces {
					return
				}
				if err := h.accounts.Changed(t.Context(), h.db, tenancy.AccountID("elsewhere").Subject()); err != nil {
					t.Fatal(err)
				}
				read()
			}
			again := map[bool]int{true: 0, false: 1}[announces]
			read()
			shows("an editor's", key.Secret, 1, nil)
			shows("an editor's, again", key.Secret, again, nil)
			delete(roles, "7")
			changed()
			for range 2 { // the maker may come back without a word
				shows("nobody's", key.Secret, 1, authn.ErrOrphaned)
			}
			shows("the service's", service.Secret, 0, nil)
			roles["7"] = viewer
			shows("a viewer's", key.Secret, 1, nil)
			shows("a viewer's, again", key.Secret, again, nil)
			fails = errors.New("away")
			changed()
			shows("who can say", key.Secret, 1, fails)
			_, err := h.keys.TakeOver(t.Context(), h.db, authn.TakeOver{Account: "elsewhere", Key: key.Key.ID, Actor: user("8")})
			wantErr(t, "taken over, and who can say", err, fails)
			fails = nil
			_, err = h.keys.TakeOver(t.Context(), h.db, authn.TakeOver{Account: "elsewhere", Key: key.Key.ID, Actor: user("9")})
			wantErr(t, "taken over by nobody", err, tenancy.ErrForbidden)
			_, err = h.keys.TakeOver(t.Context(), h.db, authn.TakeOver{Account: "elsewhere", Key: key.Key.ID, Actor: user("8")})
			wantErr(t, "taken over", err, nil)
			delete(roles, "7")
			changed()
			wantErr(t, "who had it", h.verify(t, key.Secret), nil)

			// What is over says so, and asks nobody.
			if _, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: "elsewhere", Key: key.Key.ID, Actor: operator}); err != nil {
				t.Fatal(err)
			}
			read()
			shows("revoked", key.Secret, 0, authn.ErrBadCredential)
		})
	}
}

// M9: roles on an object count for the key of who holds them, on that object.
func TestM9_AKeyActsOnItsMakersRolesOnObjects(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.register(t, "ada@example.com")
		one, two := tenancy.Object{Kind: "site", ID: "1"}, tenancy.Object{Kind: "site", ID: "2"}
		bob := h.join(t, ada, "bob@example.com", viewer, tenancy.ObjectRole{Object: one, Role: tenancy.RoleEditor})
		key := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(bob), Scopes: writes})
		wide := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(bob), Scopes: every})
		wantErr(t, "on the object", h.can(t, key.Secret, tenancy.PermContentWrite, one), nil)
		wantErr(t, "on both", h.can(t, key.Secret, tenancy.PermContentWrite, one, two), tenancy.ErrForbidden)
		wantErr(t, "on another", h.can(t, wide.Secret, tenancy.PermContentWrite, two), tenancy.ErrForbidden)
		wantErr(t, "on the account", h.can(t, wide.Secret, tenancy.PermContentWrite), tenancy.ErrForbidden)
		wantErr(t, "outside of its scopes", h.can(t, key.Secret, tenancy.PermContentRead, one), tenancy.ErrForbidden)
		if _, err := h.accounts.SetObjectRoles(t.Context(), h.db, tenancy.SetObjectRoles{Account: ada.Account.ID, User: bob.User.ID, Object: one, Actor: userOf(ada)}); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "the role taken away", h.can(t, key.Secret, tenancy.PermContentWrite, one), tenancy.ErrForbidden)
	})
}

// What an operator or a job has made acts on nobody's rights: its scopes are all.
func TestM9_AKeyOfTheServiceHoldsItsScopes(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.register(t, "ada@example.com")
		for _, actor := range []tenancy.Actor{operator, {Kind: tenancy.ActorSystem, ID: "import"}} {
			key := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: actor, Scopes: writes})
			if key.Key.Maker != "" || key.Key.CreatedBy != actor {
				t.Errorf("made by %+v", key.Key)
			}
			wantErr(t, "its scope", h.can(t, key.Secret, tenancy.PermContentWrite), nil)
			wantErr(t, "its scope on an object", h.can(t, key.Secret, tenancy.PermContentWrite, tenancy.Object{Kind: "site", ID: "1"}), nil)
			wantErr(t, "another", h.can(t, key.Secret, tenancy.PermContentRead), tenancy.ErrForbidden)
			_, err := h.keys.Verify(t.Context(), h.db, key.Secret, tenancy.MintKeys)
			wantErr(t, "more than a key can", err, tenancy.ErrForbidden)

			_, err = h.keys.Rotate(t.Context(), h.db, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(ada)})
			wantErr(t, "the owner rotates it", err, nil)
			taken, err := h.keys.TakeOver(t.Context(), h.db, authn.TakeOver{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(ada)})
			if err != nil || taken.Maker != ada.User.ID || taken.CreatedBy != actor {
				t.Errorf("the owner takes it over: %+v, %v", taken, err)
			}
			h.rotate(t, authn.Rotate{Account: ada.Account.ID, Key: key.Key.ID, Actor: userOf(ada)})
		}
	})
}

// M6: what a key may is at most Use, and what it was narrowed to, whatever its scopes.
func TestM6_AKeyMayAtMostWhatItWasMadeFor(t *testing.T) {
	modes(t, func(t *testing.T, h *house, read func()) {
		ada := h.register(t, "ada@example.com")
		for may, narrow := range map[tenancy.Capability]bool{0: false, tenancy.Use: false, tenancy.Read: true, tenancy.Read | tenancy.Write: true, tenancy.Spend: true} {
			key := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(ada), Scopes: every, May: may})
			if key.Key.May != may {
				t.Errorf("made for %s: %s", may, key.Key.May)
			}
			read()
			for need := tenancy.Capability(1); need != 0; need <<= 1 {
				allowed := need&tenancy.Use != 0 && (!narrow || need&may != 0)
				_, err := h.keys.Verify(t.Context(), h.db, key.Secret, need)
				if allowed != (err == nil) || err != nil && !errors.Is(err, tenancy.ErrForbidden) {
					t.Errorf("made for %s, asks for %s: %v", may, need, err)
				}
			}
			_, err := h.keys.Verify(t.Context(), h.db, key.Secret, 0)
			if narrow != errors.Is(err, tenancy.ErrForbidden) {
				t.Errorf("made for %s, asks for the default: %v", may, err)
			}
		}
	})
}
