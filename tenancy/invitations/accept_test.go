package invitations_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/invitations"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// each5 runs fn five times at once and prints a dot for each success.
func each5(want error, fn func(i int) error) error {
	for _, err := range dbtest.Together(5, fn) {
		switch {
		case err == nil:
			fmt.Print(".")
		case !errors.Is(err, want):
			return err
		}
	}
	return nil
}

// Whoever has no token that fits, or is not the one invited, learns nothing.
func TestM9_Accept_OneAnswerForEveryTokenThatDoesNotFit(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob, eve := h.user(t, "bob@example.com"), h.user(t, "eve@example.com")
		used, revoked, expired := h.user(t, "used@example.com"), h.user(t, "revoked@example.com"), h.user(t, "expired@example.com")
		usedToken := h.invite(t, "used@example.com").Token
		wantErr(t, "the first time", h.accept(t, usedToken, used), nil)
		h.removeMember(t, used)
		revokedInvitation := h.invite(t, "revoked@example.com")
		h.revoke(t, revokedInvitation.Invitation.ID)
		expiredToken := h.invite(t, "expired@example.com").Token
		h.clock.Advance(invitations.DefaultLifetime)
		open := h.invite(t, "bob@example.com")
		replaced := open.Token
		token := h.resend(t, open.Invitation.ID).Token

		for _, c := range []struct {
			what  string
			token invitations.Token
			user  tenancy.UserID
		}{
			{"none", "", bob},
			{"a malformed one", "x", bob},
			{"one with a NUL", token[:42] + "\x00", bob},
			{"one with a blank", token + " ", bob},
			{"an unknown one", invitations.Token(strings.Repeat("0", 43)), bob},
			{"a replaced one", replaced, bob},
			{"a used one", usedToken, used},
			{"a revoked one", revokedInvitation.Token, revoked},
			{"an expired one", expiredToken, expired},
			{"somebody else's", token, eve},
			{"somebody else's, to the inviter", token, h.ada.User.ID},
			{"a good one, to nobody", token, ""},
			{"a good one, to no user", token, "usr_none"},
			{"a good one, to an odd user", token, "usr_\x00"},
		} {
			h.unchanged(t, c.what, func() {
				err := h.accept(t, c.token, c.user)
				if err == nil || err.Error() != invitations.ErrNoInvitation.Error() || !errors.Is(err, invitations.ErrNoInvitation) {
					t.Errorf("%s: %v", c.what, err)
				}
				h.in(t, func(ctx context.Context, tx bun.Tx) {
					_, err := h.inv.Accept(ctx, tx, invitations.Accept{Token: c.token, User: c.user})
					wantErr(t, c.what+", joined", err, invitations.ErrNoInvitation)
				})
				if c.token == token {
					return
				}
				_, err = h.inv.Peek(t.Context(), h.db, c.token)
				if err == nil || err.Error() != invitations.ErrNoInvitation.Error() {
					t.Errorf("%s, peeked: %v", c.what, err)
				}
				_, err = h.inv.AcceptNew(t.Context(), h.db, invitations.AcceptNew{Token: c.token, Name: "X"})
				if err == nil || err.Error() != invitations.ErrNoInvitation.Error() {
					t.Errorf("%s, by a new user: %v", c.what, err)
				}
			})
		}
		wantErr(t, "the one that fits", h.accept(t, token, bob), nil)
	})
}

func TestM9_Accept_EndsExactlyAtItsTime(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob, cleo := h.user(t, "bob@example.com"), h.user(t, "cleo@example.com")
		first, second := h.invite(t, "bob@example.com"), h.invite(t, "cleo@example.com")
		h.clock.Set(first.Invitation.ExpiresAt)
		if _, err := h.inv.Peek(t.Context(), h.db, first.Token); !errors.Is(err, invitations.ErrNoInvitation) {
			t.Errorf("peeked at its end: %v", err)
		}
		wantErr(t, "at its end", h.accept(t, first.Token, bob), invitations.ErrNoInvitation)
		if open := h.list(t, false); len(open) != 0 {
			t.Errorf("listed at its end: %+v", open)
		}
		h.clock.Advance(-time.Microsecond)
		if open := h.list(t, false); len(open) != 2 {
			t.Errorf("listed just before: %+v", open)
		}
		if p, err := h.inv.Peek(t.Context(), h.db, first.Token); err != nil || !p.ExpiresAt.Equal(first.Invitation.ExpiresAt) {
			t.Errorf("peeked just before: %+v, %v", p, err)
		}
		wantErr(t, "just before", h.accept(t, first.Token, bob), nil)
		// One that is over can be sent again.
		h.clock.Advance(time.Hour)
		again := h.resend(t, second.Invitation.ID)
		if !again.Invitation.ExpiresAt.Equal(h.clock.Now().Add(invitations.DefaultLifetime)) || again.Invitation.ID != second.Invitation.ID {
			t.Errorf("sent again %+v", again.Invitation)
		}
		wantErr(t, "sent again", h.accept(t, again.Token, cleo), nil)
	})
}

func TestM9_Resend_StopsEveryEarlierToken(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob, cleo := h.user(t, "bob@example.com"), h.user(t, "cleo@example.com")
		h.addMember(t, cleo, tenancy.RoleAdmin)
		first := h.invite(t, "bob@example.com")
		h.clock.Advance(time.Hour)
		second := h.resend(t, first.Invitation.ID)
		third, err := h.inv.Resend(t.Context(), h.db, invitations.Resend{
			Account: h.ada.Account.ID, Invitation: first.Invitation.ID, Actor: userActor(cleo), Reason: "it got lost",
		})
		want := first.Invitation
		want.Inviter, want.ExpiresAt = userActor(cleo), t0.Add(time.Hour+invitations.DefaultLifetime)
		if d := cmp.Diff(want, third.Invitation); d != "" || err != nil {
			t.Errorf("sent again (-want +got):\n%s%v", d, err)
		}
		if d := cmp.Diff([]invitations.Invitation{want}, h.list(t, true)); d != "" {
			t.Errorf("stored (-want +got):\n%s", d)
		}
		line := tenancytest.RequireAudit(t, h.db, h.ada.Account.ID, "invitations.resend")
		if line.Actor != userActor(cleo) || line.Target != string(want.ID) || line.Reason != "it got lost" {
			t.Errorf("audit %+v", line)
		}
		if f := tenancytest.RequireEvent[invitations.Resent](t, h.db, h.ada.Account.ID); f.Invitation != want.ID || !f.ExpiresAt.Equal(want.ExpiresAt) {
			t.Errorf("event %+v", f)
		}
		for _, token := range []invitations.Token{first.Token, second.Token} {
			wantErr(t, "an earlier token", h.accept(t, token, bob), invitations.ErrNoInvitation)
		}
		wantErr(t, "the last token", h.accept(t, third.Token, bob), nil)
		for what, r := range map[string]invitations.Resend{
			"a used one":      {Account: h.ada.Account.ID, Invitation: want.ID, Actor: operator},
			"an unknown one":  {Account: h.ada.Account.ID, Invitation: "inv_none", Actor: operator},
			"an odd one":      {Account: h.ada.Account.ID, Invitation: "inv_\x00", Actor: operator},
			"of an odd place": {Account: "a\xff", Invitation: want.ID, Actor: operator},
		} {
			h.unchanged(t, what, func() {
				h.in(t, func(ctx context.Context, tx bun.Tx) {
					_, err := h.inv.Resend(ctx, tx, r)
					wantErr(t, what, err, invitations.ErrNoInvitation)
				})
			})
		}
		_, err = h.inv.Resend(t.Context(), h.db, invitations.Resend{Account: h.ada.Account.ID, Invitation: want.ID})
		wantErr(t, "no actor", err, tenancy.ErrInvalid)
		// To somebody who has come in by another way.
		dan := h.invite(t, "dan@example.com")
		h.addMember(t, h.user(t, "dan@example.com"), tenancy.RoleViewer)
		_, err = h.inv.Resend(t.Context(), h.db, invitations.Resend{Account: h.ada.Account.ID, Invitation: dan.Invitation.ID, Actor: operator})
		wantErr(t, "a member", err, tenancy.ErrMemberThere)
	})
}

func TestM9_Revoke_StopsTheTokenAndIsWrittenOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob := h.user(t, "bob@example.com")
		issued := h.invite(t, "bob@example.com")
		r := invitations.Revoke{Account: h.ada.Account.ID, Invitation: issued.Invitation.ID, Actor: userActor(h.ada.User.ID), Reason: "a mistake"}
		h.clock.Advance(time.Minute)
		got, err := h.inv.Revoke(t.Context(), h.db, r)
		want := issued.Invitation
		want.RevokedAt = t0.Add(time.Minute)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("revoked (-want +got):\n%s%v", d, err)
		}
		line := tenancytest.RequireAudit(t, h.db, h.ada.Account.ID, "invitations.revoke")
		if line.Actor != r.Actor || line.Target != string(want.ID) || line.Reason != "a mistake" || !line.At.Equal(want.RevokedAt) {
			t.Errorf("audit %+v", line)
		}
		if f := tenancytest.RequireEvent[invitations.Revoked](t, h.db, h.ada.Account.ID); f.Invitation != want.ID {
			t.Errorf("event %+v", f)
		}
		h.unchanged(t, "the second time", func() {
			h.clock.Advance(time.Minute)
			got, err := h.inv.Revoke(t.Context(), h.db, r)
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Errorf("the second time (-want +got):\n%s%v", d, err)
			}
			wantErr(t, "the token", h.accept(t, issued.Token, bob), invitations.ErrNoInvitation)
		})
		used := h.invite(t, "bob@example.com") // the address is free again
		wantErr(t, "the new one", h.accept(t, used.Token, bob), nil)
		eve := tenancytest.Register(t, h.db, h.accounts, "eve@example.com")
		for what, r := range map[string]invitations.Revoke{
			"a used one":      {Account: h.ada.Account.ID, Invitation: used.Invitation.ID, Actor: operator},
			"another's":       {Account: eve.Account.ID, Invitation: want.ID, Actor: userActor(eve.User.ID)},
			"an unknown one":  {Account: h.ada.Account.ID, Invitation: "inv_none", Actor: operator},
			"an odd one":      {Account: h.ada.Account.ID, Invitation: "inv_\x00", Actor: operator},
			"of an odd place": {Account: "a\xff", Invitation: want.ID, Actor: operator},
		} {
			h.unchanged(t, what, func() {
				h.in(t, func(ctx context.Context, tx bun.Tx) {
					_, err := h.inv.Revoke(ctx, tx, r)
					wantErr(t, what, err, invitations.ErrNoInvitation)
				})
			})
		}
		_, err = h.inv.Resend(t.Context(), h.db, invitations.Resend{Account: eve.Account.ID, Invitation: want.ID, Actor: userActor(eve.User.ID)})
		wantErr(t, "sending another's", err, invitations.ErrNoInvitation)
		if list, err := h.inv.List(t.Context(), h.db, invitations.List{Account: eve.Account.ID, All: true}); len(list) != 0 || err != nil {
			t.Errorf("another account lists %+v, %v", list, err)
		}
	})
}

func TestM9_Accept_TheInviterMustStillHaveTheRight(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		cleo, bob := h.user(t, "cleo@example.com"), h.user(t, "bob@example.com")
		h.addMember(t, cleo, tenancy.RoleAdmin)
		invite := func(email string) invitations.Issued {
			v := h.invitation(email)
			v.Actor = userActor(cleo)
			issued, err := h.inv.Invite(t.Context(), h.db, v)
			if err != nil {
				t.Fatal(err)
			}
			return issued
		}
		toBob, toNew := invite("bob@example.com"), invite("new@example.com")
		_, err := h.accounts.SetRoles(t.Context(), h.db, tenancy.SetRoles{Account: h.ada.Account.ID, User: cleo, Roles: viewer, Actor: userActor(h.ada.User.ID)})
		if err != nil {
			t.Fatal(err)
		}
		check := func(what string) {
			h.unchanged(t, what, func() {
				wantErr(t, what, h.accept(t, toBob.Token, bob), invitations.ErrVoid)
				h.in(t, func(ctx context.Context, tx bun.Tx) {
					_, err := h.inv.Accept(ctx, tx, invitations.Accept{Token: toBob.Token, User: bob})
					wantErr(t, what+", joined", err, invitations.ErrVoid)
					_, err = h.inv.AcceptNew(ctx, tx, invitations.AcceptNew{Token: toNew.Token, Name: "New"})
					wantErr(t, what+", by a new user", err, invitations.ErrVoid)
				})
			})
		}
		check("after a demotion")
		h.removeMember(t, cleo)
		check("after a removal")
		// The owner sends it again and answers for it.
		wantErr(t, "sent by the owner", h.accept(t, h.resend(t, toBob.Invitation.ID).Token, bob), nil)
	})
}

func TestM9_Accept_WithoutASeatTheInvitationStaysOpen(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.move(t, tenancy.Change{Status: tenancy.StatusActive, Plan: "starter"}) // 2 users
		bob, cleo := h.user(t, "bob@example.com"), h.user(t, "cleo@example.com")
		toBob, toNew := h.invite(t, "bob@example.com"), h.invite(t, "new@example.com")
		h.addMember(t, cleo, tenancy.RoleViewer)
		h.unchanged(t, "no seat", func() {
			wantErr(t, "no seat", h.accept(t, toBob.Token, bob), tenancy.ErrLimit)
			h.in(t, func(ctx context.Context, tx bun.Tx) {
				_, err := h.inv.Accept(ctx, tx, invitations.Accept{Token: toBob.Token, User: bob})
				wantErr(t, "no seat, joined", err, tenancy.ErrLimit)
				_, err = h.inv.AcceptNew(ctx, tx, invitations.AcceptNew{Token: toNew.Token, Name: "New"})
				wantErr(t, "no seat, by a new user", err, tenancy.ErrLimit)
			})
		})
		h.removeMember(t, cleo)
		wantErr(t, "with a seat", h.accept(t, toBob.Token, bob), nil)
	})
}

func TestM9_Accept_AMemberUsesTheInvitationUp(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob := h.user(t, "bob@example.com")
		issued := h.invite(t, "bob@example.com")
		h.addMember(t, bob, tenancy.RoleViewer)
		wantErr(t, "a member", h.accept(t, issued.Token, bob), tenancy.ErrMemberThere)
		if d := cmp.Diff(map[tenancy.UserID][]tenancy.Role{bob: viewer}, h.members(t)); d != "" {
			t.Errorf("the member (-want +got):\n%s", d)
		}
		h.unchanged(t, "again", func() { wantErr(t, "again", h.accept(t, issued.Token, bob), tenancy.ErrMemberThere) })
		h.removeMember(t, bob)
		h.unchanged(t, "removed", func() { wantErr(t, "removed", h.accept(t, issued.Token, bob), invitations.ErrNoInvitation) })
	})
}

// Bob was invited and then added without the invitation: once he is put out, it is
// worth nothing, and only a new one brings him back.
func TestM9_Accept_WhoWasPutOutDoesNotComeBackByAnOlderInvitation(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob, bobs, eves := h.user(t, "bob@example.com"), h.invite(t, "Bob@Example.com"), h.invite(t, "eve@example.com")
		h.addMember(t, bob, tenancy.RoleViewer)
		remove := tenancy.RemoveMember{Account: h.ada.Account.ID, User: bob, Actor: userActor(h.ada.User.ID)}
		if err := h.accounts.RemoveMember(t.Context(), h.db, remove); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "the older one", h.accept(t, bobs.Token, bob), invitations.ErrNoInvitation)
		_, err := h.inv.Resend(t.Context(), h.db, invitations.Resend{Account: h.ada.Account.ID, Invitation: bobs.Invitation.ID, Actor: remove.Actor})
		wantErr(t, "sent again", err, invitations.ErrNoInvitation)
		wantErr(t, "a new one", h.accept(t, h.invite(t, "bob@example.com").Token, bob), nil)
		wantErr(t, "somebody else's", h.accept(t, eves.Token, h.user(t, "eve@example.com")), nil)
	})
}

func TestM9_Accept_ARetryIsToldThatItWorked(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob := h.user(t, "bob@example.com")
		issued := h.invite(t, "bob@example.com")
		wantErr(t, "at first", h.accept(t, issued.Token, bob), nil)
		h.clock.Advance(2 * invitations.DefaultLifetime)
		h.move(t, tenancy.Change{Status: tenancy.StatusActive})
		h.unchanged(t, "again", func() { wantErr(t, "again", h.accept(t, issued.Token, bob), tenancy.ErrMemberThere) })
		// An address is used by somebody else now: the token is not the new one's.
		_, err := h.db.NewRaw("UPDATE tenancy_users SET email_key = 'robert@example.com' WHERE user_id = ?", bob).Exec(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantErr(t, "another Bob", h.accept(t, issued.Token, h.user(t, "bob@example.com")), invitations.ErrNoInvitation)
	})
}

func TestM9_Accept_AtOnceMakesOneMember(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob := h.user(t, "bob@example.com")
		issued := h.invite(t, "bob@example.com")
		errs := dbtest.Together(8, func(int) error { return h.accept(t, issued.Token, bob) })
		if n := tally(t, errs, tenancy.ErrMemberThere); n != 1 {
			t.Errorf("%d of 8 succeeded", n)
		}
		accepted := 0
		for _, e := range tenancytest.Events(t, h.db, h.ada.Account.ID) {
			if e.Kind == "tenancy.member_added" || e.Kind == "invitations.accepted" {
				accepted++
			}
		}
		if accepted != 2 || len(h.members(t)) != 1 {
			t.Errorf("%d events, %d members", accepted, len(h.members(t)))
		}
	})
}

// Whatever comes first, the other one sees it.
func TestM9_Accept_AgainstRevokeAndResend(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for i := range 4 {
			email := fmt.Sprintf("user%d@example.com", i)
			user, issued := h.user(t, email), h.invite(t, email)
			actor := userActor(h.ada.User.ID)
			errs := dbtest.Together(3, func(k int) error {
				switch k {
				case 0:
					return h.accept(t, issued.Token, user)
				case 1:
					_, err := h.inv.Revoke(t.Context(), h.db, invitations.Revoke{Account: h.ada.Account.ID, Invitation: issued.Invitation.ID, Actor: actor})
					return err
				default:
					_, err := h.inv.Resend(t.Context(), h.db, invitations.Resend{Account: h.ada.Account.ID, Invitation: issued.Invitation.ID, Actor: actor})
					return err
				}
			})
			tally(t, errs, invitations.ErrNoInvitation, tenancy.ErrMemberThere)
			_, member := h.members(t)[user]
			if accepted, revoked := errs[0] == nil, errs[1] == nil; accepted == revoked || member != accepted {
				t.Errorf("accepted %v, revoked %v, member %v: %v", accepted, revoked, member, errs)
			}
		}
	})
}

func TestM9_Accept_TwoProcessesTakeTheLastSeatOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.move(t, tenancy.Change{Status: tenancy.StatusActive, Plan: "starter"}) // 2 users
		args := make([]string, 0, 10)
		for i := range 5 {
			email := fmt.Sprintf("user%d@example.com", i)
			args = append(args, string(h.invite(t, email).Token), string(h.user(t, email)))
		}
		made := strings.Join(dbtest.Processes(t, 2, "accept", dbtest.DSN(h.db), args...), "")
		if made != "." || len(h.members(t)) != 1 {
			t.Errorf("%q took the last seat, %d members", made, len(h.members(t)))
		}
		if open := h.list(t, false); len(open) != 4 {
			t.Errorf("%d are still open", len(open))
		}
	})
}

func TestM9_Accept_TwoProcessesMakeOneMember(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob, issued := h.user(t, "bob@example.com"), h.invite(t, "bob@example.com")
		args := []string{}
		for range 5 {
			args = append(args, string(issued.Token), string(bob))
		}
		made := strings.Join(dbtest.Processes(t, 2, "accept", dbtest.DSN(h.db), args...), "")
		if made != "." || len(h.members(t)) != 1 {
			t.Errorf("%q accepted, %d members", made, len(h.members(t)))
		}
	})
}

// acceptChild accepts five invitations at once: its arguments are tokens and users.
func acceptChild(ctx context.Context, db *bun.DB, args []string) error {
	inv := childInvitations()
	for _, err := range dbtest.Together(5, func(i int) error {
		_, err := inv.Accept(ctx, db, invitations.Accept{Token: invitations.Token(args[2*i]), User: tenancy.UserID(args[2*i+1])})
		return err
	}) {
		switch {
		case err == nil:
			fmt.Print(".")
		case !errors.Is(err, tenancy.ErrLimit) && !errors.Is(err, tenancy.ErrMemberThere):
			return err
		}
	}
	return nil
}

func childInvitations() *invitations.Invitations {
	now := func() time.Time { return t0 }
	return invitations.New(tenancy.New(tenancy.Config{Now: now}), invitations.Config{Now: now})
}

// A role on an object that is gone must not come to life on a later one of its id.
func TestM9_AnInvitationForgetsAnObjectThatIsGone(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		on := func(id string) tenancy.ObjectRole {
			return tenancy.ObjectRole{Object: tenancy.Object{Kind: "site", ID: id}, Role: tenancy.RoleEditor}
		}
		invite := func(email string, roles []tenancy.Role, objects ...tenancy.ObjectRole) invitations.Token {
			v := h.invitation(email)
			v.Roles, v.Objects = roles, objects
			issued, err := h.inv.Invite(t.Context(), h.db, v)
			if err != nil {
				t.Fatal(err)
			}
			return issued.Token
		}
		bob, eve, zoe := h.user(t, "bob@example.com"), h.user(t, "eve@example.com"), h.user(t, "zoe@example.com")
		alone, two, both := invite("bob@example.com", nil, on("1")), invite("eve@example.com", nil, on("1"), on("2")), invite("zoe@example.com", editor, on("1"))
		forget := tenancy.ForgetObject{Account: h.ada.Account.ID, Object: on("1").Object, Actor: userActor(h.ada.User.ID)}
		wantErr(t, "forgetting", h.accounts.ForgetObject(t.Context(), h.db, forget), nil)
		tenancytest.RequireEvent[tenancy.ObjectForgotten](t, h.db, h.ada.Account.ID)
		h.unchanged(t, "forgetting again", func() {
			wantErr(t, "forgetting again", h.accounts.ForgetObject(t.Context(), h.db, forget), nil)
		})
		wantErr(t, "to nothing else", h.accept(t, alone, bob), invitations.ErrNoInvitation)
		wantErr(t, "to another one", h.accept(t, two, eve), nil)
		wantErr(t, "to the account too", h.accept(t, both, zoe), nil)
		for user, want := range map[tenancy.UserID][]tenancy.ObjectRole{eve: {on("2")}, zoe: nil} {
			m, err := h.accounts.Member(t.Context(), h.db, h.ada.Account.ID, user)
			if d := cmp.Diff(want, m.Objects); d != "" || err != nil {
				t.Errorf("(-want +got):\n%s%v", d, err)
			}
		}
	})
}
