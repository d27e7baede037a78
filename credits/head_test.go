package credits_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// byOneStatement runs fn and reports whether it took one statement from memory.
func byOneStatement(db *bun.DB, fn func(db *bun.DB)) bool {
	var queries []string
	fn(db.WithQueryHook(onQuery(func(query string) { queries = append(queries, query) })))
	return len(queries) == 1 && strings.HasPrefix(queries[0], "EXECUTE quitrent_deduct")
}

// What several processes deduct is no reason for any of them to read the account again,
// as long as the grant that is spent first has enough for them.
func TestHead_DeductionsOfSeveralProcessesCommute(t *testing.T) {
	db := dbtest.Postgres(t, credits.Migrate)
	clock := tenancytest.NewClock(start)
	one, two := credits.New(credits.Config{Now: clock.Now}), credits.New(credits.Config{Now: clock.Now})
	grant(t, one, db, credits.Grant{Account: acc, Amount: 20, Key: "first", Priority: -1})
	grant(t, one, db, credits.Grant{Account: acc, Amount: 20, Key: "second"})
	for _, l := range []*credits.Ledger{one, two} {
		for range 2 { // the first of them has the statement prepared
			deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
		}
	}
	left := int64(36)
	for i := range 8 {
		for name, l := range map[string]*credits.Ledger{"one": one, "two": two} {
			clock.Advance(time.Second)
			var e credits.Entry
			swift := byOneStatement(db, func(db *bun.DB) {
				e = deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1, Key: fmt.Sprint(name, i)})
			})
			left--
			want := credits.Entry{
				Account: acc, Number: 42 - left, Kind: credits.KindDeduct, Amount: -1, Balance: left, Spendable: left,
				Key: fmt.Sprint(name, i), At: clock.Now(),
			}
			if d := cmp.Diff(want, e); d != "" || !swift {
				t.Error(swift, d)
			}
		}
	}
	// The first grant is used up, and neither knew of all that went out of it.
	for _, l := range []*credits.Ledger{one, two, one} {
		left -= 3
		if e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 3}); e.Balance != left {
			t.Errorf("%+v, want %d left", e, left)
		}
	}
	if d := cmp.Diff([][]split{{{2, -3}}, {{2, -3}}, {{2, -3}}}, [][]split{splits(t, db, acc, 23), splits(t, db, acc, 24), splits(t, db, acc, 25)}); d != "" {
		t.Error(d)
	}
	creditstest.RequireSound(t, one, db, acc)
}

// A clock that is behind another process's writes no entry that is older than the one
// before.
func TestHead_TimesAscendWhosesoeverClockIsBehind(t *testing.T) {
	db := dbtest.Postgres(t, credits.Migrate)
	ahead, behind := tenancytest.NewClock(start.Add(time.Minute)), tenancytest.NewClock(start)
	one, two := credits.New(credits.Config{Now: ahead.Now}), credits.New(credits.Config{Now: behind.Now})
	grant(t, one, db, credits.Grant{Account: acc, Amount: 20, Key: "g", EffectiveAt: start})
	for range 3 {
		deduct(t, two, db, credits.Deduct{Account: acc, Amount: 1})
		if e := deduct(t, two, db, credits.Deduct{Account: acc, Amount: 1}); !e.At.Equal(ahead.Now()) {
			t.Errorf("%+v", e)
		}
		ahead.Advance(time.Second)
		deduct(t, one, db, credits.Deduct{Account: acc, Amount: 1})
		deduct(t, one, db, credits.Deduct{Account: acc, Amount: 1})
	}
	creditstest.RequireSound(t, one, db, acc)
}

// A grant that takes effect meanwhile is spent from its moment on, and counted.
func TestHead_GivesWayToAGrantThatTakesEffect(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 20)
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "later", Priority: -1, EffectiveAt: start.Add(time.Hour)})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "last", EffectiveAt: start.Add(2 * time.Hour)})
		for _, want := range []struct {
			after     time.Duration
			from      int64
			spendable int64
		}{{0, 1, 19}, {0, 1, 18}, {time.Hour - time.Microsecond, 1, 17}, {time.Microsecond, 2, 26}, {0, 2, 25}, {time.Hour, 2, 34}, {0, 2, 33}} {
			clock.Advance(want.after)
			e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
			if d := cmp.Diff([]split{{want.from, -1}}, splits(t, db, acc, e.Number)); e.Spendable != want.spendable || d != "" {
				t.Errorf("%+v: %+v, %s", want, e, d)
			}
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

// Credits for some operations only have another head for each of these.
func TestHead_IsNotRememberedWhereCreditsAreForSomeOperations(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 20)
		grant(t, l, db, credits.Grant{Account: acc, Amount: 2, Key: "images", Priority: -1, Operations: []string{"image"}})
		for i, want := range []struct {
			operation string
			from      int64
		}{{"text", 1}, {"image", 2}, {"text", 1}, {"image", 2}, {"image", 1}} {
			e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1, Operation: want.operation})
			if d := cmp.Diff([]split{{want.from, -1}}, splits(t, db, acc, e.Number)); d != "" {
				t.Errorf("%d: %s", i, d)
			}
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

// A head's own row is written when something else happens to it or to the account, and
// whatever that is, its credits are neither lost nor there twice.
func TestHead_ItsRowIsWrittenWhenMoreHappensToIt(t *testing.T) {
	for name, do := range map[string]func(t *testing.T, l *credits.Ledger, db *bun.DB, clock *tenancytest.Clock) (left int64){
		"another grant comes first": func(t *testing.T, l *credits.Ledger, db *bun.DB, _ *tenancytest.Clock) int64 {
			grant(t, l, db, credits.Grant{Account: acc, Amount: 5, Key: "g", Priority: -1})
			deduct(t, l, db, credits.Deduct{Account: acc, Amount: 5})
			return 10
		},
		"it is held": func(t *testing.T, l *credits.Ledger, db *bun.DB, _ *tenancytest.Clock) int64 {
			h := hold(t, l, db, credits.Hold{Account: acc, Amount: 7})
			deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
			deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
			settle(t, l, db, credits.Settle{Account: acc, Hold: h.ID, Amount: 6})
			deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
			return 1
		},
		"it is refunded to": func(t *testing.T, l *credits.Ledger, db *bun.DB, _ *tenancytest.Clock) int64 {
			refund(t, l, db, credits.Refund{Account: acc, Entry: 2, Key: "r"})
			deduct(t, l, db, credits.Deduct{Account: acc, Amount: 4})
			return 12
		},
		"it is used up and refunded to": func(t *testing.T, l *credits.Ledger, db *bun.DB, _ *tenancytest.Clock) int64 {
			deduct(t, l, db, credits.Deduct{Account: acc, Amount: 10})
			refund(t, l, db, credits.Refund{Account: acc, Entry: 2, Key: "r"})
			deduct(t, l, db, credits.Deduct{Account: acc, Amount: 4})
			return 2
		},
		"it is revoked": func(t *testing.T, l *credits.Ledger, db *bun.DB, _ *tenancytest.Clock) int64 {
			if _, err := l.Revoke(t.Context(), db, credits.Revoke{Account: acc, Entry: 1, Key: "r"}); err != nil {
				t.Fatal(err)
			}
			return 0
		},
		"it expires": func(t *testing.T, _ *credits.Ledger, _ *bun.DB, clock *tenancytest.Clock) int64 {
			clock.Advance(24 * time.Hour)
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
				grant(t, l, db, credits.Grant{Account: acc, Amount: 20, Key: "fund", ExpiresAt: start.Add(24 * time.Hour)})
				for _, n := range []int64{6, 2, 2} {
					deduct(t, l, db, credits.Deduct{Account: acc, Amount: n})
				}
				left := do(t, l, db, clock)
				creditstest.RequireBalance(t, l, db, acc, left)
				creditstest.RequireSound(t, l, db, acc)
				if _, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: left + 1}); !errors.Is(err, credits.ErrInsufficient) {
					t.Error(err)
				}
				if left > 0 {
					deduct(t, l, db, credits.Deduct{Account: acc, Amount: left})
				}
				creditstest.RequireSound(t, l, db, acc)
			})
		})
	}
}

// A refusal without a key writes nothing, so the account's row still names the head of
// before. It is not remembered as the first that is spent.
func TestHead_AfterARefusalIsTheFirstInBurnOrder(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 100)
		grant(t, l, db, credits.Grant{Account: acc, Amount: 50, Key: "later", Priority: -1, EffectiveAt: start.Add(time.Hour)})
		for range 3 {
			deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
		}
		clock.Advance(time.Hour)
		_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1000})
		requireError(t, err, credits.ErrInsufficient)
		for range 3 {
			e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
			if d := cmp.Diff([]split{{2, -1}}, splits(t, db, acc, e.Number)); d != "" {
				t.Errorf("entry %d: %s", e.Number, d)
			}
		}
	})
}

// Whosesoever clock an account's time is by, it is one time for all of its entries.
func TestHead_IsTheFirstInBurnOrderWhereClocksDiffer(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		ahead, behind := tenancytest.NewClock(start.Add(5*time.Minute)), tenancytest.NewClock(start)
		one, two := credits.New(credits.Config{Now: ahead.Now}), credits.New(credits.Config{Now: behind.Now})
		grant(t, two, db, credits.Grant{Account: acc, Amount: 10, Key: "g1"})
		grant(t, two, db, credits.Grant{Account: acc, Amount: 10, Key: "g2", Priority: -1, EffectiveAt: start.Add(3 * time.Minute)})
		for _, l := range []*credits.Ledger{two, two, one, one, two, two, one, two, two} {
			deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
		}
		for _, w := range burn(t, db) {
			t.Error(w)
		}
		creditstest.RequireSound(t, one, db, acc)
	}, credits.Migrate)
}
