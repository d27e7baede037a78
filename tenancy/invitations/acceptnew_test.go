package invitations_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/invitations"
)

func TestM9_AcceptNew_MakesTheUserAndTheMemberTogether(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued := h.invite(t, "Bob@example.com")
		var then tenancy.Registered
		got, err := h.inv.AcceptNew(t.Context(), h.db, invitations.AcceptNew{
			Token: issued.Token, Name: "Bob", Then: func(_ context.Context, _ bun.IDB, r tenancy.Registered) error { then = r; return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		user := tenancy.User{ID: got.User.ID, Email: "Bob@example.com", Name: "Bob", CreatedAt: t0, VerifiedAt: t0}
		account := h.ada.Account
		want := invitations.Joined{
			Account: account, User: user,
			Member: tenancy.Member{Account: account.ID, User: user.ID, Roles: editor, Objects: got.Member.Objects, CreatedAt: t0},
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("joined (-want +got):\n%s", d)
		}
		if d := cmp.Diff(tenancy.Registered{Account: account, User: user, Plan: h.ada.Plan}, then); d != "" {
			t.Errorf("then (-want +got):\n%s", d)
		}
		if stored, err := h.accounts.UserByEmail(t.Context(), h.db, "bob@example.com"); stored != user || err != nil {
			t.Errorf("stored %+v, %v", stored, err)
		}
		h.unchanged(t, "again", func() {
			_, err := h.inv.AcceptNew(t.Context(), h.db, invitations.AcceptNew{Token: issued.Token, Name: "Bob"})
			wantErr(t, "again", err, invitations.ErrNoInvitation)
			wantErr(t, "again, as a user", h.accept(t, issued.Token, user.ID), tenancy.ErrMemberThere)
		})
	})
}

func TestM9_AcceptNew_Refusals(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob := h.user(t, "bob@example.com")
		toBob, toNew := h.invite(t, "bob@example.com"), h.invite(t, "new@example.com")
		boom := errors.New("boom")
		h.unchanged(t, "the refusals", func() {
			h.in(t, func(ctx context.Context, tx bun.Tx) {
				_, err := h.inv.AcceptNew(ctx, tx, invitations.AcceptNew{Token: toBob.Token, Name: "Bob"})
				wantErr(t, "a user's address", err, tenancy.ErrEmailTaken)
				_, err = h.inv.AcceptNew(ctx, tx, invitations.AcceptNew{Token: toNew.Token, Name: " "})
				wantErr(t, "no name", err, tenancy.ErrInvalid)
			})
			_, err := h.inv.AcceptNew(t.Context(), h.db, invitations.AcceptNew{
				Token: toNew.Token, Name: "New", Then: func(context.Context, bun.IDB, tenancy.Registered) error { return boom },
			})
			wantErr(t, "a hook that fails", err, boom)
		})
		wantErr(t, "the user signs in instead", h.accept(t, toBob.Token, bob), nil)
		if _, err := h.inv.AcceptNew(t.Context(), h.db, invitations.AcceptNew{Token: toNew.Token, Name: "New"}); err != nil {
			t.Error(err)
		}
	})
}

// A host that takes no sign-ups takes those it invited.
func TestM9_AcceptNew_IsNoRegistration(t *testing.T) {
	h := newHouse(t, dbtest.SQLite(t, tenancy.Migrate), invitations.Config{})
	issued := h.invite(t, "new@example.com")
	hooked := false
	accounts := tenancy.New(tenancy.Config{
		Now:            h.clock.Now,
		BeforeRegister: func(context.Context, tenancy.Register) error { return tenancy.ErrRefused },
		OnRegister:     []tenancy.Hook{func(context.Context, bun.IDB, tenancy.Registered) error { hooked = true; return nil }},
	})
	inv := invitations.New(accounts, invitations.Config{Now: h.clock.Now})
	if _, err := inv.AcceptNew(t.Context(), h.db, invitations.AcceptNew{Token: issued.Token, Name: "New"}); err != nil || hooked {
		t.Errorf("%v, hooked %v", err, hooked)
	}
}

func TestM9_AcceptNew_TwoProcessesMakeOneUser(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued := h.invite(t, "new@example.com")
		made := strings.Join(dbtest.Processes(t, 2, "acceptNew", dbtest.DSN(h.db), string(issued.Token)), "")
		if made != "." || len(h.members(t)) != 1 {
			t.Errorf("%q accepted, %d members", made, len(h.members(t)))
		}
	})
}

func acceptNewChild(ctx context.Context, db *bun.DB, args []string) error {
	inv := childInvitations()
	return each5(invitations.ErrNoInvitation, func(int) error {
		_, err := inv.AcceptNew(ctx, db, invitations.AcceptNew{Token: invitations.Token(args[0]), Name: "New"})
		return err
	})
}
