package tokens_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/tokens"
	"github.com/quitrent/quitrent/tenancy"
)

// M12: a token of a session puts the account on the request and acts as the user.
func TestM12_ATokenOfASessionActsAsTheUserWithinItsScopes(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		made := h.mint(t, tokens.Mint{Credential: h.session, May: tenancy.Read | tenancy.Pay, Scopes: []tenancy.Permission{tenancy.PermContentRead}})
		if want := t0.Truncate(time.Second).Add(5 * time.Minute); !made.ExpiresAt.Equal(want) {
			t.Errorf("it ends at %v, want %v", made.ExpiresAt, want)
		}
		ctx, err := h.guard.Enter(t.Context(), h.db, bearer(made.Token), tenancy.Read|tenancy.Pay)
		if err != nil {
			t.Fatal(err)
		}
		want := tenancy.Scope{
			Account: h.ada.Account.ID, Actor: userOf(h.ada), Capability: tenancy.Read | tenancy.Pay,
			Bounds:     &tenancy.Bounds{ExpiresAt: made.ExpiresAt},
			Delegation: &tenancy.Delegation{User: h.ada.User.ID, Scopes: []tenancy.Permission{tenancy.PermContentRead}},
		}
		if d := cmp.Diff(want, tenancy.From(ctx), cmpopts.IgnoreFields(tenancy.Scope{}, "State", "Plan")); d != "" {
			t.Error(d)
		}
		wantErr(t, "within the scopes", h.accounts.Can(ctx, h.db, tenancy.PermContentRead), nil)
		wantErr(t, "beyond the scopes", h.accounts.Can(ctx, h.db, tenancy.PermContentWrite), tenancy.ErrForbidden)
		for _, more := range []tenancy.Capability{tenancy.Write, tenancy.Use, tenancy.SignIn, tenancy.MintKeys, tenancy.Export} {
			_, err = h.guard.Check(t.Context(), h.db, bearer(made.Token), more)
			wantErr(t, more.String(), err, tenancy.ErrForbidden)
		}

		made = h.mint(t, tokens.Mint{Credential: h.session})
		if ctx, err = h.guard.Enter(t.Context(), h.db, bearer(made.Token), 0); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "all that the user may", h.accounts.Can(ctx, h.db, tenancy.PermBillingManage), nil)
	})
}

// M12: what a key's token does is the key's doing, on the rights of the key.
func TestM12_ATokenOfAKeyIsTheKey(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		key := tenancy.Actor{Kind: tenancy.ActorKey, ID: "key1"}
		for what, d := range map[string]*tenancy.Delegation{
			"nobody's rights":      nil,
			"the maker's":          {User: h.ada.User.ID, Scopes: []tenancy.Permission{tenancy.PermContentRead, tenancy.PermContentWrite}},
			"the service's":        {Scopes: []tenancy.Permission{tenancy.PermContentRead}},
			"the maker's, no more": {User: h.ada.User.ID},
		} {
			c := h.desk.open("ses_key", authn.Principal{Account: h.ada.Account.ID, Actor: key, Env: "test", Delegation: d})
			s, err := h.guard.Check(t.Context(), h.db, bearer(h.mint(t, tokens.Mint{Credential: c}).Token), 0)
			wantErr(t, what, err, nil)
			if diff := cmp.Diff(d, s.Delegation, cmpopts.EquateEmpty()); diff != "" || s.Actor != key || s.Env != "test" {
				t.Errorf("%s: %+v %q %s", what, s.Actor, s.Env, diff)
			}
		}
		issued := h.issue(t)
		made := h.mint(t, tokens.Mint{Credential: bearer(issued.Secret)})
		s, err := h.guard.Check(t.Context(), h.db, bearer(made.Token), 0)
		wantErr(t, "a real key", err, nil)
		if s.Actor != (tenancy.Actor{Kind: tenancy.ActorKey, ID: string(issued.Key.ID)}) {
			t.Errorf("it is %+v", s.Actor)
		}
		_, err = h.tokens.Mint(t.Context(), h.db, tokens.Mint{Credential: bearer(issued.Secret), May: tenancy.Pay})
		wantErr(t, "more than a key can have", err, tenancy.ErrForbidden)
	})
}

func TestMint_OnlyNarrows(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		some := []tenancy.Permission{tenancy.PermContentRead, tenancy.PermMembersRead}
		narrow := h.desk.open("ses_narrow", authn.Principal{
			Account: h.ada.Account.ID, Actor: userOf(h.ada), May: tenancy.Read | tenancy.Write,
			Delegation: &tenancy.Delegation{User: h.ada.User.ID, Scopes: some},
		})
		none := h.desk.open("ses_none", authn.Principal{Account: h.ada.Account.ID, Actor: tenancy.Actor{Kind: tenancy.ActorKey, ID: "key1"}})
		system := h.desk.open("ses_system", authn.Principal{Account: h.ada.Account.ID, Actor: tenancy.Actor{Kind: tenancy.ActorSystem, ID: "job"}})
		rw := tenancy.Read | tenancy.Write
		all := []tenancy.Permission{tenancy.AllScopes}
		for _, tc := range []struct {
			what string
			m    tokens.Mint
			want error
			has  []tenancy.Permission
		}{
			{"nothing said", tokens.Mint{Credential: narrow, May: rw}, nil, some},
			{"less", tokens.Mint{Credential: narrow, May: tenancy.Read, Scopes: some[:1]}, nil, some[:1]},
			{"a scope more", tokens.Mint{Credential: narrow, May: rw, Scopes: append(some[:2:2], tenancy.PermContentWrite)}, tenancy.ErrForbidden, nil},
			{"every scope", tokens.Mint{Credential: narrow, May: rw, Scopes: all}, tenancy.ErrForbidden, nil},
			{"a capability more", tokens.Mint{Credential: narrow}, tenancy.ErrForbidden, nil},
			{"a user's every scope", tokens.Mint{Credential: h.session, Scopes: all}, nil, all},
			{"a user's other scope", tokens.Mint{Credential: h.session, Scopes: []tenancy.Permission{"sites.publish"}}, nil, []tenancy.Permission{"sites.publish"}},
			{"scopes of who has none", tokens.Mint{Credential: none, Scopes: some}, tenancy.ErrForbidden, nil},
			{"no scopes of who has none", tokens.Mint{Credential: none}, nil, nil},
			{"a job", tokens.Mint{Credential: system}, tenancy.ErrForbidden, nil},
			{"to sign in", tokens.Mint{Credential: h.session, May: tenancy.SignIn}, tenancy.ErrInvalid, nil},
			{"to mint keys", tokens.Mint{Credential: h.session, May: tenancy.Use | tenancy.MintKeys}, tenancy.ErrInvalid, nil},
			{"longer than the longest", tokens.Mint{Credential: h.session, Lifetime: 5*time.Minute + 1}, tenancy.ErrInvalid, nil},
			{"no time at all", tokens.Mint{Credential: h.session, Lifetime: time.Millisecond}, tenancy.ErrInvalid, nil},
			{"a time that is over", tokens.Mint{Credential: h.session, Lifetime: -time.Minute}, tenancy.ErrInvalid, nil},
			{"two scopes in one", tokens.Mint{Credential: h.session, Scopes: []tenancy.Permission{"a b"}}, tenancy.ErrInvalid, nil},
			{"an empty scope", tokens.Mint{Credential: h.session, Scopes: []tenancy.Permission{""}}, tenancy.ErrInvalid, nil},
			{"too many scopes", tokens.Mint{Credential: h.session, Scopes: slices.Repeat([]tenancy.Permission{"sites.publish"}, 1000)}, tenancy.ErrInvalid, nil},
			{"nobody", tokens.Mint{}, authn.ErrNoCredential, nil},
			{"a session that is not", tokens.Mint{Credential: bearer("ses_eve")}, authn.ErrBadCredential, nil},
			{"a password", tokens.Mint{Credential: authn.Credential{Scheme: "basic", Value: "x"}}, authn.ErrBadCredential, nil},
			{"another account", tokens.Mint{Credential: authn.Credential{Scheme: "bearer", Value: "ses_ada", Account: "acc_other"}}, tenancy.ErrNoAccount, nil},
		} {
			made, err := h.tokens.Mint(t.Context(), h.db, tc.m)
			wantErr(t, tc.what, err, tc.want)
			if d := cmp.Diff(tc.has, made.Scopes); d != "" {
				t.Errorf("%s: %s", tc.what, d)
			}
			if tc.want == nil {
				wantErr(t, tc.what, h.check(t, made.Token), nil)
			}
		}
		token := h.mint(t, tokens.Mint{Credential: h.session}).Token
		_, err := h.tokens.Mint(t.Context(), h.db, tokens.Mint{Credential: bearer(token)})
		wantErr(t, "a token", err, tenancy.ErrForbidden)
	})
}

func TestMint_WhatHoldsTheCredentialBackHoldsTheToken(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		end := t0.Add(90*time.Second + 700*time.Millisecond)
		c := h.desk.open("ses_bound", authn.Principal{
			Account: h.ada.Account.ID, Actor: userOf(h.ada),
			Bounds: &tenancy.Bounds{ExpiresAt: end, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}},
		})
		made := h.mint(t, tokens.Mint{Credential: c})
		if want := end.Truncate(time.Second); !made.ExpiresAt.Equal(want) {
			t.Errorf("it ends at %v, the credential at %v", made.ExpiresAt, end)
		}
		for addr, want := range map[string]error{
			"192.0.2.7": nil, "::ffff:192.0.2.7": nil, "2001:db8::1": nil, "198.51.100.1": authn.ErrBadCredential, "": authn.ErrBadCredential,
		} {
			shown := bearer(made.Token)
			if addr != "" {
				shown.Addr = netip.MustParseAddr(addr)
			}
			_, err := h.guard.Check(t.Context(), h.db, shown, 0)
			wantErr(t, "from "+addr, err, want)
		}
		h.clock.Set(end)
		_, err := h.tokens.Mint(t.Context(), h.db, tokens.Mint{Credential: c})
		wantErr(t, "at its end", err, authn.ErrBadCredential)
	})
}

// M6: what is taken away ends the tokens that were made before, and none made after.
func TestM6_ARevocationEndsOlderTokens(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		key, other := h.issue(t), h.issue(t)
		account, user := h.ada.Account.ID, h.ada.User.ID
		all := func() map[string]string {
			return map[string]string{
				"the key's":       h.mint(t, tokens.Mint{Credential: bearer(key.Secret)}).Token,
				"the other key's": h.mint(t, tokens.Mint{Credential: bearer(other.Secret)}).Token,
				"the session's":   h.mint(t, tokens.Mint{Credential: h.session}).Token,
			}
		}
		for _, tc := range []struct {
			what string
			of   tenancy.Subject
			do   func(ctx context.Context, db bun.IDB) error
			ends []string
		}{
			{"signing out", user.Subject(), func(context.Context, bun.IDB) error { return nil }, []string{"the session's"}},
			{"suspending", account.Subject(), func(ctx context.Context, db bun.IDB) error {
				_, err := h.accounts.Suspend(ctx, db, tenancy.Suspend{Account: account, Actor: operator})
				if err != nil {
					return err
				}
				_, err = h.accounts.Resume(ctx, db, tenancy.Resume{Account: account, Actor: operator})
				return err
			}, []string{"the key's", "the other key's", "the session's"}},
			{"revoking", account.Subject(), func(ctx context.Context, db bun.IDB) error {
				_, err := h.keys.Revoke(ctx, db, authn.Revoke{Account: account, Key: key.Key.ID, Actor: userOf(h.ada)})
				return err
			}, []string{"the key's", "the other key's", "the session's"}},
		} {
			made := all()
			for whose, token := range made {
				wantErr(t, tc.what+" comes, "+whose, h.check(t, token), nil)
			}
			h.changed(t, tc.of, tc.do)
			for whose, token := range made {
				want := error(nil)
				if slices.Contains(tc.ends, whose) {
					want = authn.ErrBadCredential
				}
				wantErr(t, tc.what+", "+whose, h.check(t, token), want)
			}
		}
		_, err := h.tokens.Mint(t.Context(), h.db, tokens.Mint{Credential: bearer(key.Secret)})
		wantErr(t, "the revoked key", err, authn.ErrBadCredential)
		wantErr(t, "the other key, again", h.check(t, h.mint(t, tokens.Mint{Credential: bearer(other.Secret)}).Token), nil)
	})
}

// M6: the token of a suspended account opens nothing, whatever was announced.
func TestM6_TheTokensOfASuspendedAccountOpenNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		token := h.mint(t, tokens.Mint{Credential: h.session}).Token
		if _, err := h.accounts.Suspend(t.Context(), h.db, tenancy.Suspend{Account: h.ada.Account.ID, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		if err := h.check(t, token); !errors.Is(err, tenancy.ErrSuspended) && !errors.Is(err, authn.ErrBadCredential) {
			t.Errorf("got %v", err)
		}
		_, err := h.tokens.Mint(t.Context(), h.db, tokens.Mint{Credential: h.session})
		wantErr(t, "a new one", err, tenancy.ErrSuspended)
	})
}

// A revocation that falls into the making of a token leaves none behind.
func TestM6_ARevocationWhileATokenIsMadeCounts(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		checks := 0
		at := func(n int, fn func(ctx context.Context, db bun.IDB)) func(context.Context, bun.IDB) {
			checks = 0
			return func(ctx context.Context, db bun.IDB) {
				if checks++; checks == n {
					fn(ctx, db)
				}
			}
		}
		revoke := func(ctx context.Context, db bun.IDB) {
			h.desk.close("ses_ada")
			if err := h.accounts.Changed(ctx, db, h.ada.User.ID.Subject()); err != nil {
				t.Error(err)
			}
		}
		h.desk.after = at(1, revoke) // right after it was found good
		_, err := h.tokens.Mint(t.Context(), h.db, tokens.Mint{Credential: h.session})
		wantErr(t, "revoked before the epochs are read", err, authn.ErrBadCredential)

		h.session = h.desk.open("ses_ada", authn.Principal{Account: h.ada.Account.ID, Actor: userOf(h.ada)})
		h.desk.after = at(2, revoke) // when it was found good the last time
		made := h.mint(t, tokens.Mint{Credential: h.session})
		wantErr(t, "revoked after the last check", h.check(t, made.Token), authn.ErrBadCredential)

		h.session = h.desk.open("ses_ada", authn.Principal{Account: h.ada.Account.ID, Actor: userOf(h.ada)})
		h.desk.after = at(1, func(context.Context, bun.IDB) {
			h.desk.open("ses_ada", authn.Principal{Account: h.ada.Account.ID, Actor: tenancy.Actor{Kind: tenancy.ActorUser, ID: "usr_2"}})
		})
		_, err = h.tokens.Mint(t.Context(), h.db, tokens.Mint{Credential: h.session})
		wantErr(t, "somebody else's meanwhile", err, authn.ErrBadCredential)
	})
}

func TestMint_ReadsTheLastTimeInATransaction(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		var where []bool
		h.desk.after = func(_ context.Context, db bun.IDB) {
			_, pool := db.(*bun.DB)
			where = append(where, pool)
		}
		h.mint(t, tokens.Mint{Credential: h.session})
		if d := cmp.Diff([]bool{true, false}, where); d != "" {
			t.Errorf("asked on the pool: %s", d)
		}
	})
}

func TestMint_ARefusalLeavesTheHostsTransactionUsable(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		var made tokens.Minted
		err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) (err error) {
			_, err = h.tokens.Mint(ctx, tx, tokens.Mint{Credential: bearer("ses_eve")})
			wantErr(t, "nobody", err, authn.ErrBadCredential)
			_, err = h.guard.Check(ctx, tx, bearer("a.b.c"), 0)
			wantErr(t, "garbage", err, authn.ErrBadCredential)
			if made, err = h.tokens.Mint(ctx, tx, tokens.Mint{Credential: h.session}); err != nil {
				return err
			}
			_, err = h.guard.Check(ctx, tx, bearer(made.Token), 0)
			return err
		})
		wantErr(t, "the transaction", err, nil)
		wantErr(t, "its token", h.check(t, made.Token), nil)
	})
}

func TestMint_AProcessWithoutFromMakesNone(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		public, err := tokens.New(h.accounts, tokens.Config{
			Issuer: issuer, Audience: audience, Now: h.clock.Now,
			Keys: []tokens.Key{{ID: "a", Public: signer("a").Public().(ed25519.PublicKey)}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = public.Mint(t.Context(), h.db, tokens.Mint{Credential: h.session}); err == nil || !strings.Contains(err.Error(), "makes no tokens") {
			t.Errorf("got %v", err)
		}
		_, err = public.Authenticate(t.Context(), h.db, bearer(h.mint(t, tokens.Mint{Credential: h.session}).Token))
		wantErr(t, "and verifies them", err, nil)
		if w := serve(public.Handler(h.db), request("POST", "/token", "{}", "Authorization", "Bearer ses_ada")); w.Code != 404 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// A password would be hashed twice, and once under a transaction.
func TestMint_TakesNoPasswordWhereOneIsKnown(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		const password = "tall green giraffes"
		passwords := authn.NewPasswords(h.accounts, authn.PasswordConfig{Now: h.clock.Now})
		_, err := passwords.Register(t.Context(), h.db, tenancy.Register{Name: "Bob", Email: "bob@example.com"}, password)
		if err != nil {
			t.Fatal(err)
		}
		made, err := tokens.New(h.accounts, tokens.Config{
			Issuer: issuer, Audience: audience, Keys: []tokens.Key{{ID: "a", Private: signer("a")}}, Now: h.clock.Now,
			From: authn.NewGuard(h.accounts, authn.GuardConfig{}, passwords),
		})
		if err != nil {
			t.Fatal(err)
		}
		c := authn.Credential{Scheme: "basic", Value: base64.StdEncoding.EncodeToString([]byte("bob@example.com:" + password))}
		_, err = made.Mint(t.Context(), h.db, tokens.Mint{Credential: c})
		wantErr(t, "the right password", err, authn.ErrBadCredential)
	})
}
