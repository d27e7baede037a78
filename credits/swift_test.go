package credits_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// What a Ledger remembers of an account is no truth: whoever else writes to it is seen.
func TestSwift_SeesWhatOthersDidToTheAccount(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 100)
		others := credits.New(credits.Config{Now: clock.Now})
		want := int64(100)
		spend := func(name string) {
			t.Helper()
			want--
			if e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1, Key: name}); e.Balance != want {
				t.Errorf("after %s the balance is %d, want %d", name, e.Balance, want)
			}
		}
		spend("nothing")
		spend("itself")
		for name, do := range map[string]func() int64{
			"a deduction": func() int64 { return deduct(t, others, db, credits.Deduct{Account: acc, Amount: 2}).Amount },
			"a grant":     func() int64 { return grant(t, others, db, credits.Grant{Account: acc, Amount: 5, Key: "g"}).Amount },
			"a refund":    func() int64 { return refund(t, others, db, credits.Refund{Account: acc, Entry: 2, Key: "r"}).Amount },
			"a hold": func() int64 {
				hold(t, others, db, credits.Hold{Account: acc, Amount: 3})
				return 0
			},
			"a transaction": func() int64 {
				joined(t, db, func(tx bun.Tx) { deduct(t, l, tx, credits.Deduct{Account: acc, Amount: 4}) })
				return -4
			},
			"a transaction that was undone": func() int64 {
				tx, err := db.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				deduct(t, l, tx, credits.Deduct{Account: acc, Amount: 4})
				if err := tx.Rollback(); err != nil {
					t.Fatal(err)
				}
				return 0
			},
		} {
			want += do()
			spend("after " + name)
			spend("again after " + name)
		}
		_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: want - 2, Key: "more than is not held"})
		requireError(t, err, credits.ErrInsufficient)
		_, err = others.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1, Key: "more than is not held"})
		requireError(t, err, credits.ErrKeyReused)
		spend("a refused key")
		creditstest.RequireBalance(t, l, db, acc, want-3)
		creditstest.RequireSound(t, l, db, acc)
	})
}

// A batch is one statement with arrays, in which every text and every NULL must stay what
// it is.
func TestSwift_KeepsEveryTextOfABatch(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 1000)
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
		texts := []string{"'", "''", `"`, `\`, `\\'`, "NULL", "null", "{a,b}", "$1", "?", "a'b", "", "ключ", "💡", " ", ","}
		const copies = 4
		for _, err := range dbtest.Together(len(texts)*copies, func(i int) error {
			s := texts[i%len(texts)]
			_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1, Key: fmt.Sprint(i, s), Operation: s, Note: s, Basis: s})
			return err
		}) {
			if err != nil {
				t.Error(err)
			}
		}
		for i := range len(texts) * copies {
			s := texts[i%len(texts)]
			e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1, Key: fmt.Sprint(i, s), Operation: s})
			if !e.Replayed || e.Operation != s || e.Note != s || e.Basis != s || e.RefundOf != 0 {
				t.Errorf("%q: %+v", s, e)
			}
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

// A pooler gives every transaction another connection, which has the prepared statements
// or not.
func TestSwift_WorksThroughAPooler(t *testing.T) {
	db := dbtest.PgBouncer(t, dbtest.Postgres(t, credits.Migrate))
	l := credits.New(credits.Config{})
	fund(t, l, db, 500)
	for _, err := range dbtest.Together(200, func(i int) error {
		_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1, Key: fmt.Sprint(i)})
		return err
	}) {
		if err != nil {
			t.Error(err)
		}
	}
	for i := range 20 {
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1, Key: fmt.Sprint("alone", i)})
	}
	creditstest.RequireBalance(t, l, db, acc, 280)
	creditstest.RequireSound(t, l, db, acc)
}

// The rows of a statement come before the database says whether it could commit it.
func TestSwift_AStatementThatFailsAtItsCommitIsNoSuccess(t *testing.T) {
	db := dbtest.Postgres(t, credits.Migrate)
	l := credits.New(credits.Config{})
	fund(t, l, db, 100)
	for range 3 {
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
	}
	exec(t, db, `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN IF NEW.note = 'no' THEN RAISE EXCEPTION 'no' USING ERRCODE = '23514'; END IF; RETURN NULL; END $$`)
	exec(t, db, `CREATE CONSTRAINT TRIGGER no AFTER INSERT ON credits_entries DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no()`)
	if e, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1, Note: "no"}); err == nil {
		t.Errorf("alone: %+v", e)
	}
	for i, err := range dbtest.Together(20, func(i int) error {
		note := ""
		if i == 7 {
			note = "no"
		}
		_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1, Note: note, Key: fmt.Sprint("k", i)})
		return err
	}) {
		if (err != nil) != (i == 7) {
			t.Error(i, err)
		}
	}
	creditstest.RequireBalance(t, l, db, acc, 78)
	creditstest.RequireSound(t, l, db, acc)
}

// Until there is a connection nothing has been asked for, and whoever waits for one may
// leave.
func TestSwift_TheWaitForAConnectionIsTheCallersToEnd(t *testing.T) {
	db := dbtest.Postgres(t, credits.Migrate)
	l := credits.New(credits.Config{})
	fund(t, l, db, 100)
	for range 2 {
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
	}
	db.SetMaxOpenConns(1)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := l.Deduct(ctx, db, credits.Deduct{Account: acc, Amount: 1, Key: "k"}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, credits.ErrOutcomeUnknown) {
		t.Error(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Deduct(ctx, db, credits.Deduct{Account: acc, Amount: 1, Key: "k2"}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, credits.ErrOutcomeUnknown) {
		t.Error(err)
	}
	creditstest.RequireBalance(t, l, db, acc, 98)
}
