package adoption_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy/adoption"
)

func TestM18_WhatTheOldSystemVerifiedIsVerified(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts := newAccounts(t, db)
		a, what := newAdoption(t, accounts, words), running(true)
		what.Users[2].VerifiedAt = time.Date(12_000, 1, 1, 0, 0, 0, 0, time.UTC)
		report, err := a.Adopt(t.Context(), db, what)
		wantErr(t, "a time that cannot be", err, adoption.ErrRefused)
		if d := cmp.Diff([]string{"user 3 verified_at"}, found(report.Refused)); d != "" {
			t.Errorf("refused (-want +got):\n%s", d)
		}
		what.Users[2].VerifiedAt = opened
		report, err = a.Adopt(t.Context(), db, what)
		wantErr(t, "adopting", err, nil)
		for _, foreign := range []string{"2", "3"} {
			u, err := accounts.User(t.Context(), db, report.UserIDs[foreign])
			if want := foreign == "3"; err != nil || u.VerifiedAt.Equal(opened) != want || u.VerifiedAt.IsZero() == want {
				t.Errorf("user %s: %+v, %v", foreign, u, err)
			}
		}
	})
}
