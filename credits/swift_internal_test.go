package credits

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// drawing is a tab of deductions, each with a key or "".
func drawing(l *Ledger, account tenancy.AccountID, s standing, at time.Time, draws ...Deduct) *tab {
	t := &tab{account: account, known: s, at: at, callers: len(draws)}
	for _, d := range draws {
		d.Account = account
		t.taken += d.Amount
		t.draws = append(t.draws, draw{&caller{request: l.deduction(d)}, t.taken})
	}
	return t
}

// accountAs is what a swift statement changes of an account.
type accountAs struct {
	Account                               tenancy.AccountID `bun:"account_id"`
	Number, Booked, Free, Replays, Behind int64
}

// accountsAs are those of a unit; Behind is by how many seconds their newest entry is older
// than day.
func accountsAs(t *testing.T, db *bun.DB, unit string) map[tenancy.AccountID]accountAs {
	t.Helper()
	var rows []accountAs
	err := db.NewRaw(`SELECT account_id, number, booked, head_free AS free, replays, CAST(EXTRACT(EPOCH FROM ? - entered_at) AS BIGINT) AS behind
		FROM credits_accounts WHERE unit = ?`, day, unit).Scan(t.Context(), &rows)
	if err != nil {
		t.Fatal(err)
	}
	out := map[tenancy.AccountID]accountAs{}
	for _, r := range rows {
		out[r.Account] = r
	}
	return out
}

// Accounts of all sorts in one statement. Neither what it does to one depends on the
// others, nor what it says of it; here all are in the same epoch, as by chance they may be.
func TestSwiftly_WritesWhereTheEpochIsTheSameAndTheHeadHasEnough(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l, other := New(Config{Now: func() time.Time { return day }}), New(Config{Now: func() time.Time { return day }, Unit: "gpu_second"})
	fund := func(l *Ledger, account tenancy.AccountID, n int64) {
		if _, err := l.Grant(t.Context(), db, Grant{Account: account, Amount: n, Key: "fund " + l.cfg.Unit}); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range []tenancy.AccountID{"two", "all", "short", "ahead", "behind", "used", "replays", "slow", "locked"} {
		fund(l, a, 10)
		fund(other, a, 20)
	}
	fund(other, "unit", 20)
	for _, key := range []string{"x", "refused"} { // keys that no entry has
		if _, err := l.Deduct(t.Context(), db, Deduct{Account: "used", Amount: 99, Key: key}); !errors.Is(err, ErrInsufficient) {
			t.Fatal(err)
		}
	}
	if _, err := l.Deduct(t.Context(), db, Deduct{Account: "two", Amount: 99, Key: "other"}); !errors.Is(err, ErrInsufficient) {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "UPDATE credits_accounts SET epoch = 7"); err != nil {
		t.Fatal(err)
	}
	defer lockedElsewhere(t, db, "locked")()
	before := accountsAs(t, db, other.cfg.Unit)
	later, one := day.Add(time.Minute), Deduct{Amount: 1}
	now := standing{epoch: 7, free: 10}
	tabs := []*tab{
		drawing(l, "two", standing{epoch: 7, apart: 3}, later, Deduct{Amount: 2, Key: "x"}, Deduct{Amount: 3}),
		drawing(l, "all", now, later, Deduct{Amount: 10}),
		drawing(l, "short", now, later, Deduct{Amount: 11}),
		drawing(l, "ahead", standing{epoch: 6}, later, one),
		drawing(l, "behind", standing{epoch: 8}, later, one),
		drawing(l, "used", now, later, one, Deduct{Amount: 1, Key: "refused"}),
		drawing(l, "replays", now, later),
		drawing(l, "slow", now, day.Add(-time.Minute), one),
		drawing(l, "locked", now, later, one),
		drawing(l, "unit", now, later, one),
		drawing(l, "gone", now, later, one),
	}
	tabs[0].replays, tabs[6].replays = 1, 2
	written, alone, err := l.draw(t.Context(), db, tabs, false)
	if err != nil {
		t.Fatal(err)
	}
	wantWritten := map[int]drawn{0: {3, 5, 5, later}, 1: {2, 0, 0, later}, 6: {1, 10, 10, day}, 7: {2, 9, 9, day}}
	wantAlone := map[int]string{3: hasMoved, 4: hasMoved, 5: knowsKey, 9: hasMoved, 10: hasMoved}
	if d := cmp.Diff(wantWritten, written, cmp.AllowUnexported(drawn{})) + cmp.Diff(wantAlone, alone); d != "" {
		t.Error(d)
	}
	want := map[tenancy.AccountID]accountAs{
		"two": {"two", 3, 5, 5, 1, -60}, "all": {"all", 2, 0, 0, 0, -60}, "short": {"short", 1, 10, 10, 0, 0}, "ahead": {"ahead", 1, 10, 10, 0, 0},
		"behind": {"behind", 1, 10, 10, 0, 0}, "used": {"used", 1, 10, 10, 0, 0}, "replays": {"replays", 1, 10, 10, 2, 0},
		"slow": {"slow", 2, 9, 9, 0, 0}, "locked": {"locked", 1, 10, 10, 0, 0},
	}
	if d := cmp.Diff(want, accountsAs(t, db, l.cfg.Unit)) + cmp.Diff(before, accountsAs(t, db, other.cfg.Unit)); d != "" {
		t.Error(d)
	}
	type line struct {
		Account                            tenancy.AccountID
		Number, Amount, Balance, Spendable int64
		Key                                string
		At                                 time.Time
	}
	wantLines := []line{{"all", 2, -10, 0, 0, "", later}, {"slow", 2, -1, 9, 9, "", day}, {"two", 2, -2, 8, 5, "x", later}, {"two", 3, -3, 5, 2, "", later}}
	var lines []line
	rows, err := db.QueryContext(t.Context(), `SELECT e.account_id, e.number, e.amount, e.balance, e.spendable, e.key, e.at FROM credits_entries AS e
		JOIN credits_grants AS g ON g.account_id = e.account_id AND g.grant_id = e.grant_id AND g.unit = e.unit
		WHERE e.kind = 'deduct' AND e.unit = ? ORDER BY e.account_id, e.number`, l.cfg.Unit)
	if err := each(rows, err, func(scan func(...any) error) error {
		var e line
		err := scan(&e.Account, &e.Number, &e.Amount, &e.Balance, &e.Spendable, &e.Key, &e.At)
		lines = append(lines, e)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(wantLines, lines); d != "" {
		t.Error(d)
	}
}

// What has happened to an account while its lock was waited for counts.
func TestSwiftly_SeesWhatHappenedBeforeItHadTheLock(t *testing.T) {
	for name, c := range map[string]struct {
		change string
		want   map[int]drawn
	}{
		"another epoch":            {"UPDATE credits_accounts SET epoch = epoch + 1", map[int]drawn{}},
		"less in the head":         {"UPDATE credits_accounts SET head_free = 4", map[int]drawn{}},
		"a deduction":              {"UPDATE credits_accounts SET head_free = 5, booked = 5, number = 2", map[int]drawn{0: {3, 0, 0, day}}},
		"nothing but the lock":     {"UPDATE credits_accounts SET number = number", map[int]drawn{0: {2, 5, 5, day}}},
		"an entry of a later time": {"UPDATE credits_accounts SET entered_at = '2026-03-01 00:01:00+00:00'", map[int]drawn{0: {2, 5, 5, day.Add(time.Minute)}}},
	} {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Postgres(t, Migrate)
			l := funded(t, db, Config{Now: func() time.Time { return day }}, accA)
			known, ok := l.shelf.get(shelved{db.DB, accA})
			if !ok {
				t.Fatal("nothing is remembered")
			}
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback() }()
			if _, err := tx.ExecContext(t.Context(), c.change); err != nil {
				t.Fatal(err)
			}
			done := make(chan map[int]drawn)
			go func() {
				written, _, err := l.draw(t.Context(), db, []*tab{drawing(l, accA, known, day, Deduct{Amount: 5})}, true)
				if err != nil {
					t.Error(err)
				}
				done <- written
			}()
			await(t, "it waits for the lock", func() bool {
				var n int
				err := db.NewRaw("SELECT COUNT(*) FROM pg_locks WHERE NOT granted").Scan(t.Context(), &n)
				return err != nil || n > 0 || len(done) > 0
			})
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, <-done, cmp.AllowUnexported(drawn{})); d != "" {
				t.Error(d)
			}
		})
	}
}

// statementsOf counts the statements that fn takes, by their beginnings.
func statementsOf(db *bun.DB, fn func(db *bun.DB)) map[string]int {
	n := map[string]int{}
	fn(db.WithQueryHook(everyHook(func(query string) {
		switch {
		case strings.HasPrefix(query, "EXECUTE"):
			query = "swift"
		case strings.HasPrefix(query, "WITH d (account_id, key)"):
			query = "keys"
		case strings.HasPrefix(query, "WITH d (account_id, number)"):
			query = "entries"
		case strings.Contains(query, "FOR UPDATE"):
			query = "lock"
		default:
			query = "other"
		}
		n[query]++
	})))
	return n
}

// Once a key was used again, keys are looked up beforehand, for so many batches more, and
// a replay takes no lock either. Otherwise nobody looks.
func TestSwift_LooksKeysUpOnlyWhereTheyAreRepeated(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA, accB)
	ask := func(account tenancy.AccountID, key string) map[string]int {
		return statementsOf(db, func(db *bun.DB) {
			if _, err := l.Deduct(t.Context(), db, Deduct{Account: account, Amount: 1, Key: key}); err != nil {
				t.Fatal(key, err)
			}
		})
	}
	require := func(what string, want, got map[string]int) {
		t.Helper()
		if d := cmp.Diff(want, got); d != "" {
			t.Error(what, d)
		}
	}
	ask(accB, "warm up") // has the statement for one prepared
	require("a new key", map[string]int{"swift": 1}, ask(accA, "k"))
	if n := ask(accA, "k"); n["lock"] != 1 {
		t.Error("the first replay", n)
	}
	ask(accA, "k") // has the statement for several prepared
	replayed := map[string]int{"keys": 1, "swift": 1}
	require("the next replay", replayed, ask(accA, "k"))
	for range 8 { // among others, in whatever order
		callers := []*caller{deduction(l, db, accA, 1, "k"), deduction(l, db, accB, 1, ""), deduction(l, db, accC, 1, "new")}
		left, err := l.swift(t.Context(), db, callers, false)
		if err != nil || len(left) != 1 || left[0] != callers[2] || !callers[0].out.entry.Replayed || callers[1].out.entry.Number == 0 {
			t.Errorf("%d left, %v: %+v", len(left), err, callers[0].out)
		}
	}
	require("a replay at last", replayed, ask(accA, "k"))
	l.looking.Store(1)
	require("a new key, and the last that is looked for", map[string]int{"keys": 1, "swift": 1}, ask(accA, "l"))
	require("another new key", map[string]int{"swift": 1}, ask(accA, "m"))
	l.looking.Store(1)
	require("a replay in time", replayed, ask(accA, "k"))
	require("looks for more", map[string]int{"keys": 1, "swift": 1}, ask(accA, "n"))
	if n := statementsOf(db, func(db *bun.DB) {
		if _, err := New(Config{}).Deduct(t.Context(), db, Deduct{Account: accA, Amount: 1}); err != nil {
			t.Error(err)
		}
	}); n["swift"] != 0 || n["lock"] != 1 {
		t.Error("an account that is not remembered", n)
	}
	sound(t, l, db)
}

// A key that was refused is read under the lock at once: nobody takes the account for one
// that is locked, or for one that has changed.
func TestSwift_GoesByLocksWhereAKeyHasNoEntry(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA)
	if _, err := l.Deduct(t.Context(), db, Deduct{Account: accA, Amount: 99, Key: "refused"}); !errors.Is(err, ErrInsufficient) {
		t.Fatal(err)
	}
	callers := []*caller{deduction(l, db, accA, 1, ""), deduction(l, db, accA, 1, "refused")}
	left, err := l.swift(t.Context(), db, callers, false)
	if err != nil || !slices.Equal(left, callers) {
		t.Errorf("%v, %v", saidTo(callers), err)
	}
	if _, known := l.shelf.get(shelved{db.DB, accA}); !known {
		t.Error("it is not remembered any more")
	}
}
