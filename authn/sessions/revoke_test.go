package sessions_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/sessions"
	"github.com/quitrent/quitrent/tenancy"
)

func TestRevoke_EndsOneAtOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		one, other := h.start(t, h.ada.User.ID), h.start(t, h.ada.User.ID)
		h.clock.Advance(time.Second)
		r := sessions.Revoke{User: h.ada.User.ID, Session: one.Session.ID, Actor: operator, Reason: "a lost telephone"}
		got, err := h.sessions.Revoke(t.Context(), h.db, r)
		if err != nil || got.ID != one.Session.ID || !got.RevokedAt.Equal(h.clock.Now()) {
			t.Errorf("%+v, %v", got, err)
		}
		h.opensNothing(t, "the revoked one", one.Token)
		h.opens(t, "the other", other.Token, h.ada.Account.ID)
		if d := cmp.Diff([]sessions.ID{other.Session.ID}, h.list(t, h.ada.User.ID)); d != "" {
			t.Errorf("listed:\n%s", d)
		}
		if h.epoch(t, h.ada.User.ID) != 1 {
			t.Error("nobody learns of it")
		}
		line := h.audits(t)[0]
		if line.Account != "" || line.Action != "sessions.revoke" || line.Target != string(one.Session.ID) || line.Actor != operator || line.Reason != r.Reason {
			t.Errorf("audit %+v", line)
		}
		h.unchanged(t, "a second time", func() {
			h.clock.Advance(time.Second)
			again, err := h.sessions.Revoke(t.Context(), h.db, r)
			if err != nil || !again.RevokedAt.Equal(got.RevokedAt) {
				t.Errorf("%+v, %v", again, err)
			}
		})
		h.unchanged(t, "a refusal", func() {
			h.in(t, func(ctx context.Context, tx bun.Tx) {
				for what, c := range map[string]struct {
					r    sessions.Revoke
					want error
				}{
					"somebody else's":   {sessions.Revoke{User: h.bob.User.ID, Session: other.Session.ID, Actor: operator}, sessions.ErrNoSession},
					"one that is none":  {sessions.Revoke{User: h.ada.User.ID, Session: "ses_none", Actor: operator}, sessions.ErrNoSession},
					"no name":           {sessions.Revoke{User: h.ada.User.ID, Actor: operator}, sessions.ErrNoSession},
					"an odd byte":       {sessions.Revoke{User: h.ada.User.ID, Session: "\x00\xff", Actor: operator}, sessions.ErrNoSession},
					"an odd user":       {sessions.Revoke{User: "\x00\xff", Session: other.Session.ID, Actor: operator}, sessions.ErrNoSession},
					"without an actor":  {sessions.Revoke{User: h.ada.User.ID, Session: other.Session.ID}, tenancy.ErrInvalid},
					"a reason that no.": {sessions.Revoke{User: h.ada.User.ID, Session: other.Session.ID, Actor: operator, Reason: "\x00"}, tenancy.ErrInvalid},
				} {
					_, err := h.sessions.Revoke(ctx, tx, c.r)
					wantErr(t, what, err, c.want)
				}
			})
		})
	})
}

func TestRevoke_OthersAndAll(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.start(t, h.ada.User.ID) // idle by then: it is not counted, and revoked all the same
		h.clock.Advance(24 * time.Hour)
		var mine []sessions.Issued
		for range 4 {
			mine = append(mine, h.start(t, h.ada.User.ID))
		}
		bobs := h.start(t, h.bob.User.ID)
		n, err := h.sessions.RevokeOthers(t.Context(), h.db, sessions.RevokeOthers{User: h.ada.User.ID, Keep: mine[2].Session.ID, Actor: userOf(h.ada)})
		if err != nil || n != 3 {
			t.Errorf("revoked %d, %v", n, err)
		}
		for i, s := range mine {
			if i != 2 {
				h.opensNothing(t, "another", s.Token)
			}
		}
		h.opens(t, "the one to keep", mine[2].Token, h.ada.Account.ID)
		line := h.audits(t)[0]
		if line.Action != "sessions.revoke_others" || line.Target != string(h.ada.User.ID) || len(line.Data) < 4*30 {
			t.Errorf("audit %+v %s", line, line.Data)
		}
		if h.epoch(t, h.ada.User.ID) != 1 {
			t.Error("nobody learns of it")
		}
		h.unchanged(t, "nothing left to revoke", func() {
			n, err := h.sessions.RevokeOthers(t.Context(), h.db, sessions.RevokeOthers{User: h.ada.User.ID, Keep: mine[2].Session.ID, Actor: userOf(h.ada)})
			if err != nil || n != 0 {
				t.Errorf("revoked %d, %v", n, err)
			}
			n, err = h.sessions.RevokeAll(t.Context(), h.db, sessions.RevokeAll{User: "\x00", Actor: operator})
			if err != nil || n != 0 {
				t.Errorf("revoked %d, %v", n, err)
			}
			_, err = h.sessions.RevokeAll(t.Context(), h.db, sessions.RevokeAll{User: h.ada.User.ID})
			wantErr(t, "without an actor", err, tenancy.ErrInvalid)
		})
		n, err = h.sessions.RevokeAll(t.Context(), h.db, sessions.RevokeAll{User: h.ada.User.ID, Actor: operator})
		if err != nil || n != 1 {
			t.Errorf("revoked %d, %v", n, err)
		}
		h.opensNothing(t, "the last", mine[2].Token)
		h.opens(t, "bob's", bobs.Token, h.bob.Account.ID)
	})
}

// What is to keep and is nobody's keeps nothing: whoever wants the others gone has
// them gone.
func TestRevokeOthers_AnOddOneToKeepKeepsNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		bobs := h.start(t, h.bob.User.ID)
		for _, keep := range []sessions.ID{"", "\x00\xff", "ses_none", bobs.Session.ID} {
			issued := h.start(t, h.ada.User.ID)
			n, err := h.sessions.RevokeOthers(t.Context(), h.db, sessions.RevokeOthers{User: h.ada.User.ID, Keep: keep, Actor: operator})
			if err != nil || n != 1 {
				t.Errorf("%q: revoked %d, %v", keep, n, err)
			}
			h.opensNothing(t, "the session", issued.Token)
		}
		h.opens(t, "bob's", bobs.Token, h.bob.Account.ID)
	})
}

// What ends sessions joins the host's transaction: it goes when that does.
func TestAfterReset_EndsWithTheTransactionOfTheReset(t *testing.T) {
	var _ func(context.Context, bun.IDB, tenancy.UserID) error = (*sessions.Sessions)(nil).AfterReset
	each(t, func(t *testing.T, h *house) {
		issued := h.start(t, h.ada.User.ID)
		_ = h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			if err := h.sessions.AfterReset(ctx, tx, h.ada.User.ID); err != nil {
				t.Error(err)
			}
			return context.Canceled // undone
		})
		h.opens(t, "after an undone reset", issued.Token, h.ada.Account.ID)
		if h.epoch(t, h.ada.User.ID) != 0 {
			t.Error("an undone reset is told of")
		}
		h.in(t, func(ctx context.Context, tx bun.Tx) {
			for range 2 {
				if err := h.sessions.AfterReset(ctx, tx, h.ada.User.ID); err != nil {
					t.Error(err)
				}
			}
		})
		h.opensNothing(t, "after a reset", issued.Token)
		if h.epoch(t, h.ada.User.ID) == 0 {
			t.Error("nobody learns of it")
		}
	})
}

func TestEnd_TwiceIsNoError(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued := h.start(t, h.ada.User.ID)
		wantErr(t, "end", h.sessions.End(t.Context(), h.db, sessions.End{Token: issued.Token}), nil)
		h.opensNothing(t, "after it", issued.Token)
		if line := h.audits(t)[0]; line.Action != "sessions.end" || line.Actor != userOf(h.ada) {
			t.Errorf("audit %+v", line)
		}
		h.unchanged(t, "what opens nothing", func() {
			for _, token := range []sessions.Token{issued.Token, "", "garbage"} {
				wantErr(t, "end", h.sessions.End(t.Context(), h.db, sessions.End{Token: token}), nil)
			}
		})
	})
}

// Of all that touches a session at once, none brings back what is revoked.
func TestRevoke_NothingAtTheSameTimeBringsItBack(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for range 5 {
			issued := h.start(t, h.ada.User.ID)
			h.clock.Advance(2 * time.Minute)
			tokens := make([]sessions.Token, 4)
			errs := together(6, func(i int) error {
				switch i {
				case 0:
					_, err := h.sessions.RevokeAll(t.Context(), h.db, sessions.RevokeAll{User: h.ada.User.ID, Actor: operator})
					return err
				case 1:
					return h.sessions.End(t.Context(), h.db, sessions.End{Token: issued.Token})
				case 2, 3:
					next, err := h.sessions.Rotate(t.Context(), h.db, sessions.Rotate{Token: issued.Token})
					tokens[i] = next.Token
					return err
				}
				_, err := h.use(t, issued.Token)
				return err
			})
			for _, err := range errs {
				if err != nil {
					wantErr(t, "at once", err, authn.ErrBadCredential)
				}
			}
			for _, token := range append(slices.Clone(tokens), issued.Token) {
				h.opensNothing(t, "after a revocation", token)
			}
		}
	})
}
