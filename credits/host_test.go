package credits_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/tenancy"
)

// hostsTables are a host's own: accounts by number, and what it sells.
func hostsTables(t *testing.T, db *bun.DB) {
	t.Helper()
	exec(t, db, "CREATE TABLE shops (id BIGINT PRIMARY KEY, name TEXT NOT NULL)")
	exec(t, db, "CREATE TABLE images (id TEXT PRIMARY KEY, shop BIGINT NOT NULL REFERENCES shops (id))")
	exec(t, db, "INSERT INTO shops VALUES (42, 'Shop')")
}

const shop = tenancy.AccountID("42")

func images(t *testing.T, db *bun.DB) int { return scan[int](t, db, "SELECT COUNT(*) FROM images") }

func TestHost_WithAccountsOfItsOwnCommitsItsRowAndItsPriceTogether(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		hostsTables(t, db)
		grant(t, l, db, credits.Grant{Account: shop, Amount: 10, Key: "invoice:1", Category: credits.CategoryPaid})
		boom := errors.New("boom")
		sell := func(image string, then error) error {
			return db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
				if _, err := tx.ExecContext(ctx, "INSERT INTO images VALUES (?, 42)", image); err != nil {
					return err
				}
				if _, err := l.Deduct(ctx, tx, credits.Deduct{Account: shop, Amount: 4, Key: "image:" + image}); err != nil {
					return err
				}
				return then
			})
		}
		requireError(t, sell("a", boom), boom)
		creditstest.RequireBalance(t, l, db, shop, 10)
		for _, image := range []string{"a", "b"} {
			if err := sell(image, nil); err != nil {
				t.Fatal(err)
			}
		}
		requireError(t, sell("c", nil), credits.ErrInsufficient)
		creditstest.RequireBalance(t, l, db, shop, 2)
		if n := images(t, db); n != 2 {
			t.Errorf("%d images", n)
		}
		if n := scan[int](t, db, "SELECT COUNT(*) FROM tenancy_accounts"); n != 0 {
			t.Errorf("%d accounts of tenancy", n)
		}
		creditstest.RequireSound(t, l, db, "")
	})
}

func TestHost_OnDatabaseSQLIsJoinedByWrapTx(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		hostsTables(t, db)
		grant(t, l, db, credits.Grant{Account: shop, Amount: 10, Key: "invoice:1"})
		sell := func(image string, amount int64, end func(tx *sql.Tx) error) error {
			tx, err := db.DB.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec("INSERT INTO images VALUES ('" + image + "', 42)"); err != nil {
				t.Fatal(err)
			}
			joined := tenancy.WrapTx(db, tx)
			e, deductErr := l.Deduct(t.Context(), joined, credits.Deduct{Account: shop, Amount: amount, Key: "image:?'" + image})
			if deductErr == nil {
				refund(t, l, joined, credits.Refund{Account: shop, Entry: e.Number, Amount: 1, Key: "back:" + image})
				creditstest.RequireSound(t, l, joined, shop)
			}
			if err := end(tx); err != nil {
				t.Fatal(err)
			}
			return deductErr
		}
		if err := sell("a", 4, (*sql.Tx).Rollback); err != nil {
			t.Fatal(err)
		}
		creditstest.RequireBalance(t, l, db, shop, 10)
		if err := sell("a", 4, (*sql.Tx).Commit); err != nil {
			t.Fatal(err)
		}
		creditstest.RequireBalance(t, l, db, shop, 7)
		// A refusal leaves this transaction usable too.
		requireError(t, sell("b", 8, (*sql.Tx).Commit), credits.ErrInsufficient)
		if n := images(t, db); n != 2 {
			t.Errorf("%d images", n)
		}
		creditstest.RequireSound(t, l, db, shop)
	})
}

func TestHost_OnAConnectionOfItsOwn(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		fund(t, l, conn, 3)
		_, err = l.Deduct(t.Context(), conn, credits.Deduct{Account: acc, Amount: 4})
		requireError(t, err, credits.ErrInsufficient)
		creditstest.RequireBalance(t, l, db, acc, 3)
	})
}
