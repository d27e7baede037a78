package tenancy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

func record(t *testing.T, db bun.IDB, account tenancy.AccountID, target string) {
	t.Helper()
	err := tenancy.Record(t.Context(), db, tenancy.Audit{Account: account, At: t0, Actor: person, Action: "host.note", Target: target})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRecord_ComesBackAsItWasGiven(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		want := tenancy.Audit{
			Account: "acc_1", At: t0, Actor: operator, Action: "host.note", Target: "key_1", Reason: `ä "quoted" ? reason; --`,
			Data: json.RawMessage(`{"text":"\u0000 ?"}`),
		}
		if err := tenancy.Record(t.Context(), db, want); err != nil {
			t.Fatal(err)
		}
		bare := tenancy.Audit{Account: "acc_1", At: t0, Actor: person, Action: "host.bare"}
		if err := tenancy.Record(t.Context(), db, bare); err != nil {
			t.Fatal(err)
		}
		bare.Data = json.RawMessage("{}")
		got := audits(t, db, "acc_1")
		if d := cmp.Diff([]tenancy.Audit{bare, want}, got, cmpopts.IgnoreFields(tenancy.Audit{}, "ID")); d != "" {
			t.Errorf("log (-want +got):\n%s", d)
		}
	})
}

func TestRecord_NothingHappensUnsigned(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	good := tenancy.Audit{Account: "acc_1", At: t0, Actor: person, Action: "host.note"}
	for what, spoil := range map[string]func(a *tenancy.Audit){
		"no actor":             func(a *tenancy.Audit) { a.Actor = tenancy.Actor{} },
		"no kind":              func(a *tenancy.Audit) { a.Kind = "" },
		"no id of the actor":   func(a *tenancy.Audit) { a.Actor.ID = "" },
		"long id of the actor": func(a *tenancy.Audit) { a.Actor.ID = strings.Repeat("a", 201) },
		"NUL in the actor":     func(a *tenancy.Audit) { a.Actor.ID = "a\x00" },
		"no action":            func(a *tenancy.Audit) { a.Action = "" },
		"NUL in the target":    func(a *tenancy.Audit) { a.Target = "a\x00" },
		"long reason":          func(a *tenancy.Audit) { a.Reason = strings.Repeat("a", 1001) },
		"reason, no encoding":  func(a *tenancy.Audit) { a.Reason = "\xff" },
		"no account's id":      func(a *tenancy.Audit) { a.Account = "a b" },
		"NUL in the account":   func(a *tenancy.Audit) { a.Account = "acc_1\x00" },
		"data, no encoding":    func(a *tenancy.Audit) { a.Data = json.RawMessage("{\"a\":\"\xff\"}") },
		"data that is no JSON": func(a *tenancy.Audit) { a.Data = json.RawMessage(`{"a":`) },
	} {
		unchanged(t, db, what, func() {
			a := good
			spoil(&a)
			wantErr(t, what, tenancy.Record(t.Context(), db, a), tenancy.ErrInvalid)
		})
	}
}

func TestAudits_PagesNewestFirstAndOneAccountOnly(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts := tenancy.New(tenancy.Config{})
		var want []string
		for i := range 60 {
			target := fmt.Sprint(i)
			record(t, db, "acc_1", target)
			record(t, db, "acc_2", "hers")
			want = append([]string{target}, want...)
		}
		var (
			got   []string
			sizes []int
			page  = tenancy.AuditLog{Account: "acc_1"}
		)
		for len(sizes) < 5 {
			lines, err := accounts.Audits(t.Context(), db, page)
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, len(lines))
			if len(lines) == 0 {
				break
			}
			for _, l := range lines {
				got = append(got, l.Target)
			}
			page.Before = lines[len(lines)-1].ID
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("log (-want +got):\n%s", d)
		}
		if d := cmp.Diff([]int{50, 10, 0}, sizes); d != "" {
			t.Errorf("pages (-want +got):\n%s", d)
		}
		for limit, want := range map[int]int{-1: 50, 1: 1, 59: 59, 1000: 60} {
			lines, err := accounts.Audits(t.Context(), db, tenancy.AuditLog{Account: "acc_1", Limit: limit})
			if len(lines) != want || err != nil {
				t.Errorf("limit %d: %d lines, %v", limit, len(lines), err)
			}
		}
		_, err := accounts.Audits(t.Context(), db, tenancy.AuditLog{Account: "acc_1", Before: "\x00"})
		wantErr(t, "a place that is none", err, tenancy.ErrInvalid)
	})
}

func TestAudit_IsAppendOnlyOnSQLite(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	record(t, db, "acc_1", "kept")
	for _, q := range []string{
		"UPDATE tenancy_audit SET reason = 'other'", "DELETE FROM tenancy_audit",
		"UPDATE OR REPLACE tenancy_audit SET reason = 'other'",
		"REPLACE INTO tenancy_audit SELECT account_id, audit_id, at, actor_kind, actor_id, action, 'other', reason, data FROM tenancy_audit",
	} {
		if _, err := db.ExecContext(t.Context(), q); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", q, err)
		}
	}
	// A row may also be replaced by the number that SQLite gives it.
	_, err := db.ExecContext(t.Context(), `REPLACE INTO tenancy_audit (rowid, account_id, audit_id, at, actor_kind, actor_id, action, target, reason, data)
		SELECT 1, account_id, 'aud_other', at, actor_kind, actor_id, action, 'other', reason, data FROM tenancy_audit`)
	if err == nil {
		t.Error("a line was replaced by its number")
	}
	if lines := audits(t, db, "acc_1"); len(lines) != 1 || lines[0].Target != "kept" {
		t.Errorf("log %+v", lines)
	}
}
