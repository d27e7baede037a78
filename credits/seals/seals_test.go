package seals_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/seals"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

func TestSeal_EveryEntryOnceAndAgainOnlyWhatIsNew(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		if head := seal(t, db, s, acc, 0); head.Hash != "" || !head.At.IsZero() {
			t.Errorf("an empty ledger has the head %+v", head)
		}
		history(t, db, acc)
		history(t, db, other)
		wantSound(t, verify(t, db, s, acc), 0, 7)
		first := seal(t, db, s, acc, 7)
		if !first.At.Equal(t0) {
			t.Errorf("head at %s", first.At)
		}
		if again := seal(t, db, s, acc, 7); again != first {
			t.Errorf("sealed again: %+v, then %+v", first, again)
		}
		wantSound(t, verify(t, db, s, acc), 7, 0)
		spend(t, db, acc, 2)
		wantSound(t, verify(t, db, s, acc, first), 7, 2)
		second := seal(t, db, s, acc, 9)
		wantSound(t, verify(t, db, s, acc, first, second, seals.Head{Account: acc, Unit: "credit"}), 9, 0)
		wantSound(t, verify(t, db, s, other), 0, 7)
		if head, err := s.Head(t.Context(), db, acc); head != second || err != nil {
			t.Errorf("head %+v, %v", head, err)
		}
	})
}

// The chain is the same on every database, whoever makes it.
func TestSeal_GivesTheSameChainOnBothDatabasesAndAgain(t *testing.T) {
	hashes := map[string]bool{}
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		history(t, db, acc)
		unguard(t, db) // ids of grants are random
		exec(t, db, "UPDATE credits_entries SET grant_id = 'grt_' || number WHERE grant_id <> ''", "UPDATE credits_splits SET grant_id = 'grt_' || position")
		head := seal(t, db, s, acc, 7)
		hashes[head.Hash] = true
		tamper(t, db, "DELETE FROM credits_seals")
		if again := seal(t, db, s, acc, 7); again != head {
			t.Errorf("lost and sealed again: %+v, then %+v", head, again)
		}
	})
	if len(hashes) != 1 {
		t.Errorf("hashes %v", hashes)
	}
}

func TestSeal_LongLedgersAreSealedByThePage(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		long(t, db)
		seal(t, db, s, acc, 1001)
		wantSound(t, verify(t, db, s, acc), 1001, 0)
	})
}

// long gives acc 1,001 entries, which is two pages and one.
func long(t *testing.T, db *bun.DB) {
	t.Helper()
	err := db.RunInTx(t.Context(), nil, func(_ context.Context, tx bun.Tx) error {
		fund(t, tx, acc, 2000)
		spend(t, tx, acc, 1000)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSeal_TwoProcessesMakeOneChain(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		fund(t, db, acc, 100)
		dbtest.Processes(t, 2, "seal", dbtest.DSN(db), string(acc))
		seal(t, db, s, acc, 31)
		wantSound(t, verify(t, db, s, acc), 31, 0)
	})
}

func TestSeal_GoesOnWhereAProcessDied(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		long(t, db)
		p := dbtest.Spawn(t, "halves", dbtest.DSN(db), string(acc))
		p.Go()
		if line := p.Line(); line != "in the middle" {
			t.Fatal(line)
		}
		p.Kill()
		head, err := s.Head(t.Context(), db, acc)
		if err != nil || head.Number != 500 {
			t.Fatalf("the first page was sealed: %+v, %v", head, err)
		}
		wantSound(t, verify(t, db, s, acc), 500, 501)
		seal(t, db, s, acc, 1001)
		wantSound(t, verify(t, db, s, acc, head), 1001, 0)
	})
}

func TestSeal_JoinsTheHostsTransaction(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		history(t, db, acc)
		undo := errors.New("undo")
		err := db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			if _, err := s.Seal(ctx, tx, "a b"); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("no account's id: %v", err)
			}
			spend(t, tx, acc, 1)
			seal(t, tx, s, acc, 8)
			wantSound(t, verify(t, tx, s, acc), 8, 0)
			return undo
		})
		if !errors.Is(err, undo) {
			t.Fatal(err)
		}
		wantSound(t, verify(t, db, s, acc), 0, 7)
	})
}

// Each unit of an account is a ledger of its own, with a chain of its own.
func TestSeal_KeepsUnitsApart(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		seconds := credits.New(credits.Config{Unit: "gpu_second"})
		if _, err := seconds.Grant(t.Context(), db, credits.Grant{Account: acc, Amount: 5, Key: "s"}); err != nil {
			t.Fatal(err)
		}
		history(t, db, acc)
		theirs := seals.New(seals.Config{Unit: "gpu_second"})
		head := seal(t, db, s, acc, 7)
		if n, err := theirs.SealDue(t.Context(), db); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		wantSound(t, verify(t, db, s, acc), 7, 0)
		wantSound(t, verify(t, db, theirs, acc), 1, 0)
		if _, err := theirs.Verify(t.Context(), db, acc, head); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("another unit's head: %v", err)
		}
	})
}

func TestSealDue_SealsEveryLedgerAndTellsTheHeads(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		noted := map[tenancy.AccountID]seals.Head{}
		s := seals.New(seals.Config{Note: func(_ context.Context, h seals.Head) error {
			if h.Account == "acc_2" {
				return errors.New("the safe is shut")
			}
			noted[h.Account] = h
			return nil
		}})
		accounts := []tenancy.AccountID{"9", "Z", "acc_1", "acc_2", "acc_3", "empty"}
		for _, account := range accounts[:5] {
			history(t, db, account)
		}
		exec(t, db, "INSERT INTO credits_accounts (account_id, unit, booked, number, created_at) VALUES ('empty', 'credit', 0, 0, '2026-03-01 09:00:00+00:00')")
		n, err := s.SealDue(t.Context(), db)
		if n != 35 || err == nil || !strings.Contains(err.Error(), "account acc_2: the safe is shut") {
			t.Errorf("%d entries, %v", n, err)
		}
		if n, err := s.SealDue(t.Context(), db); n != 0 || err != nil {
			t.Errorf("again: %d entries, %v", n, err)
		}
		got := map[tenancy.AccountID]seals.Head{}
		after := tenancy.AccountID("")
		for {
			heads, err := s.Heads(t.Context(), db, after, 2)
			if err != nil || len(heads) > 2 {
				t.Fatal(heads, err)
			}
			if len(heads) == 0 {
				break
			}
			for _, h := range heads {
				got[h.Account], after = h, h.Account
				wantSound(t, verify(t, db, s, h.Account, h), 7, 0)
			}
		}
		delete(got, "acc_2") // which was not noted
		if d := cmp.Diff(noted, got); d != "" || len(noted) != 4 {
			t.Errorf("heads (-noted +listed):\n%s", d)
		}
	}, credits.Migrate)
}

func TestRun_SealsAndEndsWithItsContext(t *testing.T) {
	db := dbtest.SQLite(t, credits.Migrate)
	history(t, db, acc)
	ctx, cancel := context.WithCancel(t.Context())
	s := seals.New(seals.Config{Note: func(context.Context, seals.Head) error { cancel(); return nil }})
	if err := s.Run(ctx, db); err != nil {
		t.Error(err)
	}
	wantSound(t, verify(t, db, s, acc), 7, 0)
}

func TestSeals_AreAppendOnlyOnSQLite(t *testing.T) {
	db := dbtest.SQLite(t, credits.Migrate)
	s := seals.New(seals.Config{})
	history(t, db, acc)
	seal(t, db, s, acc, 7)
	for _, q := range []string{
		"UPDATE credits_seals SET hash = 'other'", "DELETE FROM credits_seals",
		"REPLACE INTO credits_seals SELECT account_id, unit, number, 'other' FROM credits_seals",
	} {
		if _, err := db.ExecContext(t.Context(), q); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", q, err)
		}
	}
	wantSound(t, verify(t, db, s, acc), 7, 0)
}

// From where an entry is missing nothing is sealed, and the others are.
func TestSeal_DoesNotSealAcrossAGap(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		history(t, db, acc)
		history(t, db, other)
		seal(t, db, s, acc, 7)
		spend(t, db, acc, 2)
		unguard(t, db)
		tamper(t, db, "DELETE FROM credits_entries WHERE account_id = 'acc_1' AND number = 8")
		n, err := s.SealDue(t.Context(), db)
		if n != 7 || err == nil || !strings.Contains(err.Error(), "account acc_1: seals: entry 8 is missing") {
			t.Errorf("%d, %v", n, err)
		}
		wantSound(t, verify(t, db, s, acc), 7, 1)
		wantSound(t, verify(t, db, s, other), 7, 0)
	})
}

// Whoever owns the database can take its constraints away: that is found too, and brings
// no program down.
func TestSeals_AnEntryWithoutAValueIsTamperedWith(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		history(t, db, acc)
		seal(t, db, s, acc, 7)
		spend(t, db, acc, 1)
		if db.Dialect().Name() == dialect.SQLite {
			columns := "account_id, unit, number, kind, amount, balance, spendable, refund_of, key, operation, actor_kind, actor_id, basis, hold_id, grant_id, hash, on_behalf_kind, on_behalf_id, note, at"
			exec(t, db, "ALTER TABLE credits_entries RENAME TO was", "CREATE TABLE credits_entries ("+columns+" TIMESTAMP)",
				"INSERT INTO credits_entries SELECT "+columns+" FROM was")
		} else {
			exec(t, db, "ALTER TABLE credits_entries ALTER COLUMN note DROP NOT NULL")
		}
		tamper(t, db, "UPDATE credits_entries SET note = NULL WHERE number IN (3, 8)")
		if d := cmp.Diff([]string{"3 an entry is as it was sealed: a column has no value"}, broken(verify(t, db, s, acc))); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if _, err := s.SealDue(t.Context(), db); err == nil || !strings.Contains(err.Error(), "acc_1: seals: entry 8") {
			t.Error(err)
		}
	})
}

func TestVerify_BoundsWhatItReports(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		fund(t, db, acc, 200)
		spend(t, db, acc, 129)
		seal(t, db, s, acc, 130)
		unguard(t, db)
		tamper(t, db, "DELETE FROM credits_entries")
		if r := verify(t, db, s, acc); len(r.Findings) != 100 || r.More != 30 || r.Sealed != 130 {
			t.Errorf("%d findings and %d more of %d seals", len(r.Findings), r.More, r.Sealed)
		}
	})
}

// Who owns the database writes the whole chain anew; who noted a head sees it.
func TestVerify_AChainWrittenAnewIsFoundByANotedHead(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		history(t, db, acc)
		early := seal(t, db, s, acc, 7)
		spend(t, db, acc, 2)
		head := seal(t, db, s, acc, 9)
		unguard(t, db)
		tamper(t, db, "UPDATE credits_entries SET note = 'other' WHERE number = 8", "DELETE FROM credits_seals")
		seal(t, db, s, acc, 9)
		wantSound(t, verify(t, db, s, acc, early), 9, 0)
		want := []string{"9 the chain goes through the noted heads: its hash was another one when it was noted"}
		if d := cmp.Diff(want, broken(verify(t, db, s, acc, early, head))); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if _, err := s.Verify(t.Context(), db, other, head); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("another account's head: %v", err)
		}
		if got, want := verify(t, db, s, acc, head).Findings[0].String(), "acc_1: entry 9: "+want[0][2:]; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

func TestVerify_FindsEveryKindOfTampering(t *testing.T) {
	const (
		entry   = " an entry is as it was sealed: the entry was changed"
		either  = " an entry is as it was sealed: the entry, its seal or the seal before it was changed"
		made    = " a seal is as it was made: the next seal goes on from what the entry says"
		there   = " a sealed entry is there: it is gone"
		gap     = " seals are numbered from 1 without gaps: it comes after seal "
		gone    = " the chain goes through the noted heads: it was noted, and the chain does not have it"
		another = " the chain goes through the noted heads: its hash was another one when it was noted"
		at      = " WHERE account_id = 'acc_1' AND number = "
	)
	type test struct {
		what string
		do   []string
		want []string
	}
	swap := func(a, b int) []string {
		set := "UPDATE credits_entries SET number = %d" + at + "%d"
		return []string{fmt.Sprintf(set, -a, a), fmt.Sprintf(set, a, b), fmt.Sprintf(set, b, -a)}
	}
	tests := []test{
		{"the last entry deleted", []string{"DELETE FROM credits_entries" + at + "7"}, []string{"7" + there}},
		{"an entry deleted in the middle", []string{"DELETE FROM credits_entries" + at + "5"}, []string{"5" + there}},
		{"an entry and its seal deleted", []string{"DELETE FROM credits_entries" + at + "5", "DELETE FROM credits_seals" + at + "5"}, []string{"6" + gap + "4"}},
		{"an entry given to another account", []string{"UPDATE credits_entries SET account_id = 'acc_2'" + at + "5"}, []string{"5" + there}},
		{"two entries swapped", swap(2, 5), []string{"2" + entry, "5" + entry}},
		{"two neighbours swapped", swap(5, 6), []string{"5" + either, "6" + either}},
		{"the last two swapped", swap(6, 7), []string{"6" + either, "7" + either}},
		{"the last entry changed", []string{"UPDATE credits_entries SET amount = -2" + at + "7"}, []string{"7" + either}},
		{"a split changed", []string{"UPDATE credits_splits SET amount = amount - 1" + at + "3 AND position = 1"}, []string{"3" + entry}},
		{"a split's grant changed", []string{"UPDATE credits_splits SET grant_id = 'grt_x'" + at + "3 AND position = 2"}, []string{"3" + entry}},
		{"a split deleted", []string{"DELETE FROM credits_splits" + at + "3 AND position = 2"}, []string{"3" + entry}},
		{"a split added", []string{"INSERT INTO credits_splits (account_id, unit, number, position, grant_id, amount) VALUES ('acc_1', 'credit', 5, 1, 'grt_x', 1)"}, []string{"5" + entry}},
		{"the splits swapped", []string{
			"UPDATE credits_splits SET position = 3" + at + "3 AND position = 1", "UPDATE credits_splits SET position = 1" + at + "3 AND position = 2",
			"UPDATE credits_splits SET position = 2" + at + "3 AND position = 3",
		}, []string{"3" + entry}},
		{"a seal rewritten", []string{"UPDATE credits_seals SET hash = 'x'" + at + "4"}, []string{"4" + made}},
		{"the last seal rewritten", []string{"UPDATE credits_seals SET hash = 'x'" + at + "7"}, []string{"7" + another, "7" + either}},
		{"the first seal rewritten", []string{"UPDATE credits_seals SET hash = 'x'" + at + "1"}, []string{"1" + made}},
		{"two seals rewritten", []string{"UPDATE credits_seals SET hash = 'x'" + at + "4 OR number = 5"}, []string{"4" + either, "5" + made}},
		{"a seal and its entry", []string{"UPDATE credits_seals SET hash = 'x'" + at + "4", "UPDATE credits_entries SET note = 'x'" + at + "4"}, []string{"4" + either, "5" + either}},
		{"seals cut at the end", []string{"DELETE FROM credits_seals" + at + "7"}, []string{"7" + gone}},
		{"all seals deleted", []string{"DELETE FROM credits_seals WHERE account_id = 'acc_1'"}, []string{"7" + gone}},
		{"a chain that begins later", []string{"DELETE FROM credits_seals WHERE account_id = 'acc_1' AND number < 3"}, []string{"3" + gap + "0"}},
		{"a seal before the first", []string{"INSERT INTO credits_seals (account_id, unit, number, hash) VALUES ('acc_1', 'credit', -7, 'x')"}, []string{"-7" + gap + "0", "-7" + there, "1" + gap + "-7"}},
	}
	for column, value := range map[string]string{
		"kind": "'settle'", "amount": "-14", "balance": "6", "spendable": "6", "refund_of": "1", "key": "'x'", "operation": "'x'", "note": "'x'",
		"actor_kind": "'x'", "actor_id": "'x'", "at": "'2026-03-01 09:00:00.123457+00:00'", "basis": "'{}'", "hold_id": "'x'",
		"hash": "'x'", "on_behalf_kind": "'x'", "on_behalf_id": "'x'",
	} {
		tests = append(tests, test{column, []string{"UPDATE credits_entries SET " + column + " = " + value + at + "3"}, []string{"3" + entry}})
	}
	tests = append(tests, test{"grant_id", []string{"UPDATE credits_entries SET grant_id = 'grt_x'" + at + "5"}, []string{"5" + entry}})

	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		history(t, db, acc)
		history(t, db, other)
		head := seal(t, db, s, acc, 7)
		seal(t, db, s, other, 7)
		unguard(t, db)
		tables := []string{"credits_entries", "credits_splits", "credits_seals"}
		for _, table := range tables {
			exec(t, db, "CREATE TABLE kept_"+table+" AS SELECT * FROM "+table)
		}
		for _, test := range tests {
			if test.what == "an entry given to another account" { // where there is room for it
				exec(t, db, "DELETE FROM credits_entries WHERE account_id = 'acc_2'")
			}
			tamper(t, db, test.do...)
			r := verify(t, db, s, acc, head)
			if d := cmp.Diff(test.want, broken(r)); d != "" || r.Sound() {
				t.Errorf("%s (-want +got):\n%s", test.what, d)
			}
			for _, table := range tables {
				exec(t, db, "DELETE FROM "+table, "INSERT INTO "+table+" SELECT * FROM kept_"+table)
			}
			wantSound(t, verify(t, db, s, acc, head), 7, 0)
			wantSound(t, verify(t, db, s, other), 7, 0)
		}
	})
}

// once runs when the head was read for the first time.
type once struct{ run func() }

func (*once) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (o *once) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	if run := o.run; run != nil && strings.Contains(e.Query, "FROM credits_seals") {
		o.run = nil
		run()
	}
}

// Who finds that another sealed meanwhile looks again, and returns the head that is there
// then. On SQLite nobody can.
func TestSeal_LooksAgainWhereAnotherWasFaster(t *testing.T) {
	db := dbtest.Postgres(t, credits.Migrate)
	s := seals.New(seals.Config{})
	history(t, db, acc)
	seal(t, db.WithQueryHook(&once{func() {
		seal(t, db, s, acc, 7)
		spend(t, db, acc, 1)
	}}), s, acc, 8)
	wantSound(t, verify(t, db, s, acc), 8, 0)
}

func TestVerify_CountsWhatHasNoSeal(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		history(t, db, acc)
		seal(t, db, s, acc, 7)
		spend(t, db, acc, 2)
		unguard(t, db)
		tamper(t, db, "UPDATE credits_entries SET number = 0 WHERE number = 9") // where nobody would look
		wantSound(t, verify(t, db, s, acc), 7, 2)
	})
}
