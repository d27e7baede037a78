package retention_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/retention"
)

func (w *world) purge(t *testing.T) retention.Purged {
	t.Helper()
	p, err := w.keeper.Purge(t.Context(), w.db)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestM13_PurgeErasesWhatCanBeRestoredNoMore(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, _ := w.register(t, "ada@example.com")
		bob, _ := w.register(t, "bob@example.com")
		eve, _ := w.register(t, "eve@example.com")
		w.close(t, ada)
		w.close(t, eve)
		w.clock.Advance(time.Hour)
		w.close(t, bob)
		if _, err := w.accounts.Restore(t.Context(), w.db, tenancy.Restore{Account: eve, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		w.clock.Set(t0.Add(tenancy.DefaultRetention - time.Microsecond))
		diff(t, "early", retention.Purged{Rows: map[string]int64{}}, w.purge(t))
		w.clock.Advance(time.Microsecond)
		diff(t, "in time", retention.Purged{Erased: []tenancy.AccountID{ada}, Rows: map[string]int64{}}, w.purge(t))
		diff(t, "again", retention.Purged{Rows: map[string]int64{}}, w.purge(t))
		w.clock.Advance(time.Hour)
		diff(t, "the other", []tenancy.AccountID{bob}, w.purge(t).Erased)
		if w.status(t, ada) != tenancy.StatusErased || w.status(t, eve) != tenancy.StatusTrial {
			t.Error(w.status(t, ada), w.status(t, eve))
		}
	})
}

// The version before knew no retention, and wrote no date.
func TestM13_PurgeDatesWhatAnOlderVersionClosed(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, _ := w.register(t, "ada@example.com")
		exec(t, w.plainly(t), "UPDATE tenancy_accounts SET status = 'closed' WHERE account_id = ?", ada)
		diff(t, "first", retention.Purged{Rows: map[string]int64{}}, w.purge(t))
		account, err := w.accounts.Get(t.Context(), w.db, ada)
		if want := w.clock.Now().Add(tenancy.DefaultRetention); err != nil || !account.PurgeAt.Equal(want) {
			t.Errorf("%v, want %v: %v", account.PurgeAt, want, err)
		}
		w.clock.Advance(tenancy.DefaultRetention)
		diff(t, "in time", []tenancy.AccountID{ada}, w.purge(t).Erased)
	})
}

func TestM13_PurgeRemovesRowsThatWereDeletedLongAgo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, _ := w.register(t, "ada@example.com")
		bob, _ := w.register(t, "bob@example.com")
		long, late := t0.Add(-retention.DefaultRowRetention), t0.Add(-retention.DefaultRowRetention+time.Microsecond)
		db := w.plainly(t)
		site := func(account tenancy.AccountID, id string, at any) {
			t.Helper()
			exec(t, db, "INSERT INTO sites (account_id, id, slug, deleted_at) VALUES (?, ?, ?, ?)", account, id, id, at)
		}
		sector := func(id, site string, above, at any) {
			t.Helper()
			exec(t, db, "INSERT INTO sectors (account_id, id, site_id, above, deleted_at) VALUES (?, ?, ?, ?, ?)", ada, id, site, above, at)
		}
		site(ada, "alive", nil)
		site(ada, "late", late)
		site(ada, "long", long)
		site(ada, "used", long) // by a sector that lives
		site(ada, "with", long) // whose sectors go with it
		site(bob, "held", long)
		sector("alive", "used", nil, nil)
		sector("late", "alive", nil, late.UnixNano())
		sector("self", "with", "self", long.UnixNano())
		sector("top", "with", nil, long.UnixNano())
		sector("below", "with", "top", long.UnixNano())
		sector("above-alive", "alive", nil, long.UnixNano())
		sector("alive-below", "alive", "above-alive", nil)
		many := make([]Sector, 1100) // more than a batch
		for i := range many {
			many[i] = Sector{ID: fmt.Sprint("many-", i), SiteID: "alive", DeletedAt: long.UnixNano()}
			many[i].AccountID = ada
		}
		if _, err := db.NewInsert().Model(&many).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		hold := w.hold(t, bob)

		left := func(table string) (ids []string) {
			t.Helper()
			if err := db.NewRaw("SELECT id FROM ? ORDER BY id", bun.Ident(table)).Scan(t.Context(), &ids); err != nil {
				t.Fatal(err)
			}
			slices.Sort(ids)
			return ids
		}
		diff(t, "rows", map[string]int64{"sites": 2, "sectors": 1103}, w.purge(t).Rows)
		diff(t, "sites", []string{"alive", "held", "late", "used"}, left("sites"))
		diff(t, "sectors", []string{"above-alive", "alive", "alive-below", "late"}, left("sectors"))
		diff(t, "again", map[string]int64{}, w.purge(t).Rows)

		w.lift(t, hold)
		exec(t, db, "DELETE FROM sectors WHERE id = 'alive'")
		w.clock.Advance(time.Microsecond)
		diff(t, "later", map[string]int64{"sites": 3, "sectors": 1}, w.purge(t).Rows)
		diff(t, "sites", []string{"alive"}, left("sites"))
	})
}

// A host restores a soft-deleted row through its own view, and its name is free in
// the meantime.
func TestM13_ADeletedRowIsRestoredAndItsNameReused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, _ := w.register(t, "ada@example.com")
		bob, _ := w.register(t, "bob@example.com")
		for _, id := range []tenancy.AccountID{ada, bob} {
			ctx, rows := w.in(t, id)
			if _, err := rows.NewInsert().Model(&Site{ID: "1", Slug: "a"}).Exec(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := rows.NewDelete().Model((*Site)(nil)).Where("id = '1'").Exec(ctx); err != nil {
				t.Fatal(err)
			}
		}
		ctx, rows := w.in(t, ada)
		if _, err := rows.NewInsert().Model(&Site{ID: "2", Slug: "a"}).Exec(ctx); err != nil {
			t.Errorf("the name is not free: %v", err)
		}
		restore := func() (int64, error) {
			res, err := rows.NewUpdate().Model((*Site)(nil)).Set("deleted_at = NULL").Where("id = '1'").WhereDeleted().Exec(ctx)
			if err != nil {
				return 0, err
			}
			return res.RowsAffected()
		}
		if _, err := restore(); err == nil {
			t.Error("two sites of one name")
		}
		if _, err := rows.NewUpdate().Model((*Site)(nil)).Set("slug = 'b'").Where("id = '2'").Exec(ctx); err != nil {
			t.Fatal(err)
		}
		if n, err := restore(); n != 1 || err != nil {
			t.Error(n, err)
		}
		if n, err := rows.NewSelect().Model((*Site)(nil)).Count(ctx); n != 2 || err != nil {
			t.Error(n, err)
		}
		if n := number(t, w.plainly(t), "SELECT COUNT(*) FROM sites WHERE account_id = ? AND deleted_at IS NOT NULL", bob); n != 1 {
			t.Error("another account's row came back")
		}
	})
}

// On SQLite one of the two comes first.
func TestM13_ARowThatIsRestoredMeanwhileStays(t *testing.T) {
	w := newWorld(t, dbtest.Postgres(t, migrate))
	ada, _ := w.register(t, "ada@example.com")
	db := w.plainly(t)
	exec(t, db, "INSERT INTO sites (account_id, id, slug, deleted_at) VALUES (?, '1', 'a', ?)", ada, t0.Add(-2*retention.DefaultRowRetention))
	restoring, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = restoring.Rollback() }()
	exec(t, restoring, "UPDATE sites SET deleted_at = NULL")
	done := make(chan error, 1)
	go func() {
		_, err := w.keeper.Purge(t.Context(), w.db)
		done <- err
	}()
	awaitLock(t, db, done)
	if err := restoring.Commit(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "purge", <-done, nil)
	if n := number(t, db, "SELECT COUNT(*) FROM sites WHERE deleted_at IS NULL"); n != 1 {
		t.Error("it is gone")
	}
}

// awaitLock returns when somebody waits for a lock, and fails when done is first.
func awaitLock[T any](t *testing.T, db bun.IDB, done <-chan T) {
	t.Helper()
	for number(t, db, "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 0 {
		select {
		case r := <-done:
			t.Fatalf("it did not wait: %v", r)
		default:
		}
	}
}

func TestM13_PurgeGoesOnAfterAFailure(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, user := w.register(t, "ada@example.com")
		bob, _ := w.register(t, "bob@example.com")
		w.close(t, ada)
		w.close(t, bob)
		db := w.plainly(t)
		exec(t, db, `CREATE TABLE stays (owner TEXT NOT NULL, member TEXT NOT NULL, FOREIGN KEY (owner, member) REFERENCES tenancy_members (account_id, user_id))`)
		exec(t, db, "INSERT INTO stays (owner, member) VALUES (?, ?)", ada, user)
		w.clock.Advance(tenancy.DefaultRetention)
		purged, err := w.keeper.Purge(t.Context(), w.db)
		if err == nil {
			t.Error("no error")
		}
		diff(t, "erased", []tenancy.AccountID{bob}, purged.Erased)
	})
}

func TestM13_SeveralProcessesMayPurge(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, email := range []string{"a@example.com", "b@example.com", "c@example.com"} {
			id, _ := w.register(t, email)
			w.close(t, id)
		}
		w.clock.Advance(tenancy.DefaultRetention)
		var erased [4]int
		for _, err := range dbtest.Together(len(erased), func(i int) error {
			purged, err := w.keeper.Purge(t.Context(), w.db)
			erased[i] = len(purged.Erased)
			return err
		}) {
			wantErr(t, "purge", err, nil)
		}
		if n := erased[0] + erased[1] + erased[2] + erased[3]; n != 3 {
			t.Errorf("%d accounts", n)
		}
		if n := number(t, w.db, "SELECT COUNT(*) FROM tenancy_audit WHERE action = 'tenancy.erase'"); n != 3 {
			t.Errorf("%d accounts", n)
		}
	})
}

func TestM13_RunPurgesUntilItsContextEnds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, _ := w.register(t, "ada@example.com")
		w.close(t, ada)
		w.clock.Advance(tenancy.DefaultRetention)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.keeper.Run(ctx, w.db) }()
		for w.status(t, ada) != tenancy.StatusErased {
			if err := ctx.Err(); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(errors.New("it ended badly"), err)
		}
	})
}
