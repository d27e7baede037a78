package invitations_test

import (
	"testing"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/invitations"
)

// The token came by mail to the very address: whoever shows it reads that mailbox.
func TestM9_AcceptingVerifiesTheAddress(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bob, cleo := h.user(t, "bob@example.com"), h.user(t, "cleo@example.com")
		toBob, toCleo := h.invite(t, "Bob@Example.com"), h.invite(t, "cleo@example.com")
		wantErr(t, "another's token", h.accept(t, toBob.Token, cleo), invitations.ErrNoInvitation)
		for _, user := range []tenancy.UserID{bob, cleo} {
			wantErr(t, "before", h.accounts.RequireVerified(t.Context(), h.db, user), tenancy.ErrUnverified)
		}
		wantErr(t, "accepted", h.accept(t, toBob.Token, bob), nil)
		wantErr(t, "bob", h.accounts.RequireVerified(t.Context(), h.db, bob), nil)
		h.addMember(t, cleo, tenancy.RoleViewer)
		wantErr(t, "who is there already", h.accept(t, toCleo.Token, cleo), tenancy.ErrMemberThere)
		wantErr(t, "cleo", h.accounts.RequireVerified(t.Context(), h.db, cleo), nil)
		wantErr(t, "who only invited", h.accounts.RequireVerified(t.Context(), h.db, h.ada.User.ID), tenancy.ErrUnverified)
	})
}
