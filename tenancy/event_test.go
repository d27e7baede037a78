package tenancy_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// note is a host's own fact.
type note struct {
	Text string `json:"text"`
}

func (note) EventKind() string { return "host.note" }

func TestPublish_OfATransactionThatWasRolledBackLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		unchanged(t, db, "a rolled back transaction", func() {
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := tenancy.Publish(t.Context(), tx, "acc_1", t0, note{"never"}); err != nil {
				t.Fatal(err)
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// An event that nobody was told to deliver would be lost.
func TestNote_GivenADatabaseWritesAllOrNothing(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		if _, err := db.ExecContext(t.Context(), "ALTER TABLE tenancy_deliveries RENAME TO tenancy_deliveries_away"); err != nil {
			t.Fatal(err)
		}
		line := tenancy.Audit{Account: "acc_1", At: t0, Actor: person, Action: "host.note"}
		if tenancy.Publish(t.Context(), db, "acc_1", t0, note{"x"}) == nil || tenancy.Note(t.Context(), db, line, note{"x"}) == nil {
			t.Error("a table is missing and nobody noticed")
		}
		if _, err := db.ExecContext(t.Context(), "ALTER TABLE tenancy_deliveries_away RENAME TO tenancy_deliveries"); err != nil {
			t.Fatal(err)
		}
		if n := rows(t, db); n["tenancy_events"] != 0 || n["tenancy_audit"] != 0 {
			t.Errorf("half was written: %v", n)
		}
		if err := tenancy.Note(t.Context(), db, line, note{"x"}); err != nil {
			t.Fatal(err)
		}
		if n := rows(t, db); n["tenancy_events"] != 1 || n["tenancy_deliveries"] != 1 || n["tenancy_audit"] != 1 {
			t.Errorf("rows: %v", n)
		}
	})
}

func TestDecode(t *testing.T) {
	e := tenancy.Event{Kind: "host.note", Data: json.RawMessage(`{"text":"hello"}`)}
	if f, err := tenancy.Decode[note](e); err != nil || f.Text != "hello" {
		t.Errorf("%+v, %v", f, err)
	}
	_, err := tenancy.Decode[tenancy.AccountChanged](e)
	wantErr(t, "another kind", err, tenancy.ErrKind)
	e.Data = json.RawMessage(`{"text":7}`)
	if _, err := tenancy.Decode[note](e); err == nil || errors.Is(err, tenancy.ErrKind) {
		t.Errorf("other content: %v", err)
	}
}

func TestEvents_AreNeverRewrittenOnSQLite(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	if err := tenancy.Publish(t.Context(), db, "acc_1", t0, note{"hello"}); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		"UPDATE tenancy_events SET data = '{}'", "UPDATE OR REPLACE tenancy_events SET data = '{}'",
		"REPLACE INTO tenancy_events SELECT account_id, event_id, kind, '{}', at FROM tenancy_events",
	} {
		if _, err := db.ExecContext(t.Context(), q); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", q, err)
		}
	}
	_, err := db.ExecContext(t.Context(), "REPLACE INTO tenancy_events (rowid, account_id, event_id, kind, data, at) VALUES (1, 'acc_1', 'evt_other', 'k', '{}', '2026-03-01')")
	if err == nil {
		t.Error("an event was replaced by its number")
	}
}
