package tenancy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// note is a host's own fact.
type note struct {
	Text string `json:"text"`
}

func (note) EventKind() string { return "host.note" }

func TestPublish_NumbersWithoutGapWhoeverPublishes(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		boom := errors.New("boom")
		errs := together(20, func(i int) error {
			return db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
				if err := tenancy.Publish(ctx, tx, "acc_1", t0, note{fmt.Sprint(i)}); err != nil {
					return err
				}
				if i%4 == 0 {
					return boom // a number that was taken and given back
				}
				return nil
			})
		})
		if n := tally(t, errs, boom); n != 15 {
			t.Errorf("%d committed", n)
		}
		events := tenancytest.Events(t, db, "acc_1")
		if len(events) != 15 {
			t.Errorf("%d events", len(events))
		}
		for i, e := range events {
			if e.Number != int64(i+1) {
				t.Errorf("event %d has number %d", i+1, e.Number)
			}
			if f, err := tenancy.Decode[note](e); err != nil || f.Text == "0" {
				t.Errorf("event %d is %+v, %v", i+1, f, err)
			}
		}
		if err := tenancy.Publish(t.Context(), db, "acc_2", t0, note{"hers"}); err != nil {
			t.Fatal(err)
		}
		if got := tenancytest.Events(t, db, "acc_2"); len(got) != 1 || got[0].Number != 1 {
			t.Errorf("another account's numbering: %+v", got)
		}
	})
}

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

func TestEvents_AreAppendOnlyOnSQLite(t *testing.T) {
	db := dbtest.SQLite(t, tenancy.Migrate)
	if err := tenancy.Publish(t.Context(), db, "acc_1", t0, note{"hello"}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "UPDATE tenancy_events SET data = '{}'"); err == nil {
		t.Error("an event was rewritten")
	}
}
