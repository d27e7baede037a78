package credits_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// butReplayed compares entries as a replay must give them back.
var butReplayed = cmpopts.IgnoreFields(credits.Entry{}, "Replayed")

// replays is how many of acc were written.
func replays(t *testing.T, db bun.IDB) int64 {
	t.Helper()
	return scan[int64](t, db, "SELECT replays FROM credits_accounts WHERE account_id = ?", acc)
}

func TestReplay_GivesTheFirstEntryBackAndWrites(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		verbs := []struct {
			key string
			do  func(db bun.IDB, note string) (credits.Entry, error)
		}{
			{"g", func(db bun.IDB, note string) (credits.Entry, error) {
				return l.Grant(t.Context(), db, credits.Grant{
					Account: acc, Amount: 100, Key: "g", Category: credits.CategoryPaid, Priority: 3,
					EffectiveAt: start.Add(-time.Nanosecond), ExpiresAt: start.AddDate(1, 0, 0), Note: note,
				})
			}},
			{"d", func(db bun.IDB, note string) (credits.Entry, error) {
				return l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 30, Key: "d", Operation: "ideas", Note: note})
			}},
			{"r", func(db bun.IDB, note string) (credits.Entry, error) {
				return l.Refund(t.Context(), db, credits.Refund{Account: acc, Entry: 2, Amount: 10, Key: "r", Note: note})
			}},
		}
		first := map[string]credits.Entry{}
		for _, v := range verbs {
			e, err := v.do(db, "first")
			if err != nil || e.Replayed {
				t.Fatalf("%s: %+v, %v", v.key, e, err)
			}
			first[v.key] = e
		}
		clock.Advance(time.Hour)
		before := rows(t, db)
		for i, v := range verbs {
			again, err := v.do(db, "second")
			if d := cmp.Diff(first[v.key], again, butReplayed); d != "" || err != nil || !again.Replayed {
				t.Errorf("%s: %s, %v, replayed %v", v.key, d, err, again.Replayed)
			}
			if n := replays(t, db); n != int64(2*i+1) {
				t.Errorf("%s: %d replays written", v.key, n)
			}
			joined(t, db, func(tx bun.Tx) {
				again, err := v.do(tx, "third")
				if d := cmp.Diff(first[v.key], again, butReplayed); d != "" || err != nil || !again.Replayed {
					t.Errorf("%s, joined: %s, %v, replayed %v", v.key, d, err, again.Replayed)
				}
			})
			if n := replays(t, db); n != int64(2*i+2) {
				t.Errorf("%s: %d replays written", v.key, n)
			}
		}
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Error(d)
		}
		creditstest.RequireBalance(t, l, db, acc, 80)
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestReplay_GivesTheFirstRefusalBackEvenWhenCreditsCame(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 3)
		d := credits.Deduct{Account: acc, Amount: 5, Key: "d"}
		_, first := l.Deduct(t.Context(), db, d)
		requireError(t, first, credits.ErrInsufficient)
		r := credits.Refund{Account: acc, Entry: 3, Key: "r"}
		_, none := l.Refund(t.Context(), db, r)
		requireError(t, none, credits.ErrNoEntry)

		grant(t, l, db, credits.Grant{Account: acc, Amount: 100, Key: "more"})
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1}) // entry 3
		_, again := l.Deduct(t.Context(), db, d)
		if diff := cmp.Diff(first, again); diff != "" {
			t.Error(diff)
		}
		var short *credits.InsufficientError
		if requireAs(t, again, &short); short.Need != 5 || short.Have != 3 {
			t.Errorf("%+v", short)
		}
		_, again = l.Refund(t.Context(), db, r)
		requireError(t, again, credits.ErrNoEntry)
		creditstest.RequireBalance(t, l, db, acc, 102)
		if n := replays(t, db); n != 2 {
			t.Errorf("%d replays written", n)
		}
	})
}

func TestKey_WithOtherContentIsRefused(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 100)
		ctx := t.Context()
		g := credits.Grant{Account: acc, Amount: 10, Key: "k", EffectiveAt: start, ExpiresAt: start.AddDate(0, 1, 0)}
		grant(t, l, db, g)
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 5, Key: "d", Operation: "ideas"})
		refund(t, l, db, credits.Refund{Account: acc, Entry: 3, Amount: 1, Key: "r"})
		before := rows(t, db)
		reused := map[string]func(db bun.IDB) error{}
		for name, change := range map[string]func(g *credits.Grant){
			"amount": func(g *credits.Grant) { g.Amount++ }, "category": func(g *credits.Grant) { g.Category = credits.CategoryPaid },
			"priority": func(g *credits.Grant) { g.Priority++ }, "start": func(g *credits.Grant) { g.EffectiveAt = time.Time{} },
			"end": func(g *credits.Grant) { g.ExpiresAt = g.ExpiresAt.Add(time.Microsecond) },
		} {
			reused["grant of another "+name] = func(db bun.IDB) error {
				g := g
				change(&g)
				_, err := l.Grant(ctx, db, g)
				return err
			}
		}
		reused["deduct of another amount"] = func(db bun.IDB) error {
			_, err := l.Deduct(ctx, db, credits.Deduct{Account: acc, Amount: 6, Key: "d", Operation: "ideas"})
			return err
		}
		reused["deduct for another operation"] = func(db bun.IDB) error {
			_, err := l.Deduct(ctx, db, credits.Deduct{Account: acc, Amount: 5, Key: "d", Operation: "images"})
			return err
		}
		reused["deduct with a grant's key"] = func(db bun.IDB) error {
			_, err := l.Deduct(ctx, db, credits.Deduct{Account: acc, Amount: 10, Key: "k"})
			return err
		}
		reused["refund of another entry"] = func(db bun.IDB) error {
			_, err := l.Refund(ctx, db, credits.Refund{Account: acc, Entry: 2, Amount: 1, Key: "r"})
			return err
		}
		reused["refund of another amount"] = func(db bun.IDB) error {
			_, err := l.Refund(ctx, db, credits.Refund{Account: acc, Entry: 3, Key: "r"})
			return err
		}
		for name, do := range reused {
			if err := do(db); !isReused(err) {
				t.Errorf("%s: %v", name, err)
			}
			joined(t, db, func(tx bun.Tx) {
				if err := do(tx); !isReused(err) {
					t.Errorf("%s, joined: %v", name, err)
				}
			})
		}
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Error(d)
		}
		creditstest.RequireBalance(t, l, db, acc, 106)
	})
}

func TestKey_IsTheAccountsOwn(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		a := grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "k"})
		b := grant(t, l, db, credits.Grant{Account: other, Amount: 20, Key: "k"})
		if a.Replayed || b.Replayed || b.Account != other {
			t.Errorf("%+v %+v", a, b)
		}
		creditstest.RequireBalance(t, l, db, other, 20)
	})
}

func TestKey_OfManyCopiesAtOnceTakesEffectOnce(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 1000)
		entries := make([]credits.Entry, 32)
		for _, err := range dbtest.Together(len(entries), func(i int) (err error) {
			entries[i], err = l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 7, Key: "k"})
			return err
		}) {
			if err != nil {
				t.Fatal(err)
			}
		}
		made := 0
		for _, e := range entries {
			if !e.Replayed {
				made++
			}
			if d := cmp.Diff(entries[0], e, butReplayed); d != "" {
				t.Error(d)
			}
		}
		if made != 1 || replays(t, db) == 0 { // those that share a commit are one
			t.Errorf("%d made it, %d replays", made, replays(t, db))
		}
		creditstest.RequireBalance(t, l, db, acc, 993)

		// The first use of the account is raced as well.
		for _, err := range dbtest.Together(32, func(int) error {
			_, err := l.Grant(t.Context(), db, credits.Grant{Account: other, Amount: 5, Key: "k"})
			return err
		}) {
			if err != nil {
				t.Fatal(err)
			}
		}
		creditstest.RequireBalance(t, l, db, other, 5)
		creditstest.RequireSound(t, l, db, "")
	})
}

func TestRefusal_LeavesTheHostsTransactionUsable(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		exec(t, db, "CREATE TABLE images (id TEXT PRIMARY KEY)")
		fund(t, l, db, 3)
		d := credits.Deduct{Account: acc, Amount: 5, Key: "image:1"}
		joined(t, db, func(tx bun.Tx) {
			_, err := l.Deduct(t.Context(), tx, d)
			requireError(t, err, credits.ErrInsufficient)
			_, err = l.Deduct(t.Context(), tx, credits.Deduct{Account: acc, Amount: 1, Key: "image:1"})
			requireError(t, err, credits.ErrKeyReused)
			_, err = l.Deduct(t.Context(), tx, credits.Deduct{Account: acc, Amount: -1})
			requireError(t, err, credits.ErrInvalid)
			_, err = l.Refund(t.Context(), tx, credits.Refund{Account: acc, Entry: 1, Key: "r"})
			requireError(t, err, credits.ErrNotRefundable)
			exec(t, tx, "INSERT INTO images VALUES ('1, without its picture')")
		})
		if n := scan[int](t, db, "SELECT COUNT(*) FROM images"); n != 1 {
			t.Errorf("%d images", n)
		}
		grant(t, l, db, credits.Grant{Account: acc, Amount: 100, Key: "more"})
		_, err := l.Deduct(t.Context(), db, d)
		requireError(t, err, credits.ErrInsufficient) // the key was committed
	})
}

// The server ends the connection in the middle of COMMIT.
func TestKey_SettlesACommitOfUnknownOutcome(t *testing.T) {
	db := dbtest.Postgres(t, credits.Migrate)
	l := credits.New(credits.Config{})
	fund(t, l, db, 10)
	exec(t, db, `CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$`)
	exec(t, db, `CREATE CONSTRAINT TRIGGER die AFTER INSERT ON credits_entries DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION die()`)
	d := credits.Deduct{Account: acc, Amount: 4, Key: "k"}
	_, err := l.Deduct(t.Context(), db, d)
	requireError(t, err, credits.ErrOutcomeUnknown)
	exec(t, db, "DROP TRIGGER die ON credits_entries")
	for range 2 {
		deduct(t, l, db, d)
	}
	creditstest.RequireBalance(t, l, db, acc, 6)
	if e := creditstest.RequireEntry(t, l, db, acc, credits.KindDeduct, -4); e.Number != 2 {
		t.Errorf("%+v", e)
	}
}

func TestReplay_OfAnEntryThatIsGoneIsNoSuccess(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 10)
		for outcome, number := range map[string]int{"entry": 7, "what?": 1} {
			exec(t, db, `INSERT INTO credits_keys (account_id, key, hash, unit, outcome, number, created_at)
				SELECT account_id, ?, hash, unit, ?, ?, at FROM credits_entries WHERE key = 'fund'`, outcome, outcome, number)
			e, err := l.Grant(t.Context(), db, credits.Grant{Account: acc, Amount: 10, Key: outcome})
			if err == nil || e != (credits.Entry{}) || isInvalid(err) {
				t.Errorf("%s: %+v, %v", outcome, e, err)
			}
		}
		creditstest.RequireBalance(t, l, db, acc, 10)
	})
}

func ExampleInsufficientError() {
	err := fmt.Errorf("drawing: %w", &credits.InsufficientError{Need: 5, Have: 3})
	fmt.Println(err)
	// Output: drawing: not enough credits: buy more to go on: this takes 5 and 3 are left
}
