package seals_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/seals"
	"github.com/quitrent/quitrent/tenancy"
)

// pages verifies all accounts, two at a time, and says what each call did: how many
// accounts, of how many seals, where the next one begins, and what was found.
func pages(t testing.TB, db bun.IDB, s *seals.Seals, what seals.VerifyAll) []string {
	t.Helper()
	var out []string
	for what.Limit = 2; ; {
		v, err := s.VerifyAll(t.Context(), db, what)
		if err != nil {
			t.Fatal(err)
		}
		page := fmt.Sprintf("%d accounts, %d+%d to %q", v.Accounts, v.Sealed, v.Unsealed, v.Next)
		for _, f := range v.Findings {
			page += "; " + f.String()
		}
		out = append(out, page)
		if what.After = v.Next; what.After == "" || len(out) > 20 {
			return out
		}
	}
}

func TestVerifyAll_GoesOnWhereItStoppedAndFindsTheOneThatWasTamperedWith(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		for i := range 9 {
			history(t, db, tenancy.AccountID(fmt.Sprint("a", i)))
		}
		seconds := credits.New(credits.Config{Unit: "gpu_second"})
		for _, account := range []tenancy.AccountID{"a0", "a22", "z"} { // none of this ledger's
			if _, err := seconds.Grant(t.Context(), db, credits.Grant{Account: account, Amount: 5, Key: "s"}); err != nil {
				t.Fatal(err)
			}
		}
		theirs := seals.New(seals.Config{Unit: "gpu_second"})
		if n, err := theirs.SealDue(t.Context(), db); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		if _, err := s.SealDue(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		spend(t, db, "a3", 2)
		sound := []string{
			`2 accounts, 14+0 to "a1"`, `2 accounts, 14+2 to "a3"`, `2 accounts, 14+0 to "a5"`,
			`2 accounts, 14+0 to "a7"`, `1 accounts, 7+0 to ""`,
		}
		if d := cmp.Diff(sound, pages(t, db, s, seals.VerifyAll{})); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		unguard(t, db)
		tamper(t, db, "UPDATE credits_entries SET note = 'nine images' WHERE account_id = 'a6' AND number = 3",
			"DELETE FROM credits_entries WHERE account_id = 'a8' AND number = 7")
		want := []string{
			sound[0], sound[1], sound[2],
			sound[3] + `; a6: entry 3: an entry is as it was sealed: the entry was changed`,
			sound[4] + `; a8: entry 7: a sealed entry is there: it is gone`,
		}
		if d := cmp.Diff(want, pages(t, db, s, seals.VerifyAll{})); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if d := cmp.Diff(want[3:], pages(t, db, s, seals.VerifyAll{After: "a5"})); d != "" {
			t.Errorf("from a5 on (-want +got):\n%s", d)
		}
		if v, err := s.VerifyAll(t.Context(), db, seals.VerifyAll{After: "a2", Limit: 1}); err != nil || v.Next != "a3" {
			t.Errorf("after a2: %+v, %v", v, err)
		}
		v, err := s.VerifyAll(t.Context(), db, seals.VerifyAll{})
		if err != nil || v.Accounts != 9 || v.Sealed != 63 || v.Unsealed != 2 || len(v.Findings) != 2 || v.Sound() || v.Next != "" {
			t.Errorf("%+v, %v", v, err)
		}
		if d := cmp.Diff([]string{`2 accounts, 2+0 to "a22"`, `1 accounts, 1+0 to ""`}, pages(t, db, theirs, seals.VerifyAll{})); d != "" {
			t.Errorf("the other unit (-want +got):\n%s", d)
		}
	})
}

// Who deletes an account's row hides it from nobody: its seals are there, and each is
// found where it belongs in the order, by whatever id.
func TestVerifyAll_FindsAccountsByTheirSealsToo(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		for _, account := range []tenancy.AccountID{"a", "b", "c", "d"} {
			history(t, db, account)
		}
		if _, err := s.SealDue(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		history(t, db, "e")
		unguard(t, db)
		for _, account := range []string{"b", "c"} {
			tamper(t, db, "DELETE FROM credits_accounts WHERE account_id = '"+account+"'")
		}
		tamper(t, db, "DELETE FROM credits_entries WHERE account_id = 'b' AND number = 7",
			"INSERT INTO credits_seals (account_id, unit, number, hash) VALUES ('d d', 'credit', 1, 'x')")
		want := []string{
			`2 accounts, 14+0 to "b"; b: entry 7: a sealed entry is there: it is gone`, `2 accounts, 14+0 to "d"`,
			`2 accounts, 1+7 to "e"; d d: entry 1: a sealed entry is there: it is gone`, `0 accounts, 0+0 to ""`,
		}
		if d := cmp.Diff(want, pages(t, db, s, seals.VerifyAll{})); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

// A chain that was cut or written anew is found by the heads in the safe, which is asked
// for each account's own.
func TestVerifyAll_AsksForTheNotedHeads(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		accounts := []tenancy.AccountID{"a", "b", "c", "d"}
		noted := map[tenancy.AccountID][]seals.Head{}
		for _, account := range accounts {
			history(t, db, account)
			noted[account] = append(noted[account], seal(t, db, s, account, 7))
			spend(t, db, account, 1)
			noted[account] = append(noted[account], seal(t, db, s, account, 8))
		}
		delete(noted, "a") // which nobody noted
		unguard(t, db)
		tamper(t, db, "DELETE FROM credits_seals WHERE number = 8 AND account_id IN ('a', 'c')")
		shut := errors.New("the safe is shut")
		safe := func(_ context.Context, account tenancy.AccountID) ([]seals.Head, error) {
			if account == "d" && shut != nil {
				return nil, shut
			}
			return noted[account], nil
		}
		want := []string{
			`2 accounts, 15+1 to "b"`,
			`2 accounts, 15+1 to "d"; c: entry 8: the chain goes through the noted heads: it was noted, and the chain does not have it`,
			`0 accounts, 0+0 to ""`,
		}
		v, err := s.VerifyAll(t.Context(), db, seals.VerifyAll{Noted: safe})
		if !errors.Is(err, shut) || !strings.Contains(err.Error(), "account d: ") || v.Accounts != 3 || v.Next != "c" || len(v.Findings) != 1 {
			t.Errorf("%+v, %v", v, err)
		}
		if v, err = s.VerifyAll(t.Context(), db, seals.VerifyAll{Noted: safe, After: v.Next}); !errors.Is(err, shut) || v.Next != "c" {
			t.Errorf("again: %+v, %v", v, err)
		}
		shut = nil
		if v, err = s.VerifyAll(t.Context(), db, seals.VerifyAll{Noted: safe, After: v.Next}); err != nil || v.Accounts != 1 || v.Sealed != 8 || !v.Sound() {
			t.Errorf("%+v, %v", v, err)
		}
		if d := cmp.Diff(want, pages(t, db, s, seals.VerifyAll{Noted: safe})); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if v, err := s.VerifyAll(t.Context(), db, seals.VerifyAll{}); err != nil || !v.Sound() || v.Sealed != 30 {
			t.Errorf("without a head it looks sound: %+v, %v", v, err)
		}
		noted["b"] = noted["c"]
		if v, err := s.VerifyAll(t.Context(), db, seals.VerifyAll{Noted: safe}); !errors.Is(err, tenancy.ErrInvalid) || v.Next != "a" {
			t.Errorf("another's head: %+v, %v", v, err)
		}
	})
}

func TestVerifyAll_BoundsWhatItReports(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		fund(t, db, acc, 200)
		spend(t, db, acc, 104)
		seal(t, db, s, acc, 105)
		unguard(t, db)
		tamper(t, db, "DELETE FROM credits_entries")
		if v, err := s.VerifyAll(t.Context(), db, seals.VerifyAll{Limit: 9999}); err != nil || len(v.Findings) != 100 || v.More != 5 || v.Sealed != 105 {
			t.Errorf("%d findings and %d more of %d seals, %v", len(v.Findings), v.More, v.Sealed, err)
		}
	})
}

func TestVerifyAll_GoesOnFromAPlaceThatCanBeOne(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		for _, after := range []tenancy.AccountID{"a\x00", "\xff", "a\u202e"} {
			if _, err := s.VerifyAll(t.Context(), db, seals.VerifyAll{After: after}); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%q: %v", after, err)
			}
		}
	})
}
