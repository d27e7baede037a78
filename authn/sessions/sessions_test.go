package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/sessions"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestNew_SaysWhatIsWrong(t *testing.T) {
	for _, cfg := range []sessions.Config{
		{Cookie: "a b"}, {Cookie: "__Host-"}, {Cookie: "a;b"}, {Cookie: "a=b"},
		{TrustedOrigins: []string{"app.example.com"}}, {TrustedOrigins: []string{"https://app.example.com/"}},
	} {
		if _, err := sessions.New(tenancy.New(tenancy.Config{}), cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
	ok := sessions.Config{Cookie: "__Secure-sid", TrustedOrigins: []string{"https://app.example.com", "http://localhost:5173"}}
	if _, err := sessions.New(tenancy.New(tenancy.Config{}), ok); err != nil {
		t.Error(err)
	}
}

func TestStart_WhatIsReadIsWhatWasStarted(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued := h.start(t, h.ada.User.ID)
		want := sessions.Session{
			ID: issued.Session.ID, User: h.ada.User.ID, Account: h.ada.Account.ID,
			Addr: netip.MustParseAddr("192.0.2.7"), UserAgent: "Browser/1",
			CreatedAt: t0, SeenAt: t0, ExpiresAt: t0.Add(30 * 24 * time.Hour),
		}
		list, err := h.sessions.List(t.Context(), h.db, sessions.List{User: h.ada.User.ID})
		if err != nil {
			t.Fatal(err)
		}
		same := cmpopts.EquateComparable(netip.Addr{})
		if d := cmp.Diff([]sessions.Session{want}, list, same); d != "" {
			t.Errorf("listed (-want +got):\n%s", d)
		}
		if d := cmp.Diff(want, issued.Session, same); d != "" {
			t.Errorf("started (-want +got):\n%s", d)
		}
		if !strings.HasPrefix(string(want.ID), "ses_") || len(issued.Token) != 43 {
			t.Errorf("session %s, a token of %d characters", want.ID, len(issued.Token))
		}
		line := h.audits(t)[0]
		if line.Action != "sessions.start" || line.Target != string(want.ID) || line.Actor != userOf(h.ada) || !line.At.Equal(t0) {
			t.Errorf("audit %+v", line)
		}
		if other := h.start(t, h.ada.User.ID); other.Token == issued.Token || other.Session.ID == issued.Session.ID {
			t.Error("two sessions are one")
		}
		if h.epoch(t, h.ada.User.ID) != 0 {
			t.Error("signing in ends what others remember of the user")
		}
	})
}

func TestStart_TheAccount(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		nobody := h.user(t, "nobody@example.com")
		both := h.user(t, "both@example.com")
		h.join(t, h.ada.Account.ID, both)
		h.join(t, h.bob.Account.ID, both)
		for what, c := range map[string]struct {
			start sessions.Start
			want  tenancy.AccountID
			err   error
		}{
			"the only one":         {sessions.Start{User: h.ada.User.ID}, h.ada.Account.ID, nil},
			"it by name":           {sessions.Start{User: h.ada.User.ID, Account: h.ada.Account.ID}, h.ada.Account.ID, nil},
			"another's":            {sessions.Start{User: h.ada.User.ID, Account: h.bob.Account.ID}, "", tenancy.ErrNoAccount},
			"of several":           {sessions.Start{User: both}, "", nil},
			"one of several":       {sessions.Start{User: both, Account: h.bob.Account.ID}, h.bob.Account.ID, nil},
			"of none":              {sessions.Start{User: nobody}, "", nil},
			"one, of none":         {sessions.Start{User: nobody, Account: h.bob.Account.ID}, "", tenancy.ErrNoAccount},
			"an odd byte":          {sessions.Start{User: h.ada.User.ID, Account: "a\x00"}, "", tenancy.ErrNoAccount},
			"nobody":               {sessions.Start{User: "usr_none"}, "", tenancy.ErrNoUser},
			"nobody at all":        {sessions.Start{}, "", tenancy.ErrNoUser},
			"an odd byte for user": {sessions.Start{User: "u\xff"}, "", tenancy.ErrNoUser},
		} {
			h.in(t, func(ctx context.Context, tx bun.Tx) {
				issued, err := h.sessions.Start(ctx, tx, c.start)
				wantErr(t, what, err, c.err)
				if issued.Session.Account != c.want || (err == nil) != (issued.Token != "") {
					t.Errorf("%s: %+v", what, issued.Session)
				}
			})
		}
	})
}

func TestStart_ABrowsersNameIsCleanedAndCut(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for agent, want := range map[string]string{
			"":                               "",
			" Browser/1\r\n\x00\x1b[31mred ": "Browser/1[31mred",
			"bad \xff\xfe bytes":             "bad  bytes",
			"right\u202eleft":                "rightleft",
			strings.Repeat("ä", 500):         strings.Repeat("ä", 128),
			"x" + strings.Repeat("ä", 500):   "x" + strings.Repeat("ä", 127),
			strings.Repeat("\x00", 1<<20):    "",
		} {
			issued, err := h.sessions.Start(t.Context(), h.db, sessions.Start{User: h.ada.User.ID, UserAgent: agent})
			if err != nil || issued.Session.UserAgent != want || !utf8.ValidString(issued.Session.UserAgent) {
				t.Errorf("%.40q: %q, %v", agent, issued.Session.UserAgent, err)
			}
		}
		for addr, want := range map[string]string{"::ffff:192.0.2.1": "192.0.2.1", "fe80::1%eth0": "fe80::1"} {
			issued, err := h.sessions.Start(t.Context(), h.db, sessions.Start{User: h.ada.User.ID, Addr: netip.MustParseAddr(addr)})
			if err != nil || issued.Session.Addr.String() != want {
				t.Errorf("%s: %s, %v", addr, issued.Session.Addr, err)
			}
		}
	})
}

func TestStart_OneTooManyEndsTheOneNotUsedForLongest(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		h := newHouse(t, db, sessions.Config{MostOpen: 3})
		var issued []sessions.Issued
		for range 3 {
			issued = append(issued, h.start(t, h.ada.User.ID))
			h.clock.Advance(time.Minute)
		}
		bobs := h.start(t, h.bob.User.ID)
		h.opens(t, "the first", issued[0].Token, h.ada.Account.ID) // and so the second is the one
		before := h.epoch(t, h.ada.User.ID)
		fourth := h.start(t, h.ada.User.ID)
		h.opensNothing(t, "the second", issued[1].Token)
		for i, token := range []sessions.Token{issued[0].Token, issued[2].Token, fourth.Token} {
			h.opens(t, []string{"the first", "the third", "the fourth"}[i], token, h.ada.Account.ID)
		}
		h.opens(t, "bob's", bobs.Token, h.bob.Account.ID)
		if h.epoch(t, h.ada.User.ID) == before {
			t.Error("nobody learns of the one that ended")
		}
		if line := h.audits(t)[0]; line.Action != "sessions.revoke" || line.Target != string(issued[1].Session.ID) || line.Kind != tenancy.ActorSystem {
			t.Errorf("audit %+v", line)
		}
	}, authn.Migrate)
}

// A new token ends an old one at once, and the session is the same.
func TestRotate_TheOldTokenOpensNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		first := h.start(t, h.ada.User.ID)
		other := h.start(t, h.ada.User.ID)
		h.clock.Advance(time.Hour)
		before := h.epoch(t, h.ada.User.ID)
		second, err := h.sessions.Rotate(t.Context(), h.db, sessions.Rotate{Token: first.Token, Reason: "a new password"})
		if err != nil {
			t.Fatal(err)
		}
		if second.Token == first.Token || second.Session.ID != first.Session.ID || !second.Session.ExpiresAt.Equal(first.Session.ExpiresAt) {
			t.Errorf("rotated from %+v to %+v", first.Session, second.Session)
		}
		h.opensNothing(t, "the old token", first.Token)
		h.opens(t, "the new token", second.Token, h.ada.Account.ID)
		h.opens(t, "the other session", other.Token, h.ada.Account.ID)
		if h.epoch(t, h.ada.User.ID) == before {
			t.Error("nobody learns that the old token is over")
		}
		line := h.audits(t)[0]
		if line.Action != "sessions.rotate" || line.Target != string(first.Session.ID) || line.Actor != userOf(h.ada) || line.Reason != "a new password" {
			t.Errorf("audit %+v", line)
		}
		h.unchanged(t, "a token that is over", func() {
			h.in(t, func(ctx context.Context, tx bun.Tx) {
				for _, token := range []sessions.Token{first.Token, "", "x", sessions.Token(strings.Repeat("A", 43)), sessions.Token("\x00" + strings.Repeat("A", 42))} {
					_, err := h.sessions.Rotate(ctx, tx, sessions.Rotate{Token: token})
					wantErr(t, "rotate", err, authn.ErrBadCredential)
					_, err = h.sessions.SwitchAccount(ctx, tx, sessions.SwitchAccount{Token: token})
					wantErr(t, "switch", err, authn.ErrBadCredential)
				}
				_, err = h.sessions.Rotate(ctx, tx, sessions.Rotate{Token: second.Token, Reason: "\x00"})
				wantErr(t, "a reason that is no text", err, tenancy.ErrInvalid)
			})
		})
		h.clock.Advance(24 * time.Hour)
		_, err = h.sessions.Rotate(t.Context(), h.db, sessions.Rotate{Token: second.Token})
		wantErr(t, "an idle one", err, authn.ErrBadCredential)
	})
}

func TestSwitchAccount_ChecksAndRotates(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.ada.User.ID
		h.join(t, h.bob.Account.ID, ada)
		first := h.start(t, ada)
		if first.Session.Account != "" {
			t.Fatalf("it acts for %s", first.Session.Account)
		}
		_, err := h.use(t, first.Token)
		wantErr(t, "no choice yet", err, tenancy.ErrWhichAccount)
		second, err := h.sessions.SwitchAccount(t.Context(), h.db, sessions.SwitchAccount{Token: first.Token, Account: h.bob.Account.ID})
		if err != nil {
			t.Fatal(err)
		}
		h.opensNothing(t, "the old token", first.Token)
		h.opens(t, "the new token", second.Token, h.bob.Account.ID)
		line := h.audits(t)[0]
		if line.Action != "sessions.switch_account" || !strings.Contains(string(line.Data), string(h.bob.Account.ID)) {
			t.Errorf("audit %+v %s", line, line.Data)
		}

		carol := tenancytest.Register(t, h.db, h.accounts, "carol@example.com")
		h.unchanged(t, "a refusal", func() {
			h.in(t, func(ctx context.Context, tx bun.Tx) {
				_, err = h.sessions.SwitchAccount(ctx, tx, sessions.SwitchAccount{Token: second.Token, Account: carol.Account.ID})
				wantErr(t, "another's account", err, tenancy.ErrNoAccount)
				_, err = h.sessions.SwitchAccount(ctx, tx, sessions.SwitchAccount{Token: second.Token, Account: "a\x00"})
				wantErr(t, "no account's id", err, tenancy.ErrNoAccount)
				_, err = h.sessions.SwitchAccount(ctx, tx, sessions.SwitchAccount{Token: second.Token})
				wantErr(t, "none named", err, tenancy.ErrWhichAccount)
			})
		})
		h.opens(t, "the token after that", second.Token, h.bob.Account.ID)
	})
}

// The account that a request names counts before the session's, that before the only
// one, and none without a membership that is there now.
func TestAuthenticate_TheAccount(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.ada.User.ID
		pinned := h.start(t, ada) // while there was no choice
		h.join(t, h.bob.Account.ID, ada)
		ask := func(what string, token sessions.Token, named, want tenancy.AccountID, refusal error) {
			t.Helper()
			p, err := h.sessions.Authenticate(t.Context(), h.db, shown(token, named))
			wantErr(t, what, err, refusal)
			if err == nil && (p.Account != want || p.Actor != userOf(h.ada) || p.May != 0 || p.Delegation != nil) {
				t.Errorf("%s: %+v", what, p)
			}
		}
		ask("none named", pinned.Token, "", h.ada.Account.ID, nil)
		ask("another named", pinned.Token, h.bob.Account.ID, h.bob.Account.ID, nil)
		ask("a stranger's named", pinned.Token, "acc_none", "", tenancy.ErrNoAccount)
		ask("no account's id named", pinned.Token, "a\x00", "", tenancy.ErrNoAccount)
		open := h.start(t, ada)
		ask("a choice that was not made", open.Token, "", "", tenancy.ErrWhichAccount)
		ask("made by the request", open.Token, h.bob.Account.ID, h.bob.Account.ID, nil)

		moved, err := h.sessions.SwitchAccount(t.Context(), h.db, sessions.SwitchAccount{Token: pinned.Token, Account: h.bob.Account.ID})
		if err != nil {
			t.Fatal(err)
		}
		h.leave(t, h.bob.Account.ID, ada)
		ask("a membership that ended", moved.Token, "", "", tenancy.ErrNoAccount)
		ask("it by name", moved.Token, h.bob.Account.ID, "", tenancy.ErrNoAccount)
		ask("the one that is left", moved.Token, h.ada.Account.ID, h.ada.Account.ID, nil)
		ask("the only one", open.Token, "", h.ada.Account.ID, nil)
	})
}

// A cold check costs one statement, which finds the session, its account and the
// membership; what else there is to ask costs one more.
func TestAuthenticate_AColdCheckIsOneStatement(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.join(t, h.bob.Account.ID, h.ada.User.ID)
		nowhere, err := h.sessions.Start(t.Context(), h.db, sessions.Start{User: h.bob.User.ID})
		wantErr(t, "start", err, nil)
		issued, err := h.sessions.Start(t.Context(), h.db, sessions.Start{User: h.ada.User.ID, Account: h.ada.Account.ID})
		wantErr(t, "start", err, nil)
		guard := authn.NewGuard(h.accounts, authn.GuardConfig{}, h.sessions)
		for _, c := range []struct {
			what  string
			after time.Duration
			c     authn.Credential
			want  []string
		}{
			{"cold", 0, shown(issued.Token, ""), []string{"SELECT"}},
			{"its account by name", 0, shown(issued.Token, h.ada.Account.ID), []string{"SELECT"}},
			{"another account", 0, shown(issued.Token, h.bob.Account.ID), []string{"SELECT", "SELECT", "SELECT"}},
			{"the only one", 0, shown(nowhere.Token, ""), []string{"SELECT"}},
			{"after 59 seconds", 59 * time.Second, shown(issued.Token, ""), []string{"SELECT"}},
			{"after a minute", time.Second, shown(issued.Token, ""), []string{"SELECT", "UPDATE"}},
			{"again", 0, shown(issued.Token, ""), []string{"SELECT"}},
			{"what is no token", 0, shown("garbage", ""), nil},
			{"a token of 43 odd bytes", 0, shown(sessions.Token(strings.Repeat("-", 43)), ""), nil},
			{"a token that is nobody's", 0, shown(aToken, ""), []string{"SELECT"}},
		} {
			h.clock.Advance(c.after)
			q := &queries{}
			_, _ = guard.Check(t.Context(), h.db.WithQueryHook(q), c.c, tenancy.SignIn)
			var said []string
			for _, s := range q.said {
				said = append(said, s[:6])
			}
			if !slices.Equal(said, c.want) {
				t.Errorf("%s: %q, want %q", c.what, q.said, c.want)
			}
		}
	})
}

func TestExpiry_IdleEndsByItselfAndUsePutsItOff(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued := h.start(t, h.ada.User.ID)
		for range 3 {
			h.clock.Advance(24*time.Hour - time.Microsecond)
			h.opens(t, "used every day", issued.Token, h.ada.Account.ID)
		}
		if n := len(h.list(t, h.ada.User.ID)); n != 1 {
			t.Errorf("%d sessions are listed", n)
		}
		h.clock.Advance(24 * time.Hour)
		h.opensNothing(t, "not used for a day", issued.Token)
		if n := len(h.list(t, h.ada.User.ID)); n != 0 {
			t.Errorf("%d sessions are listed", n)
		}
		h.clock.Advance(-24 * time.Hour)
		h.opens(t, "a clock that was set back", issued.Token, h.ada.Account.ID)
	})
}

func TestExpiry_NoUsePutsTheAbsoluteEndOff(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued := h.start(t, h.ada.User.ID)
		end := issued.Session.ExpiresAt
		for h.clock.Now().Add(12 * time.Hour).Before(end) {
			h.clock.Advance(12 * time.Hour)
			h.opens(t, "used twice a day", issued.Token, h.ada.Account.ID)
			if h.clock.Now().Hour() < 12 { // and what else a session goes through
				next, err := h.sessions.Rotate(t.Context(), h.db, sessions.Rotate{Token: issued.Token})
				if err != nil {
					t.Fatal(err)
				}
				issued = next
			}
		}
		if issued.Session.ExpiresAt != end {
			t.Errorf("it ends %s, not %s", issued.Session.ExpiresAt, end)
		}
		h.clock.Set(end.Add(-time.Microsecond))
		h.opens(t, "just before its end", issued.Token, h.ada.Account.ID)
		h.clock.Set(end)
		h.opensNothing(t, "at its end", issued.Token)
	})
}

func TestExpiry_AShortIdleTimeIsKeptToo(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		h := newHouse(t, db, sessions.Config{Idle: 30 * time.Second, Lifetime: time.Minute})
		issued := h.start(t, h.ada.User.ID)
		for range 5 {
			h.clock.Advance(10 * time.Second)
			h.opens(t, "used", issued.Token, h.ada.Account.ID)
		}
		h.clock.Advance(10 * time.Second)
		h.opensNothing(t, "after a minute", issued.Token)
	}, authn.Migrate)
}

// In a host's transaction nothing is written: it would keep the session to itself.
func TestAuthenticate_NotesNoUseInATransaction(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued := h.start(t, h.ada.User.ID)
		h.clock.Advance(time.Hour)
		h.unchanged(t, "a check", func() {
			h.in(t, func(ctx context.Context, tx bun.Tx) {
				p, err := h.sessions.Authenticate(ctx, tx, shown(issued.Token, ""))
				if err != nil || p.Account != h.ada.Account.ID {
					t.Errorf("%+v, %v", p, err)
				}
				_, err = h.sessions.Authenticate(ctx, tx, shown("garbage", ""))
				wantErr(t, "garbage", err, authn.ErrBadCredential)
			})
		})
	})
}

// A session is good where its use cannot be noted.
func TestAuthenticate_AWriteThatFailsRefusesNobody(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued := h.start(t, h.ada.User.ID)
		h.clock.Advance(time.Hour)
		no := refuseWrites{}
		p, err := h.sessions.Authenticate(t.Context(), h.db.WithQueryHook(no), shown(issued.Token, ""))
		if err != nil || p.Account != h.ada.Account.ID {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

// refuseWrites ends the context of every UPDATE before it runs.
type refuseWrites struct{}

func (refuseWrites) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if strings.HasPrefix(e.Query, "UPDATE") {
		ended, cancel := context.WithCancelCause(ctx)
		cancel(errors.New("read only"))
		return ended
	}
	return ctx
}

func (refuseWrites) AfterQuery(context.Context, *bun.QueryEvent) {}

func TestPurge_DeletesWhatIsOverAndNothingElse(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		revoked, idle := h.start(t, h.ada.User.ID), h.start(t, h.ada.User.ID)
		used := h.start(t, h.ada.User.ID)
		if err := h.sessions.End(t.Context(), h.db, sessions.End{Token: revoked.Token}); err != nil {
			t.Fatal(err)
		}
		purge := func(what string, before time.Time, want, left int) {
			t.Helper()
			n, err := h.sessions.Purge(t.Context(), h.db, before)
			if err != nil || n != want || h.count(t, "authn_sessions") != left {
				t.Errorf("%s: deleted %d, %v; %d are left, want %d and %d", what, n, err, h.count(t, "authn_sessions"), want, left)
			}
		}
		h.clock.Advance(12 * time.Hour)
		h.opens(t, "used", used.Token, h.ada.Account.ID)
		purge("before the first was over", t0, 0, 3)
		purge("what is open stays, whatever the instant", t0.AddDate(9, 0, 0), 1, 2)
		h.clock.Advance(13 * time.Hour)
		h.opens(t, "used again", used.Token, h.ada.Account.ID)
		purge("an idle one", h.clock.Now(), 1, 1)
		h.opensNothing(t, "the idle one", idle.Token)
		h.opens(t, "the used one", used.Token, h.ada.Account.ID)
		for h.clock.Now().Before(used.Session.ExpiresAt) {
			_, _ = h.use(t, used.Token)
			h.clock.Advance(12 * time.Hour)
		}
		purge("one at its end", used.Session.ExpiresAt, 0, 1)
		purge("one after its end", h.clock.Now(), 1, 0)
	})
}

// A round that finds nothing looks at nothing that is open.
func TestPurge_FindsWhatIsOverByIndex(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		said := &queries{}
		_, err := h.sessions.Purge(t.Context(), h.db.WithQueryHook(said), t0)
		wantErr(t, "purge", err, nil)
		explain := "EXPLAIN ?"
		if h.db.Dialect().Name() == dialect.SQLite {
			explain = "EXPLAIN QUERY PLAN ?"
		}
		indexes := map[string]bool{}
		h.in(t, func(ctx context.Context, tx bun.Tx) {
			if h.db.Dialect().Name() == dialect.PG { // which reads a small table as it lies, if it may
				for _, how := range []string{"enable_seqscan", "enable_sort"} {
					if _, err := tx.NewRaw("SET LOCAL ? = off", bun.Ident(how)).Exec(ctx); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, query := range said.said {
				if !strings.HasPrefix(query, "DELETE") {
					continue
				}
				var plan []map[string]any
				if err := tx.NewRaw(explain, bun.Safe(query)).Scan(ctx, &plan); err != nil {
					t.Fatal(err)
				}
				text := fmt.Sprint(plan)
				if strings.Contains(text, "SCAN") || strings.Contains(text, "Seq Scan") || strings.Contains(text, "TEMP B-TREE") || strings.Contains(text, "Sort Key: s.") {
					t.Errorf("%s\n%s", query, text)
				}
				for _, name := range []string{"revoked", "expires", "seen"} {
					if strings.Contains(text, "authn_sessions_"+name) {
						indexes[name] = true
					}
				}
			}
		})
		if len(indexes) != 3 {
			t.Errorf("it uses the indexes %v", indexes)
		}
	})
}

// A batch that is deleted stays deleted when the next one fails, and the oldest go first.
func TestPurge_DeletesABatchAtATime(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.in(t, func(ctx context.Context, tx bun.Tx) {
			for i := range 1201 {
				at := t0.Add(-time.Duration(i%2*(2000-i)+1) * time.Minute)
				_, err := tx.NewRaw(`INSERT INTO authn_sessions (session_id, token_hash, user_id, addr, user_agent, created_at, seen_at, expires_at, revoked_at)
					VALUES (?, ?, ?, '', '', ?, ?, ?, ?)`, fmt.Sprintf("ses_%d", i), fmt.Sprint(i), h.ada.User.ID, at, at, t0.AddDate(0, 0, 30), at).Exec(ctx)
				wantErr(t, "insert", err, nil)
			}
		})
		n, err := h.sessions.Purge(t.Context(), h.db.WithQueryHook(&stops{after: 1}), t0)
		if err == nil || n != 500 || h.count(t, "authn_sessions") != 701 {
			t.Errorf("%d, %v; %d are left", n, err, h.count(t, "authn_sessions"))
		}
		var old int
		if err := h.db.NewRaw("SELECT COUNT(*) FROM authn_sessions WHERE revoked_at < ?", t0.Add(-time.Minute)).Scan(t.Context(), &old); err != nil || old != 100 {
			t.Errorf("%d of the oldest are left, want 100, %v", old, err)
		}
		if n, err := h.sessions.Purge(t.Context(), h.db, t0); n != 701 || err != nil {
			t.Errorf("the rest: %d, %v", n, err)
		}
	})
}

// stops fails every DELETE after so many.
type stops struct{ after int }

func (s *stops) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if !strings.HasPrefix(e.Query, "DELETE") {
		return ctx
	}
	if s.after--; s.after < 0 {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		return ended
	}
	return ctx
}

func (s *stops) AfterQuery(context.Context, *bun.QueryEvent) {}

func TestRun_DeletesAWhileAfterTheEnd(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.start(t, h.ada.User.ID)
		round := func() int {
			ctx, stop := context.WithCancel(t.Context())
			q := &ender{stop: stop}
			if err := h.sessions.Run(ctx, h.db.WithQueryHook(q)); err != nil {
				t.Fatal(err)
			}
			return h.count(t, "authn_sessions")
		}
		h.clock.Advance(24*time.Hour + sessions.DefaultKeep)
		if n := round(); n != 1 {
			t.Errorf("%d are left at the end of the time they are kept, want 1", n)
		}
		h.clock.Advance(time.Microsecond)
		if n := round(); n != 0 {
			t.Errorf("%d are left after it, want 0", n)
		}
	})
}

// ender ends a Run once its first round is over, which is three transactions.
type ender struct {
	stop    func()
	commits int
}

func (e *ender) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (e *ender) AfterQuery(_ context.Context, q *bun.QueryEvent) {
	if q.Query == "COMMIT" {
		e.commits++
	}
	if e.commits == 3 {
		e.stop()
	}
}

// Everything works with a pool of one connection.
func TestSQLite_OneConnectionIsEnough(t *testing.T) {
	h := newHouse(t, dbtest.SQLiteOneConn(t, authn.Migrate), sessions.Config{MostOpen: 2})
	issued := h.start(t, h.ada.User.ID)
	for range 2 {
		h.start(t, h.ada.User.ID)
	}
	h.opensNothing(t, "one too many", issued.Token)
	issued = h.start(t, h.ada.User.ID)
	h.clock.Advance(time.Hour)
	h.opens(t, "a session", issued.Token, h.ada.Account.ID)
	issued, err := h.sessions.Rotate(t.Context(), h.db, sessions.Rotate{Token: issued.Token})
	wantErr(t, "rotate", err, nil)
	_, err = h.sessions.RevokeAll(t.Context(), h.db, sessions.RevokeAll{User: h.ada.User.ID, Actor: operator})
	wantErr(t, "revoke all", err, nil)
	h.opensNothing(t, "a revoked one", issued.Token)
}
