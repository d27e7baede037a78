package credits

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

const (
	accA = tenancy.AccountID("acc_a")
	accB = tenancy.AccountID("acc_b")
	accC = tenancy.AccountID("acc_c")
)

// funded is a ledger whose accounts have 10 credits each.
func funded(t *testing.T, db *bun.DB, cfg Config, accounts ...tenancy.AccountID) *Ledger {
	t.Helper()
	l := New(cfg)
	for _, a := range accounts {
		if _, err := l.Grant(t.Context(), db, Grant{Account: a, Amount: 10, Key: "fund"}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// await waits for something that goroutines do of themselves.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for until := time.Now().Add(time.Minute); !done(); runtime.Gosched() {
		if time.Now().After(until) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func (l *Ledger) waiters() int {
	l.combiner.mu.Lock()
	defer l.combiner.mu.Unlock()
	return l.combiner.waiting
}

// works reports that the account's own lane, or SQLite's, is at work.
func (l *Ledger) works(db *bun.DB, account tenancy.AccountID) bool {
	l.combiner.mu.Lock()
	defer l.combiner.mu.Unlock()
	at := lane{db: db.DB, way: byWaiting, account: account}
	if !isPostgres(db) && l.cfg.Combine == CombineAll {
		at.account = ""
	}
	return l.combiner.lanes[at] != nil
}

// asked is what came of a deduction.
type asked struct {
	entry Entry
	err   error
}

// ahead asks for a deduction and returns when it is where it waits: for the account's
// lock if n is 0, and otherwise as the n-th of those who wait for that one.
func ahead(ctx context.Context, t *testing.T, l *Ledger, db *bun.DB, d Deduct, n int) <-chan asked {
	t.Helper()
	done := make(chan asked, 1)
	go func() {
		e, err := l.Deduct(ctx, db, d)
		done <- asked{e, err}
	}()
	if n == 0 {
		await(t, "somebody waits for the lock", func() bool { return l.works(db, d.Account) })
	}
	await(t, fmt.Sprint(n, " wait"), func() bool { return l.waiters() == n })
	return done
}

// lockedElsewhere locks an account in a transaction of a host's; on SQLite, all of them.
func lockedElsewhere(t *testing.T, db *bun.DB, account tenancy.AccountID) (release func()) {
	t.Helper()
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	if _, err := tx.NewRaw("UPDATE credits_accounts SET number = number WHERE account_id = ?", account).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	return func() { _ = tx.Rollback() }
}

func spendableOf(t *testing.T, l *Ledger, db *bun.DB, account tenancy.AccountID) int64 {
	t.Helper()
	b, err := l.Balance(t.Context(), db, account)
	if err != nil {
		t.Fatal(err)
	}
	return b.Spendable
}

func sound(t *testing.T, l *Ledger, db *bun.DB) {
	t.Helper()
	if found, err := l.Verify(t.Context(), db, ""); err != nil || len(found) > 0 {
		t.Errorf("verify: %v, %v", found, err)
	}
}

func TestCombine_DecidesInTheOrderOfArrival(t *testing.T) {
	for _, combine := range []Combining{CombineAll, CombineAccount} {
		dbtest.Each(t, func(t *testing.T, db *bun.DB) {
			l := funded(t, db, Config{Combine: combine}, accA)
			release := lockedElsewhere(t, db, accA)
			var results []<-chan asked
			for i, n := range []int64{1, 4, 4, 4, 1, 1} {
				results = append(results, ahead(t.Context(), t, l, db, Deduct{Account: accA, Amount: n, Key: fmt.Sprint(i)}, i))
			}
			release()
			var got []string
			for _, r := range results {
				a := <-r
				var short *InsufficientError
				if errors.As(a.err, &short) {
					got = append(got, fmt.Sprintf("%d of %d", short.Have, short.Need))
				} else {
					got = append(got, fmt.Sprint(a.entry.Number, " leaves ", a.entry.Spendable))
				}
			}
			want := []string{"2 leaves 9", "3 leaves 5", "4 leaves 1", "1 of 4", "5 leaves 0", "0 of 1"}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			sound(t, l, db)
		}, Migrate)
	}
}

// Copies that share a commit are told apart too: the first did it.
func TestCombine_CopiesInOneCommitAreReplayed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		l := funded(t, db, Config{}, accA)
		release := lockedElsewhere(t, db, accA)
		first := ahead(t.Context(), t, l, db, Deduct{Account: accA, Amount: 1}, 0)
		var copies []<-chan asked
		for i := range 2 {
			copies = append(copies, ahead(t.Context(), t, l, db, Deduct{Account: accA, Amount: 2, Key: "d"}, i+1))
		}
		held := make([]chan Held, 2)
		for i := range held {
			held[i] = make(chan Held, 1)
			go func() {
				h, err := l.Hold(t.Context(), db, Hold{Account: accA, Amount: 3, Key: "h"})
				if err != nil {
					t.Error(err)
				}
				held[i] <- h
			}()
			await(t, "the hold waits", func() bool { return l.waiters() == 3+i })
		}
		release()
		if a := <-first; a.err != nil {
			t.Error(a.err)
		}
		d, again := <-copies[0], <-copies[1]
		if d.err != nil || d.entry.Replayed || again.err != nil || !again.entry.Replayed || again.entry.Number != d.entry.Number {
			t.Errorf("%+v, then %+v", d, again)
		}
		if h, again := <-held[0], <-held[1]; h.Replayed || !again.Replayed || again.ID != h.ID {
			t.Errorf("%+v, then %+v", h, again)
		}
		var replays int
		if err := db.NewRaw("SELECT replays FROM credits_accounts").Scan(t.Context(), &replays); err != nil || replays != 0 {
			t.Errorf("%d replays of what an earlier commit did, %v", replays, err)
		}
		if n := spendableOf(t, l, db, accA); n != 4 {
			t.Errorf("%d are left", n)
		}
		sound(t, l, db)
	}, Migrate)
}

func TestCombine_WhoLeavesBeforeItsTurnAskedForNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		l := funded(t, db, Config{}, accA)
		release := lockedElsewhere(t, db, accA)
		first := ahead(t.Context(), t, l, db, Deduct{Account: accA, Amount: 1}, 0)
		second := ahead(t.Context(), t, l, db, Deduct{Account: accA, Amount: 2}, 1)
		ctx, cancel := context.WithCancel(t.Context())
		gone := ahead(ctx, t, l, db, Deduct{Account: accA, Amount: 4, Key: "gone"}, 2)
		last := ahead(t.Context(), t, l, db, Deduct{Account: accA, Amount: 3}, 3)
		cancel()
		if a := <-gone; !errors.Is(a.err, context.Canceled) || errors.Is(a.err, ErrOutcomeUnknown) {
			t.Errorf("%+v", a)
		}
		release()
		for _, r := range []<-chan asked{first, second, last} {
			if a := <-r; a.err != nil {
				t.Error(a.err)
			}
		}
		if n := spendableOf(t, l, db, accA); n != 4 {
			t.Errorf("%d are left", n)
		}
		if e, err := l.Deduct(t.Context(), db, Deduct{Account: accA, Amount: 4, Key: "gone"}); err != nil || e.Replayed {
			t.Errorf("%+v, %v", e, err)
		}
		sound(t, l, db)
	}, Migrate)
}

// Who waits for an account's lock alone is cut by its context, and so knows that nothing
// has happened.
func TestCombine_WhoLeavesAloneKnowsThatNothingHappened(t *testing.T) {
	db := dbtest.Postgres(t, Migrate) // on SQLite whoever comes first is alone, and asks for itself
	l := funded(t, db, Config{}, accA)
	release := lockedElsewhere(t, db, accA)
	ctx, cancel := context.WithCancel(t.Context())
	d := Deduct{Account: accA, Amount: 4, Key: "gone"}
	gone := ahead(ctx, t, l, db, d, 0)
	cancel()
	if a := <-gone; !errors.Is(a.err, context.Canceled) || errors.Is(a.err, ErrOutcomeUnknown) {
		t.Errorf("%+v", a)
	}
	release()
	if e, err := l.Deduct(t.Context(), db, d); err != nil || e.Replayed || e.Number != 2 {
		t.Errorf("%+v, %v", e, err)
	}
	l.requireIdle(t)
}

// slowly makes writing an entry with the key "slow" wait until it is let go on.
func slowly(t *testing.T, db *bun.DB) (release func()) {
	t.Helper()
	for _, q := range []string{
		`CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END $$`,
		`CREATE TRIGGER wait BEFORE INSERT ON credits_entries FOR EACH ROW WHEN (NEW.key = 'slow') EXECUTE FUNCTION wait()`,
	} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	if _, err := tx.ExecContext(t.Context(), "SELECT pg_advisory_xact_lock(42)"); err != nil {
		t.Fatal(err)
	}
	return func() { _ = tx.Rollback() }
}

func TestCombine_WhoLeavesAfterItsTurnFindsOutByItsKey(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA)
	goOn := slowly(t, db)
	release := lockedElsewhere(t, db, accA)
	first := ahead(t.Context(), t, l, db, Deduct{Account: accA, Amount: 1}, 0)
	ctx, cancel := context.WithCancel(t.Context())
	slow := Deduct{Account: accA, Amount: 4, Key: "slow"}
	gone := ahead(ctx, t, l, db, slow, 1)
	stays := ahead(t.Context(), t, l, db, Deduct{Account: accA, Amount: 3}, 2)
	release()
	if a := <-first; a.err != nil {
		t.Error(a.err)
	}
	await(t, "their turn has come", func() bool { return l.waiters() == 0 })
	cancel()
	if a := <-gone; !errors.Is(a.err, ErrOutcomeUnknown) || !errors.Is(a.err, context.Canceled) {
		t.Errorf("%+v", a)
	}
	goOn()
	if a := <-stays; a.err != nil {
		t.Error(a.err)
	}
	if e, err := l.Deduct(t.Context(), db, slow); err != nil || !e.Replayed || e.Amount != -4 {
		t.Errorf("%+v, %v", e, err)
	}
	if n := spendableOf(t, l, db, accA); n != 2 {
		t.Errorf("%d are left", n)
	}
	sound(t, l, db)
}

// An account that is locked for long fills a part of the queue, and the others go on.
func TestCombine_AFullQueueIsBusyAndEmptiesAgain(t *testing.T) {
	db := dbtest.SQLite(t, Migrate)
	l := funded(t, db, Config{}, accA, accB)
	release := lockedElsewhere(t, db, accA)
	first := ahead(t.Context(), t, l, db, Deduct{Account: accA, Amount: 1}, 0)
	ctx, cancel := context.WithCancel(t.Context())
	const most = mostOfOne - 1 // besides the first
	errs := make(chan error, most)
	for range most {
		go func() {
			_, err := l.Deduct(ctx, db, Deduct{Account: accA, Amount: 1})
			errs <- err
		}()
	}
	await(t, "the queue is full", func() bool { return l.waiters() == most })
	if _, err := l.Deduct(t.Context(), db, Deduct{Account: accA, Amount: 1, Key: "k"}); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	another := ahead(t.Context(), t, l, db, Deduct{Account: accB, Amount: 1}, most+1)
	cancel()
	for range most {
		if err := <-errs; !errors.Is(err, context.Canceled) || errors.Is(err, ErrOutcomeUnknown) {
			t.Fatal(err)
		}
	}
	if n := l.waiters(); n != 1 {
		t.Errorf("%d still wait", n)
	}
	release()
	for _, r := range []<-chan asked{first, another} {
		if a := <-r; a.err != nil {
			t.Error(a.err)
		}
	}
	if e, err := l.Deduct(t.Context(), db, Deduct{Account: accA, Amount: 1, Key: "k"}); err != nil || e.Replayed || e.Number != 3 {
		t.Errorf("%+v, %v", e, err)
	}
	l.requireIdle(t)
}

// What all accounts together may have waiting is bounded too.
func TestCombine_AllQueuesTogetherAreBounded(t *testing.T) {
	db := dbtest.SQLite(t, Migrate)
	accounts := []tenancy.AccountID{accA, accB, accC}
	l := funded(t, db, Config{}, accounts...)
	release := lockedElsewhere(t, db, accA)
	first := ahead(t.Context(), t, l, db, Deduct{Account: accA, Amount: 1}, 0)
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, mostWaiting)
	for i := range mostWaiting {
		go func() {
			_, err := l.Deduct(ctx, db, Deduct{Account: accounts[i%3], Amount: 1})
			errs <- err
		}()
	}
	await(t, "the queue is full", func() bool { return l.waiters() == mostWaiting })
	if _, err := l.Deduct(t.Context(), db, Deduct{Account: "acc_d", Amount: 1}); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	cancel()
	for range mostWaiting {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	release()
	if a := <-first; a.err != nil {
		t.Error(a.err)
	}
	l.requireIdle(t)
}

// requireIdle waits until nothing is at work, and fails if anything is left of what was.
func (l *Ledger) requireIdle(t *testing.T) {
	t.Helper()
	await(t, "nothing is at work", func() bool {
		l.combiner.mu.Lock()
		defer l.combiner.mu.Unlock()
		return len(l.combiner.lanes) == 0
	})
	l.combiner.mu.Lock()
	defer l.combiner.mu.Unlock()
	if l.combiner.waiting != 0 || len(l.combiner.places) != 0 {
		t.Errorf("%d wait and %d accounts have requests, with nothing at work", l.combiner.waiting, len(l.combiner.places))
	}
}

// The connection on which a batch waits for its account's lock is lost. Who waits behind it
// is served all the same, and what nobody knows the outcome of is not done again.
func TestCombine_ABatchThatIsLostLosesNobodyBehindIt(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := New(Config{})
	const callers = 600 // more than a batch has
	if _, err := l.Grant(t.Context(), db, Grant{Account: accA, Amount: 10 * callers, Key: "fund"}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Deduct(t.Context(), db, Deduct{Account: accA, Amount: 1}); err != nil {
		t.Fatal(err)
	}
	release := lockedElsewhere(t, db, accA)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	results := make(chan asked, callers)
	for range callers {
		go func() {
			e, err := l.Deduct(ctx, db, Deduct{Account: accA, Amount: 1})
			results <- asked{e, err}
		}()
	}
	killed := 0
	await(t, "a batch waits, and others behind it", func() bool {
		if l.waiters() == 0 || l.waiters() > callers-mostCombined {
			return false
		}
		err := db.NewRaw(`SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'EXECUTE%'`).Scan(ctx, &killed)
		return err == nil && killed > 0
	})
	release()
	done := int64(1)
	for range callers {
		switch a := <-results; {
		case a.err == nil:
			done++
		case !errors.Is(a.err, ErrOutcomeUnknown) || ctx.Err() != nil:
			t.Fatal(a.err)
		}
	}
	if n := spendableOf(t, l, db, accA); n != 10*callers-done || done < callers-2*mostCombined {
		t.Errorf("%d are left after %d deductions", n, done)
	}
	l.requireIdle(t)
	sound(t, l, db)
}

// Those who wait share a commit, by whatever handle they reach the database; and one
// account's only, where that is what the host wants.
func TestCombine_SharesACommitAcrossAccountsAndHandlesUnlessTheHostSaysNo(t *testing.T) {
	for combine, together := range map[Combining]bool{CombineAll: true, CombineAccount: false} {
		t.Run(fmt.Sprintf("%q", combine), func(t *testing.T) {
			db := dbtest.SQLite(t, Migrate) // where all accounts have one lane
			l := funded(t, db, Config{Combine: combine}, accA, accB)
			var locks []string
			hooked := db.WithQueryHook(lockHook(func(query string) { locks = append(locks, query) }))
			release := lockedElsewhere(t, db, accA)
			first := ahead(t.Context(), t, l, hooked, Deduct{Account: accA, Amount: 1}, 0)
			scoped := hooked.WithNamedArg("tenancy_scope", bun.Safe("'acc_b'"))
			results := []<-chan asked{
				first,
				ahead(t.Context(), t, l, hooked, Deduct{Account: accA, Amount: 1}, 1),
				ahead(t.Context(), t, l, scoped, Deduct{Account: accA, Amount: 1}, 2),
			}
			if together {
				results = append(results, ahead(t.Context(), t, l, scoped, Deduct{Account: accB, Amount: 1}, 3))
			}
			release()
			for _, r := range results {
				if a := <-r; a.err != nil {
					t.Error(a.err)
				}
			}
			if n := len(locks); n != 2 {
				t.Errorf("%d commits: %q", n, locks)
			}
			if got := slices.ContainsFunc(locks, func(q string) bool { return strings.Contains(q, string(accA)+"', '"+string(accB)) }); got != together {
				t.Errorf("several accounts in a commit: %v, %q", got, locks)
			}
			sound(t, l, db)
		})
	}
}

// lockHook is called with every statement that locks accounts.
type lockHook func(query string)

func (lockHook) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (f lockHook) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	if e.Err == nil && strings.HasPrefix(e.Query, "UPDATE credits_accounts SET number = number") {
		f(e.Query)
	}
}

// What reads the ledger, and not only what a lock says of an account, shares no commit.
func TestCombine_WhoReadsTheLedgerIsServedApart(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		l := New(Config{})
		queries := 0
		hooked := db.WithQueryHook(everyHook(func(query string) {
			l.combiner.mu.Lock()
			defer l.combiner.mu.Unlock()
			if queries++; len(l.combiner.lanes) > 0 {
				t.Errorf("in a lane: %s", query)
			}
		}))
		if _, err := l.Grant(t.Context(), hooked, Grant{Account: accA, Amount: 10, Key: "g"}); err != nil || queries == 0 {
			t.Error(queries, err)
		}
	}, Migrate)
}

// Who waits for an account that somebody else has locked is served by the statement that
// waits for the lock, without reading the account.
func TestCombine_ALockedAccountIsWaitedForInOneStatement(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA)
	for range 2 {
		if _, err := l.Deduct(t.Context(), db, Deduct{Account: accA, Amount: 1}); err != nil {
			t.Fatal(err)
		}
	}
	var queries []string
	hooked := db.WithQueryHook(everyHook(func(query string) { queries = append(queries, query) }))
	release := lockedElsewhere(t, db, accA)
	var results []<-chan asked
	for i := range 4 {
		results = append(results, ahead(t.Context(), t, l, hooked, Deduct{Account: accA, Amount: 1, Key: fmt.Sprint(i)}, i))
	}
	release()
	for i, r := range results {
		if a := <-r; a.err != nil || a.entry.Number != int64(4+i) || a.entry.Spendable != int64(7-i) {
			t.Errorf("%d: %+v", i, a)
		}
	}
	// The first is alone and takes the direct path; the other three share one statement.
	reads := 0
	for _, q := range queries {
		if strings.HasPrefix(q, "SELECT") && strings.Contains(q, "FOR UPDATE") {
			reads++
		}
	}
	if last := queries[len(queries)-1]; reads != 1 || !strings.HasPrefix(last, "EXECUTE quitrent_deduct") {
		t.Errorf("%d reads: %q", reads, queries)
	}
	sound(t, l, db)
}

// everyHook is called with every statement.
type everyHook func(query string)

func (everyHook) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (f everyHook) AfterQuery(_ context.Context, e *bun.QueryEvent) { f(e.Query) }

// heldUp makes the writing of an entry with the key wait until it is let go on. Keys of
// different lengths wait for different things.
func heldUp(t *testing.T, db *bun.DB, keys ...string) (release map[string]func()) {
	t.Helper()
	for _, q := range []string{
		`CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(length(NEW.key)); RETURN NEW; END $$`,
		`CREATE TRIGGER hold_up BEFORE INSERT ON credits_entries FOR EACH ROW WHEN (NEW.key LIKE 'slow%') EXECUTE FUNCTION hold_up()`,
	} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	release = map[string]func(){}
	for _, key := range keys {
		tx, err := db.BeginTx(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tx.Rollback() })
		if _, err := tx.NewRaw("SELECT pg_advisory_xact_lock(?)", len(key)).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		release[key] = func() { _ = tx.Rollback() }
	}
	return release
}

// A request for which the account has to be read goes on in another lane. What came after
// it for the account goes there too, though it could be answered at once.
func TestCombine_NobodyOvertakesWhoseAccountHasToBeRead(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	shardOf := func(a tenancy.AccountID) uint64 { return maphash.String(seed, string(a)) % shards }
	other := accB
	for i := 0; shardOf(other) != shardOf(accA); i++ {
		other = tenancy.AccountID(fmt.Sprint("acc_b", i))
	}
	l := funded(t, db, Config{}, accA, other)
	if _, err := l.Grant(t.Context(), db, Grant{Account: accA, Amount: 3, Key: "first", Priority: -1}); err != nil {
		t.Fatal(err)
	}
	for _, a := range []tenancy.AccountID{accA, other} {
		if _, err := l.Deduct(t.Context(), db, Deduct{Account: a, Amount: 1}); err != nil {
			t.Fatal(err)
		}
	}
	release := heldUp(t, db, "slow 1", "slow two")
	begun := func() bool {
		l.combiner.mu.Lock()
		defer l.combiner.mu.Unlock()
		return l.combiner.lanes[lane{db: db.DB, shard: shardOf(accA)}] != nil
	}
	ask := func(d Deduct, waiting int) <-chan asked {
		done := make(chan asked, 1)
		go func() {
			e, err := l.Deduct(context.Background(), db, d)
			done <- asked{e, err}
		}()
		await(t, "it is at work", begun)
		await(t, fmt.Sprint(waiting, " wait"), func() bool { return l.waiters() == waiting })
		return done
	}
	results := []<-chan asked{
		ask(Deduct{Account: other, Amount: 1, Key: "slow 1"}, 0),
		ask(Deduct{Account: accA, Amount: 5}, 1), // more than is in its head
		ask(Deduct{Account: other, Amount: 1, Key: "slow two"}, 2),
	}
	release["slow 1"]()
	await(t, "their turn has come", func() bool { return l.waiters() == 0 })
	results = append(results, ask(Deduct{Account: accA, Amount: 1}, 1))
	release["slow two"]()
	var got []int64
	for _, r := range results {
		a := <-r
		if a.err != nil {
			t.Error(a.err)
		}
		got = append(got, a.entry.Number)
	}
	if d := cmp.Diff([]int64{3, 4, 4, 5}, got); d != "" {
		t.Error(d)
	}
	sound(t, l, db)
}
