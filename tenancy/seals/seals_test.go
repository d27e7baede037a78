package seals_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/seals"
)

const acc = tenancy.AccountID("acc_1")

func TestSeal_EveryLineOnceAndAgainOnlyWhatIsNew(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		if head := seal(t, db, s, acc, 0); head.Hash != "" {
			t.Errorf("an empty log has the head %+v", head)
		}
		record(t, db, acc, 3)
		record(t, db, "acc_2", 2)
		wantSound(t, verify(t, db, s, acc), 0, 3)
		first := seal(t, db, s, acc, 3)
		if again := seal(t, db, s, acc, 3); again != first {
			t.Errorf("sealed again: %+v, then %+v", first, again)
		}
		wantSound(t, verify(t, db, s, acc), 3, 0)
		record(t, db, acc, 2)
		wantSound(t, verify(t, db, s, acc, first), 3, 2)
		second := seal(t, db, s, acc, 5)
		wantSound(t, verify(t, db, s, acc, first, second, seals.Head{Account: acc}), 5, 0)
		wantSound(t, verify(t, db, s, "acc_2"), 0, 2)
		if head, err := s.Head(t.Context(), db, acc); head != second || err != nil {
			t.Errorf("head %+v, %v", head, err)
		}
	})
}

func TestSeal_LongLogsAreSealedByThePage(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		err := db.RunInTx(t.Context(), nil, func(_ context.Context, tx bun.Tx) error {
			record(t, tx, acc, 1001)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		seal(t, db, s, acc, 1001)
		wantSound(t, verify(t, db, s, acc), 1001, 0)
	})
}

// A transaction that began early and commits late has an older id than what was
// sealed meanwhile.
func TestSeal_ALateLineIsSealedAfterTheYoungerOnes(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		record(t, db, acc, 2)
		old := seal(t, db, s, acc, 2)
		_, err := db.ExecContext(t.Context(), `INSERT INTO tenancy_audit (account_id, audit_id, at, actor_kind, actor_id, action, target, reason, data)
			VALUES ('acc_1', 'aud_0', '2026-03-01 08:00:00+00:00', 'system', 'slow', 'host.note', '', '', '{}')`)
		if err != nil {
			t.Fatal(err)
		}
		seal(t, db, s, acc, 3)
		wantSound(t, verify(t, db, s, acc, old), 3, 0)
		var last string
		if err := db.NewRaw("SELECT audit_id FROM tenancy_audit_seals WHERE number = 3").Scan(t.Context(), &last); err != nil || last != "aud_0" {
			t.Errorf("the last seal is of %s, %v", last, err)
		}
	})
}

func TestSeal_TwoProcessesMakeOneChain(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		record(t, db, acc, 40)
		dbtest.Processes(t, 2, "seal", dbtest.DSN(db), string(acc))
		seal(t, db, s, acc, 70)
		wantSound(t, verify(t, db, s, acc), 70, 0)
	})
}

func TestSeal_JoinsTheHostsTransaction(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		record(t, db, acc, 2)
		undo := errors.New("undo")
		err := db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			if _, err := s.Seal(ctx, tx, "a b"); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("no account's id: %v", err)
			}
			record(t, tx, acc, 1)
			seal(t, tx, s, acc, 3)
			wantSound(t, verify(t, tx, s, acc), 3, 0)
			return undo
		})
		if !errors.Is(err, undo) {
			t.Fatal(err)
		}
		wantSound(t, verify(t, db, s, acc), 0, 2)
	})
}

func TestSealDue_SealsEveryLogAndTellsTheHeads(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		noted := map[tenancy.AccountID]seals.Head{}
		s := seals.New(seals.Config{Note: func(_ context.Context, h seals.Head) error {
			if h.Account == "acc_2" {
				return errors.New("the safe is shut")
			}
			noted[h.Account] = h
			return nil
		}})
		for _, account := range []tenancy.AccountID{"", "acc_1", "acc_2", "acc_3", "Z", "9"} {
			record(t, db, account, 2)
		}
		n, err := s.SealDue(t.Context(), db)
		if n != 12 || err == nil || !strings.Contains(err.Error(), "account acc_2: the safe is shut") {
			t.Errorf("%d lines, %v", n, err)
		}
		if n, err := s.SealDue(t.Context(), db); n != 0 || err != nil {
			t.Errorf("again: %d lines, %v", n, err)
		}
		for _, account := range []tenancy.AccountID{"", "acc_1", "acc_3", "Z", "9"} {
			if noted[account].Number != 2 {
				t.Errorf("the head of %q is %+v", account, noted[account])
			}
			wantSound(t, verify(t, db, s, account, noted[account]), 2, 0)
		}
	}, tenancy.Migrate)
}

func TestRun_SealsAndEndsWithItsContext(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	record(t, db, acc, 1)
	ctx, cancel := context.WithCancel(t.Context())
	s := seals.New(seals.Config{Note: func(context.Context, seals.Head) error { cancel(); return nil }})
	if err := s.Run(ctx, db); err != nil {
		t.Error(err)
	}
	wantSound(t, verify(t, db, s, acc), 1, 0)
}

func TestSeals_AreAppendOnlyOnSQLite(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	s := seals.New(seals.Config{})
	record(t, db, acc, 2)
	seal(t, db, s, acc, 2)
	for _, q := range []string{
		"UPDATE tenancy_audit_seals SET hash = 'other'", "DELETE FROM tenancy_audit_seals",
		"REPLACE INTO tenancy_audit_seals SELECT account_id, number, audit_id, 'other' FROM tenancy_audit_seals",
		"REPLACE INTO tenancy_audit_seals SELECT account_id, number + 7, audit_id, 'other' FROM tenancy_audit_seals",
		"REPLACE INTO tenancy_audit_seals SELECT account_id, number, 'other', 'other' FROM tenancy_audit_seals WHERE number = 1",
	} {
		if _, err := db.ExecContext(t.Context(), q); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", q, err)
		}
	}
	wantSound(t, verify(t, db, s, acc), 2, 0)
}

func TestVerify_FindsEveryKindOfTampering(t *testing.T) {
	const (
		hash  = "a seal is the hash of its line and of the seal before"
		there = "a sealed line is there"
		gaps  = "seals are numbered from 1 without gaps"
		heads = "the chain goes through the noted heads"
		third = "WHERE account_id = 'acc_1' AND audit_id = (SELECT audit_id FROM tenancy_audit_seals WHERE account_id = 'acc_1' AND number = 3)"
	)
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		tests := []struct {
			what string
			do   []string
			want []string
		}{
			{"time", []string{"UPDATE tenancy_audit SET at = '2026-03-01 09:00:00.123459+00:00' " + third}, []string{"3 " + hash}},
			{"actor's kind", []string{"UPDATE tenancy_audit SET actor_kind = 'user' " + third}, []string{"3 " + hash}},
			{"actor", []string{"UPDATE tenancy_audit SET actor_id = 'op_2' " + third}, []string{"3 " + hash}},
			{"action", []string{"UPDATE tenancy_audit SET action = 'host.not' " + third}, []string{"3 " + hash}},
			{"target", []string{"UPDATE tenancy_audit SET target = '' " + third}, []string{"3 " + hash}},
			{"reason", []string{"UPDATE tenancy_audit SET reason = 'other' " + third}, []string{"3 " + hash}},
			{"a space in the data", []string{`UPDATE tenancy_audit SET data = '{ "b":1, "a":"\u00e4" }' ` + third}, []string{"3 " + hash}},
			{"line removed", []string{"DELETE FROM tenancy_audit " + third}, []string{"3 " + there}},
			{"line and seal removed", []string{"DELETE FROM tenancy_audit " + third, "DELETE FROM tenancy_audit_seals WHERE account_id = 'acc_1' AND number = 3"}, []string{"4 " + gaps}},
			{"line, and its seal made anew", []string{"UPDATE tenancy_audit SET target = 'x' " + third, "UPDATE tenancy_audit_seals SET hash = 'RESEAL' WHERE account_id = 'acc_1' AND number = 3"}, []string{"4 " + hash}},
			{"seal rewritten", []string{"UPDATE tenancy_audit_seals SET hash = 'x' WHERE account_id = 'acc_1' AND number = 3"}, []string{"3 " + hash}},
			{"two lines swapped", []string{
				"UPDATE tenancy_audit_seals SET audit_id = 'x' WHERE account_id = 'acc_1' AND number = 2",
				"UPDATE tenancy_audit_seals SET audit_id = (SELECT audit_id FROM kept_seals WHERE number = 2) WHERE account_id = 'acc_1' AND number = 4",
				"UPDATE tenancy_audit_seals SET audit_id = (SELECT audit_id FROM kept_seals WHERE number = 4) WHERE account_id = 'acc_1' AND number = 2",
			}, []string{"2 " + hash, "4 " + hash}},
			{"line given to another account", []string{"UPDATE tenancy_audit SET account_id = 'acc_2' " + third}, []string{"3 " + there}},
			{"a chain that begins later", []string{"DELETE FROM tenancy_audit_seals WHERE account_id = 'acc_1' AND number < 3"}, []string{"3 " + gaps}},
			{"a seal before the first", []string{"INSERT INTO tenancy_audit_seals VALUES ('acc_1', -7, 'aud_x', 'x')"}, []string{"-7 " + gaps, "-7 " + there, "1 " + gaps}},
			{"cut at its end", []string{"DELETE FROM tenancy_audit_seals WHERE account_id = 'acc_1' AND number = 5"}, []string{"5 " + heads}},
			{"all seals removed", []string{"DELETE FROM tenancy_audit_seals WHERE account_id = 'acc_1'"}, []string{"5 " + heads}},
		}
		record(t, db, acc, 5)
		head := seal(t, db, s, acc, 5)
		tamper(t, db)
		save := []string{"DELETE FROM kept_lines", "DELETE FROM kept_seals", "INSERT INTO kept_lines SELECT * FROM tenancy_audit", "INSERT INTO kept_seals SELECT * FROM tenancy_audit_seals"}
		back := []string{"DELETE FROM tenancy_audit", "DELETE FROM tenancy_audit_seals", "INSERT INTO tenancy_audit SELECT * FROM kept_lines", "INSERT INTO tenancy_audit_seals SELECT * FROM kept_seals"}
		exec(t, db, "CREATE TABLE kept_lines AS SELECT * FROM tenancy_audit", "CREATE TABLE kept_seals AS SELECT * FROM tenancy_audit_seals")
		exec(t, db, save...)
		for _, test := range tests {
			for _, q := range test.do {
				if left, right, found := strings.Cut(q, "RESEAL"); found {
					q = left + reseal(t, db, 3) + right
				}
				tamper(t, db, q)
			}
			r := verify(t, db, s, acc, head)
			if d := cmp.Diff(test.want, broken(r)); d != "" || r.Sound() {
				t.Errorf("%s (-want +got):\n%s", test.what, d)
			}
			exec(t, db, back...)
			wantSound(t, verify(t, db, s, acc, head), 5, 0)
		}
	})
}

func exec(t *testing.T, db *bun.DB, statements ...string) {
	t.Helper()
	for _, q := range statements {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// reseal is the hash that the line of a seal should have now.
func reseal(t *testing.T, db *bun.DB, number int64) string {
	t.Helper()
	var previous, audit string
	err := db.NewRaw("SELECT p.hash, s.audit_id FROM tenancy_audit_seals AS p JOIN tenancy_audit_seals AS s ON s.account_id = p.account_id AND s.number = p.number + 1 WHERE s.account_id = ? AND s.number = ?", acc, number).
		Scan(t.Context(), &previous, &audit)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := tenancy.New(tenancy.Config{}).Audits(t.Context(), db, tenancy.AuditLog{Account: acc, Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if line.ID == audit {
			return seals.Hash(previous, number, line)
		}
	}
	t.Fatalf("no line %s", audit)
	return ""
}

// Who owns the database writes the whole chain anew; who noted a head sees it.
func TestVerify_AChainWrittenAnewIsFoundByANotedHead(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		record(t, db, "", 4)
		head := seal(t, db, s, "", 4)
		tamper(t, db, "UPDATE tenancy_audit SET reason = 'other' WHERE audit_id = (SELECT MIN(audit_id) FROM tenancy_audit)", "DELETE FROM tenancy_audit_seals")
		seal(t, db, s, "", 4)
		wantSound(t, verify(t, db, s, ""), 4, 0)
		if d := cmp.Diff([]string{"4 the chain goes through the noted heads"}, broken(verify(t, db, s, "", head))); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		_, err := s.Verify(t.Context(), db, acc, head)
		if !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("another account's head: %v", err)
		}
	})
}

// Whoever owns the database can take its constraints away: that is found too, and
// brings no program down.
func TestSeals_ALineWithoutAValueIsTamperedWith(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		record(t, db, "acc_1", 3)
		head := seal(t, db, s, "acc_1", 3)
		record(t, db, "acc_1", 1)
		exec(t, db, "ALTER TABLE tenancy_audit RENAME TO was", "CREATE TABLE tenancy_audit AS SELECT * FROM was",
			"UPDATE tenancy_audit SET reason = NULL WHERE target IN ('0', '1')")
		r := verify(t, db, s, "acc_1", head)
		if len(r.Findings) != 2 || r.Findings[1].Number != 2 || r.Sealed != 3 || r.Unsealed != 1 {
			t.Errorf("%+v", r)
		}
		if _, err := s.SealDue(t.Context(), db); err == nil || !strings.Contains(err.Error(), "acc_1") {
			t.Error(err)
		}
	})
}

func TestVerify_BoundsWhatItReports(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, s *seals.Seals) {
		record(t, db, acc, 130)
		seal(t, db, s, acc, 130)
		tamper(t, db, "DELETE FROM tenancy_audit")
		if r := verify(t, db, s, acc); len(r.Findings) != 100 || r.More != 30 || r.Sealed != 130 {
			t.Errorf("%d findings and %d more of %d seals", len(r.Findings), r.More, r.Sealed)
		}
	})
}
