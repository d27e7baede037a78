package credits

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// flushed are the rows that flush changes, of two accounts that have a grant of the same
// id, and of one of them in another unit.
type flushed struct {
	Accounts []accountFlushed
	Grants   []grantFlushed
}

type accountFlushed struct {
	Account                                                        tenancy.AccountID `bun:"account_id"`
	Unit                                                           string
	Epoch, Replays, Booked, Held, Debt, Number, Free, Entered, Due int64
	Head                                                           string
}

type grantFlushed struct {
	Account         tenancy.AccountID `bun:"account_id"`
	Grant           string            `bun:"grant_id"`
	Remaining, Held int64
}

func flushedRows(t *testing.T, db *bun.DB) (f flushed) {
	t.Helper()
	seconds := "CAST(strftime('%s', entered_at) AS INT) - CAST(strftime('%s', '2026-03-01') AS INT) AS entered, CAST(strftime('%s', next_at) AS INT) - CAST(strftime('%s', '2026-03-01') AS INT) AS due"
	if isPostgres(db) {
		seconds = "CAST(EXTRACT(EPOCH FROM entered_at - '2026-03-01 00:00:00+00') AS BIGINT) AS entered, CAST(EXTRACT(EPOCH FROM next_at - '2026-03-01 00:00:00+00') AS BIGINT) AS due"
	}
	err := errors.Join(
		db.NewRaw("SELECT account_id, unit, epoch, replays, booked, held, debt, number, head, head_free AS free, "+seconds+" FROM credits_accounts ORDER BY account_id, unit").Scan(t.Context(), &f.Accounts),
		db.NewRaw("SELECT account_id, grant_id, remaining, held FROM credits_grants ORDER BY account_id, grant_id").Scan(t.Context(), &f.Grants),
	)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// flushing is a ledger with the rows of two accounts, and the book of one of them.
func flushing(t *testing.T, db *bun.DB) *book {
	t.Helper()
	for _, of := range []struct {
		account tenancy.AccountID
		unit    string
	}{{accA, "credit"}, {accA, "gpu_second"}, {accB, "credit"}} {
		_, err := db.NewRaw(`INSERT INTO credits_accounts (account_id, unit, epoch, replays, booked, held, debt, number, entered_at, next_at, head, head_free, created_at)
			VALUES (?, ?, 5, 3, 12, 2, 1, 8, ?, ?, 'g', 3, ?)`, of.account, of.unit, day.Add(time.Second), day.Add(2*time.Second), day).Exec(t.Context())
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, of := range []struct {
		account   tenancy.AccountID
		id        string
		remaining int64
	}{{accA, "g", 5}, {accA, "h", 8}, {accB, "g", 5}, {accB, "h", 8}} {
		g := &grantRow{Account: of.account, ID: of.id, Unit: "credit", Category: CategoryPaid, Amount: 10, Remaining: of.remaining, Held: 1, EffectiveAt: day, CreatedAt: day, Number: 1}
		if _, err := db.NewInsert().Model(g).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	row := accountRow{epoch: 5, replays: 3, booked: 12, held: 2, debt: 1, number: 8, enteredAt: day.Add(time.Second), nextAt: day.Add(2 * time.Second), head: "g", headFree: 3}
	return &book{
		ledger: New(Config{}), account: accA, now: day, was: row, row: row,
		grants: []*grantRow{
			{Account: accA, ID: "g", Amount: 10, Remaining: 5, Held: 1, row: inGrant{5, 1}},
			{Account: accA, ID: "h", Priority: 1, Amount: 10, Remaining: 8, Held: 1, row: inGrant{8, 1}},
		},
	}
}

// A book is added to what the rows say, and to those of its own account and unit only.
func TestFlush_MovesTheRowsOfItsAccount(t *testing.T) {
	for name, n := range map[string]int64{"with an entry": 1, "without": 0} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, db *bun.DB) {
				b := flushing(t, db)
				want := flushedRows(t, db)
				b.row.replays, b.row.booked, b.row.held, b.row.debt, b.row.number = 5, 9, 3, 4, 8+n
				b.row.enteredAt, b.row.nextAt = day.Add(time.Minute), day.Add(time.Hour)
				b.grants[0].Remaining, b.grants[0].Held = 0, 0    // used up
				b.grants[1].Remaining, b.grants[1].Held = 10, 1+2 // full again
				for range n {
					b.lines = append(b.lines, &entryRow{Account: accA, Unit: "credit", Number: 9, Kind: KindDeduct, Amount: -3, Balance: 9, Grant: "g", At: day})
				}
				if err := flush(t.Context(), db, []*book{b}); err != nil {
					t.Fatal(err)
				}
				if b.row.epoch <= 5 {
					t.Errorf("the epoch is %d", b.row.epoch)
				}
				want.Accounts[0] = accountFlushed{accA, "credit", b.row.epoch, 5, 9, 3, 4, 8 + n, 7, 60, 3600, "h"}
				want.Grants[0], want.Grants[1] = grantFlushed{accA, "g", 0, 0}, grantFlushed{accA, "h", 10, 3}
				if d := cmp.Diff(want, flushedRows(t, db)); d != "" {
					t.Error(d)
				}
			}, Migrate)
		})
	}
}

// What the rows do not allow is noticed before the database refuses it, so that a host's
// transaction stays usable.
func TestFlush_MovesNoGrantOutOfItsRange(t *testing.T) {
	for name, c := range map[string]struct{ was, is int64 }{"below nothing": {9, 3}, "above its amount": {1, 7}} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, db *bun.DB) {
				b := flushing(t, db)
				want := flushedRows(t, db)
				// The row says 5, whatever the book took it for.
				b.grants[0].row.remaining, b.grants[0].Remaining = c.was, c.is
				b.grants[1].Priority = -1 // the head
				b.row.held++
				tx, err := db.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = tx.Rollback() }()
				if err := flush(t.Context(), tx, []*book{b}); err == nil || !strings.Contains(err.Error(), "0 of 1 rows could be written: run Verify") {
					t.Error(err)
				}
				if err := tx.Commit(); err != nil {
					t.Error(err)
				}
				if d := cmp.Diff(want, flushedRows(t, db)); d != "" {
					t.Error(d)
				}
			}, Migrate)
		})
	}
}
