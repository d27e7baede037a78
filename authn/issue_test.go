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
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

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
			Account: r.Account.ID, ID: issued.Key.ID, Name: "build server", Env: "live", CreatedBy: userOf(r), Maker: r.User.ID, Scopes: []tenancy.Permission{}, CreatedAt: t0, ExpiresAt: end,
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

// Whoever counts the keys has locked the account first: its row, or that of its keys
// where a Loader keeps accounts elsewhere. On SQLite the one writer is the lock.
func TestIssue_WaitsForTheOneBeforeIt(t *testing.T) {
	h := newHouse(t, dbtest.Postgres(t, authn.Migrate))
	plan := tenancytest.Plans()[0]
	plan.Limits = map[string]int64{authn.LimitKeys: 2}
	if _, err := h.accounts.Ensure(t.Context(), h.db, plan); err != nil {
		t.Fatal(err)
	}
	waits(t, h, h.register(t, "ada@example.com").Account.ID, `UPDATE "tenancy_accounts"`)

	h.accounts = tenancy.New(tenancy.Config{
		Now: h.clock.Now,
		Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
			return tenancy.State{Status: tenancy.StatusActive}, plan, nil
		},
	})
	h.keys = h.newKeys(t, authn.Pepper{ID: "1", Secret: make([]byte, 32)})
	waits(t, h, "elsewhere", "authn_accounts")
}

func waits(t *testing.T, h *house, account tenancy.AccountID, sign string) {
	t.Helper()
	last := authn.Issue{Account: account, Name: "the last", Actor: operator}
	if _, err := h.keys.Issue(t.Context(), h.db, last); err != nil {
		t.Fatal(err)
	}
	tx, err := h.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := h.keys.Issue(t.Context(), tx, last); err != nil {
		t.Fatal(err)
	}
	lock := asks{what: sign, seen: make(chan struct{}, 1)}
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
