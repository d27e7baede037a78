package authn_test

import (
	"context"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

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
