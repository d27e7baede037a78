package tenancy_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// A limiter of strangers asks this: a customer whose trial is over is none.
func TestObserve_TellsOfEveryoneWhoseAccountExists(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com").Account
		for _, c := range []struct {
			what  string
			id    tenancy.AccountID
			actor tenancy.Actor
			need  tenancy.Capability
			days  int
			want  error
			known bool
		}{
			{"entered", ada.ID, key, tenancy.Use, 0, nil, true},
			{"the trial is over", ada.ID, key, tenancy.Use, 14, tenancy.ErrTrialOver, true},
			{"a capability that nobody has", ada.ID, person, 128, 0, tenancy.ErrForbidden, true},
			{"no account", "acc_none", key, tenancy.Use, 0, tenancy.ErrNoAccount, false},
			{"no account's id", "a b", key, tenancy.Use, 0, tenancy.ErrNoAccount, false},
			{"nobody", ada.ID, tenancy.Actor{}, tenancy.Use, 0, tenancy.ErrInvalid, false},
			{"a key that signs in", ada.ID, key, tenancy.SignIn, 0, tenancy.ErrForbidden, true},
		} {
			clock.Set(t0.AddDate(0, 0, c.days))
			var inside, outside int
			ctx := tenancy.Observe(tenancy.Observe(t.Context(), func(tenancy.AccountID, bool) { outside++ }), func(tenancy.AccountID, bool) { inside++ })
			want := 0
			if c.known {
				want = 1 // however often it happens
			}
			for range 2 {
				_, err := accounts.Enter(ctx, db, c.id, c.actor, c.need)
				wantErr(t, c.what, err, c.want)
				if inside != want || outside != want {
					t.Errorf("%s: the inner observer was told %d times, the outer one %d; want %d", c.what, inside, outside, want)
				}
			}
		}

		// An observer is told of what happens inside it.
		var inside, outside int
		outer := tenancy.Observe(t.Context(), func(tenancy.AccountID, bool) { outside++ })
		inner := tenancy.Observe(outer, func(tenancy.AccountID, bool) { inside++ })
		for i, ctx := range []context.Context{outer, inner} {
			if _, err := accounts.Enter(ctx, db, ada.ID, person, tenancy.Pay); err != nil || outside != 1 || inside != i {
				t.Errorf("entered %d: %v, outer %d, inner %d", i, err, outside, inside)
			}
		}
	})
}

func TestAuthorizer_TellsAnObserverOfOperatorsOnly(t *testing.T) {
	for _, c := range []struct {
		actor tenancy.Actor
		err   error
		known bool
	}{{operator, nil, true}, {operator, tenancy.ErrForbidden, false}, {tenancy.Actor{}, nil, false}} {
		recognised := false
		ctx := tenancy.Observe(t.Context(), func(tenancy.AccountID, bool) { recognised = true })
		check := tenancy.Authorizer(func(*http.Request) (tenancy.Actor, error) { return c.actor, c.err })
		actor, err := check.Authorize(httptest.NewRequestWithContext(ctx, "GET", "/", nil))
		if recognised != c.known || (err == nil) != c.known || (actor == operator) != c.known {
			t.Errorf("%+v: %+v, %v, recognised %t", c, actor, err, recognised)
		}
	}
}
