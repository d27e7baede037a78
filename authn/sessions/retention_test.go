package sessions_test

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/sessions"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
	"github.com/quitrent/quitrent/tenancy/retention"
)

// M13: a session is deleted with its person. An export of an account shows when its
// people were there, and not from where or for which other account.
func TestM13_SessionsGoWithTheirPerson(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		rows := owned.New(owned.Config{Tables: slices.Concat(retention.Tables(), authn.Tables())})
		if err := rows.Bind(t.Context(), h.db); err != nil {
			t.Fatal(err)
		}
		keeper := retention.New(h.accounts, rows, retention.Config{Lookups: authn.Lookups(), Now: h.clock.Now})
		both := h.user(t, "both@example.com")
		h.join(t, h.ada.Account.ID, both)
		h.join(t, h.bob.Account.ID, both)
		adas := h.start(t, h.ada.User.ID)
		staying, err := h.sessions.Start(t.Context(), h.db, sessions.Start{User: both, Account: h.ada.Account.ID})
		wantErr(t, "start", err, nil)

		var export bytes.Buffer
		_, err = keeper.Export(t.Context(), h.db, &export, retention.Export{Account: h.ada.Account.ID, Actor: operator, Reason: "asked to"})
		wantErr(t, "export", err, nil)
		rowsOf := unzipped(t, export.Bytes(), "authn_sessions.jsonl")
		for text, there := range map[string]bool{
			string(adas.Session.ID): true, string(staying.Session.ID): true, "2026-03-01T09:00:00.123456Z": true,
			"hash": false, "192.0.2.7": false, "Browser/1": false, string(h.ada.Account.ID): false,
		} {
			if strings.Contains(rowsOf, text) != there {
				t.Errorf("the export has %s: %t, want %t:\n%s", text, !there, there, rowsOf)
			}
		}

		_, err = h.accounts.Close(t.Context(), h.db, tenancy.Close{Account: h.ada.Account.ID, Actor: operator})
		wantErr(t, "close", err, nil)
		_, err = keeper.Erase(t.Context(), h.db, retention.Erase{Account: h.ada.Account.ID, Actor: operator, Reason: "asked to"})
		wantErr(t, "erase", err, nil)
		if left := h.count(t, "authn_sessions"); left != 1 {
			t.Errorf("%d sessions are left, want that of who belongs to another account too", left)
		}
		h.opensNothing(t, "hers", adas.Token)
		_, err = h.use(t, staying.Token)
		wantErr(t, "one that acted for the account", err, tenancy.ErrNoAccount)
		moved, err := h.sessions.SwitchAccount(t.Context(), h.db, sessions.SwitchAccount{Token: staying.Token})
		wantErr(t, "and moves on", err, nil)
		h.opens(t, "then", moved.Token, h.bob.Account.ID)
	})
}

func unzipped(t *testing.T, archive []byte, name string) string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := z.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The process that erases is seldom the one that remembers: a session which names no
// account ends by the person's change, and so by the bound.
func TestErase_EndsThePersonsSessionsWhereTheyAreRemembered(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.accounts = tenancy.New(tenancy.Config{Now: h.clock.Now, RevocationBound: time.Hour})
		h.sessions = h.policy(t, sessions.Config{})
		feed := h.accounts.Feed()
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { feed.Run(ctx, h.db) })
		t.Cleanup(func() { stop(); running.Wait() })
		other := tenancy.New(tenancy.Config{Now: h.clock.Now})
		rows := owned.New(owned.Config{Tables: slices.Concat(retention.Tables(), authn.Tables())})
		if err := rows.Bind(t.Context(), h.db); err != nil {
			t.Fatal(err)
		}
		keeper := retention.New(other, rows, retention.Config{Lookups: authn.Lookups(), Now: h.clock.Now})
		h.join(t, h.bob.Account.ID, h.ada.User.ID)
		adas := h.start(t, h.ada.User.ID) // of two accounts: it names none
		h.leave(t, h.bob.Account.ID, h.ada.User.ID)
		if _, err := other.Close(t.Context(), h.db, tenancy.Close{Account: h.ada.Account.ID, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.db.NewRaw("UPDATE tenancy_changes SET recent = FALSE").Exec(t.Context()); err != nil { // as three minutes later
			t.Fatal(err)
		}
		poll := func() {
			t.Helper()
			if err := feed.Poll(t.Context(), h.db); err != nil {
				t.Fatal(err)
			}
		}
		poll()
		asked := &queries{}
		db := h.db.WithQueryHook(asked)
		identify := func() error {
			_, err := h.sessions.Identify(t.Context(), db, authn.Credential{Scheme: sessions.Scheme, Value: string(adas.Token)})
			return err
		}
		for before := -1; before != len(asked.said); runtime.Gosched() { // until it is remembered
			before = len(asked.said)
			wantErr(t, "before", identify(), nil)
			poll()
		}
		if _, err := keeper.Erase(t.Context(), h.db, retention.Erase{Account: h.ada.Account.ID, Actor: operator, Reason: "asked to"}); err != nil {
			t.Fatal(err)
		}
		poll()
		wantErr(t, "after the changes were read", identify(), authn.ErrBadCredential)
	})
}
