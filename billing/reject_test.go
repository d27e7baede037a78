package billing_test

import (
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestM8_Reject_NeedsAReasonAndHasNoEffect(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		requested := w.request(t, id, "starter")
		for _, reason := range []string{"", " \t ", strings.Repeat("x", 1001), "a\x00"} {
			w.refused(t, "a rejection", billing.ErrInvalid, func(tx bun.IDB) error {
				_, err := w.billing.RejectTransfer(t.Context(), tx, billing.RejectTransfer{Reference: requested.Reference, Actor: operator, Reason: reason})
				return err
			})
		}
		effect := []string{"tenancy_accounts", "credits_accounts", "credits_entries", "billing_subscriptions", "billing_accounts"}
		before := content(t, w.db, effect...)
		w.clock.Advance(time.Hour)
		got, err := w.billing.RejectTransfer(t.Context(), w.db, rejection(requested.Reference))
		wantErr(t, "reject", err, nil)
		want := requested
		want.Status, want.DecidedBy, want.DecidedAt, want.Reason = billing.StatusRejected, operator, t0.Add(time.Hour), "sent back"
		same(t, "transfer", want, got)
		same(t, "effect", before, content(t, w.db, effect...))
		if a := tenancytest.RequireAudit(t, w.db, id, "billing.reject_transfer"); a.Actor != operator || a.Reason != "sent back" || a.Target != got.ID {
			t.Errorf("audit %+v", a)
		}
		same(t, "event", billing.TransferRejected{Transfer: got.ID, Reference: got.Reference},
			tenancytest.RequireEvent[billing.TransferRejected](t, w.db, id))
		unchanged(t, w.db, "rejecting again", func() {
			again, err := w.billing.RejectTransfer(t.Context(), w.db, billing.RejectTransfer{Reference: got.Reference, Actor: operator, Reason: "still"})
			same(t, "rejected again", got, again)
			wantErr(t, "rejecting again", err, nil)
		})
	})
}

func TestM8_WhatWasDecidedStaysDecided(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		rejected := w.request(t, id, "starter")
		if _, err := w.billing.RejectTransfer(t.Context(), w.db, rejection(rejected.Reference)); err != nil {
			t.Fatal(err)
		}
		w.refused(t, "confirming what was rejected", billing.ErrDecided, func(tx bun.IDB) error {
			_, err := w.billing.ConfirmTransfer(t.Context(), tx, confirmation(rejected.Reference))
			return err
		})
		confirmed := w.pay(t, id, "starter")
		w.refused(t, "rejecting what was confirmed", billing.ErrDecided, func(tx bun.IDB) error {
			_, err := w.billing.RejectTransfer(t.Context(), tx, rejection(confirmed.Reference))
			return err
		})
	})
}

func TestM8_NothingIsDecidedUnsigned(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ref := w.request(t, w.account(t), "starter").Reference
		decided := w.pay(t, w.account(t), "starter").Reference
		for what, c := range map[string]billing.ConfirmTransfer{
			"nobody":            {Reference: ref, Reason: "x"},
			"nobody again":      {Reference: decided, Reason: "x"},
			"no id":             {Reference: ref, Reason: "x", Actor: tenancy.Actor{Kind: tenancy.ActorOperator}},
			"an endless reason": {Reference: ref, Reason: strings.Repeat("x", 1<<20), Actor: operator},
			"a NUL":             {Reference: ref, Reason: "\x00", Actor: operator},
			"no UTF-8":          {Reference: ref, Reason: "\xff", Actor: operator},
		} {
			w.refused(t, what, billing.ErrInvalid, func(tx bun.IDB) error {
				_, err := w.billing.ConfirmTransfer(t.Context(), tx, c)
				return err
			})
			if c.Actor != operator {
				w.refused(t, what+" rejecting", billing.ErrInvalid, func(tx bun.IDB) error {
					_, err := w.billing.RejectTransfer(t.Context(), tx, billing.RejectTransfer(c))
					return err
				})
			}
		}
	})
}
