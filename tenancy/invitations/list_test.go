package invitations_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/invitations"
)

func TestList_GoesOnWhereThePageEnds(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		var want []invitations.ID
		for i := range 5 {
			want = append([]invitations.ID{h.invite(t, fmt.Sprintf("user%d@example.com", i)).Invitation.ID}, want...)
		}
		var got []invitations.ID
		page := invitations.List{Account: h.ada.Account.ID, Limit: 2}
		for range 3 {
			list, err := h.inv.List(t.Context(), h.db, page)
			if err != nil || len(list) > 2 {
				t.Fatal(len(list), err)
			}
			for _, i := range list {
				got = append(got, i.ID)
				page.Before = i.ID
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		h.in(t, func(ctx context.Context, tx bun.Tx) {
			for _, page := range []invitations.List{
				{Account: "acc_none"}, {}, {Account: "a\x00"}, {Account: h.ada.Account.ID, Before: "\xff"}, {Account: h.ada.Account.ID, Before: want[4]},
			} {
				if list, err := h.inv.List(ctx, tx, page); len(list) != 0 || list == nil || err != nil {
					t.Errorf("%+v: %v, %v", page, list, err)
				}
			}
		})
	})
}

func TestPurge_DeletesWhatIsOverAndNothingElse(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		accepted, revoked, expired := h.invite(t, "accepted@example.com"), h.invite(t, "revoked@example.com"), h.invite(t, "expired@example.com")
		wantErr(t, "accepting", h.accept(t, accepted.Token, h.user(t, "accepted@example.com")), nil)
		h.revoke(t, revoked.Invitation.ID)
		h.clock.Advance(invitations.DefaultLifetime)
		open := h.invite(t, "open@example.com")

		purge := func(before time.Time, want int, left ...invitations.ID) {
			t.Helper()
			n, err := h.inv.Purge(t.Context(), h.db, before)
			if n != want || err != nil {
				t.Errorf("%d deleted, want %d, %v", n, want, err)
			}
			var got []invitations.ID
			for _, i := range h.list(t, true) {
				got = append(got, i.ID)
			}
			if d := cmp.Diff(left, got); d != "" {
				t.Errorf("left (-want +got):\n%s", d)
			}
		}
		ids := []invitations.ID{open.Invitation.ID, expired.Invitation.ID, revoked.Invitation.ID, accepted.Invitation.ID}
		purge(t0, 0, ids...)
		purge(t0.Add(time.Microsecond), 2, ids[:2]...)
		purge(h.clock.Now(), 0, ids[:2]...)
		h.clock.Advance(time.Microsecond)
		purge(t0.AddDate(100, 0, 0), 1, ids[0]) // the open one whatever is asked
		var tokens int
		if err := h.db.NewRaw("SELECT COUNT(*) FROM tenancy_invitation_tokens").Scan(t.Context(), &tokens); tokens != 1 || err != nil {
			t.Errorf("%d tokens, %v", tokens, err)
		}
		wantErr(t, "the open one", h.accept(t, open.Token, h.user(t, "open@example.com")), nil)
		h.in(t, func(ctx context.Context, tx bun.Tx) {
			h.clock.Advance(time.Hour)
			if n, err := h.inv.Purge(ctx, tx, h.clock.Now()); n != 1 || err != nil {
				t.Errorf("joined: %d, %v", n, err)
			}
		})
	})
}

func TestM15_Migrations_TheInvitationsGoAndTheRestStays(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob := h.user(t, "bob@example.com")
		wantErr(t, "accepting", h.accept(t, h.invite(t, "bob@example.com").Token, bob), nil)
		h.invite(t, "cleo@example.com")
		// That an address is verified came with a later version and goes with it.
		if _, err := h.db.NewRaw("UPDATE tenancy_users SET email_verified_at = NULL").Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := h.dump(t)
		for _, step := range []func(context.Context, *bun.DB) error{
			func(ctx context.Context, db *bun.DB) error { return tenancy.Down(ctx, db, 2) },
			tenancy.Migrate,
		} {
			if err := step(t.Context(), h.db); err != nil {
				t.Fatal(err)
			}
		}
		delete(before, "tenancy_invitations")
		delete(before, "tenancy_invitation_tokens")
		if d := cmp.Diff(before, h.dump(t)); d != "" {
			t.Errorf("there and back (-before +after):\n%s", d)
		}
		// The program before a column is added goes on while it is deployed.
		for _, table := range []string{"tenancy_invitations", "tenancy_invitation_tokens"} {
			if _, err := h.db.NewRaw("ALTER TABLE ? ADD COLUMN later TEXT", bun.Ident(table)).Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		again := h.resend(t, h.invite(t, "cleo@example.com").Invitation.ID)
		wantErr(t, "on a newer schema", h.accept(t, again.Token, h.user(t, "cleo@example.com")), nil)
	})
}

// The database keeps one tenant's token from another's invitation, and a second open
// invitation out, whatever a program does.
func TestSchema_KeepsTenantsApart(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		h := newHouse(t, db, invitations.Config{})
		i := h.invite(t, "bob@example.com").Invitation
		for what, sql := range map[string]string{
			"a token of another account": `INSERT INTO tenancy_invitation_tokens (token_hash, account_id, invitation_id) SELECT 'x', 'acc_other', invitation_id FROM tenancy_invitations`,
			"a second open one": `INSERT INTO tenancy_invitations (account_id, invitation_id, email, email_key, roles, objects, inviter_kind, inviter_id, created_at, expires_at)
				SELECT account_id, 'inv_2', email, email_key, roles, objects, inviter_kind, inviter_id, created_at, expires_at FROM tenancy_invitations`,
			"one of no account": `INSERT INTO tenancy_invitations (account_id, invitation_id, email, email_key, roles, objects, inviter_kind, inviter_id, created_at, expires_at)
				SELECT 'acc_none', 'inv_2', email, email_key, roles, objects, inviter_kind, inviter_id, created_at, expires_at FROM tenancy_invitations`,
		} {
			if _, err := db.NewRaw(sql).Exec(t.Context()); err == nil {
				t.Errorf("%s was stored beside %s", what, i.ID)
			}
		}
	}, tenancy.Migrate)
}
