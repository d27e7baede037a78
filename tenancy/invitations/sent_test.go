package invitations_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/invitations"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestRevokeSentBy_TakesBackWhatAUserHoldsOutAndNobodyElses(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob, eve := h.user(t, "bob@example.com"), tenancytest.Register(t, h.db, h.accounts, "eve@example.com")
		h.addMember(t, bob, tenancy.RoleAdmin)
		by := func(actor tenancy.Actor, account tenancy.AccountID, email string) invitations.ID {
			t.Helper()
			v := h.invitation(email)
			v.Account, v.Actor = account, actor
			i, err := h.inv.Invite(t.Context(), h.db, v)
			wantErr(t, "inviting "+email, err, nil)
			return i.Invitation.ID
		}
		if _, err := h.accounts.AddMember(t.Context(), h.db, tenancy.AddMember{Account: eve.Account.ID, User: bob, Roles: []tenancy.Role{tenancy.RoleAdmin}, Actor: userActor(eve.User.ID)}); err != nil {
			t.Fatal(err)
		}
		over := by(userActor(bob), h.ada.Account.ID, "over@example.com")
		h.clock.Advance(invitations.DefaultLifetime)
		one, two := by(userActor(bob), h.ada.Account.ID, "1@example.com"), by(userActor(bob), eve.Account.ID, "2@example.com")
		adas, operators := by(userActor(h.ada.User.ID), h.ada.Account.ID, "3@example.com"), by(tenancy.Actor{Kind: tenancy.ActorOperator, ID: string(bob)}, h.ada.Account.ID, "4@example.com")
		again := by(userActor(bob), h.ada.Account.ID, "5@example.com")
		h.resend(t, again) // by ada, who answers for it from now on
		// An account that the user has left is found by what was sent.
		if err := h.accounts.RemoveMember(t.Context(), h.db, tenancy.RemoveMember{Account: eve.Account.ID, User: bob, Actor: userActor(bob)}); err != nil {
			t.Fatal(err)
		}

		n, err := h.accounts.RevokeSentBy(t.Context(), h.db, tenancy.RevokeSentBy{User: bob, Actor: operator, Reason: "was not bob"})
		if n != 2 || err != nil {
			t.Errorf("%d taken back, %v", n, err)
		}
		var open []invitations.ID
		for _, account := range []tenancy.AccountID{h.ada.Account.ID, eve.Account.ID} {
			list, err := h.inv.List(t.Context(), h.db, invitations.List{Account: account})
			wantErr(t, "list", err, nil)
			for _, i := range list {
				open = append(open, i.ID)
			}
		}
		want := []invitations.ID{adas, operators, again}
		slices.Sort(want)
		slices.Sort(open)
		if d := cmp.Diff(want, open); d != "" {
			t.Errorf("open (-want +got):\n%s", d)
		}
		for id, account := range map[invitations.ID]tenancy.AccountID{one: h.ada.Account.ID, two: eve.Account.ID} {
			if e := tenancytest.RequireEvent[invitations.Revoked](t, h.db, account); e.Invitation != id {
				t.Errorf("the fact is of %s", e.Invitation)
			}
			lines, err := h.accounts.Audits(t.Context(), h.db, tenancy.AuditLog{Account: account})
			if i := slices.IndexFunc(lines, func(l tenancy.Audit) bool { return l.Action == "invitations.revoke" && l.Target == string(id) }); i < 0 ||
				lines[i].Actor != operator || lines[i].Reason != "was not bob" || err != nil {
				t.Errorf("audit of %s: %+v, %v", id, lines, err)
			}
		}
		if i, err := h.inv.List(t.Context(), h.db, invitations.List{Account: h.ada.Account.ID, All: true}); err != nil ||
			!i[slices.IndexFunc(i, func(i invitations.Invitation) bool { return i.ID == over })].RevokedAt.IsZero() {
			t.Errorf("one that was over: %+v, %v", i, err)
		}
		h.unchanged(t, "again, nobody's and refused", func() {
			for _, user := range []tenancy.UserID{bob, "usr_none", "usr_\x00", ""} {
				n, err := h.accounts.RevokeSentBy(t.Context(), h.db, tenancy.RevokeSentBy{User: user, Actor: operator})
				if n != 0 || err != nil {
					t.Errorf("%q: %d, %v", user, n, err)
				}
			}
			h.in(t, func(ctx context.Context, tx bun.Tx) {
				_, err := h.accounts.RevokeSentBy(ctx, tx, tenancy.RevokeSentBy{User: h.ada.User.ID})
				wantErr(t, "no actor", err, tenancy.ErrInvalid)
			})
		})
	})
}
