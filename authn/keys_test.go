package authn_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func (h *house) verify(t *testing.T, key string) error {
	t.Helper()
	_, err := h.keys.Verify(t.Context(), h.db, key, 0)
	return err
}

func TestIssue_WritesTheKeyTheAuditAndTheEvent(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		end := t0.Add(time.Hour)
		issued, err := h.keys.Issue(t.Context(), h.db, authn.Issue{
			Account: r.Account.ID, Name: " build server ", Actor: userOf(r), ExpiresAt: end.In(time.FixedZone("", 7200)),
		})
		if err != nil {
			t.Fatal(err)
		}
		want := authn.Key{
			Account: r.Account.ID, ID: issued.Key.ID, Name: "build server", Env: "live", CreatedBy: userOf(r), CreatedAt: t0, ExpiresAt: end,
		}
		read, err := h.keys.Get(t.Context(), h.db, r.Account.ID, issued.Key.ID)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]authn.Key{want, want}, []authn.Key{issued.Key, read}); d != "" {
			t.Error(d)
		}
		if !strings.HasPrefix(issued.Secret, "qr_live_"+string(issued.Key.ID)) {
			t.Error("the key does not begin with its id")
		}
		line := tenancytest.RequireAudit(t, h.db, r.Account.ID, "authn.issue_key")
		if line.Actor != userOf(r) || line.Target != string(issued.Key.ID) || !line.At.Equal(t0) {
			t.Errorf("audit %+v", line)
		}
		fact := tenancytest.RequireEvent[authn.KeyIssued](t, h.db, r.Account.ID)
		if fact.Key != issued.Key.ID || !fact.ExpiresAt.Equal(end) {
			t.Errorf("event %+v", fact)
		}
		wantErr(t, "the new key", h.verify(t, issued.Secret), nil)
	})
}

func TestIssue_RefusalsWriteNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		good := authn.Issue{Account: r.Account.ID, Name: "a key", Actor: userOf(r)}
		with := func(change func(*authn.Issue)) authn.Issue { i := good; change(&i); return i }
		for what, c := range map[string]struct {
			issue authn.Issue
			want  error
		}{
			"no name":           {with(func(i *authn.Issue) { i.Name = " " }), tenancy.ErrInvalid},
			"a long name":       {with(func(i *authn.Issue) { i.Name = strings.Repeat("x", 201) }), tenancy.ErrInvalid},
			"a line in it":      {with(func(i *authn.Issue) { i.Name = "a\nb" }), tenancy.ErrInvalid},
			"no actor":          {with(func(i *authn.Issue) { i.Actor = tenancy.Actor{} }), tenancy.ErrInvalid},
			"an end now":        {with(func(i *authn.Issue) { i.ExpiresAt = t0 }), tenancy.ErrInvalid},
			"no such account":   {with(func(i *authn.Issue) { i.Account = "acc_none" }), tenancy.ErrNoAccount},
			"a key makes a key": {with(func(i *authn.Issue) { i.Actor.Kind = tenancy.ActorKey }), tenancy.ErrForbidden},
		} {
			h.unchanged(t, what, func() {
				_, err := h.keys.Issue(t.Context(), h.db, c.issue)
				wantErr(t, what, err, c.want)
			})
		}
		if _, err := h.accounts.Suspend(t.Context(), h.db, tenancy.Suspend{Account: r.Account.ID, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		h.unchanged(t, "a suspended account", func() {
			_, err := h.keys.Issue(t.Context(), h.db, good)
			wantErr(t, "a suspended account", err, tenancy.ErrSuspended)
		})
	})
}

func TestIssue_TwoAtTheLastPlaceMakeOne(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		plan := tenancytest.Plans()[0]
		plan.Limits = map[string]int64{authn.LimitKeys: 3}
		if _, err := h.accounts.Ensure(t.Context(), h.db, plan); err != nil {
			t.Fatal(err)
		}
		r, other := h.register(t, "ada@example.com"), h.register(t, "bob@example.com")
		first := h.issue(t, r)
		if _, err := h.keys.Issue(t.Context(), h.db, authn.Issue{
			Account: r.Account.ID, Name: "short", Actor: userOf(r), ExpiresAt: t0.Add(time.Minute),
		}); err != nil {
			t.Fatal(err)
		}
		issue := func(int) error {
			_, err := h.keys.Issue(t.Context(), h.db, authn.Issue{Account: r.Account.ID, Name: "a key", Actor: userOf(r)})
			return err
		}
		if n := together(t, 8, tenancy.ErrLimit, issue); n != 1 {
			t.Errorf("%d keys were made at the last place", n)
		}
		h.issue(t, other)
		// The revoked and the expired make room.
		if _, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: r.Account.ID, Key: first.Key.ID, Actor: userOf(r)}); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "after a revocation", issue(0), nil)
		wantErr(t, "full again", issue(0), tenancy.ErrLimit)
		h.clock.Advance(time.Minute)
		wantErr(t, "after an expiry", issue(0), nil)
	})
}

// Whoever counts the keys has locked the account first. On SQLite the one writer
// is the lock.
func TestIssue_WaitsForTheOneBeforeIt(t *testing.T) {
	h := newHouse(t, dbtest.Postgres(t, authn.Migrate))
	plan := tenancytest.Plans()[0]
	plan.Limits = map[string]int64{authn.LimitKeys: 2}
	if _, err := h.accounts.Ensure(t.Context(), h.db, plan); err != nil {
		t.Fatal(err)
	}
	r := h.register(t, "ada@example.com")
	h.issue(t, r)
	last := authn.Issue{Account: r.Account.ID, Name: "the last", Actor: userOf(r)}

	tx, err := h.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := h.keys.Issue(t.Context(), tx, last); err != nil {
		t.Fatal(err)
	}
	lock := asks{what: "authn_accounts", seen: make(chan struct{}, 1)}
	write := asks{what: "authn_key_ids", seen: make(chan struct{}, 1)}
	done := make(chan error, 1)
	go func() {
		_, err := h.keys.Issue(t.Context(), h.db.WithQueryHook(lock).WithQueryHook(write), last)
		done <- err
	}()
	select {
	case <-lock.seen:
	case <-write.seen:
		t.Fatal("it counted the keys and did not wait")
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "the second at the last place", <-done, tenancy.ErrLimit)
}

func TestIssue_JoinsTheHostsTransaction(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		undo := errors.New("undo")
		h.unchanged(t, "a rolled-back transaction", func() {
			err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
				issued, err := h.keys.Issue(ctx, tx, authn.Issue{Account: r.Account.ID, Name: "a key", Actor: userOf(r)})
				if err != nil {
					return err
				}
				if _, err := h.keys.Verify(ctx, tx, issued.Secret, 0); err != nil {
					return err
				}
				return undo
			})
			wantErr(t, "the transaction", err, undo)
		})
		// A refusal leaves it usable.
		err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			_, err := h.keys.Issue(ctx, tx, authn.Issue{Account: "acc_none", Name: "a key", Actor: operator})
			wantErr(t, "no account", err, tenancy.ErrNoAccount)
			_, err = h.keys.Revoke(ctx, tx, authn.Revoke{Account: r.Account.ID, Key: "000000000000", Actor: operator})
			wantErr(t, "no key", err, authn.ErrNoKey)
			_, err = h.keys.Verify(ctx, tx, authn.Sum("qr_live_"+strings.Repeat("0", 42)), 0)
			wantErr(t, "an unknown key", err, authn.ErrBadCredential)
			_, err = h.keys.Issue(ctx, tx, authn.Issue{Account: r.Account.ID, Name: "a key", Actor: userOf(r)})
			return err
		})
		wantErr(t, "after the refusals", err, nil)
		if n := h.count(t, "authn_keys"); n != 1 {
			t.Errorf("%d keys", n)
		}
	})
}

func TestRevoke_EndsTheKeyAtOnceAndOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		issued, stays := h.issue(t, r), h.issue(t, r)
		h.clock.Advance(time.Minute)
		revoke := authn.Revoke{Account: r.Account.ID, Key: issued.Key.ID, Actor: userOf(r), Reason: "it leaked"}
		before := h.count(t, "tenancy_audit") + h.count(t, "tenancy_events")
		if n := together(t, 8, nil, func(int) error {
			key, err := h.keys.Revoke(t.Context(), h.db, revoke)
			if err == nil && !key.RevokedAt.Equal(t0.Add(time.Minute)) {
				t.Errorf("revoked at %s", key.RevokedAt)
			}
			return err
		}); n != 8 {
			t.Errorf("%d of 8 succeeded", n)
		}
		if after := h.count(t, "tenancy_audit") + h.count(t, "tenancy_events"); after != before+2 {
			t.Errorf("%d lines and events for one revocation", after-before)
		}
		wantErr(t, "the revoked key", h.verify(t, issued.Secret), authn.ErrBadCredential)
		wantErr(t, "the other key", h.verify(t, stays.Secret), nil)
		if line := tenancytest.RequireAudit(t, h.db, r.Account.ID, "authn.revoke_key"); line.Reason != "it leaked" || line.Target != string(issued.Key.ID) || line.Actor != userOf(r) {
			t.Errorf("audit %+v", line)
		}
		if fact := tenancytest.RequireEvent[authn.KeyRevoked](t, h.db, r.Account.ID); fact.Key != issued.Key.ID {
			t.Errorf("event %+v", fact)
		}
		h.clock.Advance(time.Minute)
		key, err := h.keys.Revoke(t.Context(), h.db, revoke)
		if err != nil || !key.RevokedAt.Equal(t0.Add(time.Minute)) {
			t.Errorf("revoked again: %+v, %v", key, err)
		}
	})
}

func TestRevoke_AnotherAccountsKeyIsNotFound(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada, bob := h.register(t, "ada@example.com"), h.register(t, "bob@example.com")
		issued := h.issue(t, ada)
		h.unchanged(t, "the refusals", func() {
			for what, r := range map[string]authn.Revoke{
				"another's":       {Account: bob.Account.ID, Key: issued.Key.ID, Actor: userOf(bob)},
				"unknown":         {Account: ada.Account.ID, Key: "000000000000", Actor: userOf(ada)},
				"no id":           {Account: ada.Account.ID, Actor: userOf(ada)},
				"no text":         {Account: ada.Account.ID, Key: "\x00\xff", Actor: userOf(ada)},
				"the whole key":   {Account: ada.Account.ID, Key: authn.KeyID(issued.Secret), Actor: userOf(ada)},
				"in other letter": {Account: ada.Account.ID, Key: authn.KeyID(strings.ToUpper(string(issued.Key.ID)) + "x")[:12], Actor: userOf(ada)},
			} {
				if r.Key == issued.Key.ID && r.Account == ada.Account.ID {
					continue // an id without small letters
				}
				_, err := h.keys.Revoke(t.Context(), h.db, r)
				wantErr(t, what, err, authn.ErrNoKey)
				_, err = h.keys.Get(t.Context(), h.db, r.Account, r.Key)
				wantErr(t, "get "+what, err, authn.ErrNoKey)
			}
			_, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: ada.Account.ID, Key: issued.Key.ID})
			wantErr(t, "no actor", err, tenancy.ErrInvalid)
		})
		// A host that commits after the refusal has changed nothing.
		err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			_, err := h.keys.Revoke(ctx, tx, authn.Revoke{Account: bob.Account.ID, Key: issued.Key.ID, Actor: userOf(bob)})
			wantErr(t, "another's", err, authn.ErrNoKey)
			_, err = h.keys.Revoke(ctx, tx, authn.Revoke{Account: ada.Account.ID, Key: issued.Key.ID})
			wantErr(t, "no actor", err, tenancy.ErrInvalid)
			return nil
		})
		wantErr(t, "the commit", err, nil)
		wantErr(t, "the key", h.verify(t, issued.Secret), nil)
	})
}

func TestList_PagesAnAccountsOwnKeys(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada, bob := h.register(t, "ada@example.com"), h.register(t, "bob@example.com")
		foreign := h.issue(t, bob)
		want := map[authn.KeyID]bool{}
		for i := range 7 {
			if i%3 == 0 { // some share an instant
				h.clock.Advance(time.Microsecond)
			}
			want[h.issue(t, ada).Key.ID] = true
		}
		var last authn.Key
		for page := (authn.List{Account: ada.Account.ID, Limit: 3}); ; page.Before = last.ID {
			keys, err := h.keys.List(t.Context(), h.db, page)
			if err != nil {
				t.Fatal(err)
			}
			if len(keys) == 0 {
				break
			}
			for _, k := range keys {
				if !want[k.ID] || last.ID != "" && k.CreatedAt.After(last.CreatedAt) {
					t.Errorf("%+v after %+v", k, last)
				}
				delete(want, k.ID)
				last = k
			}
		}
		if len(want) != 0 {
			t.Errorf("not listed: %v", want)
		}
		for what, before := range map[string]authn.KeyID{"another's": foreign.Key.ID, "no text": "\x00\xff", "unknown": "000000000000"} {
			keys, err := h.keys.List(t.Context(), h.db, authn.List{Account: ada.Account.ID, Before: before})
			if err != nil || len(keys) != 0 {
				t.Errorf("before %s: %v, %v", what, keys, err)
			}
		}
	})
}

func TestVerify_TellsApartNothingBeforeTheSecretMatches(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		issued := h.issue(t, r)
		if _, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: r.Account.ID, Key: issued.Key.ID, Actor: userOf(r)}); err != nil {
			t.Fatal(err)
		}
		other, _, _ := authn.Rekey(h.keys, issued.Key.ID)
		unknown, _, _ := authn.Rekey(h.keys, "000000000000")
		sums := authn.CountSums(h.keys)
		for what, key := range map[string]string{"a wrong secret": other, "an unknown id": unknown} {
			before := sums()
			err := h.verify(t, key)
			if err == nil || err.Error() != authn.ErrBadCredential.Error() {
				t.Errorf("%s: %v", what, err)
			}
			if n := sums() - before; n != 1 {
				t.Errorf("%s cost %d HMACs", what, n)
			}
		}
		if err := h.verify(t, issued.Secret); !errors.Is(err, authn.ErrBadCredential) || !strings.Contains(err.Error(), "revoked") {
			t.Errorf("who holds the secret: %v", err)
		}
	})
}

func TestVerify_RefusesWhatIsNoKeyWithoutTheDatabase(t *testing.T) {
	accounts := tenancy.New(tenancy.Config{})
	keys, err := authn.New(accounts, authn.Config{Peppers: []authn.Pepper{pepper("a")}})
	if err != nil {
		t.Fatal(err)
	}
	good := authn.Sum("qr_live_" + strings.Repeat("0", 42))
	for _, key := range []string{"", "x", good[:len(good)-1], good + "0", strings.Replace(good, "live", "test", 1), strings.Replace(good, "000", "001", 1)} {
		_, err := keys.Verify(t.Context(), nil, key, 0) // a nil database panics when it is asked
		wantErr(t, key, err, authn.ErrBadCredential)
	}
}

func TestVerify_IsOneStatementForTheKeyAndOneForTheAccount(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued := h.issue(t, h.register(t, "ada@example.com"))
		asked := &queries{}
		if _, err := h.keys.Verify(t.Context(), h.db.WithQueryHook(asked), issued.Secret, 0); err != nil {
			t.Fatal(err)
		}
		if len(asked.said) != 2 {
			t.Errorf("%d statements: %q", len(asked.said), asked.said)
		}
	})
}

func TestVerify_ExpiryCountsToTheMicrosecond(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		issued, err := h.keys.Issue(t.Context(), h.db, authn.Issue{Account: r.Account.ID, Name: "short", Actor: userOf(r), ExpiresAt: t0.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		h.clock.Set(t0.Add(time.Hour - time.Microsecond))
		wantErr(t, "just before its end", h.verify(t, issued.Secret), nil)
		h.clock.Set(t0.Add(time.Hour))
		err = h.verify(t, issued.Secret)
		wantErr(t, "at its end", err, authn.ErrBadCredential)
		if err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("it says %v", err)
		}
	})
}

func TestVerify_AKeyNeverGetsMoreThanUse(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued := h.issue(t, h.register(t, "ada@example.com"))
		for _, need := range []tenancy.Capability{tenancy.SignIn, tenancy.MintKeys, tenancy.Pay, tenancy.Export, tenancy.Use | tenancy.Pay} {
			_, err := h.keys.Verify(t.Context(), h.db, issued.Secret, need)
			wantErr(t, need.String(), err, tenancy.ErrForbidden)
		}
		for _, need := range []tenancy.Capability{0, tenancy.Read, tenancy.Write, tenancy.Spend, tenancy.Use} {
			ctx, err := h.keys.Verify(t.Context(), h.db, issued.Secret, need)
			if err != nil {
				t.Fatal(err)
			}
			if s := tenancy.From(ctx); s.Account != issued.Key.Account || s.Actor != (tenancy.Actor{Kind: tenancy.ActorKey, ID: string(issued.Key.ID)}) {
				t.Errorf("entered %+v", s)
			}
		}
	})
}

func TestVerify_PepperRing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		old := h.issue(t, r)
		turned := h.newKeys(t, pepper("b"), pepper("a"))
		fresh, err := turned.Issue(t.Context(), h.db, authn.Issue{Account: r.Account.ID, Name: "a key", Actor: userOf(r)})
		if err != nil {
			t.Fatal(err)
		}
		after := h.newKeys(t, pepper("b"))
		for what, c := range map[string]struct {
			keys *authn.Keys
			key  string
			want error
		}{
			"the old key, the pepper turned":  {turned, old.Secret, nil},
			"the new key, the pepper turned":  {turned, fresh.Secret, nil},
			"the old key, its pepper removed": {after, old.Secret, authn.ErrBadCredential},
			"the new key, only its pepper":    {after, fresh.Secret, nil},
			"the new key, only the old one":   {h.keys, fresh.Secret, authn.ErrBadCredential},
		} {
			_, err := c.keys.Verify(t.Context(), h.db, c.key, 0)
			wantErr(t, what, err, c.want)
		}
	})
}

func TestVerify_AnEnvironmentOrAnIDCannotBeExchanged(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		issued, other := h.issue(t, r), h.issue(t, r)
		test, err := authn.New(h.accounts, authn.Config{Env: "test", Peppers: []authn.Pepper{pepper("a")}, Now: h.clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		relabelled := authn.Sum(strings.Replace(issued.Secret[:50], "live", "test", 1))
		_, err = test.Verify(t.Context(), h.db, relabelled, 0)
		wantErr(t, "a live key as a test key", err, authn.ErrBadCredential)
		// Nor does one key's hash open another, for whoever can write the database.
		h.exec(t, `UPDATE authn_key_secrets SET hash = (SELECT s.hash FROM authn_key_secrets AS s WHERE s.key_id = ?) WHERE key_id = ?`,
			issued.Key.ID, other.Key.ID)
		moved := authn.Sum("qr_live_" + string(other.Key.ID) + issued.Secret[20:50])
		wantErr(t, "a hash moved to another key", h.verify(t, moved), authn.ErrBadCredential)
	})
}

func TestVerify_AKeyMayHaveSeveralSecrets(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		issued := h.issue(t, r)
		second, pepper, hash := authn.Rekey(h.keys, issued.Key.ID)
		h.exec(t, `INSERT INTO authn_key_secrets (account_id, key_id, secret_id, pepper_id, hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			r.Account.ID, issued.Key.ID, id.New("sec"), pepper, hash, t0, t0.Add(time.Hour))
		wantErr(t, "the first secret", h.verify(t, issued.Secret), nil)
		wantErr(t, "the second secret", h.verify(t, second), nil)
		third, _, _ := authn.Rekey(h.keys, issued.Key.ID)
		wantErr(t, "a third one", h.verify(t, third), authn.ErrBadCredential)

		h.clock.Advance(time.Hour)
		wantErr(t, "the second secret, expired", h.verify(t, second), authn.ErrBadCredential)
		wantErr(t, "the first secret", h.verify(t, issued.Secret), nil)
		h.exec(t, "UPDATE authn_key_secrets SET expires_at = NULL, revoked_at = ? WHERE pepper_id = ? AND hash = ?", t0, pepper, hash)
		wantErr(t, "the second secret, revoked", h.verify(t, second), authn.ErrBadCredential)
		h.exec(t, "UPDATE authn_key_secrets SET revoked_at = NULL WHERE pepper_id = ? AND hash = ?", pepper, hash)
		wantErr(t, "the second secret, restored", h.verify(t, second), nil)
		if _, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: r.Account.ID, Key: issued.Key.ID, Actor: userOf(r)}); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "the first secret of a revoked key", h.verify(t, issued.Secret), authn.ErrBadCredential)
		wantErr(t, "the second secret of a revoked key", h.verify(t, second), authn.ErrBadCredential)
	})
}

// M6: whatever status an account has, its key gets what any other way in gets.
func TestM6_AKeyValidatesItsAccountLikeEveryOtherWayIn(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		issued := h.issue(t, r)
		for _, c := range []struct {
			status      tenancy.Status
			trial       any
			read, spend error
		}{
			{tenancy.StatusTrial, t0.Add(time.Microsecond), nil, nil},
			{tenancy.StatusTrial, t0, nil, tenancy.ErrTrialOver},
			{tenancy.StatusActive, nil, nil, nil},
			{tenancy.StatusPastDue, nil, nil, tenancy.ErrPastDue},
			{tenancy.StatusPendingPayment, nil, nil, tenancy.ErrPaymentPending},
			{tenancy.StatusSuspended, nil, tenancy.ErrSuspended, tenancy.ErrSuspended},
			{tenancy.StatusCancelled, nil, tenancy.ErrCancelled, tenancy.ErrCancelled},
			{tenancy.StatusClosed, nil, tenancy.ErrNoAccount, tenancy.ErrNoAccount},
			{tenancy.StatusErased, nil, tenancy.ErrNoAccount, tenancy.ErrNoAccount},
			{"on_holiday", nil, tenancy.ErrUnknownStatus, tenancy.ErrUnknownStatus},
		} {
			h.exec(t, "UPDATE tenancy_accounts SET status = ?, trial_ends_at = ? WHERE account_id = ?", c.status, c.trial, r.Account.ID)
			_, err := h.keys.Verify(t.Context(), h.db, issued.Secret, tenancy.Read)
			wantErr(t, string(c.status)+" reads", err, c.read)
			_, err = h.keys.Verify(t.Context(), h.db, issued.Secret, tenancy.Spend)
			wantErr(t, string(c.status)+" spends", err, c.spend)
			_, err = h.accounts.Enter(t.Context(), h.db, r.Account.ID, userOf(r), tenancy.Spend)
			wantErr(t, string(c.status)+" by another way", err, c.spend)
		}
	})
}

func TestM6_SuspendingAnAccountStopsItsKeysAtOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r, other := h.register(t, "ada@example.com"), h.register(t, "bob@example.com")
		issued, foreign := h.issue(t, r), h.issue(t, other)
		server := h.keys.Middleware(h.db, 0)(whoami)
		call := func(key string) int {
			return serve(server, request("GET", "/", "", "Authorization", "Bearer "+key)).Code
		}
		for _, step := range []struct {
			do   func() error
			want int
		}{
			{func() error { return nil }, 200},
			{func() error {
				_, err := h.accounts.Suspend(t.Context(), h.db, tenancy.Suspend{Account: r.Account.ID, Actor: operator})
				return err
			}, 403},
			{func() error {
				_, err := h.accounts.Resume(t.Context(), h.db, tenancy.Resume{Account: r.Account.ID, Actor: operator})
				return err
			}, 200},
			{func() error { h.clock.Set(r.Account.TrialEndsAt); return nil }, 402},
		} {
			if err := step.do(); err != nil {
				t.Fatal(err)
			}
			if got := call(issued.Secret); got != step.want {
				t.Errorf("answered %d, want %d", got, step.want)
			}
			if got := call(foreign.Secret); got != 200 && step.want != 402 {
				t.Errorf("the other account is answered %d", got)
			}
		}
	})
}

// A host that keeps accounts in its own tables brings a Loader; keys work the same.
func TestM6_KeysWorkWithTheHostsOwnAccounts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		status := tenancy.StatusActive
		accounts := tenancy.New(tenancy.Config{Loader: func(_ context.Context, _ bun.IDB, id tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
			if id != "42" {
				return tenancy.State{}, tenancy.Plan{}, tenancy.ErrNoAccount
			}
			return tenancy.State{Status: status}, tenancy.Plan{Slug: "own", Active: true, Limits: map[string]int64{authn.LimitKeys: 1}}, nil
		}})
		keys, err := authn.New(accounts, authn.Config{Peppers: []authn.Pepper{pepper("a")}})
		if err != nil {
			t.Fatal(err)
		}
		issued, err := keys.Issue(t.Context(), db, authn.Issue{Account: "42", Name: "a key", Actor: operator})
		if err != nil {
			t.Fatal(err)
		}
		_, err = keys.Issue(t.Context(), db, authn.Issue{Account: "42", Name: "a key", Actor: operator})
		wantErr(t, "the plan's limit", err, tenancy.ErrLimit)
		_, err = keys.Verify(t.Context(), db, issued.Secret, 0)
		wantErr(t, "an active account", err, nil)
		status = tenancy.StatusSuspended
		_, err = keys.Verify(t.Context(), db, issued.Secret, 0)
		wantErr(t, "a suspended account", err, tenancy.ErrSuspended)
	}, authn.Migrate)
}
