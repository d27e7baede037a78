package tenancy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestMarkVerified_IsOnceAndAudited(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "Ada@Example.com")
		if !ada.User.VerifiedAt.IsZero() {
			t.Errorf("a sign-up is verified: %+v", ada.User)
		}
		wantErr(t, "before", accounts.RequireVerified(t.Context(), db, ada.User.ID), tenancy.ErrUnverified)
		mark := tenancy.MarkVerified{User: ada.User.ID, Email: "ada@EXAMPLE.com", Actor: self(ada), Reason: "a token"}
		want := tenancy.Verified{User: ada.User, First: true}
		want.User.VerifiedAt = t0
		for range 2 {
			got, err := accounts.MarkVerified(t.Context(), db, mark)
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Errorf("(-want +got):\n%s%v", d, err)
			}
			want.First = false
			clock.Advance(time.Hour)
		}
		wantErr(t, "after", accounts.RequireVerified(t.Context(), db, ada.User.ID), nil)
		wantErr(t, "nobody", accounts.RequireVerified(t.Context(), db, "usr_none"), tenancy.ErrNoUser)
		if u, err := accounts.User(t.Context(), db, ada.User.ID); u != want.User || err != nil {
			t.Errorf("stored %+v, %v", u, err)
		}
		lines, err := accounts.Audits(t.Context(), db, tenancy.AuditLog{})
		var verified []tenancy.Audit
		for _, l := range lines {
			if l.Action == "tenancy.verify_email" {
				verified = append(verified, l)
			}
		}
		wantLines := []tenancy.Audit{{At: t0, Actor: self(ada), Action: "tenancy.verify_email", Target: string(ada.User.ID), Reason: "a token", Data: []byte("{}")}}
		if d := cmp.Diff(wantLines, verified, cmpopts.IgnoreFields(tenancy.Audit{}, "ID")); d != "" || err != nil {
			t.Errorf("audit (-want +got):\n%s%v", d, err)
		}
	})
}

func TestMarkVerified_Refusals(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada, bob := tenancytest.Register(t, db, accounts, "ada@example.com"), tenancytest.Register(t, db, accounts, "bob@example.com")
		for what, c := range map[string]struct {
			mark tenancy.MarkVerified
			want error
		}{
			"another address":  {tenancy.MarkVerified{User: ada.User.ID, Email: "old@example.com", Actor: self(ada)}, tenancy.ErrNoUser},
			"another's":        {tenancy.MarkVerified{User: ada.User.ID, Email: bob.User.Email, Actor: self(ada)}, tenancy.ErrNoUser},
			"no address":       {tenancy.MarkVerified{User: ada.User.ID, Email: "ada\x00", Actor: self(ada)}, tenancy.ErrNoUser},
			"no user":          {tenancy.MarkVerified{User: "usr_none", Email: ada.User.Email, Actor: self(ada)}, tenancy.ErrNoUser},
			"an odd user":      {tenancy.MarkVerified{User: "usr_\x00", Email: ada.User.Email, Actor: self(ada)}, tenancy.ErrNoUser},
			"no actor":         {tenancy.MarkVerified{User: ada.User.ID, Email: ada.User.Email}, tenancy.ErrInvalid},
			"a reason of NULs": {tenancy.MarkVerified{User: ada.User.ID, Email: ada.User.Email, Actor: self(ada), Reason: "\x00"}, tenancy.ErrInvalid},
		} {
			unchanged(t, db, what, func() {
				err := db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
					_, err := accounts.MarkVerified(ctx, tx, c.mark)
					wantErr(t, what, err, c.want)
					return accounts.RequireVerified(ctx, tx, ada.User.ID)
				})
				wantErr(t, what+": the host's transaction", err, tenancy.ErrUnverified)
			})
		}
	})
}

func TestMarkVerified_OneOfManyAtOnceIsTheFirst(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		firsts := make([]bool, 8)
		errs := dbtest.Together(len(firsts), func(i int) error {
			v, err := accounts.MarkVerified(t.Context(), db, tenancy.MarkVerified{User: ada.User.ID, Email: ada.User.Email, Actor: self(ada)})
			firsts[i] = v.First
			return err
		})
		n := 0
		for _, first := range firsts {
			if first {
				n++
			}
		}
		if err := errors.Join(errs...); n != 1 || err != nil {
			t.Errorf("%d firsts, %v", n, err)
		}
	})
}

func TestM18_Adopt_TakesOverThatAnAddressIsVerified(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		what := brought()
		what.Users[1].VerifiedAt = t0.Add(-time.Hour)
		wantErr(t, "adopting", accounts.Adopt(t.Context(), db, what), nil)
		for i, want := range what.Users {
			if u, err := accounts.User(t.Context(), db, want.ID); u != want || err != nil {
				t.Errorf("%d: %+v, %v", i, u, err)
			}
		}
	})
}
