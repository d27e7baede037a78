package authn_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// found is a report of the key by a scanner.
func found(key string) authn.Leaked {
	return authn.Leaked{Presented: key, Scanner: "github", Source: "commit", URL: "https://git.example/ada/blob/main/.env"}
}

func TestLeaked_RevokesTheKeyAndNotesItOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		issued, stays := h.issue(t, r), h.issue(t, r)
		epoch := func() int64 {
			n, err := h.accounts.Epoch(t.Context(), h.db, r.Account.ID.Subject())
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := epoch()
		h.clock.Advance(time.Minute)
		var (
			mu             sync.Mutex
			noted, revoked int
		)
		if n := together(t, 8, nil, func(int) error {
			leak, err := h.keys.Leaked(t.Context(), h.db, found(issued.Secret))
			if at := t0.Add(time.Minute); err == nil && (!leak.Key.RevokedAt.Equal(at) || !leak.Key.LeakedAt.Equal(at)) {
				t.Errorf("revoked at %s, leaked at %s", leak.Key.RevokedAt, leak.Key.LeakedAt)
			}
			mu.Lock()
			defer mu.Unlock()
			noted, revoked = noted+count(leak.Noted), revoked+count(leak.Revoked)
			return err
		}); n != 8 || noted != 1 || revoked != 1 {
			t.Errorf("%d of 8 succeeded, %d were noted, %d revoked", n, noted, revoked)
		}
		wantErr(t, "the leaked key", h.verify(t, issued.Secret), authn.ErrBadCredential)
		wantErr(t, "the other key", h.verify(t, stays.Secret), nil)
		if epoch() == before {
			t.Error("caches do not learn of it")
		}

		line := tenancytest.RequireAudit(t, h.db, r.Account.ID, "authn.key_leaked")
		var data map[string]any
		if err := json.Unmarshal(line.Data, &data); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(map[string]any{"scanner": "github", "source": "commit", "revoked": true}, data); d != "" {
			t.Errorf("the line's data (-want +got):\n%s", d)
		}
		system := tenancy.Actor{Kind: tenancy.ActorSystem, ID: "leak-report"}
		if line.Actor != system || line.Target != string(issued.Key.ID) {
			t.Errorf("audit %+v", line)
		}
		if line := tenancytest.RequireAudit(t, h.db, r.Account.ID, "authn.revoke_key"); line.Actor != system {
			t.Errorf("audit %+v", line)
		}
		want := authn.KeyLeaked{Key: issued.Key.ID, Revoked: true, Scanner: "github", Source: "commit", URL: "https://git.example/ada/blob/main/.env"}
		if d := cmp.Diff(want, tenancytest.RequireEvent[authn.KeyLeaked](t, h.db, r.Account.ID)); d != "" {
			t.Errorf("the event (-want +got):\n%s", d)
		}
		tenancytest.RequireEvent[authn.KeyRevoked](t, h.db, r.Account.ID)

		h.unchanged(t, "a later report", func() {
			later := found(issued.Secret)
			later.URL = "https://elsewhere.example/"
			leak, err := h.keys.Leaked(t.Context(), h.db, later)
			if err != nil || leak.Noted || leak.Revoked || leak.Key.ID != issued.Key.ID || !leak.Key.LeakedAt.Equal(t0.Add(time.Minute)) {
				t.Errorf("a later report: %+v, %v", leak, err)
			}
		})
	})
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestLeaked_AnIDIsNoSecret(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		issued := h.issue(t, r)
		wrong, _, _ := authn.Rekey(h.keys, issued.Key.ID)
		unknown, _, _ := authn.Rekey(h.keys, "000000000000")
		h.unchanged(t, "what is no key", func() {
			for what, presented := range map[string]string{
				"the id with another secret":  wrong,
				"an unknown id":               unknown,
				"the id alone":                string(issued.Key.ID),
				"the key without its end":     issued.Secret[:len(issued.Secret)-1],
				"the key with a wrong sum":    issued.Secret[:len(issued.Secret)-6] + "000000",
				"the key with something more": issued.Secret + "\n",
				"nothing":                     "",
			} {
				leak, err := h.keys.Leaked(t.Context(), h.db, found(presented))
				wantErr(t, what, err, authn.ErrNoKey)
				if leak.Key.ID != "" || leak.Noted {
					t.Errorf("%s: %+v", what, leak)
				}
			}
			bad := found(issued.Secret)
			for _, bad.Scanner = range []string{"", "Git Hub", strings.Repeat("x", 33), "a\x00"} {
				_, err := h.keys.Leaked(t.Context(), h.db, bad)
				wantErr(t, "a bad scanner", err, tenancy.ErrInvalid)
			}
			_, err := h.newKeys(t, pepper("z")).Leaked(t.Context(), h.db, found(issued.Secret))
			wantErr(t, "a pepper that has left", err, authn.ErrNoKey)
		})
		wantErr(t, "the key", h.verify(t, issued.Secret), nil)
	})
}

func TestLeaked_WhatIsNoKeyCostsNoStatement(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued := h.issue(t, h.register(t, "ada@example.com"))
		asked := &queries{}
		db := h.db.WithQueryHook(asked)
		for _, presented := range []string{"", "x", issued.Secret[1:], "qr_test_" + issued.Secret[8:], issued.Secret[:len(issued.Secret)-6] + "000000"} {
			_, err := h.keys.Leaked(t.Context(), db, found(presented))
			wantErr(t, presented[:min(len(presented), 8)], err, authn.ErrNoKey)
		}
		if len(asked.said) != 0 {
			t.Errorf("the database was asked: %s", asked.said)
		}
	})
}

// After a rotation the old secret lies about and the new one is in use: who rotated is
// not to be cut off for it.
func TestLeaked_ASecretThatHasEndedLeavesTheKey(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		issued := h.issue(t, r)
		old, pepper, hash := authn.Rekey(h.keys, issued.Key.ID)
		h.exec(t, `INSERT INTO authn_key_secrets (account_id, key_id, secret_id, pepper_id, hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			r.Account.ID, issued.Key.ID, id.New("sec"), pepper, hash, t0, t0.Add(time.Hour))
		h.clock.Advance(time.Hour)

		leak, err := h.keys.Leaked(t.Context(), h.db, found(old))
		if err != nil || !leak.Noted || leak.Revoked || !leak.Key.RevokedAt.IsZero() {
			t.Errorf("the old secret: %+v, %v", leak, err)
		}
		wantErr(t, "the key", h.verify(t, issued.Secret), nil)
		if fact := tenancytest.RequireEvent[authn.KeyLeaked](t, h.db, r.Account.ID); fact.Revoked {
			t.Errorf("event %+v", fact)
		}
		h.unchanged(t, "the old secret again", func() {
			if leak, err := h.keys.Leaked(t.Context(), h.db, found(old)); err != nil || leak.Noted || leak.Revoked {
				t.Errorf("the old secret again: %+v, %v", leak, err)
			}
		})
		leak, err = h.keys.Leaked(t.Context(), h.db, found(issued.Secret))
		if err != nil || !leak.Noted || !leak.Revoked {
			t.Errorf("the new secret: %+v, %v", leak, err)
		}
		wantErr(t, "the key", h.verify(t, issued.Secret), authn.ErrBadCredential)
	})
}

// ends does something when a transaction is about to begin.
type ends struct{ do func() }

func (e ends) BeforeQuery(ctx context.Context, q *bun.QueryEvent) context.Context {
	if strings.HasPrefix(q.Query, "BEGIN") {
		e.do()
	}
	return ctx
}

func (ends) AfterQuery(context.Context, *bun.QueryEvent) {}

// The secret is looked at again under the lock.
func TestLeaked_ASecretThatEndsMeanwhileLeavesTheKey(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued := h.issue(t, h.register(t, "ada@example.com"))
		db := h.db.WithQueryHook(ends{func() { h.exec(t, "UPDATE authn_key_secrets SET revoked_at = ?", t0) }})
		leak, err := h.keys.Leaked(t.Context(), db, found(issued.Secret))
		if err != nil || !leak.Noted || leak.Revoked || !leak.Key.RevokedAt.IsZero() {
			t.Errorf("%+v, %v", leak, err)
		}
	})
}

func TestLeaked_KeepKeyOnlyNotesAndALaterReportRevokes(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		issued := h.issue(t, r)
		keep := found(issued.Secret)
		keep.KeepKey = true
		for i := range 3 {
			leak, err := h.keys.Leaked(t.Context(), h.db, keep)
			if err != nil || leak.Noted != (i == 0) || leak.Revoked || !leak.Key.LeakedAt.Equal(t0) {
				t.Errorf("report %d: %+v, %v", i, leak, err)
			}
		}
		wantErr(t, "the key", h.verify(t, issued.Secret), nil)
		leak, err := h.keys.Leaked(t.Context(), h.db, found(issued.Secret))
		if err != nil || !leak.Noted || !leak.Revoked {
			t.Errorf("the report that revokes: %+v, %v", leak, err)
		}
		wantErr(t, "the key", h.verify(t, issued.Secret), authn.ErrBadCredential)
	})
}

// Whoever's key it is, and whatever the account may do: the key is out.
func TestLeaked_WorksForAnAccountThatMayDoNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		issued := h.issue(t, r)
		if _, err := h.accounts.Suspend(t.Context(), h.db, tenancy.Suspend{Account: r.Account.ID, Actor: operator, Reason: "a test"}); err != nil {
			t.Fatal(err)
		}
		if leak, err := h.keys.Leaked(t.Context(), h.db, found(issued.Secret)); err != nil || !leak.Revoked {
			t.Errorf("%+v, %v", leak, err)
		}
		// Accounts of a host's own have no row here that could be locked.
		own := tenancy.New(tenancy.Config{Now: h.clock.Now, Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
			return tenancy.State{Status: tenancy.StatusActive}, tenancytest.Plans()[1], nil
		}})
		keys, err := authn.New(own, authn.Config{Peppers: []authn.Pepper{pepper("a")}, Now: h.clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := keys.Issue(t.Context(), h.db, authn.Issue{Account: "customer-7", Name: "a key", Actor: operator})
		if err != nil {
			t.Fatal(err)
		}
		keep := found(theirs.Secret)
		keep.KeepKey = true
		second := make(chan authn.Leak, 1)
		report := func(db bun.IDB) {
			leak, err := keys.Leaked(t.Context(), db, keep)
			if err != nil {
				t.Error(err)
			}
			second <- leak
		}
		err = h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			leak, err := keys.Leaked(ctx, tx, keep)
			if err != nil || !leak.Noted {
				t.Errorf("the first report: %+v, %v", leak, err)
			}
			if h.db.Dialect().Name() == dialect.PG { // SQLite has one writer
				waits := asks{"SET leaked_at", make(chan struct{}, 1)}
				go report(h.db.WithQueryHook(waits))
				<-waits.seen // from here on for this transaction, before it has read the key
			} else {
				go report(h.db)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if leak := <-second; leak.Noted || leak.Key.ID != theirs.Key.ID {
			t.Errorf("the second report: %+v", leak)
		}
	})
}

func TestLeaked_JoinsTheCallersTransaction(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued := h.issue(t, h.register(t, "ada@example.com"))
		wrong, _, _ := authn.Rekey(h.keys, issued.Key.ID)
		h.unchanged(t, "a rollback", func() {
			err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
				_, err := h.keys.Leaked(ctx, tx, found(wrong))
				wantErr(t, "a wrong secret", err, authn.ErrNoKey) // and the transaction goes on
				leak, err := h.keys.Leaked(ctx, tx, found(issued.Secret))
				if err != nil || !leak.Revoked {
					t.Errorf("%+v, %v", leak, err)
				}
				return context.Canceled
			})
			wantErr(t, "the transaction", err, context.Canceled)
		})
		wantErr(t, "the key", h.verify(t, issued.Secret), nil)
	})
}

func TestLeaked_KeepsOfThePlaceWhatMayBeKept(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		for given, want := range map[string]string{
			"https://git.example/a/b%20c#L10":           "https://git.example/a/b%20c",
			"http://user:pass@git.example:81/a?token=x": "http://git.example:81/a",
			"":                         "",
			"some_url":                 "",
			"javascript:alert(1)":      "",
			"ftp://git.example/a":      "",
			"https:///a":               "",
			"https://git.example/\x00": "",
			"https://git.example/" + strings.Repeat("x", 999): "",
			"https://git.example/%25":                         "",
			"https://git.example/KEY":                         "",
			"https://git.example/a?k=KEY":                     "https://git.example/a",
			"https://git.example/#KEY":                        "https://git.example/",
			"https://KEY@git.example/":                        "https://git.example/",
			"https://git.example/SECRET.txt":                  "",
			"https://git.example/HEXED":                       "",
			"https://git.example/TWICE":                       "",
			"https://SECRET.git.example/":                     "",
			"https://git.example/QR_LIVE_another":             "",
		} {
			issued := h.issue(t, r)
			secret := issued.Secret[20:50]
			l := found(issued.Secret)
			l.URL = strings.NewReplacer("KEY", issued.Secret, "SECRET", secret, "HEXED", fmt.Sprintf("%%%x", secret[0])+secret[1:], "TWICE", fmt.Sprintf("%%25%x", secret[0])+secret[1:]).Replace(given)
			l.Source = map[bool]string{true: "commit", false: issued.Secret}[want != ""]
			leak, err := h.keys.Leaked(t.Context(), h.db, l)
			fact := tenancytest.RequireEvent[authn.KeyLeaked](t, h.db, r.Account.ID)
			if err != nil || leak.URL != want || fact.URL != want || fact.Key != issued.Key.ID || (fact.Source == "") != (want == "") {
				t.Errorf("%s: %+v, %+v, %v", given, leak, fact, err)
			}
		}
	})
}

func TestLeaked_PrintsWithoutTheKey(t *testing.T) {
	issued := authn.Sum("qr_live_0123456789AB" + strings.Repeat("x", 30))
	var out bytes.Buffer
	for _, v := range []any{found(issued), struct{ L authn.Leaked }{found(issued)}} {
		spill(&out, v)
	}
	l := found(issued)
	spill(&out, &l)
	if strings.Contains(out.String(), "xxxx") || strings.Contains(strings.ToLower(out.String()), "78787878") {
		t.Errorf("the key shows: %s", &out)
	}
	if !strings.Contains(out.String(), "leaked key reported by github") {
		t.Errorf("nothing shows: %s", &out)
	}
}
