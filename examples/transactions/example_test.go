package transactions_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/sqlite"
	"github.com/quitrent/quitrent/tenancy"
)

// The host's row and its price, with bun.
func Example_bun() {
	ctx := context.Background()
	db, ledger, account, done := setUp()
	defer done()

	buy := func(image string) error {
		return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			if _, err := tx.NewRaw(`INSERT INTO images (id) VALUES (?)`, image).Exec(ctx); err != nil {
				return err
			}
			_, err := ledger.Deduct(ctx, tx, credits.Deduct{Account: account, Amount: 8, Key: "image:" + image})
			return err
		})
	}
	fmt.Println(buy("cat"))
	err := buy("dog")
	fmt.Println(errors.Is(err, credits.ErrInsufficient), err)
	report(db, ledger, account)
	// Output:
	// <nil>
	// true not enough credits: buy more to go on: this takes 8 and 2 are left
	// images: [cat], credits left: 2
}

// Begin with bun and hand its *sql.Tx to a tool that works on database/sql: sqlc,
// GORM, ent.
func Example_otherToolInside() {
	ctx := context.Background()
	db, ledger, account, done := setUp()
	defer done()

	err := db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var queries *sql.Tx = tx.Tx // sqlc: db.New(tx.Tx); GORM: a Statement.ConnPool
		if _, err := queries.ExecContext(ctx, `INSERT INTO images (id) VALUES ('cat')`); err != nil {
			return err
		}
		_, err := ledger.Deduct(ctx, tx, credits.Deduct{Account: account, Amount: 8, Key: "image:cat"})
		return err
	})
	fmt.Println(err)
	report(db, ledger, account)
	// Output:
	// <nil>
	// images: [cat], credits left: 2
}

// The other way round: a transaction that another tool began takes part through
// tenancy.WrapTx. Whoever began it ends it.
func Example_otherToolOutside() {
	ctx := context.Background()
	db, ledger, account, done := setUp()
	defer done()

	buy := func(image string) error {
		theirs, err := db.DB.BeginTx(ctx, nil) // sqlc, GORM, plain database/sql
		if err != nil {
			return err
		}
		defer func() { _ = theirs.Rollback() }()
		if _, err := theirs.ExecContext(ctx, `INSERT INTO images (id) VALUES ($1)`, image); err != nil {
			return err
		}
		ours := tenancy.WrapTx(db, theirs)
		if _, err := ledger.Deduct(ctx, ours, credits.Deduct{Account: account, Amount: 8, Key: "image:" + image}); err != nil {
			return err
		}
		return theirs.Commit()
	}
	fmt.Println(buy("cat"))
	fmt.Println(errors.Is(buy("dog"), credits.ErrInsufficient))
	report(db, ledger, account)
	// Output:
	// <nil>
	// true
	// images: [cat], credits left: 2
}

// setUp is a database with a table of the host's and an account of ten credits.
func setUp() (db *bun.DB, ledger *credits.Ledger, account tenancy.AccountID, done func()) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	db, err = sqlite.Open(filepath.Join(dir, "app.db"))
	if err != nil {
		log.Fatal(err)
	}
	if err := credits.Migrate(ctx, db); err != nil {
		log.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, `CREATE TABLE images (id TEXT PRIMARY KEY)`); err != nil {
		log.Fatal(err)
	}
	ledger, account = credits.New(credits.Config{}), "acme"
	if _, err := ledger.Grant(ctx, db, credits.Grant{Account: account, Amount: 10, Key: "gift"}); err != nil {
		log.Fatal(err)
	}
	return db, ledger, account, func() { _ = db.Close(); _ = os.RemoveAll(dir) }
}

func report(db *bun.DB, ledger *credits.Ledger, account tenancy.AccountID) {
	ctx := context.Background()
	var images []string
	if err := db.NewRaw(`SELECT id FROM images ORDER BY id`).Scan(ctx, &images); err != nil {
		log.Fatal(err)
	}
	b, err := ledger.Balance(ctx, db, account)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("images: %v, credits left: %d\n", images, b.Spendable)
}
