package retention_test

import (
	"testing"
	"time"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/retention"
)

func (w *world) hold(t *testing.T, account tenancy.AccountID) retention.LegalHold {
	t.Helper()
	h, err := w.keeper.PlaceLegalHold(t.Context(), w.db, retention.PlaceLegalHold{Account: account, Actor: operator, Reason: "case 17"})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (w *world) lift(t *testing.T, h retention.LegalHold) retention.LegalHold {
	t.Helper()
	h, err := w.keeper.LiftLegalHold(t.Context(), w.db, retention.LiftLegalHold{Account: h.Account, ID: h.ID, Actor: operator, Reason: "settled"})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestM13_ALegalHoldKeepsTheAccountUntilTheLastIsLifted(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, _ := w.register(t, "ada@example.com")
		first, second := w.hold(t, ada), w.hold(t, ada)
		w.close(t, ada)
		try := func(what string, want error) {
			t.Helper()
			before := dump(t, w.plainly(t))
			for _, dry := range []bool{true, false} {
				_, err := w.keeper.Erase(t.Context(), w.db, retention.Erase{Account: ada, Actor: operator, Reason: "asked to", DryRun: dry})
				wantErr(t, what, err, want)
			}
			if want != nil {
				diff(t, what, before, dump(t, w.plainly(t)))
			}
		}
		try("two", retention.ErrLegalHold)
		w.clock.Advance(time.Hour)
		lifted := w.lift(t, first)
		try("one", retention.ErrLegalHold)
		w.clock.Advance(time.Hour)
		diff(t, "lifted twice", lifted, w.lift(t, first))

		w.clock.Advance(tenancy.DefaultRetention)
		purged, err := w.keeper.Purge(t.Context(), w.db)
		if err != nil || len(purged.Erased) != 0 {
			t.Error(purged, err)
		}
		diff(t, "held", []tenancy.AccountID{ada}, purged.Held)
		holds, err := w.keeper.LegalHolds(t.Context(), w.db, ada)
		want := []retention.LegalHold{
			{Account: ada, ID: first.ID, Reason: "case 17", PlacedAt: t0, PlacedBy: operator, LiftedAt: t0.Add(time.Hour)},
			second,
		}
		diff(t, "holds", want, holds)
		wantErr(t, "holds", err, nil)

		w.lift(t, second)
		try("none", nil)
	})
}

func TestM13_LegalHoldsAreTheOperatorsAffair(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, user := w.register(t, "ada@example.com")
		bob, _ := w.register(t, "bob@example.com")
		h := w.hold(t, ada)
		log, err := w.accounts.Audits(t.Context(), w.db, tenancy.AuditLog{})
		if err != nil || log[0].Action != "retention.place_legal_hold" || log[0].Target != string(ada) || log[0].Actor != operator ||
			string(log[0].Data) != `{"hold":"`+h.ID+`"}` {
			t.Error(log, err)
		}
		if own, err := w.accounts.Audits(t.Context(), w.db, tenancy.AuditLog{Account: ada}); err != nil || len(own) != 1 {
			t.Error("the account learns of it", own, err)
		}
		files, _ := w.export(t, ada)
		for name := range files {
			if name == "tenancy_legal_holds.jsonl" {
				t.Error("the account learns of it")
			}
		}
		owner := tenancy.Actor{Kind: tenancy.ActorUser, ID: string(user)}
		before := dump(t, w.plainly(t))
		place := func(what string, p retention.PlaceLegalHold, want error) {
			t.Helper()
			_, err := w.keeper.PlaceLegalHold(t.Context(), w.db, p)
			wantErr(t, what, err, want)
		}
		lift := func(what string, l retention.LiftLegalHold, want error) {
			t.Helper()
			_, err := w.keeper.LiftLegalHold(t.Context(), w.db, l)
			wantErr(t, what, err, want)
		}
		place("its owner", retention.PlaceLegalHold{Account: ada, Actor: owner, Reason: "x"}, tenancy.ErrForbidden)
		place("no reason", retention.PlaceLegalHold{Account: ada, Actor: operator}, tenancy.ErrInvalid)
		place("no account", retention.PlaceLegalHold{Account: "acc_none", Actor: operator, Reason: "x"}, tenancy.ErrNoAccount)
		lift("its owner", retention.LiftLegalHold{Account: ada, ID: h.ID, Actor: owner, Reason: "x"}, tenancy.ErrForbidden)
		lift("no reason", retention.LiftLegalHold{Account: ada, ID: h.ID, Actor: operator}, tenancy.ErrInvalid)
		lift("another account's", retention.LiftLegalHold{Account: bob, ID: h.ID, Actor: operator, Reason: "x"}, retention.ErrNoLegalHold)
		lift("an odd id", retention.LiftLegalHold{Account: ada, ID: "\x00", Actor: operator, Reason: "x"}, retention.ErrNoLegalHold)
		lift("no account", retention.LiftLegalHold{Account: "acc_none", ID: h.ID, Actor: operator, Reason: "x"}, retention.ErrNoLegalHold)
		diff(t, "what was refused", before, dump(t, w.plainly(t)))
		w.close(t, bob)
		w.erase(t, bob)
		place("an erased account", retention.PlaceLegalHold{Account: bob, Actor: operator, Reason: "x"}, tenancy.ErrTransition)
	})
}
