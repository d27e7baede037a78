package emails_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/emails"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

func ask(t *testing.T, h http.Handler, email string) (int, map[string]any) {
	t.Helper()
	return call(t, h, "POST", "/emails/reset", `{"email":"`+email+`","locale":"de"}`)
}

// Nothing about the answer depends on whether the address is a user's.
func TestSendReset_OneAnswerWhateverTheAddress(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		handler := h.mails.Handler(h.db, as(userOf(h.ada)))
		for range emails.DefaultMostPerHour + 3 {
			for _, email := range []string{"ADA@example.com", "nobody@example.com"} {
				code, answer := ask(t, handler, email)
				if d := cmp.Diff(map[string]any{"accepted": true}, answer); code != 202 || d != "" {
					t.Errorf("%s: %d %s", email, code, d)
				}
			}
			if err := h.mails.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		sent := h.mailbox(t)
		if len(sent) != emails.DefaultMostPerHour {
			t.Fatalf("%d mails", len(sent))
		}
		want := emails.Message{Kind: emails.KindReset, To: "Ada@example.com", Locale: "de", User: h.ada.User, ExpiresAt: t0.Add(emails.DefaultResetLifetime)}
		if d := cmp.Diff(want, sent[0], cmpopts.IgnoreFields(emails.Message{}, "Token")); d != "" {
			t.Errorf("mail (-want +got):\n%s", d)
		}
		wantErr(t, "the last one", h.reset(t, sent[len(sent)-1].Token, newPassword), nil)
		h.unchanged(t, "an address that is nobody's", func() {
			ask(t, handler, "nobody@example.com")
			h.mailbox(t)
		})
		for _, email := range []string{"", "ada", "ada@example", `ada\u0000@example.com`} {
			if code, answer := ask(t, handler, email); code != 422 {
				t.Errorf("%q: %d %v", email, code, answer)
			}
		}
		if code, answer := call(t, handler, "POST", "/emails/reset", `{"email":"ada@example.com","locale":"de\r\nBcc: x"}`); code != 422 {
			t.Errorf("%d %v", code, answer)
		}
	})
}

// held makes every question to the database wait until it is let go.
type held struct{ release chan struct{} }

func (g held) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context {
	<-g.release
	return ctx
}

func (held) AfterQuery(context.Context, *bun.QueryEvent) {}

// The answer waits neither for the database nor for the mail, so that neither can be
// timed. What is on its way is bounded, and it is answered in the same way whatever the
// address and however much there is: a mail takes longer than finding nobody, so that
// whoever learns that there is no room learns that a request before was a user's.
func TestSendReset_TheAnswerComesBeforeTheWork(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		var log bytes.Buffer
		old := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
		defer slog.SetDefault(old)
		mailing := make(chan struct{})
		h := newHouse(t, db, emails.Config{Parallel: 3, Notify: func(context.Context, emails.Message) error { <-mailing; return nil }})
		gate := held{make(chan struct{})}
		handler := h.mails.Handler(db.WithQueryHook(gate), as(userOf(h.ada)))
		dropped := func() int { return strings.Count(log.String(), "too many are on their way") }
		for i := range 3*emails.PerTurn + 5 {
			email := []string{"ada@example.com", "nobody@example.com"}[i%2]
			if code, answer := ask(t, handler, email); code != 202 || len(answer) != 1 || answer["accepted"] != true {
				t.Errorf("%s: %d %v", email, code, answer)
			}
			if want := max(0, i+1-3*emails.PerTurn); dropped() != want {
				t.Errorf("of %d there were %d dropped, want %d", i+1, dropped(), want)
			}
		}
		short, cancel := context.WithCancel(t.Context())
		cancel()
		wantErr(t, "who does not wait", h.mails.Wait(short), context.Canceled)
		close(gate.release)
		close(mailing)
		if err := errors.Join(dbtest.Together(3, func(int) error { return h.mails.Wait(t.Context()) })...); err != nil {
			t.Error(err)
		}
		if code, answer := ask(t, handler, "ada@example.com"); code != 202 || dropped() != 5 {
			t.Errorf("afterwards: %d %v, %d dropped", code, answer, dropped())
		}
		wantErr(t, "waiting", h.mails.Wait(t.Context()), nil)
		if said := strings.ToLower(log.String()); strings.Contains(said, "example.com") {
			t.Errorf("the log has an address: %s", said)
		}
	}, authn.Migrate)
}

// What goes wrong behind the answer is in the log, without the address.
func TestSendReset_WhatFailsBehindTheAnswerIsLogged(t *testing.T) {
	for what, c := range map[string]struct {
		notify func(context.Context, emails.Message) error
		want   string
	}{
		"an error": {func(_ context.Context, m emails.Message) error { return errors.New(m.To + " bounced") }, "*errors.errorString"},
		"a panic":  {func(_ context.Context, m emails.Message) error { panic(m.To + " bounced") }, "panic=string"},
	} {
		var log bytes.Buffer
		old := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
		h := newHouse(t, dbtest.SQLite(t, authn.Migrate), emails.Config{Notify: c.notify})
		err := h.mails.SendReset(t.Context(), h.db, emails.SendReset{Email: "ada@example.com"})
		h.mailbox(t)
		slog.SetDefault(old)
		if said := log.String(); err != nil || !strings.Contains(said, c.want) || strings.Contains(strings.ToLower(said), "ada@") {
			t.Errorf("%s: %v, %s", what, err, said)
		}
	}
}

func TestSend_NeedsSomebodyWhoMails(t *testing.T) {
	accounts := tenancy.New(tenancy.Config{})
	mails := emails.New(accounts, authn.NewPasswords(accounts, authn.PasswordConfig{}), emails.Config{})
	for what, do := range map[string]func(){
		"Handler":          func() { mails.Handler(nil, as(tenancy.Actor{})) },
		"SendReset":        func() { _ = mails.SendReset(t.Context(), nil, emails.SendReset{}) },
		"SendVerification": func() { _ = mails.SendVerification(t.Context(), nil, emails.SendVerification{}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not say that Config.Notify is missing", what)
				}
			}()
			do()
		}()
	}
}
