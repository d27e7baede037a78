package credits

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// opened opens the books of requests in a transaction, and counts the rows that are made.
func opened(t *testing.T, db *bun.DB, l *Ledger, wait bool, requests ...request) (books map[tenancy.AccountID]*book, made int) {
	t.Helper()
	o := &opening{ledger: l, requests: requests, wait: wait}
	hooked := db.WithQueryHook(everyHook(func(query string) {
		if strings.HasPrefix(query, "INSERT INTO credits_accounts") {
			made++
		}
	}))
	undo := errors.New("undo")
	err := hooked.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		o.db = tx
		if err := o.open(ctx); err != nil {
			return err
		}
		return undo
	})
	if !errors.Is(err, undo) {
		t.Fatal(err)
	}
	return o.books, made
}

// Books are of the accounts that are asked of, in the ledger's unit, and each has what is
// its own of keys, entries, holds and grants, though other accounts have the same ones.
func TestOpen_ReadsTheBooksThatAreAskedFor(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		now := func() time.Time { return day }
		l, other := New(Config{Now: now}), New(Config{Now: now, Unit: "gpu_second"})
		for i, account := range []tenancy.AccountID{accA, accB, accC} {
			for u, l := range []*Ledger{l, other} {
				for n := range i + 1 {
					if _, err := l.Grant(t.Context(), db, Grant{Account: account, Amount: 10, Key: strings.Repeat("g", n+1) + l.cfg.Unit}); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := l.Deduct(t.Context(), db, Deduct{Account: account, Amount: int64(i + 1 + u), Key: "k" + l.cfg.Unit}); err != nil {
					t.Fatal(err)
				}
				if _, err := l.Hold(t.Context(), db, Hold{Account: account, Amount: int64(i + 2), Key: "h" + l.cfg.Unit}); err != nil {
					t.Fatal(err)
				}
			}
		}
		var holds []holdRow
		if err := db.NewSelect().Model(&holds).Order("account_id", "unit").Scan(t.Context()); err != nil || len(holds) != 6 {
			t.Fatal(holds, err)
		}
		ask := func(account tenancy.AccountID, key, hold string) request {
			return request{account: account, key: key, hold: hold}
		}
		books, made := opened(t, db, l, true, ask(accA, "kcredit", holds[0].ID), ask(accA, "", ""), ask(accB, "kcredit", ""), ask(accB, "hcredit", holds[1].ID), ask(accB, "kgpu_second", holds[3].ID))
		if got := slices.Sorted(maps.Keys(books)); !slices.Equal(got, []tenancy.AccountID{accA, accB}) || made != 0 {
			t.Fatal(got, made)
		}
		for i, account := range []tenancy.AccountID{accA, accB} {
			b := books[account]
			if len(b.grants) != i+1 || b.row.booked != int64(10*(i+1)-(i+1)) || b.row.held != int64(i+2) || b.free != b.row.booked-b.row.held {
				t.Errorf("%s: %+v, %d grants, %d free", account, b.row, len(b.grants), b.free)
			}
			e := b.keys["kcredit"].out.entry
			if want := (Entry{Account: account, Number: int64(i + 2), Amount: -int64(i + 1)}); e.Account != want.Account || e.Number != want.Number || e.Amount != want.Amount {
				t.Errorf("%s: %+v", account, e)
			}
		}
		if d := cmp.Diff([]string{"kcredit"}, slices.Collect(maps.Keys(books[accA].keys))); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"hcredit", "kcredit"}, slices.Sorted(maps.Keys(books[accB].keys))); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{holds[0].ID}, slices.Collect(maps.Keys(books[accA].holds))); d != "" {
			t.Error(d)
		}
		if len(books[accB].holds) != 0 { // the one is another account's, the other of another unit
			t.Errorf("%+v", books[accB].holds)
		}
	}, Migrate)
}

// An account gets a row where a request can write something to it without there being one.
func TestOpen_MakesARowForAKey(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		l := New(Config{})
		for name, c := range map[string]struct {
			wait bool
			ask  []request
			want int
		}{
			"a key":                    {true, []request{{account: "acc_new", key: "k"}}, 1},
			"it opens":                 {true, []request{{account: "acc_new", opens: true}}, 1},
			"neither":                  {true, []request{{account: "acc_new"}}, 0},
			"each of several accounts": {true, []request{{account: "acc_new", key: "k"}, {account: "acc_newer", key: "k"}, {account: accA}}, 2},
			"no wait":                  {false, []request{{account: "acc_new", key: "k"}}, 0},
		} {
			books, made := opened(t, db, l, c.wait, c.ask...)
			if made != c.want || len(books) != c.want {
				t.Errorf("%s: %d made, %d books", name, made, len(books))
			}
		}
	}, Migrate)
}

// Where nobody waits, an account that somebody else has locked has no book, whatever there
// is of it to read.
func TestOpen_LeavesOutWhatIsLockedElsewhere(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA, accB)
	var requests []request
	for _, account := range []tenancy.AccountID{accA, accB} {
		h, err := l.Hold(t.Context(), db, Hold{Account: account, Amount: 2, Key: "h"})
		if err != nil {
			t.Fatal(err)
		}
		requests = append(requests, request{account: account, key: "fund", hold: h.ID})
	}
	defer lockedElsewhere(t, db, accA)()
	books, made := opened(t, db, l, false, requests...)
	if b := books[accB]; len(books) != 1 || b == nil || made != 0 || len(b.keys) != 1 || len(b.holds) != 1 || len(b.grants) != 1 {
		t.Errorf("%d books, %d made", len(books), made)
	}
}

// Grants are numbered by chance: what another account, or another unit, has under the same
// id is none of the book's.
func TestBook_FindsAGrantOfItsOwn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		b := flushing(t, db)
		b.db, b.grants = db, nil
		if _, err := db.ExecContext(t.Context(), "UPDATE credits_grants SET remaining = 2 WHERE account_id = ?", accB); err != nil {
			t.Fatal(err)
		}
		g, err := b.grant(t.Context(), "h")
		if err != nil || g.Account != accA || g.Remaining != 8 {
			t.Errorf("%+v, %v", g, err)
		}
		if again, err := b.grant(t.Context(), "h"); again != g || err != nil || len(b.grants) != 1 {
			t.Errorf("%+v, %v", again, err)
		}
		b.ledger, b.grants = New(Config{Unit: "gpu_second"}), nil
		if g, err := b.grant(t.Context(), "h"); err == nil {
			t.Errorf("%+v", g)
		}
	}, Migrate)
}
