package tenancy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

const week = 7 * 24 * time.Hour

func offer(t *testing.T, db bun.IDB, accounts *tenancy.Accounts, account tenancy.AccountID, to tenancy.UserID, actor tenancy.Actor) tenancy.OwnershipOffer {
	t.Helper()
	o, err := accounts.OfferOwnership(t.Context(), db, tenancy.OfferOwnership{Account: account, To: to, Actor: actor, Reason: "moving on"})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func accept(t *testing.T, db bun.IDB, accounts *tenancy.Accounts, account tenancy.AccountID, actor tenancy.Actor) error {
	t.Helper()
	_, err := accounts.AcceptOwnership(t.Context(), db, tenancy.AcceptOwnership{Account: account, Actor: actor, Reason: "gladly"})
	return err
}

// requireOwner fails unless the account has exactly this owner.
func requireOwner(t *testing.T, db bun.IDB, accounts *tenancy.Accounts, account tenancy.AccountID, want tenancy.UserID) {
	t.Helper()
	a, err := accounts.Get(t.Context(), db, account)
	if a.Owner != want || err != nil {
		t.Errorf("the owner is %s, %v; want %s", a.Owner, err, want)
	}
	var holders []tenancy.UserID
	err = db.NewRaw("SELECT user_id FROM tenancy_member_roles WHERE account_id = ? AND role = 'owner'", account).Scan(t.Context(), &holders)
	if d := cmp.Diff([]tenancy.UserID{want}, holders); d != "" || err != nil {
		t.Errorf("who holds the role (-want +got):\n%s%v", d, err)
	}
}

func TestM9_Ownership_GoesOverByOfferAndAcceptance(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		account := ada.Account.ID
		bob := addMember(t, db, accounts, account, "bob@example.com", []tenancy.Role{tenancy.RoleAdmin, tenancy.RoleDeveloper}, on(site("1"), tenancy.RoleEditor))
		clock.Advance(time.Hour)
		got := offer(t, db, accounts, account, bob, self(ada))
		want := tenancy.OwnershipOffer{Account: account, From: ada.User.ID, To: bob, CreatedAt: clock.Now(), ExpiresAt: clock.Now().Add(week)}
		read, err := accounts.Offer(t.Context(), db, account)
		if d := cmp.Diff([]tenancy.OwnershipOffer{want, want}, []tenancy.OwnershipOffer{got, read}); d != "" || err != nil {
			t.Errorf("offer (-want +got):\n%s%v", d, err)
		}
		requireOwner(t, db, accounts, account, ada.User.ID) // an offer changes nothing
		if f := tenancytest.RequireEvent[tenancy.OwnershipOffered](t, db, account); f.User != bob || !f.ExpiresAt.Equal(want.ExpiresAt) {
			t.Errorf("event %+v", f)
		}
		if line := tenancytest.RequireAudit(t, db, account, "tenancy.offer_ownership"); line.Actor != self(ada) || line.Target != string(bob) || line.Reason != "moving on" {
			t.Errorf("audit %+v", line)
		}

		clock.Set(want.ExpiresAt.Add(-time.Microsecond)) // the last moment
		after, err := accounts.AcceptOwnership(t.Context(), db, tenancy.AcceptOwnership{Account: account, Actor: as(bob), Reason: "gladly"})
		if after.Owner != bob || !after.UpdatedAt.Equal(clock.Now()) || err != nil {
			t.Errorf("%+v, %v", after, err)
		}
		requireOwner(t, db, accounts, account, bob)
		members, err := accounts.Members(t.Context(), db, account)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([][]tenancy.Role{{tenancy.RoleAdmin}, {tenancy.RoleOwner}}, [][]tenancy.Role{members[0].Roles, members[1].Roles}); d != "" {
			t.Errorf("roles (-want +got):\n%s", d)
		}
		if len(members[1].Objects) != 1 {
			t.Errorf("the role on the site is gone")
		}
		if f := tenancytest.RequireEvent[tenancy.OwnershipTransferred](t, db, account); f.From != ada.User.ID || f.To != bob {
			t.Errorf("event %+v", f)
		}
		if line := tenancytest.RequireAudit(t, db, account, "tenancy.accept_ownership"); line.Actor != as(bob) || line.Target != string(ada.User.ID) || line.Reason != "gladly" {
			t.Errorf("audit %+v", line)
		}
		wantErr(t, "once", accept(t, db, accounts, account, as(bob)), tenancy.ErrNoOffer)
		// And now the old one can go, which it could not before.
		wantErr(t, "leaving", accounts.RemoveMember(t.Context(), db, tenancy.RemoveMember{Account: account, User: ada.User.ID, Actor: self(ada)}), nil)
	})
}

func TestM9_Ownership_WhatMakesAnOfferVoid(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		for what, spoil := range map[string]func(t *testing.T, accounts *tenancy.Accounts, clock *tenancytest.Clock, ada tenancy.Registered, bob, zoe tenancy.UserID){
			"it expires": func(_ *testing.T, _ *tenancy.Accounts, clock *tenancytest.Clock, _ tenancy.Registered, _, _ tenancy.UserID) {
				clock.Set(t0.Add(week))
			},
			"it is withdrawn": func(t *testing.T, accounts *tenancy.Accounts, _ *tenancytest.Clock, ada tenancy.Registered, _, _ tenancy.UserID) {
				wantErr(t, "withdrawing", accounts.DeclineOwnership(t.Context(), db, tenancy.DeclineOwnership{Account: ada.Account.ID, Actor: self(ada)}), nil)
			},
			"it is declined": func(t *testing.T, accounts *tenancy.Accounts, _ *tenancytest.Clock, ada tenancy.Registered, bob, _ tenancy.UserID) {
				wantErr(t, "declining", accounts.DeclineOwnership(t.Context(), db, tenancy.DeclineOwnership{Account: ada.Account.ID, Actor: as(bob), Reason: "no"}), nil)
				if f := tenancytest.RequireEvent[tenancy.OwnershipDeclined](t, db, ada.Account.ID); f.User != bob {
					t.Errorf("event %+v", f)
				}
				if line := tenancytest.RequireAudit(t, db, ada.Account.ID, "tenancy.decline_ownership"); line.Actor != as(bob) || line.Target != string(bob) || line.Reason != "no" {
					t.Errorf("audit %+v", line)
				}
			},
			"it is replaced": func(t *testing.T, accounts *tenancy.Accounts, _ *tenancytest.Clock, ada tenancy.Registered, _, zoe tenancy.UserID) {
				offer(t, db, accounts, ada.Account.ID, zoe, self(ada))
			},
			"the member leaves": func(t *testing.T, accounts *tenancy.Accounts, _ *tenancytest.Clock, ada tenancy.Registered, bob, _ tenancy.UserID) {
				wantErr(t, "leaving", accounts.RemoveMember(t.Context(), db, tenancy.RemoveMember{Account: ada.Account.ID, User: bob, Actor: as(bob)}), nil)
			},
			"the member leaves and comes back": func(t *testing.T, accounts *tenancy.Accounts, _ *tenancytest.Clock, ada tenancy.Registered, bob, _ tenancy.UserID) {
				wantErr(t, "leaving", accounts.RemoveMember(t.Context(), db, tenancy.RemoveMember{Account: ada.Account.ID, User: bob, Actor: as(bob)}), nil)
				_, err := accounts.AddMember(t.Context(), db, tenancy.AddMember{Account: ada.Account.ID, User: bob, Roles: viewer, Actor: self(ada)})
				wantErr(t, "coming back", err, nil)
			},
			// No verb lets this happen; an import might.
			"the owner is another one": func(t *testing.T, accounts *tenancy.Accounts, _ *tenancytest.Clock, ada tenancy.Registered, _, zoe tenancy.UserID) {
				if _, err := db.ExecContext(t.Context(), "UPDATE tenancy_accounts SET owner_id = ? WHERE account_id = ?", zoe, ada.Account.ID); err != nil {
					t.Fatal(err)
				}
			},
		} {
			accounts, clock := newAccounts(t, db, tenancy.Config{})
			ada := tenancytest.Register(t, db, accounts, "ada@"+domain(what))
			account := ada.Account.ID
			bob := addMember(t, db, accounts, account, "bob@"+domain(what), viewer)
			zoe := addMember(t, db, accounts, account, "zoe@"+domain(what), viewer)
			offer(t, db, accounts, account, bob, self(ada))
			spoil(t, accounts, clock, ada, bob, zoe)
			unchanged(t, db, what, func() { wantErr(t, what, accept(t, db, accounts, account, as(bob)), tenancy.ErrNoOffer) })
			if o, err := accounts.Offer(t.Context(), db, account); err == nil && o.To == bob {
				t.Errorf("%s: it is still shown: %+v", what, o)
			}
		}
	})
}

// domain makes a domain of words.
func domain(what string) string {
	b := []byte(what)
	for i, c := range b {
		if c == ' ' {
			b[i] = '-'
		}
	}
	return string(b) + ".example"
}

func TestM9_Ownership_Refusals(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{OfferLifetime: time.Hour})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		eve := tenancytest.Register(t, db, accounts, "eve@example.com")
		account := ada.Account.ID
		bob := addMember(t, db, accounts, account, "bob@example.com", []tenancy.Role{tenancy.RoleAdmin})
		zoe := addMember(t, db, accounts, account, "zoe@example.com", viewer)
		for what, c := range map[string]struct {
			o    tenancy.OfferOwnership
			want error
		}{
			"an admin, to itself":     {tenancy.OfferOwnership{Account: account, To: bob, Actor: as(bob)}, tenancy.ErrForbidden},
			"an admin":                {tenancy.OfferOwnership{Account: account, To: zoe, Actor: as(bob)}, tenancy.ErrForbidden},
			"another account's owner": {tenancy.OfferOwnership{Account: account, To: bob, Actor: self(eve)}, tenancy.ErrForbidden},
			"a key":                   {tenancy.OfferOwnership{Account: account, To: bob, Actor: tenancy.Actor{Kind: tenancy.ActorKey, ID: string(ada.User.ID)}}, tenancy.ErrForbidden},
			"to the owner":            {tenancy.OfferOwnership{Account: account, To: ada.User.ID, Actor: self(ada)}, tenancy.ErrInvalid},
			"to no member":            {tenancy.OfferOwnership{Account: account, To: eve.User.ID, Actor: self(ada)}, tenancy.ErrNoUser},
			"to nobody":               {tenancy.OfferOwnership{Account: account, Actor: operator}, tenancy.ErrNoUser},
			"no account":              {tenancy.OfferOwnership{Account: "acc_none", To: bob, Actor: operator}, tenancy.ErrNoAccount},
			"no actor":                {tenancy.OfferOwnership{Account: account, To: bob}, tenancy.ErrInvalid},
		} {
			unchanged(t, db, what, func() {
				got, err := accounts.OfferOwnership(t.Context(), db, c.o)
				wantErr(t, what, err, c.want)
				if got != (tenancy.OwnershipOffer{}) {
					t.Errorf("%s returns %+v", what, got)
				}
			})
		}
		decline := func(actor tenancy.Actor) error {
			return accounts.DeclineOwnership(t.Context(), db, tenancy.DeclineOwnership{Account: account, Actor: actor})
		}
		wantErr(t, "nothing to decline", decline(self(ada)), tenancy.ErrNoOffer)
		wantErr(t, "nothing to accept", accept(t, db, accounts, account, as(bob)), tenancy.ErrNoOffer)
		_, err := accounts.Offer(t.Context(), db, account)
		wantErr(t, "nothing to read", err, tenancy.ErrNoOffer)
		_, err = accounts.Offer(t.Context(), db, "acc_none")
		wantErr(t, "no account", err, tenancy.ErrNoAccount)

		// An operator offers where the owner is out of reach; the member accepts all the same.
		if o := offer(t, db, accounts, account, bob, operator); !o.ExpiresAt.Equal(t0.Add(time.Hour)) || o.From != ada.User.ID {
			t.Errorf("%+v", o)
		}
		for what, actor := range map[string]tenancy.Actor{
			"the owner": self(ada), "another member": as(zoe), "a stranger": self(eve), "nobody": as("usr_none"),
		} {
			unchanged(t, db, what, func() { wantErr(t, what, accept(t, db, accounts, account, actor), tenancy.ErrNoOffer) })
			if actor != self(ada) {
				unchanged(t, db, what, func() { wantErr(t, what+" declines", decline(actor), tenancy.ErrForbidden) })
			}
		}
		for what, actor := range map[string]tenancy.Actor{
			"an operator": operator, "a key of that name": {Kind: tenancy.ActorKey, ID: string(bob)}, "a made-up kind": {Kind: "owner", ID: string(bob)},
		} {
			unchanged(t, db, what, func() { wantErr(t, what, accept(t, db, accounts, account, actor), tenancy.ErrForbidden) })
		}
		wantErr(t, "a nameless one", accept(t, db, accounts, account, tenancy.Actor{}), tenancy.ErrInvalid)
		wantErr(t, "accepting", accept(t, db, accounts, account, as(bob)), nil)
		requireOwner(t, db, accounts, account, bob)
	})
}

// An account whose owner is no member, as after an import, is not lost.
func TestM9_Ownership_AnOperatorGivesAnOwnerlessAccountOne(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		bob := addMember(t, db, accounts, ada.Account.ID, "bob@example.com", viewer)
		for _, statement := range []string{"DELETE FROM tenancy_member_roles WHERE user_id = ?", "DELETE FROM tenancy_members WHERE user_id = ?"} {
			if _, err := db.NewRaw(statement, ada.User.ID).Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		offer(t, db, accounts, ada.Account.ID, bob, operator)
		wantErr(t, "accepting", accept(t, db, accounts, ada.Account.ID, as(bob)), nil)
		requireOwner(t, db, accounts, ada.Account.ID, bob)
	})
}
