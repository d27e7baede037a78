package invitations_test

import (
	"context"
	"fmt"
	"log/slog"
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

func TestM9_Invite_IsAcceptedByTheOneInvitedWithItsRoles(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.invitation(" Bob@Example.com ")
		v.Objects = []tenancy.ObjectRole{{Object: tenancy.Object{Kind: "site", ID: "7"}, Role: tenancy.RoleViewer}}
		v.Reason = "new colleague"
		issued, err := h.inv.Invite(t.Context(), h.db, v)
		want := invitations.Invitation{
			Account: h.ada.Account.ID, ID: issued.Invitation.ID, Email: "Bob@Example.com", Roles: editor, Objects: v.Objects, Inviter: v.Actor,
			CreatedAt: t0, ExpiresAt: t0.Add(7 * 24 * time.Hour),
		}
		if d := cmp.Diff(want, issued.Invitation); d != "" || err != nil {
			t.Fatalf("invited (-want +got):\n%s%v", d, err)
		}
		if d := cmp.Diff([]invitations.Invitation{want}, h.list(t, false)); d != "" {
			t.Errorf("the open ones (-want +got):\n%s", d)
		}
		if f := tenancytest.RequireEvent[invitations.Invited](t, h.db, h.ada.Account.ID); f.Invitation != want.ID || !f.ExpiresAt.Equal(want.ExpiresAt) {
			t.Errorf("event %+v", f)
		}
		line := tenancytest.RequireAudit(t, h.db, h.ada.Account.ID, "invitations.invite")
		if line.Actor != v.Actor || line.Target != string(want.ID) || line.Reason != "new colleague" || !line.At.Equal(t0) {
			t.Errorf("audit %+v", line)
		}

		bob := h.user(t, "bob@example.COM")
		h.clock.Advance(time.Hour)
		m, err := h.inv.Accept(t.Context(), h.db, invitations.Accept{Token: issued.Token, User: bob})
		wantMember := tenancy.Member{Account: h.ada.Account.ID, User: bob, Roles: editor, Objects: v.Objects, CreatedAt: t0.Add(time.Hour)}
		if d := cmp.Diff(wantMember, m); d != "" || err != nil {
			t.Errorf("accepted (-want +got):\n%s%v", d, err)
		}
		if m, err := h.accounts.Member(t.Context(), h.db, h.ada.Account.ID, bob); cmp.Diff(wantMember, m) != "" || err != nil {
			t.Errorf("stored %+v, %v", m, err)
		}
		if f := tenancytest.RequireEvent[invitations.Accepted](t, h.db, h.ada.Account.ID); f.Invitation != want.ID || f.User != bob {
			t.Errorf("event %+v", f)
		}
		line = tenancytest.RequireAudit(t, h.db, h.ada.Account.ID, "invitations.accept")
		if line.Actor != userActor(bob) || line.Target != string(want.ID) || !line.At.Equal(t0.Add(time.Hour)) {
			t.Errorf("audit %+v", line)
		}
		line = tenancytest.RequireAudit(t, h.db, h.ada.Account.ID, "tenancy.add_member")
		if line.Actor != v.Actor || line.Target != string(bob) || line.Reason != "accepted "+string(want.ID) {
			t.Errorf("audit %+v", line)
		}
		want.AcceptedAt, want.AcceptedBy = t0.Add(time.Hour), bob
		if d := cmp.Diff([]invitations.Invitation{want}, h.list(t, true)); d != "" || len(h.list(t, false)) != 0 {
			t.Errorf("afterwards (-want +got):\n%s", d)
		}
	})
}

func TestM9_Invite_Refusals(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob := h.user(t, "bob@example.com")
		h.addMember(t, bob, tenancy.RoleEditor)
		h.invite(t, "open@example.com")
		eve := tenancytest.Register(t, h.db, h.accounts, "eve@example.com")
		site := tenancy.ObjectRole{Object: tenancy.Object{Kind: "site", ID: "1"}, Role: tenancy.RoleViewer}
		for _, c := range []struct {
			what   string
			change func(v *invitations.Invite)
			want   error
		}{
			{"no address", func(v *invitations.Invite) { v.Email = "" }, tenancy.ErrInvalid},
			{"what is no address", func(v *invitations.Invite) { v.Email = "bob" }, tenancy.ErrInvalid},
			{"an address with a NUL", func(v *invitations.Invite) { v.Email = "a\x00@example.com" }, tenancy.ErrInvalid},
			{"no role", func(v *invitations.Invite) { v.Roles = nil }, tenancy.ErrInvalid},
			{"an unknown role", func(v *invitations.Invite) { v.Roles = []tenancy.Role{"root"} }, tenancy.ErrInvalid},
			{"a role twice", func(v *invitations.Invite) { v.Roles = []tenancy.Role{"viewer", "viewer"} }, tenancy.ErrInvalid},
			{"the owner's role", func(v *invitations.Invite) { v.Roles = []tenancy.Role{tenancy.RoleOwner} }, tenancy.ErrInvalid},
			{"an object without an id", func(v *invitations.Invite) { o := site; o.ID = ""; v.Objects = []tenancy.ObjectRole{o} }, tenancy.ErrInvalid},
			{"an unknown role on an object", func(v *invitations.Invite) { o := site; o.Role = "x"; v.Objects = []tenancy.ObjectRole{o} }, tenancy.ErrInvalid},
			{"a role on an object twice", func(v *invitations.Invite) { v.Objects = []tenancy.ObjectRole{site, site} }, tenancy.ErrInvalid},
			{"no actor", func(v *invitations.Invite) { v.Actor = tenancy.Actor{} }, tenancy.ErrInvalid},
			{"a reason that is no text", func(v *invitations.Invite) { v.Reason = "\xff" }, tenancy.ErrInvalid},
			{"no account", func(v *invitations.Invite) { v.Account = "acc_none" }, tenancy.ErrNoAccount},
			{"what is no account's id", func(v *invitations.Invite) { v.Account = "a\x00" }, tenancy.ErrNoAccount},
			{"another's account", func(v *invitations.Invite) { v.Account = eve.Account.ID }, tenancy.ErrForbidden},
			{"by another account's owner", func(v *invitations.Invite) { v.Actor = userActor(eve.User.ID) }, tenancy.ErrForbidden},
			{"by a member who may not", func(v *invitations.Invite) { v.Actor = userActor(bob) }, tenancy.ErrForbidden},
			{"by a key", func(v *invitations.Invite) { v.Actor = tenancy.Actor{Kind: tenancy.ActorKey, ID: "key_1"} }, tenancy.ErrForbidden},
			{"a member", func(v *invitations.Invite) { v.Email = "BOB@example.com" }, tenancy.ErrMemberThere},
			{"the owner", func(v *invitations.Invite) { v.Email = "ada@example.com" }, tenancy.ErrMemberThere},
			{"an address with an open one", func(v *invitations.Invite) { v.Email = "Open@Example.com" }, invitations.ErrInvited},
		} {
			v := h.invitation("new@example.com")
			c.change(&v)
			h.unchanged(t, c.what, func() {
				_, err := h.inv.Invite(t.Context(), h.db, v)
				wantErr(t, c.what, err, c.want)
				h.in(t, func(ctx context.Context, tx bun.Tx) { // which goes on and commits
					_, err := h.inv.Invite(ctx, tx, v)
					wantErr(t, c.what+", joined", err, c.want)
				})
			})
		}
	})
}

func TestM9_Invite_NobodyGrantsMoreThanItHolds(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		cleo, dan := h.user(t, "cleo@example.com"), h.user(t, "dan@example.com")
		h.addMember(t, cleo, tenancy.RoleAdmin)
		h.addMember(t, dan, tenancy.RoleEditor)
		for i, c := range []struct {
			actor tenancy.UserID
			role  tenancy.Role
			want  error
		}{
			{h.ada.User.ID, tenancy.RoleAdmin, nil},
			{cleo, tenancy.RoleAdmin, nil},
			{cleo, tenancy.RoleEditor, nil},
			{cleo, tenancy.RoleOwner, tenancy.ErrInvalid},
			{dan, tenancy.RoleViewer, tenancy.ErrForbidden},
		} {
			v := h.invitation(fmt.Sprintf("user%d@example.com", i))
			v.Roles, v.Actor = []tenancy.Role{c.role}, userActor(c.actor)
			_, err := h.inv.Invite(t.Context(), h.db, v)
			wantErr(t, fmt.Sprintf("%d", i), err, c.want)
		}
		// A role of the host's that holds what the admin does not.
		accounts := tenancy.New(tenancy.Config{Now: h.clock.Now, Roles: map[tenancy.Role][]tenancy.Permission{"auditor": {"books.read"}}})
		inv := invitations.New(accounts, invitations.Config{Now: h.clock.Now})
		v := h.invitation("auditor@example.com")
		v.Roles, v.Actor = []tenancy.Role{"auditor"}, userActor(cleo)
		_, err := inv.Invite(t.Context(), h.db, v)
		wantErr(t, "the admin", err, tenancy.ErrForbidden)
		v.Roles, v.Objects = nil, []tenancy.ObjectRole{{Object: tenancy.Object{Kind: "site", ID: "1"}, Role: "auditor"}}
		_, err = inv.Invite(t.Context(), h.db, v)
		wantErr(t, "the admin, on a site", err, tenancy.ErrForbidden)
		v.Actor = userActor(h.ada.User.ID)
		issued, err := inv.Invite(t.Context(), h.db, v)
		wantErr(t, "the owner", err, nil)

		// Nor may the admin send or take back what is above it, nor the editor anything.
		for _, who := range []tenancy.UserID{cleo, dan} {
			h.unchanged(t, "what is above", func() {
				_, err = inv.Resend(t.Context(), h.db, invitations.Resend{Account: h.ada.Account.ID, Invitation: issued.Invitation.ID, Actor: userActor(who)})
				wantErr(t, "sending again", err, tenancy.ErrForbidden)
				_, err = inv.Revoke(t.Context(), h.db, invitations.Revoke{Account: h.ada.Account.ID, Invitation: issued.Invitation.ID, Actor: userActor(who)})
				wantErr(t, "revoking", err, tenancy.ErrForbidden)
			})
		}
		// A role that is known no more can be given by nobody, and taken back by the admin.
		_, err = h.inv.Resend(t.Context(), h.db, invitations.Resend{Account: h.ada.Account.ID, Invitation: issued.Invitation.ID, Actor: userActor(cleo)})
		wantErr(t, "a role that is gone", err, tenancy.ErrInvalid)
		wantErr(t, "a role that is gone", h.accept(t, issued.Token, h.user(t, "auditor@example.com")), invitations.ErrVoid)
		_, err = h.inv.Revoke(t.Context(), h.db, invitations.Revoke{Account: h.ada.Account.ID, Invitation: issued.Invitation.ID, Actor: userActor(cleo)})
		wantErr(t, "revoking a role that is gone", err, nil)
	})
}

func TestM9_Invite_AnAccountThatMayNotWriteTakesNobodyIn(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		open, late := h.invite(t, "bob@example.com"), h.invite(t, "cleo@example.com")
		bob := h.user(t, "bob@example.com")
		for _, c := range []struct {
			move tenancy.Change
			want error
		}{
			{tenancy.Change{Status: tenancy.StatusPastDue}, tenancy.ErrPastDue},
			{tenancy.Change{Status: tenancy.StatusSuspended}, tenancy.ErrSuspended},
		} {
			h.move(t, c.move)
			what := string(c.move.Status)
			h.unchanged(t, what, func() {
				v := h.invitation("new@example.com")
				v.Actor = operator // not even an operator
				_, err := h.inv.Invite(t.Context(), h.db, v)
				wantErr(t, what, err, c.want)
				_, err = h.inv.Resend(t.Context(), h.db, invitations.Resend{Account: h.ada.Account.ID, Invitation: open.Invitation.ID, Actor: operator})
				wantErr(t, what, err, c.want)
				wantErr(t, what, h.accept(t, open.Token, bob), c.want)
				_, err = h.inv.AcceptNew(t.Context(), h.db, invitations.AcceptNew{Token: late.Token, Name: "Cleo"})
				wantErr(t, what, err, c.want)
			})
			if _, err := h.inv.Peek(t.Context(), h.db, open.Token); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		h.revoke(t, late.Invitation.ID) // which always works
		h.move(t, tenancy.Change{Status: tenancy.StatusClosed})
		h.unchanged(t, "closed", func() {
			wantErr(t, "closed", h.accept(t, open.Token, bob), invitations.ErrNoInvitation)
			_, err := h.inv.Peek(t.Context(), h.db, open.Token)
			wantErr(t, "closed", err, invitations.ErrNoInvitation)
		})
	})
}

func TestM9_Invite_OneOpenInvitationForAnAddress(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		errs := dbtest.Together(8, func(i int) error {
			_, err := h.inv.Invite(t.Context(), h.db, h.invitation([]string{"bob@example.com", "BOB@Example.com"}[i%2]))
			return err
		})
		if n := tally(t, errs, invitations.ErrInvited); n != 1 || len(h.list(t, true)) != 1 {
			t.Errorf("%d made one, %d are there", n, len(h.list(t, true)))
		}
		// Another account invites whom it wants.
		eve := tenancytest.Register(t, h.db, h.accounts, "eve@example.com")
		v := h.invitation("bob@example.com")
		v.Account, v.Actor = eve.Account.ID, userActor(eve.User.ID)
		_, err := h.inv.Invite(t.Context(), h.db, v)
		wantErr(t, "another account", err, nil)
		// One that is over is replaced, from its end on and not before.
		h.clock.Set(t0.Add(invitations.DefaultLifetime - time.Microsecond))
		_, err = h.inv.Invite(t.Context(), h.db, h.invitation("bob@example.com"))
		wantErr(t, "just before the end", err, invitations.ErrInvited)
		h.clock.Advance(time.Microsecond)
		h.invite(t, "bob@example.com")
		if open, all := h.list(t, false), h.list(t, true); len(open) != 1 || len(all) != 2 || !all[1].RevokedAt.Equal(h.clock.Now()) {
			t.Errorf("open %+v, all %+v", open, all)
		}
	})
}

func TestM9_Invite_TwoProcessesMakeOneInvitation(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		outs := dbtest.Processes(t, 2, "invite", dbtest.DSN(h.db), string(h.ada.Account.ID), string(h.ada.User.ID))
		made := 0
		for _, out := range outs {
			made += len(out)
		}
		if made != 1 {
			t.Errorf("%d invitations were made", made)
		}
	})
}

// inviteChild prints a dot for each invitation that it makes.
func inviteChild(ctx context.Context, db *bun.DB, args []string) error {
	accounts := tenancy.New(tenancy.Config{Now: func() time.Time { return t0 }})
	inv := invitations.New(accounts, invitations.Config{Now: func() time.Time { return t0 }})
	return each5(invitations.ErrInvited, func(int) error {
		_, err := inv.Invite(ctx, db, invitations.Invite{
			Account: tenancy.AccountID(args[0]), Actor: userActor(tenancy.UserID(args[1])), Email: "bob@example.com", Roles: viewer,
		})
		return err
	})
}

func TestM9_Invite_OpenOnesAreBounded(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	h := newHouse(t, db, invitations.Config{MostOpen: 2, Lifetime: time.Hour})
	first := h.invite(t, "a@example.com")
	h.clock.Advance(time.Minute)
	second := h.invite(t, "b@example.com")
	_, err := h.inv.Invite(t.Context(), db, h.invitation("c@example.com"))
	wantErr(t, "one too many", err, invitations.ErrTooMany)
	h.resend(t, second.Invitation.ID) // it is one of the two
	h.clock.Set(t0.Add(time.Hour))
	h.invite(t, "c@example.com") // the first is over
	_, err = h.inv.Resend(t.Context(), db, invitations.Resend{Account: h.ada.Account.ID, Invitation: first.Invitation.ID, Actor: operator})
	wantErr(t, "opening a third", err, invitations.ErrTooMany)
	h.revoke(t, second.Invitation.ID)
	h.resend(t, first.Invitation.ID)
}

func TestM9_Invite_ThePlacesLeftAreTakenOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		h := newHouse(t, db, invitations.Config{MostOpen: 3})
		errs := dbtest.Together(8, func(i int) error {
			_, err := h.inv.Invite(t.Context(), db, h.invitation(fmt.Sprintf("user%d@example.com", i)))
			return err
		})
		if n := tally(t, errs, invitations.ErrTooMany); n != 3 || len(h.list(t, true)) != 3 {
			t.Errorf("%d were made, %d are there", n, len(h.list(t, true)))
		}
	}, tenancy.Migrate)
}

// Who waits for the account while a right is taken away has lost it.
func TestM9_RightsAreThoseAfterTheWait(t *testing.T) {
	h := newHouse(t, dbtest.Postgres(t, tenancy.Migrate), invitations.Config{})
	cleo, bob := h.user(t, "cleo@example.com"), h.user(t, "bob@example.com")
	h.addMember(t, cleo, tenancy.RoleAdmin)
	v := h.invitation("bob@example.com")
	v.Actor = userActor(cleo)
	issued, err := h.inv.Invite(t.Context(), h.db, v)
	if err != nil {
		t.Fatal(err)
	}
	late := v
	late.Email = "late@example.com"
	for what, c := range map[string]struct {
		do   func() error
		want error
	}{
		"inviting": {func() error { _, err := h.inv.Invite(t.Context(), h.db, late); return err }, tenancy.ErrForbidden},
		"sending again": {func() error {
			_, err := h.inv.Resend(t.Context(), h.db, invitations.Resend{Account: v.Account, Invitation: issued.Invitation.ID, Actor: v.Actor})
			return err
		}, tenancy.ErrForbidden},
		"revoking": {func() error {
			_, err := h.inv.Revoke(t.Context(), h.db, invitations.Revoke{Account: v.Account, Invitation: issued.Invitation.ID, Actor: v.Actor})
			return err
		}, tenancy.ErrForbidden},
		"accepting": {func() error { return h.accept(t, issued.Token, bob) }, invitations.ErrVoid},
		"accepting as a new user": {func() error {
			_, err := h.inv.AcceptNew(t.Context(), h.db, invitations.AcceptNew{Token: issued.Token, Name: "Bob"})
			return err
		}, invitations.ErrVoid},
	} {
		done := make(chan error, 1)
		err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			_, err := h.accounts.SetRoles(ctx, tx, tenancy.SetRoles{Account: v.Account, User: cleo, Roles: viewer, Actor: userActor(h.ada.User.ID)})
			if err != nil {
				return err
			}
			go func() { done <- c.do() }()
			for waiting := 0; waiting == 0 && len(done) == 0; {
				err := h.db.NewRaw("SELECT COUNT(*) FROM pg_locks WHERE NOT granted").Scan(ctx, &waiting)
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		wantErr(t, what, <-done, c.want)
		_, err = h.accounts.SetRoles(t.Context(), h.db, tenancy.SetRoles{Account: v.Account, User: cleo, Roles: []tenancy.Role{tenancy.RoleAdmin}, Actor: userActor(h.ada.User.ID)})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestInvite_ConfigIsBounded(t *testing.T) {
	for give, want := range map[time.Duration]time.Duration{
		0: invitations.DefaultLifetime, -1: invitations.DefaultLifetime, time.Minute: time.Minute, 1 << 62: invitations.MaxLifetime,
	} {
		h := newHouse(t, dbtest.SQLite(t, tenancy.Migrate), invitations.Config{Lifetime: give, MostOpen: -1})
		if got := h.invite(t, "bob@example.com").Invitation.ExpiresAt; !got.Equal(t0.Add(want)) {
			t.Errorf("%d: expires %s", give, got)
		}
	}
}

func TestM9_NeitherTokenNorAddressLeaks(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		var logged strings.Builder
		old := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(&logged, nil)))
		defer slog.SetDefault(old)

		issued := h.invite(t, "bob@example.com")
		token := string(issued.Token)
		again := string(h.resend(t, issued.Invitation.ID).Token)
		made, err := h.inv.AcceptNew(t.Context(), h.db, invitations.AcceptNew{Token: invitations.Token(again), Name: "Bob"})
		if err != nil {
			t.Fatal(err)
		}
		h.revoke(t, h.invite(t, "cleo@example.com").Invitation.ID)

		dump := h.dump(t)
		for table, rows := range dump {
			text := strings.Join(rows, "\n")
			for _, secret := range []string{token, again} {
				if strings.Contains(text, secret) {
					t.Errorf("%s holds a token", table)
				}
			}
			if table != "tenancy_users" && table != "tenancy_invitations" && table != "tenancy_accounts" && strings.Contains(text, "example.com") {
				t.Errorf("%s holds an address:\n%s", table, text)
			}
		}
		slog.Info("all of it", "issued", issued, "token", issued.Token, "accept", invitations.Accept{Token: issued.Token}, "made", made.User.ID)
		said := logged.String() + fmt.Sprintf("%v %+v %#v %s %q %x", issued, issued, issued, issued, issued, issued) +
			fmt.Sprintf("%v %+v %#v", invitations.Accept{Token: issued.Token}, invitations.AcceptNew{Token: issued.Token}, invitations.Message{Token: issued.Token})
		if strings.Contains(said, token) || strings.Contains(strings.Split(said, "made=")[0], "bob@example.com") {
			t.Errorf("said %s", said)
		}
	})
}
