package credits_test

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/tenancy"
)

func TestAmounts_OutsideWhatCanBeCountedAreRefused(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, math.MaxInt64-5)
		before := rows(t, db)
		for _, n := range []int64{0, -1, math.MinInt64} {
			_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: n, Key: "d"})
			requireError(t, err, credits.ErrInvalid)
			_, err = l.Grant(t.Context(), db, credits.Grant{Account: acc, Amount: n, Key: "g"})
			requireError(t, err, credits.ErrInvalid)
			_, err = l.Seed(t.Context(), db, credits.Seed{Account: acc, Amount: n})
			requireError(t, err, credits.ErrInvalid)
			if n < 0 {
				_, err = l.Refund(t.Context(), db, credits.Refund{Account: acc, Entry: 1, Amount: n, Key: "r"})
				requireError(t, err, credits.ErrInvalid)
			}
		}
		_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: math.MaxInt64})
		requireError(t, err, credits.ErrInsufficient)
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Errorf("a refusal without a key wrote: %s", d)
		}

		_, err = l.Grant(t.Context(), db, credits.Grant{Account: acc, Amount: 6, Key: "over"})
		requireError(t, err, credits.ErrOverflow)
		_, err = l.Grant(t.Context(), db, credits.Grant{Account: acc, Amount: math.MaxInt64, Key: "far over"})
		requireError(t, err, credits.ErrOverflow)
		grant(t, l, db, credits.Grant{Account: acc, Amount: 5, Key: "full"})
		creditstest.RequireBalance(t, l, db, acc, math.MaxInt64)

		// A refund into an account that was filled up meanwhile.
		e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 7})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 3, Key: "again"})
		_, err = l.Refund(t.Context(), db, credits.Refund{Account: acc, Entry: e.Number, Key: "back"})
		requireError(t, err, credits.ErrOverflow)
		refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Amount: 4, Key: "what fits"})
		creditstest.RequireBalance(t, l, db, acc, math.MaxInt64)
		e = deduct(t, l, db, credits.Deduct{Account: acc, Amount: math.MaxInt64})
		refund(t, l, db, credits.Refund{Account: acc, Entry: e.Number, Key: "everything"})
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestRefusal_WritesNothingWithoutAKeyAndOnlyTheKeyWithOne(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		before := rows(t, db)
		joined(t, db, func(tx bun.Tx) {
			_, err := l.Deduct(t.Context(), tx, credits.Deduct{Account: acc, Amount: 1})
			requireError(t, err, credits.ErrInsufficient)
		})
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Errorf("an account without credits: %s", d)
		}
		fund(t, l, db, 5)
		account := func() string {
			return scan[string](t, db, "SELECT CAST(booked AS TEXT) || ' ' || CAST(number AS TEXT) FROM credits_accounts")
		}
		was := account()
		for name, refused := range map[string]struct {
			err error
			do  func(tx bun.IDB, key string) error
		}{
			"short": {credits.ErrInsufficient, func(tx bun.IDB, key string) error {
				_, err := l.Deduct(t.Context(), tx, credits.Deduct{Account: acc, Amount: 6, Key: key})
				return err
			}},
			"overflow": {credits.ErrOverflow, func(tx bun.IDB, key string) error {
				_, err := l.Grant(t.Context(), tx, credits.Grant{Account: acc, Amount: math.MaxInt64, Key: key})
				return err
			}},
			"no entry": {credits.ErrNoEntry, func(tx bun.IDB, key string) error {
				_, err := l.Refund(t.Context(), tx, credits.Refund{Account: acc, Entry: 9, Key: key})
				return err
			}},
			"not refundable": {credits.ErrNotRefundable, func(tx bun.IDB, key string) error {
				_, err := l.Refund(t.Context(), tx, credits.Refund{Account: acc, Entry: 1, Key: key})
				return err
			}},
		} {
			want := rows(t, db)
			joined(t, db, func(tx bun.Tx) { requireError(t, refused.do(tx, name), refused.err) })
			want["credits_keys"]++
			if d := cmp.Diff(want, rows(t, db)); d != "" {
				t.Errorf("%s: %s", name, d)
			}
			requireError(t, refused.do(db, name), refused.err) // and the same again
			if d := cmp.Diff(want, rows(t, db)); d != "" {
				t.Errorf("%s, replayed: %s", name, d)
			}
		}
		if got := account(); got != was {
			t.Errorf("the account was %s and is %s", was, got)
		}
	})
}

// A host may commit in spite of a refusal, so what is wrong with a request is
// found before anything of it is written.
func TestInvalid_IsRefusedBeforeAnythingIsWritten(t *testing.T) {
	type do = func(l *credits.Ledger, tx bun.IDB, t *testing.T) error
	deduction := func(d credits.Deduct) do {
		return func(l *credits.Ledger, tx bun.IDB, t *testing.T) error {
			_, err := l.Deduct(t.Context(), tx, d)
			return err
		}
	}
	granting := func(g credits.Grant) do {
		return func(l *credits.Ledger, tx bun.IDB, t *testing.T) error {
			_, err := l.Grant(t.Context(), tx, g)
			return err
		}
	}
	refunding := func(r credits.Refund) do {
		return func(l *credits.Ledger, tx bun.IDB, t *testing.T) error {
			_, err := l.Refund(t.Context(), tx, r)
			return err
		}
	}
	cases := map[string]do{
		"grant without a key":          granting(credits.Grant{Account: acc, Amount: 1}),
		"grant of an unknown category": granting(credits.Grant{Account: acc, Amount: 1, Key: "k", Category: "gift"}),
		"grant that expires first": granting(credits.Grant{
			Account: acc, Amount: 1, Key: "k", EffectiveAt: start, ExpiresAt: start.Add(time.Nanosecond),
		}),
		"grant in the year 10000": granting(credits.Grant{
			Account: acc, Amount: 1, Key: "k", ExpiresAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		}),
		"grant before the year 1": granting(credits.Grant{
			Account: acc, Amount: 1, Key: "k", EffectiveAt: time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC),
		}),
		"grant by nobody":              granting(credits.Grant{Account: acc, Amount: 1, Key: "k", Actor: tenancy.Actor{Kind: tenancy.ActorOperator}}),
		"grant by an odd name":         granting(credits.Grant{Account: acc, Amount: 1, Key: "k", Actor: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "a\x00"}}),
		"grant with a long note":       granting(credits.Grant{Account: acc, Amount: 1, Key: "k", Note: strings.Repeat("n", 501)}),
		"grant for 21 operations":      granting(credits.Grant{Account: acc, Amount: 1, Key: "k", Operations: numbered(21)}),
		"grant for a long operation":   granting(credits.Grant{Account: acc, Amount: 1, Key: "k", Operations: []string{strings.Repeat("o", 101)}}),
		"grant for no operation":       granting(credits.Grant{Account: acc, Amount: 1, Key: "k", Operations: []string{""}}),
		"refund without a key":         refunding(credits.Refund{Account: acc, Entry: 1}),
		"refund with an odd note":      refunding(credits.Refund{Account: acc, Entry: 1, Key: "k", Note: "a\nb"}),
		"deduct with a long name":      deduction(credits.Deduct{Account: acc, Amount: 1, Operation: strings.Repeat("o", 501)}),
		"deduct with an odd note":      deduction(credits.Deduct{Account: acc, Amount: 1, Note: "\x1b[0m"}),
		"refund of nobody's entry":     refunding(credits.Refund{Account: "", Entry: 1, Key: "k"}),
		"grant to an odd account":      granting(credits.Grant{Account: "acc 1", Amount: 1, Key: "k"}),
		"deduct from an odd account":   deduction(credits.Deduct{Account: "acc_1\x00", Amount: 1}),
		"deduct from a long account":   deduction(credits.Deduct{Account: tenancy.AccountID(strings.Repeat("a", 65)), Amount: 1}),
		"deduct from account \xff":     deduction(credits.Deduct{Account: "\xff", Amount: 1}),
		"deduct from account ' OR 1":   deduction(credits.Deduct{Account: "' OR 1=1 --", Amount: 1}),
		"deduct from the account \"\"": deduction(credits.Deduct{Amount: 1}),
	}
	for name, key := range map[string]string{
		"a NUL": "a\x00b", "201 bytes": strings.Repeat("k", 201), "invalid UTF-8": "\xc3\x28", "a line break": "a\nb", "C1": "\u0085",
	} {
		cases["deduct with a key with "+name] = deduction(credits.Deduct{Account: acc, Amount: 1, Key: key})
		cases["grant with a key with "+name] = granting(credits.Grant{Account: acc, Amount: 1, Key: key})
		cases["refund with a key with "+name] = refunding(credits.Refund{Account: acc, Entry: 1, Key: key})
	}
	for name, id := range map[string]string{"no hold": "", "a hold with a NUL": "hld_\x00", "a long hold": strings.Repeat("h", 65)} {
		cases["settle of "+name] = func(l *credits.Ledger, tx bun.IDB, t *testing.T) error {
			_, err := l.Settle(t.Context(), tx, credits.Settle{Account: acc, Hold: id, Amount: 1})
			return err
		}
		cases["release of "+name] = func(l *credits.Ledger, tx bun.IDB, t *testing.T) error {
			_, err := l.Release(t.Context(), tx, credits.Release{Account: acc, Hold: id})
			return err
		}
		cases["extension of "+name] = func(l *credits.Ledger, tx bun.IDB, t *testing.T) error {
			_, err := l.Extend(t.Context(), tx, credits.Extend{Account: acc, Hold: id})
			return err
		}
		cases["reading of "+name] = func(l *credits.Ledger, tx bun.IDB, t *testing.T) error {
			_, err := l.Held(t.Context(), tx, acc, id)
			return err
		}
	}
	for _, id := range []tenancy.AccountID{"", "a\x00", "\xff", "a b", "ü"} {
		cases["balance of account "+string(id)] = func(l *credits.Ledger, tx bun.IDB, t *testing.T) error {
			_, err := l.Balance(t.Context(), tx, id)
			return err
		}
		cases["entry of account "+string(id)] = func(l *credits.Ledger, tx bun.IDB, t *testing.T) error {
			_, err := l.Entry(t.Context(), tx, id, 1)
			return err
		}
		cases["entries of account "+string(id)] = func(l *credits.Ledger, tx bun.IDB, t *testing.T) error {
			_, err := l.Entries(t.Context(), tx, credits.Entries{Account: id})
			return err
		}
		if id == "" {
			continue // Verify takes it for every account
		}
		cases["hold of account "+string(id)] = func(l *credits.Ledger, tx bun.IDB, t *testing.T) error {
			_, err := l.Held(t.Context(), tx, id, "hld_1")
			return err
		}
		cases["verify of account "+string(id)] = func(l *credits.Ledger, tx bun.IDB, t *testing.T) error {
			_, err := l.Verify(t.Context(), tx, id)
			return err
		}
	}
	for _, after := range []tenancy.AccountID{"a\x00", "\xff"} {
		cases["verify of all after "+string(after)] = func(l *credits.Ledger, tx bun.IDB, t *testing.T) error {
			_, err := l.VerifyAll(t.Context(), tx, credits.VerifyAll{After: after})
			return err
		}
	}
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 5)
		before := rows(t, db)
		for name, do := range cases {
			joined(t, db, func(tx bun.Tx) {
				if err := do(l, tx, t); !isInvalid(err) {
					t.Errorf("%q: %v", name, err)
				}
				exec(t, tx, "SELECT 1") // the transaction goes on
			})
		}
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Error(d)
		}
	})
}

// numbered are so many operations.
func numbered(n int) []string {
	operations := make([]string, n)
	for i := range operations {
		operations[i] = strconv.Itoa(i)
	}
	return operations
}

func TestGrant_TakesTheMostThatItMay(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		long := strings.Repeat("o", 100)
		grant(t, l, db, credits.Grant{
			Account: acc, Amount: 1, Key: strings.Repeat("k", 200), Note: strings.Repeat("n", 500), Operations: append(numbered(19), long),
			ExpiresAt: time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC),
		})
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1, Operation: long})
	})
}
