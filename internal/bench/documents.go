package main

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// page is how many rows a list shows at once.
const page = 20

// document is a host's model: eight columns of the usual sorts.
type document struct {
	bun.BaseModel `bun:"table:documents,alias:d"`
	owned.Row

	ID        string    `bun:"id,pk"`
	Title     string    `bun:"title"`
	Status    string    `bun:"status"`
	Author    string    `bun:"author"`
	Size      int64     `bun:"size"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`
}

// documents is a table of them, the same number for each account.
type documents struct {
	accounts, each int

	bound, plain *bun.DB // two views of one pool
	tables       *owned.Tables
	entered      []context.Context // by account
	inputs       [][2]int
}

// The identifiers are as long as those of package id.
func accountID(a int) tenancy.AccountID {
	return tenancy.AccountID(fmt.Sprintf("acc_06h1qz7k3m9v8x2c4b5n%06d", a))
}

func documentID(n int) string { return fmt.Sprintf("doc_06h1qz7k3m9v8x2c4b5n%06d", n) }

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// written is the document that fill writes as the account's nth.
func written(account, n int) document {
	return document{
		Row:    owned.Row{AccountID: accountID(account)},
		ID:     documentID(n),
		Title:  fmt.Sprintf("Minutes of meeting %d of %d", n, account),
		Status: "published",
		Author: "usr_06h1qz7k3m9v8x2c4b5n000001",
		Size:   int64(account)*1000 + int64(n), CreatedAt: epoch, UpdatedAt: epoch,
	}
}

func (d document) equal(e document) bool {
	same := d.CreatedAt.Equal(e.CreatedAt) && d.UpdatedAt.Equal(e.UpdatedAt)
	d.CreatedAt, d.UpdatedAt, e.CreatedAt, e.UpdatedAt = epoch, epoch, epoch, epoch
	return same && d == e
}

// fill writes them in one statement: a million rows in seconds.
func (d *documents) fill(ctx context.Context, db *bun.DB) error {
	timestamp := "TIMESTAMPTZ"
	if isSQLite(db) {
		timestamp = "TIMESTAMP"
	}
	_, err := db.NewRaw(`CREATE TABLE documents (account_id TEXT NOT NULL, id TEXT NOT NULL, title TEXT NOT NULL,
		status TEXT NOT NULL, author TEXT NOT NULL, size BIGINT NOT NULL, created_at ? NOT NULL, updated_at ? NOT NULL,
		PRIMARY KEY (account_id, id))`, bun.Safe(timestamp), bun.Safe(timestamp)).Exec(ctx)
	if err != nil {
		return err
	}
	_, err = db.NewRaw(`WITH RECURSIVE a(a) AS (SELECT 0 UNION ALL SELECT a + 1 FROM a WHERE a < ?0),
			n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
		INSERT INTO documents (account_id, id, title, status, author, size, created_at, updated_at)
		SELECT 'acc_06h1qz7k3m9v8x2c4b5n' || substr(CAST(1000000 + a AS TEXT), 2),
			'doc_06h1qz7k3m9v8x2c4b5n' || substr(CAST(1000000 + n AS TEXT), 2),
			'Minutes of meeting ' || n || ' of ' || a, 'published', 'usr_06h1qz7k3m9v8x2c4b5n000001', a * 1000 + n, ?2, ?2
		FROM a CROSS JOIN n ORDER BY a, n`, d.accounts-1, d.each-1, epoch).Exec(ctx)
	if err != nil {
		return err
	}
	// So that nothing does it in the middle of a figure.
	settle := `VACUUM ANALYZE documents`
	if isSQLite(db) {
		settle = `ANALYZE`
	}
	_, err = db.NewRaw(settle).Exec(ctx)
	return err
}
